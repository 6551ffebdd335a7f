//! The bays and the copies that run, as they are shown.

use std::sync::Arc;

use protocol::job::{DriveState, JobKind, JobState};
use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::station::{Bay, BayState, BayWork};
use tokio::sync::watch;

use super::handle::{CopyKey, Scheduler};
use super::next::{NAMELESS, next, note_of};
use super::order::direction_of;
use super::worker::BayContent;
use crate::store::{StoreError, StoredJob};

/// Most jobs that one look considers: more than a datacenter has in hand at once.
pub(super) const JOBS_MAX: u32 = 10_000;

impl Scheduler {
    /// Progress of a drive's copy; `None` where none runs.
    pub(crate) fn progress(&self, job_uid: &str, drive_id: &str) -> Option<Progress> {
        self.running().get(&CopyKey::new(job_uid, drive_id)).map(|running| running.copy.progress())
    }

    /// The last samples of the rate of the copy in a bay, in bytes a second.
    pub(crate) fn rates(&self, bay: &str) -> Vec<f64> {
        let running = self.running();
        running
            .values()
            .find(|running| running.bay == bay)
            .map(|running| running.rates.iter().copied().collect())
            .unwrap_or_default()
    }

    /// What could not be read so far of the drive that is copied in a bay.
    pub(crate) fn unreadable_so_far(&self, bay: &str) -> UnreadableSoFar {
        let running = self.running();
        let here = running.values().find(|running| running.bay == bay);
        here.map(|running| running.copy.unreadable_so_far()).unwrap_or_default()
    }

    /// Jobs that a drive in a bay may be checked in to: those that wait for a drive.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn waiting_for_drives(&self) -> Result<Vec<StoredJob>, StoreError> {
        let jobs = self.inner.store.in_hand(JOBS_MAX).await?;
        Ok(jobs.into_iter().filter(waits_for_drives).collect())
    }

    /// The bays as they stand.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn bays(&self) -> Result<Vec<Bay>, StoreError> {
        let mut bays = Vec::new();
        for content in self.inner.worker.bays() {
            bays.push(self.bay(content).await?);
        }
        Ok(bays)
    }

    async fn bay(&self, content: BayContent) -> Result<Bay, StoreError> {
        let bay = |state, work, note| Bay {
            name: content.name.clone(),
            state,
            is_watched: content.is_watched,
            drive: content.drive.clone(),
            work,
            note,
        };
        if let Some((work, state)) = self.running_in(&content.name) {
            return Ok(bay(state, Some(work), None));
        }
        if content.drive.is_none() {
            return Ok(bay(BayState::Empty, None, None));
        }
        let Some(found) = self.find(&content).await? else {
            return Ok(bay(BayState::Docked, None, Some(NAMELESS.to_owned())));
        };
        let (id, (next, job)) = (found.id.as_str(), next(&found, self.now()));
        let state = job.map_or(BayState::Docked, |job| idle_state(job, id));
        let blob_of = |job: &StoredJob| {
            let blob = job.copies.get(id).and_then(|record| record.blob.as_ref())?;
            Some(format!("{}/{}", blob.container, blob.name))
        };
        let work = job.map(|job| BayWork {
            job: job.key.path(),
            drive_id: id.to_owned(),
            direction: direction_of(job.machine.kind),
            blob: blob_of(job),
            progress: None,
        });
        Ok(bay(state, work, note_of(next)))
    }

    /// The bays as JSON, whenever they change, at most twice a second.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<str>> {
        self.inner.shown.subscribe()
    }

    pub(super) fn running_in(&self, bay: &str) -> Option<(BayWork, BayState)> {
        let running = self.running();
        let (key, running) = running.iter().find(|(_, running)| running.bay == bay)?;
        let progress = running.copy.progress();
        let state = match progress.phase {
            Phase::Draining => BayState::Draining,
            Phase::Rescuing => BayState::Rescuing,
            Phase::Preparing | Phase::Copying | Phase::Committing | Phase::Clearing | Phase::Verifying | Phase::Done => {
                BayState::Copying
            }
        };
        let work = BayWork {
            job: running.job.clone(),
            drive_id: key.drive_id.clone(),
            direction: running.direction,
            blob: Some(running.blob.clone()),
            progress: Some(progress),
        };
        Some((work, state))
    }
}

/// Whether a drive may be checked in to a job.
pub(crate) fn waits_for_drives(job: &StoredJob) -> bool {
    let machine = &job.machine;
    let is_missing = |drive: &protocol::job::JobDrive| matches!(drive.state, DriveState::Specified | DriveState::NeverReceived);
    let lacks = match machine.kind {
        JobKind::Import => machine.drives.iter().any(is_missing),
        JobKind::Export => machine.drives.len() < machine.expected_drives,
    };
    lacks && matches!(machine.state, JobState::Shipping | JobState::Received | JobState::Transferring)
}

fn idle_state(job: &StoredJob, id: &str) -> BayState {
    let Some(drive) = job.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(id)) else {
        return BayState::Docked;
    };
    if matches!(drive.state, DriveState::Completed | DriveState::CompletedMoreInfo | DriveState::ShippedBack) {
        return BayState::Done;
    }
    match job.copies.get(&drive.id) {
        Some(record) if record.hold.is_some() => BayState::Held,
        Some(record) if record.is_paused => BayState::Paused,
        _ => BayState::Docked,
    }
}
