//! What operators may order.

use protocol::arm::{Package, is_drive_id};
use protocol::job::{BlobName, CopyEnd, DriveState, Event, Hold, HoldCause, JobKind};
use protocol::outcome::Outcome;
use protocol::station::DockedDrive;
use protocol::stop::StopReason;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::round::account_of;
use super::worker::WorkError;
use super::{CopyKey, Station};
use crate::store::{Change, JobKey, StoreError, StoredJob};

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// It cannot be, as things stand: one sentence.
    #[error("{0}")]
    Refused(String),
    /// Something that it needs failed.
    #[error("{0}")]
    Failed(String),
    /// The store, or the table of jobs.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WorkError> for OrderError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Refused(message) => OrderError::Refused(message),
            WorkError::Failed(message) => OrderError::Failed(message),
        }
    }
}

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

/// How drives go back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReturnPackage {
    /// The carrier.
    pub carrier_name: String,
    /// Its name for the parcel.
    pub tracking_number: String,
}

impl Station {
    fn change<'actor>(&self, actor: &'actor str, action: &'static str) -> Change<'actor> {
        Change { actor, action, version: None, now: self.now() }
    }

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
        let docked = check_in.bay.as_deref().map(|bay| self.docked_in(bay)).transpose()?;
        let job = match (job.machine.kind, docked) {
            (JobKind::Import, docked) => {
                let id = check_in.drive_id.clone().or(docked.map(|(_, id)| id));
                let id = id.ok_or_else(|| OrderError::Refused("say which drive came: `driveId`, or its `bay`".to_owned()))?;
                let own = job.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(&id));
                let id = own.map_or(id, |drive| drive.id.clone());
                let change = self.change(actor, "checked in a drive");
                self.inner.store.change(key, &change, |_| vec![Event::CheckIn(id)]).await?
            }
            (JobKind::Export, None) => {
                return Err(OrderError::Refused("an export needs an empty drive in a bay: say its `bay`".to_owned()));
            }
            (JobKind::Export, Some((drive, id))) => {
                let bay = check_in.bay.as_deref().unwrap_or_default();
                self.check_in_target(&job, &drive, &id, bay, check_in.erase, actor).await?
            }
        };
        self.wake();
        Ok(job)
    }

    /// An empty drive for an export: it gets the first blob that has no drive yet and fits on it.
    async fn check_in_target(
        &self,
        job: &StoredJob,
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
        if !erase && !self.inner.worker.is_blank(bay).await? {
            return Err(OrderError::Refused(format!(
                "the drive `{id}` in `{bay}` is not empty: take another, or say `erase` if nobody misses what is on it"
            )));
        }
        let export = job.details.export.clone().unwrap_or_default();
        let selected = self.inner.worker.select(account_of(&job.details), &export).await?;
        let taken: Vec<&BlobName> = job.copies.values().filter_map(|record| record.blob.as_ref()).collect();
        let left: Vec<_> = selected.iter().filter(|one| !taken.contains(&&one.blob)).collect();
        let fits = left.iter().find(|one| one.size_bytes <= drive.size_bytes);
        let Some(chosen) = fits else {
            return Err(OrderError::Refused(match left.is_empty() {
                true => "every blob that the job asks for has its drive already, or there is none".to_owned(),
                false => format!("none of the {} blobs that are left fits on the drive `{id}`", left.len()),
            }));
        };
        let change = self.change(actor, "checked in a drive for an export");
        let changed = self.inner.store.change(&job.key, &change, |job| {
            job.copies.entry(id.to_owned()).or_default().blob = Some(chosen.blob.clone());
            vec![Event::CheckIn(id.to_owned())]
        });
        Ok(changed.await?)
    }

    /// A drive did not come.
    ///
    /// # Errors
    /// When the job is not in Shipping, or has it.
    pub async fn never_received(&self, key: &JobKey, drive_id: &str, actor: &str) -> Result<StoredJob, OrderError> {
        let change = self.change(actor, "gave up on a drive that did not come");
        let job = self.inner.store.change(key, &change, |_| vec![Event::NeverReceived(drive_id.to_owned())]).await?;
        self.wake();
        Ok(job)
    }

    /// Pauses a drive: a copy that runs drains, one that does not is not begun.
    ///
    /// # Errors
    /// When the drive is done, or not there.
    pub async fn pause(&self, key: &JobKey, drive_id: &str, actor: &str) -> Result<StoredJob, OrderError> {
        let job = self.inner.store.get(key).await?;
        require_undone(&job, drive_id, "paused")?;
        let is_running = {
            let running = self.running();
            let copy = running.get(&CopyKey { job_uid: job.uid.clone(), drive_id: drive_id.to_owned() });
            if let Some(running) = copy {
                running.copy.stop(StopReason::Paused);
            }
            copy.is_some()
        };
        let now = self.now();
        let hold = Hold {
            cause: HoldCause::Paused,
            outcome: Outcome::Cancelled,
            message: "somebody paused it".to_owned(),
            since: now,
            retry_at: None,
        };
        let change = self.change(actor, "paused a drive");
        let changed = self.inner.store.change(key, &change, |job| {
            if !is_running {
                job.copies.entry(drive_id.to_owned()).or_default().hold = Some(hold);
            }
            Vec::new()
        });
        Ok(changed.await?)
    }

    /// Lets a drive that waits be copied: one that was paused, or failed, or ended with errors while others of its
    /// job are still copied.
    ///
    /// # Errors
    /// When the drive is done, or not there.
    pub async fn go_on(&self, key: &JobKey, drive_id: &str, must_be_docked: bool, actor: &str) -> Result<StoredJob, OrderError> {
        let job = self.inner.store.get(key).await?;
        let known = drive_of(&job, drive_id)?;
        if known.state != DriveState::CompletedMoreInfo {
            require_undone(&job, drive_id, "copied")?;
        }
        let is_docked = self.inner.worker.bays().iter().any(|bay| {
            let docked = bay.drive.as_ref().and_then(|drive| drive.drive_id.as_deref());
            docked.is_some_and(|id| id.eq_ignore_ascii_case(drive_id))
        });
        if must_be_docked && !is_docked {
            return Err(OrderError::Refused(format!("the drive `{drive_id}` is in no bay: dock it first")));
        }
        let change = self.change(actor, "let a drive be copied");
        let changed = self.inner.store.change(key, &change, |job| {
            if let Some(record) = job.copies.get_mut(drive_id) {
                record.hold = None;
            }
            match job.machine.drive(drive_id).map(|drive| drive.state) {
                Some(DriveState::CompletedMoreInfo) => vec![Event::Retry(drive_id.to_owned())],
                _ => Vec::new(),
            }
        });
        let job = changed.await?;
        self.wake();
        Ok(job)
    }

    /// Ends a copy that waits: what landed stays, and the drive goes back with an error.
    ///
    /// # Errors
    /// When it runs, or does not wait.
    pub async fn give_up(&self, key: &JobKey, drive_id: &str, actor: &str) -> Result<StoredJob, OrderError> {
        let job = self.inner.store.get(key).await?;
        let known = drive_of(&job, drive_id)?;
        let is_held = job.copies.get(drive_id).is_some_and(|record| record.hold.is_some());
        if known.state != DriveState::Transferring || !is_held {
            return Err(OrderError::Refused(format!("the copy of the drive `{drive_id}` does not wait for anybody")));
        }
        let now = self.now();
        let change = self.change(actor, "ended a copy that waited");
        let changed = self.inner.store.change(key, &change, |job| {
            let record = job.copies.entry(drive_id.to_owned()).or_default();
            record.hold = None;
            record.is_open = false;
            record.ended_at = Some(now);
            vec![Event::CopyEnded(drive_id.to_owned(), CopyEnd::Failed)]
        });
        let job = changed.await?;
        self.wake();
        Ok(job)
    }

    /// All drives of a job went back.
    ///
    /// # Errors
    /// When the job is not in Packaging.
    pub async fn ship_back(&self, key: &JobKey, package: &ReturnPackage, actor: &str) -> Result<StoredJob, OrderError> {
        for (name, text) in [("carrierName", &package.carrier_name), ("trackingNumber", &package.tracking_number)] {
            if text.trim().is_empty() || text.len() > RETURN_TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(OrderError::Refused(format!("`{name}` is 1 to {RETURN_TEXT_BYTES_MAX} bytes of plain text")));
            }
        }
        let ship_date = self.now().format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
        let change = self.change(actor, "sent drives back");
        let changed = self.inner.store.change(key, &change, |job| {
            let was_here = |drive: &&protocol::job::JobDrive| !drive.state.is_final();
            let drive_count = job.machine.drives.iter().filter(was_here).count();
            job.details.return_package = Some(Package {
                carrier_name: package.carrier_name.clone(),
                tracking_number: package.tracking_number.clone(),
                drive_count: i64::try_from(drive_count).unwrap_or_default(),
                ship_date,
            });
            vec![Event::ShippedBack]
        });
        let job = changed.await?;
        self.wake();
        Ok(job)
    }

    /// Docks a drive by hand.
    ///
    /// # Errors
    /// When the bay is taken or watched, or there is no such drive.
    pub async fn dock(&self, bay: &str, path: &str, drive_id: Option<&str>, actor: &str) -> Result<DockedDrive, OrderError> {
        if let Some(id) = drive_id.filter(|id| !is_drive_id(id) || id.is_empty()) {
            return Err(OrderError::Refused(format!("`{id}` cannot be the name of a drive: letters, digits and `-_.+:=`")));
        }
        let docked = self.inner.worker.dock(bay, path, drive_id).await?;
        self.inner.store.note(actor, "docked a drive by hand", self.now()).await?;
        self.wake();
        Ok(docked)
    }

    /// Takes a drive out of a bay by hand.
    ///
    /// # Errors
    /// When it is copied, or was not docked by hand.
    pub async fn undock(&self, bay: &str, actor: &str) -> Result<(), OrderError> {
        if self.running().values().any(|running| running.bay == bay) {
            return Err(OrderError::Refused(format!("the drive in `{bay}` is being copied: pause it first")));
        }
        self.inner.worker.undock(bay).await?;
        self.inner.store.note(actor, "took a drive out by hand", self.now()).await?;
        self.wake();
        Ok(())
    }
}

/// Longest text about a parcel that goes back, in bytes.
const RETURN_TEXT_BYTES_MAX: usize = 256;

fn drive_of<'job>(job: &'job StoredJob, drive_id: &str) -> Result<&'job protocol::job::JobDrive, OrderError> {
    let refusal = || StoreError::Refused(protocol::job::Refusal::NoSuchDrive { id: drive_id.to_owned() });
    Ok(job.machine.drive(drive_id).ok_or_else(refusal)?)
}

/// A drive that is still to be copied.
fn require_undone(job: &StoredJob, drive_id: &str, action: &'static str) -> Result<(), OrderError> {
    let drive = drive_of(job, drive_id)?;
    if matches!(drive.state, DriveState::Received | DriveState::Transferring) && !job.machine.cancel_requested {
        return Ok(());
    }
    if job.machine.cancel_requested {
        return Err(StoreError::Refused(protocol::job::Refusal::Cancelled).into());
    }
    let refusal = protocol::job::Refusal::DriveNotInThisState { id: drive_id.to_owned(), action, state: drive.state };
    Err(StoreError::Refused(refusal).into())
}
