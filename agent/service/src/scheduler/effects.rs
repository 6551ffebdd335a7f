//! Carrying out effects of decisions: each at least once, and so that a repetition does no harm.

use std::sync::{MutexGuard, PoisonError};

use protocol::job::{BlobName, DriveState, Effect};

use super::documents::{diagnostics, incomplete_list};
use super::handle::{SERVICE, Scheduler};
use super::order::account_of;
use super::pending::PendingEffects;
use super::receipts::receipts;
use super::worker::{CopyOrder, LogOrder, WorkError};
use crate::store::{Change, StoreError, StoredEffect, StoredJob};

/// After so many attempts a document is abandoned, and its job continues without it: half a day.
const ATTEMPTS_MAX: u32 = 150;

impl Scheduler {
    pub(super) async fn carry_out_effects(&self) -> Result<(), StoreError> {
        let effects = self.inner.store.effects().await?;
        // Stops first: a cancel waits for nothing.
        let (stops, others): (Vec<_>, Vec<_>) = effects.into_iter().partition(|one| matches!(one.effect, Effect::StopCopy(_)));
        for stored in stops {
            let found = self.inner.store.by_uid(&stored.job_uid).await?;
            if let (Effect::StopCopy(drive_id), Some(job)) = (&stored.effect, found) {
                self.stop_copy(&job, drive_id).await?;
                let drive = job.machine.drive(drive_id);
                if drive.is_some_and(|drive| drive.state == DriveState::Transferring) {
                    // It is carried out when the end of the copy is written down: until then every round asks again.
                    continue;
                }
            }
            self.inner.store.effect_done(stored.id).await?;
        }
        for stored in others {
            match &stored.effect {
                Effect::AlertOperators => {
                    tracing::warn!(job = %stored.job_uid, "drives of a job did not come: ask the customer");
                    self.inner.store.effect_done(stored.id).await?;
                }
                // Stops were carried out above.
                Effect::StopCopy(_) => {}
                Effect::Remove | Effect::PublishReceipts | Effect::PublishLogs(_) => self.carry_out_beside(stored),
            }
        }
        Ok(())
    }

    fn pending(&self) -> MutexGuard<'_, PendingEffects> {
        self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries an effect out beside the rounds, one attempt at a time.
    fn carry_out_beside(&self, stored: StoredEffect) {
        let Some(attempt) = self.pending().begin(stored.id) else { return };
        let scheduler = self.clone();
        self.inner.effects.spawn(async move {
            let result = scheduler.carry_out_one(&stored).await;
            if scheduler.settle(&stored, attempt, &result).await {
                scheduler.pending().remove(stored.id);
            } else {
                scheduler.pending().retry_later(stored.id);
            }
        });
    }

    /// Takes an effect out of the outbox where it was carried out, or was tried often enough; false where it stays.
    async fn settle(&self, stored: &StoredEffect, attempt: u32, result: &Result<(), String>) -> bool {
        if let Err(error) = result {
            tracing::warn!(job = %stored.job_uid, error, attempt, "an effect of a job could not be carried out");
            // A job is forgotten, however long it takes.
            if attempt < ATTEMPTS_MAX || stored.effect == Effect::Remove {
                return false;
            }
        }
        if self.inner.store.effect_done(stored.id).await.is_err() {
            return false;
        }
        if let (Ok(()), Effect::PublishLogs(drive_id)) = (result, &stored.effect) {
            self.forget_journal(&stored.job_uid, drive_id).await;
        }
        true
    }

    async fn carry_out_one(&self, stored: &StoredEffect) -> Result<(), String> {
        if stored.effect == Effect::Remove {
            self.inner.worker.forget(&stored.job_uid, None).await.map_err(|error| error.to_string())?;
            let is_empty = self.inner.store.empty_log().await.map_err(|error| error.to_string())?;
            return is_empty.then_some(()).ok_or_else(|| "the database is being read just now".to_owned());
        }
        let found = self.inner.store.by_uid(&stored.job_uid).await.map_err(|error| error.to_string())?;
        let Some(job) = found else { return Ok(()) };
        match &stored.effect {
            Effect::PublishReceipts => self.publish_receipts(&job).await,
            Effect::PublishLogs(drive_id) => self.publish_logs(&job, drive_id).await,
            Effect::StopCopy(_) | Effect::AlertOperators | Effect::Remove => Ok(()),
        }
    }

    /// A copy whose result is written down and published needs no journal any more. Where this fails, the journal is
    /// removed with its job.
    async fn forget_journal(&self, job_uid: &str, drive_id: &str) {
        let job = self.inner.store.by_uid(job_uid).await.ok().flatten();
        if job.is_some_and(|job| is_done(&job, drive_id))
            && let Err(error) = self.inner.worker.forget(job_uid, Some(drive_id)).await
        {
            tracing::warn!(job = job_uid, %error, "the journal of a copy that is done stays until its job goes");
        }
    }

    async fn publish_receipts(&self, job: &StoredJob) -> Result<(), String> {
        let account = account_of(&job.details);
        let (container, folder) = diagnostics(&job.details);
        let place = |name: String| BlobName { container: container.clone(), name: format!("{folder}waies/{name}") };
        let document = serde_json::to_vec_pretty(&receipts(job, |_| false)).map_err(|error| error.to_string())?;
        let put = |name, bytes| async { self.inner.worker.put_document(account, &place(name), bytes).await };
        put(format!("{}_receipts.json", job.key.name), document).await.map_err(|error| error.to_string())?;
        let list = match &job.details.export {
            Some(export) => {
                let selected = self.inner.worker.select(account, export).await.map_err(|error| error.to_string())?;
                incomplete_list(job, &selected)
            }
            None => None,
        };
        let Some(list) = list else { return Ok(()) };
        let address =
            put(format!("{}_incomplete.xml", job.key.name), list.into_bytes()).await.map_err(|error| error.to_string())?;
        self.write_details(job, |job| job.details.incomplete_blob_list_uri = Some(address)).await
    }

    async fn publish_logs(&self, job: &StoredJob, drive_id: &str) -> Result<(), String> {
        // The drive is being copied again: logs are published at the end of that run.
        if !is_done(job, drive_id) {
            return Ok(());
        }
        let Some((record, order)) = job.copies.get(drive_id).zip(self.log_order(job, drive_id)) else { return Ok(()) };
        // What an interrupted run moved is told by its journal, which goes with this effect. Where the service was killed
        // meanwhile, nobody else asks for it again.
        if record.is_unaccounted && (self.is_running(&job.uid, drive_id) || self.account_only(job, drive_id)) {
            return Err("what an interrupted run of the copy moved is not noted yet".to_owned());
        }
        let Some(result) = &record.result else { return Ok(()) };
        match self.inner.worker.put_logs(&order, result).await {
            Ok(logs) => self.write_details(job, |job| job.copies.entry(drive_id.to_owned()).or_default().logs = logs).await,
            // It will never be possible: the receipts must do.
            Err(WorkError::Refused(message)) => {
                tracing::warn!(job = %job.uid, error = message, "the logs of a copy cannot be written");
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn log_order(&self, job: &StoredJob, drive_id: &str) -> Option<LogOrder> {
        let record = job.copies.get(drive_id)?;
        let copy: CopyOrder = self.order(job, drive_id, record.bay.as_deref().unwrap_or_default())?;
        let (container, folder) = diagnostics(&job.details);
        let at = record.ended_at.unwrap_or(job.modified_at);
        let stamp = time::macros::format_description!("[year][month][day]-[hour][minute][second]-[subsecond digits:3]");
        let stamp = at.format(&stamp).unwrap_or_default();
        Some(LogOrder {
            copy,
            container,
            prefix: format!("{folder}waies/{}_{drive_id}_{stamp}", job.key.name),
            verbose: job.details.log_level == Some(protocol::arm::LogLevel::Verbose),
            manifest: job.details.backup_drive_manifest == Some(true),
        })
    }

    async fn write_details(&self, job: &StoredJob, edit: impl FnOnce(&mut StoredJob)) -> Result<(), String> {
        let change = Change { actor: SERVICE, action: "noted where documents are", version: None, now: self.now() };
        let changed = self.inner.store.change(&job.key, &change, |job| {
            edit(job);
            Ok(Vec::new())
        });
        match changed.await {
            Ok(_) | Err(StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn is_done(job: &StoredJob, drive_id: &str) -> bool {
    let drive = job.machine.drive(drive_id);
    drive.is_some_and(|drive| !matches!(drive.state, DriveState::Received | DriveState::Transferring))
}
