//! How a store across a network is reached, whatever its account is.

use std::time::Duration;

use super::certificates::Issuers;
use super::proxy::Proxies;

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

    /// The same without a proxy: what is asked of this machine or of its host does not leave it.
    pub(super) fn without_proxy(&self) -> Self {
        Network { proxies: Proxies::default(), ..self.clone() }
    }
}
