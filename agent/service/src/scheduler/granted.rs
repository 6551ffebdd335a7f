//! Copies that were granted before this service began, and those that were cut off.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::station::CopyOrder;
use protocol::stop::StopReason;

use super::handle::{CopyKey, Running, Scheduler};
use super::worker::RunningCopy;
use crate::store::{GrantHolder, GrantedBefore, StoreError, StoredJob};

/// Pause before a grant is taken back again, where that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Pause before it is asked again what a copy moved.
const ACCOUNT_INTERVAL: Duration = Duration::from_secs(5);

/// A copy in a bay of a service that decided before this one: nothing can be asked of it, and it stops by itself.
struct Elsewhere;

impl RunningCopy for Elsewhere {
    fn progress(&self) -> Progress {
        Progress::of_nothing(Phase::Draining)
    }

    fn unreadable_so_far(&self) -> UnreadableSoFar {
        UnreadableSoFar::default()
    }

    fn stop(&self, _reason: StopReason) {}
}

impl Scheduler {
    /// Waits for the ends of copies that were granted and are not waited for: before this service began, or where it was not
    /// known whether the decision was written. Nothing else is begun of their drives.
    pub(super) async fn take_over_grants(&self) -> Result<(), StoreError> {
        for GrantedBefore { job, order, holder } in self.inner.store.grants().await? {
            if self.is_running(&order.job_uid, &order.drive_id) {
                continue;
            }
            tracing::info!(job = %order.job_uid, bay = %order.bay, ?holder, "a copy was granted, and nobody waits for its end");
            match holder {
                GrantHolder::Station => self.start(&job, order),
                GrantHolder::ThisService => self.end_cut_off(&order).await,
                GrantHolder::OtherService => self.wait_for_other(&job, order),
            }
        }
        Ok(())
    }

    /// Waits until a copy of another service has stopped.
    fn wait_for_other(&self, job: &StoredJob, order: CopyOrder) {
        let key = CopyKey::new(&order.job_uid, &order.drive_id);
        let running = Running {
            bay: format!("another service/{}", order.bay),
            copy: Arc::new(Elsewhere),
            is_account_only: order.account_only,
            job: job.key.path(),
            blob: format!("{}/{}", order.blob.container, order.blob.name),
            direction: order.direction,
            rates: VecDeque::new(),
        };
        self.running().insert(key.clone(), running);
        let scheduler = self.clone();
        self.inner.copies.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(scheduler.inner.worker.lease()) => {}
                () = scheduler.inner.stopping.cancelled() => return,
            }
            scheduler.end_cut_off(&order).await;
            scheduler.running().remove(&key);
            scheduler.wake();
        });
    }

    /// What is known of a copy whose end was not told stays as it was: it was cut off.
    pub(super) async fn end_cut_off(&self, order: &CopyOrder) {
        let Some(grant) = &order.grant else {
            if !order.account_only {
                tracing::error!(job = %order.job_uid, bay = %order.bay, "a copy ended without a result");
                return;
            }
            tracing::info!(job = %order.job_uid, bay = %order.bay, "what a copy moved is not known yet: asking again");
            tokio::select! {
                () = tokio::time::sleep(ACCOUNT_INTERVAL) => {}
                () = self.inner.stopping.cancelled() => {}
            }
            return;
        };
        tracing::warn!(job = %order.job_uid, bay = %order.bay, "a copy was cut off");
        while let Err(error) = self.inner.store.end_grant(grant).await {
            if matches!(error, StoreError::TakenOver) {
                return;
            }
            tracing::error!(job = %order.job_uid, %error, "the grant of a copy could not be taken back; trying again");
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests;
