//! A job as it is stored.

use std::collections::BTreeMap;

use protocol::arm::{DeliveryPackage, DocumentNames, JobDetails};
use protocol::job::{
    BlobName, CopyEvent, CopyRecord, CopyRefusal, CopyStep, Effect, Job, JobKind, decide_copy, is_ended_by_cancel,
};
use protocol::station::{CopyOrder, JobInHand};
use time::OffsetDateTime;

use super::error::StoreError;
use super::seal::JobSeal;

/// The name of a job, as a path has it. Upper and lower case match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobKey {
    /// The subscription.
    pub(crate) subscription: String,
    /// The resource group.
    pub(crate) resource_group: String,
    /// The job.
    pub(crate) name: String,
}

/// What a change does about the grant of a copy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum GrantStep {
    /// It begins: no other may be there of its drive.
    Begin(Box<CopyOrder>),
    /// It ends: it must be there.
    End(String),
}

/// A text that is found in any case of its letters, as the columns are that it is looked for in.
pub(super) fn folded(text: &str) -> String {
    text.to_ascii_lowercase()
}

impl JobKey {
    /// The job's path in the REST API.
    pub(crate) fn path(&self) -> String {
        let JobKey { subscription, resource_group, name } = self;
        format!("/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.ImportExport/jobs/{name}")
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredJob {
    pub(super) id: i64,
    /// A random name for folders and logs.
    pub(crate) uid: String,
    /// Its name, as it was first written.
    pub(crate) key: JobKey,
    /// Counts up with every change.
    pub(crate) version: i64,
    /// When it was created.
    pub(crate) created_at: OffsetDateTime,
    /// When it was last changed.
    pub(crate) modified_at: OffsetDateTime,
    /// The datacenter.
    pub(crate) location: String,
    /// The customer's tags.
    pub(crate) tags: Option<BTreeMap<String, String>>,
    /// The state machine.
    pub(crate) machine: Job,
    /// What the customer and the service wrote, without keys.
    pub(crate) details: JobDetails,
    /// The copies of its drives, by drive.
    pub(crate) copies: BTreeMap<String, CopyRecord>,
    /// What the audit entry of a change says beside its action. It goes with the job.
    pub(crate) audit_detail: Option<String>,
    /// What a change does about the grant of a copy.
    pub(crate) grant_step: Option<GrantStep>,
    /// What its documents are sealed with.
    pub(super) seal: JobSeal,
}

impl StoredJob {
    /// Moves the copy of a drive, and tells what follows.
    ///
    /// # Errors
    /// When the copy cannot be moved so.
    pub(crate) fn step_copy(&mut self, drive_id: &str, event: CopyEvent, now: OffsetDateTime) -> Result<CopyStep, CopyRefusal> {
        let record = self.copies.entry(drive_id.to_owned()).or_default();
        let (next, step) = decide_copy(record, event, now)?;
        *record = next;
        Ok(step)
    }

    /// How many drives of an export its customer announced: one for each blob, where that was not said.
    pub(crate) fn announced_drives(&self) -> usize {
        self.announced().unwrap_or_else(|| self.machine.blobs.unwrap_or(1).max(1))
    }

    /// Whether the customer of an export said how many drives come.
    pub(crate) fn has_announced_drives(&self) -> bool {
        self.announced().is_some()
    }

    fn announced(&self) -> Option<usize> {
        self.details.delivery_package.as_ref().and_then(DeliveryPackage::announced_drives)
    }

    /// Ends the copies of a cancelled job that were never begun: each is told to have moved nothing.
    pub(super) fn end_what_was_not_begun(&mut self, now: OffsetDateTime) -> Result<(), CopyRefusal> {
        let direction = self.machine.kind.direction();
        let drives = self.machine.drives.iter();
        let ended = drives.filter(|drive| is_ended_by_cancel(&self.machine, drive, self.copies.get(&drive.id)));
        let ended: Vec<String> = ended.map(|drive| drive.id.clone()).collect();
        for id in ended {
            self.step_copy(&id, CopyEvent::EndWithoutRun { direction }, now)?;
        }
        Ok(())
    }

    /// What the names of the logs of a drive's last run begin with; `None` where the drive was not copied.
    pub(crate) fn log_prefix(&self, drive_id: &str) -> Option<BlobName> {
        let at = self.copies.get(drive_id)?.ended_at.unwrap_or(self.modified_at);
        let stamp = time::macros::format_description!("[year][month][day]-[hour][minute][second]-[subsecond digits:3]");
        let stamp = at.format(&stamp).unwrap_or_default();
        Some(DocumentNames::new(&self.details, &self.key.name).logs(drive_id, &stamp))
    }

    /// Where the journal of a drive's copy is kept in the account: beside the blob of an import, and among the documents of an
    /// export, whose blobs may be where nothing is written. `None` where the drive was not copied.
    pub(crate) fn journal_place(&self, drive_id: &str) -> Option<BlobName> {
        let record = self.copies.get(drive_id)?;
        match self.machine.kind {
            JobKind::Import => record.blob.clone(),
            // Another drive may have been given its blob since.
            JobKind::Export => Some(DocumentNames::new(&self.details, &self.key.name).journal(drive_id)),
        }
    }

    /// The job as the rules about bays see it.
    pub(crate) fn in_hand(&self) -> JobInHand<'_> {
        let delivery = self.details.delivery_package.as_ref();
        JobInHand {
            uid: &self.uid,
            subscription: &self.key.subscription,
            resource_group: &self.key.resource_group,
            name: &self.key.name,
            delivery: delivery.map(|package| (package.carrier_name.as_str(), package.tracking_number.as_str())),
            machine: &self.machine,
            copies: &self.copies,
        }
    }
}

/// An effect in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredEffect {
    /// Its number: [`Store::effect_done`](super::Store::effect_done) takes it.
    pub(crate) id: i64,
    /// The random name of its job, which may be gone.
    pub(crate) job_uid: String,
    /// What is to be carried out.
    pub(crate) effect: Effect,
    /// What the job left, where it was removed: [`Store::left_behind`](super::Store::left_behind) opens it.
    pub(super) sealed: Option<Vec<u8>>,
    /// What that is sealed with.
    pub(super) seal: JobSeal,
}

pub(super) fn seconds(at: OffsetDateTime) -> i64 {
    at.unix_timestamp()
}

/// A time as the columns keep it.
pub(super) fn whole_seconds(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}

pub(super) fn time_of(seconds: i64) -> Result<OffsetDateTime, StoreError> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| StoreError::Damaged(error.to_string()))
}
