//! What operators take back: that a copy was ended, which drive one was taken for, and that a drive does not come.

use protocol::job::{CopyEvent, CopyRecord, Event, JobKind, RetryOptions, decide};

use super::error::JobError;
use super::job_drive::{drive_of, retry_of};
use super::service::Jobs;
use crate::scheduler::worker::with_timeout;
use crate::store::{Actor, Change, JobKey, Precondition, StoreError, StoredJob, Unbound};

impl Jobs {
    /// Takes back that the copy of a drive was ended.
    ///
    /// # Errors
    /// When it was not, or the drive was shipped back.
    pub(crate) async fn undo_give_up(&self, actor: &Actor, key: &JobKey, drive_id: &str) -> Result<StoredJob, JobError> {
        let change = self.change(actor, "took back that a copy was ended");
        let changed = self.store.change(key, &change, |job| {
            drive_of(job, drive_id)?;
            if !job.copies.get(drive_id).is_some_and(|record| record.is_abandoned) {
                return Err(StoreError::NotNow(format!("the copy of the drive `{drive_id}` was not given up")));
            }
            job.step_copy(drive_id, CopyEvent::Allow(RetryOptions::default()), change.now)?;
            Ok(vec![retry_of(job, drive_id)])
        });
        let job = changed.await?;
        self.scheduler.wake();
        Ok(job)
    }

    /// Writes down that the drive which was checked in as one of a job was another one: its copy waits for the right drive,
    /// however far it was. What the wrong one left stays known, and is replaced only where an operator says so.
    ///
    /// # Errors
    /// When it is being copied, was not checked in, or was shipped back.
    pub(crate) async fn undo_check_in(&self, actor: &Actor, key: &JobKey, drive_id: &str) -> Result<StoredJob, JobError> {
        let job = self.store.get(key).await?;
        self.require_not_running(&job, drive_id)?;
        // Before anything is forgotten.
        let event = || Event::UndoCheckIn(drive_id.to_owned());
        decide(&job.machine, event(), self.scheduler.now()).map_err(StoreError::from)?;
        let record = job.copies.get(drive_id);
        if record.is_some_and(|record| record.is_unaccounted) && self.scheduler.account_only(&job, drive_id).await? {
            let why = "what an interrupted run of its copy moved is being noted: say it again in a moment";
            return Err(StoreError::NotNow(format!("the drive `{drive_id}`: {why}")).into());
        }
        // A journal of the wrong drive must not be resumed with the right one, which may tell the same serial number.
        with_timeout(self.scheduler.worker().forget(&job.uid, Some(drive_id))).await?;
        if record.is_some_and(CopyRecord::was_begun) {
            self.scheduler.remove_journal(&job, drive_id).await?;
        }
        let serial = serial_of(&job, drive_id)?;
        let direction = job.machine.kind.direction();
        let is_written = job.machine.kind == JobKind::Export && record.is_some_and(CopyRecord::was_begun);
        // Of the job as it was read: a run that began meanwhile has a journal of its own.
        let change = self.change(actor, "said that a drive was the wrong one").when(Precondition::is(job.version));
        let change = Change { unbound: Some(Unbound { drive_id, is_written }), ..change };
        let changed = self.store.change(key, &change, |job| {
            self.require_not_running(job, drive_id)?;
            job.audit_detail = Some(format!("the drive with the serial number {serial}, which was checked in as {drive_id}"));
            job.step_copy(drive_id, CopyEvent::UndoCheckIn { serial, direction }, change.now)?;
            Ok(vec![event()])
        });
        let job = changed.await?;
        self.scheduler.wake();
        Ok(job)
    }

    /// Writes down that a drive may come after all; for an export, that as many may come as were announced.
    ///
    /// # Errors
    /// When the job does not wait for drives any more.
    pub(crate) async fn undo_never_received(
        &self,
        actor: &Actor,
        key: &JobKey,
        drive_id: Option<&str>,
    ) -> Result<StoredJob, JobError> {
        let change = self.change(actor, "took back that a drive did not come");
        let changed = self.store.change(key, &change, |job| {
            Ok(vec![Event::UndoNeverReceived { id: drive_id.map(str::to_owned), announced: job.announced_drives() }])
        });
        let job = changed.await?;
        self.scheduler.wake();
        Ok(job)
    }
}

/// What the drive that was checked in is known by.
fn serial_of(job: &StoredJob, drive_id: &str) -> Result<String, StoreError> {
    let drive = drive_of(job, drive_id)?;
    Ok(drive.bound_serial.clone().unwrap_or_else(|| drive.id.clone()))
}
