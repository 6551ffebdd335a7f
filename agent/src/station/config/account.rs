//! A storage account of the station.

use std::path::PathBuf;

use blob::http::{Network, TrustedHost};
use blob::{AccountAddress, Environment, StagingAddress};
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
    /// Where imports into it put what is not a blob yet, where that is not beside the blob: of S3 and Google Cloud Storage.
    pub(crate) staging: Option<String>,
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

    /// Refuses a place for pieces that could not be one of what is imported.
    pub(super) fn check_staging(&self, import_container: &str) -> Result<(), String> {
        let Some(text) = &self.staging else { return Ok(()) };
        match StagingAddress::parse(text).map_err(|error| format!("the account `{}`: `staging`: {error}", self.name))? {
            StagingAddress::Gcs(place) if place.bucket != import_container => Err(format!(
                "the account `{}`: `staging` is in the bucket that drives are imported into, gs://{import_container}/FOLDER",
                self.name
            )),
            _ => Ok(()),
        }
    }

    /// The bucket that pieces are put into, where one is named.
    pub(crate) fn staging_bucket(&self) -> Option<String> {
        Some(match StagingAddress::parse(self.staging.as_ref()?).ok()? {
            StagingAddress::S3(place) => place.bucket,
            StagingAddress::Gcs(place) => place.bucket,
        })
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
        let reached = address.reach(&environment, network).map_err(|error| {
            let way_out = error.untrusted_host().map(|host| format!(" with `trust_host = [\"{host}\"]` in its configuration"));
            named(format!("{error}{}", way_out.unwrap_or_default()))
        })?;
        match &self.staging {
            Some(place) => reached.with_staging(place).map_err(|error| named(format!("`staging`: {}", error.message))),
            None => Ok(reached),
        }
    }
}
