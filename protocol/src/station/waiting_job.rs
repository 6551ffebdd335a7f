//! What waits for a person about a job.

use time::{Duration, OffsetDateTime};

use super::action::Action;
use super::attention::{Attention, AttentionKind};
use super::job::JobInHand;
use super::waiting_bay::{never_received, undo_check_in};
use crate::job::{CopyState, DriveState, Hold, JobDrive, JobKind, JobState, Mistake, NEVER_RECEIVED_AFTER};
use crate::result::Direction;

/// What needs an operator about a job: each drive that does, and then the job itself. `bay_of` is the bay where a drive of
/// the job is docked.
///
/// | job | drive | kind |
/// |---|---|---|
/// | | its copy failed | copy-held |
/// | | its copy is paused | copy-paused |
/// | Received, Transferring | is to be copied, and in no bay | not-docked |
/// | an export | | needs-empty-drive, while a blob has no drive |
/// | Packaging | each that is here | ship-back |
/// | Shipping for too long, or cancelled there | | drives-missing |
pub fn attention_of_job(job: &JobInHand<'_>, bay_of: impl Fn(&str) -> Option<String>, now: OffsetDateTime) -> Vec<Attention> {
    let mut list = Vec::new();
    for drive in &job.machine.drives {
        let bay = bay_of(&drive.id);
        let Some((kind, message, actions)) = of_drive(job, drive, bay.as_deref()) else { continue };
        list.push(Attention { drive_id: Some(drive.id.clone()), bay, ..about_job(job, kind, message, actions) });
    }
    list.extend(of_whole_job(job, now).map(|(kind, message, actions)| about_job(job, kind, message, actions)));
    list
}

/// When a person is needed about a job, and how urgently: what [`attention_of_job`] may report, without the bays. `None` where
/// it reports nothing whatever is docked.
pub fn waits_from(job: &JobInHand<'_>) -> Option<(AttentionKind, OffsetDateTime)> {
    let of_drives = job.machine.drives.iter().filter_map(|drive| Some((of_drive(job, drive, None)?.0, job.machine.entered_at)));
    let late = job.machine.entered_at.checked_add(NEVER_RECEIVED_AFTER).unwrap_or(job.machine.entered_at);
    let now = of_whole_job(job, job.machine.entered_at).map(|found| (found.0, job.machine.entered_at));
    let later = || of_whole_job(job, late).map(|found| (found.0, late));
    of_drives.chain(now.or_else(later)).min_by_key(|(kind, from)| (kind.rank(), *from))
}

type Waits = (AttentionKind, String, Vec<Action>);

fn about_job(job: &JobInHand<'_>, kind: AttentionKind, message: String, actions: Vec<Action>) -> Attention {
    let actions = actions.into_iter().map(Into::into).collect();
    Attention { kind, message, job: Some(job.path()), drive_id: None, bay: None, candidates: Vec::new(), actions }
}

fn of_drive(job: &JobInHand<'_>, drive: &JobDrive, bay: Option<&str>) -> Option<Waits> {
    let is_here = drive.state.is_here();
    if job.machine.state == JobState::Packaging {
        return (!drive.state.is_final()).then(|| send_back(job, drive, bay));
    }
    if job.machine.cancel_requested || !is_here {
        return None;
    }
    let give_up = Action::GiveUp { job: job.path(), drive_id: drive.id.clone() };
    let release = (job.machine.kind == JobKind::Export).then(|| Action::Release { job: job.path(), drive_id: drive.id.clone() });
    let dock = Action::Dock { drive_id: Some(drive.id.clone()) };
    match job.copy_state(&drive.id) {
        CopyState::Held(hold) => {
            let again = if bay.is_some() { retry(job, drive, hold) } else { dock };
            let actions = [Some(again), release, Some(give_up)].into_iter().flatten().collect();
            Some((AttentionKind::CopyHeld, hold.message.clone(), actions))
        }
        CopyState::Paused => {
            let resume = Action::Resume { job: job.path(), drive_id: drive.id.clone() };
            let message = "an operator paused the copy: resume it".to_owned();
            Some((AttentionKind::CopyPaused, message, vec![resume, give_up]))
        }
        CopyState::Waiting | CopyState::Open | CopyState::Ended => {
            let is_copied_now = matches!(job.machine.state, JobState::Received | JobState::Transferring);
            let message = "the drive is here and in no bay: dock it".to_owned();
            let actions = [Some(dock), release, Some(give_up)].into_iter().flatten().collect();
            (is_copied_now && bay.is_none()).then_some((AttentionKind::NotDocked, message, actions))
        }
    }
}

fn retry(job: &JobInHand<'_>, drive: &JobDrive, hold: &Hold) -> Action {
    Action::Retry { job: job.path(), drive_id: drive.id.clone(), options: hold.fix }
}

fn send_back(job: &JobInHand<'_>, drive: &JobDrive, bay: Option<&str>) -> Waits {
    let is_abandoned = job.copies.get(&drive.id).is_some_and(|record| record.is_abandoned);
    let what = match drive.is_spare {
        _ if is_abandoned => "its copy was ended before it was complete",
        true => "the drive was not needed",
        false if drive.had_error => "the drive was copied with errors",
        false => "the drive is done",
    };
    let mut message = match bay {
        Some(bay) => format!("{what}: take it out of `{bay}`, and send it back"),
        None => format!("{what}: send it back"),
    };
    let mistakes = job.copies.get(&drive.id).map(|record| record.mistakes.as_slice()).unwrap_or_default();
    for mistake in mistakes {
        message += &mistake_left(mistake).map(|left| format!("; {left}")).unwrap_or_default();
    }
    let undo = is_abandoned && !job.machine.cancel_requested;
    let undo = undo.then(|| Action::UndoGiveUp { job: job.path(), drive_id: drive.id.clone() });
    // Where it was an operator who said which drive it is, that may have been a slip.
    let was_chosen = drive.bound_serial.is_some() || !drive.wrong_serials.is_empty();
    let wrong = undo_check_in(job, drive).filter(|_| was_chosen && undo.is_none());
    let back = Action::ShipBack { job: job.path() };
    (AttentionKind::ShipBack, message, [Some(back), undo, wrong].into_iter().flatten().collect())
}

/// What is left of a drive that was copied as this one by mistake, for staff.
fn mistake_left(mistake: &Mistake) -> Option<String> {
    let Mistake { serial, direction, bay, blob, has_blob, .. } = mistake;
    let bay = bay.as_ref().map(|bay| format!(", then in `{bay}`")).unwrap_or_default();
    match (direction, blob) {
        (Direction::Export, _) => Some(format!(
            "a drive with the serial number `{serial}`{bay} was written as this one by mistake, and holds what its customer had exported: erase it"
        )),
        (Direction::Import, Some(blob)) if *has_blob => Some(format!(
            "the blob `{}/{}` holds what was on a drive with the serial number `{serial}`{bay}, which was copied as this one by mistake",
            blob.container, blob.name
        )),
        (Direction::Import, _) => None,
    }
}

fn of_whole_job(job: &JobInHand<'_>, now: OffsetDateTime) -> Option<Waits> {
    let machine = job.machine;
    let is_shipping = machine.state == JobState::Shipping;
    if machine.cancel_requested {
        let message = "the job was cancelled while its drives were on their way: check them in, or say that they never came";
        return is_shipping.then(|| (AttentionKind::DrivesMissing, message.to_owned(), missing_actions(job)));
    }
    let is_open = matches!(machine.state, JobState::Shipping | JobState::Received | JobState::Transferring);
    if is_open && machine.kind == JobKind::Export && machine.awaits_drives() {
        return Some(needs_drives(job));
    }
    let missing = machine.drives.iter().filter(|drive| drive.state == DriveState::Specified).count();
    let is_late = is_shipping && now - machine.entered_at >= NEVER_RECEIVED_AFTER;
    let came = machine.drives.iter().any(|drive| drive.state == DriveState::Received);
    let never = machine.drives.iter().filter(|drive| drive.state == DriveState::NeverReceived).count();
    (is_late && !came && missing + never > 0).then(|| {
        let days = NEVER_RECEIVED_AFTER.whole_seconds() / Duration::DAY.whole_seconds();
        let message = format!("{} drives did not come within {days} days: ask the customer", missing + never);
        (AttentionKind::DrivesMissing, message, missing_actions(job))
    })
}

/// An export waits for empty drives: for each blob that has none, as far as they were announced.
fn needs_drives(job: &JobInHand<'_>) -> Waits {
    let machine = job.machine;
    let announced = machine.expected_drives - machine.drives.len();
    let needed = machine.blobs.map_or(announced, |blobs| blobs.saturating_sub(machine.used_drives()).min(announced));
    let message = match needed {
        1 => "an export waits for an empty drive: dock one, and check it in".to_owned(),
        needed => format!("an export waits for {needed} empty drives: dock one, and check it in"),
    };
    let actions = [Action::Dock { drive_id: None }].into_iter().chain(never_received(job)).collect();
    (AttentionKind::NeedsEmptyDrive, message, actions)
}

fn missing_actions(job: &JobInHand<'_>) -> Vec<Action> {
    let is_missing = |drive: &&JobDrive| matches!(drive.state, DriveState::Specified | DriveState::NeverReceived);
    let check_in = |drive: &JobDrive| Action::CheckIn { job: job.path(), drive_id: Some(drive.id.clone()), bay: None };
    let check_ins = job.machine.drives.iter().filter(is_missing).map(check_in);
    let ask = Action::AskCustomer { job: job.path() };
    let actions: Vec<Action> = check_ins.chain(never_received(job)).collect();
    if actions.is_empty() { vec![ask] } else { actions }
}
