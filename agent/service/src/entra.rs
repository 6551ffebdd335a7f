//! Tokens of Entra ID: JSON Web Tokens that its key set signs.
//!
//! Good is a token that an RSA key of the set signed (RS256, whatever its header says), of the configured issuer, for
//! the configured audience, and not expired. The claim `roles` says what its bearer is: `drive-agent.operator`, or
//! `drive-agent.subscription.ID` for each subscription that is theirs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use crate::store::{Actor, Role};

/// The role of an operator.
const OPERATOR: &str = "drive-agent.operator";

/// What the role of a customer begins with; the subscription follows.
const SUBSCRIPTION: &str = "drive-agent.subscription.";

/// How long a key set is believed.
const KEYS_KEPT: Duration = Duration::from_secs(24 * 3600);

/// An unknown key asks for the set again, but not more often than this.
const KEYS_ASKED: Duration = Duration::from_secs(60);

/// How long a key set may take to come.
const KEYS_TIMEOUT: Duration = Duration::from_secs(10);

/// How far clocks may differ.
const LEEWAY_SECONDS: u64 = 60;

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntraSettings {
    /// `https://login.microsoftonline.com/TENANT/v2.0`
    pub issuer: String,
    /// The application's id.
    pub audience: String,
    /// The address of the key set; or a file with it, where the station may not reach it.
    pub jwks: String,
}

/// Checks tokens.
pub struct Entra {
    settings: EntraSettings,
    client: reqwest::Client,
    keys: Mutex<Option<Keys>>,
    /// When the key set was asked for last, whatever came of it.
    asked: Mutex<Option<Instant>>,
}

struct Keys {
    set: JwkSet,
    fetched: Instant,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    oid: Option<String>,
    sub: String,
}

impl Entra {
    /// Prepares to check; the key set is fetched when it is first needed.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(settings: EntraSettings) -> Result<Self, String> {
        let client = reqwest::Client::builder().timeout(KEYS_TIMEOUT).redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| error.without_url().to_string())?;
        Ok(Entra { settings, client, keys: Mutex::default(), asked: Mutex::default() })
    }

    /// Who bears a token; `None` where it is not good, or says nothing of us.
    pub async fn actor_of(&self, token: &str) -> Option<Actor> {
        let key_id = decode_header(token).ok()?.kid?;
        let key = match self.known_key(&key_id, KEYS_KEPT) {
            Some(key) => key,
            None => {
                self.refresh().await;
                self.known_key(&key_id, KEYS_KEPT)?
            }
        };
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS;
        let claims = decode::<Claims>(token, &key, &validation).ok()?.claims;
        let role = match claims.roles.iter().any(|role| role == OPERATOR) {
            true => Role::Operator,
            false => {
                let own: Vec<String> =
                    claims.roles.iter().filter_map(|role| role.strip_prefix(SUBSCRIPTION)).map(str::to_owned).collect();
                Role::Customer(Some(own).filter(|own| !own.is_empty())?)
            }
        };
        // The audit log outlives everything: no names of people.
        let name = claims.oid.unwrap_or(claims.sub);
        Some(Actor { name: format!("entra:{name}"), role })
    }

    fn known_key(&self, id: &str, kept: Duration) -> Option<DecodingKey> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = keys.as_ref().filter(|keys| keys.fetched.elapsed() < kept)?;
        DecodingKey::from_jwk(keys.set.find(id)?).ok()
    }

    /// Fetches the key set, unless that was done a moment ago.
    async fn refresh(&self) {
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some_and(|asked| asked.elapsed() < KEYS_ASKED) {
                return;
            }
            *asked = Some(Instant::now());
        }
        match self.fetch().await {
            Ok(set) => {
                let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
                *keys = Some(Keys { set, fetched: Instant::now() });
            }
            Err(error) => tracing::warn!(error, "the key set of Entra ID could not be had"),
        }
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let jwks = &self.settings.jwks;
        if !jwks.contains("://") {
            let text = std::fs::read_to_string(jwks).map_err(|error| error.to_string())?;
            return serde_json::from_str(&text).map_err(|error| error.to_string());
        }
        let shown = |error: reqwest::Error| error.without_url().to_string();
        let answer = self.client.get(jwks).send().await.and_then(reqwest::Response::error_for_status).map_err(shown)?;
        let bytes = answer.bytes().await.map_err(shown)?;
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }
}
