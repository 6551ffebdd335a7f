//! What is to be done about a docked drive, and for which job: a pure decision over what is known.

use time::OffsetDateTime;

use super::bay::DockedDrive;
use super::identity::WeakIdentity;
use super::job::JobInHand;
use crate::job::{CopyState, DriveState, Hold, JobDrive, JobState};
use crate::outcome::Outcome;

/// A docked drive, and everything that the decision depends on beside the jobs.
#[derive(Debug, Clone)]
pub struct DockedHere<'bay> {
    /// The bay.
    pub bay: &'bay str,
    /// Drives are found in it, and not docked by hand.
    pub is_watched: bool,
    /// The drive.
    pub drive: &'bay DockedDrive,
    /// When it was docked; absent where it was there when the service began.
    pub docked_at: Option<OffsetDateTime>,
    /// What this docking of it was checked in for.
    pub binding: Option<Binding>,
    /// Other bays that show a drive of the same serial number.
    pub twins: Vec<Twin>,
    /// The random names of the jobs that it is copied for in other bays.
    pub running_jobs: Vec<String>,
}

/// What a docking was checked in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The random name of the job, which may be gone.
    pub job_uid: String,
    /// The drive of the job; absent where the job is gone.
    pub drive_id: Option<String>,
}

/// Another bay with a drive of the same serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// The bay.
    pub bay: String,
    /// Its drive was checked in.
    pub is_bound: bool,
}

/// What is to be done about a docked drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing, for this reason.
    Wait(String),
    /// Nothing: it is checked in, and its job waits for its other drives.
    WaitForOthers,
    /// No job names it.
    Unknown,
    /// An operator has to say which job it belongs to, for this reason.
    Undecided(Doubt),
    /// Its job was not shipped.
    NotShipped,
    /// Its job did not wait for it any longer: it goes back as it is.
    CameTooLate,
    /// Check it in.
    CheckIn,
    /// Copy it, or resume its copy.
    Copy,
}

/// Why only an operator can say which job a drive belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// Several jobs name it.
    Several,
    /// Its name does not say whose it is.
    Weak(Vec<WeakIdentity>),
    /// A drive of the same serial number in this bay was checked in already.
    TwinIsBound(String),
    /// An operator said of it, or of another one of its serial number, that it was not the drive that it was taken for.
    WrongBefore,
    /// It was done for a job that is over, and is still in its bay.
    DoneBefore,
}

impl Doubt {
    /// One sentence for the operator.
    pub fn sentence(&self) -> String {
        match self {
            Doubt::Several => "several jobs name this drive: check it in to the right one by hand".to_owned(),
            Doubt::Weak(reasons) => {
                let reasons: Vec<&str> = reasons.iter().map(|reason| reason.reason()).collect();
                format!("the drive does not say for certain which it is: {}; check it in by hand", reasons.join(", and "))
            }
            Doubt::TwinIsBound(bay) => format!(
                "the drive in `{bay}` has the same serial number and was checked in: this is another one; check it in by hand, or take it out"
            ),
            Doubt::WrongBefore => {
                "a drive of this serial number was taken for another one by mistake: check it in by hand, or take it out"
                    .to_owned()
            }
            Doubt::DoneBefore => {
                "the drive was done for another job and is still here: take it out, or check it in by hand".to_owned()
            }
        }
    }
}

/// What is decided about a docked drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What is to be done.
    pub next: Next,
    /// The job that it is for, by its place in the list, and the drive as that job spells it.
    pub job: Option<(usize, String)>,
}

/// What is to be done about a docked drive at `now`, and for which of `jobs`: those that name its serial number and the one
/// that it is bound to, and are not over.
///
/// | drive | jobs that name it | result |
/// |---|---|---|
/// | bound in this docking by a check-in | | continues for that job |
/// | weak identity, or another bay shows the same serial number | any | operator decides |
/// | strong, and a drive that reported the same was wrong before | any | operator decides |
/// | strong | none | unknown |
/// | | one, shipped | checked in, copied |
/// | | one, still Creating | waits; the bay says so |
/// | | several, of which one has begun to copy it | resumed for that one |
/// | | several | operator decides |
///
/// A job names a drive also where an operator said that another one is that drive of it: that may have been a mistake.
/// A job in Packaging counts as well: its drive is still in the building.
pub fn next(docked: &DockedHere<'_>, jobs: &[JobInHand<'_>], now: OffsetDateTime) -> Decided {
    let undecided = |doubt| Decided { next: Next::Undecided(doubt), job: None };
    if let Some(binding) = &docked.binding {
        let bound = jobs.iter().position(|job| job.uid == binding.job_uid && !job.machine.state.is_final());
        let drive = bound.and_then(|index| jobs[index].machine.drive(binding.drive_id.as_deref()?));
        return match bound.zip(drive) {
            Some((index, drive)) => decided_for(docked, jobs, index, drive, now),
            // It was unbound from a drive of a job that continues.
            None if bound.is_some() => undecided(Doubt::WrongBefore),
            None => undecided(Doubt::DoneBefore),
        };
    }
    let candidates = candidates(docked, jobs);
    let weak = weak_identity(docked);
    if !weak.is_empty() && !candidates.is_empty() {
        let bound_twin = docked.twins.iter().find(|twin| twin.is_bound);
        return undecided(bound_twin.map_or(Doubt::Weak(weak), |twin| Doubt::TwinIsBound(twin.bay.clone())));
    }
    let was_wrong =
        |(_, drive): &(usize, &JobDrive)| docked.drive.drive_id.as_deref().is_some_and(|serial| drive.was_mistaken_for(serial));
    if candidates.iter().any(was_wrong) {
        return undecided(Doubt::WrongBefore);
    }
    let is_its_own = |drive: &JobDrive| docked.drive.drive_id.as_deref().is_some_and(|serial| drive.has_serial(serial));
    let begun: Vec<_> = candidates.iter().filter(|(index, drive)| is_its_own(drive) && jobs[*index].has_begun(drive)).collect();
    match (candidates.as_slice(), begun.as_slice()) {
        ([], _) => Decided { next: Next::Unknown, job: None },
        ([(_, drive)], _) if !is_its_own(drive) => Decided { next: Next::Unknown, job: None },
        ([(index, drive)], _) | (_, [(index, drive)]) => decided_for(docked, jobs, *index, drive, now),
        _ => undecided(Doubt::Several),
    }
}

/// Why the name of a docked drive does not say whose it is.
pub fn weak_identity(docked: &DockedHere<'_>) -> Vec<WeakIdentity> {
    let mut weak = docked.drive.weak_identity.clone();
    if docked.drive.drive_id.is_none() && !weak.contains(&WeakIdentity::Missing) {
        weak.push(WeakIdentity::Missing);
    }
    if !docked.twins.is_empty() {
        weak.push(WeakIdentity::Duplicated);
    }
    weak
}

/// Jobs that name the drive, and which of their drives it may be; and those that it was written for by mistake.
pub(super) fn candidates<'job>(docked: &DockedHere<'_>, jobs: &[JobInHand<'job>]) -> Vec<(usize, &'job JobDrive)> {
    let Some(serial) = docked.drive.drive_id.as_deref() else { return Vec::new() };
    let open = jobs.iter().enumerate().filter(|(_, job)| !job.machine.state.is_final());
    open.filter_map(|(index, job)| Some((index, job.drive_named(serial).or_else(|| job.drive_written_by_mistake(serial))?)))
        .collect()
}

fn decided_for(docked: &DockedHere<'_>, jobs: &[JobInHand<'_>], index: usize, drive: &JobDrive, now: OffsetDateTime) -> Decided {
    Decided { next: next_for_job(docked, &jobs[index], drive, now), job: Some((index, drive.id.clone())) }
}

fn next_for_job(docked: &DockedHere<'_>, job: &JobInHand<'_>, drive: &JobDrive, now: OffsetDateTime) -> Next {
    let wait = |why: &str| Next::Wait(why.to_owned());
    let is_missing = matches!(drive.state, DriveState::Specified | DriveState::NeverReceived);
    match (job.machine.state, drive.state) {
        (JobState::Creating, _) => Next::NotShipped,
        (JobState::Packaging, _) if is_missing => Next::CameTooLate,
        (JobState::Packaging, _) => wait("the drive is done, and waits to be sent back"),
        (_, DriveState::Specified | DriveState::NeverReceived) => Next::CheckIn,
        (_, DriveState::Received) if job.machine.cancel_requested => wait("the job was cancelled"),
        (JobState::Shipping, DriveState::Received) => Next::WaitForOthers,
        (_, DriveState::Received | DriveState::Transferring) => next_copy(docked, job, drive, now),
        (_, _) if drive.is_spare => wait("the drive is not needed: it goes back unused"),
        (_, DriveState::Completed | DriveState::CompletedMoreInfo | DriveState::ShippedBack) => wait("the drive is done"),
    }
}

/// Whether a drive that is checked in is copied now.
fn next_copy(docked: &DockedHere<'_>, job: &JobInHand<'_>, drive: &JobDrive, now: OffsetDateTime) -> Next {
    let wait = |why: &str| Next::Wait(why.to_owned());
    if docked.running_jobs.iter().any(|uid| uid == job.uid) {
        return wait("it is copied in another bay");
    }
    if job.machine.cancel_requested {
        return wait("the job was cancelled");
    }
    match job.copy_state(&drive.id) {
        CopyState::Waiting | CopyState::Open => Next::Copy,
        CopyState::Paused => wait("it is paused"),
        CopyState::Held(hold) if is_tried_again(docked, job, drive, hold, now) => Next::Copy,
        CopyState::Held(hold) => wait(&hold.message),
        CopyState::Ended => wait("its copy was ended"),
    }
}

/// Whether a copy that failed is tried again without a person: its time has come, or its drive went away and came back,
/// perhaps before its failure was written down.
fn is_tried_again(docked: &DockedHere<'_>, job: &JobInHand<'_>, drive: &JobDrive, hold: &Hold, now: OffsetDateTime) -> bool {
    let run_started_at = job.copies.get(&drive.id).and_then(|record| record.run_started_at);
    let came_back = hold.outcome == Outcome::DriveFailed && docked.docked_at > run_started_at;
    came_back || hold.retry_at.is_some_and(|at| at <= now)
}

impl Next {
    /// Why nothing is done about a drive just now, for display.
    pub fn note(&self) -> Option<String> {
        let text = match self {
            Next::Wait(why) => why.clone(),
            Next::WaitForOthers => "checked in; the job waits for its other drives".to_owned(),
            Next::Unknown => "no job names this drive".to_owned(),
            Next::Undecided(doubt) => doubt.sentence(),
            Next::CameTooLate => {
                "the drive came after its job had given it up: send it back as it is, with the others".to_owned()
            }
            Next::NotShipped => "the job of this drive was not shipped yet: ask the customer".to_owned(),
            Next::CheckIn | Next::Copy => return None,
        };
        Some(text)
    }
}
