//! Talking to a job service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use protocol::arm::ErrorResponse;
use protocol::host::is_loopback;
use protocol::operator::Done;
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::ConnectArguments;
use crate::local_service::{LocalService, LocalServiceError, TOKEN_FILE, URL_FILE};
use crate::settings;

/// No event of a job service is longer, with what came behind it in one piece.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// Where a service is looked for that runs on another state directory.
const DEFAULT_SERVER: &str = "http://127.0.0.1:7070";

/// The version of the published API that we speak.
const API_VERSION: &str = "2021-01-01";

/// Longest that an answer may take; events have no end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why something was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// What was asked for cannot be understood.
    #[error("{0}")]
    Usage(String),
    /// The service refused.
    #[error("{message} ({code})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code of the error.
        code: String,
        /// What it says.
        message: String,
    },
    /// There was no answer.
    #[error("{0}")]
    Failed(String),
}

impl ClientError {
    /// The exit code of the process.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            ClientError::Usage(_) | ClientError::Refused { status: 400, .. } => 2,
            ClientError::Refused { status: 409 | 412, .. } => 3,
            ClientError::Refused { .. } | ClientError::Failed(_) => 1,
        }
    }
}

impl From<LocalServiceError> for ClientError {
    fn from(error: LocalServiceError) -> Self {
        ClientError::Failed(error.to_string())
    }
}

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
        let state_dir = settings::service_state_dir(connect.state_dir.as_deref());
        let local = state_dir.as_deref().and_then(LocalService::open);
        let kept = |name: &str| local.as_ref()?.kept(name);
        let own_url = kept(URL_FILE);
        let base = connect.server.clone().or_else(|| own_url.clone()).unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let base = Url::parse(&base).map_err(|error| ClientError::Usage(format!("`{base}` is not a URL: {error}")))?;
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
            require_private(&base)?;
        }
        if !token.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(ClientError::Usage(
                "the token has spaces, line ends or other signs that no token has: copy it again".to_owned(),
            ));
        }
        let mut builder = Client::builder().redirect(reqwest::redirect::Policy::none());
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
    fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        let cannot = || ClientError::Usage(format!("`{}` is not an address of a service", self.base));
        url.path_segments_mut().map_err(|()| cannot())?.pop_if_empty().extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn send(&self, method: Method, url: Url, body: Option<String>, has_end: bool) -> Result<Response, ClientError> {
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
        Err(refusal(answer.status(), &answer.bytes().await.unwrap_or_default()))
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, url: Url, body: Option<String>) -> Result<T, ClientError> {
        let answer = self.send(method, url, body, true).await?;
        let bytes = answer.bytes().await.map_err(|error| ClientError::Failed(error.without_url().to_string()))?;
        // An answer without a body says nothing.
        let bytes = if bytes.is_empty() { b"null" } else { &bytes[..] };
        serde_json::from_slice(bytes).map_err(|error| ClientError::Failed(format!("the answer is not understood: {error}")))
    }

    /// Asks the published API.
    pub(crate) async fn published(
        &self,
        method: Method,
        segments: &[&str],
        body: Option<&Value>,
        query: &[(&str, &str)],
    ) -> Result<Value, ClientError> {
        let mut all = vec![("api-version", API_VERSION)];
        all.extend(query);
        self.ask(method, self.url(segments, &all)?, body.map(Value::to_string)).await
    }

    /// What the operator API tells.
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
        let body = body.map(serde_json::to_string).transpose();
        let body = body.map_err(|error| ClientError::Failed(format!("the request cannot be written: {error}")))?;
        self.ask(Method::POST, self.operator_url(segments, &[])?, body).await
    }

    /// Has the operator API remove something.
    pub(crate) async fn operator_delete(&self, segments: &[&str]) -> Result<Done, ClientError> {
        self.ask(Method::DELETE, self.operator_url(segments, &[])?, None).await
    }

    fn operator_url(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, ClientError> {
        self.url(&[&["operator", "v1"], segments].concat(), query)
    }

    /// The pages of a list, one after another.
    pub(crate) async fn all_pages(&self, first: Value) -> Result<Vec<Value>, ClientError> {
        let (mut page, mut all) = (first, Vec::new());
        loop {
            if let Some(Value::Array(jobs)) = page.get_mut("value").map(Value::take) {
                all.extend(jobs);
            }
            let Some(next) = page.get("nextLink").and_then(Value::as_str) else { return Ok(all) };
            page = self.next_page(next).await?;
        }
    }

    /// The page that a link of the page before leads to.
    pub(crate) async fn next_page<T: DeserializeOwned>(&self, link: &str) -> Result<T, ClientError> {
        // Whatever the link says, the token goes to no other host.
        let link = Url::parse(link).map_err(|error| ClientError::Failed(error.to_string()))?;
        let mut url = self.base.clone();
        url.set_path(link.path());
        url.set_query(link.query());
        self.ask(Method::GET, url, None).await
    }

    /// The events of a stream: their names and what they say.
    pub(crate) async fn events(
        &self,
        segments: &[&str],
    ) -> Result<impl Stream<Item = Result<(String, String), ClientError>>, ClientError> {
        let url = self.url(segments, &[("api-version", API_VERSION)])?;
        let answer = self.send(Method::GET, url, None, false).await?;
        let pieces = answer.bytes_stream().map_err(|_| ClientError::Failed("the job service hung up".to_owned())).boxed();
        Ok(futures::stream::try_unfold((pieces, Vec::new()), async |(mut pieces, mut buffer): (_, Vec<u8>)| {
            loop {
                if let Some(event) = next_event(&mut buffer) {
                    return Ok(Some((event, (pieces, buffer))));
                }
                match futures::TryStreamExt::try_next(&mut pieces).await? {
                    Some(piece) => {
                        let piece: bytes::Bytes = piece;
                        if buffer.len() + piece.len() > EVENT_BYTES_MAX {
                            return Err(ClientError::Failed("the job service sends an event without an end".to_owned()));
                        }
                        buffer.extend_from_slice(&piece);
                    }
                    None => return Ok(None),
                }
            }
        }))
    }
}

/// Takes the first event that is whole from what came of a stream: its name, and what it says. Those that say nothing are
/// left out.
pub(crate) fn next_event(buffer: &mut Vec<u8>) -> Option<(String, String)> {
    while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
        let event = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end + 2);
        let field = |name: &str| {
            let values = event.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            values.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>().join("\n")
        };
        let data = field("data");
        if !data.is_empty() {
            return Some((field("event"), data));
        }
    }
    None
}

fn refusal(status: StatusCode, body: &[u8]) -> ClientError {
    let (code, message) = match serde_json::from_slice::<ErrorResponse>(body) {
        Ok(response) => {
            let details = response.error.details.iter().map(|detail| format!("\n  {}: {}", detail.target, detail.message));
            let details: String = details.collect();
            let target = response.error.target.filter(|target| !response.error.message.contains(target.as_str()));
            let target = target.filter(|_| details.is_empty()).map(|target| format!("{target}: ")).unwrap_or_default();
            (response.error.code, format!("{target}{}{details}", response.error.message))
        }
        Err(_) => ("no code".to_owned(), format!("the job service answered {status}")),
    };
    ClientError::Refused { status: status.as_u16(), code, message }
}

/// A token is not sent where others can read it on the way.
fn require_private(base: &Url) -> Result<(), ClientError> {
    let host = base.host_str().unwrap_or_default();
    match base.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(host) => Ok(()),
        "http" => {
            let authority = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            Err(ClientError::Usage(format!(
                "the token is not sent to `{host}` over plain http, where it can be read on the way: say \
                 `--server https://{authority}`, or run the command on the machine of the service"
            )))
        }
        _ => Err(ClientError::Usage(format!("`{base}` is not an address of a service: it begins with https://"))),
    }
}

fn no_token(connect: &ConnectArguments, base: &Url) -> ClientError {
    let why = match &connect.server {
        Some(_) => format!("for `{}`", base.origin().ascii_serialization()),
        None => "in the state directory of a service on this machine".to_owned(),
    };
    ClientError::Usage(format!("there is no token {why}: set DRIVE_AGENT_TOKEN, or say `--token-file FILE`"))
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
