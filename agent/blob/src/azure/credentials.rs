//! Which credentials reach an account.
//!
//! A signature in the address comes first: it was written there to be used. Then the environment, as the
//! `az` command takes it: AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with
//! AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN. Else Entra ID: a client secret or a workload's token
//! file from the environment, a managed identity, or the user who is logged in to `az`. Each goes only to the hosts that
//! [`hosts`](crate::http::hosts) allows.

use std::sync::Arc;

use azure_core::credentials::{SecretBytes, TokenCredential};
use url::Url;

use super::connection_string::{CONNECTION_STRING, ConnectionString, EMULATOR_ACCOUNT, decode_key, is_account, is_published};
use super::sign_in::{self, TokenTransports};
use crate::address::{AzureAddress, BlobAddress};
use crate::credential_error::CredentialError;
use crate::environment::Environment;
use crate::http::hosts::{Owner, account_of_label, host_account, may_be_sent, plain_path};

/// What the credentials are called in messages.
const KEY: &str = "the account key in AZURE_STORAGE_KEY";
const SAS: &str = "the SAS in AZURE_STORAGE_SAS_TOKEN";
const STRINGS_KEY: &str = "the account key in AZURE_STORAGE_CONNECTION_STRING";
const STRINGS_SAS: &str = "the SAS in AZURE_STORAGE_CONNECTION_STRING";
const ADDRESS_SAS: &str = "the SAS in the address";
const TOKEN: &str = "a token of Entra ID";

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

/// A credential that the environment has for one account.
struct Candidate {
    called: &'static str,
    account: String,
    /// Where a connection string says that the account is.
    endpoint: Option<Url>,
    proof: Proof,
}

impl Candidate {
    fn owner(&self) -> Owner<'_> {
        match (&self.proof, &self.endpoint) {
            (Proof::SharedKey { account, key }, _) if is_published(account, key) => Owner::Published,
            (_, Some(endpoint)) => Owner::Endpoint(endpoint),
            (Proof::Sas(_), None) if self.account == EMULATOR_ACCOUNT => Owner::Emulator,
            _ => Owner::Account(&self.account),
        }
    }

    /// Whether the address is of its account, as far as the address says.
    fn is_of(&self, address: &AzureAddress) -> bool {
        let is_own = |found: &str| found == self.account || account_of_label(found) == self.account;
        let is_in_path = !plain_path(&address.endpoint).is_empty();
        match host_account(&address.endpoint) {
            Some(found) => is_own(found),
            None if is_in_path => is_own(&address.account),
            // A domain of the user's own says nothing of the account.
            None => self.owner() != Owner::Published || is_own(&address.account),
        }
    }
}

impl Environment {
    /// Fills in the account of an `az://` address, and takes the endpoint of a connection string where an address is
    /// below it; other addresses stay.
    pub fn resolve(&self, address: BlobAddress) -> Result<BlobAddress, CredentialError> {
        let (container, name, past) = match address {
            BlobAddress::AzureOfEnvironment { container, name, past } => (container, name, past),
            BlobAddress::Azure(address) => {
                // A string that cannot be used is reported when it is needed.
                let own = self.connection_string().ok().flatten().and_then(|connection| connection.address_of(&address));
                return Ok(BlobAddress::Azure(own.unwrap_or(address)));
            }
            BlobAddress::File(_) | BlobAddress::S3(_) | BlobAddress::Gcs(_) => return Ok(address),
        };
        let (endpoint, account) = match self.connection_string()? {
            Some(connection) => (connection.endpoint, connection.account),
            None => {
                let account = self.get("AZURE_STORAGE_ACCOUNT").ok_or(CredentialError::NoAccount)?.to_owned();
                let endpoint = Url::parse(&format!("https://{account}.blob.core.windows.net"));
                (endpoint.ok().filter(|_| is_account(&account)).ok_or(CredentialError::NoAccount)?, account)
            }
        };
        Ok(BlobAddress::Azure(AzureAddress { endpoint, account, container, name, past, sas: None }))
    }

    /// How requests to the account of `address` are authorized.
    pub(super) fn proof_for(&self, address: &AzureAddress, transports: &TokenTransports) -> Result<Proof, CredentialError> {
        let trusted = self.trusted()?;
        let judge = |owner: Owner<'_>, called| {
            let judged = may_be_sent(owner, &address.endpoint, &trusted);
            judged.map_err(|refusal| CredentialError::of_host(refusal, called, &address.endpoint))
        };
        if let Some(sas) = &address.sas {
            // The key of an emulator's signatures is published.
            let owner = if address.account == EMULATOR_ACCOUNT { Owner::Published } else { Owner::Address };
            return judge(owner, ADDRESS_SAS).map(|()| Proof::Sas(sas.clone()));
        }
        let mut refused = None;
        for candidate in self.candidates()? {
            let judged = match candidate.is_of(address) {
                true => judge(candidate.owner(), candidate.called),
                false => Err(CredentialError::OtherAccount {
                    credential: candidate.called,
                    own: candidate.account.clone(),
                    account: address.account.clone(),
                }),
            };
            match judged {
                Ok(()) => return Ok(candidate.proof),
                Err(error) => refused.get_or_insert(error),
            };
        }
        match judge(Owner::Storage, TOKEN) {
            Ok(()) => sign_in::credential(|name| self.get(name), transports).map(Proof::Entra),
            Err(_) if refused.is_none() && address.endpoint.scheme() == "http" => {
                Err(CredentialError::None(address.account.clone()))
            }
            Err(error) => Err(refused.unwrap_or(error)),
        }
    }

    /// The credentials of accounts, the first one first.
    fn candidates(&self) -> Result<Vec<Candidate>, CredentialError> {
        let mut candidates = Vec::new();
        if let Some(ConnectionString { endpoint, account, key, sas }) = self.connection_string()? {
            let called = if key.is_some() { STRINGS_KEY } else { STRINGS_SAS };
            let key = key.map(|key| Proof::SharedKey { account: account.clone(), key });
            let proof = key.or(sas.map(Proof::Sas));
            candidates.extend(proof.map(|proof| Candidate { called, account, endpoint: Some(endpoint), proof }));
        }
        if let Some(account) = self.get("AZURE_STORAGE_ACCOUNT").map(str::to_owned) {
            if let Some(key) = self.get("AZURE_STORAGE_KEY") {
                let proof = Proof::SharedKey { account: account.clone(), key: decode_key(key, "AZURE_STORAGE_KEY")? };
                candidates.push(Candidate { called: KEY, account, endpoint: None, proof });
            } else if let Some(sas) = self.get("AZURE_STORAGE_SAS_TOKEN") {
                let proof = Proof::Sas(sas.trim_start_matches('?').to_owned());
                candidates.push(Candidate { called: SAS, account, endpoint: None, proof });
            }
        }
        Ok(candidates)
    }

    /// Where tokens are asked for.
    pub(super) fn sign_in_host(&self) -> Option<String> {
        sign_in::host(|name| self.get(name))
    }

    /// The endpoint of the connection string and its account, where this is the endpoint.
    pub(crate) fn account_at(&self, place: &str) -> Option<(Url, String)> {
        let place = Url::parse(place).ok()?;
        let ConnectionString { endpoint, account, .. } = self.connection_string().ok().flatten()?;
        (place.origin() == endpoint.origin() && plain_path(&place) == plain_path(&endpoint)).then_some((endpoint, account))
    }

    fn connection_string(&self) -> Result<Option<ConnectionString>, CredentialError> {
        self.get(CONNECTION_STRING).map(ConnectionString::parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use azure_core::http::Transport;

    use super::*;

    fn environment(variables: &[(&'static str, &str)]) -> Environment {
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Environment { variables, trusted: Vec::new() }
    }

    fn resolved(environment: &Environment, text: &str) -> Result<AzureAddress, CredentialError> {
        match environment.resolve(BlobAddress::parse(text).unwrap())? {
            BlobAddress::Azure(address) => Ok(address),
            other => panic!("{other:?}"),
        }
    }

    fn proof(environment: &Environment, text: &str) -> Result<Proof, CredentialError> {
        let transport = Transport::new(Arc::new(reqwest::Client::new()));
        let transports = TokenTransports { across: transport.clone(), of_machine: transport };
        environment.proof_for(&resolved(environment, text)?, &transports)
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
    fn a_key_is_never_used_for_another_account_or_host() {
        let key = environment(&[("AZURE_STORAGE_ACCOUNT", "acme"), ("AZURE_STORAGE_KEY", "a2V5")]);
        let refused = |environment: &Environment, text: &str| match proof(environment, text) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{text}"),
        };
        let other = refused(&key, "http://127.0.0.1:1/other/c/n");
        assert!(
            other.contains("AZURE_STORAGE_KEY is for the account `acme`, and the address is of the account `other`"),
            "{other}"
        );
        for host in ["acme.evil.example", "files.acme.example", "evil.example:8443"] {
            let error = refused(&key, &format!("https://{host}/c/n"));
            assert!(error.contains(&format!("AZURE_STORAGE_KEY is not sent to `{host}`")), "{error}");
        }
        assert!(refused(&key, "http://127.0.0.1:1/acme/c/n").contains("not sent to `127.0.0.1:1`"));
        assert!(refused(&key, "http://acme.blob.core.windows.net/c/n").contains("in the clear"));
        let nothing = environment(&[]);
        assert!(refused(&nothing, "https://acme.evil.example/c/n").contains("a token of Entra ID is not sent to `acme.evil"));
        assert!(refused(&nothing, "http://127.0.0.1:1/acme/c/n").contains("there are no credentials for the account `acme`"));
        assert!(refused(&nothing, "http://acme.blob.core.windows.net/c/n?sig=x").contains("the SAS in the address is not sent"));
        let sas = environment(&[("AZURE_STORAGE_ACCOUNT", "acme"), ("AZURE_STORAGE_SAS_TOKEN", "sig=y")]);
        assert!(refused(&sas, "https://acme.evil.example/c/n").contains("the SAS in AZURE_STORAGE_SAS_TOKEN is not sent"));
        // What the user trusts is given it, and no other host or port.
        let trusting = key.clone().trusting(&["files.acme.example".parse().unwrap(), "127.0.0.1:1".parse().unwrap()]);
        for text in ["https://files.acme.example/c/n", "http://127.0.0.1:1/acme/c/n"] {
            assert!(matches!(proof(&trusting, text), Ok(Proof::SharedKey { account, .. }) if account == "acme"), "{text}");
        }
        for text in ["https://other.acme.example/c/n", "http://127.0.0.1:2/acme/c/n", "http://127.0.0.1:1/other/c/n"] {
            refused(&trusting, text);
        }
        let named = environment(&[("DRIVE_AGENT_TRUST_HOST", "a.example, files.acme.example")]);
        let named = Environment { variables: named.variables.into_iter().chain(key.variables).collect(), trusted: Vec::new() };
        assert!(proof(&named, "https://files.acme.example/c/n").is_ok());
    }

    #[test]
    fn a_connection_string_is_used_where_its_endpoint_is() {
        let string = |endpoint: &str| {
            let text = format!("AccountName=acme;AccountKey=a2V5;{endpoint}");
            Environment { variables: HashMap::from([(CONNECTION_STRING, text)]), trusted: Vec::new() }
        };
        for (endpoint, text) in [
            ("", "https://acme.blob.core.windows.net/c/n"),
            ("", "https://acme-secondary.blob.core.windows.net/c/n"),
            ("EndpointSuffix=storage.example", "https://acme.blob.storage.example/c/n"),
            ("BlobEndpoint=https://files.acme.example", "https://files.acme.example/c/n"),
            ("BlobEndpoint=https://store.example/acme", "https://store.example/acme/c/n"),
            ("BlobEndpoint=http://127.0.0.1:9/acme", "http://127.0.0.1:9/acme/c/n"),
            ("BlobEndpoint=https://files.acme.example", "az://c/n"),
        ] {
            let proof = proof(&string(endpoint), text);
            assert!(matches!(proof, Ok(Proof::SharedKey { account, .. }) if account == "acme"), "{endpoint} {text}");
        }
        for (endpoint, text) in [
            ("EndpointSuffix=storage.example", "https://acme.blob.evil.example/c/n"),
            ("BlobEndpoint=https://files.acme.example", "https://acme.evil.example/c/n"),
            ("BlobEndpoint=http://10.0.0.7:9/acme", "http://10.0.0.7:9/acme/c/n"),
            ("BlobEndpoint=http://127.0.0.1:9/acme", "http://127.0.0.1:8/acme/c/n"),
            ("DefaultEndpointsProtocol=http", "http://acme.blob.core.windows.net/c/n"),
            ("DefaultEndpointsProtocol=http", "az://c/n"),
        ] {
            assert!(proof(&string(endpoint), text).is_err(), "{endpoint} {text}");
        }
        // An emulator's key is published: it is not a secret on its way to another machine.
        let emulator = format!(
            "{};BlobEndpoint=http://azurite:10000/devstoreaccount1",
            "AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
        );
        let emulator = environment(&[(CONNECTION_STRING, &emulator)]);
        assert!(matches!(proof(&emulator, "http://azurite:10000/devstoreaccount1/c/n"), Ok(Proof::SharedKey { .. })));
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
