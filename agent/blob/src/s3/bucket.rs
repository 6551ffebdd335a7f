//! A bucket: how a request to it is signed and sent, and what its answer is. One attempt each.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use azure_core::http::headers::Headers;
use azure_core::http::response::PinnedStream;
use azure_core::http::{HttpClient, Method, Request};
use bytes::Bytes;
use futures::TryStreamExt;
use hyper::http;
use object_store::aws::AwsAuthorizer;
use object_store::client::HttpRequestBody;
use protocol::digest::Sha256Digest;
use url::Url;

use super::credentials::Credentials;
use super::error::S3Failure;
use super::place::Place;
use crate::address::S3Address;
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
const CREDENTIALS: &str = "the signature of the credentials for S3";

/// How one bucket is reached. Shared by all its objects, so that connections are too.
pub struct S3Bucket {
    transport: Arc<dyn HttpClient>,
    credentials: Arc<Credentials>,
    pub(super) place: Place,
    /// Whether it was seen to refuse a wrong checksum.
    checks_arrival: AtomicBool,
}

/// Headers of a request.
pub(super) type HeaderList = Vec<(Cow<'static, str>, String)>;

/// A request.
pub(super) struct Asked<'asked> {
    pub(super) method: Method,
    /// Empty for the bucket itself.
    pub(super) key: &'asked str,
    pub(super) query: &'asked [(&'asked str, &'asked str)],
    pub(super) headers: HeaderList,
    pub(super) body: Bytes,
    /// The SHA-256 of the body, where it is known: it is signed.
    pub(super) digest: Option<Sha256Digest>,
    /// Whether it is about the account, and not about the bucket.
    pub(super) is_of_account: bool,
}

impl<'asked> Asked<'asked> {
    /// A request without a body.
    pub(super) fn new(method: Method, key: &'asked str, query: &'asked [(&'asked str, &'asked str)]) -> Self {
        Asked { method, key, query, headers: Vec::new(), body: Bytes::new(), digest: None, is_of_account: false }
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
    pub(super) fn document(&self) -> Result<Element, S3Failure> {
        Element::parse(&self.body).map_err(|_| S3Failure::NotUnderstood)
    }

    /// A success, unless its body is an error: copies and commits answer so when they fail after they began to answer.
    pub(super) fn checked(self) -> Result<Self, S3Failure> {
        let is_xml = header(&self.headers, "content-type").is_none_or(|kind| kind.contains("xml"));
        let is_error = is_xml && !self.body.is_empty() && Element::parse(&self.body).is_ok_and(|root| root.name == "Error");
        if is_error { Err(S3Failure::of_answer(200, &self.headers, &self.body)) } else { Ok(self) }
    }
}

impl S3Bucket {
    /// Prepares to reach the bucket of `address`. Nothing is sent yet.
    ///
    /// # Errors
    /// When there are no credentials, or they are not for this host.
    pub fn new(address: &S3Address, environment: &Environment, network: &Network) -> Result<Arc<Self>, CredentialError> {
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
        let credentials = Arc::new(Credentials::of(environment, &place.region, ways)?);
        let transport = bounded(client, ANSWER_BYTES_MAX);
        Ok(Arc::new(S3Bucket { transport, credentials, place, checks_arrival: AtomicBool::new(false) }))
    }

    /// Another bucket of the same account.
    pub(crate) fn beside(&self, bucket: &str) -> Arc<Self> {
        Arc::new(S3Bucket {
            transport: self.transport.clone(),
            credentials: self.credentials.clone(),
            place: self.place.with_bucket(bucket),
            checks_arrival: AtomicBool::new(false),
        })
    }

    /// The endpoint that an address shows; `None` where it is AWS's.
    pub(crate) fn shown_endpoint(&self) -> Option<Url> {
        (!self.place.is_aws).then(|| self.place.endpoint.clone())
    }

    pub(super) fn checks_arrival(&self) -> bool {
        self.checks_arrival.load(Ordering::Relaxed)
    }

    pub(super) fn note_checks_arrival(&self, checks: bool) {
        self.checks_arrival.store(checks, Ordering::Relaxed);
    }

    /// Sends a request, and takes its answer into memory. What is no success is a failure.
    pub(super) async fn ask(&self, asked: Asked<'_>) -> Result<Answer, S3Failure> {
        let (headers, body) = self.open(asked).await?;
        let pieces: Vec<Bytes> = body.try_collect().await.map_err(|error| unanswered(&error))?;
        let body = if let [one] = &*pieces { one.clone() } else { pieces.concat().into() };
        Answer { headers, body }.checked()
    }

    /// Sends a request, and gives the answer's body as it comes.
    pub(super) async fn open(&self, asked: Asked<'_>) -> Result<(Headers, PinnedStream), S3Failure> {
        let request = self.signed(asked).await?;
        let answer = self.transport.execute_request(&request).await.map_err(|error| unanswered(&error))?;
        let (status, headers, body) = answer.deconstruct();
        if status.is_success() {
            let is_page = header(&headers, "content-type").is_some_and(|kind| kind.starts_with("text/html"));
            let is_of_store = headers.iter().any(|(name, _)| name.as_str().starts_with("x-amz-") || name.as_str() == "etag");
            return match is_page && !is_of_store {
                true => Err(S3Failure::of_answer(u16::from(status), &Headers::new(), &[])),
                false => Ok((headers, Box::pin(body))),
            };
        }
        // What came of an error is enough.
        let pieces: Vec<Bytes> = body.try_collect().await.unwrap_or_default();
        Err(S3Failure::of_answer(u16::from(status), &headers, &pieces.concat()))
    }

    async fn signed(&self, asked: Asked<'_>) -> Result<Request, S3Failure> {
        let credential = self.credentials.get().await?;
        let url = if asked.is_of_account { self.place.of_account() } else { self.place.url(asked.key, asked.query) };
        let digest = asked.digest.unwrap_or_else(|| Sha256Digest::of(&asked.body));
        let mut to_sign = http::Request::builder().method(method_of(asked.method)).uri(url.as_str());
        for (name, value) in &asked.headers {
            to_sign = to_sign.header(&**name, value);
        }
        let mut to_sign = to_sign.body(HttpRequestBody::empty()).map_err(|_| HttpFailure::NotMade)?;
        let authorizer = AwsAuthorizer::new(&credential, "s3", &self.place.region);
        authorizer.try_authorize(&mut to_sign, Some(&digest.0)).map_err(|_| HttpFailure::NotMade)?;
        let mut request = Request::new(url, asked.method);
        for (name, value) in to_sign.headers() {
            let value = value.to_str().map_err(|_| HttpFailure::NotMade)?;
            request.insert_header(name.as_str().to_owned(), value.to_owned());
        }
        request.set_body(asked.body);
        Ok(request)
    }
}

/// The failure of a request that was not answered to the end.
pub(super) fn unanswered(error: &azure_core::Error) -> S3Failure {
    HttpFailure::of(error).into()
}

fn method_of(method: Method) -> http::Method {
    match method {
        Method::Delete => http::Method::DELETE,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        _ => http::Method::GET,
    }
}
