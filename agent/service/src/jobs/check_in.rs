//! Checking in a drive that arrived: as a drive of an import, or for an export. What an operator says counts more than
//! the serial number that a drive tells.

use std::sync::Arc;

use protocol::job::{Event, JobKind, Refusal};
use protocol::operator::CheckIn;
use protocol::station::{DockedDrive, may_be_given, short_job_name};

use super::error::JobError;
use super::job_drive::drive_of;
use super::service::Jobs;
use crate::scheduler::claim_of;
use crate::store::{Actor, Change, Claim, JobKey, StoreError, StoredJob};
use protocol::station::BayContent;

/// The drive in a bay.
pub(super) struct InBay {
    pub(super) bay: BayContent,
    pub(super) drive: DockedDrive,
}

impl InBay {
    /// The serial number that the drive tells.
    pub(super) fn serial(&self) -> Option<&str> {
        self.drive.drive_id.as_deref()
    }

    /// The drive, as the drive of a job is made of it.
    pub(super) fn claim<'claim>(&'claim self, drive_id: &'claim str, asked: &CheckIn) -> Claim<'claim> {
        Claim { may_take_over: asked.take_over, ..claim_of(&self.bay, drive_id) }
    }

    /// Whether the drive says for certain which it is.
    pub(super) fn is_certain(&self) -> bool {
        self.serial().is_some() && self.drive.weak_identity.is_empty()
    }
}

impl Jobs {
    fn in_bay(&self, bay: &str) -> Result<InBay, JobError> {
        let bays = self.scheduler.worker().bays();
        let found = bays.into_iter().find(|one| one.name == bay);
        let found = found.ok_or_else(|| JobError::Refused(format!("there is no bay `{bay}`")))?;
        let drive =
            found.drive.clone().ok_or_else(|| JobError::Refused(format!("the bay `{bay}` is empty: dock the drive first")))?;
        if self.scheduler.is_running_in(bay) {
            return Err(JobError::Refused(format!("the drive in `{bay}` is being copied: pause it first")));
        }
        Ok(InBay { bay: found, drive })
    }

    /// Checks a drive in.
    ///
    /// # Errors
    /// When the drive or the job does not fit.
    pub(crate) async fn check_in(&self, actor: &Actor, key: &JobKey, check_in: &CheckIn) -> Result<StoredJob, JobError> {
        let job = self.store.get(key).await?;
        let docked = check_in.bay.as_deref().map(|bay| self.in_bay(bay)).transpose()?;
        let job = match (job.machine.kind, &docked) {
            (JobKind::Import, docked) => self.check_in_source(job, docked.as_ref(), check_in, actor).await?,
            (JobKind::Export, None) => {
                return Err(JobError::Refused("an export needs an empty drive in a bay: say its `bay`".to_owned()));
            }
            (JobKind::Export, Some(docked)) => self.check_in_target(job, docked, check_in, actor).await?,
        };
        self.scheduler.wake();
        Ok(job)
    }

    /// A drive of an import.
    async fn check_in_source(
        &self,
        job: StoredJob,
        docked: Option<&InBay>,
        asked: &CheckIn,
        actor: &Actor,
    ) -> Result<StoredJob, JobError> {
        let id = drive_of_import(&job, asked.drive_id.as_deref(), docked)?;
        let claim = docked.map(|docked| docked.claim(&id, asked));
        if let Some(docked) = docked.filter(|_| !asked.take_over) {
            self.require_not_written(&job, docked, "import it all the same with `--take-over`").await?;
        }
        let checked_in = self.scheduler.checked_in(&job, &id, docked.map(|docked| docked.drive.size_bytes));
        let change = Change { claim, ..self.change(actor, "checked in a drive") };
        let changed = self.store.change(&job.key, &change, |job| {
            job.audit_detail = Some(told(&id, docked));
            if let Some(event) = checked_in {
                job.step_copy(&id, event, change.now)?;
            }
            self.events(job, &id, docked)
        });
        Ok(changed.await?)
    }

    /// Refuses a drive that holds what another job exported: it was written for that one by mistake.
    pub(super) async fn require_not_written(&self, job: &StoredJob, docked: &InBay, way_out: &str) -> Result<(), JobError> {
        let Some(serial) = docked.serial() else { return Ok(()) };
        let others = self.store.jobs_of_drive(serial).await?;
        let has_written =
            |other: &&Arc<StoredJob>| other.uid != job.uid && other.in_hand().drive_written_by_mistake(serial).is_some();
        let Some(other) = others.iter().find(has_written) else { return Ok(()) };
        let (bay, path) = (&docked.bay.name, other.key.path());
        let other = short_job_name(&path);
        Err(JobError::Refused(format!(
            "the drive in `{bay}` was written as a drive of `{other}` by mistake, and holds what its customer had exported: erase it first, or {way_out}"
        )))
    }

    /// The events that make the docked drive that drive of a job.
    pub(super) fn events(&self, job: &StoredJob, id: &str, docked: Option<&InBay>) -> Result<Vec<Event>, StoreError> {
        let drive = drive_of(job, id)?;
        if self.scheduler.is_running(&job.uid, id) {
            return Err(StoreError::NotNow(format!("the drive `{id}` of the job is being copied: pause it first")));
        }
        let is_here = drive.state.is_here();
        if docked.is_some() && is_here && !may_be_given(&job.in_hand(), drive) {
            return Err(Refusal::DriveNotInThisState { id: id.to_owned(), action: "checked in", state: drive.state }.into());
        }
        // One that was checked in by name is bound to the drive in the bay.
        let mut events = if docked.is_some() && is_here { Vec::new() } else { vec![Event::CheckIn(id.to_owned())] };
        let certain = docked.filter(|docked| docked.is_certain()).and_then(InBay::serial);
        if let Some(serial) = certain.filter(|serial| !drive.has_serial(serial)) {
            events.push(Event::Bind { id: id.to_owned(), serial: serial.to_owned() });
        }
        Ok(events)
    }
}

/// What the audit log says of a check-in: both names of the drive.
pub(super) fn told(id: &str, docked: Option<&InBay>) -> String {
    match docked {
        None => format!("the drive {id}, by its name"),
        Some(docked) => {
            let tells =
                docked.serial().map_or_else(|| "no serial number".to_owned(), |serial| format!("the serial number {serial}"));
            format!("the drive in {}, which tells {tells}, as {id}", docked.bay.name)
        }
    }
}

/// The drive of an import that arrived, as its job spells it: the one that is named, or the one whose serial number the drive
/// in the bay tells.
fn drive_of_import(job: &StoredJob, named: Option<&str>, docked: Option<&InBay>) -> Result<String, JobError> {
    let of_job = || {
        let ids: Vec<String> = job.machine.drives.iter().map(|drive| format!("`{}`", drive.id)).collect();
        ids.join(", ")
    };
    match (named, docked) {
        (Some(id), _) => {
            let own = job.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(id));
            let own = own.ok_or_else(|| StoreError::Refused(Refusal::NoSuchDrive { id: id.to_owned() }))?;
            Ok(own.id.clone())
        }
        (None, Some(docked)) => {
            let serial = docked.serial();
            let own = serial.and_then(|serial| job.in_hand().drive_of_serial(serial));
            own.map(|drive| drive.id.clone()).ok_or_else(|| {
                let tells = serial.map_or_else(|| "no serial number".to_owned(), |serial| format!("`{serial}`"));
                let bay = &docked.bay.name;
                JobError::Refused(format!(
                    "the drive in `{bay}` tells {tells}, which the job does not name: say with `--drive` which of its drives it is: {}",
                    of_job()
                ))
            })
        }
        (None, None) => Err(JobError::Refused("say which drive came: `driveId`, or its `bay`".to_owned())),
    }
}
