//! A drive of a job, as it is stored.

use protocol::job::{CopyRecord, CopyState, Event, JobDrive, Refusal};

use super::service::Jobs;
use crate::store::{StoreError, StoredJob};

/// A drive of a job.
///
/// # Errors
/// When the job has none of that name.
pub(super) fn drive_of<'job>(job: &'job StoredJob, drive_id: &str) -> Result<&'job JobDrive, StoreError> {
    let refusal = || StoreError::Refused(Refusal::NoSuchDrive { id: drive_id.to_owned() });
    job.machine.drive(drive_id).ok_or_else(refusal)
}

/// A drive whose copy ended is to be copied again.
pub(super) fn retry_of(job: &StoredJob, drive_id: &str) -> Event {
    Event::Retry { id: drive_id.to_owned(), was_begun: job.copies.get(drive_id).is_some_and(CopyRecord::was_begun) }
}

impl Jobs {
    /// Refuses while the drive is being copied.
    pub(super) fn require_not_running(&self, job: &StoredJob, drive_id: &str) -> Result<(), StoreError> {
        match self.scheduler.is_running(&job.uid, drive_id) {
            // What was ordered already takes until what is in flight has landed.
            true if job.machine.cancel_requested || *job.in_hand().copy_state(drive_id) == CopyState::Paused => {
                let why = "its copy is being stopped, and what is in flight still lands: try again in a moment";
                Err(StoreError::NotNow(format!("the drive `{drive_id}`: {why}")))
            }
            true => Err(StoreError::NotNow(format!("the drive `{drive_id}` is being copied: pause it first"))),
            false => Ok(()),
        }
    }
}
