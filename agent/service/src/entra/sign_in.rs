//! Interactive login: the authorization code flow of OpenID Connect with PKCE (OpenID Connect Core 1.0, section 3.1;
//! RFC 7636). The browser goes to the issuer and comes back with a code, which is exchanged here for a token that is
//! checked like any other.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use url::Url;

use super::Entra;
use crate::store::Actor;

/// Logins that were begun and are not over: what comes back later, or when there are more, has to begin again.
const LOGINS_MAX: usize = 1000;

/// How long somebody may take at the issuer.
pub const LOGIN_LASTS: Duration = Duration::from_secs(600);

/// How people log in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInSettings {
    /// The application's id, which the issuer gives for tokens of people.
    pub client_id: String,
    /// A file with the application's secret; without one the application is a public one.
    pub client_secret_file: Option<PathBuf>,
}

/// Why nobody was logged in: one sentence for who tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// It was begun elsewhere, or too long ago.
    #[error("this login was begun too long ago, or in another browser: begin again")]
    Unknown,
    /// The issuer did not do its part.
    #[error("the login service did not do its part ({0}): try again, or use a token")]
    Issuer(String),
    /// Nobody may do anything with this account here.
    #[error("this account has no role here: ask an operator for one")]
    NoRole,
}

/// Logins under way.
#[derive(Default)]
pub(super) struct SignIns {
    begun: Mutex<HashMap<String, Begun>>,
}

struct Begun {
    at: Instant,
    verifier: String,
    nonce: String,
    redirect: String,
}

/// A login that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Where the browser goes.
    pub location: String,
    /// What it has to bring back, and must remember too.
    pub state: String,
}

/// What an issuer says of itself (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

fn random() -> String {
    let bytes = [rand::random::<u128>().to_ne_bytes(), rand::random::<u128>().to_ne_bytes()].concat();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Whether nobody on the way can read what is sent there.
fn is_private(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

/// The form that exchanges a code for tokens (RFC 6749, section 4.1.3).
fn exchange(settings: &SignInSettings, begun: &Begun, code: &str, secret: Option<&str>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([
        ("grant_type", "authorization_code"),
        ("client_id", &settings.client_id),
        ("code", code),
        ("redirect_uri", &begun.redirect),
        ("code_verifier", &begun.verifier),
    ]);
    form.extend_pairs(secret.map(|secret| ("client_secret", secret.trim())));
    form.finish()
}

impl SignIns {
    fn remember(&self, state: &str, begun: Begun) {
        let mut all = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, begun| begun.at.elapsed() < LOGIN_LASTS);
        if all.len() >= LOGINS_MAX {
            let oldest = all.iter().min_by_key(|(_, begun)| begun.at).map(|(state, _)| state.clone());
            oldest.and_then(|state| all.remove(&state));
        }
        all.insert(state.to_owned(), begun);
    }

    /// Once only.
    fn take(&self, state: &str) -> Option<Begun> {
        let mut all = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(state).filter(|begun| begun.at.elapsed() < LOGIN_LASTS)
    }
}

impl Entra {
    /// Whether people may log in at the issuer.
    pub fn has_sign_in(&self) -> bool {
        self.settings.sign_in.is_some()
    }

    async fn discover(&self) -> Result<Discovery, SignInError> {
        let issuer = self.settings.issuer.trim_end_matches('/');
        let bytes = self.fetch(&format!("{issuer}/.well-known/openid-configuration")).await.map_err(SignInError::Issuer)?;
        let found: Discovery = serde_json::from_slice(&bytes).map_err(|error| SignInError::Issuer(error.to_string()))?;
        if found.issuer != self.settings.issuer {
            return Err(SignInError::Issuer("it calls itself by another name".to_owned()));
        }
        if ![&found.authorization_endpoint, &found.token_endpoint].into_iter().all(is_private) {
            return Err(SignInError::Issuer("its addresses are not private".to_owned()));
        }
        Ok(found)
    }

    /// Begins a login that comes back to `redirect`.
    ///
    /// # Errors
    /// When the issuer cannot be reached, or no login is configured.
    pub async fn depart(&self, redirect: String) -> Result<Departure, SignInError> {
        let settings = self.settings.sign_in.as_ref().ok_or(SignInError::Unknown)?;
        let mut location = self.discover().await?.authorization_endpoint;
        let (state, verifier, nonce) = (random(), random(), random());
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        location.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("response_mode", "query"),
            ("client_id", &settings.client_id),
            ("redirect_uri", &redirect),
            ("scope", "openid profile"),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        self.sign_ins.remember(&state, Begun { at: Instant::now(), verifier, nonce, redirect });
        Ok(Departure { location: location.into(), state })
    }

    /// Who came back with a code.
    ///
    /// # Errors
    /// When the login was not begun here, the issuer refuses the code, or the account has no role.
    pub async fn arrive(&self, state: &str, code: &str) -> Result<Actor, SignInError> {
        let settings = self.settings.sign_in.as_ref().ok_or(SignInError::Unknown)?;
        let begun = self.sign_ins.take(state).ok_or(SignInError::Unknown)?;
        let secret = settings.client_secret_file.as_ref().map(std::fs::read_to_string).transpose();
        let secret = secret.map_err(|error| SignInError::Issuer(format!("the application's secret cannot be read: {error}")))?;
        let endpoint = self.discover().await?.token_endpoint;
        let form = exchange(settings, &begun, code, secret.as_deref());
        let request = self.client.post(endpoint).header("content-type", "application/x-www-form-urlencoded").body(form);
        let shown = |error: reqwest::Error| SignInError::Issuer(error.without_url().to_string());
        let answer = request.send().await.and_then(reqwest::Response::error_for_status).map_err(shown)?;
        let bytes = answer.bytes().await.map_err(shown)?;
        let tokens: Tokens = serde_json::from_slice(&bytes).map_err(|error| SignInError::Issuer(error.to_string()))?;
        let claims = self.claims_of(&tokens.id_token, &settings.client_id).await;
        let claims = claims.filter(|claims| claims.nonce.as_deref() == Some(&begun.nonce));
        claims.ok_or_else(|| SignInError::Issuer("its token is not good".to_owned()))?.actor().ok_or(SignInError::NoRole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(age: Duration) -> Begun {
        let at = Instant::now().checked_sub(age).unwrap();
        Begun { at, verifier: String::new(), nonce: String::new(), redirect: String::new() }
    }

    #[test]
    fn a_login_comes_back_once_and_in_time() {
        let all = SignIns::default();
        all.remember("a", begun(Duration::ZERO));
        assert!(all.take("a").is_some() && all.take("a").is_none());
        all.remember("old", begun(LOGIN_LASTS));
        assert!(all.take("old").is_none());
        for number in 0..LOGINS_MAX + 10 {
            all.remember(&number.to_string(), begun(Duration::ZERO));
        }
        assert_eq!(all.begun.lock().unwrap().len(), LOGINS_MAX);
    }

    #[test]
    fn secrets_go_only_where_nobody_reads_them() {
        let is = |text: &str| is_private(&Url::parse(text).unwrap());
        assert!(is("https://login.example.com/x") && is("http://127.0.0.1:1/x") && is("http://[::1]/"));
        assert!(!is("http://login.example.com/x") && !is("http://10.0.0.1/") && !is("ftp://127.0.0.1/"));
    }
}
