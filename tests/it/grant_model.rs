//! One drive and two stations, exhaustively, on the real decisions of `protocol`: grants that are not renewed, hosts that sleep,
//! are killed or cannot be reached, drives that are carried over, and ends that come late. Two rules keep the promises: an end
//! counts for its own grant alone, and a host stops before its grant ends. Without either of them the model finds how they break.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use protocol::job::{
    BlobName, CopyEvent, CopyRecord, CopyStep, DriveState, Event, Field, Job, JobKind, JobState, RetryOptions, RunEnd, decide,
    decide_copy,
};
use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};
use stateright::{Checker, Model, Property};
use time::OffsetDateTime;

const DRIVE: &str = "A";
const STATIONS: usize = 2;
const GRANTS_MAX: u8 = 2;
const MOVES_MAX: u8 = 2;

/// How much of the time of a grant has passed since it was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lease {
    Fresh,
    /// The host stops what runs under it.
    StopTime,
    /// The service may take it that nothing runs under it.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Host {
    /// The grant of the copy that it runs.
    runs: Option<u8>,
    lease: Lease,
    is_asleep: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct World {
    job: Job,
    record: CopyRecord,
    /// The station that the drive is docked at.
    docked: Option<usize>,
    moves: u8,
    /// What the service granted: the station, and the number of the grant.
    granted: Option<(usize, u8)>,
    grants: u8,
    hosts: [Host; STATIONS],
    /// Ends that were sent.
    ends: BTreeSet<(u8, &'static str)>,
    is_blob_whole: bool,
    /// Something was written for a job that does not copy.
    was_late: bool,
}

impl Eq for World {}

/// The checker knows states by this alone: everything in which they differ is in it.
impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.job.state, self.job.cancel_requested).hash(state);
        self.job.drives.iter().for_each(|drive| (drive.state, drive.had_error).hash(state));
        let record = &self.record;
        (record.state.name(), record.is_unaccounted, record.is_abandoned, record.runs).hash(state);
        (self.docked, self.moves, self.granted, self.grants, self.hosts).hash(state);
        (&self.ends, self.is_blob_whole, self.was_late).hash(state);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Dock(usize),
    TakeOut,
    CheckIn,
    Cancel,
    Pause,
    Allow,
    ShipBack,
    /// The service grants the copy to the station that has the drive.
    Grant,
    /// The service takes back what was not renewed.
    TakeBack,
    /// A round accounts for the copy of a cancelled job that does not run.
    Account,
    /// A call of a station is answered; one that cannot be reached gets no answer.
    Call(usize),
    /// Time passes without one.
    Pass(usize),
    Sleep(usize),
    Wake(usize),
    Kill(usize),
    Finish(usize, &'static str),
    /// An end arrives.
    Arrive(u8, &'static str),
}

const COMPLETE: &str = "complete";
const FAILED: &str = "drive-failed";
const CANCELLED: &str = "cancelled";

fn outcome(name: &str) -> Outcome {
    match name {
        COMPLETE => Outcome::Complete,
        FAILED => Outcome::DriveFailed,
        _ => Outcome::Cancelled,
    }
}

struct Grants {
    /// An end counts only for the grant that the service has.
    has_fence: bool,
    /// A host stops before its grant ends.
    stops_itself: bool,
}

impl World {
    fn new() -> Self {
        let job = Job::new(JobKind::Import, [DRIVE.to_owned()], OffsetDateTime::UNIX_EPOCH);
        let shown = Event::Change(vec![Field::ReturnAddress, Field::DeliveryPackage]);
        let job = [shown, Event::Ship].into_iter().fold(job, |job, event| decided(&job, event).unwrap());
        let host = Host { runs: None, lease: Lease::Ended, is_asleep: false };
        World {
            job,
            record: CopyRecord::default(),
            docked: None,
            moves: 0,
            granted: None,
            grants: 0,
            hosts: [host; STATIONS],
            ends: BTreeSet::new(),
            is_blob_whole: false,
            was_late: false,
        }
    }

    fn drive_state(&self) -> DriveState {
        self.job.drive(DRIVE).unwrap().state
    }

    fn decide(self, event: Event) -> Option<World> {
        Some(World { job: decided(&self.job, event)?, ..self })
    }

    fn decide_copy(self, event: CopyEvent) -> Option<(World, CopyStep)> {
        let (next, step) = decide_copy(&self.record, event, OffsetDateTime::UNIX_EPOCH).ok()?;
        // What only counts or is shown would make states differ for ever.
        let record = CopyRecord {
            state: next.state,
            is_unaccounted: next.is_unaccounted,
            is_abandoned: next.is_abandoned,
            runs: next.runs.min(1),
            ..CopyRecord::default()
        };
        Some((World { record, ..self }, step))
    }

    fn grant(self) -> Option<World> {
        let station = self.docked?;
        let host = self.hosts[station];
        let may_begin = matches!(self.drive_state(), DriveState::Received | DriveState::Transferring);
        if self.granted.is_some() || self.grants == GRANTS_MAX || host.is_asleep || !may_begin {
            return None;
        }
        if self.job.cancel_requested {
            return None;
        }
        let blob = BlobName { container: "c".to_owned(), name: "n".to_owned() };
        let event = CopyEvent::Begin { bay: "bay".to_owned(), blob, size_bytes: None };
        let (world, _) = self.decide_copy(event)?;
        let mut world = match world.drive_state() {
            DriveState::Transferring => world,
            _ => world.decide(Event::CopyStarted(DRIVE.to_owned()))?,
        };
        world.grants += 1;
        world.granted = Some((station, world.grants));
        world.hosts[station].lease = Lease::Fresh;
        Some(world)
    }

    /// A call renews the grant, begins the copy where it does not run, and stops one that is not wanted any more.
    fn call(mut self, station: usize) -> Option<World> {
        let host = self.hosts[station];
        if host.is_asleep {
            return None;
        }
        let own = self.granted.filter(|(holder, _)| *holder == station).map(|(_, number)| number);
        let is_wanted = !self.job.cancel_requested && self.record.state.name() != "paused";
        let host = &mut self.hosts[station];
        match (own, host.runs) {
            (Some(number), None) if !self.ends.iter().any(|end| end.0 == number) => {
                host.lease = Lease::Fresh;
                match is_wanted && self.docked == Some(station) {
                    true => host.runs = Some(number),
                    false => drop(self.ends.insert((number, CANCELLED))),
                }
            }
            (Some(number), Some(running)) if number == running => {
                host.lease = Lease::Fresh;
                if !is_wanted {
                    host.runs = None;
                    self.ends.insert((number, CANCELLED));
                }
            }
            (_, Some(_)) => host.runs = None,
            _ => return None,
        }
        Some(self)
    }

    fn pass(mut self, station: usize, rules: &Grants) -> Option<World> {
        let host = &mut self.hosts[station];
        host.lease = match host.lease {
            Lease::Fresh => Lease::StopTime,
            Lease::StopTime => Lease::Ended,
            Lease::Ended => return None,
        };
        // One that sleeps stops when it wakes.
        if rules.stops_itself && !host.is_asleep {
            host.runs = None;
        }
        Some(self)
    }

    fn wake(mut self, station: usize, rules: &Grants) -> Option<World> {
        let host = &mut self.hosts[station];
        if !std::mem::replace(&mut host.is_asleep, false) {
            return None;
        }
        if rules.stops_itself && host.lease != Lease::Fresh {
            host.runs = None;
        }
        Some(self)
    }

    fn finish(mut self, station: usize, end: &'static str) -> Option<World> {
        let host = &mut self.hosts[station];
        if host.is_asleep {
            return None;
        }
        let number = host.runs.take()?;
        self.ends.insert((number, end));
        if end == COMPLETE {
            self.was_late |= self.job.state != JobState::Transferring;
            self.is_blob_whole = true;
        }
        Some(self)
    }

    fn arrive(mut self, number: u8, end: &'static str, rules: &Grants) -> Option<World> {
        if !self.ends.remove(&(number, end)) {
            return None;
        }
        let is_own = self.granted.is_some_and(|granted| granted.1 == number);
        if !is_own && rules.has_fence {
            return Some(self);
        }
        if is_own {
            self.granted = None;
        }
        self.write_end(outcome(end))
    }

    fn write_end(self, outcome: Outcome) -> Option<World> {
        let cancel_requested = self.job.cancel_requested;
        let result = TransferResult::not_begun(outcome, Direction::Import, "c/n");
        let end = RunEnd { bay: "bay".to_owned(), result, is_account_only: outcome == Outcome::Cancelled, cancel_requested };
        let (world, step) = self.decide_copy(CopyEvent::RunEnded(Box::new(end)))?;
        match step {
            CopyStep::End(end) => world.decide(Event::CopyEnded(DRIVE.to_owned(), end)),
            CopyStep::Begin { .. } | CopyStep::Nothing => Some(world),
        }
    }

    fn take_out(mut self) -> Option<World> {
        let station = self.docked.take()?;
        let host = &mut self.hosts[station];
        if let Some(number) = host.runs.filter(|_| !host.is_asleep) {
            host.runs = None;
            self.ends.insert((number, FAILED));
        }
        Some(self)
    }

    fn act(mut self, act: Act, rules: &Grants) -> Option<World> {
        match act {
            _ if self.job.state.is_final() => None,
            Act::Dock(station) => {
                if self.docked.is_some() || self.moves == MOVES_MAX {
                    return None;
                }
                (self.docked, self.moves) = (Some(station), self.moves + 1);
                Some(self)
            }
            Act::TakeOut => self.take_out(),
            Act::CheckIn => self.decide(Event::CheckIn(DRIVE.to_owned())),
            Act::Cancel => self.decide(Event::Cancel),
            Act::Pause if self.job.cancel_requested => None,
            Act::Pause => self.decide_copy(CopyEvent::Pause).map(|(world, _)| world),
            Act::Allow if self.granted.is_some() || self.drive_state() == DriveState::CompletedMoreInfo => None,
            Act::Allow => self.decide_copy(CopyEvent::Allow(RetryOptions::default())).map(|(world, _)| world),
            Act::ShipBack => self.decide(Event::ShippedBack),
            Act::Grant => self.grant(),
            Act::TakeBack => self.granted.take_if(|(station, _)| self.hosts[*station].lease == Lease::Ended).map(|_| self),
            Act::Account => {
                let is_due = self.drive_state() == DriveState::Transferring && self.job.cancel_requested;
                if is_due && self.granted.is_none() { self.write_end(Outcome::Cancelled) } else { None }
            }
            Act::Call(station) => self.call(station),
            Act::Pass(station) => self.pass(station, rules),
            Act::Sleep(station) => {
                let host = &mut self.hosts[station];
                (!std::mem::replace(&mut host.is_asleep, true)).then_some(self)
            }
            Act::Wake(station) => self.wake(station, rules),
            Act::Kill(station) => self.hosts[station].runs.take().map(|_| self),
            Act::Finish(station, end) => self.finish(station, end),
            Act::Arrive(number, end) => self.arrive(number, end, rules),
        }
    }

    /// How many hosts may write now.
    fn runners(&self) -> usize {
        self.hosts.iter().filter(|host| host.runs.is_some() && !(host.is_asleep && host.lease == Lease::Ended)).count()
    }
}

fn decided(job: &Job, event: Event) -> Option<Job> {
    decide(job, event, OffsetDateTime::UNIX_EPOCH).ok().map(|decision| decision.job)
}

impl Model for Grants {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, _: &World, actions: &mut Vec<Act>) {
        actions.extend([Act::TakeOut, Act::CheckIn, Act::Cancel, Act::Pause, Act::Allow, Act::ShipBack]);
        actions.extend([Act::Grant, Act::TakeBack, Act::Account]);
        for station in 0..STATIONS {
            actions.extend([Act::Dock(station), Act::Call(station), Act::Pass(station), Act::Sleep(station), Act::Wake(station)]);
            actions.extend([Act::Kill(station)]);
            actions.extend([COMPLETE, FAILED].map(|end| Act::Finish(station, end)));
        }
        for number in 1..=GRANTS_MAX {
            actions.extend([COMPLETE, FAILED, CANCELLED].map(|end| Act::Arrive(number, end)));
        }
    }

    fn next_state(&self, last: &World, act: Act) -> Option<World> {
        last.clone().act(act, self)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE, |_, world: &World| world.runners() <= 1),
            Property::always(RUNS, |_, world: &World| world.granted.is_none() || world.drive_state() == DriveState::Transferring),
            Property::always(LATE, |_, world: &World| !world.was_late),
            Property::always(WHOLE, |_, world: &World| world.drive_state() != DriveState::Completed || world.is_blob_whole),
            Property::always("a cancelled job is never Closed", |_, world: &World| {
                !world.job.cancel_requested || world.job.state != JobState::Closed
            }),
            Property::sometimes("a job ends Completed", |_, world: &World| world.job.state == JobState::Completed),
            Property::sometimes("the last grant may be used", |_, world: &World| world.grants == GRANTS_MAX),
        ]
    }
}

const ONE: &str = "no two hosts run the copy of one drive";
const RUNS: &str = "nothing is granted but in Transferring";
const LATE: &str = "nothing is written for a job that does not copy";
const WHOLE: &str = "a drive that is Completed has its blob";

/// The promises that are broken under these rules.
fn broken(rules: Grants) -> BTreeSet<&'static str> {
    let checker = rules.checker().spawn_bfs().join();
    let is_promise = |name: &&'static str| [ONE, RUNS, LATE, WHOLE].contains(name);
    checker.discoveries().into_keys().filter(is_promise).collect()
}

#[test]
fn whatever_the_order_no_copy_runs_twice_and_no_late_end_counts() {
    let checker = Grants { has_fence: true, stops_itself: true }.checker().spawn_bfs().join();
    checker.assert_properties();
}

#[test]
fn an_end_that_counted_for_another_grant_would_break_the_promises() {
    assert!(broken(Grants { has_fence: false, stops_itself: true }).contains(RUNS));
}

#[test]
fn a_host_that_did_not_stop_itself_would_break_the_promises() {
    let broken = broken(Grants { has_fence: true, stops_itself: false });
    assert!(broken.contains(ONE) && broken.contains(LATE), "{broken:?}");
}
