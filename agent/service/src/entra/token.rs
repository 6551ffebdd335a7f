//! Tokens of Entra ID: JSON Web Tokens that its key set signs.
//!
//! Valid is a token that an RSA key of the set signed (RS256, whatever its header says), of the configured issuer, for
//! the configured audience, not expired, and without a header that has to be understood (`crit`): we understand none. The claim `roles` says what its owner is: `drive-agent.operator`, or
//! `drive-agent.subscription.ID` for each subscription that is theirs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use time::OffsetDateTime;

use super::fetch;
use super::pending::PendingSignIns;
use super::settings::EntraSettings;
use crate::store::{Actor, Role};

/// The role of an operator.
const OPERATOR: &str = "drive-agent.operator";

/// What the role of a customer begins with; the subscription follows.
const SUBSCRIPTION: &str = "drive-agent.subscription.";

/// How long a key set is used.
const KEYS_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The shortest time between two fetches of the key set, which an unknown key causes.
const KEYS_REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// How far clocks may differ.
const LEEWAY_SECONDS: u64 = 60;

/// Validates tokens of one issuer.
pub struct Entra {
    pub(super) settings: EntraSettings,
    pub(super) client: reqwest::Client,
    keys: Mutex<Option<Keys>>,
    /// When the key set was last fetched, or its fetch failed.
    asked: Mutex<Option<Instant>>,
    pub(super) sign_ins: PendingSignIns,
}

struct Keys {
    set: JwkSet,
    fetched: Instant,
}

#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    oid: Option<String>,
    sub: String,
    /// When the token ends, in seconds since 1970.
    exp: i64,
    #[serde(default)]
    pub(super) nonce: Option<String>,
}

impl Claims {
    /// The actor, and when the token ends; `None` if no role of ours is claimed.
    pub(super) fn actor(self) -> Option<(Actor, OffsetDateTime)> {
        let expires_at = OffsetDateTime::from_unix_timestamp(self.exp).ok()?;
        let role = match self.roles.iter().any(|role| role == OPERATOR) {
            true => Role::Operator,
            false => {
                let own: Vec<String> =
                    self.roles.iter().filter_map(|role| role.strip_prefix(SUBSCRIPTION)).map(str::to_owned).collect();
                Role::Customer(Some(own).filter(|own| !own.is_empty())?)
            }
        };
        // The audit log outlives everything: no names of people.
        let name = self.oid.unwrap_or(self.sub);
        Some((Actor { name: format!("entra:{name}"), role }, expires_at))
    }
}

impl Entra {
    /// Prepares to check; the key set is fetched when it is first needed.
    ///
    /// # Errors
    /// When an address of the settings is not private, or no HTTP client can be made.
    pub fn new(settings: EntraSettings) -> Result<Self, String> {
        settings.check()?;
        let client = fetch::client()?;
        Ok(Entra { settings, client, keys: Mutex::default(), asked: Mutex::default(), sign_ins: PendingSignIns::default() })
    }

    /// Validates a token, and returns when it ends; `None` if it is invalid or carries none of our roles.
    pub(crate) async fn actor_of(&self, token: &str) -> Option<(Actor, OffsetDateTime)> {
        self.claims_of(token, &self.settings.audience).await?.actor()
    }

    /// The claims of a token for `audience`; `None` if it is invalid.
    pub(super) async fn claims_of(&self, token: &str, audience: &str) -> Option<Claims> {
        if has_critical_header(token)? {
            return None;
        }
        let key_id = decode_header(token).ok()?.kid?;
        let key = match self.known_key(&key_id, KEYS_LIFETIME) {
            Some(key) => key,
            None => {
                self.refresh().await;
                self.known_key(&key_id, KEYS_LIFETIME)?
            }
        };
        verified(token, &key, &self.settings.issuer, audience)
    }

    fn known_key(&self, id: &str, kept: Duration) -> Option<DecodingKey> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = keys.as_ref().filter(|keys| keys.fetched.elapsed() < kept)?;
        key_of(&keys.set, id)
    }

    /// Fetches the key set, unless that was done a moment ago.
    async fn refresh(&self) {
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some_and(|asked| asked.elapsed() < KEYS_REFRESH_INTERVAL) {
                return;
            }
            *asked = Some(Instant::now());
        }
        match self.key_set().await {
            Ok(set) => {
                let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
                *keys = Some(Keys { set, fetched: Instant::now() });
            }
            Err(error) => tracing::warn!(error, "the key set of Entra ID could not be fetched"),
        }
    }

    async fn key_set(&self) -> Result<JwkSet, String> {
        let jwks = &self.settings.jwks;
        let bytes = match jwks.contains("://") {
            true => fetch::get(&self.client, jwks).await?,
            false => fetch::read_file(jwks).map_err(|error| error.to_string())?,
        };
        keys_of(&bytes)
    }
}

/// Whether the header of a token names others that have to be understood (RFC 7515, section 4.1.11); `None` where it has
/// no header.
fn has_critical_header(token: &str) -> Option<bool> {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&header).ok()?;
    Some(header.contains_key("crit"))
}

/// Understands a key set.
fn keys_of(bytes: &[u8]) -> Result<JwkSet, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn key_of(set: &JwkSet, id: &str) -> Option<DecodingKey> {
    DecodingKey::from_jwk(set.find(id)?).ok()
}

/// The claims of a token that this key signed, of this issuer, for this audience, and not expired.
fn verified(token: &str, key: &DecodingKey, issuer: &str, audience: &str) -> Option<Claims> {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_nbf = true;
    validation.leeway = LEEWAY_SECONDS;
    decode::<Claims>(token, key, &validation).ok().map(|token| token.claims)
}

/// Whose a token is, for fuzz targets: the key set is given, and not fetched.
pub(crate) fn actor_by_keys(keys: &[u8], token: &str, issuer: &str, audience: &str) -> Option<Actor> {
    let id = decode_header(token).ok()?.kid?;
    let key = key_of(&keys_of(keys).ok()?, &id)?;
    verified(token, &key, issuer, audience)?.actor().map(|(actor, _)| actor)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;

    struct Issuer {
        key: EncodingKey,
        jwk: Value,
    }

    /// An issuer that signs with a key of this name.
    fn issuer(id: &str) -> Issuer {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public = pair.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()) });
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            base64::engine::general_purpose::STANDARD.encode(der.as_ref())
        );
        Issuer { key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), jwk }
    }

    fn claims() -> Value {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        json!({ "iss": "https://issuer", "aud": "drive-agent", "sub": "a-user", "oid": "4711", "nbf": now - 10, "exp": now + 600,
            "roles": ["drive-agent.subscription.s-1"] })
    }

    fn token(issuer: &Issuer, id: &str, claims: &Value) -> String {
        let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::RS256) };
        encode(&header, claims, &issuer.key).unwrap()
    }

    /// A token with this header, as it stands.
    fn signed(issuer: &Issuer, header: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(&claims()));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &issuer.key, Algorithm::RS256).unwrap();
        format!("{message}.{signature}")
    }

    #[tokio::test]
    async fn only_good_tokens_are_good() {
        let (own, other) = (issuer("key-1"), issuer("key-1"));
        let folder = tempfile::tempdir().unwrap();
        let jwks = folder.path().join("keys.json");
        std::fs::write(&jwks, json!({ "keys": [own.jwk] }).to_string()).unwrap();
        let settings = EntraSettings {
            issuer: "https://issuer".to_owned(),
            audience: "drive-agent".to_owned(),
            jwks: jwks.display().to_string(),
            sign_in: None,
        };
        let entra = Entra::new(settings).unwrap();
        let given = claims();
        let (customer, ends) = entra.actor_of(&token(&own, "key-1", &given)).await.unwrap();
        assert_eq!(Value::from(ends.unix_timestamp()), given["exp"], "a session of it ends then");
        assert_eq!((customer.name.as_str(), customer.role), ("entra:4711", Role::Customer(vec!["s-1".to_owned()])));
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            claims
        };
        let (operator, _) = entra.actor_of(&token(&own, "key-1", &with("roles", json!(["drive-agent.operator"])))).await.unwrap();
        assert_eq!(operator.role, Role::Operator);
        for (name, value) in [
            ("iss", json!("https://other")),
            ("aud", json!("other")),
            ("exp", json!(1_000_000_000)),
            ("nbf", json!(4_000_000_000_u64)),
            ("roles", json!(["another.role"])),
        ] {
            assert!(entra.actor_of(&token(&own, "key-1", &with(name, value))).await.is_none(), "{name}");
        }
        assert!(entra.actor_of(&token(&other, "key-1", &claims())).await.is_none(), "signed with another key");
        assert!(entra.actor_of(&token(&own, "key-2", &claims())).await.is_none(), "an unknown key");
        // A header that has to be understood, and is not. It is signed as it stands.
        for critical in [json!(["exp"]), json!(["b64"]), json!([]), json!(null)] {
            let header = json!({ "alg": "RS256", "kid": "key-1", "crit": critical, "b64": true, "exp": 4_000_000_000_u64 });
            assert!(entra.actor_of(&signed(&own, &header)).await.is_none(), "{critical}");
        }
        let plain = json!({ "alg": "RS256", "kid": "key-1", "typ": "JWT" });
        assert!(entra.actor_of(&signed(&own, &plain)).await.is_some(), "the same without it");
        // The algorithm of the header is not believed.
        let header = Header { kid: Some("key-1".to_owned()), ..Header::new(Algorithm::HS256) };
        let modulus = own.jwk["n"].as_str().unwrap().as_bytes();
        let forged = encode(&header, &claims(), &EncodingKey::from_secret(modulus)).unwrap();
        assert!(entra.actor_of(&forged).await.is_none());
        let unsigned = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode("{\"alg\":\"none\",\"kid\":\"key-1\"}"),
            URL_SAFE_NO_PAD.encode(claims().to_string())
        );
        assert!(entra.actor_of(&unsigned).await.is_none());
    }
}
