//! Requests to a job service, and its answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::host::is_loopback;
use protocol::operator::Done;
use protocol::station::{StationOrders, StationReport};
use reqwest::{Client, Method, Response, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::body;
use super::error::ClientError;
use super::pages::Pages;
use crate::cli::ConnectArguments;
use crate::local_service::{LocalService, TOKEN_FILE, URL_FILE};
use crate::settings;

/// Where a service is looked for that runs on another state directory.
const DEFAULT_SERVER: &str = "http://127.0.0.1:7070";

/// Where the service of the Debian package keeps its state.
const PACKAGED_STATE_DIR: &str = "/var/lib/drive-agent";

/// Longest that an answer may take; events have no end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest that it may take until a service takes a connection: one whose machine is gone refuses nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much longer than it waits for something new a service may take to answer a station.
const CALL_GRACE: Duration = Duration::from_secs(10);

/// A job service.
pub(crate) struct JobService {
    client: Client,
    base: Url,
    token: String,
    /// Connections are made by the path of this folder's descriptor.
    _local: Option<LocalService>,
}

impl JobService {
    /// Finds the service and the token. A service that is not named is the one on the state directory, and is reached
    /// through its socket; so is every service that the token in the state directory is sent to.
    pub(crate) fn new(connect: &ConnectArguments) -> Result<Self, ClientError> {
        Self::named_by("--server", connect)
    }

    /// The same where another option names the service.
    pub(crate) fn named_by(option: &str, connect: &ConnectArguments) -> Result<Self, ClientError> {
        let local = local_service(connect);
        let kept = |name: &str| local.as_ref()?.kept(name);
        let own_url = kept(URL_FILE);
        let base = connect.server.clone().or_else(|| own_url.clone()).unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let base = parsed(&base)?;
        let given = connect.token_file.as_deref().map(read_token).transpose()?;
        let given = given.or_else(|| std::env::var("DRIVE_AGENT_TOKEN").ok().filter(|token| !token.is_empty()));
        let is_own = match &connect.server {
            // Without an address there is a service only where the socket says so.
            None => own_url.is_some() || given.is_none(),
            Some(_) => given.is_none() && own_url.as_deref() == Some(base.as_str().trim_end_matches('/')),
        };
        let token = given.or_else(|| kept(TOKEN_FILE).filter(|_| is_own)).ok_or_else(|| no_token(connect, &base))?;
        let socket = local.as_ref().filter(|_| is_own).map(LocalService::socket).transpose()?;
        if socket.is_none() {
            require_private(&base, option)?;
        }
        if !token.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(ClientError::Usage(
                "the token has spaces, line ends or other signs that no token has: copy it again".to_owned(),
            ));
        }
        let mut builder = Client::builder().redirect(reqwest::redirect::Policy::none()).connect_timeout(CONNECT_TIMEOUT);
        if base.host_str().is_some_and(is_loopback) {
            builder = builder.no_proxy();
        }
        if let Some(socket) = socket {
            builder = builder.unix_socket(socket);
        }
        if let Some(path) = &connect.ca {
            builder = builder.tls_certs_only(certificates(path)?);
        }
        let client = builder.build().map_err(|error| ClientError::Failed(error.to_string()))?;
        Ok(JobService { client, base, token, _local: local })
    }

    /// The URL of a path, whose segments are given apart.
    pub(super) fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        let cannot = || ClientError::Usage(format!("`{}` is not an address of a service", self.base));
        url.path_segments_mut().map_err(|()| cannot())?.pop_if_empty().extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<String>,
        has_end: bool,
    ) -> Result<Response, ClientError> {
        let shown = url.origin().ascii_serialization();
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if has_end {
            request = request.timeout(ANSWER_TIMEOUT);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.map_err(|error| {
            let why = if error.is_timeout() { "it does not answer" } else { "it cannot be reached" };
            ClientError::Failed(format!("the job service at {shown}: {why}; is `drive-agent serve` running?"))
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let said = tokio::time::timeout(ANSWER_TIMEOUT, body::of_error(answer)).await.unwrap_or_default();
        Err(ClientError::of_answer(status, &said))
    }

    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<String>,
    ) -> Result<T, ClientError> {
        let answer = body::whole(self.send(method, url, body, true).await?).await?;
        understood(&answer)
    }

    /// Where the service is.
    pub(crate) fn address(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// One call of a station: the answer comes when there is something new for it.
    pub(crate) async fn station_call(&self, station: &str, report: &StationReport) -> Result<StationOrders, ClientError> {
        let url = self.url(&["stations", "v1", station, "call"], &[])?;
        // Copies stop when no service answered for a while: the turn of the next one must come before.
        let limit = Duration::from_secs(report.wait_seconds) + CALL_GRACE;
        let answer = tokio::time::timeout(limit, self.ask(Method::POST, url, Some(body_of(report)?))).await;
        let silent = || ClientError::Failed(format!("the job service at {}: it does not answer", self.address()));
        answer.unwrap_or_else(|_| Err(silent()))
    }

    /// A document of the operator API.
    pub(crate) async fn operator_get<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        self.ask(Method::GET, self.operator_url(segments, query)?, None).await
    }

    /// Has the operator API do something.
    pub(crate) async fn operator_post<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        self.ask(Method::POST, self.operator_url(segments, &[])?, body.map(body_of).transpose()?).await
    }

    /// Has the operator API remove something.
    pub(crate) async fn operator_delete(&self, segments: &[&str]) -> Result<Done, ClientError> {
        self.ask(Method::DELETE, self.operator_url(segments, &[])?, None).await
    }

    fn operator_url(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, ClientError> {
        self.url(&[&["operator", "v1"], segments].concat(), query)
    }

    /// The first entries of a list of the operator API: as many of its pages as they take.
    pub(crate) async fn operator_list<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: &[(&str, &str)],
        limit: usize,
    ) -> Result<Vec<T>, ClientError> {
        self.list(self.operator_url(segments, query)?, limit).await
    }

    pub(super) async fn list<T: DeserializeOwned>(&self, first: Url, limit: usize) -> Result<Vec<T>, ClientError> {
        let (mut pages, mut next, mut all) = (Pages::of(first.clone()), Some(first), Vec::new());
        while let Some(url) = next.filter(|_| all.len() < limit) {
            let answer = body::whole(self.send(Method::GET, url, None, true).await?).await?;
            let Page { value, next_link } = understood(&answer)?;
            all.extend(value);
            next = pages.next(answer.len(), next_link.as_deref())?;
        }
        all.truncate(limit);
        Ok(all)
    }
}

/// The address of a service. It is repeated only where nothing in it can be a secret.
fn parsed(text: &str) -> Result<Url, ClientError> {
    let usage = |why: String| ClientError::Usage(format!("the address of the service cannot be used: {why}"));
    let url = Url::parse(text).map_err(|error| usage(format!("{error}; write https://HOST[:PORT]")))?;
    match () {
        () if !url.username().is_empty() || url.password().is_some() => {
            Err(usage("it has a user name or a password: leave it out, and set DRIVE_AGENT_TOKEN".to_owned()))
        }
        () if url.query().is_some() || url.fragment().is_some() => Err(usage("it has more than https://HOST[:PORT]".to_owned())),
        () => Ok(url),
    }
}

/// A token is not sent where others can read it on the way.
fn require_private(base: &Url, option: &str) -> Result<(), ClientError> {
    let host = base.host_str().unwrap_or_default();
    match base.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(host) => Ok(()),
        "http" => {
            let authority = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            Err(ClientError::Usage(format!(
                "the token is not sent to `{host}` over plain http, where it can be read on the way: say \
                 `{option} https://{authority}`, or run the command on the machine of the service"
            )))
        }
        _ => Err(ClientError::Usage(format!("`{base}` is not an address of a service: it begins with https://"))),
    }
}

/// The service of this machine: the caller's own, else that of the package, which root reaches.
fn local_service(connect: &ConnectArguments) -> Option<LocalService> {
    let own = settings::service_state_dir(connect.state_dir.as_deref()).as_deref().and_then(LocalService::open);
    let has_run = |local: &LocalService| local.kept(URL_FILE).is_some();
    let is_named = connect.state_dir.is_some() || connect.server.is_some();
    let packaged = || LocalService::open(Path::new(PACKAGED_STATE_DIR)).filter(has_run);
    match own {
        Some(own) if is_named || has_run(&own) => Some(own),
        own if is_named => own,
        own => packaged().or(own),
    }
}

fn no_token(connect: &ConnectArguments, base: &Url) -> ClientError {
    match (&connect.server, settings::service_state_dir(connect.state_dir.as_deref())) {
        (None, Some(_)) if connect.state_dir.is_none() && Path::new(PACKAGED_STATE_DIR).exists() => ClientError::Usage(format!(
            "the service of this machine keeps its token in `{PACKAGED_STATE_DIR}`, where root alone reads it: repeat the \
                 command as root, or name the service with `--server URL` and your token with `--token-file FILE` or \
                 DRIVE_AGENT_TOKEN"
        )),
        (None, Some(state_dir)) => ClientError::Usage(format!(
            "no service has run on the state directory `{}`: start one with `drive-agent serve`, or name one with `--server URL` \
             and its token with `--token-file FILE` or DRIVE_AGENT_TOKEN",
            state_dir.display()
        )),
        _ => ClientError::Usage(format!(
            "there is no token for `{}`: set DRIVE_AGENT_TOKEN, or say `--token-file FILE`",
            base.origin().ascii_serialization()
        )),
    }
}

fn read_token(path: &Path) -> Result<String, ClientError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| ClientError::Usage(format!("the token in `{}` cannot be read: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}

fn certificates(path: &PathBuf) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let failed = |error: String| ClientError::Usage(format!("the certificates in `{}` cannot be used: {error}", path.display()));
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    reqwest::Certificate::from_pem_bundle(&text).map_err(|error| failed(error.to_string()))
}

/// The body of a request.
pub(super) fn body_of(value: &impl Serialize) -> Result<String, ClientError> {
    serde_json::to_string(value).map_err(|error| ClientError::Failed(format!("the request cannot be written: {error}")))
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    value: Vec<T>,
    #[serde(default)]
    next_link: Option<String>,
}

/// What an answer says; one without a body says nothing.
fn understood<T: DeserializeOwned>(answer: &[u8]) -> Result<T, ClientError> {
    let answer = if answer.is_empty() { b"null" } else { answer };
    serde_json::from_slice(answer).map_err(|error| ClientError::Failed(format!("the answer is not understood: {error}")))
}
