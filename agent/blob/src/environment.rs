//! What the environment says of credentials and endpoints, of every store.

use std::collections::HashMap;

use crate::credential_error::CredentialError;
use crate::http::hosts::TrustedHost;

/// The variables that matter, taken from the environment once, and the hosts that are trusted.
#[derive(Clone, Default)]
pub struct Environment {
    pub(crate) variables: HashMap<&'static str, String>,
    pub(crate) trusted: Vec<TrustedHost>,
}

const NAMES: [&str; 31] = [
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "IDENTITY_ENDPOINT",
    // Of S3, as the libraries of AWS take them.
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    // Of Google Cloud Storage, as Google's libraries take them.
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_CLOUD_QUOTA_PROJECT",
    "STORAGE_EMULATOR_HOST",
    "NO_GCE_CHECK",
];

/// Hosts that are trusted, separated by commas.
const TRUST_HOST: &str = "DRIVE_AGENT_TRUST_HOST";

impl Environment {
    /// Reads the process's environment. Empty variables count as absent.
    pub fn from_process() -> Self {
        let variables = NAMES
            .iter()
            .chain(&[TRUST_HOST])
            .filter_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()).map(|value| (*name, value)))
            .collect();
        Environment { variables, trusted: Vec::new() }
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
        Ok(Environment { variables, trusted: Vec::new() })
    }

    /// The same, with hosts that may be given its credentials.
    #[must_use]
    pub fn trusting(mut self, hosts: &[TrustedHost]) -> Self {
        self.trusted.extend_from_slice(hosts);
        self
    }

    /// The same, with the endpoint of S3 that an option names.
    #[must_use]
    pub fn with_s3_endpoint(mut self, endpoint: Option<&str>) -> Self {
        self.variables.extend(endpoint.map(|url| ("AWS_ENDPOINT_URL_S3", url.to_owned())));
        self
    }

    /// The same, with the endpoint of Google Cloud Storage that an option names.
    #[must_use]
    pub fn with_gcs_endpoint(mut self, endpoint: Option<&str>) -> Self {
        self.variables.extend(endpoint.map(|url| ("STORAGE_EMULATOR_HOST", url.to_owned())));
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The hosts that are trusted by name.
    pub(crate) fn trusted(&self) -> Result<Vec<TrustedHost>, CredentialError> {
        let named = self.get(TRUST_HOST).into_iter().flat_map(|hosts| hosts.split(','));
        let named = named.map(|host| host.trim().parse()).collect::<Result<Vec<TrustedHost>, _>>()?;
        Ok([named.as_slice(), &self.trusted].concat())
    }
}
