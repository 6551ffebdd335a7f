//! Interactive login: the authorization code flow of OpenID Connect with PKCE (OpenID Connect Core 1.0, section 3.1;
//! RFC 7636). The browser goes to the issuer and comes back with a code, which is exchanged here for a token that is
//! checked like any other.

use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use time::OffsetDateTime;
use url::Url;

use super::fetch;
use super::pending::PendingSignIn;
use super::settings::{SignInSettings, is_private};
use super::token::Entra;
use crate::store::Actor;

/// Why a login failed: one sentence for the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignInError {
    /// It was begun elsewhere, or too long ago.
    #[error("this login was begun too long ago, or in another browser: log in again")]
    Unknown,
    /// The issuer did not do its part.
    #[error("the login service did not do its part ({0}): try again, or use a token")]
    Issuer(String),
    /// The account carries none of our roles.
    #[error("this account has no role here: ask an operator for one")]
    NoRole,
}

/// Where a login begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignInRedirect {
    /// Where the browser goes.
    pub(crate) location: String,
    /// What it has to bring back, and must remember in a cookie.
    pub(crate) state: String,
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

/// The form that exchanges a code for tokens (RFC 6749, section 4.1.3).
fn exchange(settings: &SignInSettings, begun: &PendingSignIn, code: &str, secret: Option<&str>) -> String {
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

impl Entra {
    /// Whether people may log in at the issuer.
    pub(crate) fn has_sign_in(&self) -> bool {
        self.settings.sign_in.is_some()
    }

    async fn discover(&self) -> Result<Discovery, SignInError> {
        let issuer = self.settings.issuer.trim_end_matches('/');
        let address = format!("{issuer}/.well-known/openid-configuration");
        let bytes = fetch::get(&self.client, &address).await.map_err(SignInError::Issuer)?;
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
    pub(crate) async fn begin_sign_in(&self, redirect: String) -> Result<SignInRedirect, SignInError> {
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
        self.sign_ins.remember(&state, PendingSignIn { at: Instant::now(), verifier, nonce, redirect });
        Ok(SignInRedirect { location: location.into(), state })
    }

    /// Exchanges the code that the browser brought back for a token, validates it, and returns when it ends.
    ///
    /// # Errors
    /// When the login was not begun here, the issuer refuses the code, or the account has no role.
    pub(crate) async fn complete_sign_in(&self, state: &str, code: &str) -> Result<(Actor, OffsetDateTime), SignInError> {
        let settings = self.settings.sign_in.as_ref().ok_or(SignInError::Unknown)?;
        let begun = self.sign_ins.take(state).ok_or(SignInError::Unknown)?;
        let secret = settings.client_secret_file.as_ref().map(std::fs::read_to_string).transpose();
        let secret = secret.map_err(|error| SignInError::Issuer(format!("the application's secret cannot be read: {error}")))?;
        let endpoint = self.discover().await?.token_endpoint;
        let form = exchange(settings, &begun, code, secret.as_deref());
        let bytes = fetch::post_form(&self.client, endpoint, form).await.map_err(SignInError::Issuer)?;
        let tokens: Tokens = serde_json::from_slice(&bytes).map_err(|error| SignInError::Issuer(error.to_string()))?;
        let claims = self.claims_of(&tokens.id_token, &settings.client_id).await;
        let claims = claims.filter(|claims| claims.nonce.as_deref() == Some(&begun.nonce));
        claims.ok_or_else(|| SignInError::Issuer("its token is not valid".to_owned()))?.actor().ok_or(SignInError::NoRole)
    }
}
