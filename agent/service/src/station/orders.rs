//! What operators may order.

use std::time::Duration;

use protocol::arm::{Package, is_drive_id};
use protocol::job::{CopyEnd, DriveState, Event, RetryOptions};
use protocol::outcome::Outcome;
use protocol::station::DockedDrive;
use protocol::stop::StopReason;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    pub(super) fn change<'actor>(&self, actor: &'actor str, action: &'static str) -> Change<'actor> {
        Change { actor, action, version: None, now: self.now() }
    }

    /// A drive did not come.
    ///
    /// # Errors
    /// When the job is not in Shipping, or has it.
    pub async fn never_received(&self, key: &JobKey, drive_id: &str, actor: &str) -> Result<StoredJob, OrderError> {
        let change = self.change(actor, "gave up on a drive that did not come");
        let job = self.inner.store.change(key, &change, |_| Ok(vec![Event::NeverReceived(drive_id.to_owned())])).await?;
        self.wake();
        Ok(job)
    }

    /// Pauses a drive: a copy that runs drains, one that does not is not begun.
    ///
    /// # Errors
    /// When the drive is done, or not there.
    pub async fn pause(&self, key: &JobKey, drive_id: &str, actor: &str) -> Result<StoredJob, OrderError> {
        let change = self.change(actor, "paused a drive");
        // Written first: what runs is stopped for what is written, and stays stopped after a restart.
        let changed = self.inner.store.change(key, &change, |job| {
            require_undone(job, drive_id, "paused")?;
            job.copies.entry(drive_id.to_owned()).or_default().is_paused = true;
            Ok(Vec::new())
        });
        let job = changed.await?;
        let copy = CopyKey { job_uid: job.uid.clone(), drive_id: drive_id.to_owned() };
        if let Some(running) = self.running().get(&copy) {
            running.copy.stop(StopReason::Paused);
        }
        Ok(job)
    }

    /// Lets a drive that waits be copied: one that was paused, or failed, or ended with errors while others of its
    /// job are still copied.
    ///
    /// # Errors
    /// When the drive is done, or not there.
    pub async fn go_on(
        &self,
        key: &JobKey,
        drive_id: &str,
        must_be_docked: bool,
        retry: RetryOptions,
        actor: &str,
    ) -> Result<StoredJob, OrderError> {
        let is_docked = self.inner.worker.bays().iter().any(|bay| {
            let docked = bay.drive.as_ref().and_then(|drive| drive.drive_id.as_deref());
            docked.is_some_and(|id| id.eq_ignore_ascii_case(drive_id))
        });
        if must_be_docked && !is_docked {
            return Err(OrderError::Refused(format!("the drive `{drive_id}` is in no bay: dock it first")));
        }
        let change = self.change(actor, "let a drive be copied");
        let changed = self.inner.store.change(key, &change, |job| {
            let is_done = drive_of(job, drive_id)?.state == DriveState::CompletedMoreInfo;
            if !is_done {
                require_undone(job, drive_id, "copied")?;
            }
            let record = job.copies.entry(drive_id.to_owned()).or_default();
            record.hold = None;
            record.is_paused = false;
            // A blob of ours that lacks something is replaced; one that was never made is not.
            let lacks_something =
                is_done && record.result.as_ref().is_some_and(|result| result.outcome == Outcome::CompleteWithUnreadable);
            record.retry = RetryOptions {
                restart: retry.restart || lacks_something,
                overwrite: retry.overwrite || lacks_something,
                rescue: retry.rescue,
            };
            Ok(if is_done { vec![Event::Retry(drive_id.to_owned())] } else { Vec::new() })
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
        let now = self.now();
        let change = self.change(actor, "ended a copy that waited");
        let changed = self.inner.store.change(key, &change, |job| {
            let known = drive_of(job, drive_id)?.state;
            let key = CopyKey { job_uid: job.uid.clone(), drive_id: drive_id.to_owned() };
            let is_running = self.running().contains_key(&key);
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
            Ok(vec![Event::ShippedBack])
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
        self.inner.store.note(actor, &format!("docked a drive by hand in {bay}"), self.now()).await?;
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
        self.inner.store.note(actor, &format!("took a drive out of {bay} by hand"), self.now()).await?;
        self.wake();
        Ok(())
    }
}

/// Longest text about a parcel that goes back, in bytes.
const RETURN_TEXT_BYTES_MAX: usize = 256;

fn drive_of<'job>(job: &'job StoredJob, drive_id: &str) -> Result<&'job protocol::job::JobDrive, StoreError> {
    let refusal = || StoreError::Refused(protocol::job::Refusal::NoSuchDrive { id: drive_id.to_owned() });
    job.machine.drive(drive_id).ok_or_else(refusal)
}

/// Longest that an order waits for a drive or a store.
const ORDER_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits for the data plane, but not for ever.
pub(super) async fn in_time<T>(work: impl Future<Output = Result<T, WorkError>>) -> Result<T, OrderError> {
    let done = tokio::time::timeout(ORDER_TIMEOUT, work).await;
    Ok(done.map_err(|_| OrderError::Failed("there was no answer in time: try again".to_owned()))??)
}

/// A drive that is still to be copied.
fn require_undone(job: &StoredJob, drive_id: &str, action: &'static str) -> Result<(), StoreError> {
    let drive = drive_of(job, drive_id)?;
    if matches!(drive.state, DriveState::Received | DriveState::Transferring) && !job.machine.cancel_requested {
        return Ok(());
    }
    if job.machine.cancel_requested {
        return Err(protocol::job::Refusal::Cancelled.into());
    }
    let refusal = protocol::job::Refusal::DriveNotInThisState { id: drive_id.to_owned(), action, state: drive.state };
    Err(refusal.into())
}
