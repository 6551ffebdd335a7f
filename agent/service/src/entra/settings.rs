//! Settings of Entra ID.

use std::path::PathBuf;

use protocol::host::is_loopback;
use serde::Deserialize;
use url::Url;

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
    /// How people log in to the portal with it; with a pasted token alone, where it is absent.
    pub sign_in: Option<SignInSettings>,
}

impl EntraSettings {
    /// Refuses addresses over which others could give keys, or read secrets, on the way.
    ///
    /// # Errors
    /// With one sentence that names the setting.
    pub(super) fn check(&self) -> Result<(), String> {
        let jwks = Some(&self.jwks).filter(|jwks| jwks.contains("://"));
        for (name, address) in std::iter::once(("issuer", &self.issuer)).chain(jwks.map(|jwks| ("jwks", jwks))) {
            let url = Url::parse(address).map_err(|error| format!("`entra.{name}` is not a URL: {error}"))?;
            if !is_private(&url) {
                return Err(format!("`entra.{name}` is `{address}`, which others can change on the way: use https://"));
            }
        }
        Ok(())
    }
}

/// Whether what is sent there cannot be read or changed on the way.
pub(super) fn is_private(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => url.host_str().is_some_and(is_loopback),
        _ => false,
    }
}

/// How people log in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInSettings {
    /// The application's id, which the issuer gives for tokens of people.
    pub client_id: String,
    /// A file with the application's secret; without one the application is a public one.
    pub client_secret_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_keys_go_over_tls_or_stay_on_the_machine() {
        let is = |text: &str| is_private(&Url::parse(text).unwrap());
        assert!(
            is("https://login.example.com/x") && is("http://127.0.0.1:1/x") && is("http://[::1]/") && is("http://localhost/")
        );
        assert!(!is("http://login.example.com/x") && !is("http://10.0.0.1/") && !is("ftp://127.0.0.1/"));
    }

    #[test]
    fn issuer_and_key_set_are_private_or_a_file() {
        let check = |issuer: &str, jwks: &str| {
            let (issuer, jwks) = (issuer.to_owned(), jwks.to_owned());
            EntraSettings { issuer, audience: "a".to_owned(), jwks, sign_in: None }.check()
        };
        for (issuer, jwks) in [
            ("https://login.example/t/v2.0", "https://login.example/keys"),
            ("https://login.example/t/v2.0", "/etc/drive-agent/keys.json"),
            ("http://127.0.0.1:1/t", "http://[::1]:1/keys"),
        ] {
            assert_eq!(check(issuer, jwks), Ok(()), "{issuer} {jwks}");
        }
        for (issuer, jwks, name) in [
            ("http://login.example/t", "keys.json", "entra.issuer"),
            ("login.example", "keys.json", "entra.issuer"),
            ("https://login.example/t", "http://login.example/keys", "entra.jwks"),
            ("https://login.example/t", "http://127.0.0.1.login.example/keys", "entra.jwks"),
            ("https://login.example/t", "file:///etc/keys.json", "entra.jwks"),
            ("https://login.example/t", "https://", "entra.jwks"),
        ] {
            assert!(check(issuer, jwks).unwrap_err().contains(name), "{issuer} {jwks}");
        }
    }
}
