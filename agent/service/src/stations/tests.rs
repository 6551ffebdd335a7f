//! Stations over a network that loses, delays and repeats messages, with hosts that sleep, end and are copied, and services that
//! take over from each other: seeded histories in virtual time. When the service takes it that a copy has ended, it has.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::outcome::Outcome;
use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::result::{Direction, TransferResult};
use protocol::station::{CALL_VERSION, CopyOrder, CopyReport, Grant, STOP_MARGIN, StationReport};
use protocol::station_rate::{RateAuthority, RateCap, StationRate};
use protocol::stop::StopReason;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

use super::call_error::CallError;
use super::station::Station;
use super::times::FleetTimes;

const LEASE: Duration = Duration::from_secs(90);

/// How long a copy takes to stop at most.
const STOP: Duration = Duration::from_secs(35);

const STEP: Duration = Duration::from_millis(250);

/// A copy at a host.
#[derive(Clone)]
enum Copy {
    Running,
    /// Asked to stop; it ends then.
    Stopping(Instant),
    Ended,
}

/// A host, by the rules of `drive-agent station`.
struct Host {
    state_id: &'static str,
    process: u64,
    copies: BTreeMap<String, Copy>,
    stop_at: Option<Instant>,
    /// When its grants end: what still runs then is dropped.
    ends_at: Option<Instant>,
    /// When the report was sent whose answer it waits for: it makes one call at a time.
    waits_for: Option<Instant>,
    sleeps_until: Instant,
    service: String,
    calls: u64,
    /// The station of its name has another process for good.
    is_replaced: bool,
}

/// A report on its way, or an answer.
enum Message {
    Report { host: usize, process: u64, sent: Instant, report: Box<StationReport> },
    Answer { host: usize, process: u64, sent: Instant, service: String, grants: Vec<Grant> },
    Refusal { host: usize, process: u64, is_final: bool },
}

struct History {
    random: StdRng,
    now: Instant,
    times: FleetTimes,
    station: Station,
    /// The grant of the one drive that is not over, and where its end comes.
    granted: Option<(CopyOrder, oneshot::Receiver<TransferResult>)>,
    hosts: Vec<Host>,
    on_their_way: Vec<(Instant, Message)>,
    grants: u32,
    ends: u32,
    cut_off: u32,
}

fn order(grant: &str, state_id: &str) -> CopyOrder {
    CopyOrder {
        grant: Some(grant.to_owned()),
        state_id: Some(state_id.to_owned()),
        journal: None,
        bay: "bay-1".to_owned(),
        direction: Direction::Import,
        job_uid: "job".to_owned(),
        drive_id: "A".to_owned(),
        account: "acme".to_owned(),
        blob: protocol::job::BlobName { container: "c".to_owned(), name: "n".to_owned() },
        size_bytes: None,
        sequence: 1,
        account_only: false,
        was_cut_off: false,
        retry: protocol::job::RetryOptions::default(),
        may_erase: false,
    }
}

impl History {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let host = |state_id, process| Host {
            state_id,
            process,
            copies: BTreeMap::new(),
            stop_at: None,
            ends_at: None,
            waits_for: None,
            sleeps_until: now,
            service: String::new(),
            calls: 0,
            is_replaced: false,
        };
        History {
            random: StdRng::seed_from_u64(seed),
            now,
            times: FleetTimes::of_lease(LEASE),
            station: Station::new("hall"),
            granted: None,
            hosts: vec![host("own", 1), host("copied", 2)],
            on_their_way: Vec::new(),
            grants: 0,
            ends: 0,
            cut_off: 0,
        }
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.random.random_range(0..one_in) == 0
    }

    fn send(&mut self, message: Message) {
        if self.chance(5) {
            return;
        }
        let delay = if self.chance(10) { self.random.random_range(0..60_000) } else { self.random.random_range(0..500) };
        self.on_their_way.push((self.now + Duration::from_millis(delay), message));
    }

    fn step(&mut self) {
        self.now += STEP;
        self.serve();
        for host in 0..self.hosts.len() {
            self.live(host);
        }
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.on_their_way).into_iter().partition(|(at, _)| *at <= now);
        self.on_their_way = later;
        for (_, message) in due {
            self.deliver(message);
        }
        self.check();
    }

    /// What the service does: grants, learns ends, takes back, stops, or gives way to another service.
    fn serve(&mut self) {
        self.station.expire(self.now);
        let told = self.granted.as_mut().map(|(order, end)| (order.grant.clone().unwrap(), end.try_recv()));
        match told {
            Some((_, Err(TryRecvError::Empty))) => {}
            Some((grant, end)) => {
                match end {
                    Ok(_) => self.ends += 1,
                    Err(_) => self.cut_off += 1,
                }
                self.station.forget_grant(&grant);
                self.granted = None;
            }
            None if self.station.is_away(self.now, &self.times).is_none() && self.chance(8) => {
                self.grants += 1;
                let order = order(&format!("grant-{}", self.grants), &self.station.told().unwrap().state_id);
                self.grant(order);
            }
            None => {}
        }
        if let Some((order, _)) = &self.granted {
            let grant = order.grant.clone().unwrap();
            if self.chance(400) {
                self.station.stop(&grant, StopReason::JobCancelled);
            }
        }
        if self.chance(600) {
            // Another service decides: it knows the grants alone.
            self.station = Station::new("hall");
            if let Some((order, _)) = self.granted.take() {
                self.grant(order);
            }
        }
    }

    fn grant(&mut self, order: CopyOrder) {
        let (ended, end) = oneshot::channel();
        self.station.grant(order.grant.as_deref().unwrap(), order.clone(), ended, self.now + LEASE);
        self.granted = Some((order, end));
    }

    /// What a host does in a quarter of a second.
    fn live(&mut self, index: usize) {
        if self.chance(800) {
            self.hosts[index].sleeps_until = self.now + Duration::from_secs(self.random.random_range(1..200));
        }
        if self.chance(700) {
            let process = self.hosts[index].process + 2;
            let host = &mut self.hosts[index];
            (host.process, host.is_replaced, host.stop_at, host.ends_at) = (process, false, None, None);
            host.copies.clear();
            host.service.clear();
        }
        if self.hosts[index].sleeps_until > self.now || self.hosts[index].is_replaced {
            return;
        }
        let stop_takes = Duration::from_millis(self.random.random_range(0..STOP.as_millis() as u64));
        let may_end = self.chance(100);
        let now = self.now;
        let host = &mut self.hosts[index];
        let is_over = host.stop_at.is_none_or(|stop_at| now >= stop_at);
        let has_ended = host.ends_at.is_some_and(|ends_at| now >= ends_at);
        for copy in host.copies.values_mut() {
            *copy = match copy {
                _ if has_ended => Copy::Ended,
                Copy::Running if is_over => Copy::Stopping(now + stop_takes),
                Copy::Running if may_end => Copy::Ended,
                Copy::Stopping(end) if now >= *end => Copy::Ended,
                ref copy => Copy::clone(copy),
            };
        }
        // The one that was copied calls only where it is started by mistake.
        if self.chance(if index == 0 { 4 } else { 40 }) {
            self.hosts[index].calls += 1;
            let report = Box::new(self.report(index));
            let process = self.hosts[index].process;
            self.hosts[index].waits_for = Some(now);
            self.send(Message::Report { host: index, process, sent: now, report });
        }
    }

    fn report(&self, index: usize) -> StationReport {
        let host = &self.hosts[index];
        let copy = |copy: &Copy| match copy {
            Copy::Running | Copy::Stopping(_) => {
                CopyReport::Running { progress: Progress::of_nothing(Phase::Preparing), unreadable: UnreadableSoFar::default() }
            }
            Copy::Ended => {
                let result = TransferResult::not_begun(Outcome::Complete, Direction::Import, "c/n");
                CopyReport::Ended { result: Box::new(result) }
            }
        };
        StationReport {
            call_version: CALL_VERSION,
            version: String::new(),
            state_id: host.state_id.to_owned(),
            process: host.process,
            hall: None,
            bays: Vec::new(),
            accounts: BTreeMap::new(),
            rate: StationRate::new((RateCap(None), RateAuthority::Configuration)),
            copies: host.copies.iter().map(|(grant, one)| (grant.clone(), copy(one))).collect(),
            done: BTreeMap::new(),
            service: host.service.clone(),
            call: host.calls,
            seen: 0,
            wait_seconds: 0,
            is_stopping: false,
            told_at: None,
        }
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Report { host, process, sent, report } => {
                let service = self.station.service.clone();
                let received = self.station.receive(*report, self.now, OffsetDateTime::UNIX_EPOCH, &self.times);
                let answer = match received {
                    Ok(false) => Message::Answer { host, process, sent, service, grants: Vec::new() },
                    Ok(true) => {
                        let grants = self.station.renew(self.now, LEASE);
                        Message::Answer { host, process, sent, service, grants }
                    }
                    Err(error) => {
                        let is_final = matches!(error, CallError::Replaced(_));
                        Message::Refusal { host, process, is_final }
                    }
                };
                self.send(answer);
            }
            Message::Answer { host, process, sent, service, grants } => self.apply(host, process, sent, service, &grants),
            Message::Refusal { host, process, is_final } => {
                let host = &mut self.hosts[host];
                if host.process == process && is_final {
                    host.is_replaced = true;
                    host.copies.clear();
                }
            }
        }
    }

    fn apply(&mut self, index: usize, process: u64, sent: Instant, service: String, grants: &[Grant]) {
        let stop_takes = Duration::from_millis(self.random.random_range(0..STOP.as_millis() as u64));
        let now = self.now;
        let host = &mut self.hosts[index];
        if host.process != process || host.sleeps_until > now || host.waits_for != Some(sent) {
            return;
        }
        host.waits_for = None;
        if host.service != service {
            host.service = service;
            return;
        }
        let stop_at = sent + (LEASE - STOP - STOP_MARGIN);
        (host.stop_at, host.ends_at) = (Some(stop_at), Some(sent + LEASE));
        let may_begin = now < stop_at;
        for Grant { order, stop } in grants {
            let name = order.grant.clone().unwrap();
            if may_begin {
                host.copies.entry(name.clone()).or_insert(Copy::Running);
            }
            if let (Some(_), Some(copy @ Copy::Running)) = (stop, host.copies.get_mut(&name)) {
                *copy = Copy::Stopping(now + stop_takes);
            }
        }
        host.copies.retain(|name, copy| {
            let is_listed = grants.iter().any(|grant| grant.order.grant.as_ref() == Some(name));
            if let (false, Copy::Running) = (is_listed, &copy) {
                *copy = Copy::Stopping(now + stop_takes);
            }
            is_listed || !matches!(copy, Copy::Ended)
        });
    }

    /// What runs, runs under the grant of the drive; and at one host.
    fn check(&self) {
        let granted = self.granted.as_ref().and_then(|(order, _)| order.grant.as_deref());
        let mut running = Vec::new();
        for host in self.hosts.iter().filter(|host| host.sleeps_until <= self.now) {
            for (grant, copy) in &host.copies {
                if !matches!(copy, Copy::Ended) {
                    running.push((host.state_id, grant.as_str()));
                }
            }
        }
        assert!(running.len() <= 1, "two copies of one drive at once: {running:?}, granted: {granted:?}");
        for (host, grant) in running {
            assert_eq!(Some(grant), granted, "a copy runs at `{host}` that the service takes for ended");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_copy_runs_that_the_service_takes_for_ended() {
    let (mut grants, mut ends, mut cut_off) = (0, 0, 0);
    for seed in 0..300 {
        let mut history = History::new(seed);
        for _ in 0..8000 {
            history.step();
        }
        (grants, ends, cut_off) = (grants + history.grants, ends + history.ends, cut_off + history.cut_off);
    }
    assert!(
        grants > 1000 && ends > 500 && cut_off > 100,
        "the histories come far: {grants} grants, {ends} ends, {cut_off} cut off"
    );
}
