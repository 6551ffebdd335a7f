//! A job with its drives, its bays and the runs of its copies, and everything that can happen to them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use protocol::job::{
    BlobName, CopyEvent, CopyRecord, CopyStep, DriveState, Effect, Event, Job, JobState, RetryOptions, RunEnd, decide,
    decide_copy,
};
use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};
use protocol::station::{Binding, DockedDrive, DockedHere, JobInHand, Next, next};
use time::{Duration, OffsetDateTime};

pub const DRIVES: [&str; 2] = ["A", "B"];
pub const BAYS: [&str; 2] = ["bay-0", "bay-1"];

/// How often half a month goes by.
const HALF_MONTHS_MAX: u8 = 2;

/// A run: its drive, and its bay.
pub type Run = (usize, usize);

/// The job, the bays, and what runs.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// `None` where it was removed.
    pub job: Option<Job>,
    pub copies: BTreeMap<String, CopyRecord>,
    pub half_months: u8,
    /// The drive in each bay, and whether it was bound there.
    pub bays: [Option<(usize, bool)>; 2],
    pub running: BTreeSet<Run>,
    /// Runs that were asked to stop.
    pub stopping: BTreeSet<Run>,
}

impl Eq for World {}

/// The checker knows states by this alone: everything in which they differ is in it.
impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.job.is_some().hash(state);
        if let Some(job) = &self.job {
            (job.state, job.cancel_requested, job.went_silent).hash(state);
            (job.changed_at, job.entered_at, job.heard_of_at).hash(state);
            job.drives.iter().for_each(|drive| (drive.state, drive.had_error).hash(state));
        }
        for (drive, record) in &self.copies {
            (drive, record.state.name(), record.is_unaccounted, record.is_abandoned, record.runs).hash(state);
        }
        (self.half_months, self.bays, &self.running, &self.stopping).hash(state);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Ship,
    Cancel,
    Delete,
    /// Half a month goes by.
    Wait,
    Dock(usize, usize),
    TakeOut(usize),
    CheckIn(usize),
    NeverReceived(usize),
    /// A round of the scheduler looks at a bay.
    Serve(usize),
    /// A round stops copies of a cancelled job, or accounts for them.
    Stop(usize),
    End(usize, usize, Outcome),
    /// The service is killed, and starts again.
    Kill,
    Pause(usize),
    Allow(usize),
    GiveUp(usize),
    ShipBack,
}

impl World {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::days(16) * i32::from(self.half_months)
    }

    /// Decides an event; `None` where it is refused, or the job is gone.
    fn decide(mut self, event: Event) -> Option<World> {
        let decision = decide(self.job.as_ref()?, event, self.now()).ok()?;
        let is_removed = decision.effects.contains(&Effect::Remove);
        self.job = (!is_removed).then_some(decision.job);
        Some(self)
    }

    fn decide_copy(mut self, drive: usize, event: CopyEvent) -> Option<(World, CopyStep)> {
        let record = self.copies.entry(DRIVES[drive].to_owned()).or_default();
        let (next, step) = decide_copy(record, event, OffsetDateTime::UNIX_EPOCH).ok()?;
        // What only counts or is shown would make states differ for ever.
        *record = CopyRecord {
            state: next.state,
            is_unaccounted: next.is_unaccounted,
            is_abandoned: next.is_abandoned,
            runs: next.runs.min(1),
            ..CopyRecord::default()
        };
        Some((self, step))
    }

    pub fn drive_state(&self, drive: usize) -> Option<DriveState> {
        self.job.as_ref().and_then(|job| job.drive(DRIVES[drive])).map(|drive| drive.state)
    }

    fn is_running(&self, drive: usize) -> bool {
        self.running.iter().any(|run| run.0 == drive)
    }

    /// What the scheduler does about a bay.
    fn serve(self, bay: usize) -> Option<World> {
        let (drive, is_bound) = self.bays[bay]?;
        let job = self.job.as_ref()?;
        if self.running.iter().any(|run| run.1 == bay) {
            return None;
        }
        let docked_drive = DockedDrive {
            path: String::new(),
            drive_id: Some(DRIVES[drive].to_owned()),
            bridge_serial: None,
            weak_identity: Vec::new(),
            model: None,
            size_bytes: 1,
        };
        let here = DockedHere {
            bay: BAYS[bay],
            is_watched: true,
            drive: &docked_drive,
            docked_at: None,
            binding: is_bound.then(|| Binding { job_uid: "job".to_owned(), drive_id: Some(DRIVES[drive].to_owned()) }),
            twins: Vec::new(),
            running_jobs: if self.is_running(drive) { vec!["job".to_owned()] } else { Vec::new() },
        };
        let copies = &self.copies;
        let in_hand =
            JobInHand { uid: "job", subscription: "s", resource_group: "g", name: "j", delivery: None, machine: job, copies };
        let decided = next(&here, &[in_hand], self.now()).next;
        match decided {
            Next::CheckIn => self.decide(Event::CheckIn(DRIVES[drive].to_owned())).map(|world| world.bind(bay)),
            Next::Copy => self.begin(drive, bay),
            Next::Wait(_) | Next::WaitForOthers | Next::Unknown | Next::Undecided(_) | Next::NotShipped | Next::CameTooLate => {
                None
            }
        }
    }

    fn bind(mut self, bay: usize) -> World {
        self.bays[bay] = self.bays[bay].map(|(drive, _)| (drive, true));
        self
    }

    fn begin(self, drive: usize, bay: usize) -> Option<World> {
        let blob = BlobName { container: "c".to_owned(), name: "n".to_owned() };
        let event = CopyEvent::Begin { bay: BAYS[bay].to_owned(), blob, size_bytes: None };
        let (world, _) = self.decide_copy(drive, event)?;
        let mut world = match world.drive_state(drive) {
            Some(DriveState::Transferring) => world,
            _ => world.decide(Event::CopyStarted(DRIVES[drive].to_owned()))?,
        };
        world.running.insert((drive, bay));
        Some(world.bind(bay))
    }

    fn end(mut self, run: Run, outcome: Outcome) -> Option<World> {
        if !self.running.remove(&run) {
            return None;
        }
        let was_stopped = self.stopping.remove(&run);
        if was_stopped != (outcome == Outcome::Cancelled) {
            return None;
        }
        self.write_end(run.0, outcome)
    }

    /// The end of a run is written down.
    fn write_end(self, drive: usize, outcome: Outcome) -> Option<World> {
        let cancel_requested = self.job.as_ref()?.cancel_requested;
        let result = TransferResult::not_begun(outcome, Direction::Import, "c/n");
        let run_end = RunEnd { bay: BAYS[0].to_owned(), result, is_account_only: true, cancel_requested };
        let (world, step) = self.decide_copy(drive, CopyEvent::RunEnded(Box::new(run_end)))?;
        match step {
            CopyStep::End(end) => world.decide(Event::CopyEnded(DRIVES[drive].to_owned(), end)),
            CopyStep::Begin { .. } | CopyStep::Nothing => Some(world),
        }
    }

    /// What a round does about the copy of a drive whose job was cancelled.
    fn stop(mut self, drive: usize) -> Option<World> {
        if self.drive_state(drive) != Some(DriveState::Transferring) || !self.job.as_ref()?.cancel_requested {
            return None;
        }
        if let Some(run) = self.running.iter().find(|run| run.0 == drive).copied() {
            return self.stopping.insert(run).then_some(self);
        }
        self.write_end(drive, Outcome::Cancelled)
    }

    fn kill(mut self) -> Option<World> {
        let had_runs = !self.running.is_empty();
        self.running.clear();
        self.stopping.clear();
        had_runs.then_some(self)
    }

    fn pause(self, drive: usize) -> Option<World> {
        let is_undone = matches!(self.drive_state(drive)?, DriveState::Received | DriveState::Transferring);
        if !is_undone || self.job.as_ref()?.cancel_requested {
            return None;
        }
        let (mut world, _) = self.decide_copy(drive, CopyEvent::Pause)?;
        let runs: Vec<Run> = world.running.iter().filter(|run| run.0 == drive).copied().collect();
        world.stopping.extend(runs);
        Some(world)
    }

    /// Resume, retry, or take back that it was given up.
    fn allow(self, drive: usize) -> Option<World> {
        let state = self.drive_state(drive)?;
        let is_done = state == DriveState::CompletedMoreInfo;
        let is_undone = matches!(state, DriveState::Received | DriveState::Transferring);
        if self.job.as_ref()?.cancel_requested || !(is_done || is_undone) || self.is_running(drive) {
            return None;
        }
        let (world, _) = self.decide_copy(drive, CopyEvent::Allow(RetryOptions::default()))?;
        if is_done {
            let was_begun = world.copies.get(DRIVES[drive]).is_some_and(CopyRecord::was_begun);
            world.decide(Event::Retry { id: DRIVES[drive].to_owned(), was_begun })
        } else {
            Some(world)
        }
    }

    fn give_up(self, drive: usize) -> Option<World> {
        if self.is_running(drive) {
            return None;
        }
        let (world, _) = self.decide_copy(drive, CopyEvent::Abandon)?;
        world.decide(Event::Abandon(DRIVES[drive].to_owned()))
    }

    fn dock(mut self, drive: usize, bay: usize) -> Option<World> {
        if self.bays[bay].is_some() || self.bays.iter().flatten().any(|(other, _)| *other == drive) {
            return None;
        }
        self.bays[bay] = Some((drive, false));
        Some(self)
    }

    /// The same without what cannot matter any more, and with bays in one order: fewer states to go through.
    pub fn plain(mut self) -> World {
        let waits = matches!(self.state(), Some(JobState::Creating | JobState::Shipping));
        if let Some(job) = self.job.as_mut().filter(|_| !waits) {
            self.half_months = 0;
            (job.changed_at, job.entered_at, job.heard_of_at) = [OffsetDateTime::UNIX_EPOCH; 3].into();
        }
        if self.is_over() {
            (self.bays, self.copies) = ([None; 2], BTreeMap::new());
        }
        if self.bays[0] > self.bays[1] {
            self.bays.swap(0, 1);
            let swapped = |runs: &BTreeSet<Run>| runs.iter().map(|(drive, bay)| (*drive, 1 - bay)).collect();
            (self.running, self.stopping) = (swapped(&self.running), swapped(&self.stopping));
        }
        self
    }

    pub fn act(mut self, act: Act) -> Option<World> {
        let id = |drive: usize| DRIVES[drive].to_owned();
        match act {
            _ if self.is_over() => None,
            Act::Ship => self.decide(Event::Ship),
            Act::Cancel => self.decide(Event::Cancel),
            Act::Delete => self.decide(Event::Delete),
            Act::Wait if self.half_months == HALF_MONTHS_MAX => None,
            Act::Wait => {
                self.half_months += 1;
                self.decide(Event::Tick)
            }
            Act::Dock(drive, bay) => self.dock(drive, bay),
            Act::TakeOut(bay) => self.bays[bay].take().map(|_| self),
            Act::CheckIn(drive) => self.decide(Event::CheckIn(id(drive))),
            Act::NeverReceived(drive) => self.decide(Event::NeverReceived(Some(id(drive)))),
            Act::Serve(bay) => self.serve(bay),
            Act::Stop(drive) => self.stop(drive),
            Act::End(drive, bay, outcome) => self.end((drive, bay), outcome),
            Act::Kill => self.kill(),
            Act::Pause(drive) => self.pause(drive),
            Act::Allow(drive) => self.allow(drive),
            Act::GiveUp(drive) => self.give_up(drive),
            Act::ShipBack => self.decide(Event::ShippedBack),
        }
    }

    pub fn state(&self) -> Option<JobState> {
        self.job.as_ref().map(|job| job.state)
    }

    /// Whether no two runs have the same drive, or bay.
    pub fn runs_once(&self, of: fn(&Run) -> usize) -> bool {
        let seen: BTreeSet<usize> = self.running.iter().map(of).collect();
        seen.len() == self.running.len()
    }

    pub fn is_over(&self) -> bool {
        self.state().is_none_or(JobState::is_final)
    }
}
