//! What must hold after each step, computed from what is really true.

use std::collections::BTreeMap;

use protocol::job::JobState;
use serde_json::Value;

use crate::site::Begun;
use crate::world::{Checked, Job, Violation, World};
use crate::{hosts_oracle, receipts};

/// Rounds and requests of a history at most: several times as many as the longest took. Something that is done again and
/// again, and comes to nothing, is told and not waited for.
const TURNS_MAX: u64 = 40_000;

/// Looks at everything that changed since the last step.
pub fn check(world: &mut World) -> Checked {
    let (changes, _) = world.counts();
    if changes != world.looked_at {
        world.looked_at = changes;
        for job in world.living_jobs() {
            observe(world, job)?;
        }
    }
    if let Some(text) = world.worker.site().violations.first() {
        return Err(Violation(text.clone()));
    }
    if world.turns > TURNS_MAX {
        return Err(Violation(format!("the history does not come to its end in {TURNS_MAX} turns of the service")));
    }
    check_runs(world)?;
    check_copies(world)?;
    hosts_oracle::check(world)?;
    check_forgotten(world)
}

/// Looks at a job, and compares it with what was seen before.
fn observe(world: &mut World, number: usize) -> Checked {
    let (status, seen) = world.call(None, "GET", &world.jobs[number].operator_path(), &Value::Null);
    let before = world.jobs[number].clone();
    if status == 404 {
        return observe_gone(world, number, &before);
    }
    if status != 200 {
        // Killed while it answered.
        return Ok(());
    }
    if before.is_deleted {
        return Err(Violation(format!("job {number} was deleted, and is still there")));
    }
    if seen == before.seen {
        return Ok(());
    }
    let rounds_done = world.rounds_done;
    let job = &mut world.jobs[number];
    job.uid = seen["uid"].as_str().map(str::to_owned);
    job.seen = seen;
    if job.is_cancelled() && !before.is_cancelled() {
        job.cancelled_at = Some(rounds_done);
        let is_done = |state: &str| matches!(state, "Completed" | "CompletedMoreInfo");
        job.done_before_cancel =
            before.shown_drives().into_iter().filter(|(_, state)| is_done(state)).map(|(id, _)| id).collect();
    }
    let job = world.jobs[number].clone();
    check_move(number, &before, &job)?;
    let is_done = job.state().is_some_and(|state| state == JobState::Packaging || state.is_final());
    if is_done {
        receipts::check(world, number)?;
    }
    Ok(())
}

fn observe_gone(world: &mut World, number: usize, before: &Job) -> Checked {
    world.jobs[number].is_gone = true;
    match before.state() {
        // Parcels of a job in Shipping may be missed for so long in one step that it ends and is removed.
        Some(state @ (JobState::Received | JobState::Transferring | JobState::Packaging)) => {
            Err(Violation(format!("job {number} was removed in {state}")))
        }
        _ => Ok(()),
    }
}

/// Whether a job may come from one state into another, in any number of moves.
fn may_become(from: JobState, to: JobState) -> bool {
    use JobState::{Closed, Completed, Creating, Packaging, Received, Shipping, Transferring};
    let place = |state: JobState| match state {
        Creating => 0,
        Shipping => 1,
        Received => 2,
        Transferring => 3,
        Packaging => 4,
        Completed | Closed => 5,
    };
    // A drive that was given up may be copied after all, until it is sent back.
    let is_undone = (from, to) == (Packaging, Transferring);
    from == to || place(from) < place(to) || is_undone
}

/// Whether one decision may move a job from one state into another.
fn may_follow(from: JobState, to: JobState) -> bool {
    use JobState::{Closed, Completed, Creating, Packaging, Received, Shipping, Transferring};
    match from {
        Creating => matches!(to, Shipping | Completed),
        Shipping => matches!(to, Received | Packaging | Completed | Closed),
        Received => matches!(to, Transferring | Packaging),
        Transferring => to == Packaging,
        Packaging => matches!(to, Transferring | Completed | Closed),
        Completed | Closed => false,
    }
}

/// The audit log tells every move, and each is one of the table.
pub fn check_audit(world: &mut World) -> Checked {
    let mut states: BTreeMap<String, JobState> = BTreeMap::new();
    for entry in world.list("audit").iter().rev() {
        let entered = entry["entered"].as_str().and_then(|name| name.parse::<JobState>().ok());
        let (Some(uid), Some(to)) = (entry["job_uid"].as_str(), entered) else { continue };
        match states.insert(uid.to_owned(), to) {
            Some(from) if !may_follow(from, to) => {
                return Err(Violation(format!("a job moved from {from} to {to}: {}", entry["action"])));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_move(number: usize, before: &Job, after: &Job) -> Checked {
    let violation = |text: String| Err(Violation(format!("job {number}: {text}")));
    let (Some(from), Some(to)) = (before.state(), after.state()) else { return Ok(()) };
    if !may_become(from, to) {
        return violation(format!("it moved from {from} to {to}"));
    }
    if before.is_cancelled() && !after.is_cancelled() {
        return violation("its cancel was taken back".to_owned());
    }
    if after.is_cancelled() && to == JobState::Closed {
        return violation("it was cancelled and ended Closed".to_owned());
    }
    if before.is_cancelled() && from != JobState::Transferring && to == JobState::Transferring {
        return violation("it was cancelled, and copies all the same".to_owned());
    }
    if let Some(text) = wrong_drive(before, after, (from, to)) {
        return violation(text);
    }
    Ok(())
}

/// A drive that moved as none may, or a job that ended as its drives do not allow.
fn wrong_drive(before: &Job, after: &Job, (from, to): (JobState, JobState)) -> Option<String> {
    let drives = after.shown_drives();
    if (from, to) == (JobState::Packaging, JobState::Packaging) {
        let known = before.shown_drives();
        let is_moved = |drive: &&(String, String)| drive.1 == "Received" && !known.contains(drive);
        return drives.iter().find(is_moved).map(|(id, _)| format!("the drive {id} was received in Packaging"));
    }
    let is_good = to == JobState::Completed && !after.is_cancelled() && !after.is_export;
    let is_whole = |id: &str| after.seen["copies"][id]["result"]["outcome"] == "complete";
    let lacking = drives.iter().find(|(id, _)| is_good && !is_whole(id));
    lacking.map(|(id, _)| format!("it ended Completed, and the drive {id} was not copied whole"))
}

/// No byte of a customer's drive reaches another customer's job, unless an operator said so.
fn check_runs(world: &mut World) -> Checked {
    let begun: Vec<Begun> = world.worker.site().begun[world.begun_seen..].to_vec();
    world.begun_seen += begun.len();
    for run in begun {
        let Some(number) = world.jobs.iter().position(|job| job.uid.as_ref() == Some(&run.job_uid)) else { continue };
        if world.said_wrong.contains(&(run.drive, run.job_uid.clone())) {
            return Err(Violation(format!("drive {} was said to be wrong for job {number}, and is copied again", run.drive)));
        }
        let physical = world.worker.site().drives[run.drive].clone();
        let is_own = physical.owner.is_none_or(|owner| owner == world.jobs[number].customer);
        if is_own || world.bound.contains(&(run.drive, run.job_uid.clone())) {
            continue;
        }
        // Nobody can know whose a drive is whose owner has no job for it; but what a bridge tells proves nothing.
        let is_claimed = world.jobs.iter().any(|job| Some(job.customer) == physical.owner && names(job, &physical.serial));
        if is_claimed || physical.bridge.is_some() {
            return Err(Violation(format!(
                "drive {} of customer {:?} (serial {}, shown as {:?}) is copied for job {number} of customer {} as {} in {}",
                run.drive,
                physical.owner,
                physical.serial,
                physical.shown_serial(),
                world.jobs[number].customer,
                run.drive_id,
                run.bay
            )));
        }
        // What began so goes on so.
        world.bound.insert((run.drive, run.job_uid));
    }
    Ok(())
}

fn names(job: &Job, serial: &str) -> bool {
    !job.is_over() && job.shown_drives().iter().any(|(id, _)| id.eq_ignore_ascii_case(serial))
}

/// What runs is of a job that is being copied, and in no two bays.
fn check_copies(world: &mut World) -> Checked {
    let orders: Vec<_> = {
        let site = world.worker.site();
        // What a host may still do that sleeps is looked at when it wakes.
        site.copies.iter().filter(|copy| !site.asleep.contains(&copy.host)).map(|copy| copy.order.clone()).collect()
    };
    for (place, order) in orders.iter().enumerate() {
        let job = world.jobs.iter().find(|job| job.uid.as_ref() == Some(&order.job_uid));
        let state = job.filter(|job| !job.is_gone).and_then(Job::state);
        // What an interrupted run moved is told from its journal also when its copy was given up meanwhile, or its job was
        // deleted: that moves nothing.
        let is_told = order.account_only && state.is_none_or(|state| state == JobState::Packaging || state.is_final());
        if state != Some(JobState::Transferring) && !is_told {
            return Err(Violation(format!("a copy runs in {} for a job that is {state:?}", order.bay)));
        }
        if orders[..place].iter().any(|other| other.bay == order.bay && !order.account_only && !other.account_only) {
            return Err(Violation(format!("two copies run in {}", order.bay)));
        }
    }
    Ok(())
}

/// What was removed is in no byte of the database.
fn check_forgotten(world: &mut World) -> Checked {
    let gone = |job: &Job| job.is_gone && !job.is_forgotten;
    if !world.jobs.iter().any(gone) {
        return Ok(());
    }
    let bytes = world.database_bytes();
    // What is not text stays apart from what is: a name in it is found all the same, and much faster.
    let text = String::from_utf8_lossy(&bytes);
    for number in 0..world.jobs.len() {
        if !gone(&world.jobs[number]) {
            continue;
        }
        for secret in [&world.jobs[number].name, &world.jobs[number].tracking] {
            if text.contains(secret.as_str()) {
                return Err(Violation(format!("job {number} was removed, and `{secret}` is in the database")));
            }
        }
        world.jobs[number].is_forgotten = true;
    }
    Ok(())
}
