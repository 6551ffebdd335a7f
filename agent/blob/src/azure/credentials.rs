//! Which credentials reach an account.
//!
//! A signature in the address comes first: it was written there to be used. Then the environment, as the
//! `az` command takes it: AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with
//! AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN. Else Entra ID: a client secret or a workload's token
//! file from the environment, a managed identity, or the user who is logged in to `az`.

use std::collections::HashMap;
use std::sync::Arc;

use azure_core::credentials::{Secret, SecretBytes, TokenCredential};
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{
    AzureCliCredential, ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
};
use base64::Engine;
use url::Url;

use super::transport::TransportError;
use crate::address::{AzureAddress, BlobAddress};

/// Why no credentials could be had. Never carries one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A text that is not a connection string.
    #[error("AZURE_STORAGE_CONNECTION_STRING cannot be used: {0}")]
    ConnectionString(&'static str),
    /// A key that is not base64.
    #[error("the account key in {0} is not base64: copy it whole")]
    Key(&'static str),
    /// `az://` without an account.
    #[error("an az:// address needs an account: set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT")]
    NoAccount,
    /// Tokens are not sent in the clear.
    #[error(
        "there are no credentials for the account `{0}`, and Entra ID is only for https: set AZURE_STORAGE_CONNECTION_STRING, or \
         AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or put a SAS into the address"
    )]
    None(String),
    /// TLS cannot be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The identity library refused.
    #[error("Entra ID cannot be used: {0}")]
    Entra(String),
}

/// The variables that matter, taken from the environment once.
#[derive(Clone, Default)]
pub struct Environment {
    variables: HashMap<&'static str, String>,
}

const NAMES: [&str; 9] = [
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "IDENTITY_ENDPOINT",
];

/// How requests to an account are authorized.
pub(super) enum Proof {
    /// The signature is in every URL.
    Sas(String),
    SharedKey {
        account: String,
        key: SecretBytes,
    },
    Entra(Arc<dyn TokenCredential>),
}

impl Environment {
    /// Reads the process's environment. Empty variables count as absent.
    pub fn from_process() -> Self {
        let variables = NAMES
            .iter()
            .filter_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()).map(|value| (*name, value)))
            .collect();
        Environment { variables }
    }

    /// Takes the same variables from a text of `NAME=value` lines, such as an environment file of systemd. Empty lines
    /// and lines that begin with `#` count as absent.
    ///
    /// # Errors
    /// With the number of the first line that is none of these; never with its text.
    pub fn from_text(text: &str) -> Result<Self, usize> {
        let mut variables = HashMap::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or(index + 1)?;
            let name = NAMES.iter().find(|known| **known == name.trim()).ok_or(index + 1)?;
            let value = value.trim().trim_matches('"');
            if !value.is_empty() {
                variables.insert(*name, value.to_owned());
            }
        }
        Ok(Environment { variables })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Fills in the account of an `az://` address; other addresses stay.
    pub fn resolve(&self, address: BlobAddress) -> Result<BlobAddress, CredentialError> {
        let BlobAddress::AzureOfEnvironment { container, name } = address else {
            return Ok(address);
        };
        let (endpoint, account) = match self.connection_string()? {
            Some(connection) => (connection.endpoint, connection.account),
            None => {
                let account = self.get("AZURE_STORAGE_ACCOUNT").ok_or(CredentialError::NoAccount)?.to_owned();
                let endpoint = Url::parse(&format!("https://{account}.blob.core.windows.net"));
                (endpoint.ok().filter(|_| is_account(&account)).ok_or(CredentialError::NoAccount)?, account)
            }
        };
        Ok(BlobAddress::Azure(AzureAddress { endpoint, account, container, name, sas: None }))
    }

    /// How requests to the account of `address` are authorized.
    pub(super) fn proof_for(&self, address: &AzureAddress, transport: &Transport) -> Result<Proof, CredentialError> {
        if let Some(sas) = &address.sas {
            return Ok(Proof::Sas(sas.clone()));
        }
        if let Some(connection) = self.connection_string()?.filter(|connection| connection.account == address.account) {
            if let Some(key) = connection.key {
                return Ok(Proof::SharedKey { account: connection.account, key });
            }
            if let Some(sas) = connection.sas {
                return Ok(Proof::Sas(sas));
            }
        }
        let account = self.get("AZURE_STORAGE_ACCOUNT").filter(|account| *account == address.account);
        if let Some(account) = account {
            if let Some(key) = self.get("AZURE_STORAGE_KEY") {
                return Ok(Proof::SharedKey { account: account.to_owned(), key: decode_key(key, "AZURE_STORAGE_KEY")? });
            }
            if let Some(sas) = self.get("AZURE_STORAGE_SAS_TOKEN") {
                return Ok(Proof::Sas(sas.trim_start_matches('?').to_owned()));
            }
        }
        if address.endpoint.scheme() != "https" {
            return Err(CredentialError::None(address.account.clone()));
        }
        self.entra(transport).map(Proof::Entra)
    }

    fn entra(&self, transport: &Transport) -> Result<Arc<dyn TokenCredential>, CredentialError> {
        let refused = |error: azure_core::Error| CredentialError::Entra(error.to_string());
        let client_options = ClientOptions { transport: Some(transport.clone()), ..Default::default() };
        let (tenant, client) = (self.get("AZURE_TENANT_ID"), self.get("AZURE_CLIENT_ID"));
        if let (Some(tenant), Some(client), Some(secret)) = (tenant, client, self.get("AZURE_CLIENT_SECRET")) {
            let options = ClientSecretCredentialOptions { client_options };
            let secret = Secret::new(secret.to_owned());
            let credential = ClientSecretCredential::new(tenant, client.to_owned(), secret, Some(options)).map_err(refused)?;
            return Ok(credential);
        }
        if self.get("AZURE_FEDERATED_TOKEN_FILE").is_some() {
            let credential = WorkloadIdentityCredential::new(None).map_err(refused)?;
            return Ok(credential);
        }
        if self.get("IDENTITY_ENDPOINT").is_some() || client.is_some() {
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: client.map(|client| UserAssignedId::ClientId(client.to_owned())),
                client_options,
            };
            let credential = ManagedIdentityCredential::new(Some(options)).map_err(refused)?;
            return Ok(credential);
        }
        let credential = AzureCliCredential::new(None).map_err(refused)?;
        Ok(credential)
    }

    fn connection_string(&self) -> Result<Option<ConnectionString>, CredentialError> {
        self.get("AZURE_STORAGE_CONNECTION_STRING").map(ConnectionString::parse).transpose()
    }
}

/// What a connection string says of the blob service.
struct ConnectionString {
    endpoint: Url,
    account: String,
    key: Option<SecretBytes>,
    sas: Option<String>,
}

/// The published account and key of the emulators.
const EMULATOR: &str = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1";

impl ConnectionString {
    fn parse(text: &str) -> Result<Self, CredentialError> {
        let mut parts = HashMap::new();
        for part in text.split(';').filter(|part| !part.trim().is_empty()) {
            let (name, value) = part.split_once('=').ok_or(CredentialError::ConnectionString("a part of it has no `=`"))?;
            parts.insert(name.trim().to_lowercase(), value.trim().to_owned());
        }
        if parts.get("usedevelopmentstorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Self::parse(EMULATOR);
        }
        let account_name = parts.get("accountname").cloned();
        let endpoint = match (parts.get("blobendpoint"), &account_name) {
            (Some(endpoint), _) => endpoint.trim_end_matches('/').to_owned(),
            (None, Some(account)) => {
                let scheme = parts.get("defaultendpointsprotocol").map_or("https", String::as_str);
                let suffix = parts.get("endpointsuffix").map_or("core.windows.net", String::as_str);
                format!("{scheme}://{account}.blob.{suffix}")
            }
            (None, None) => {
                return Err(CredentialError::ConnectionString("it names neither AccountName nor BlobEndpoint"));
            }
        };
        let endpoint = Url::parse(&endpoint).map_err(|_| CredentialError::ConnectionString("its BlobEndpoint is not a URL"))?;
        require_plain(&endpoint).map_err(CredentialError::ConnectionString)?;
        if account_name.as_deref().is_some_and(|account| !is_account(account)) {
            return Err(CredentialError::ConnectionString("its AccountName is not the name of an account"));
        }
        let account = match account_name {
            Some(account) => account,
            None => endpoint.host_str().and_then(|host| host.split('.').next()).unwrap_or_default().to_owned(),
        };
        let key = parts.get("accountkey").map(|key| decode_key(key, "AZURE_STORAGE_CONNECTION_STRING")).transpose()?;
        let sas = parts.get("sharedaccesssignature").map(|sas| sas.trim_start_matches('?').to_owned());
        Ok(ConnectionString { endpoint, account, key, sas })
    }
}

/// An endpoint is shown, and blobs' addresses begin with it: it has no query, which would be a secret, and nothing else of one.
fn require_plain(endpoint: &Url) -> Result<(), &'static str> {
    let has_user = !endpoint.username().is_empty() || endpoint.password().is_some();
    match endpoint.query().is_some() || endpoint.fragment().is_some() || has_user || endpoint.cannot_be_a_base() {
        true => Err("its BlobEndpoint is more than an address: a SAS belongs into SharedAccessSignature"),
        false => Ok(()),
    }
}

/// Names of accounts have letters and digits; those of emulators may have more.
fn is_account(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter))
}

fn decode_key(key: &str, origin: &'static str) -> Result<SecretBytes, CredentialError> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(key).map_err(|_| CredentialError::Key(origin))?;
    Ok(SecretBytes::new(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&'static str, &str)]) -> Environment {
        Environment { variables: variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect() }
    }

    fn resolved(environment: &Environment, text: &str) -> Result<AzureAddress, CredentialError> {
        match environment.resolve(BlobAddress::parse(text).unwrap())? {
            BlobAddress::Azure(address) => Ok(address),
            other => panic!("{other:?}"),
        }
    }

    fn proof(environment: &Environment, text: &str) -> Result<Proof, CredentialError> {
        let transport = Transport::new(Arc::new(reqwest::Client::new()));
        environment.proof_for(&resolved(environment, text)?, &transport)
    }

    #[test]
    fn an_az_address_takes_its_account_from_the_environment() {
        let account = environment(&[("AZURE_STORAGE_ACCOUNT", "acme")]);
        assert_eq!(resolved(&account, "az://c/a b").unwrap().url().as_str(), "https://acme.blob.core.windows.net/c/a%20b");
        let emulator = environment(&[("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")]);
        assert_eq!(resolved(&emulator, "az://c/n").unwrap().url().as_str(), "http://127.0.0.1:10000/devstoreaccount1/c/n");
        assert_eq!(resolved(&environment(&[]), "az://c/n").unwrap_err(), CredentialError::NoAccount);
    }

    #[test]
    fn an_endpoint_is_no_place_for_a_signature() {
        for text in [
            "BlobEndpoint=https://acme.blob.core.windows.net/?sv=1&sig=SECRET",
            "BlobEndpoint=https://u:SECRET@acme.blob.core.windows.net",
            "AccountName=acme?sig=SECRET;AccountKey=U0VDUkVU",
        ] {
            let error = resolved(&environment(&[("AZURE_STORAGE_CONNECTION_STRING", text)]), "az://c/n").unwrap_err();
            assert!(matches!(error, CredentialError::ConnectionString(_)) && !error.to_string().contains("SECRET"), "{error}");
        }
        let account = environment(&[("AZURE_STORAGE_ACCOUNT", "acme?sig=SECRET")]);
        assert_eq!(resolved(&account, "az://c/n").unwrap_err(), CredentialError::NoAccount);
    }

    #[test]
    fn the_nearest_credential_wins() {
        let key = environment(&[("AZURE_STORAGE_ACCOUNT", "acme"), ("AZURE_STORAGE_KEY", "a2V5")]);
        assert!(matches!(proof(&key, "https://acme.blob.core.windows.net/c/n"), Ok(Proof::SharedKey { .. })));
        assert!(matches!(proof(&key, "https://acme.blob.core.windows.net/c/n?sig=x"), Ok(Proof::Sas(_))));
        let sas = environment(&[("AZURE_STORAGE_ACCOUNT", "acme"), ("AZURE_STORAGE_SAS_TOKEN", "?sig=y")]);
        assert!(matches!(proof(&sas, "https://acme.blob.core.windows.net/c/n"), Ok(Proof::Sas(sas)) if sas == "sig=y"));
    }

    #[test]
    fn a_key_is_never_used_for_another_account() {
        let key = environment(&[("AZURE_STORAGE_ACCOUNT", "acme"), ("AZURE_STORAGE_KEY", "a2V5")]);
        assert!(matches!(proof(&key, "http://127.0.0.1:1/other/c/n"), Err(CredentialError::None(account)) if account == "other"));
    }

    #[test]
    fn unusable_credentials_are_named_and_not_shown() {
        let key = environment(&[("AZURE_STORAGE_ACCOUNT", "acme"), ("AZURE_STORAGE_KEY", "S3CRET!")]);
        let error = proof(&key, "https://acme.blob.core.windows.net/c/n").err().unwrap().to_string();
        assert!(error.contains("AZURE_STORAGE_KEY") && !error.contains("S3CRET"));
        let connection = environment(&[("AZURE_STORAGE_CONNECTION_STRING", "S3CRET")]);
        let error = connection.resolve(BlobAddress::parse("az://c/n").unwrap()).unwrap_err().to_string();
        assert!(error.contains("no `=`") && !error.contains("S3CRET"));
    }
}
