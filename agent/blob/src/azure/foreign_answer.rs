//! Answers that are not from the store: of a network's sign-in page, a proxy or a firewall, whatever status they have. Nothing
//! in them is believed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, HttpClient, Request};

use crate::error::BlobErrorKind;
use crate::http::answers::{is_from_store, retry_after};
use crate::http::server_text::plain;

const CONTENT_TYPE: HeaderName = HeaderName::from_static("content-type");

/// Something else answered than the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not from the store ({status}{}, without Azure's x-ms-request-id)", kind_text(content_type.as_deref()))]
pub struct ForeignAnswer {
    /// Of HTTP.
    pub status: u16,
    /// The host that was asked, with its port where that is an unusual one.
    pub host: String,
    /// What it says that it is.
    pub content_type: Option<String>,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
}

fn kind_text(content_type: Option<&str>) -> String {
    content_type.map_or(String::new(), |kind| format!(", {kind}"))
}

impl ForeignAnswer {
    fn of(request: &Request, status: u16, headers: &Headers) -> Self {
        let url = request.url();
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        let kind = headers.get_optional_str(&CONTENT_TYPE).and_then(|kind| plain(kind.split(';').next()?));
        ForeignAnswer {
            status,
            host: format!("{}{port}", url.host_str().unwrap_or_default()),
            content_type: kind,
            retry_after: retry_after(headers),
        }
    }

    /// What the caller can do: a network that is signed in to lets the store answer.
    pub(super) fn kind(&self) -> BlobErrorKind {
        match self.status {
            407 => BlobErrorKind::Denied,
            413 => BlobErrorKind::Other,
            _ => BlobErrorKind::Transport,
        }
    }

    /// What to do next.
    pub(super) fn advice(&self) -> String {
        match self.status {
            407 => "the proxy on the way wants a name and a password".to_owned(),
            413 => format!("what answers for `{}` takes no bodies of this size: use a smaller `--chunk-size`", self.host),
            _ => format!(
                "something on the way answers for `{}`: sign in at the network's portal (open any page in a browser), check the proxy and the firewall, or correct the address",
                self.host
            ),
        }
    }
}

/// A client that gives nothing but answers of the store.
#[derive(Debug)]
pub(super) struct StoreClient(pub(super) Arc<dyn HttpClient>);

#[async_trait]
impl HttpClient for StoreClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let response = self.0.execute_request(request).await?;
        let headers = response.headers();
        if is_from_store(|name| headers.get_optional_str(&HeaderName::from(name.to_owned())).is_some()) {
            return Ok(response);
        }
        let foreign = ForeignAnswer::of(request, u16::from(response.status()), headers);
        Err(azure_core::Error::new(ErrorKind::Other, foreign))
    }
}
