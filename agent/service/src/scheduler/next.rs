//! What is to be done about a docked drive, and for which job: a pure decision over what was found.

use protocol::job::{DriveState, JobState};
use protocol::outcome::Outcome;
use time::OffsetDateTime;

use crate::store::StoredJob;

/// Why a drive without a serial number waits.
pub(super) const NAMELESS: &str = "the drive has no serial number: dock it by hand, with a name for it";

/// What is to be done about a docked drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, for this reason.
    Wait(String),
    /// No job names it.
    Unknown,
    /// An operator has to say which job it belongs to, for this reason.
    Ambiguous(&'static str),
    /// Its job was not shipped.
    NotShipped,
    /// Check it in.
    CheckIn,
    /// Copy it, or resume its copy.
    Copy,
}

/// A docked drive, and everything that the decision depends on.
pub(super) struct Found {
    /// The drive's name.
    pub(super) id: String,
    /// When it was docked; absent where it was there when the service began.
    pub(super) docked_at: Option<OffsetDateTime>,
    /// Jobs that are not over and name it.
    pub(super) jobs: Vec<StoredJob>,
    /// The job that this docking of it was noted for.
    pub(super) noted_job: Option<String>,
    /// The jobs that it is being copied for, in any bay.
    pub(super) running_jobs: Vec<String>,
    /// Another bay shows a drive of the same name.
    pub(super) is_twice: bool,
}

/// What is to be done about a docked drive at `now`, and for which job.
pub(super) fn next(found: &Found, now: OffsetDateTime) -> (Next, Option<&StoredJob>) {
    match job_of_drive(found) {
        Ok(job) => (next_for_job(found, job, now), Some(job)),
        Err(next) => (next, None),
    }
}

/// The job that a drive belongs to. Two customers may name one drive: then an operator decides by checking it in.
fn job_of_drive(found: &Found) -> Result<&StoredJob, Next> {
    const SEVERAL: Next = Next::Ambiguous("several jobs name this drive: check it in to the right one by hand");
    if found.is_twice {
        return Err(Next::Ambiguous("two bays show a drive of this name: take one out"));
    }
    let checked_in: Vec<&StoredJob> = found.jobs.iter().filter(|job| is_checked_in(job, &found.id)).collect();
    let shipped: Vec<&StoredJob> = found.jobs.iter().filter(|job| job.machine.state != JobState::Creating).collect();
    let job = match (checked_in.as_slice(), shipped.as_slice(), found.jobs.as_slice()) {
        ([job], ..) | ([], [job], _) => *job,
        ([], [], [job, ..]) => job,
        ([], [], []) => return Err(Next::Unknown),
        _ => return Err(SEVERAL),
    };
    if checked_in.is_empty() && found.noted_job.as_ref().is_some_and(|uid| *uid != job.uid) {
        let message = "the drive was done for another job and is still here: take it out, or check it in by hand";
        return Err(Next::Ambiguous(message));
    }
    Ok(job)
}

fn next_for_job(found: &Found, job: &StoredJob, now: OffsetDateTime) -> Next {
    let wait = |why: &str| Next::Wait(why.to_owned());
    if job.machine.state == JobState::Creating {
        return Next::NotShipped;
    }
    let drive_id = name_in_job(job, &found.id);
    let Some(known) = job.machine.drive(&drive_id) else { return wait("the job does not know the drive any more") };
    if job.machine.state == JobState::Packaging {
        return wait(match known.state {
            DriveState::Specified | DriveState::NeverReceived => "the drive came too late: it is sent back as it is",
            _ => "the drive is done, and waits to be sent back",
        });
    }
    match known.state {
        DriveState::Specified | DriveState::NeverReceived => Next::CheckIn,
        DriveState::Received if job.machine.cancel_requested => wait("the job was cancelled"),
        DriveState::Received if job.machine.state == JobState::Shipping => wait("checked in; the job waits for its other drives"),
        DriveState::Received | DriveState::Transferring => next_copy(found, job, &drive_id, now),
        DriveState::Completed | DriveState::CompletedMoreInfo | DriveState::ShippedBack => wait("the drive is done"),
    }
}

/// Whether a drive that is checked in is copied now.
fn next_copy(found: &Found, job: &StoredJob, drive_id: &str, now: OffsetDateTime) -> Next {
    let wait = |why: &str| Next::Wait(why.to_owned());
    if found.running_jobs.contains(&job.uid) {
        return wait("it is copied in another bay");
    }
    if job.machine.cancel_requested {
        return wait("the job was cancelled");
    }
    let Some(record) = job.copies.get(drive_id) else { return Next::Copy };
    if record.is_paused {
        return wait("it is paused");
    }
    match &record.hold {
        None => Next::Copy,
        // A drive that went away and came back, perhaps before its failure was written down, is resumed.
        Some(hold) if hold.outcome == Outcome::DriveFailed && found.docked_at > record.run_started_at => Next::Copy,
        Some(hold) if hold.retry_at.is_some_and(|at| at <= now) => Next::Copy,
        Some(hold) => wait(&hold.message),
    }
}

/// The drive's name as the job spells it.
pub(super) fn name_in_job(job: &StoredJob, id: &str) -> String {
    let own = job.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(id));
    own.map_or_else(|| id.to_owned(), |drive| drive.id.clone())
}

fn is_checked_in(job: &StoredJob, id: &str) -> bool {
    let drive = job.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(id));
    drive.is_some_and(|drive| !matches!(drive.state, DriveState::Specified | DriveState::NeverReceived))
}

/// Why nothing is done about a drive just now, for display.
pub(super) fn note_of(next: Next) -> Option<String> {
    let text = match next {
        Next::Wait(why) => why,
        Next::Unknown => "no job names this drive".to_owned(),
        Next::Ambiguous(why) => why.to_owned(),
        Next::NotShipped => "the job of this drive was not shipped yet: ask the customer".to_owned(),
        Next::CheckIn | Next::Copy => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use protocol::job::{Hold, Job, JobKind};

    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap()
    }

    /// An import of the drive `A-1`, in these states.
    fn job(name: &str, state: JobState, drive: DriveState) -> StoredJob {
        let mut machine = Job::new(JobKind::Import, ["A-1".to_owned()], at(0));
        machine.state = state;
        machine.drives[0].state = drive;
        StoredJob::for_test(name, machine)
    }

    fn found(jobs: Vec<StoredJob>) -> Found {
        Found { id: "a-1".to_owned(), docked_at: None, jobs, noted_job: None, running_jobs: Vec::new(), is_twice: false }
    }

    fn decided(found: &Found) -> Next {
        next(found, at(100)).0
    }

    #[test]
    fn a_drive_goes_to_the_one_job_that_waits_for_it() {
        use DriveState::{CompletedMoreInfo, NeverReceived, Received, Specified, Transferring};
        let wait = |text: &str| Next::Wait(text.to_owned());
        for (state, drive, expected) in [
            (JobState::Creating, Specified, Next::NotShipped),
            (JobState::Shipping, Specified, Next::CheckIn),
            (JobState::Shipping, NeverReceived, Next::CheckIn),
            (JobState::Shipping, Received, wait("checked in; the job waits for its other drives")),
            (JobState::Received, Received, Next::Copy),
            (JobState::Transferring, Transferring, Next::Copy),
            (JobState::Transferring, CompletedMoreInfo, wait("the drive is done")),
            (JobState::Packaging, Specified, wait("the drive came too late: it is sent back as it is")),
            (JobState::Packaging, CompletedMoreInfo, wait("the drive is done, and waits to be sent back")),
        ] {
            assert_eq!(decided(&found(vec![job("one", state, drive)])), expected, "{state} {drive}");
        }
        assert_eq!(decided(&found(Vec::new())), Next::Unknown);
    }

    #[test]
    fn an_operator_decides_between_jobs() {
        let shipped = |name| job(name, JobState::Shipping, DriveState::Specified);
        let creating = || job("new", JobState::Creating, DriveState::Specified);
        let checked_in = || job("in", JobState::Received, DriveState::Received);
        let is_ambiguous = |found: &Found| matches!(decided(found), Next::Ambiguous(_));
        assert!(is_ambiguous(&found(vec![shipped("one"), shipped("two")])));
        assert!(is_ambiguous(&Found { is_twice: true, ..found(vec![shipped("one")]) }));
        assert_eq!(decided(&found(vec![creating(), shipped("one")])), Next::CheckIn, "one was shipped");
        assert_eq!(decided(&found(vec![shipped("one"), checked_in(), shipped("two")])), Next::Copy, "one was checked in");
        // Done for another job, and not taken out since.
        let noted = |uid: &str| Found { noted_job: Some(uid.to_owned()), ..found(vec![shipped("one")]) };
        assert!(is_ambiguous(&noted("another")));
        assert_eq!(decided(&noted("one")), Next::CheckIn);
    }

    #[test]
    fn a_copy_waits_while_it_is_paused_held_cancelled_or_running() {
        let receiving = || job("one", JobState::Transferring, DriveState::Transferring);
        let waits = |found: &Found| matches!(decided(found), Next::Wait(_));
        assert!(waits(&Found { running_jobs: vec!["one".to_owned()], ..found(vec![receiving()]) }));
        let mut cancelled = receiving();
        cancelled.machine.cancel_requested = true;
        assert!(waits(&found(vec![cancelled])));
        let mut paused = receiving();
        paused.copies.entry("A-1".to_owned()).or_default().is_paused = true;
        assert!(waits(&found(vec![paused])));
        let held = |outcome, retry_at| {
            let mut job = receiving();
            let record = job.copies.entry("A-1".to_owned()).or_default();
            record.run_started_at = Some(at(10));
            record.hold = Some(Hold { outcome, message: "it failed".to_owned(), since: at(20), retry_at });
            found(vec![job])
        };
        assert_eq!(decided(&held(Outcome::DriveFailed, None)), Next::Wait("it failed".to_owned()));
        assert!(waits(&held(Outcome::DriveFailed, Some(at(101)))));
        assert_eq!(decided(&held(Outcome::DriveFailed, Some(at(100)))), Next::Copy, "its time has come");
        let docked = |seconds, outcome| Found { docked_at: Some(at(seconds)), ..held(outcome, None) };
        assert_eq!(decided(&docked(11, Outcome::DriveFailed)), Next::Copy, "it was docked again");
        assert!(waits(&docked(9, Outcome::DriveFailed)));
        assert!(waits(&docked(11, Outcome::Refused)));
    }
}
