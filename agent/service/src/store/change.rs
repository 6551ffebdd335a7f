//! Changing a job: a decision, what follows from it, and its audit entry, in one transaction.

use std::sync::atomic::Ordering;

use protocol::job::{Decision, Effect, Event, decide};
use time::OffsetDateTime;

use super::audit::{AuditedJob, write_audit};
use super::database::Store;
use super::docking::{Claim, Unbound, claim, unbind};
use super::drive_keys::{drives_of, without_key};
use super::effects::{drop_effect, queue};
use super::error::StoreError;
use super::notices::notices;
use super::precondition::Precondition;
use super::read::read_to_change;
use super::remove::remove;
use super::retry::retried;
use super::row::{JobKey, StoredJob};
use super::seal::Sealed;
use super::transaction::Transaction;
use super::{copies, grants, search, write};

/// Who changes a job, and when.
pub(crate) struct Change<'change> {
    /// The actor, for the audit log.
    pub(crate) actor: &'change str,
    /// What is done, for the audit log.
    pub(crate) action: &'change str,
    /// The version that the change is meant for.
    pub(crate) precondition: Precondition,
    /// When.
    pub(crate) now: OffsetDateTime,
    /// The drive in a bay that becomes a drive of the job with it.
    pub(crate) claim: Option<Claim<'change>>,
    /// The drive of the job that is not the one in its bay.
    pub(crate) unbound: Option<Unbound<'change>>,
}

impl<'change> Change<'change> {
    /// A change of a job as it stands, in which no drive is claimed.
    pub(crate) fn new(actor: &'change str, action: &'change str, now: OffsetDateTime) -> Self {
        Change { actor, action, precondition: Precondition::default(), now, claim: None, unbound: None }
    }

    /// The same, where the job has to be of a version.
    pub(crate) fn when(self, precondition: Precondition) -> Self {
        Change { precondition, ..self }
    }
}

impl Store {
    /// Changes a job: `edit` may refuse, or write its documents and give the events; each is decided in turn, and all
    /// of it is written, or nothing. It is asked again where another change was in the way. A job that is removed by it is gone
    /// when this returns.
    ///
    /// # Errors
    /// When there is no such job, it was changed meanwhile, or a decision refuses.
    pub(crate) async fn change(
        &self,
        key: &JobKey,
        change: &Change<'_>,
        edit: impl FnOnce(&mut StoredJob) -> Result<Vec<Event>, StoreError> + Clone,
    ) -> Result<StoredJob, StoreError> {
        retried!(self.change_once(key, change, edit.clone()))
    }

    async fn change_once(
        &self,
        key: &JobKey,
        change: &Change<'_>,
        edit: impl FnOnce(&mut StoredJob) -> Result<Vec<Event>, StoreError>,
    ) -> Result<StoredJob, StoreError> {
        let mut transaction = self.begin().await?;
        let found = read_to_change(&mut transaction, key).await?;
        let mut job = found.ok_or_else(|| StoreError::NotFound(key.name.clone()))?;
        change.precondition.require(Some(&job))?;
        let before = job.clone();
        let events = edit(&mut job)?;
        let mut effects = decide_all(&mut transaction, &mut job, events, change.now).await?;
        job.end_what_was_not_begun(change.now)?;
        if let Some(wanted) = change.claim {
            claim(&mut transaction, wanted, &job.uid, change.now).await?;
        }
        if let Some(unbound) = change.unbound {
            unbind(&mut transaction, unbound, &job.uid).await?;
        }
        if let Some(step) = job.grant_step.take() {
            grants::step(&mut transaction, &job, step).await?;
        }
        let entered = (job.machine.state != before.machine.state).then_some(job.machine.state);
        let sealer = self.sealer(&job.uid, &job.seal)?;
        let detail = job.audit_detail.take().map(|detail| sealer.close(&detail, Sealed::AuditDetail)).transpose()?;
        let about = AuditedJob { uid: &job.uid, entered, detail: detail.as_deref().map(|detail| (job.id, detail)) };
        write_audit(&mut transaction, change.now, change.actor, change.action, Some(about)).await?;
        let is_removed = effects.contains(&Effect::Remove);
        effects.extend(notices(&self.notices, &job.key, entered, change.now));
        if is_removed {
            remove(&mut transaction, &before, &effects).await?;
        } else {
            queue(&mut transaction, &job, &effects).await?;
        }
        if !is_removed && job != before {
            job.modified_at = change.now;
            self.write_changed(&mut transaction, &mut job, &before).await?;
        }
        transaction.commit().await?;
        if is_removed {
            // Carrying out the effect empties the file of it.
            self.has_removed.0.store(true, Ordering::SeqCst);
        }
        Ok(job)
    }

    async fn write_changed(
        &self,
        transaction: &mut Transaction,
        job: &mut StoredJob,
        before: &StoredJob,
    ) -> Result<(), StoreError> {
        let drives = drives_of(&job.details);
        if drives != drives_of(&before.details) {
            job.details.drive_list = Some(drives.iter().map(without_key).collect());
            let drives = self.with_keys_of_corrected(transaction, job, &drives_of(&before.details), drives).await?;
            self.seal_keys(transaction, job, &drives).await?;
        }
        write::update(transaction, job).await?;
        copies::write(transaction, job, Some(before)).await?;
        search::write(transaction, job, Some(before)).await
    }
}

/// Decides events one after another; the effects of all of them.
async fn decide_all(
    transaction: &mut Transaction,
    job: &mut StoredJob,
    events: Vec<Event>,
    now: OffsetDateTime,
) -> Result<Vec<Effect>, StoreError> {
    let mut effects = Vec::new();
    for event in events {
        if let Event::Retry { id: drive_id, .. } | Event::Release(drive_id) | Event::UndoCheckIn(drive_id) = &event {
            // The logs of the run before are not wanted any more, and would take its journal with them.
            drop_effect(transaction, job, &Effect::PublishLogs(drive_id.clone())).await?;
            // Its receipts are published when it comes to Packaging again.
            drop_effect(transaction, job, &Effect::PublishReceipts).await?;
        }
        let Decision { job: next, effects: more } = decide(&job.machine, event, now)?;
        job.machine = next;
        effects.extend(more);
    }
    Ok(effects)
}
