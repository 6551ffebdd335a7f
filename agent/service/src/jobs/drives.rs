//! Copies of single drives, as operators direct them: pause, resume, retry, give up, never received.

use protocol::job::{CopyEnd, DriveState, Event, JobDrive, Refusal, RetryOptions};
use protocol::outcome::Outcome;
use protocol::stop::StopReason;

use super::error::JobError;
use super::service::Jobs;
use crate::store::{Actor, JobKey, StoreError, StoredJob};

impl Jobs {
    /// Writes down that a drive did not come.
    ///
    /// # Errors
    /// When the job is not in Shipping, or the drive was received.
    pub(crate) async fn never_received(&self, actor: &Actor, key: &JobKey, drive_id: &str) -> Result<StoredJob, JobError> {
        let change = self.change(actor, "gave up on a drive that did not come", None);
        let job = self.store.change(key, &change, |_| Ok(vec![Event::NeverReceived(drive_id.to_owned())])).await?;
        self.scheduler.wake();
        Ok(job)
    }

    /// Pauses a drive: its copy drains where it runs, and is not begun where it does not.
    ///
    /// # Errors
    /// When the drive is done, or not there.
    pub(crate) async fn pause(&self, actor: &Actor, key: &JobKey, drive_id: &str) -> Result<StoredJob, JobError> {
        let change = self.change(actor, "paused a drive", None);
        // Written before the copy is stopped, so that it stays stopped after a restart.
        let changed = self.store.change(key, &change, |job| {
            require_undone(job, drive_id, "paused")?;
            job.copies.entry(drive_id.to_owned()).or_default().is_paused = true;
            Ok(Vec::new())
        });
        let job = changed.await?;
        self.scheduler.stop_running(&job.uid, drive_id, StopReason::Paused);
        Ok(job)
    }

    /// Resumes the copy of a drive that was paused or failed. It begins as soon as the drive is docked.
    ///
    /// # Errors
    /// When the drive is done, or not there.
    pub(crate) async fn resume(&self, actor: &Actor, key: &JobKey, drive_id: &str) -> Result<StoredJob, JobError> {
        self.let_copy(actor, key, drive_id, RetryOptions::default()).await
    }

    /// Copies a docked drive again: one that was paused or failed, or that ended with errors while others of its job are
    /// still copied.
    ///
    /// # Errors
    /// When the drive is done, not there, or in no bay.
    pub(crate) async fn retry(
        &self,
        actor: &Actor,
        key: &JobKey,
        drive_id: &str,
        options: RetryOptions,
    ) -> Result<StoredJob, JobError> {
        let is_docked = self.scheduler.worker().bays().iter().any(|bay| {
            let docked = bay.drive.as_ref().and_then(|drive| drive.drive_id.as_deref());
            docked.is_some_and(|id| id.eq_ignore_ascii_case(drive_id))
        });
        if !is_docked {
            return Err(JobError::Refused(format!("the drive `{drive_id}` is in no bay: dock it first")));
        }
        self.let_copy(actor, key, drive_id, options).await
    }

    async fn let_copy(&self, actor: &Actor, key: &JobKey, drive_id: &str, options: RetryOptions) -> Result<StoredJob, JobError> {
        let change = self.change(actor, "let a drive be copied", None);
        let changed = self.store.change(key, &change, |job| {
            let is_done = drive_of(job, drive_id)?.state == DriveState::CompletedMoreInfo;
            if !is_done {
                require_undone(job, drive_id, "copied")?;
            }
            let record = job.copies.entry(drive_id.to_owned()).or_default();
            record.hold = None;
            record.is_paused = false;
            // The blob of a copy with unreadable places is replaced. Where none was made, a blob of that name is not ours.
            let lacks_something =
                is_done && record.result.as_ref().is_some_and(|result| result.outcome == Outcome::CompleteWithUnreadable);
            record.retry = RetryOptions {
                restart: options.restart || lacks_something,
                overwrite: options.overwrite || lacks_something,
                rescue: options.rescue,
            };
            Ok(if is_done { vec![Event::Retry(drive_id.to_owned())] } else { Vec::new() })
        });
        let job = changed.await?;
        self.scheduler.wake();
        Ok(job)
    }

    /// Gives a waiting copy up: what landed stays, and the drive goes back with an error.
    ///
    /// # Errors
    /// When it runs, or does not wait.
    pub(crate) async fn give_up(&self, actor: &Actor, key: &JobKey, drive_id: &str) -> Result<StoredJob, JobError> {
        let now = self.scheduler.now();
        let change = self.change(actor, "ended a copy that waited", None);
        let changed = self.store.change(key, &change, |job| {
            let known = drive_of(job, drive_id)?.state;
            let is_running = self.scheduler.is_running(&job.uid, drive_id);
            let record = job.copies.entry(drive_id.to_owned()).or_default();
            if known != DriveState::Transferring || is_running {
                let message = format!("the drive `{drive_id}` has no copy that stands: pause it first, where it runs");
                return Err(StoreError::NotNow(message));
            }
            record.hold = None;
            record.is_paused = false;
            record.is_open = false;
            record.ended_at = Some(now);
            Ok(vec![Event::CopyEnded(drive_id.to_owned(), CopyEnd::Failed)])
        });
        let job = changed.await?;
        self.scheduler.wake();
        Ok(job)
    }
}

fn drive_of<'job>(job: &'job StoredJob, drive_id: &str) -> Result<&'job JobDrive, StoreError> {
    let refusal = || StoreError::Refused(Refusal::NoSuchDrive { id: drive_id.to_owned() });
    job.machine.drive(drive_id).ok_or_else(refusal)
}

/// Refuses unless the drive is still to be copied.
fn require_undone(job: &StoredJob, drive_id: &str, action: &'static str) -> Result<(), StoreError> {
    let drive = drive_of(job, drive_id)?;
    if matches!(drive.state, DriveState::Received | DriveState::Transferring) && !job.machine.cancel_requested {
        return Ok(());
    }
    if job.machine.cancel_requested {
        return Err(Refusal::Cancelled.into());
    }
    let refusal = Refusal::DriveNotInThisState { id: drive_id.to_owned(), action, state: drive.state };
    Err(refusal.into())
}
