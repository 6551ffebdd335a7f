//! Messages to programs: posted as JSON, and signed where there is a secret.

use std::time::Duration;

use aws_lc_rs::hmac;
use reqwest::Client;
use reqwest::redirect::Policy;
use url::Url;

use super::message::Message;
use super::settings::{NotifySettings, private_url};

/// How long a receiver may take for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the signature is in: `sha256=` and the HMAC-SHA256 of the body, in hex.
const SIGNATURE_HEADER: &str = "x-drive-agent-signature";

/// A receiver of messages.
pub(super) struct Webhook {
    address: Url,
    key: Option<hmac::Key>,
    client: Client,
}

impl Webhook {
    /// The receiver that the settings describe.
    pub(super) fn new(settings: &NotifySettings) -> Result<Self, String> {
        let name = &settings.name;
        let address = private_url(settings.webhook.as_deref().unwrap_or_default(), &format!("`webhook` of `notify` `{name}`"))?;
        let key = match &settings.secret_file {
            None => None,
            Some(path) => {
                let shown = path.display();
                let secret = std::fs::read_to_string(path)
                    .map_err(|error| format!("`secret_file` of `notify` `{name}`: `{shown}` cannot be read: {error}"))?;
                let secret = secret.trim();
                if secret.is_empty() {
                    return Err(format!("`secret_file` of `notify` `{name}`: `{shown}` is empty"));
                }
                Some(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
            }
        };
        // A redirect would take the message to somebody who was not named.
        let client = Client::builder().timeout(ANSWER_TIMEOUT).redirect(Policy::none()).build();
        Ok(Webhook { address, key, client: client.map_err(|error| error.to_string())? })
    }

    /// Posts a message; an answer of 2xx takes it.
    pub(super) async fn send(&self, message: &Message) -> Result<(), String> {
        let body = serde_json::to_vec(message).map_err(|error| error.to_string())?;
        let mut request = self.client.post(self.address.clone()).header("content-type", "application/json");
        if let Some(key) = &self.key {
            let signature = hex::encode(hmac::sign(key, &body).as_ref());
            request = request.header(SIGNATURE_HEADER, format!("sha256={signature}"));
        }
        // Without the address: it may be a secret.
        let answer = request.body(body).send().await.map_err(|error| error.without_url().to_string())?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(format!("it answered {}", answer.status())),
        }
    }
}
