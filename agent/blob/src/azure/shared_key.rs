//! Signing a request with the account's key.
//!
//! "Authorize with Shared Key" of Azure's REST reference, in the form since version 2015-02-21. The
//! SDK has no such credential (1.1.0), so it is a policy in its pipeline.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::SecretBytes;
use azure_core::http::headers::{AUTHORIZATION, HeaderName, MS_DATE};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use azure_core::time::{OffsetDateTime, to_rfc7231};
use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Signs every request of one account.
#[derive(Debug)]
pub(super) struct SharedKey {
    account: String,
    key: SecretBytes,
}

impl SharedKey {
    pub(super) fn new(account: String, key: SecretBytes) -> Self {
        SharedKey { account, key }
    }

    fn string_to_sign(&self, request: &Request) -> String {
        let header = |name: &'static str| request.headers().get_optional_str(&HeaderName::from_static(name)).unwrap_or("");
        // An empty body is signed as an empty text; the header itself is not always set yet.
        let length = request.body().len().filter(|length| *length > 0).map(|length| length.to_string()).unwrap_or_default();
        let mut text = request.method().as_str().to_owned();
        for value in [
            header("content-encoding"),
            header("content-language"),
            length.as_str(),
            header("content-md5"),
            header("content-type"),
            "",
            header("if-modified-since"),
            header("if-match"),
            header("if-none-match"),
            header("if-unmodified-since"),
            header("range"),
        ] {
            text.push('\n');
            text.push_str(value);
        }
        text.push('\n');
        let mut own: Vec<_> = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_str().trim())).collect();
        own.retain(|(name, _)| name.starts_with("x-ms-"));
        own.sort_unstable();
        for (name, value) in own {
            text.push_str(&format!("{name}:{value}\n"));
        }
        text.push_str(&format!("/{}{}", self.account, request.url().path()));
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in request.url().query_pairs() {
            parameters.entry(name.to_lowercase()).or_default().push(value.into_owned());
        }
        for (name, mut values) in parameters {
            values.sort_unstable();
            text.push_str(&format!("\n{name}:{}", values.join(",")));
        }
        text
    }

    fn signature(&self, text: &str) -> String {
        // HMAC takes keys of any length, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.bytes()) else {
            return String::new();
        };
        mac.update(text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
    }
}

#[async_trait]
impl Policy for SharedKey {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        request.insert_header(MS_DATE, to_rfc7231(&OffsetDateTime::now_utc()));
        let signature = self.signature(&self.string_to_sign(request));
        request.insert_header(AUTHORIZATION, format!("SharedKey {}:{signature}", self.account));
        next[0].send(context, request, &next[1..]).await
    }
}
