//! How a store across a network is reached, whatever its account is.

use std::time::Duration;

use url::Url;

use super::certificates::Issuers;
use super::proxy::{Proxies, ProxyError};

/// How a store across a network is reached.
#[derive(Debug, Clone)]
pub struct Network {
    /// A request is abandoned when nothing moves on its connection for this long.
    pub silence_max: Duration,
    /// What leads there.
    pub proxies: Proxies,
    /// Issuers of certificates that are trusted beside the system's.
    pub issuers: Issuers,
}

impl Network {
    /// Without a proxy, and trusting the system's issuers.
    pub fn direct(silence_max: Duration) -> Self {
        Network { silence_max, proxies: Proxies::default(), issuers: Issuers::default() }
    }

    /// Says which proxy leads to a store, where one does.
    pub(crate) fn tell_proxy(&self, endpoint: &Url) -> Result<(), ProxyError> {
        if let Some(proxy) = self.proxies.proxy_to_url(endpoint)? {
            let host = endpoint.host_str().unwrap_or_default();
            tracing::info!(%proxy, host, "the store is reached through a proxy");
        }
        Ok(())
    }

    /// The same without a proxy: what is asked of this machine or of its host does not leave it.
    pub(crate) fn without_proxy(&self) -> Self {
        Network { proxies: Proxies::default(), ..self.clone() }
    }
}
