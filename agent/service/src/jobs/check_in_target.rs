//! Checking in a drive for an export: it gets the first blob that has no drive yet and fits on it. A drive that cannot be
//! written, or is too small, takes no blob.

use std::collections::HashSet;

use protocol::arm::is_drive_id;
use protocol::job::{BlobName, DriveState, Event};
use protocol::operator::CheckIn;

use super::check_in::{InBay, told};
use super::error::JobError;
use super::service::Jobs;
use crate::scheduler::account_of;
use crate::scheduler::worker::{SelectedBlob, with_timeout};
use crate::store::{Actor, Change, Precondition, StoreError, StoredJob};

/// Most attempts of a check-in whose job keeps being changed meanwhile.
const ATTEMPTS_MAX: u32 = 8;

/// What a drive of an export is for.
#[derive(Clone)]
enum Use {
    /// It is written with this blob.
    Blob(SelectedBlob),
    /// Every blob has its drive: it goes back unused.
    Spare,
    /// The job was cancelled: it goes back as it is.
    Cancelled,
}

impl Jobs {
    /// An empty drive for an export.
    pub(super) async fn check_in_target(
        &self,
        mut job: StoredJob,
        docked: &InBay,
        asked: &CheckIn,
        actor: &Actor,
    ) -> Result<StoredJob, JobError> {
        let id = self.name_of_target(&job, docked, asked.drive_id.as_deref()).await?;
        if !asked.erase && !job.machine.cancel_requested {
            self.require_not_written(&job, docked, "say `erase` if what is on it may go").await?;
        }
        let known = job.machine.drive(&id).map(|drive| drive.state);
        if known.is_some_and(DriveState::is_here) {
            return self.bind_target(job, docked, id, asked, actor).await;
        }
        let selected = match job.machine.cancel_requested || asked.spare {
            true => Vec::new(),
            false => self.blobs_for(&job, docked, asked.erase, &id).await?,
        };
        for _ in 0..ATTEMPTS_MAX {
            let chosen = match (job.machine.cancel_requested, asked.spare) {
                (true, _) => Use::Cancelled,
                (false, true) => Use::Spare,
                (false, false) => choose(&job, &selected, docked.drive.size_bytes, &id)?,
            };
            let present = selected.iter().filter(|one| one.size_bytes.is_some()).count();
            // Chosen by what was read: where the job changed meanwhile, it is read and chosen again.
            let claim = docked.claim(&id, asked);
            let change = self.change(actor, "checked in a drive for an export").when(Precondition::is(job.version));
            let change = Change { claim: Some(claim), ..change };
            let changed = self.store.change(&job.key, &change, |job| {
                job.audit_detail = Some(told(&id, Some(docked)));
                Ok(match chosen {
                    Use::Blob(chosen) => {
                        let record = job.copies.entry(id.clone()).or_default();
                        let target = claim.seen(&job.uid, change.now);
                        *record = std::mem::take(record).for_blob(chosen.blob, chosen.size_bytes, target);
                        vec![Event::BlobsFound(present), Event::CheckIn(id.clone())]
                    }
                    Use::Spare => vec![Event::CheckInSpare(id.clone())],
                    Use::Cancelled => vec![Event::CheckIn(id.clone())],
                })
            });
            match changed.await {
                Err(StoreError::Changed) => job = self.store.get(&job.key).await?,
                other => return Ok(other?),
            }
        }
        Err(StoreError::Changed.into())
    }

    /// What the job calls the drive: the name that is given, or its serial number.
    async fn name_of_target(&self, job: &StoredJob, docked: &InBay, named: Option<&str>) -> Result<String, JobError> {
        let bay = &docked.bay.name;
        let id = named
            .or(docked.serial())
            .ok_or_else(|| JobError::Refused(format!("the drive in `{bay}` tells no serial number: name it with `--drive`")))?;
        if !is_drive_id(id) {
            return Err(JobError::Refused(format!("`{id}` cannot be the name of a drive: name it otherwise with `--drive`")));
        }
        let own = job.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(id));
        let others = self.store.jobs_of_drive(id).await?;
        if own.is_none() && others.iter().any(|other| other.in_hand().drive_named(id).is_some()) {
            return Err(JobError::Refused(format!(
                "a job names a drive `{id}` already: if this is another one, name it otherwise with `--drive`"
            )));
        }
        Ok(own.map_or_else(|| id.to_owned(), |drive| drive.id.clone()))
    }

    /// A drive that was checked in before, and is docked again.
    async fn bind_target(
        &self,
        job: StoredJob,
        docked: &InBay,
        id: String,
        asked: &CheckIn,
        actor: &Actor,
    ) -> Result<StoredJob, JobError> {
        let claim = docked.claim(&id, asked);
        let record = job.copies.get(&id);
        let was_looked_at = claim.may_be_written(&job.uid, record);
        let is_resumed = record.is_some_and(|record| record.runs > 0);
        let is_same = docked.is_certain()
            && docked.serial().is_some_and(|serial| job.machine.drive(&id).is_some_and(|own| own.has_serial(serial)));
        let is_cancelled = job.machine.cancel_requested;
        // What was begun on this drive is looked at before it is resumed.
        let is_known = was_looked_at || is_resumed && is_same;
        if !is_cancelled && !is_known {
            self.require_usable(docked, asked.erase, &id).await?;
        }
        let needed = record.and_then(|record| record.size_bytes).unwrap_or_default();
        if !is_cancelled && needed > docked.drive.size_bytes {
            let (bay, size) = (&docked.bay.name, docked.drive.size_bytes);
            let message = format!("the drive in `{bay}` has {size} bytes, and {needed} are to be written: take a larger one");
            return Err(JobError::Refused(message));
        }
        let change = Change { claim: Some(claim), ..self.change(actor, "checked in a drive") };
        let changed = self.store.change(&job.key, &change, |job| {
            job.audit_detail = Some(told(&id, Some(docked)));
            if !(is_resumed && is_same)
                && let Some(record) = job.copies.get_mut(&id)
            {
                record.target = Some(claim.seen(&job.uid, change.now));
            }
            self.events(job, &id, Some(docked))
        });
        Ok(changed.await?)
    }

    /// Refuses a drive that cannot be written, or that something is on which may not go.
    async fn require_usable(&self, docked: &InBay, may_erase: bool, id: &str) -> Result<(), JobError> {
        let bay = docked.bay.name.as_str();
        with_timeout(self.scheduler.worker().require_writable(bay)).await?;
        if may_erase || with_timeout(self.scheduler.worker().is_blank(bay)).await? {
            return Ok(());
        }
        Err(JobError::Refused(format!(
            "the drive `{id}` in `{bay}` is not empty: take another, or say `erase` if what is on it may go"
        )))
    }

    /// The blobs of an export, once the drive is known to be one that can be written.
    async fn blobs_for(&self, job: &StoredJob, docked: &InBay, erase: bool, id: &str) -> Result<Vec<SelectedBlob>, JobError> {
        self.require_usable(docked, erase, id).await?;
        let export = job.details.export.clone().unwrap_or_default();
        Ok(with_timeout(self.scheduler.worker().select(account_of(&job.details), &export)).await?)
    }
}

/// The first blob of an export that has no drive yet and fits on this one.
fn choose(job: &StoredJob, selected: &[SelectedBlob], size_bytes: u64, id: &str) -> Result<Use, JobError> {
    let name = |blob: &BlobName| (blob.container.clone(), blob.name.clone());
    let taken: HashSet<_> = job.copies.values().filter_map(|record| record.blob.as_ref()).map(name).collect();
    let left: Vec<_> = selected.iter().filter(|one| !taken.contains(&name(&one.blob))).collect();
    if let Some(fits) = left.iter().find(|one| one.size_bytes.is_some_and(|needed| needed <= size_bytes)) {
        return Ok(Use::Blob((*fits).clone()));
    }
    let is_missing = |one: &&&SelectedBlob| one.size_bytes.is_none();
    let missing: Vec<String> =
        left.iter().filter(is_missing).map(|one| format!("`{}/{}`", one.blob.container, one.blob.name)).collect();
    let unused = "if it goes back unused, check it in as a spare (`--spare`)";
    match (left.is_empty(), missing.is_empty()) {
        (true, _) if taken.is_empty() => Err(JobError::Refused(format!("there is no blob that the job asks for; {unused}"))),
        (true, _) => Ok(Use::Spare),
        (false, true) => Err(JobError::Refused(format!(
            "none of the {} blobs that are left fits on the drive `{id}`: take a larger one; {unused}",
            left.len()
        ))),
        (false, false) => Err(JobError::Refused(format!(
            "no blob that is left fits on the drive `{id}`; these are not there: {}; {unused}",
            missing.join(", ")
        ))),
    }
}
