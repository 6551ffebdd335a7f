//! Copies of single drives, as operators direct them: start, pause, resume, retry, give up, release, never received.

use protocol::job::{CopyEvent, CopyState, DriveState, Event, JobDrive, JobKind, Refusal, RetryOptions, TargetSeen};
use protocol::station::Action;
use protocol::stop::StopReason;

use super::error::JobError;
use super::job_drive::{drive_of, retry_of};
use super::service::Jobs;
use crate::scheduler::claim_of;
use crate::store::{Actor, JobKey, StoreError, StoredJob};

impl Jobs {
    /// Writes down that a drive did not come; for an export, that no more of them come.
    ///
    /// # Errors
    /// When the job does not wait for it.
    pub(crate) async fn never_received(
        &self,
        actor: &Actor,
        key: &JobKey,
        drive_id: Option<&str>,
    ) -> Result<StoredJob, JobError> {
        let change = self.change(actor, "gave up on a drive that did not come");
        let job = self.store.change(key, &change, |_| Ok(vec![Event::NeverReceived(drive_id.map(str::to_owned))])).await?;
        self.scheduler.wake();
        Ok(job)
    }

    /// Pauses a drive: its copy drains where it runs, and is not begun where it does not.
    ///
    /// # Errors
    /// When the drive is done, or not there.
    pub(crate) async fn pause(&self, actor: &Actor, key: &JobKey, drive_id: &str) -> Result<StoredJob, JobError> {
        let change = self.change(actor, "paused a drive");
        // Written before the copy is stopped, so that it stays stopped after a restart.
        let changed = self.store.change(key, &change, |job| {
            require_undone(job, drive_id, "paused")?;
            job.step_copy(drive_id, CopyEvent::Pause, change.now)?;
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
        self.let_copy(actor, key, drive_id, RetryOptions::default(), None).await
    }

    /// Copies a docked drive now.
    ///
    /// # Errors
    /// When it is in no bay, or its job waits for other drives: nothing would start.
    pub(crate) async fn start(&self, actor: &Actor, key: &JobKey, drive_id: &str) -> Result<StoredJob, JobError> {
        let job = self.store.get(key).await?;
        let missing: Vec<&JobDrive> = job.machine.drives.iter().filter(|drive| drive.state == DriveState::Specified).collect();
        if job.machine.awaits_drives() && drive_of(&job, drive_id)?.state == DriveState::Received {
            let names: Vec<String> = missing.iter().map(|drive| format!("`{}`", drive.id)).collect();
            let what = if names.is_empty() { "other drives".to_owned() } else { names.join(", ") };
            let drive_id = missing.first().map(|drive| drive.id.clone());
            let command = Action::NeverReceived { job: key.path(), drive_id }.command().unwrap_or_default();
            return Err(JobError::Refused(format!("the job waits for {what}: check them in, or say `{command}`")));
        }
        self.retry(actor, key, drive_id, RetryOptions::default()).await
    }

    /// Copies a docked drive again: one that was paused or failed, or that ended without being complete.
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
        let job = self.store.get(key).await?;
        drive_of(&job, drive_id)?;
        let Some(bay) = self.scheduler.bay_of(&job.uid, drive_id).await? else {
            return Err(JobError::Refused(format!("the drive `{drive_id}` is in no bay: dock it first")));
        };
        // What may go is what is on the drive that is there now.
        let bays = self.scheduler.worker().bays();
        let bay = bays.iter().find(|content| content.name == bay);
        let erased = bay.filter(|_| options.erase && job.machine.kind == JobKind::Export);
        let target = erased.map(|bay| claim_of(bay, drive_id).seen(&job.uid, self.scheduler.now()));
        self.let_copy(actor, key, drive_id, options, target).await
    }

    async fn let_copy(
        &self,
        actor: &Actor,
        key: &JobKey,
        drive_id: &str,
        options: RetryOptions,
        target: Option<TargetSeen>,
    ) -> Result<StoredJob, JobError> {
        let action = if target.is_some() { "let a drive be erased and copied" } else { "let a drive be copied" };
        let change = self.change(actor, action);
        let changed = self.store.change(key, &change, |job| {
            let is_done = drive_of(job, drive_id)?.state == DriveState::CompletedMoreInfo;
            if !is_done {
                require_undone(job, drive_id, "copied")?;
            }
            job.step_copy(drive_id, CopyEvent::Allow(options), change.now)?;
            if let Some(record) = job.copies.get_mut(drive_id).filter(|_| target.is_some()) {
                record.target = target;
            }
            Ok(if is_done { vec![retry_of(job, drive_id)] } else { Vec::new() })
        });
        let job = changed.await?;
        self.scheduler.wake();
        Ok(job)
    }

    /// Ends the copy of a drive before it is complete: what landed stays, and the drive goes back with an error. It can be
    /// taken back until the drive is shipped back.
    ///
    /// # Errors
    /// When it runs, or is over.
    pub(crate) async fn give_up(&self, actor: &Actor, key: &JobKey, drive_id: &str) -> Result<StoredJob, JobError> {
        let change = self.change(actor, "ended a copy before it was complete");
        self.end_copy(key, drive_id, change, CopyEvent::Abandon, Event::Abandon(drive_id.to_owned())).await
    }

    /// Frees the blob of an export's drive for another drive; the drive goes back unused.
    ///
    /// # Errors
    /// When it runs, or is complete.
    pub(crate) async fn release(&self, actor: &Actor, key: &JobKey, drive_id: &str) -> Result<StoredJob, JobError> {
        let change = self.change(actor, "freed the blob of a drive for another one");
        self.end_copy(key, drive_id, change, CopyEvent::Release, Event::Release(drive_id.to_owned())).await
    }

    async fn end_copy(
        &self,
        key: &JobKey,
        drive_id: &str,
        change: crate::store::Change<'_>,
        copy_event: CopyEvent,
        event: Event,
    ) -> Result<StoredJob, JobError> {
        let changed = self.store.change(key, &change, |job| {
            drive_of(job, drive_id)?;
            self.require_not_running(job, drive_id)?;
            job.step_copy(drive_id, copy_event, change.now)?;
            Ok(vec![event])
        });
        let job = changed.await?;
        // What an interrupted run moved is told by its journal: at once, and again with the logs where this is cut off.
        if let Err(error) = self.scheduler.account_only(&job, drive_id).await {
            tracing::warn!(job = %job.uid, %error, "what a copy moved is asked again with its logs");
        }
        self.scheduler.wake();
        Ok(job)
    }
}

/// Refuses unless the drive is still to be copied.
fn require_undone(job: &StoredJob, drive_id: &str, action: &'static str) -> Result<(), StoreError> {
    let drive = drive_of(job, drive_id)?;
    let is_ended = *job.in_hand().copy_state(drive_id) == CopyState::Ended;
    if drive.state.is_here() && !job.machine.cancel_requested && !is_ended {
        return Ok(());
    }
    if job.machine.cancel_requested {
        return Err(Refusal::Cancelled.into());
    }
    let refusal = Refusal::DriveNotInThisState { id: drive_id.to_owned(), action, state: drive.state };
    Err(refusal.into())
}
