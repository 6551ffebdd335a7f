//! Talking to a job service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use protocol::arm::ErrorResponse;
use protocol::operator::Done;
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::ConnectArguments;
use crate::settings;

/// No event of a job service is longer, with what came behind it in one piece.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// The version of the published API that we speak.
const API_VERSION: &str = "2021-01-01";

/// Longest that an answer may take; events have no end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a service on this machine says how it is reached.
pub(crate) const URL_FILE: &str = "service.url";

/// Where a service keeps its first operator's token.
pub(crate) const TOKEN_FILE: &str = "operator.token";

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

/// A job service.
pub(crate) struct JobService {
    client: Client,
    base: Url,
    token: String,
}

impl JobService {
    /// Finds the service and the token.
    pub(crate) fn new(connect: &ConnectArguments) -> Result<Self, ClientError> {
        let state_dir = settings::service_state_dir(connect.state_dir.as_deref());
        let kept = |name: &str| {
            let text = std::fs::read_to_string(state_dir.as_ref()?.join(name)).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let base = connect.server.clone().or_else(|| kept(URL_FILE)).unwrap_or_else(|| "http://127.0.0.1:7070".to_owned());
        let base = Url::parse(&base).map_err(|error| ClientError::Usage(format!("`{base}` is not a URL: {error}")))?;
        let given = connect.token_file.as_deref().map(read_token).transpose()?;
        let of_environment = || std::env::var("DRIVE_AGENT_TOKEN").ok().filter(|token| !token.is_empty());
        let is_loopback = match base.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        // The token of the service on this machine is for no other service.
        let own =
            || kept(TOKEN_FILE).filter(|_| is_loopback || kept(URL_FILE).as_deref() == Some(base.as_str().trim_end_matches('/')));
        let token = given.or_else(of_environment).or_else(own).ok_or_else(|| {
            ClientError::Usage("there is no token: set DRIVE_AGENT_TOKEN, or say `--token-file FILE`".to_owned())
        })?;
        if !token.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(ClientError::Usage(
                "the token has spaces, line ends or other signs that no token has: copy it again".to_owned(),
            ));
        }
        let mut builder = Client::builder().redirect(reqwest::redirect::Policy::none());
        if is_loopback {
            builder = builder.no_proxy();
        }
        if let Some(path) = &connect.ca {
            builder = builder.tls_certs_only(certificates(path)?);
        }
        let client = builder.build().map_err(|error| ClientError::Failed(error.to_string()))?;
        Ok(JobService { client, base, token })
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
