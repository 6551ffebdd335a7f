//! A service account: the file of its key, and whether a token was signed with it.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The account.
pub const EMAIL: &str = "agent@project.iam.gserviceaccount.com";

pub(super) struct Identity {
    key: KeyPair,
}

impl Identity {
    /// One for the whole process: to make a key takes a while.
    pub(super) fn shared() -> &'static Self {
        static IDENTITY: OnceLock<Identity> = OnceLock::new();
        IDENTITY.get_or_init(|| Identity { key: KeyPair::generate(KeySize::Rsa2048).unwrap() })
    }

    /// What Google gives for a key, as far as it matters.
    pub(super) fn key_file(&self) -> String {
        let der: Pkcs8V1Der<'_> = self.key.as_der().unwrap();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der.as_ref()));
        let file = json!({ "type": "service_account", "project_id": "project", "private_key_id": "key-1", "private_key": pem,
            "client_email": EMAIL, "token_uri": "https://oauth2.googleapis.com/token" });
        file.to_string()
    }

    /// Whether a token is one of the account's, and is good now.
    pub(super) fn accepts(&self, token: &str) -> bool {
        let Some((message, signature)) = token.rsplit_once('.') else { return false };
        let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return false };
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key().as_ref());
        let claims = message.split_once('.').and_then(|(_, claims)| BASE64_URL_SAFE_NO_PAD.decode(claims).ok());
        let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let is_now =
            claims["iat"].as_u64().is_some_and(|begin| begin <= now) && claims["exp"].as_u64().is_some_and(|end| end > now);
        let is_for_storage = claims["scope"].as_str().is_some_and(|scope| scope.contains("/auth/"));
        public.verify(message.as_bytes(), &signature).is_ok() && claims["iss"] == EMAIL && is_now && is_for_storage
    }
}
