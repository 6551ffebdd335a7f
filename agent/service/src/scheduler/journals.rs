//! Journals that are kept in the account of a job, for the next host that has a drive.

use protocol::job::JobKind;
use protocol::station::{CopyOrder, JournalKey, JournalOrder};

use super::handle::Scheduler;
use super::order::account_of;
use super::worker::{WorkError, with_timeout};
use crate::store::{Role, StoreError, StoredJob};

impl Scheduler {
    /// Where the journal of a copy is kept, and its key: where other hosts may get the drive, or had it.
    pub(super) async fn journal_order(
        &self,
        job: &StoredJob,
        order: &CopyOrder,
        is_granted: bool,
    ) -> Result<Option<JournalOrder>, StoreError> {
        if !is_granted && !self.may_have_journal(job, &order.drive_id).await? {
            return Ok(None);
        }
        // An import's is beside its blob, which is not noted before it begins.
        let place = match job.machine.kind {
            JobKind::Import => Some(order.blob.clone()),
            JobKind::Export => job.journal_place(&order.drive_id),
        };
        Ok(place.map(|place| JournalOrder { place, key: self.journal_key(&job.uid, &order.drive_id) }))
    }

    /// Whether hosts may have kept journals of a job in its account: where there are no other hosts, none did.
    pub(super) async fn may_have_journals(&self, job_uid: &str) -> Result<bool, StoreError> {
        let store = &self.inner.store;
        if store.has_successors() || !store.stations_of(job_uid).await?.is_empty() {
            return Ok(true);
        }
        Ok(store.tokens().await?.iter().any(|token| token.role == Role::Station))
    }

    /// Whether the journal of a drive's copy may be in the account. Where it was to be kept once, it is there also when no other host
    /// has a token any more.
    async fn may_have_journal(&self, job: &StoredJob, drive_id: &str) -> Result<bool, StoreError> {
        let is_kept = job.copies.get(drive_id).is_some_and(|record| record.has_kept_journal);
        Ok(is_kept || self.may_have_journals(&job.uid).await?)
    }

    /// What seals the journal of a drive's copy.
    pub(super) fn journal_key(&self, job_uid: &str, drive_id: &str) -> JournalKey {
        JournalKey(self.inner.store.vault().derived_key(&format!("journal/{job_uid}/{drive_id}")))
    }

    /// Removes the journal of a drive's copy from the account, and what that alone knows of; nothing where there is none.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) async fn remove_journal(&self, job: &StoredJob, drive_id: &str) -> Result<(), WorkError> {
        let Some(place) = job.journal_place(drive_id) else { return Ok(()) };
        let may_be_there = self.may_have_journal(job, drive_id).await;
        if !may_be_there.map_err(|error| WorkError::Failed(error.to_string()))? {
            return Ok(());
        }
        let account = account_of(&job.details);
        match is_told(job, drive_id) {
            true => with_timeout(self.inner.worker.remove_journal(account, &place, &job.uid)).await,
            false => self.remove_kept_journal(account, &job.uid, drive_id, &place).await,
        }
    }
}

/// Whether it is noted which transfer a drive's copy was, so that what that left is found without its journal.
pub(super) fn is_told(job: &StoredJob, drive_id: &str) -> bool {
    let result = job.copies.get(drive_id).and_then(|record| record.result.as_ref());
    result.is_some_and(|result| result.outcome.is_complete() || result.transfer_id.is_some())
}
