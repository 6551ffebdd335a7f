//! A storage account of the station.

use std::path::PathBuf;

use blob::http::{Network, TrustedHost};
use blob::{AccountAddress, Environment};
use serde::Deserialize;
use service::jobs::ReachableAccount;

use super::values::hosts;
use crate::station::accounts::credentials;

#[derive(Clone, Deserialize)]
pub(crate) struct Account {
    pub(crate) name: String,
    /// A path, `file://…`, `s3://`, `gs://`, or the address of an account of Azure or a server of S3: with a SAS it is a
    /// secret.
    pub(crate) store: String,
    /// A file with AZURE_STORAGE_…, AWS_… or GOOGLE_… lines; the environment, where it is absent.
    pub(crate) credentials: Option<PathBuf>,
    /// Other hosts than Azure's own that may be given the credentials.
    #[serde(default, deserialize_with = "hosts")]
    pub(crate) trust_host: Vec<TrustedHost>,
    /// The subscriptions whose jobs may use it; all, where it is empty.
    #[serde(default)]
    pub(crate) subscriptions: Vec<String>,
    /// What the addresses of its blobs begin with for customers.
    pub(crate) public_url: Option<String>,
}

impl std::fmt::Debug for Account {
    /// Without the address, which may be a secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Account {
    /// The account for the API.
    pub(crate) fn reachable(&self) -> ReachableAccount {
        ReachableAccount { name: self.name.clone(), subscriptions: self.subscriptions.clone() }
    }

    /// Prepares to reach it.
    ///
    /// # Errors
    /// With one sentence that has no secret in it.
    pub(crate) fn reach(&self, network: &Network) -> Result<std::sync::Arc<dyn blob::Account>, String> {
        let named = |error: String| format!("account `{}`: {error}", self.name);
        let environment = match &self.credentials {
            None => Environment::from_process(),
            Some(path) => credentials(path).map_err(named)?,
        };
        let environment = environment.trusting(&self.trust_host);
        let address = AccountAddress::parse_for(&self.store, &environment).map_err(|error| named(error.to_string()))?;
        address.reach(&environment, network).map_err(|error| {
            let way_out = error.untrusted_host().map(|host| format!(" with `trust_host = [\"{host}\"]` in its configuration"));
            named(format!("{error}{}", way_out.unwrap_or_default()))
        })
    }
}
