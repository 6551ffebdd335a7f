//! How each copy is made, and how the accounts are reached.

use std::path::PathBuf;
use std::time::Duration;

use blob::http::{Issuers, Network, Proxies, SILENCE_MAX};
use drive::Pace;
use protocol::units::ByteSize;
use serde::Deserialize;

use super::values::{duration, optional, time_scale};
use crate::cli::{Unreadable, VerifyMode};

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Transfer {
    #[serde(deserialize_with = "optional")]
    pub(crate) chunk_size: Option<ByteSize>,
    pub(crate) on_unreadable: Option<Unreadable>,
    #[serde(deserialize_with = "optional")]
    pub(crate) max_unreadable: Option<ByteSize>,
    pub(crate) retry_passes: Option<u32>,
    pub(crate) verify: Option<VerifyMode>,
    #[serde(deserialize_with = "duration")]
    pub(crate) drain_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) read_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) request_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) retry_budget: Option<Duration>,
    /// The proxy that leads to the accounts, or `none`: with a password it is a secret.
    pub(crate) proxy: Option<String>,
    /// Certificates of issuers that are trusted beside the system's.
    pub(crate) ca: Option<PathBuf>,
    /// The time of simulated drives.
    #[serde(deserialize_with = "time_scale")]
    pub(crate) time_scale: Option<Pace>,
}

impl std::fmt::Debug for Transfer {
    /// Without the address of the proxy, which may be a secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Transfer").finish_non_exhaustive()
    }
}

impl Transfer {
    /// How the accounts are reached.
    ///
    /// # Errors
    /// With one sentence that has no secret in it.
    pub(crate) fn network(&self) -> Result<Network, String> {
        let proxies = Proxies::from_process(self.proxy.as_deref(), "`transfer.proxy`").map_err(|error| error.to_string())?;
        let issuers = self.ca.as_deref().map(Issuers::read).transpose().map_err(|error| format!("`transfer.ca`: {error}"))?;
        let silence_max = self.request_timeout.unwrap_or(SILENCE_MAX);
        Ok(Network { silence_max, proxies, issuers: issuers.unwrap_or_default() })
    }
}
