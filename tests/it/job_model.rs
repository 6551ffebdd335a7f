//! One job with two drives and two bays, exhaustively: every order of what customers, staff, the scheduler, crashes and time
//! can do, on the real decisions of `protocol`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use protocol::job::{
    BlobName, CopyEvent, CopyRecord, CopyStep, DriveState, Effect, Event, Field, Job, JobKind, JobState, RunEnd, decide,
    decide_copy,
};
use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};
use protocol::station::{Binding, DockedDrive, DockedHere, JobInHand, Next, next};
use stateright::{Checker, Model, Property};
use time::{Duration, OffsetDateTime};

const DRIVES: [&str; 2] = ["A", "B"];
const BAYS: [&str; 2] = ["bay-0", "bay-1"];

/// How often half a month goes by.
const HALF_MONTHS_MAX: u8 = 2;

/// A run: its drive, and its bay.
type Run = (usize, usize);

/// The job, the bays, and what runs.
#[derive(Debug, Clone, PartialEq)]
struct World {
    /// `None` where it was removed.
    job: Option<Job>,
    copies: BTreeMap<String, CopyRecord>,
    half_months: u8,
    /// The drive in each bay, and whether it was bound there.
    bays: [Option<(usize, bool)>; 2],
    running: BTreeSet<Run>,
    /// Runs that were asked to stop.
    stopping: BTreeSet<Run>,
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
enum Act {
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

    fn drive_state(&self, drive: usize) -> Option<DriveState> {
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
            Next::Wait(_) | Next::WaitForOthers | Next::Unknown | Next::Undecided(_) | Next::NotShipped => None,
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
        let (world, _) = self.decide_copy(drive, CopyEvent::Allow(protocol::job::RetryOptions::default()))?;
        if is_done { world.decide(Event::Retry(DRIVES[drive].to_owned())) } else { Some(world) }
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
    fn plain(mut self) -> World {
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

    fn act(mut self, act: Act) -> Option<World> {
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

    fn state(&self) -> Option<JobState> {
        self.job.as_ref().map(|job| job.state)
    }

    /// Whether no two runs have the same drive, or bay.
    fn runs_once(&self, of: fn(&Run) -> usize) -> bool {
        let seen: BTreeSet<usize> = self.running.iter().map(of).collect();
        seen.len() == self.running.len()
    }

    fn is_over(&self) -> bool {
        self.state().is_none_or(JobState::is_final)
    }
}

/// Everything that can be tried.
fn all_acts() -> Vec<Act> {
    let mut acts = vec![Act::Ship, Act::Cancel, Act::Delete, Act::Wait, Act::Kill, Act::ShipBack];
    for drive in 0..DRIVES.len() {
        acts.extend([Act::CheckIn(drive), Act::NeverReceived(drive), Act::Stop(drive)]);
        acts.extend([Act::Pause(drive), Act::Allow(drive), Act::GiveUp(drive)]);
        for bay in 0..BAYS.len() {
            acts.push(Act::Dock(drive, bay));
            let outcomes = [Outcome::Complete, Outcome::DriveFailed, Outcome::Cancelled];
            acts.extend(outcomes.map(|outcome| Act::End(drive, bay, outcome)));
        }
    }
    acts.extend((0..BAYS.len()).flat_map(|bay| [Act::TakeOut(bay), Act::Serve(bay)]));
    acts
}

struct JobModel;

impl Model for JobModel {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let mut job = Job::new(JobKind::Import, DRIVES.map(str::to_owned), OffsetDateTime::UNIX_EPOCH);
        let shown = Event::Change(vec![Field::ReturnAddress, Field::DeliveryPackage]);
        job = decide(&job, shown, OffsetDateTime::UNIX_EPOCH).unwrap().job;
        let (bays, copies) = ([None; 2], BTreeMap::new());
        let (running, stopping) = (BTreeSet::new(), BTreeSet::new());
        vec![World { job: Some(job), copies, half_months: 0, bays, running, stopping }]
    }

    fn actions(&self, _: &World, actions: &mut Vec<Act>) {
        actions.extend(all_acts());
    }

    fn next_state(&self, last: &World, act: Act) -> Option<World> {
        last.clone().act(act).map(World::plain)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no drive is copied in two bays at once", |_, world: &World| world.runs_once(|run| run.0)),
            Property::always("no bay copies two drives at once", |_, world: &World| world.runs_once(|run| run.1)),
            Property::always("nothing is copied but in Transferring", |_, world: &World| {
                world.running.is_empty() || world.state() == Some(JobState::Transferring)
            }),
            Property::always("a cancelled job is never Closed", |_, world: &World| {
                world.job.as_ref().is_none_or(|job| !job.cancel_requested || job.state != JobState::Closed)
            }),
            Property::always("no drive is done while it is copied", |_, world: &World| {
                world.running.iter().all(|run| world.drive_state(run.0) == Some(DriveState::Transferring))
            }),
            Property::sometimes("a job ends Completed", |_, world: &World| world.state() == Some(JobState::Completed)),
            Property::sometimes("a job ends Closed", |_, world: &World| world.state() == Some(JobState::Closed)),
        ]
    }
}

#[test]
fn whatever_the_order_a_job_keeps_its_promises() {
    let checker = JobModel.checker().spawn_bfs().join();
    checker.assert_properties();
}

/// From every state that can be reached, what staff, the scheduler and time can do leads to the end of the job: customers
/// are not needed.
#[test]
fn no_state_of_a_job_is_a_dead_end() {
    let (states, leads_to) = explore();
    let mut is_good: Vec<bool> = states.iter().map(World::is_over).collect();
    let mut from: Vec<Vec<usize>> = vec![Vec::new(); states.len()];
    for (state, next) in leads_to.iter().enumerate() {
        next.iter().for_each(|next| from[*next].push(state));
    }
    let mut open: VecDeque<usize> = (0..states.len()).filter(|state| is_good[*state]).collect();
    while let Some(state) = open.pop_front() {
        for before in &from[state] {
            if !std::mem::replace(&mut is_good[*before], true) {
                open.push_back(*before);
            }
        }
    }
    let stuck = is_good.iter().position(|is_good| !is_good);
    assert_eq!(stuck.map(|state| &states[state]), None, "nothing leads on from here");
}

/// Every state that can be reached, and where what is not the customer's to do leads from each.
fn explore() -> (Vec<World>, Vec<Vec<usize>>) {
    let mut states = JobModel.init_states();
    let mut known: HashMap<World, usize> = HashMap::from([(states[0].clone(), 0)]);
    let mut leads_to: Vec<Vec<usize>> = Vec::new();
    let acts = all_acts();
    while leads_to.len() < states.len() {
        let state = states[leads_to.len()].clone();
        let mut next = Vec::new();
        for act in &acts {
            let Some(after) = JobModel.next_state(&state, *act) else { continue };
            let number = *known.entry(after.clone()).or_insert_with(|| {
                states.push(after);
                states.len() - 1
            });
            if !matches!(act, Act::Ship | Act::Cancel | Act::Delete) {
                next.push(number);
            }
        }
        leads_to.push(next);
    }
    (states, leads_to)
}
