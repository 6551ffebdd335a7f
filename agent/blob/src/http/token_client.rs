//! The way to what gives credentials, for `object_store`, which obtains them: over the transport of this crate, each request
//! once.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::{HttpClient as Transport, Method, Request};
use hyper::http;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use url::Url;

use super::causes::innermost;

/// The ways to what gives credentials.
#[derive(Debug, Clone)]
pub(crate) struct Ways {
    /// To a service across the network.
    pub(crate) across: Arc<dyn Transport>,
    /// To this machine or its host, which no proxy leads to.
    pub(crate) of_machine: Arc<dyn Transport>,
}

/// Connects `object_store` to the ways.
#[derive(Debug)]
pub(crate) struct TokenConnector(pub(crate) Ways);

impl HttpConnector for TokenConnector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.clone())))
    }
}

#[derive(Debug)]
struct Service(Ways);

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let odd = |what: &'static str| HttpError::new(HttpErrorKind::Request, std::io::Error::other(what));
        let url = Url::parse(&request.uri().to_string()).map_err(|_| odd("the address is none"))?;
        let method = match *request.method() {
            http::Method::GET => Method::Get,
            http::Method::PUT => Method::Put,
            http::Method::POST => Method::Post,
            _ => return Err(odd("requests of this kind are not sent")),
        };
        let way = if url.scheme() == "https" { &self.0.across } else { &self.0.of_machine };
        let mut asked = Request::new(url, method);
        for (name, value) in request.headers() {
            let value = value.to_str().map_err(|_| odd("a header cannot be sent"))?;
            asked.insert_header(name.as_str().to_owned(), value.to_owned());
        }
        asked.set_body(request.body().as_bytes().cloned().unwrap_or_default());
        let failed = |error: azure_core::Error| HttpError::new(HttpErrorKind::Connect, std::io::Error::other(innermost(&error)));
        let answer = way.execute_request(&asked).await.map_err(failed)?;
        let answer = answer.try_into_raw_response().await.map_err(failed)?;
        let mut response = http::Response::builder().status(u16::from(answer.status()));
        for (name, value) in answer.headers().iter() {
            response = response.header(name.as_str(), value.as_str());
        }
        let body = http_body_util::Full::new(bytes::Bytes::from(answer.body().as_ref().to_vec()));
        let body = HttpResponseBody::new(http_body_util::BodyExt::map_err(body, |never| match never {}));
        response.body(body).map_err(|_| odd("the answer has odd headers"))
    }
}
