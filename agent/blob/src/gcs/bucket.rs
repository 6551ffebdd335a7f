//! A bucket: how a request to it is sent, and what its answer is. One attempt each, and a second one with a new token where
//! the first one's was refused.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use azure_core::http::headers::Headers;
use azure_core::http::response::PinnedStream;
use azure_core::http::{HttpClient, Method, Request};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::gcp::GcpCredential;
use url::Url;

use super::credentials::Credentials;
use super::error::GcsFailure;
use super::place::Place;
use crate::address::GcsAddress;
use crate::credential_error::CredentialError;
use crate::environment::Environment;
use crate::http::answers::header;
use crate::http::bounded::{ANSWER_BYTES_MAX, BoundedClient, TOKEN_ANSWER_BYTES_MAX};
use crate::http::failure::HttpFailure;
use crate::http::hosts::{Owner, may_be_sent};
use crate::http::network::Network;
use crate::http::token_client::Ways;
use crate::http::transport::transport;
use crate::http::xml::Element;

/// What the credentials are called in messages.
const CREDENTIALS: &str = "a token for Google Cloud Storage";

/// How one bucket is reached. Shared by all its objects, so that connections are too.
pub struct GcsBucket {
    transport: Arc<dyn HttpClient>,
    credentials: Arc<Credentials>,
    pub(super) place: Place,
    /// The project that is billed for requests, where one is named.
    billed_project: Option<String>,
    /// The project whose buckets are listed and made, where one is named.
    pub(super) project: Option<String>,
    /// Whether it was seen to refuse a wrong checksum.
    checks_arrival: AtomicBool,
}

/// Headers of a request.
pub(super) type HeaderList = Vec<(Cow<'static, str>, String)>;

/// A request.
pub(super) struct Asked<'asked> {
    pub(super) method: Method,
    /// Empty for the bucket itself.
    pub(super) name: &'asked str,
    pub(super) query: &'asked [(&'asked str, &'asked str)],
    pub(super) headers: HeaderList,
    pub(super) body: Bytes,
    /// What it needs: said where it is not permitted.
    pub(super) permission: &'static str,
    /// Whether it is about the project, and not about the bucket.
    pub(super) is_of_project: bool,
}

impl<'asked> Asked<'asked> {
    /// A request without a body.
    pub(super) fn new(
        method: Method,
        name: &'asked str,
        query: &'asked [(&'asked str, &'asked str)],
        permission: &'static str,
    ) -> Self {
        Asked { method, name, query, headers: Vec::new(), body: Bytes::new(), permission, is_of_project: false }
    }

    /// The same with one more header, where there is a value.
    pub(super) fn with(mut self, name: &'static str, value: Option<String>) -> Self {
        self.headers.extend(value.map(|value| (Cow::Borrowed(name), value)));
        self
    }
}

/// An answer that was taken into memory.
pub(super) struct Answer {
    pub(super) headers: Headers,
    pub(super) body: Bytes,
}

impl Answer {
    /// The root of its body.
    pub(super) fn document(&self) -> Result<Element, GcsFailure> {
        Element::parse(&self.body).map_err(|_| GcsFailure::NotUnderstood)
    }
}

impl GcsBucket {
    /// Prepares to reach the bucket of `address`. Nothing is sent yet.
    ///
    /// # Errors
    /// When there are no credentials, or they are not for this host.
    pub fn new(address: &GcsAddress, environment: &Environment, network: &Network) -> Result<Arc<Self>, CredentialError> {
        let place = Place::of(address, environment)?;
        network.tell_proxy(&place.endpoint)?;
        let trusted = environment.trusted()?;
        may_be_sent(Owner::Endpoint(&place.own_endpoint), &place.endpoint, &trusted)
            .map_err(|refusal| CredentialError::of_host(refusal, CREDENTIALS, &place.endpoint))?;
        let bounded = |client: Arc<dyn HttpClient>, limit_bytes| -> Arc<dyn HttpClient> {
            Arc::new(BoundedClient { inner: client, limit_bytes })
        };
        let client = transport(network)?;
        let ways = Ways {
            across: bounded(client.clone(), TOKEN_ANSWER_BYTES_MAX),
            of_machine: bounded(transport(&network.without_proxy())?, TOKEN_ANSWER_BYTES_MAX),
        };
        let credentials = Arc::new(Credentials::of(environment, &place, ways)?);
        let project = |name| environment.get(name).map(str::to_owned);
        Ok(Arc::new(GcsBucket {
            transport: bounded(client, ANSWER_BYTES_MAX),
            credentials,
            place,
            billed_project: project("GOOGLE_CLOUD_QUOTA_PROJECT"),
            project: project("GOOGLE_CLOUD_PROJECT"),
            checks_arrival: AtomicBool::new(false),
        }))
    }

    /// Another bucket of the same project.
    pub(crate) fn beside(&self, bucket: &str) -> Arc<Self> {
        Arc::new(GcsBucket {
            transport: self.transport.clone(),
            credentials: self.credentials.clone(),
            place: self.place.with_bucket(bucket),
            billed_project: self.billed_project.clone(),
            project: self.project.clone(),
            checks_arrival: AtomicBool::new(false),
        })
    }

    /// The endpoint that an address shows; `None` where it is Google's.
    pub(crate) fn shown_endpoint(&self) -> Option<Url> {
        (!self.place.is_default).then(|| self.place.endpoint.clone())
    }

    pub(super) fn checks_arrival(&self) -> bool {
        self.checks_arrival.load(Ordering::Relaxed)
    }

    pub(super) fn note_checks_arrival(&self, checks: bool) {
        self.checks_arrival.store(checks, Ordering::Relaxed);
    }

    /// Sends a request, and takes its answer into memory. What is no success is a failure.
    pub(super) async fn ask(&self, asked: Asked<'_>) -> Result<Answer, GcsFailure> {
        let (headers, body) = self.open(asked).await?;
        let pieces: Vec<Bytes> = body.try_collect().await.map_err(|error| unanswered(&error))?;
        let body = if let [one] = &*pieces { one.clone() } else { pieces.concat().into() };
        Ok(Answer { headers, body })
    }

    /// Sends a request, and gives the answer's body as it comes.
    pub(super) async fn open(&self, asked: Asked<'_>) -> Result<(Headers, PinnedStream), GcsFailure> {
        let token = self.credentials.get().await?;
        match self.send(&asked, token.as_deref()).await {
            // A token may end before its time: what is refused is tried once with a new one.
            Err(GcsFailure::Answer { status: 401, .. }) if self.credentials.renew(token.as_deref()).await => {
                let token = self.credentials.get().await?;
                self.send(&asked, token.as_deref()).await
            }
            other => other,
        }
    }

    async fn send(&self, asked: &Asked<'_>, token: Option<&GcpCredential>) -> Result<(Headers, PinnedStream), GcsFailure> {
        let request = self.request(asked, token);
        let answer = self.transport.execute_request(&request).await.map_err(|error| unanswered(&error))?;
        let (status, headers, body) = answer.deconstruct();
        if status.is_success() {
            let is_page = header(&headers, "content-type").is_some_and(|kind| kind.starts_with("text/html"));
            return match is_page && !super::error::is_of_store(&headers) {
                true => Err(GcsFailure::of_answer(u16::from(status), &Headers::new(), &[], "")),
                false => Ok((headers, Box::pin(body))),
            };
        }
        // What came of an error is enough.
        let pieces: Vec<Bytes> = body.try_collect().await.unwrap_or_default();
        Err(GcsFailure::of_answer(u16::from(status), &headers, &pieces.concat(), asked.permission))
    }

    fn request(&self, asked: &Asked<'_>, token: Option<&GcpCredential>) -> Request {
        let url = match asked.is_of_project {
            true => self.place.of_project(),
            false => self.place.url(asked.name, asked.query),
        };
        let mut request = Request::new(url, asked.method);
        for (name, value) in &asked.headers {
            request.insert_header(name.clone().into_owned(), value.clone());
        }
        if let Some(project) = &self.billed_project {
            // "x-goog-user-project": who pays, where the bucket's owner does not.
            request.insert_header("x-goog-user-project", project.clone());
        }
        if let Some(token) = token {
            request.insert_header("authorization", format!("Bearer {}", token.bearer));
        }
        request.set_body(asked.body.clone());
        request
    }
}

/// The failure of a request that was not answered to the end.
pub(super) fn unanswered(error: &azure_core::Error) -> GcsFailure {
    HttpFailure::of(error).into()
}
