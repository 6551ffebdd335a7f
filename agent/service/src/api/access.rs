//! Who asks, and how often they may.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, request};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::answer::ApiError;
use super::{Api, Call};
use crate::entra::Entra;
use crate::store::{Actor, StoreError};

/// Attempts without a good token from one address, a second.
const STRANGERS_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// A burst of them.
const STRANGERS_BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Who may ask, and how often.
pub struct Access {
    requests: DefaultKeyedRateLimiter<String>,
    strangers: DefaultKeyedRateLimiter<IpAddr>,
    streams: Mutex<HashMap<String, usize>>,
    entra: Option<Arc<Entra>>,
}

impl Access {
    /// So many requests a second of each bearer, and twice as many in a burst. With `entra`, its tokens are good too.
    pub fn new(requests_per_second: NonZeroU32, entra: Option<Arc<Entra>>) -> Self {
        let quota = Quota::per_second(requests_per_second).allow_burst(requests_per_second.saturating_mul(TWO));
        let strangers = Quota::per_second(STRANGERS_PER_SECOND).allow_burst(STRANGERS_BURST);
        Access { requests: RateLimiter::keyed(quota), strangers: RateLimiter::keyed(strangers), streams: Mutex::default(), entra }
    }

    /// A place for one more stream of events of this bearer, held until it is dropped; `None` where there are too many.
    pub(crate) fn stream(self: &Arc<Self>, name: &str) -> Option<StreamPlace> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let count = streams.entry(name.to_owned()).or_default();
        (*count < STREAMS_MAX).then(|| {
            *count += 1;
            StreamPlace { access: self.clone(), name: name.to_owned() }
        })
    }

    /// Where people log in who have no token of ours.
    pub(crate) fn entra(&self) -> Option<&Entra> {
        self.entra.as_deref()
    }

    /// Forgets who did not ask for a while.
    pub fn forget_idle(&self) {
        self.requests.retain_recent();
        self.strangers.retain_recent();
    }
}

/// A stream of events that somebody holds open.
pub(crate) struct StreamPlace {
    access: Arc<Access>,
    name: String,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut streams = self.access.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = streams.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.name);
            }
        }
    }
}

/// Streams of events that one bearer may hold open: connections are for everybody.
const STREAMS_MAX: usize = 32;

const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

fn too_many() -> ApiError {
    ApiError::new(429, "TooManyRequests", "too many requests: wait a second, and ask less often".to_owned())
}

/// Who asks.
///
/// # Errors
/// 401 without a good token, 429 where there were too many requests.
pub(super) async fn authenticate(api: &Api, parts: &request::Parts) -> Result<Actor, ApiError> {
    let failed = |message: &str| ApiError::new(401, "AuthenticationFailed", message.to_owned());
    let actor = match bearer(&parts.headers) {
        Some(token) => actor_of(api, token).await?,
        None => None,
    };
    let Some(actor) = actor else {
        if !may_try(api, parts) {
            return Err(too_many());
        }
        return Err(match bearer(&parts.headers) {
            None => failed("send a token: `Authorization: Bearer TOKEN`"),
            Some(_) => failed("the token is unknown, or was taken back, or has expired"),
        });
    };
    api.access.requests.check_key(&actor.name).map_err(|_| too_many())?;
    Ok(actor)
}

/// Who bears a token, and whether it is one of ours; for those who log in.
pub(crate) async fn who_bears(api: &Api, token: &str) -> Result<Option<(Actor, bool)>, StoreError> {
    match (api.store.actor_of(token).await?, &api.access.entra) {
        (Some(actor), _) => Ok(Some((actor, true))),
        // Only what looks like one of theirs is taken there.
        (None, Some(entra)) if token.split('.').count() == 3 => Ok(entra.actor_of(token).await.map(|actor| (actor, false))),
        (None, _) => Ok(None),
    }
}

/// Whether somebody without a good token may try once more.
pub(crate) fn may_try(api: &Api, parts: &request::Parts) -> bool {
    api.access.strangers.check_key(&peer_of(parts)).is_ok()
}

fn peer_of(parts: &request::Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip())
}

/// Who bears a token.
pub(super) async fn actor_of(api: &Api, token: &str) -> Result<Option<Actor>, ApiError> {
    Ok(who_bears(api, token).await?.map(|(actor, _)| actor))
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// A request of somebody who is known.
pub(super) async fn call_of(api: &Api, request: Request) -> Result<(Call, Body), ApiError> {
    let (parts, body) = request.into_parts();
    let actor = authenticate(api, &parts).await?;
    let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let base = api.public_url.clone().unwrap_or_else(|| format!("{}://{host}", api.scheme));
    let path = parts.uri.path().to_owned();
    Ok((Call { actor, query, headers: parts.headers, base, path, method: parts.method }, body))
}
