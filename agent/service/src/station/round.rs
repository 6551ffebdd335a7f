//! What a round does with timers and bays.

use protocol::arm::JobDetails;
use protocol::job::{BlobName, DriveState, Event, HoldCause, JobKind, JobState};
use protocol::outcome::Outcome;
use protocol::result::Direction;
use protocol::station::DockedDrive;

use super::worker::{BayContent, CopyOrder};
use super::{CopyKey, SERVICE, Station, log_failure};
use crate::store::{Change, StoreError, StoredJob};

/// What is to be done about a docked drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, for this reason.
    Wait(String),
    /// No job names it.
    Unknown,
    /// Several jobs name it.
    Ambiguous,
    /// Its job was not shipped.
    NotShipped,
    /// Check it in.
    CheckIn,
    /// Copy it, or go on.
    Copy,
}

impl Station {
    pub(super) async fn round(&self) {
        log_failure("timers", self.tick().await);
        log_failure("effects", self.carry_out().await);
        for bay in self.inner.worker.bays() {
            if self.inner.stopping.is_cancelled() {
                return;
            }
            log_failure("bays", self.look_at(&bay).await);
        }
    }

    async fn tick(&self) -> Result<(), StoreError> {
        for key in self.inner.store.due(self.now()).await? {
            let change = Change { actor: SERVICE, action: "a timer was due", version: None, now: self.now() };
            match self.inner.store.change(&key, &change, |_| vec![Event::Tick]).await {
                Ok(_) | Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn look_at(&self, bay: &BayContent) -> Result<(), StoreError> {
        let Some((drive, id)) = bay.drive.as_ref().and_then(|drive| Some((drive, drive.drive_id.as_ref()?))) else {
            return Ok(());
        };
        if self.running().values().any(|running| running.bay == bay.name) {
            return Ok(());
        }
        let jobs = self.inner.store.jobs_of_drive(id).await?;
        let (next, job) = self.next(bay, drive, id, &jobs);
        let Some(job) = job else { return Ok(()) };
        match next {
            Next::CheckIn => {
                let drive_id = own_name(job, id);
                let change =
                    Change { actor: SERVICE, action: "checked in a drive that was docked", version: None, now: self.now() };
                match self.inner.store.change(&job.key, &change, |_| vec![Event::CheckIn(drive_id)]).await {
                    Ok(_) => {
                        self.wake();
                        Ok(())
                    }
                    // Somebody was faster.
                    Err(StoreError::Refused(_) | StoreError::NotFound(_)) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Next::Copy => self.begin_copy(job, &own_name(job, id), &bay.name).await,
            Next::Wait(_) | Next::Unknown | Next::Ambiguous | Next::NotShipped => Ok(()),
        }
    }

    /// What is to be done about a docked drive, and for which job.
    pub(super) fn next<'jobs>(
        &self,
        bay: &BayContent,
        drive: &DockedDrive,
        id: &str,
        jobs: &'jobs [StoredJob],
    ) -> (Next, Option<&'jobs StoredJob>) {
        // Two customers may name one drive; whose it is a person has to say, by checking it in.
        let checked_in: Vec<&StoredJob> = jobs.iter().filter(|job| is_checked_in(job, id)).collect();
        let job = match (checked_in.as_slice(), jobs) {
            ([job], _) => *job,
            ([], []) => return (Next::Unknown, None),
            ([], [job]) => job,
            _ => return (Next::Ambiguous, None),
        };
        if job.machine.state == JobState::Creating {
            return (Next::NotShipped, Some(job));
        }
        let wait = |why: &str| (Next::Wait(why.to_owned()), Some(job));
        let drive_id = own_name(job, id);
        let Some(known) = job.machine.drive(&drive_id) else { return wait("the job does not know the drive any more") };
        if job.machine.state == JobState::Packaging {
            return wait("the drive is done, and waits to be sent back");
        }
        match known.state {
            DriveState::Specified | DriveState::NeverReceived => (Next::CheckIn, Some(job)),
            DriveState::Received if job.machine.cancel_requested => wait("the job was cancelled"),
            DriveState::Received if job.machine.state == JobState::Shipping => {
                wait("checked in; the job waits for its other drives")
            }
            DriveState::Received | DriveState::Transferring => self.may_copy(bay, drive, job, &drive_id),
            DriveState::Completed | DriveState::CompletedMoreInfo | DriveState::ShippedBack => wait("the drive is done"),
        }
    }

    fn may_copy<'jobs>(
        &self,
        bay: &BayContent,
        drive: &DockedDrive,
        job: &'jobs StoredJob,
        drive_id: &str,
    ) -> (Next, Option<&'jobs StoredJob>) {
        let wait = |why: String| (Next::Wait(why), Some(job));
        if self.running().contains_key(&CopyKey { job_uid: job.uid.clone(), drive_id: drive_id.to_owned() }) {
            return wait("it is copied in another bay".to_owned());
        }
        if let Some(fault) = &bay.fault {
            return wait(fault.clone());
        }
        if job.machine.cancel_requested {
            return wait("the job was cancelled".to_owned());
        }
        let _ = drive;
        match job.copies.get(drive_id).and_then(|record| record.hold.as_ref()) {
            None => (Next::Copy, Some(job)),
            Some(hold) if hold.cause == HoldCause::Paused => wait("somebody paused it".to_owned()),
            // A drive that went away and came back is gone on with.
            Some(hold) if hold.outcome == Outcome::DriveFailed && bay.docked_at.is_some_and(|at| at > hold.since) => {
                (Next::Copy, Some(job))
            }
            Some(hold) if hold.retry_at.is_some_and(|at| at <= self.now()) => (Next::Copy, Some(job)),
            Some(hold) => wait(hold.message.clone()),
        }
    }

    /// The order that copies a drive of a job, and `None` where the job does not say what.
    pub(super) fn order(&self, job: &StoredJob, drive_id: &str, bay: &str) -> Option<CopyOrder> {
        let direction = match job.machine.kind {
            JobKind::Import => Direction::Import,
            JobKind::Export => Direction::Export,
        };
        let chosen = job.copies.get(drive_id).and_then(|record| record.blob.clone());
        let blob = match direction {
            Direction::Import => Some(chosen.unwrap_or_else(|| BlobName {
                container: self.inner.import_container.clone(),
                name: format!("{}/{drive_id}.img", job.key.name),
            })),
            Direction::Export => chosen,
        };
        Some(CopyOrder {
            bay: bay.to_owned(),
            direction,
            job_uid: job.uid.clone(),
            drive_id: drive_id.to_owned(),
            account: account_of(&job.details).to_owned(),
            blob: blob?,
            account_only: false,
        })
    }
}

/// The account that a job names: the last segment of its id.
pub(super) fn account_of(details: &JobDetails) -> &str {
    details.storage_account_id.as_deref().unwrap_or_default().rsplit('/').next().unwrap_or_default()
}

/// The drive as the job writes it.
fn own_name(job: &StoredJob, id: &str) -> String {
    let own = job.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(id));
    own.map_or_else(|| id.to_owned(), |drive| drive.id.clone())
}

fn is_checked_in(job: &StoredJob, id: &str) -> bool {
    let drive = job.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(id));
    drive.is_some_and(|drive| !matches!(drive.state, DriveState::Specified | DriveState::NeverReceived))
}
