//! API clients: tokens and rate limits.

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Extensions, request};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::connections::{ConnectionHandle, Lookup};
use super::events::{StreamSlot, StreamSlots};
use crate::entra::Entra;
use crate::store::{Actor, Store, StoreError, TokenOrigin};

/// Attempts without a valid token from one address, a second.
const UNAUTHENTICATED_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// A burst of them.
const UNAUTHENTICATED_BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Requests from one address for what needs no token, a second.
const ANONYMOUS_PER_SECOND: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// A burst of them.
const ANONYMOUS_BURST: NonZeroU32 = NonZeroU32::new(400).unwrap();

/// Reads of one actor that the audit log notes, in a burst; and how long until there is one more.
const AUDITED_READS_BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();
const AUDITED_READ_EVERY: Duration = Duration::from_secs(10);

const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

type Limiter<K, C> = RateLimiter<K, DefaultKeyedStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Which tokens are valid, and how often each client may ask.
pub struct Access<C: Clock = DefaultClock> {
    requests: Limiter<String, C>,
    audited_reads: Limiter<String, C>,
    unauthenticated: Limiter<IpAddr, C>,
    anonymous: Limiter<IpAddr, C>,
    streams: Arc<StreamSlots>,
    entra: Option<Arc<Entra>>,
}

impl Access {
    /// Allows this many requests a second for each actor, and twice as many in a burst. With `entra`, its tokens are
    /// valid too.
    pub fn new(requests_per_second: NonZeroU32, entra: Option<Arc<Entra>>) -> Self {
        Self::by_clock(requests_per_second, entra, &DefaultClock::default())
    }
}

impl<C: Clock + Clone> Access<C> {
    fn by_clock(requests_per_second: NonZeroU32, entra: Option<Arc<Entra>>, clock: &C) -> Self {
        let quota = Quota::per_second(requests_per_second).allow_burst(requests_per_second.saturating_mul(TWO));
        let unauthenticated = Quota::per_second(UNAUTHENTICATED_PER_SECOND).allow_burst(UNAUTHENTICATED_BURST);
        let anonymous = Quota::per_second(ANONYMOUS_PER_SECOND).allow_burst(ANONYMOUS_BURST);
        Access {
            requests: limiter(quota, clock),
            audited_reads: limiter(audited_reads_quota(), clock),
            unauthenticated: limiter(unauthenticated, clock),
            anonymous: limiter(anonymous, clock),
            streams: Arc::default(),
            entra,
        }
    }

    /// The actor of a token, and where the token comes from; `None` if it is invalid. The connection stays open while the
    /// token is looked up in the store.
    pub(crate) async fn identify(
        &self,
        store: &Store,
        lookup: Option<Lookup>,
        token: &str,
    ) -> Result<Option<(Actor, TokenOrigin)>, StoreError> {
        let stored = store.actor_of(token).await?;
        drop(lookup);
        match (stored, &self.entra) {
            (Some(actor), _) => Ok(Some((actor, TokenOrigin::Stored))),
            // Only a JSON Web Token, which has three parts, is worth a look there.
            (None, Some(entra)) if token.split('.').count() == 3 => {
                Ok(entra.actor_of(token).await.map(|(actor, expires_at)| (actor, TokenOrigin::Entra { expires_at })))
            }
            (None, _) => Ok(None),
        }
    }

    /// Counts a request of a known actor; false where there were too many, or the actor has too many connections.
    pub(crate) fn allows_request(&self, parts: &request::Parts, actor: &Actor) -> bool {
        let connection = parts.extensions.get::<ConnectionHandle>();
        connection.is_none_or(|connection| connection.belongs_to(actor)) && self.requests.check_key(&actor.name).is_ok()
    }

    /// Counts a read that the audit log notes for good; false where there were too many.
    pub(crate) fn allows_audited_read(&self, actor: &Actor) -> bool {
        self.audited_reads.check_key(&actor.name).is_ok()
    }

    /// Counts an attempt without a valid token; false where there were too many from its address.
    pub(crate) fn allows_attempt(&self, parts: &request::Parts) -> bool {
        self.unauthenticated.check_key(&address_of(parts)).is_ok()
    }

    /// Counts a request for what needs no token; false where there were too many from its address.
    pub(crate) fn allows_anonymous(&self, parts: &request::Parts) -> bool {
        self.anonymous.check_key(&address_of(parts)).is_ok()
    }

    /// A slot for one more stream of events of this actor; `None` where too many are open.
    pub(crate) fn open_stream(&self, actor: &Actor) -> Option<StreamSlot> {
        self.streams.take(&actor.name)
    }

    /// Where people sign in who have no token of ours.
    pub(crate) fn entra(&self) -> Option<&Entra> {
        self.entra.as_deref()
    }

    /// Forgets clients that have not asked for a while.
    pub fn forget_idle(&self) {
        self.requests.retain_recent();
        self.audited_reads.retain_recent();
        self.unauthenticated.retain_recent();
        self.anonymous.retain_recent();
    }
}

fn limiter<K: Hash + Eq + Clone, C: Clock + Clone>(quota: Quota, clock: &C) -> Limiter<K, C> {
    RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone())
}

fn audited_reads_quota() -> Quota {
    let quota = Quota::with_period(AUDITED_READ_EVERY).unwrap_or(Quota::per_minute(NonZeroU32::MIN));
    quota.allow_burst(AUDITED_READS_BURST)
}

/// Keeps the connection of a request open until this is dropped.
pub(crate) fn look_up(extensions: &Extensions) -> Option<Lookup> {
    extensions.get::<ConnectionHandle>().map(ConnectionHandle::look_up)
}

fn address_of(parts: &request::Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip())
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::store::Role;

    fn parts(host: u8) -> request::Parts {
        let peer = Peer(SocketAddr::from(([10, 0, 0, host], 1)));
        let request = axum::http::Request::builder().extension(peer).body(()).unwrap();
        request.into_parts().0
    }

    /// How many of a thousand requests are allowed.
    fn allowed(mut is_allowed: impl FnMut() -> bool) -> usize {
        (0..1000).filter(|_| is_allowed()).count()
    }

    #[test]
    fn a_client_that_asks_too_often_has_to_wait_and_others_do_not() {
        let clock = FakeRelativeClock::default();
        let access = Access::by_clock(NonZeroU32::new(20).unwrap(), None, &clock);
        let actor = |name: &str| Actor { name: name.to_owned(), role: Role::Operator };
        assert_eq!(allowed(|| access.allows_request(&parts(1), &actor("a"))), 40, "a burst");
        assert_eq!(allowed(|| access.allows_request(&parts(1), &actor("b"))), 40, "another actor has a burst of its own");
        assert_eq!(allowed(|| access.allows_attempt(&parts(1))), 20);
        assert_eq!(allowed(|| access.allows_attempt(&parts(2))), 20, "so has another address");
        assert_eq!(allowed(|| access.allows_anonymous(&parts(1))), 400);
        assert_eq!(allowed(|| access.allows_audited_read(&actor("a"))), 100);
        clock.advance(Duration::from_secs(1));
        assert_eq!(allowed(|| access.allows_request(&parts(1), &actor("a"))), 20);
        assert_eq!(allowed(|| access.allows_attempt(&parts(1))), 5);
        assert_eq!(allowed(|| access.allows_anonymous(&parts(1))), 200);
        assert_eq!(allowed(|| access.allows_audited_read(&actor("a"))), 0);
        clock.advance(Duration::from_secs(9));
        assert_eq!(allowed(|| access.allows_audited_read(&actor("a"))), 1);
    }
}
