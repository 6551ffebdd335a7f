//! Drives that come.

use std::collections::HashSet;

use protocol::arm::is_drive_id;
use protocol::job::{BlobName, Event, JobKind};
use protocol::station::DockedDrive;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::orders::OrderError;
use super::round::account_of;
use super::worker::SelectedBlob;
use super::{Station, orders};
use crate::store::{Change, JobKey, StoreError, StoredJob};

/// A drive that came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckIn {
    /// The drive of an import; that in the bay, where it is absent.
    pub drive_id: Option<String>,
    /// The bay that the drive is in; an export needs it.
    pub bay: Option<String>,
    /// For an export: the drive is not empty, and what is on it may go.
    #[serde(default)]
    pub erase: bool,
}

/// How often a check-in is tried whose job was changed meanwhile.
const TRIES_MAX: u32 = 8;

impl Station {
    fn docked_in(&self, bay: &str) -> Result<(DockedDrive, String), OrderError> {
        let bays = self.inner.worker.bays();
        let found = bays.into_iter().find(|one| one.name == bay);
        let found = found.ok_or_else(|| OrderError::Refused(format!("there is no bay `{bay}`")))?;
        let drive = found.drive.ok_or_else(|| OrderError::Refused(format!("the bay `{bay}` is empty: dock the drive first")))?;
        let message = || format!("the drive in `{bay}` tells no serial number: dock it by hand, with a name for it");
        let id = drive.drive_id.clone().ok_or_else(|| OrderError::Refused(message()))?;
        Ok((drive, id))
    }

    /// Checks a drive in.
    ///
    /// # Errors
    /// When the drive or the job does not fit.
    pub async fn check_in(&self, key: &JobKey, check_in: &CheckIn, actor: &str) -> Result<StoredJob, OrderError> {
        let job = self.inner.store.get(key).await?;
        let bay = check_in.bay.as_deref();
        let docked = bay.map(|bay| self.docked_in(bay)).transpose()?;
        let job = match (job.machine.kind, &docked) {
            (JobKind::Import, docked) => {
                let in_bay = docked.as_ref().map(|(_, id)| id.clone());
                let id = match (check_in.drive_id.clone(), in_bay) {
                    (Some(id), Some(in_bay)) if !id.eq_ignore_ascii_case(&in_bay) => {
                        return Err(OrderError::Refused(format!("the drive in the bay is `{in_bay}`, and not `{id}`")));
                    }
                    (Some(id), _) | (None, Some(id)) => id,
                    (None, None) => {
                        return Err(OrderError::Refused("say which drive came: `driveId`, or its `bay`".to_owned()));
                    }
                };
                let own = job.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(&id));
                let id = own.map_or(id, |drive| drive.id.clone());
                let change = self.change(actor, "checked in a drive");
                self.inner.store.change(key, &change, |_| Ok(vec![Event::CheckIn(id)])).await?
            }
            (JobKind::Export, None) => {
                return Err(OrderError::Refused("an export needs an empty drive in a bay: say its `bay`".to_owned()));
            }
            (JobKind::Export, Some((drive, id))) => {
                self.check_in_target(job, drive, id, bay.unwrap_or_default(), check_in.erase, actor).await?
            }
        };
        if let (Some(bay), Some((_, id))) = (bay, &docked) {
            self.inner.store.note_docking(bay, &job.uid, id, self.now()).await?;
        }
        self.wake();
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
        actor: &str,
    ) -> Result<StoredJob, OrderError> {
        if !is_drive_id(id) {
            return Err(OrderError::Refused(format!("`{id}` cannot be the name of a drive: dock it by hand, with another")));
        }
        if !self.inner.store.jobs_of_drive(id).await?.is_empty() {
            return Err(OrderError::Refused(format!("the drive `{id}` belongs to a job already")));
        }
        if !erase && !orders::in_time(self.inner.worker.is_blank(bay)).await? {
            return Err(OrderError::Refused(format!(
                "the drive `{id}` in `{bay}` is not empty: take another, or say `erase` if nobody misses what is on it"
            )));
        }
        let export = job.details.export.clone().unwrap_or_default();
        let selected = orders::in_time(self.inner.worker.select(account_of(&job.details), &export)).await?;
        for _ in 0..TRIES_MAX {
            let chosen = choose(&job, &selected, drive.size_bytes, id)?;
            // Chosen by what was read: where somebody was faster, it is read and chosen again.
            let change = Change { version: Some(job.version), ..self.change(actor, "checked in a drive for an export") };
            let changed = self.inner.store.change(&job.key, &change, |job| {
                job.copies.entry(id.to_owned()).or_default().blob = Some(chosen);
                Ok(vec![Event::CheckIn(id.to_owned())])
            });
            match changed.await {
                Err(StoreError::Changed) => job = self.inner.store.get(&job.key).await?,
                other => return Ok(other?),
            }
        }
        Err(StoreError::Changed.into())
    }
}

fn choose(job: &StoredJob, selected: &[SelectedBlob], size_bytes: u64, id: &str) -> Result<BlobName, OrderError> {
    let name = |blob: &BlobName| (blob.container.clone(), blob.name.clone());
    let taken: HashSet<_> = job.copies.values().filter_map(|record| record.blob.as_ref()).map(name).collect();
    let left: Vec<_> = selected.iter().filter(|one| !taken.contains(&name(&one.blob))).collect();
    let fits = left.iter().find(|one| one.size_bytes.is_some_and(|needed| needed <= size_bytes));
    fits.map(|one| one.blob.clone()).ok_or_else(|| {
        let missing: Vec<String> = left
            .iter()
            .filter(|one| one.size_bytes.is_none())
            .map(|one| format!("`{}/{}`", one.blob.container, one.blob.name))
            .collect();
        OrderError::Refused(match (left.is_empty(), missing.is_empty()) {
            (true, _) => "every blob that the job asks for has its drive already, or there is none".to_owned(),
            (false, true) => format!("none of the {} blobs that are left fits on the drive `{id}`", left.len()),
            (false, false) => {
                format!("no blob that is left fits on the drive `{id}`; these are not there: {}", missing.join(", "))
            }
        })
    })
}
