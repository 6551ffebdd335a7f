//! The bays and the copies that run, as they are shown.

use std::collections::HashMap;
use std::sync::Arc;

use protocol::job::{BlobName, CopyState, DriveState};
use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::station::{Bay, BayState, BayWork};
use tokio::sync::watch;

use super::find::{DecidedFor, Found};
use super::handle::{CopyKey, Scheduler};
use crate::store::{StoreError, StoredJob};
use protocol::station::BayContent;

impl Scheduler {
    /// Progress of a drive's copy; `None` where none moves anything. One whose end is noted may be listed for a moment longer.
    pub(crate) fn progress(&self, job: &StoredJob, drive_id: &str) -> Option<Progress> {
        job.machine.drive(drive_id).filter(|drive| drive.state.is_here())?;
        let running = self.running();
        let moving = running.get(&CopyKey::new(&job.uid, drive_id)).filter(|running| !running.is_account_only);
        moving.map(|running| running.copy.progress())
    }

    /// The last samples of the rate of the copy in a bay, in bytes a second.
    pub(crate) fn rates(&self, bay: &str) -> Vec<f64> {
        let running = self.running();
        running
            .values()
            .find(|running| running.is_in(bay))
            .map(|running| running.rates.iter().copied().collect())
            .unwrap_or_default()
    }

    /// What could not be read so far of the drive that is copied in a bay.
    pub(crate) fn unreadable_so_far(&self, bay: &str) -> UnreadableSoFar {
        let running = self.running();
        let here = running.values().find(|running| running.is_in(bay));
        here.map(|running| running.copy.unreadable_so_far()).unwrap_or_default()
    }

    /// The bays as they stand.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn bays(&self) -> Result<Vec<Bay>, StoreError> {
        let contents = self.inner.worker.bays();
        let mut running: HashMap<&str, (BayWork, BayState)> =
            contents.iter().filter_map(|content| Some((content.name.as_str(), self.running_in(&content.name)?))).collect();
        let idle = self.find_idle(&contents, |bay| running.contains_key(bay)).await?;
        let idle: HashMap<&str, &Found> = idle.iter().map(|found| (found.bay.name.as_str(), found)).collect();
        let bay = |content: &BayContent| match idle.get(content.name.as_str()) {
            Some(found) => self.idle_bay(found),
            None => running_or_empty_bay(content, running.remove(content.name.as_str())),
        };
        Ok(contents.iter().map(bay).collect())
    }

    fn idle_bay(&self, found: &Found) -> Bay {
        let DecidedFor { next, job } = found.decide(self.now());
        let work = job.as_ref().map(|(job, id)| BayWork {
            job: job.key.path(),
            drive_id: id.clone(),
            direction: job.machine.kind.direction(),
            blob: job.copies.get(id).and_then(|record| record.blob.as_ref()).map(blob_text),
            progress: None,
        });
        Bay {
            name: found.bay.name.clone(),
            hall: found.bay.hall.clone(),
            state: job.map_or(BayState::Docked, |(job, id)| idle_state(&job, &id)),
            is_watched: found.bay.is_watched,
            drive: Some(found.shown_drive()),
            work,
            note: next.note(),
        }
    }

    /// The bays as JSON, whenever they change, at most twice a second.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<str>> {
        self.inner.shown.subscribe()
    }

    pub(super) fn running_in(&self, bay: &str) -> Option<(BayWork, BayState)> {
        let running = self.running();
        let (key, running) = running.iter().find(|(_, running)| running.is_in(bay))?;
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

fn running_or_empty_bay(content: &BayContent, running: Option<(BayWork, BayState)>) -> Bay {
    let (work, state) = running.map_or((None, BayState::Empty), |(work, state)| (Some(work), state));
    Bay {
        name: content.name.clone(),
        hall: content.hall.clone(),
        state,
        is_watched: content.is_watched,
        drive: content.drive.clone(),
        work,
        note: content.unknown.clone(),
    }
}

fn blob_text(blob: &BlobName) -> String {
    format!("{}/{}", blob.container, blob.name)
}

fn idle_state(job: &StoredJob, id: &str) -> BayState {
    match job.machine.drive(id).map(|drive| drive.state) {
        None => BayState::Docked,
        Some(DriveState::Completed | DriveState::CompletedMoreInfo | DriveState::ShippedBack) => BayState::Done,
        Some(_) => match job.in_hand().copy_state(id) {
            CopyState::Held(_) => BayState::Held,
            CopyState::Paused => BayState::Paused,
            CopyState::Waiting | CopyState::Open | CopyState::Ended => BayState::Docked,
        },
    }
}
