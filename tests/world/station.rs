//! A station, by the rules of `drive-agent station`: one call at a time, copies under grants that it stops itself before they
//! end, and ends and answers that are told until they were taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::result::TransferResult;
use protocol::station::{
    CALL_VERSION, CopyOrder, CopyReport, Grant, STOP_MARGIN, StationOrders, StationReport, Task, TaskResult, bay_of_station,
    state_id,
};
use protocol::station_rate::{RateAuthority, RateCap, StationRate};
use protocol::stop::StopReason;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::plane::SimulatedWorker;
use crate::site::CHUNK_BYTES;

/// How long grants last in this world: chunks take up to an hour.
pub const LEASE: Duration = Duration::from_secs(8 * 3600);

/// A station that did not call for so long is away.
pub const AWAY_AFTER: Duration = Duration::from_secs(2 * 3600);

/// How long a stop takes at most: two chunks are in flight.
const STOP: Duration = Duration::from_secs(2 * 3600);

/// How long a call waits for something new.
pub const CALL_WAIT: Duration = Duration::from_secs(3600);

/// How much longer an answer is waited for.
const ANSWER_GRACE: Duration = Duration::from_secs(1800);

/// Pause after a call that failed, doubled each time.
const RETRY_INTERVAL: Duration = Duration::from_secs(120);

/// A copy under a grant.
pub enum Held {
    Running { number: u64, end: oneshot::Receiver<TransferResult> },
    Ended { result: Box<TransferResult>, was_told: bool },
}

/// The call that an answer is waited for.
pub struct Waiting {
    pub call: u64,
    pub sent: Duration,
    /// What it told of the bays.
    bays: String,
}

/// A station.
pub struct Station {
    pub name: String,
    /// Its host: 1 is that of the first station.
    pub host: usize,
    /// Another one for each host that had its name.
    pub state: u32,
    /// Another one each time that its machine is started.
    pub boot: u32,
    pub process: u64,
    /// It does not run until then.
    pub down_until: Duration,
    pub sleeps_until: Duration,
    /// Nothing reaches the service until then.
    pub cut_off_until: Duration,
    /// Messages are late or lost until then.
    pub slow_until: Duration,
    /// Its host is gone for good.
    pub is_lost: bool,
    pub has_token: bool,
    /// It has the token of another one that lives.
    pub is_intruder: bool,
    /// Once it was lost, or its token was revoked: what it alone knew may not be told.
    pub was_gone: bool,
    pub held: BTreeMap<String, Held>,
    pub done: BTreeMap<String, Option<TaskResult>>,
    /// Tasks that take time, and when they are done.
    pub doing: Vec<(Duration, String, Task)>,
    pub service: String,
    number: u64,
    calls: u64,
    failures: u32,
    /// When copies have to be asked to stop, and when their grants end.
    lease: Option<(Duration, Duration)>,
    next_call: Duration,
    pub waiting: Option<Waiting>,
    pub worker: Arc<SimulatedWorker>,
}

impl Station {
    pub fn new(name: String, host: usize, worker: Arc<SimulatedWorker>) -> Self {
        Station {
            name,
            host,
            state: 0,
            boot: 0,
            process: 1,
            down_until: Duration::ZERO,
            sleeps_until: Duration::ZERO,
            cut_off_until: Duration::ZERO,
            slow_until: Duration::ZERO,
            is_lost: false,
            has_token: true,
            is_intruder: false,
            was_gone: false,
            held: BTreeMap::new(),
            done: BTreeMap::new(),
            doing: Vec::new(),
            service: String::new(),
            number: 0,
            calls: 0,
            failures: 0,
            lease: None,
            next_call: Duration::ZERO,
            waiting: None,
            worker,
        }
    }

    pub fn now(&self) -> Duration {
        self.worker.clock.elapsed()
    }

    /// Whether its process runs, and its host is awake.
    pub fn is_awake(&self) -> bool {
        let now = self.now();
        !self.is_lost && self.down_until <= now && self.sleeps_until <= now
    }

    /// Whether nothing keeps it from calling.
    pub fn is_healthy(&self) -> bool {
        let now = self.now();
        self.is_awake() && self.has_token && self.cut_off_until <= now && self.slow_until <= now
    }

    pub fn is_running(&self) -> bool {
        self.held.values().any(|held| matches!(held, Held::Running { .. }))
    }

    /// Whether time matters to it: something runs, is to be told, or is not where it should be.
    fn is_busy(&self) -> bool {
        !self.held.is_empty() || !self.doing.is_empty() || self.slow_until > self.now()
    }

    /// Its process ends: what it had in memory is gone.
    pub fn end_process(&mut self, down_until: Duration) {
        self.held.clear();
        self.done.clear();
        self.doing.clear();
        (self.service, self.number, self.calls, self.failures) = (String::new(), 0, 0, 0);
        (self.lease, self.waiting) = (None, None);
        (self.process, self.down_until, self.next_call) = (self.process + 1, down_until, down_until);
        self.sleeps_until = Duration::ZERO;
        let mut site = self.worker.site();
        site.asleep.remove(&self.host);
        site.cut_off(self.host);
    }

    /// Another host without drives, to which its token was copied.
    pub fn intruder(&self, host: usize) -> Self {
        let state = self.state + 1000;
        Station { state, is_intruder: true, ..Station::new(self.name.clone(), host, self.worker.clone()) }
    }

    /// Another host gets its name: nothing is kept there.
    pub fn replace(&mut self) {
        let now = self.now();
        (self.state, self.is_lost) = (self.state + 1, false);
        self.end_process(now);
        self.worker.site().blobs.forget(self.host, |_, _| true);
    }

    /// The times at which something happens here by itself.
    pub fn events(&self) -> Vec<Duration> {
        let now = self.now();
        if self.is_lost {
            return Vec::new();
        }
        if self.down_until > now || self.sleeps_until > now {
            return vec![self.down_until.max(self.sleeps_until)];
        }
        let mut events: Vec<Duration> = self.doing.iter().map(|(at, ..)| *at).collect();
        if let Some((stop_at, ends_at)) = self.lease.filter(|_| self.is_running()) {
            events.extend([stop_at, ends_at]);
        }
        match &self.waiting {
            Some(waiting) if self.is_busy() => events.extend([waiting.sent + CALL_WAIT, waiting.sent + CALL_WAIT + ANSWER_GRACE]),
            Some(_) => {}
            None => events.push(self.next_call.max(self.cut_off_until)),
        }
        events
    }

    /// Its host wakes. Copies go on in memory before anything looks at the clock.
    pub fn wake(&mut self) {
        let elapsed = self.now();
        let mut site = self.worker.site();
        site.asleep.remove(&self.host);
        let mut copies = site.take_copies_of(self.host);
        copies.iter_mut().for_each(|copy| copy.wake(&mut site, elapsed));
        site.copies.extend(copies);
        drop(site);
        self.watch_lease();
    }

    /// Stops copies whose grants were not renewed in time; true where one ended.
    pub fn watch_lease(&mut self) -> bool {
        let (elapsed, now) = (self.now(), self.worker.clock.now());
        let Some((stop_at, ends_at)) = self.lease.filter(|_| self.is_running()) else { return false };
        if elapsed < stop_at {
            return false;
        }
        let mut site = self.worker.site();
        if elapsed < ends_at {
            let is_new = |reason: StopReason| reason < StopReason::LeaseLost;
            let host = self.host;
            let mut stopped = 0;
            for copy in site.copies.iter_mut().filter(|copy| copy.host == host) {
                if copy.stop.is_none_or(|(reason, _)| is_new(reason)) {
                    copy.ask_to_stop(StopReason::LeaseLost, now);
                    stopped += 1;
                }
            }
            (0..stopped).for_each(|_| site.tally("a copy was stopped by its station before its grant ended"));
            return false;
        }
        for copy in site.take_copies_of(self.host) {
            site.tally("a copy was aborted after its grant had ended");
            copy.abort(&mut site, now, elapsed);
        }
        true
    }

    /// Takes in what ended and was done here; true where that is something new to tell.
    pub fn look(&mut self) -> bool {
        let elapsed = self.now();
        let mut is_new = self.watch_lease();
        for held in self.held.values_mut() {
            let Held::Running { end, .. } = held else { continue };
            match end.try_recv() {
                Ok(result) => {
                    *held = Held::Ended { result: Box::new(result), was_told: false };
                    is_new = true;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Closed) => unreachable!("copies are taken with their process"),
            }
        }
        let (due, later) = std::mem::take(&mut self.doing).into_iter().partition(|(at, ..)| *at <= elapsed);
        self.doing = later;
        for (_, id, task) in due {
            let result = self.carry_out(task);
            self.done.insert(id, Some(result));
            is_new = true;
        }
        is_new || self.waiting.as_ref().is_some_and(|waiting| waiting.bays != self.shown_bays())
    }

    fn shown_bays(&self) -> String {
        serde_json::to_string(&self.bays()).unwrap_or_default()
    }

    fn bays(&self) -> Vec<protocol::station::BayContent> {
        let site = self.worker.site();
        (0..site.bays.len()).filter(|bay| site.bays[*bay].host == self.host).map(|bay| site.content_of(bay)).collect()
    }

    /// Whether it has waited too long for an answer.
    pub fn gives_up(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.sent + CALL_WAIT + ANSWER_GRACE <= self.now())
    }

    /// A call failed.
    pub fn failed(&mut self) {
        self.failures = (self.failures + 1).min(7);
        self.next_call = self.now() + RETRY_INTERVAL * (1 << (self.failures - 1));
        self.waiting = None;
    }

    /// Whether it is time for the next call.
    pub fn may_call(&self) -> bool {
        self.waiting.is_none() && self.next_call <= self.now()
    }

    fn state_id(&self) -> String {
        let journals = format!("{}-{}", self.name, self.state);
        state_id(&journals, &format!("{journals}-{}", self.boot))
    }

    /// Makes the next report.
    pub fn report(&mut self) -> StationReport {
        self.calls += 1;
        let bays = self.bays();
        self.waiting = Some(Waiting { call: self.calls, sent: self.now(), bays: self.shown_bays() });
        let site = self.worker.site();
        let report = |held: &Held| match held {
            Held::Running { number, .. } => {
                let copy = site.copies.iter().find(|copy| copy.number == *number);
                let landed = copy.map_or(0, |copy| copy.chunks().iter().filter(|chunk| chunk.has_landed()).count());
                let bytes_done = landed as u64 * CHUNK_BYTES;
                let progress = Progress { bytes_done, ..Progress::of_nothing(Phase::Copying) };
                CopyReport::Running { progress, unreadable: UnreadableSoFar::default() }
            }
            Held::Ended { result, .. } => CopyReport::Ended { result: result.clone() },
        };
        StationReport {
            call_version: CALL_VERSION,
            version: String::new(),
            state_id: self.state_id(),
            process: self.process,
            hall: None,
            bays,
            accounts: BTreeMap::new(),
            rate: StationRate::new((RateCap(None), RateAuthority::Configuration)),
            copies: self.held.iter().map(|(grant, held)| (grant.clone(), report(held))).collect(),
            done: self.done.iter().filter_map(|(id, result)| Some((id.clone(), result.clone()?))).collect(),
            service: self.service.clone(),
            call: self.calls,
            seen: self.number,
            told_at: Some(self.worker.clock.now()),
            wait_seconds: CALL_WAIT.as_secs(),
            is_stopping: false,
        }
    }

    /// Does what an answer orders.
    pub fn apply(&mut self, orders: StationOrders) {
        let Some(Waiting { sent, .. }) = self.waiting.take() else { return };
        (self.next_call, self.failures) = (self.now(), 0);
        if self.service != orders.service {
            (self.service, self.number) = (orders.service, 0);
            return;
        }
        self.number = orders.number;
        let lease = Duration::from_secs(orders.lease_seconds);
        if self.lease.is_some_and(|(_, ends_at)| sent >= ends_at) {
            // Nothing was granted for a while: what ran until then keeps no journal any more for other hosts.
            let host = self.host;
            self.worker.site().copies.iter_mut().filter(|copy| copy.host == host).for_each(|copy| copy.holds = false);
        }
        self.lease = Some((sent + lease - STOP - STOP_MARGIN, sent + lease));
        let may_begin = self.lease.is_some_and(|(stop_at, _)| self.now() < stop_at);
        self.follow(orders.grants, may_begin);
        self.take_tasks(orders.tasks);
    }

    fn follow(&mut self, grants: Vec<Grant>, may_begin: bool) {
        let names: BTreeSet<String> = grants.iter().filter_map(|grant| grant.order.grant.clone()).collect();
        for Grant { order, stop } in grants {
            let Some(name) = order.grant.clone() else { continue };
            if !self.held.contains_key(&name) && may_begin {
                self.begin(name.clone(), order);
            }
            if let Some(reason) = stop {
                self.stop(&name, reason);
            }
        }
        let unlisted: Vec<String> = self.held.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for name in unlisted {
            self.stop(&name, StopReason::LeaseLost);
            if matches!(self.held.get(&name), Some(Held::Ended { .. })) {
                self.held.remove(&name);
            }
        }
    }

    fn begin(&mut self, name: String, order: CopyOrder) {
        let what = if order.account_only { "a station accounts for a copy" } else { "a copy begins at a station" };
        self.worker.site().tally(what);
        let (ended, end) = oneshot::channel();
        let order = CopyOrder { bay: bay_of_station(&self.name, &order.bay), ..order };
        let number = self.worker.start(self.host, order, ended);
        self.held.insert(name, Held::Running { number, end });
    }

    fn stop(&mut self, name: &str, reason: StopReason) {
        let Some(Held::Running { number, .. }) = self.held.get(name) else { return };
        let (number, now) = (*number, self.worker.clock.now());
        let mut site = self.worker.site();
        if let Some(copy) = site.copies.iter_mut().find(|copy| copy.number == number) {
            copy.ask_to_stop(reason, now);
        }
    }
}
