//! Carrying out effects of decisions: each at least once, and so that a repetition does no harm.

use std::panic::AssertUnwindSafe;
use std::sync::{MutexGuard, PoisonError};

use futures::FutureExt;
use protocol::arm::DocumentNames;
use protocol::job::{BlobName, DriveState, Effect, LogAddresses};

use super::documents::incomplete_list;
use super::handle::{SERVICE, Scheduler};
use super::journals::is_told;
use super::order::account_of;
use super::pending::{PendingEffects, Turn};
use super::receipts::receipts;
use super::worker::{DocumentFound, WorkError, with_timeout};
use crate::store::{Change, StoreError, StoredEffect, StoredJob};
use protocol::station::{CopyOrder, LogOrder};

/// After so many attempts a document is abandoned, and its job continues without it: half a day.
const ATTEMPTS_MAX: u32 = 150;

/// Effects that one round looks at: after a long stop there may be thousands.
const PER_ROUND_MAX: u32 = 256;

impl Scheduler {
    /// Carries out what waits: stops first, since a cancel waits for nothing.
    pub(super) async fn carry_out_effects(&self) -> Result<(), StoreError> {
        for stored in self.inner.store.stops().await? {
            self.carry_out_stop(&stored).await?;
        }
        let mut looked_at = self.pending().looked_at;
        let others = self.inner.store.effects(looked_at, PER_ROUND_MAX).await?;
        let is_end = others.len() < PER_ROUND_MAX as usize;
        for stored in others {
            if self.pending().is_full() {
                self.pending().looked_at = looked_at;
                return Ok(());
            }
            looked_at = stored.id;
            match &stored.effect {
                Effect::AlertOperators => {
                    tracing::warn!(job = %stored.job_uid, "drives of a job did not come: ask the customer");
                    self.inner.store.effect_done(stored.id).await?;
                }
                // Stops were carried out above.
                Effect::StopCopy(_) => {}
                Effect::Remove | Effect::PublishReceipts | Effect::PublishLogs(_) | Effect::Notify(_) => {
                    self.carry_out_beside(stored)
                }
            }
        }
        // Behind the last one comes the first one again.
        self.pending().looked_at = if is_end { 0 } else { looked_at };
        Ok(())
    }

    async fn carry_out_stop(&self, stored: &StoredEffect) -> Result<(), StoreError> {
        let found = self.inner.store.by_uid(&stored.job_uid).await?;
        if let (Effect::StopCopy(drive_id), Some(job)) = (&stored.effect, found) {
            self.stop_copy(&job, drive_id).await?;
            let drive = job.machine.drive(drive_id);
            if drive.is_some_and(|drive| drive.state == DriveState::Transferring) {
                // It is carried out when the end of the copy is written down: until then every round asks again.
                return Ok(());
            }
        }
        self.inner.store.effect_done(stored.id).await
    }

    fn pending(&self) -> MutexGuard<'_, PendingEffects> {
        self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries an effect out beside the rounds, one attempt at a time. An attempt that panics failed like any other.
    fn carry_out_beside(&self, stored: StoredEffect) {
        let turn = match &stored.effect {
            Effect::Remove => Turn::Last,
            Effect::Notify(notice) => Turn::Notice(notice.to.clone()),
            Effect::StopCopy(_) | Effect::PublishReceipts | Effect::PublishLogs(_) | Effect::AlertOperators => Turn::Any,
        };
        let Some(attempt) = self.pending().begin(stored.id, &stored.job_uid, turn) else { return };
        let scheduler = self.clone();
        self.inner.effects.spawn(async move {
            let carrying_out = AssertUnwindSafe(scheduler.carry_out_one(&stored)).catch_unwind().await;
            let result = carrying_out.unwrap_or_else(|_| Err("its task panicked: the log says where".to_owned()));
            let settling = AssertUnwindSafe(scheduler.settle(&stored, attempt, &result)).catch_unwind().await;
            match settling.unwrap_or(false) {
                true => scheduler.pending().remove(stored.id),
                false => scheduler.pending().retry_later(stored.id),
            }
        });
    }

    /// Takes an effect out of the outbox where it was carried out, or was tried often enough; false where it stays.
    async fn settle(&self, stored: &StoredEffect, attempt: u32, result: &Result<(), String>) -> bool {
        if let Err(error) = result {
            tracing::warn!(job = %stored.job_uid, error, attempt, "an effect of a job could not be carried out");
            if stored.effect == Effect::Remove {
                // A job is forgotten, however long it takes.
                if attempt == ATTEMPTS_MAX {
                    self.tell_what_is_left(stored, error).await;
                }
                return false;
            }
            if attempt < ATTEMPTS_MAX {
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
            return self.remove(stored).await;
        }
        let found = self.inner.store.by_uid(&stored.job_uid).await.map_err(|error| error.to_string())?;
        let Some(job) = found else { return Ok(()) };
        match &stored.effect {
            Effect::PublishReceipts => self.publish_receipts(&job).await,
            Effect::PublishLogs(drive_id) => self.publish_logs(&job, drive_id).await,
            Effect::Notify(notice) => match self.inner.notifier.get() {
                Some(notifier) => notifier.send(&job, notice, stored.id).await,
                None => Ok(()),
            },
            Effect::StopCopy(_) | Effect::AlertOperators | Effect::Remove => Ok(()),
        }
    }

    /// A copy whose result is written down and published needs no journal any more, unless it was given up: that can be
    /// taken back. Where this fails, or is not done, the journal is removed with its job.
    async fn forget_journal(&self, job_uid: &str, drive_id: &str) {
        let job = self.inner.store.by_uid(job_uid).await.ok().flatten();
        let is_given_up = |job: &StoredJob| job.copies.get(drive_id).is_some_and(|record| record.is_abandoned);
        let Some(job) = job.filter(|job| is_done(job, drive_id) && !is_given_up(job)) else { return };
        if let Err(error) = self.inner.worker.forget(job_uid, Some(drive_id)).await {
            tracing::warn!(job = job_uid, %error, "what a host keeps of a copy that is done stays there until its job goes");
        }
        // One that alone knows what was left goes when that is removed: with its job.
        if is_told(&job, drive_id)
            && let Err(error) = self.remove_journal(&job, drive_id).await
        {
            tracing::warn!(job = job_uid, %error, "the journal of a copy that is done stays in the account until its job goes");
        }
    }

    /// Writes the receipts, and the list of what was not exported. The job is read again after it was looked what is there: a service that
    /// slept meanwhile, and was taken over from, replaces nothing that the other one wrote.
    async fn publish_receipts(&self, job: &StoredJob) -> Result<(), String> {
        let (account, names) = (account_of(&job.details), DocumentNames::new(&job.details, &job.key.name));
        let receipts_found = self.look_at(account, &names.receipts()).await?;
        let list_found = match &job.details.export {
            Some(export) => Some((export, self.look_at(account, &names.incomplete_list()).await?)),
            None => None,
        };
        let Some(now) = self.inner.store.by_uid(&job.uid).await.map_err(|error| error.to_string())? else { return Ok(()) };
        let document = serde_json::to_vec_pretty(&receipts(&now, |_| false)).map_err(|error| error.to_string())?;
        self.put(account, &names.receipts(), &receipts_found, document).await?;
        let Some((export, found)) = list_found else { return Ok(()) };
        let selected = with_timeout(self.inner.worker.select(account, export)).await.map_err(|error| error.to_string())?;
        let Some(list) = incomplete_list(&now, &selected) else { return Ok(()) };
        let address = self.put(account, &names.incomplete_list(), &found, list.into_bytes()).await?;
        self.write_details(&now, |job| job.details.incomplete_blob_list_uri = Some(address)).await
    }

    async fn look_at(&self, account: &str, place: &BlobName) -> Result<DocumentFound, String> {
        with_timeout(self.inner.worker.look_at_document(account, place)).await.map_err(|error| error.to_string())
    }

    async fn put(&self, account: &str, place: &BlobName, found: &DocumentFound, bytes: Vec<u8>) -> Result<String, String> {
        self.inner.worker.put_document(account, place, found, bytes).await.map_err(|error| error.to_string())
    }

    async fn publish_logs(&self, job: &StoredJob, drive_id: &str) -> Result<(), String> {
        // The drive is being copied again: logs are published at the end of that run.
        if !is_done(job, drive_id) {
            return Ok(());
        }
        let Some((record, order)) = job.copies.get(drive_id).zip(self.log_order(job, drive_id)) else { return Ok(()) };
        // What an interrupted run moved is in its journal, which goes with this effect. Where the service was killed
        // meanwhile, nothing else asks for it again.
        let is_asked = || async { self.account_only(job, drive_id).await.map_err(|error| error.to_string()) };
        if record.is_unaccounted && (self.is_running(&job.uid, drive_id) || is_asked().await?) {
            return Err("what an interrupted run of the copy moved is not noted yet".to_owned());
        }
        let Some(result) = &record.result else { return Ok(()) };
        match self.inner.worker.put_logs(&order, result).await {
            Ok(logs) => self.write_details(job, |job| note_logs(job, drive_id, logs)).await,
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
        let BlobName { container, name: prefix } = job.log_prefix(drive_id)?;
        Some(LogOrder {
            copy,
            container,
            prefix,
            verbose: job.details.log_level == Some(protocol::arm::LogLevel::Verbose),
            manifest: job.details.backup_drive_manifest == Some(true),
        })
    }

    async fn write_details(&self, job: &StoredJob, edit: impl FnOnce(&mut StoredJob) + Clone) -> Result<(), String> {
        let change = Change::new(SERVICE, "noted where documents are", self.now());
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

/// Notes where the logs of a copy are. Those of its earlier runs stay known: they are removed with the job.
fn note_logs(job: &mut StoredJob, drive_id: &str, logs: LogAddresses) {
    let record = job.copies.entry(drive_id.to_owned()).or_default();
    if record.logs != logs {
        record.put_logs_by();
        record.logs = logs;
    }
}

fn is_done(job: &StoredJob, drive_id: &str) -> bool {
    let drive = job.machine.drive(drive_id);
    drive.is_some_and(|drive| !drive.state.is_here())
}

#[cfg(test)]
mod tests;
