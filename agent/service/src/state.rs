//! What every handler of a request gets.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::http::Access;
use crate::jobs::Jobs;
use crate::scheduler::Scheduler;
use crate::stations::Fleet;
use crate::store::Store;

/// What the API and the portal need.
pub struct ServiceState {
    /// The database, for what only reads.
    pub store: Store,
    /// Bays and copies, for what only looks.
    pub scheduler: Scheduler,
    /// The stations.
    pub fleet: Arc<Fleet>,
    /// What can be done with jobs.
    pub jobs: Jobs,
    /// Tokens and rate limits.
    pub access: Arc<Access>,
    /// Where links lead to, such as `https://jobs.example.com`; to where the request went, where `None`.
    pub public_url: Option<String>,
    /// `http` or `https`: what is spoken here.
    pub scheme: &'static str,
    /// The configuration as operators are shown it: key and value, without secrets.
    pub settings: Vec<(&'static str, String)>,
    /// Cancelled when the service stops: streams of events end then.
    pub closing: CancellationToken,
    /// What is counted.
    pub metrics: PrometheusHandle,
}

impl ServiceState {
    /// Whether people reach the service through TLS: its own, or that of a proxy.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == "https" || self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }

    /// What links begin with: `https://host`. `host` is what the request names.
    pub(crate) fn base_url(&self, host: Option<&str>) -> String {
        let host = host.unwrap_or("localhost");
        self.public_url.clone().unwrap_or_else(|| format!("{}://{host}", self.scheme))
    }
}
