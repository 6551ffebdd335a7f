//! What waits for a person at a bay.

use super::action::Action;
use super::attention::{Attention, AttentionKind};
use super::identity::WeakIdentity;
use super::job::{Candidate, JobInHand};
use super::next::{Decided, DockedHere, Doubt, Next, candidates, weak_identity};
use crate::job::{DriveState, JobDrive, JobKind, JobState};

/// Most drives of similar names that are offered for one that no job names.
const SIMILAR_MAX: usize = 5;

/// What needs an operator at a bay, with what was decided about its drive. `jobs` are those that the decision was about;
/// `similar` are others that a drive which no job names may be for: imports of a similar serial number, exports that wait.
pub fn attention_of_bay(
    docked: &DockedHere<'_>,
    decided: &Decided,
    jobs: &[JobInHand<'_>],
    similar: &[JobInHand<'_>],
) -> Option<Attention> {
    let bay = docked.bay.to_owned();
    let take_out = Action::TakeOut { bay: bay.clone(), is_watched: docked.is_watched };
    let job = decided.job.as_ref().map(|(index, drive_id)| (&jobs[*index], drive_id.as_str()));
    let mut candidates_found = Vec::new();
    let (kind, actions) = match &decided.next {
        Next::Unknown => {
            let mut actions: Vec<Action> = similar_drives(docked, similar).map(|(job, id)| check_in(job, id, &bay)).collect();
            actions.extend(exports_for(docked, similar));
            actions.extend([Action::ChooseJob { bay: bay.clone() }, take_out]);
            (AttentionKind::UnknownDrive, actions)
        }
        Next::Undecided(doubt) => {
            let found = candidates(docked, jobs);
            candidates_found = found.iter().map(|(index, drive)| jobs[*index].candidate(drive)).collect();
            let mut actions = check_ins(docked, &found, jobs);
            let creating = found.iter().filter(|(index, _)| jobs[*index].machine.state == JobState::Creating);
            actions.extend(creating.map(|(index, _)| Action::AskCustomer { job: jobs[*index].path() }));
            // The one that was copied may have been the wrong one.
            actions.extend(found.iter().filter_map(|(index, drive)| undo_check_in(&jobs[*index], drive)));
            let choose = Action::ChooseJob { bay: bay.clone() };
            match doubt {
                // It is done: what is left is to take it out.
                Doubt::DoneBefore => {
                    actions.splice(0..0, [take_out]).for_each(drop);
                    actions.push(choose);
                }
                Doubt::Several | Doubt::Weak(_) | Doubt::TwinIsBound(_) | Doubt::WrongBefore => {
                    actions.extend([choose, take_out])
                }
            }
            (AttentionKind::AmbiguousDrive, actions)
        }
        Next::NotShipped => {
            let ask = job.map(|(job, _)| Action::AskCustomer { job: job.path() });
            (AttentionKind::JobNotShipped, ask.into_iter().chain([take_out]).collect())
        }
        Next::CameTooLate => {
            let back = job.map(|(job, _)| Action::ShipBack { job: job.path() });
            (AttentionKind::LateDrive, [take_out].into_iter().chain(back).collect())
        }
        Next::WaitForOthers => {
            let missing = job.map(|(job, _)| never_received(job)).unwrap_or_default();
            (AttentionKind::WaitsForOthers, missing.into_iter().chain([take_out]).collect())
        }
        Next::Wait(_) | Next::CheckIn | Next::Copy => return None,
    };
    let drive_id = job.map(|(_, id)| id.to_owned()).or_else(|| docked.drive.drive_id.clone());
    Some(Attention {
        kind,
        message: message(docked, decided, &candidates_found),
        job: job.map(|(job, _)| job.path()),
        drive_id,
        bay: Some(bay),
        candidates: candidates_found,
        actions: without_repeats(actions).into_iter().map(Into::into).collect(),
    })
}

/// A job may be found in more than one way.
fn without_repeats(actions: Vec<Action>) -> Vec<Action> {
    let mut kept: Vec<Action> = Vec::new();
    for action in actions {
        if !kept.contains(&action) {
            kept.push(action);
        }
    }
    kept
}

fn message(docked: &DockedHere<'_>, decided: &Decided, candidates: &[Candidate]) -> String {
    let mut message = decided.next.note().unwrap_or_default();
    let weak = weak_identity(docked);
    if decided.next == Next::Unknown {
        if weak.contains(&WeakIdentity::Missing) {
            message = "the drive tells no serial number: check it in by hand as the drive of a job".to_owned();
        } else if !weak.is_empty() {
            let reasons: Vec<&str> = weak.iter().map(|reason| reason.reason()).collect();
            message += &format!(", and {}", reasons.join(", and "));
        }
    }
    for (place, one) in candidates.iter().enumerate() {
        message += if place == 0 { ". It may be for " } else { ", or " };
        message += &format!("{} ({}", super::job::short_job_name(&one.job), one.state);
        if let Some(tracking) = &one.tracking_number {
            message += &format!(", parcel {} {tracking}", one.carrier.as_deref().unwrap_or_default());
        }
        message += ")";
    }
    message
}

fn check_in(job: &JobInHand<'_>, drive_id: &str, bay: &str) -> Action {
    Action::CheckIn { job: job.path(), drive_id: Some(drive_id.to_owned()), bay: Some(bay.to_owned()) }
}

/// Check-ins of the drive in a bay for the jobs that may have it. One that was written for a job by mistake is for none: what
/// it held is gone, and what it holds is no other customer's.
fn check_ins(docked: &DockedHere<'_>, found: &[(usize, &JobDrive)], jobs: &[JobInHand<'_>]) -> Vec<Action> {
    let serial = docked.drive.drive_id.as_deref().unwrap_or_default();
    if jobs.iter().any(|job| job.drive_written_by_mistake(serial).is_some()) {
        return Vec::new();
    }
    let may = found.iter().filter(|(index, drive)| {
        // One that is being copied in another bay is paused first.
        may_be_given(&jobs[*index], drive) && !docked.running_jobs.iter().any(|uid| uid == jobs[*index].uid)
    });
    may.map(|(index, drive)| check_in(&jobs[*index], &drive.id, docked.bay)).collect()
}

/// Saying that the drive which was copied as this drive of a job was another one, where nothing else lets the right one be
/// copied.
pub(super) fn undo_check_in(job: &JobInHand<'_>, drive: &JobDrive) -> Option<Action> {
    let may = matches!(job.machine.state, JobState::Received | JobState::Transferring | JobState::Packaging)
        && matches!(drive.state, DriveState::Completed | DriveState::CompletedMoreInfo)
        && !(drive.is_spare || job.machine.cancel_requested);
    let is_told = job.copies.get(&drive.id).is_some_and(|record| record.runs > 0 && !record.is_unaccounted);
    (may && is_told).then(|| Action::UndoCheckIn { job: job.path(), drive_id: drive.id.clone() })
}

/// Whether a docked drive may be checked in as this drive of a job, or bound to it.
pub fn may_be_given(job: &JobInHand<'_>, drive: &JobDrive) -> bool {
    let is_open = matches!(job.machine.state, JobState::Shipping | JobState::Received | JobState::Transferring);
    let is_undone = matches!(
        drive.state,
        DriveState::Specified | DriveState::NeverReceived | DriveState::Received | DriveState::Transferring
    );
    is_open && is_undone
}

/// Exports that wait for a drive, and may have the docked one if it is empty.
fn exports_for<'job>(docked: &DockedHere<'_>, jobs: &'job [JobInHand<'job>]) -> impl Iterator<Item = Action> + use<'job> {
    let bay = docked.drive.drive_id.as_ref().map(|_| docked.bay.to_owned());
    let waits = |job: &&JobInHand<'_>| {
        let is_open = matches!(job.machine.state, JobState::Shipping | JobState::Received | JobState::Transferring);
        job.machine.kind == JobKind::Export && is_open && job.machine.awaits_drives()
    };
    let waiting = jobs.iter().filter(waits).take(EXPORTS_MAX);
    let check_in = |(job, bay): (&JobInHand<'_>, String)| Action::CheckIn { job: job.path(), drive_id: None, bay: Some(bay) };
    waiting.filter_map(move |job| Some(check_in((job, bay.clone()?))))
}

/// What ends the wait for the drives that a job misses.
pub(super) fn never_received(job: &JobInHand<'_>) -> Vec<Action> {
    match job.machine.kind {
        JobKind::Export => vec![Action::NeverReceived { job: job.path(), drive_id: None }],
        JobKind::Import => {
            let missing = job.machine.drives.iter().filter(|drive| drive.state == DriveState::Specified);
            missing.map(|drive| Action::NeverReceived { job: job.path(), drive_id: Some(drive.id.clone()) }).collect()
        }
    }
}

/// Drives of jobs whose serial numbers are like that of the docked one.
fn similar_drives<'job>(
    docked: &DockedHere<'_>,
    jobs: &'job [JobInHand<'job>],
) -> impl Iterator<Item = (&'job JobInHand<'job>, &'job str)> {
    let serial = docked.drive.drive_id.clone().unwrap_or_default();
    let of_job = move |job: &'job JobInHand<'job>| {
        let serial = serial.clone();
        let is_like = move |drive: &&JobDrive| may_be_given(job, drive) && is_similar(&drive.id, &serial);
        job.machine.drives.iter().filter(is_like).map(move |drive| (job, drive.id.as_str()))
    };
    jobs.iter().flat_map(of_job).take(SIMILAR_MAX)
}

/// Most exports that are offered for a drive that no job names.
const EXPORTS_MAX: usize = 3;

/// Shortest serial number that is taken for a part of another.
const PART_MIN: usize = 5;

/// Most letters in which similar serial numbers differ.
const DIFFERENCES_MAX: usize = 2;

/// Whether one serial number may be the other with a typing error, or with a prefix that a sticker adds.
pub(super) fn is_similar(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|text| text.to_ascii_lowercase().into_bytes());
    let (short, long) = if one.len() <= other.len() { (&one, &other) } else { (&other, &one) };
    if short.len() < PART_MIN {
        return false;
    }
    let is_part = long.windows(short.len()).any(|window| window == short.as_slice());
    is_part || long.len() - short.len() <= DIFFERENCES_MAX && differences(short, long) <= DIFFERENCES_MAX
}

/// Letters that are changed, added or left out between two texts (Levenshtein).
fn differences(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (place, against) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != against);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}
