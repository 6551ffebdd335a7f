//! The stations, and their calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::operator::StationState;
use protocol::station::{CALL_VERSION, StationOrders, StationReport};
use protocol::station_rate::{RateAuthority, RateCap, RateOrder, StationRate};
use protocol::units::ByteRate;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call_error::CallError;
use super::station::Station;
use super::times::FleetTimes;
use crate::scheduler::Clock;
use crate::scheduler::worker::Worker;
use crate::store::{Role, Store, StoreError};

/// Time between two looks for grants that have ended.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two looks at the tokens of stations: each change of them is followed by one too.
const KNOW_INTERVAL: Duration = Duration::from_secs(30);

/// The stations by name, shared by all that is about one of them.
#[derive(Default)]
pub(super) struct Stations {
    by_name: Mutex<BTreeMap<String, Station>>,
}

impl Stations {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Station>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with one station, which need not have called yet.
    pub(super) fn with<T>(&self, name: &str, act: impl FnOnce(&mut Station) -> T) -> T {
        let mut stations = self.lock();
        act(stations.entry(name.to_owned()).or_insert_with(|| Station::new(name)))
    }

    /// The same with one that is known; `None` where there is none.
    pub(super) fn with_known<T>(&self, name: &str, act: impl FnOnce(&mut Station) -> T) -> Option<T> {
        self.lock().get_mut(name).map(act)
    }
}

/// The bays of the service itself, and those of its stations.
pub struct Fleet {
    pub(super) own: Arc<dyn Worker>,
    pub(super) stations: Arc<Stations>,
    pub(super) store: Store,
    pub(super) times: FleetTimes,
    pub(super) changed: Notify,
    /// What was granted before this service began is known. Until then an answer would take it back.
    has_begun: AtomicBool,
    clock: Clock,
}

impl Fleet {
    /// The service's own bays and accounts, and no station yet.
    pub fn new(own: Arc<dyn Worker>, store: Store, clock: Clock, times: FleetTimes) -> Arc<Self> {
        let (stations, changed, has_begun) = (Arc::default(), Notify::new(), AtomicBool::new(false));
        Arc::new(Fleet { own, stations, store, times, changed, has_begun, clock })
    }

    /// Takes grants back whose stations did not call in time, until `closing`.
    pub async fn expire(self: Arc<Self>, closing: CancellationToken) {
        let mut known_at = Instant::now();
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(EXPIRE_INTERVAL) => {}
            }
            if known_at.elapsed() >= KNOW_INTERVAL {
                known_at = Instant::now();
                self.know_stations()
                    .await
                    .unwrap_or_else(|error| tracing::warn!(%error, "the tokens of stations cannot be read"));
            }
            let now = Instant::now();
            let mut stations = self.stations.lock();
            stations.values_mut().for_each(|station| station.expire(now));
            stations.retain(|_, station| !station.is_gone());
        }
    }

    /// Learns which stations have a token: those are waited for. Of one that has none any more nothing is known as soon as nothing
    /// can run there.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn know_stations(&self) -> Result<(), StoreError> {
        let at = Instant::now();
        let tokens = self.store.tokens().await?.into_iter().filter(|token| token.role == Role::Station);
        let names: BTreeSet<String> = tokens.map(|token| token.name).collect();
        let mut stations = self.stations.lock();
        for name in &names {
            stations.entry(name.clone()).or_insert_with(|| Station::new(name)).note_token(at);
        }
        let others = stations.iter_mut().filter(|(name, _)| !names.contains(*name));
        others.for_each(|(_, station)| station.note_no_token(at));
        stations.retain(|_, station| !station.is_gone());
        Ok(())
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }

    pub(super) fn note_begun(&self) {
        self.has_begun.store(true, Ordering::SeqCst);
    }

    /// Answers a station's call: at once where there is something new for it, and when its time has passed otherwise.
    ///
    /// # Errors
    /// When the call is not the station's newest, or nothing can be granted.
    pub(crate) async fn call(
        &self,
        name: &str,
        report: StationReport,
        closing: &CancellationToken,
    ) -> Result<StationOrders, CallError> {
        if report.call_version != CALL_VERSION {
            return Err(CallError::Version(report.call_version));
        }
        report.check()?;
        self.compare_places(&report)?;
        if !self.has_begun() {
            return Err(CallError::NotNow);
        }
        let (seen, wait) = (report.seen, Duration::from_secs(report.wait_seconds).min(self.times.away_after / 2));
        let (mut number, mut calls) = {
            let mut stations = self.stations.lock();
            let station = stations.entry(name.to_owned()).or_insert_with(|| Station::new(name));
            let bays = station.told().map(|told| told.bays.clone());
            if !station.receive(report, Instant::now(), (self.clock)(), &self.times)? {
                return Ok(StationOrders {
                    service: station.service.clone(),
                    number: 0,
                    lease_seconds: 0,
                    grants: Vec::new(),
                    rate: String::new(),
                    tasks: BTreeMap::new(),
                });
            }
            if bays.as_ref() != station.told().map(|told| &told.bays) {
                self.changed.notify_one();
            }
            station.calls.send_modify(|calls| *calls += 1);
            (station.number.subscribe(), station.calls.subscribe())
        };
        tokio::select! {
            _ = number.wait_for(|number| *number != seen) => {}
            _ = calls.changed() => return Err(CallError::Superseded),
            () = tokio::time::sleep(wait) => {}
            () = closing.cancelled() => return Err(CallError::NotNow),
        }
        if !self.store.is_held() {
            return Err(CallError::NotNow);
        }
        let rate = order_of(&self.own.rate()).to_string();
        let orders = self.stations.with(name, |station| StationOrders {
            grants: station.renew(Instant::now(), self.times.lease),
            service: station.service.clone(),
            number: *station.number.borrow(),
            lease_seconds: self.times.lease.as_secs(),
            rate: rate.clone(),
            tasks: station.tasks(),
        });
        // A service that ends forgets its copies, and must not be understood as having taken them back.
        if closing.is_cancelled() { Err(CallError::NotNow) } else { Ok(orders) }
    }

    /// What a station calls by the name of an account is the same account.
    fn compare_places(&self, report: &StationReport) -> Result<(), CallError> {
        let own = self.own.places();
        for (account, there) in &report.accounts {
            if let Some(here) = own.get(account).filter(|here| *here != there) {
                return Err(CallError::OtherPlace { account: account.clone(), here: here.clone(), there: there.clone() });
            }
        }
        Ok(())
    }

    /// The stations that have a token.
    pub(crate) fn list(&self) -> Vec<StationState> {
        let now = Instant::now();
        let state = |(name, station): (&String, &Station)| StationState {
            name: name.clone(),
            hall: station.told().and_then(|told| told.hall.clone()),
            version: station.told().map(|told| told.version.clone()),
            heard_at: station.told().map(|told| told.heard_at),
            bays: station.told().map_or(0, |told| told.bays.len() as u64),
            drives: station.told().map_or(0, |told| told.bays.iter().filter(|bay| bay.drive.is_some()).count() as u64),
            copies: station.copies() as u64,
            rate: station.told().map(|told| told.rate.clone()),
            away: station.is_away(now, &self.times),
        };
        self.stations.lock().iter().filter(|(_, station)| station.has_token()).map(state).collect()
    }
}

/// What an operator ordered about the rate of the service's own copies, which counts for those of each station too.
fn order_of(rate: &StationRate) -> RateOrder {
    match (rate.set_by, rate.bytes_per_second) {
        (RateAuthority::Operator, bytes_per_second) => {
            RateOrder::Cap(RateCap(bytes_per_second.map(|bytes_per_second| ByteRate { bytes_per_second })))
        }
        (RateAuthority::Schedule | RateAuthority::Configuration, _) => RateOrder::Schedule,
    }
}

#[cfg(test)]
mod tests;
