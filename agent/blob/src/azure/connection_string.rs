//! What a connection string says of the blob service.

use std::collections::HashMap;

use azure_core::credentials::SecretBytes;
use base64::Engine;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::address::AzureAddress;
use crate::credential_error::CredentialError;
use crate::http::hosts::plain_path;

/// The variable that has it.
pub(super) const CONNECTION_STRING: &str = "AZURE_STORAGE_CONNECTION_STRING";

/// The account of the emulators, and its published key.
pub(super) const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_ENDPOINT: &str = "http://127.0.0.1:10000/devstoreaccount1";

/// A connection string, as far as it is about blobs.
pub(super) struct ConnectionString {
    pub(super) endpoint: Url,
    pub(super) account: String,
    pub(super) key: Option<SecretBytes>,
    pub(super) sas: Option<String>,
}

impl ConnectionString {
    pub(super) fn parse(text: &str) -> Result<Self, CredentialError> {
        let wrong = |what| Err(CredentialError::ConnectionString(what));
        let mut parts = HashMap::new();
        for part in text.split(';').filter(|part| !part.trim().is_empty()) {
            let (name, value) = part.split_once('=').ok_or(CredentialError::ConnectionString("a part of it has no `=`"))?;
            parts.insert(name.trim().to_lowercase(), value.trim().to_owned());
        }
        if parts.get("usedevelopmentstorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let emulator = [("accountname", EMULATOR_ACCOUNT), ("accountkey", EMULATOR_KEY), ("blobendpoint", EMULATOR_ENDPOINT)];
            parts = emulator.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        }
        let account_name = parts.get("accountname").cloned();
        let endpoint = match (parts.get("blobendpoint"), &account_name) {
            (Some(endpoint), _) => endpoint.trim_end_matches('/').to_owned(),
            (None, Some(account)) => {
                let scheme = parts.get("defaultendpointsprotocol").map_or("https", String::as_str);
                let suffix = parts.get("endpointsuffix").map_or("core.windows.net", String::as_str);
                format!("{scheme}://{account}.blob.{suffix}")
            }
            (None, None) => return wrong("it names neither AccountName nor BlobEndpoint"),
        };
        let endpoint = Url::parse(&endpoint).map_err(|_| CredentialError::ConnectionString("its BlobEndpoint is not a URL"))?;
        require_plain(&endpoint).map_err(CredentialError::ConnectionString)?;
        if account_name.as_deref().is_some_and(|account| !is_account(account)) {
            return wrong("its AccountName is not the name of an account");
        }
        let account = account_name.unwrap_or_else(|| account_of(&endpoint));
        let key = parts.get("accountkey").map(|key| decode_key(key, CONNECTION_STRING)).transpose()?;
        let sas = parts.get("sharedaccesssignature").map(|sas| sas.trim_start_matches('?').to_owned());
        Ok(ConnectionString { endpoint, account, key, sas })
    }

    /// The address as its account has it, where it is below the endpoint: which part of a URL is the container cannot be
    /// recognised by the URL alone.
    pub(super) fn address_of(&self, address: &AzureAddress) -> Option<AzureAddress> {
        let url = address.url();
        let rest = url.path().strip_prefix(&plain_path(&self.endpoint))?.strip_prefix('/')?;
        let (container, name) = rest.split_once('/').filter(|_| url.origin() == self.endpoint.origin())?;
        let decode = |part: &str| percent_decode_str(part).decode_utf8().ok().filter(|part| !part.is_empty()).map(String::from);
        Some(AzureAddress {
            endpoint: self.endpoint.clone(),
            account: self.account.clone(),
            container: decode(container)?,
            name: decode(name)?,
            past: address.past.clone(),
            sas: address.sas.clone(),
        })
    }
}

/// An endpoint is shown, and blobs' addresses begin with it: it has no query, which would be a secret, and nothing else of one.
fn require_plain(endpoint: &Url) -> Result<(), &'static str> {
    let has_user = !endpoint.username().is_empty() || endpoint.password().is_some();
    match () {
        () if endpoint.query().is_some() || endpoint.fragment().is_some() || has_user => {
            Err("its BlobEndpoint is more than an address: a SAS belongs into SharedAccessSignature")
        }
        () if !matches!(endpoint.scheme(), "http" | "https") => Err("its BlobEndpoint does not begin with https://"),
        () => Ok(()),
    }
}

/// Names of accounts have letters and digits; those of emulators may have more.
pub(super) fn is_account(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter))
}

/// The account of an endpoint: in its path where it has one, else in its host.
fn account_of(endpoint: &Url) -> String {
    let path = plain_path(endpoint);
    let in_path = path.rsplit('/').next().filter(|account| !account.is_empty());
    let in_host = || endpoint.host_str().and_then(|host| host.split('.').next());
    in_path.or_else(in_host).unwrap_or_default().to_owned()
}

pub(super) fn decode_key(key: &str, origin: &'static str) -> Result<SecretBytes, CredentialError> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(key).map_err(|_| CredentialError::Key(origin))?;
    Ok(SecretBytes::new(decoded))
}

/// Whether a key is the emulators', which is published.
pub(super) fn is_published(account: &str, key: &SecretBytes) -> bool {
    let published = base64::engine::general_purpose::STANDARD.decode(EMULATOR_KEY);
    account == EMULATOR_ACCOUNT && published.is_ok_and(|published| published == key.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::BlobAddress;

    fn address(connection: &str, text: &str) -> Option<(String, String, String)> {
        let BlobAddress::Azure(address) = BlobAddress::parse(text).unwrap() else { panic!("{text}") };
        let found = ConnectionString::parse(connection).unwrap().address_of(&address)?;
        assert_eq!(found.url(), address.url(), "no other blob");
        Some((found.account, found.container, found.name))
    }

    #[test]
    fn the_endpoint_says_where_the_container_begins() {
        let named = "AccountName=acme;AccountKey=a2V5;BlobEndpoint=";
        let wanted = |account: &str| Some((account.to_owned(), "c".to_owned(), "a b/n".to_owned()));
        for (endpoint, text, found) in [
            ("http://azurite:10000/acme", "http://azurite:10000/acme/c/a%20b/n", wanted("acme")),
            ("https://files.acme.example/", "https://files.acme.example/c/a%20b/n", wanted("acme")),
            ("https://files.acme.example", "https://other.acme.example/c/n", None),
            ("https://files.acme.example", "http://files.acme.example/c/n", None),
            ("http://azurite:10000/acme", "http://azurite:10001/acme/c/n", None),
            ("http://azurite:10000/acme", "http://azurite:10000/acme2/c/n", None),
        ] {
            assert_eq!(address(&format!("{named}{endpoint}"), text), found, "{endpoint} {text}");
        }
        let unnamed = "SharedAccessSignature=sig=x;BlobEndpoint=http://127.0.0.1:10000/acme";
        assert_eq!(address(unnamed, "http://127.0.0.1:10000/acme/c/a%20b/n"), wanted("acme"));
    }

    #[test]
    fn what_is_not_an_endpoint_is_refused() {
        for endpoint in ["ftp://a.example", "https://u:p@a.example", "https://a.example?x", "https://a.example#x", "a.example"] {
            let parsed = ConnectionString::parse(&format!("AccountName=a;AccountKey=a2V5;BlobEndpoint={endpoint}"));
            assert!(matches!(parsed, Err(CredentialError::ConnectionString(_))), "{endpoint}");
        }
    }
}
