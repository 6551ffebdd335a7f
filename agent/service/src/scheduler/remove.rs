//! Removing what a job left outside of the database: at the station, and in the customer's account.

use protocol::job::BlobName;
use protocol::station::JournalOrder;

use super::handle::Scheduler;
use super::worker::{WorkError, with_timeout};
use crate::store::{LeftBehind, StoredEffect};

impl Scheduler {
    /// Removes journals at the station, and in the account the job's documents and what its unfinished transfers left.
    pub(super) async fn remove(&self, stored: &StoredEffect) -> Result<(), String> {
        if self.running().keys().any(|key| key.job_uid == stored.job_uid) {
            return Err("what a copy of the job moved is being read from its journal".to_owned());
        }
        let store = &self.inner.store;
        // Before its documents: a host that writes logs of it has to end. One that is away must not keep what is the customer's, and
        // neither waits for the other.
        let forgotten = self.inner.worker.forget(&stored.job_uid, None).await;
        let mut failures: Vec<String> = forgotten.map_err(|error| error.to_string()).err().into_iter().collect();
        if let Some(left) = store.left_behind(stored).map_err(|error| error.to_string())? {
            // What the job itself was does not wait for an account that cannot be reached.
            if let Err(error) = store.empty_of_keys(&stored.job_uid).await {
                tracing::warn!(%error, "keys of a removed job are in unused parts of the database until it was removed from its account");
            }
            failures.extend(self.remove_from_account(&stored.job_uid, &left).await.err());
        }
        if !failures.is_empty() {
            return Err(failures.join("; "));
        }
        // With it goes the key by which it is known what the job left.
        let is_empty = store.forget(&stored.job_uid).await.map_err(|error| error.to_string())?;
        is_empty.then_some(()).ok_or_else(|| "the database is being read just now".to_owned())
    }

    async fn remove_from_account(&self, job_uid: &str, left: &LeftBehind) -> Result<(), String> {
        let (worker, account) = (&self.inner.worker, left.account.as_str());
        let mut failures = Vec::new();
        let mut note = |result: Result<(), WorkError>| failures.extend(result.err().map(|error| error.to_string()));
        // Where a job of the same name was put meanwhile, documents of that name are its own.
        let is_taken = self.inner.store.has_job_of_name(&left.job, account).await.map_err(|error| error.to_string())?;
        for place in left.named_after_job.iter().filter(|_| !is_taken).chain(&left.last_logs) {
            note(with_timeout(worker.remove_document(account, place)).await);
        }
        for address in &left.logs {
            note(match worker.place_of(account, address) {
                Some(place) => with_timeout(worker.remove_document(account, &place)).await,
                None => Err(WorkError::Failed(format!("`{address}` is none of the account `{account}` any more"))),
            });
        }
        for (place, transfer_id) in &left.unfinished {
            note(with_timeout(worker.discard_unfinished(account, place, transfer_id)).await);
        }
        if left.has_journals || self.may_have_journals(job_uid).await.map_err(|error| error.to_string())? {
            for (drive_id, place) in &left.journals {
                note(self.remove_kept_journal(account, job_uid, drive_id, place).await);
            }
            for place in &left.with_journals {
                note(with_timeout(worker.remove_journal(account, place, job_uid)).await);
            }
        }
        match failures.first() {
            None => Ok(()),
            Some(first) => Err(format!("{} of the job's documents stay in its account; the first: {first}", failures.len())),
        }
    }

    /// Removes a journal that is kept for other hosts, behind what it alone knows of: where the end of a copy was never told, nothing
    /// else names what that left.
    pub(super) async fn remove_kept_journal(
        &self,
        account: &str,
        job_uid: &str,
        drive_id: &str,
        place: &BlobName,
    ) -> Result<(), WorkError> {
        let worker = &self.inner.worker;
        let journal = JournalOrder { place: place.clone(), key: self.journal_key(job_uid, drive_id) };
        if let Some(transfer_id) = with_timeout(worker.journal_transfer(account, &journal, job_uid)).await? {
            with_timeout(worker.discard_unfinished(account, place, &transfer_id)).await?;
        }
        with_timeout(worker.remove_journal(account, place, job_uid)).await
    }

    /// Says what stays in a customer's account after many attempts, and who has to remove it.
    pub(super) async fn tell_what_is_left(&self, stored: &StoredEffect, error: &str) {
        let Ok(Some(left)) = self.inner.store.left_behind(stored) else { return };
        let shown = |place: &BlobName| format!("{}/{}", place.container, place.name);
        let documents = left.named_after_job.iter().chain(&left.last_logs).map(shown).chain(left.logs.iter().cloned());
        let unfinished = left.unfinished.iter().map(|(place, id)| format!("{} (unfinished, transfer {id})", shown(place)));
        let names: Vec<String> = documents.chain(unfinished).collect();
        tracing::error!(
            account = left.account,
            left = names.join(", "),
            error,
            "what a deleted job left in its account cannot be removed: let the service delete there, or have the owner of the account remove it; it is tried again"
        );
    }
}
