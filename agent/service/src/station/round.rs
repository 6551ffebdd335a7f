//! What a round does with timers and bays.

use protocol::arm::JobDetails;
use protocol::job::{BlobName, DriveState, Event, JobKind, JobState, RetryOptions};
use protocol::outcome::Outcome;
use protocol::result::Direction;

use super::worker::{BayContent, CopyOrder};
use super::{CopyKey, SERVICE, Station, log_failure};
use crate::store::{Change, Docking, StoreError, StoredJob};

/// Timers of one round: after a long stop there may be thousands, and nobody shall wait for all of them.
const TIMERS_PER_ROUND: u32 = 50;

/// What is to be done about a docked drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, for this reason.
    Wait(String),
    /// No job names it.
    Unknown,
    /// A person has to say whose it is, for this reason.
    Ambiguous(&'static str),
    /// Its job was not shipped.
    NotShipped,
    /// Check it in.
    CheckIn,
    /// Copy it, or go on.
    Copy,
}

/// A docked drive, and everything that is known of it.
pub(super) struct Found {
    pub(super) jobs: Vec<StoredJob>,
    docking: Option<Docking>,
    /// Another bay shows a drive of the same name.
    is_twice: bool,
}

impl Station {
    pub(super) async fn round(&self) {
        log_failure("effects", self.carry_out().await);
        log_failure("timers", self.tick().await);
        for bay in self.inner.worker.bays() {
            if self.inner.stopping.is_cancelled() {
                return;
            }
            log_failure("bays", self.look_at(&bay).await);
        }
    }

    async fn tick(&self) -> Result<(), StoreError> {
        let due = self.inner.store.due(self.now(), TIMERS_PER_ROUND).await?;
        if due.len() == TIMERS_PER_ROUND as usize {
            self.wake();
        }
        for key in due {
            let change = Change { actor: SERVICE, action: "a timer was due", version: None, now: self.now() };
            match self.inner.store.change(&key, &change, |_| Ok(vec![Event::Tick])).await {
                Ok(_) | Err(StoreError::NotFound(_)) => {}
                // One job that cannot be changed must not keep the others.
                Err(error) => tracing::error!(%error, "a timer of a job could not be carried out"),
            }
        }
        Ok(())
    }

    /// What is known of the drive in a bay; `None` where it is empty, or its drive has no name.
    pub(super) async fn find<'bay>(&self, bay: &'bay BayContent) -> Result<Option<(&'bay str, Found)>, StoreError> {
        let Some(id) = name_of(bay) else { return Ok(None) };
        let has_name = |other: &BayContent| name_of(other).is_some_and(|other| other.eq_ignore_ascii_case(id));
        let is_twice = self.inner.worker.bays().iter().filter(|other| has_name(other)).count() > 1;
        let jobs = self.inner.store.jobs_of_drive(id).await?;
        let docking = self.inner.store.docking(&bay.name).await?;
        // What was noted is about this drive, and not about an earlier docking of it.
        let docking = docking.filter(|docking| docking.is_of(id) && bay.docked_at.is_none_or(|at| at <= docking.at));
        Ok(Some((id, Found { jobs, docking, is_twice })))
    }

    async fn look_at(&self, bay: &BayContent) -> Result<(), StoreError> {
        if self.running().values().any(|running| running.bay == bay.name) {
            return Ok(());
        }
        let Some((id, found)) = self.find(bay).await? else { return Ok(()) };
        let (next, job) = self.next(bay, id, &found);
        let Some(job) = job else { return Ok(()) };
        match next {
            Next::CheckIn => {
                let drive_id = own_name(job, id);
                let change =
                    Change { actor: SERVICE, action: "checked in a drive that was docked", version: None, now: self.now() };
                match self.inner.store.change(&job.key, &change, |_| Ok(vec![Event::CheckIn(drive_id)])).await {
                    Ok(job) => {
                        self.inner.store.note_docking(&bay.name, &job.uid, id, self.now()).await?;
                        self.wake();
                        Ok(())
                    }
                    // Somebody was faster.
                    Err(StoreError::Refused(_) | StoreError::NotFound(_)) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Next::Copy => {
                self.inner.store.note_docking(&bay.name, &job.uid, id, self.now()).await?;
                self.begin_copy(job, &own_name(job, id), bay).await
            }
            Next::Wait(_) | Next::Unknown | Next::Ambiguous(_) | Next::NotShipped => Ok(()),
        }
    }

    /// What is to be done about a docked drive, and for which job.
    pub(super) fn next<'found>(&self, bay: &BayContent, id: &str, found: &'found Found) -> (Next, Option<&'found StoredJob>) {
        if found.is_twice {
            return (Next::Ambiguous("two bays show a drive of this name: take one out"), None);
        }
        // Two customers may name one drive; whose it is a person has to say, by checking it in.
        let checked_in: Vec<&StoredJob> = found.jobs.iter().filter(|job| is_checked_in(job, id)).collect();
        let shipped: Vec<&StoredJob> = found.jobs.iter().filter(|job| job.machine.state != JobState::Creating).collect();
        let job = match (checked_in.as_slice(), found.jobs.as_slice()) {
            ([job], _) => *job,
            ([], []) => return (Next::Unknown, None),
            ([], jobs) => match (shipped.as_slice(), jobs) {
                ([job], _) => *job,
                ([], [job, ..]) => job,
                _ => return (Next::Ambiguous("several jobs name this drive: check it in to the right one by hand"), None),
            },
            _ => return (Next::Ambiguous("several jobs name this drive: check it in to the right one by hand"), None),
        };
        if checked_in.is_empty() && found.docking.as_ref().is_some_and(|docking| docking.job_uid != job.uid) {
            // It was copied for somebody else, and nobody has taken it out since.
            return (
                Next::Ambiguous("the drive was done for another job and is still here: take it out, or check it in by hand"),
                None,
            );
        }
        if job.machine.state == JobState::Creating {
            return (Next::NotShipped, Some(job));
        }
        let wait = |why: &str| (Next::Wait(why.to_owned()), Some(job));
        let drive_id = own_name(job, id);
        let Some(known) = job.machine.drive(&drive_id) else { return wait("the job does not know the drive any more") };
        if job.machine.state == JobState::Packaging {
            return wait(match known.state {
                DriveState::Specified | DriveState::NeverReceived => "the drive came too late: it is sent back as it is",
                _ => "the drive is done, and waits to be sent back",
            });
        }
        match known.state {
            DriveState::Specified | DriveState::NeverReceived => (Next::CheckIn, Some(job)),
            DriveState::Received if job.machine.cancel_requested => wait("the job was cancelled"),
            DriveState::Received if job.machine.state == JobState::Shipping => {
                wait("checked in; the job waits for its other drives")
            }
            DriveState::Received | DriveState::Transferring => self.may_copy(bay, job, &drive_id),
            DriveState::Completed | DriveState::CompletedMoreInfo | DriveState::ShippedBack => wait("the drive is done"),
        }
    }

    fn may_copy<'found>(&self, bay: &BayContent, job: &'found StoredJob, drive_id: &str) -> (Next, Option<&'found StoredJob>) {
        let wait = |why: &str| (Next::Wait(why.to_owned()), Some(job));
        if self.running().contains_key(&CopyKey { job_uid: job.uid.clone(), drive_id: drive_id.to_owned() }) {
            return wait("it is copied in another bay");
        }
        if job.machine.cancel_requested {
            return wait("the job was cancelled");
        }
        let Some(record) = job.copies.get(drive_id) else { return (Next::Copy, Some(job)) };
        if record.is_paused {
            return wait("somebody paused it");
        }
        match &record.hold {
            None => (Next::Copy, Some(job)),
            // A drive that went away and came back, perhaps before its failure was noted, is gone on with.
            Some(hold) if hold.outcome == Outcome::DriveFailed && bay.docked_at > record.run_started_at => {
                (Next::Copy, Some(job))
            }
            Some(hold) if hold.retry_at.is_some_and(|at| at <= self.now()) => (Next::Copy, Some(job)),
            Some(hold) => wait(&hold.message),
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
            sequence: 0,
            account_only: false,
            was_cut_off: false,
            retry: RetryOptions::default(),
        })
    }
}

/// The account that a job names: the last segment of its id.
pub(super) fn account_of(details: &JobDetails) -> &str {
    details.storage_account_id.as_deref().unwrap_or_default().rsplit('/').next().unwrap_or_default()
}

/// What the drive in a bay is called.
fn name_of(bay: &BayContent) -> Option<&str> {
    bay.drive.as_ref()?.drive_id.as_deref()
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
