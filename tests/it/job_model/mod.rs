//! One job with two drives and two bays, exhaustively: every order of what customers, staff, the scheduler, crashes and time
//! can do, on the real decisions of `protocol`.

mod world;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use protocol::job::{DriveState, Event, Field, Job, JobKind, JobState, decide};
use protocol::outcome::Outcome;
use stateright::{Checker, Model, Property};
use time::OffsetDateTime;

use world::{Act, BAYS, DRIVES, World};

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
