//! One station: what it told last, and what it is to do.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::result::TransferResult;
use protocol::station::{
    BayContent, CopyOrder, CopyReport, Grant, StationReport, Task, TaskResult, bay_of_station, is_same_host,
};
use protocol::station_rate::StationRate;
use protocol::stop::StopReason;
use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::call_error::CallError;
use super::clocks;
use super::times::FleetTimes;
use crate::names::random_name;

/// A station.
pub(super) struct Station {
    name: String,
    /// What this service is called in the answers to it.
    pub(super) service: String,
    /// Absent until its first call.
    told: Option<Told>,
    /// When it was last known that it has a token; absent where it has none, and does not come back.
    has_token_at: Option<Instant>,
    /// Since when it is known.
    known_since: Instant,
    grants: BTreeMap<String, Granted>,
    tasks: BTreeMap<String, (Task, oneshot::Sender<TaskResult>)>,
    /// Counts up whenever there is something new for it.
    pub(super) number: watch::Sender<u64>,
    /// Counts its calls: an earlier one that still waits is over.
    pub(super) calls: watch::Sender<u64>,
}

/// What a station told.
pub(super) struct Told {
    pub(super) heard: Instant,
    pub(super) heard_at: OffsetDateTime,
    /// How far its clock is ahead of the service's.
    pub(super) clock_ahead: time::Duration,
    pub(super) state_id: String,
    pub(super) process: u64,
    pub(super) call: u64,
    pub(super) version: String,
    pub(super) hall: Option<String>,
    pub(super) bays: Vec<BayContent>,
    pub(super) rate: StationRate,
    pub(super) is_stopping: bool,
}

/// A copy that a station may run.
struct Granted {
    order: CopyOrder,
    stop: Option<StopReason>,
    /// From then on it does not run any more, whatever became of the station.
    ends: Instant,
    progress: Progress,
    unreadable: UnreadableSoFar,
    /// Where its end goes; gone when it was told.
    ended: Option<oneshot::Sender<TransferResult>>,
}

impl Station {
    pub(super) fn new(name: &str) -> Self {
        Station {
            name: name.to_owned(),
            service: random_name(),
            told: None,
            has_token_at: None,
            known_since: Instant::now(),
            grants: BTreeMap::new(),
            tasks: BTreeMap::new(),
            // Another service that the station called before counted from elsewhere.
            number: watch::Sender::new(u64::from(rand::random::<u32>()) + 1),
            calls: watch::Sender::new(0),
        }
    }

    pub(super) fn told(&self) -> Option<&Told> {
        self.told.as_ref()
    }

    pub(super) fn has_bay(&self, name: &str) -> bool {
        self.told.as_ref().is_some_and(|told| told.bays.iter().any(|bay| bay.name == name))
    }

    pub(super) fn copies(&self) -> usize {
        self.grants.values().filter(|granted| granted.ended.is_some()).count()
    }

    /// It had a token then.
    pub(super) fn note_token(&mut self, at: Instant) {
        self.has_token_at = self.has_token_at.max(Some(at));
    }

    /// It had no token then: it does not come back, and what runs there stops by itself before its grants end.
    pub(super) fn note_no_token(&mut self, at: Instant) {
        if self.has_token_at.is_none_or(|known| known < at) {
            self.has_token_at = None;
            self.tasks.clear();
            self.bump();
        }
    }

    /// Whether it may call.
    pub(super) fn has_token(&self) -> bool {
        self.has_token_at.is_some()
    }

    /// Whether nothing is to be known of it any more.
    pub(super) fn is_gone(&self) -> bool {
        !self.has_token() && self.grants.is_empty()
    }

    /// There is something new for it.
    pub(super) fn bump(&self) {
        self.number.send_modify(|number| *number += 1);
    }

    /// Why nothing is known of its bays now; `None` where it answers.
    pub(super) fn is_away(&self, now: Instant, times: &FleetTimes) -> Option<String> {
        let name = &self.name;
        match &self.told {
            None => Some(format!("the station `{name}` has not called yet")),
            Some(told) if now.duration_since(told.heard) > times.away_after => {
                Some(format!("the station `{name}` has not called for {} s", now.duration_since(told.heard).as_secs()))
            }
            Some(told) if told.is_stopping => Some(format!("the station `{name}` is stopping")),
            Some(_) => None,
        }
    }

    /// The same for people, who are not told of one that had no time to call yet.
    pub(super) fn is_missing(&self, now: Instant, times: &FleetTimes) -> Option<String> {
        let had_time = self.told.is_some() || now.duration_since(self.known_since) > times.away_after;
        self.is_away(now, times).filter(|_| self.has_token() && had_time)
    }

    /// Its bays under their full names.
    pub(super) fn bays(&self, now: Instant, times: &FleetTimes) -> Vec<BayContent> {
        let Some(told) = &self.told else { return Vec::new() };
        let away = self.is_away(now, times);
        let bay = |bay: &BayContent| BayContent {
            name: bay_of_station(&self.name, &bay.name),
            station: Some(self.name.clone()),
            hall: told.hall.clone(),
            state_id: Some(told.state_id.clone()),
            // A drive may have been taken out meanwhile: nothing is decided about it.
            drive: bay.drive.clone().filter(|_| away.is_none()),
            unknown: away.clone().or_else(|| bay.unknown.clone()),
            ..bay.clone()
        };
        told.bays.iter().map(bay).collect()
    }

    /// Takes a report in; false where it may have been sent before this service began, and is not taken in.
    ///
    /// # Errors
    /// When another process has the station's name.
    pub(super) fn receive(
        &mut self,
        report: StationReport,
        now: Instant,
        at: OffsetDateTime,
        times: &FleetTimes,
    ) -> Result<bool, CallError> {
        if report.service != self.service {
            return Ok(false);
        }
        self.admit(&report, now, times)?;
        self.note_token(now);
        if self.told.is_none() {
            self.drop_unknown(&report);
        }
        for (grant, copy) in report.copies {
            let Some(granted) = self.grants.get_mut(&grant) else { continue };
            match copy {
                CopyReport::Running { progress, unreadable } => (granted.progress, granted.unreadable) = (progress, unreadable),
                CopyReport::Ended { result } => {
                    granted.progress.phase = Phase::Done;
                    if let Some(ended) = granted.ended.take() {
                        // The receiver is gone only where the service is ending.
                        let _ = ended.send(*result);
                    }
                }
            }
        }
        for (task, result) in report.done {
            if let Some((_, answer)) = self.tasks.remove(&task) {
                let _ = answer.send(result);
                self.bump();
            }
        }
        let (before, known) = self.told.as_ref().map(|told| (told.clock_ahead, told.bays.as_slice())).unzip();
        let clock_ahead = clocks::ahead(report.told_at, at, before);
        if before.unwrap_or_default() != clock_ahead {
            tracing::warn!(
                station = self.name,
                seconds = clock_ahead.whole_seconds(),
                "the clock of a station is ahead by so much"
            );
        }
        let bays = clocks::by_this_clock(report.bays, clock_ahead, at, known.unwrap_or_default());
        self.told = Some(Told {
            heard: now,
            heard_at: at,
            clock_ahead,
            state_id: report.state_id,
            process: report.process,
            call: report.call,
            version: report.version,
            hall: report.hall,
            bays,
            rate: report.rate,
            is_stopping: report.is_stopping,
        });
        Ok(true)
    }

    /// One process at a time has a station's name. A new one on the same state directory has its lock: the one before has ended.
    /// One on another state directory waits until nothing of the other can run any more.
    fn admit(&mut self, report: &StationReport, now: Instant, times: &FleetTimes) -> Result<(), CallError> {
        let Some(told) = &self.told else {
            // Another service heard of it before: it knows which host has its copies.
            let others = self
                .grants
                .values()
                .filter(|granted| granted.order.state_id.as_ref().is_some_and(|id| !is_same_host(id, &report.state_id)));
            let is_other = others.map(|granted| granted.ends).max().is_some_and(|ends| ends > now);
            return if is_other { Err(CallError::NameInUse(self.name.clone())) } else { Ok(()) };
        };
        let is_same = is_same_host(&told.state_id, &report.state_id);
        if is_same && told.process == report.process {
            return if report.call > told.call { Ok(()) } else { Err(CallError::Superseded) };
        }
        // A call that was long on its way.
        if is_same && told.process > report.process {
            return Err(CallError::Replaced(self.name.clone()));
        }
        if !is_same {
            let may_run = self.grants.values().filter(|granted| !granted.order.account_only).map(|granted| granted.ends).max();
            if may_run.into_iter().chain([told.heard + times.away_after]).any(|end| end > now) {
                return Err(CallError::NameInUse(self.name.clone()));
            }
        }
        tracing::info!(station = self.name, "another process of the station calls: copies of the one before were cut off");
        self.grants.values_mut().for_each(|granted| granted.ended = None);
        self.tasks.clear();
        self.bump();
        Ok(())
    }

    /// Copies that a service before this one granted, and of which the station knows nothing, were cut off.
    fn drop_unknown(&mut self, report: &StationReport) {
        for granted in self.grants.iter_mut().filter(|(grant, _)| !report.copies.contains_key(*grant)).map(|(_, granted)| granted)
        {
            granted.ended = None;
        }
    }

    /// Every copy that it may run; each is renewed.
    pub(super) fn renew(&mut self, now: Instant, lease: Duration) -> Vec<Grant> {
        let listed = |granted: &mut Granted| {
            // What was cut off must not be begun again under the same grant.
            let is_over = granted.ended.is_none() && granted.progress.phase != Phase::Done;
            if is_over {
                return None;
            }
            granted.ends = now + lease;
            Some(Grant { order: granted.order.clone(), stop: granted.stop })
        };
        self.grants.values_mut().filter_map(listed).collect()
    }

    pub(super) fn tasks(&self) -> BTreeMap<String, Task> {
        self.tasks.iter().map(|(id, (task, _))| (id.clone(), task.clone())).collect()
    }

    /// Takes grants back that were not renewed in time: nothing of their copies runs any more.
    pub(super) fn expire(&mut self, now: Instant) {
        for granted in self.grants.values_mut().filter(|granted| granted.ends <= now && granted.ended.is_some()) {
            tracing::warn!(station = self.name, job = %granted.order.job_uid, "a station did not call in time: its copy was cut off");
            granted.ended = None;
        }
    }

    /// Grants a copy.
    pub(super) fn grant(&mut self, grant: &str, order: CopyOrder, ended: oneshot::Sender<TransferResult>, ends: Instant) {
        let granted = Granted {
            order,
            stop: None,
            ends,
            progress: Progress::of_nothing(Phase::Preparing),
            unreadable: UnreadableSoFar::default(),
            ended: Some(ended),
        };
        self.grants.insert(grant.to_owned(), granted);
        self.bump();
    }

    /// Forgets a grant: its end was written down.
    pub(super) fn forget_grant(&mut self, grant: &str) {
        if self.grants.remove(grant).is_some() {
            self.bump();
        }
    }

    pub(super) fn stop(&mut self, grant: &str, reason: StopReason) {
        let Some(granted) = self.grants.get_mut(grant) else { return };
        let gravest = granted.stop.map_or(reason, |before| before.max(reason));
        if granted.stop != Some(gravest) {
            granted.stop = Some(gravest);
            self.bump();
        }
    }

    pub(super) fn progress(&self, grant: &str) -> Progress {
        let Some(granted) = self.grants.get(grant) else { return Progress::of_nothing(Phase::Preparing) };
        let is_stopping = granted.stop.is_some() && granted.progress.phase != Phase::Done;
        let phase = if is_stopping { Phase::Draining } else { granted.progress.phase };
        Progress { phase, ..granted.progress.clone() }
    }

    pub(super) fn unreadable(&self, grant: &str) -> UnreadableSoFar {
        self.grants.get(grant).map(|granted| granted.unreadable.clone()).unwrap_or_default()
    }

    /// Asks for something, under a name by which the answer is known.
    pub(super) fn ask(&mut self, id: &str, task: Task, answer: oneshot::Sender<TaskResult>) {
        self.tasks.insert(id.to_owned(), (task, answer));
        self.bump();
    }

    pub(super) fn forget_task(&mut self, id: &str) {
        if self.tasks.remove(id).is_some() {
            self.bump();
        }
    }

    /// What is granted: the order, when it ends, and whether its end is still waited for.
    #[cfg(feature = "simulation")]
    pub(super) fn granted(&self) -> impl Iterator<Item = (&CopyOrder, Instant, bool)> {
        self.grants.values().map(|granted| (&granted.order, granted.ends, granted.ended.is_some()))
    }
}
