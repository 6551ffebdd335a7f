//! The order that the data plane gets for a drive of a job.

use protocol::arm::JobDetails;
use protocol::job::{BlobName, CopyEvent, JobKind, RetryOptions};
use protocol::result::Direction;

use super::handle::Scheduler;
use crate::store::StoredJob;
use protocol::station::CopyOrder;

impl Scheduler {
    /// The order that copies a drive of a job; `None` for an export whose drive has no blob yet.
    pub(super) fn order(&self, job: &StoredJob, drive_id: &str, bay: &str) -> Option<CopyOrder> {
        let direction = job.machine.kind.direction();
        let chosen = job.copies.get(drive_id).and_then(|record| record.blob.clone());
        let blob = match direction {
            Direction::Import => Some(chosen.unwrap_or_else(|| self.blob_of_import(job, drive_id))),
            Direction::Export => chosen,
        };
        Some(CopyOrder {
            grant: None,
            state_id: None,
            journal: None,
            bay: bay.to_owned(),
            direction,
            job_uid: job.uid.clone(),
            drive_id: drive_id.to_owned(),
            account: account_of(&job.details).to_owned(),
            blob: blob?,
            size_bytes: job.copies.get(drive_id).and_then(|record| record.size_bytes),
            sequence: 0,
            account_only: false,
            was_cut_off: false,
            retry: RetryOptions::default(),
            may_erase: false,
        })
    }

    /// The blob that a drive of an import becomes.
    fn blob_of_import(&self, job: &StoredJob, drive_id: &str) -> BlobName {
        BlobName { container: self.inner.import_container.clone(), name: format!("{}/{drive_id}.img", job.key.name) }
    }

    /// What is known of the copy of a drive that is checked in, and is in a bay where its size is known: so that a cancel has
    /// something to report. Of an export that is known by its blob.
    pub(crate) fn checked_in(&self, job: &StoredJob, drive_id: &str, size_bytes: Option<u64>) -> Option<CopyEvent> {
        let is_import = job.machine.kind == JobKind::Import;
        is_import.then(|| CopyEvent::CheckedIn { blob: Some(self.blob_of_import(job, drive_id)), size_bytes })
    }
}

/// The account that a job names: the last segment of its id.
pub(crate) fn account_of(details: &JobDetails) -> &str {
    details.account_name()
}
