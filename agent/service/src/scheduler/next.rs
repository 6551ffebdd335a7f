//! What is to be done about a docked drive, and for which job.

use protocol::job::{DriveState, JobState};
use protocol::outcome::Outcome;

use super::handle::Scheduler;
use super::worker::BayContent;
use crate::store::{Docking, StoreError, StoredJob};

/// Why a drive without a serial number waits.
pub(super) const NAMELESS: &str = "the drive tells no serial number: dock it by hand, with a name for it";

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

/// A docked drive, and everything that is known of it.
pub(super) struct Found {
    pub(super) jobs: Vec<StoredJob>,
    docking: Option<Docking>,
    /// Another bay shows a drive of the same name.
    is_twice: bool,
}

impl Scheduler {
    /// What is known of the drive in a bay; `None` where it is empty, or its drive has no name.
    pub(super) async fn find<'bay>(&self, bay: &'bay BayContent) -> Result<Option<(&'bay str, Found)>, StoreError> {
        let Some(id) = name_of(bay) else { return Ok(None) };
        let has_name = |other: &BayContent| name_of(other).is_some_and(|other| other.eq_ignore_ascii_case(id));
        let is_twice = self.inner.worker.bays().iter().filter(|other| has_name(other)).count() > 1;
        let jobs = self.inner.store.jobs_of_drive(id).await?;
        let docking = self.inner.store.docking(&bay.name).await?;
        // What was noted is about this drive, and not about an earlier docking of it.
        let docking = docking.filter(|docking| docking.is_of(id) && bay.docked_at.is_none_or(|at| at <= docking.at));
        Ok(Some((id, Found { jobs, docking, is_twice })))
    }

    /// What is to be done about a docked drive, and for which job.
    pub(super) fn next<'found>(&self, bay: &BayContent, id: &str, found: &'found Found) -> (Next, Option<&'found StoredJob>) {
        if found.is_twice {
            return (Next::Ambiguous("two bays show a drive of this name: take one out"), None);
        }
        // Two customers may name one drive: an operator decides by checking it in.
        let checked_in: Vec<&StoredJob> = found.jobs.iter().filter(|job| is_checked_in(job, id)).collect();
        let shipped: Vec<&StoredJob> = found.jobs.iter().filter(|job| job.machine.state != JobState::Creating).collect();
        let job = match (checked_in.as_slice(), found.jobs.as_slice()) {
            ([job], _) => *job,
            ([], []) => return (Next::Unknown, None),
            ([], jobs) => match (shipped.as_slice(), jobs) {
                ([job], _) => *job,
                ([], [job, ..]) => job,
                _ => return (Next::Ambiguous("several jobs name this drive: check it in to the right one by hand"), None),
            },
            _ => return (Next::Ambiguous("several jobs name this drive: check it in to the right one by hand"), None),
        };
        if checked_in.is_empty() && found.docking.as_ref().is_some_and(|docking| docking.job_uid != job.uid) {
            // It was copied for another job, and was not taken out since.
            return (
                Next::Ambiguous("the drive was done for another job and is still here: take it out, or check it in by hand"),
                None,
            );
        }
        if job.machine.state == JobState::Creating {
            return (Next::NotShipped, Some(job));
        }
        let wait = |why: &str| (Next::Wait(why.to_owned()), Some(job));
        let drive_id = name_in_job(job, id);
        let Some(known) = job.machine.drive(&drive_id) else { return wait("the job does not know the drive any more") };
        if job.machine.state == JobState::Packaging {
            return wait(match known.state {
                DriveState::Specified | DriveState::NeverReceived => "the drive came too late: it is sent back as it is",
                _ => "the drive is done, and waits to be sent back",
            });
        }
        match known.state {
            DriveState::Specified | DriveState::NeverReceived => (Next::CheckIn, Some(job)),
            DriveState::Received if job.machine.cancel_requested => wait("the job was cancelled"),
            DriveState::Received if job.machine.state == JobState::Shipping => {
                wait("checked in; the job waits for its other drives")
            }
            DriveState::Received | DriveState::Transferring => self.may_copy(bay, job, &drive_id),
            DriveState::Completed | DriveState::CompletedMoreInfo | DriveState::ShippedBack => wait("the drive is done"),
        }
    }

    fn may_copy<'found>(&self, bay: &BayContent, job: &'found StoredJob, drive_id: &str) -> (Next, Option<&'found StoredJob>) {
        let wait = |why: &str| (Next::Wait(why.to_owned()), Some(job));
        if self.is_running(&job.uid, drive_id) {
            return wait("it is copied in another bay");
        }
        if job.machine.cancel_requested {
            return wait("the job was cancelled");
        }
        let Some(record) = job.copies.get(drive_id) else { return (Next::Copy, Some(job)) };
        if record.is_paused {
            return wait("it is paused");
        }
        match &record.hold {
            None => (Next::Copy, Some(job)),
            // A drive that went away and came back, perhaps before its failure was noted, is resumed.
            Some(hold) if hold.outcome == Outcome::DriveFailed && bay.docked_at > record.run_started_at => {
                (Next::Copy, Some(job))
            }
            Some(hold) if hold.retry_at.is_some_and(|at| at <= self.now()) => (Next::Copy, Some(job)),
            Some(hold) => wait(&hold.message),
        }
    }
}

/// The name of the drive in a bay.
fn name_of(bay: &BayContent) -> Option<&str> {
    bay.drive.as_ref()?.drive_id.as_deref()
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
