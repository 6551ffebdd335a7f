//! Checking in a drive that arrived: one of an import by its name or its bay, an empty one for an export by its bay.

use std::collections::HashSet;

use protocol::arm::is_drive_id;
use protocol::job::{BlobName, Event, JobKind};
use protocol::operator::CheckIn;
use protocol::station::DockedDrive;

use super::error::JobError;
use super::service::Jobs;
use crate::scheduler::account_of;
use crate::scheduler::worker::{SelectedBlob, with_timeout};
use crate::store::{Actor, JobKey, StoreError, StoredJob};

/// Most attempts of a check-in whose job keeps being changed meanwhile.
const ATTEMPTS_MAX: u32 = 8;

impl Jobs {
    /// The drive in a bay, and its name.
    fn docked_in(&self, bay: &str) -> Result<(DockedDrive, String), JobError> {
        let bays = self.scheduler.worker().bays();
        let found = bays.into_iter().find(|one| one.name == bay);
        let found = found.ok_or_else(|| JobError::Refused(format!("there is no bay `{bay}`")))?;
        let drive = found.drive.ok_or_else(|| JobError::Refused(format!("the bay `{bay}` is empty: dock the drive first")))?;
        let message = || format!("the drive in `{bay}` has no serial number: dock it by hand, with a name for it");
        let id = drive.drive_id.clone().ok_or_else(|| JobError::Refused(message()))?;
        Ok((drive, id))
    }

    /// Checks a drive in.
    ///
    /// # Errors
    /// When the drive or the job does not fit.
    pub(crate) async fn check_in(&self, actor: &Actor, key: &JobKey, check_in: &CheckIn) -> Result<StoredJob, JobError> {
        let job = self.store.get(key).await?;
        let bay = check_in.bay.as_deref();
        let docked = bay.map(|bay| self.docked_in(bay)).transpose()?;
        let job = match (job.machine.kind, &docked) {
            (JobKind::Import, docked) => {
                let in_bay = docked.as_ref().map(|(_, id)| id.as_str());
                let id = drive_of_import(&job, check_in.drive_id.as_deref(), in_bay)?;
                let change = self.change(actor, "checked in a drive", None);
                self.store.change(key, &change, |_| Ok(vec![Event::CheckIn(id)])).await?
            }
            (JobKind::Export, None) => {
                return Err(JobError::Refused("an export needs an empty drive in a bay: say its `bay`".to_owned()));
            }
            (JobKind::Export, Some((drive, id))) => {
                self.check_in_target(job, drive, id, bay.unwrap_or_default(), check_in.erase, actor).await?
            }
        };
        if let (Some(bay), Some((_, id))) = (bay, &docked) {
            self.store.note_docking(bay, &job.uid, id, self.scheduler.now()).await?;
        }
        self.scheduler.wake();
        Ok(job)
    }

    /// An empty drive for an export: it gets the first blob that has no drive yet and fits on it.
    async fn check_in_target(
        &self,
        mut job: StoredJob,
        drive: &DockedDrive,
        id: &str,
        bay: &str,
        erase: bool,
        actor: &Actor,
    ) -> Result<StoredJob, JobError> {
        if !is_drive_id(id) {
            return Err(JobError::Refused(format!("`{id}` cannot be the name of a drive: dock it by hand, with another")));
        }
        if !self.store.jobs_of_drive(id).await?.is_empty() {
            return Err(JobError::Refused(format!("the drive `{id}` belongs to a job already")));
        }
        if !erase && !with_timeout(self.scheduler.worker().is_blank(bay)).await? {
            return Err(JobError::Refused(format!(
                "the drive `{id}` in `{bay}` is not empty: take another, or say `erase` if what is on it may go"
            )));
        }
        let export = job.details.export.clone().unwrap_or_default();
        let selected = with_timeout(self.scheduler.worker().select(account_of(&job.details), &export)).await?;
        for _ in 0..ATTEMPTS_MAX {
            let chosen = choose(&job, &selected, drive.size_bytes, id)?;
            // Chosen by what was read: where the job changed meanwhile, it is read and chosen again.
            let change = self.change(actor, "checked in a drive for an export", Some(job.version));
            let changed = self.store.change(&job.key, &change, |job| {
                let record = job.copies.entry(id.to_owned()).or_default();
                (record.blob, record.size_bytes) = (Some(chosen.blob), chosen.size_bytes);
                Ok(vec![Event::CheckIn(id.to_owned())])
            });
            match changed.await {
                Err(StoreError::Changed) => job = self.store.get(&job.key).await?,
                other => return Ok(other?),
            }
        }
        Err(StoreError::Changed.into())
    }
}

/// The drive of an import that arrived, as its job spells it: the one that is named, or the one in the bay.
fn drive_of_import(job: &StoredJob, named: Option<&str>, in_bay: Option<&str>) -> Result<String, JobError> {
    let id = match (named, in_bay) {
        (Some(id), Some(in_bay)) if !id.eq_ignore_ascii_case(in_bay) => {
            return Err(JobError::Refused(format!("the drive in the bay is `{in_bay}`, and not `{id}`")));
        }
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => return Err(JobError::Refused("say which drive came: `driveId`, or its `bay`".to_owned())),
    };
    let own = job.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(id));
    Ok(own.map_or_else(|| id.to_owned(), |drive| drive.id.clone()))
}

/// The first blob of an export that has no drive yet and fits on this one.
fn choose(job: &StoredJob, selected: &[SelectedBlob], size_bytes: u64, id: &str) -> Result<SelectedBlob, JobError> {
    let name = |blob: &BlobName| (blob.container.clone(), blob.name.clone());
    let taken: HashSet<_> = job.copies.values().filter_map(|record| record.blob.as_ref()).map(name).collect();
    let left: Vec<_> = selected.iter().filter(|one| !taken.contains(&name(&one.blob))).collect();
    let fits = left.iter().find(|one| one.size_bytes.is_some_and(|needed| needed <= size_bytes));
    fits.copied().cloned().ok_or_else(|| {
        let missing: Vec<String> = left
            .iter()
            .filter(|one| one.size_bytes.is_none())
            .map(|one| format!("`{}/{}`", one.blob.container, one.blob.name))
            .collect();
        JobError::Refused(match (left.is_empty(), missing.is_empty()) {
            (true, _) => "every blob that the job asks for has its drive already, or there is none".to_owned(),
            (false, true) => format!("none of the {} blobs that are left fits on the drive `{id}`", left.len()),
            (false, false) => {
                format!("no blob that is left fits on the drive `{id}`; these are not there: {}", missing.join(", "))
            }
        })
    })
}
