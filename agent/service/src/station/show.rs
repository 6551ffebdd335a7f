//! How the station looks from outside.

use protocol::job::{DriveState, HoldCause, JobKind, JobState, NEVER_RECEIVED_AFTER};
use protocol::progress::{Phase, Progress};
use protocol::station::{Attention, AttentionKind, Bay, BayState, BayWork};

use super::round::Next;
use super::worker::BayContent;
use super::{CopyKey, Station};
use crate::store::{StoreError, StoredJob};

/// Most jobs that are looked through for what needs a person: more than a datacenter has in hand at once.
const JOBS_MAX: u32 = 10_000;

impl Station {
    /// How far the copy of a drive is, while it runs.
    pub fn progress(&self, job_uid: &str, drive_id: &str) -> Option<Progress> {
        let key = CopyKey { job_uid: job_uid.to_owned(), drive_id: drive_id.to_owned() };
        self.running().get(&key).map(|running| running.copy.progress())
    }

    /// Copies that run.
    pub fn running_count(&self) -> usize {
        self.running().len()
    }

    /// The bays as they stand.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bays(&self) -> Result<Vec<Bay>, StoreError> {
        let mut bays = Vec::new();
        for content in self.inner.worker.bays() {
            bays.push(self.bay(content).await?);
        }
        Ok(bays)
    }

    async fn bay(&self, content: BayContent) -> Result<Bay, StoreError> {
        if let Some((work, state)) = self.running_in(&content.name) {
            return Ok(Bay { name: content.name, state, drive: content.drive, work: Some(work), note: None });
        }
        let name = content.name.clone();
        let Some(drive) = content.drive.clone() else {
            return Ok(Bay { name, state: BayState::Empty, drive: None, work: None, note: content.fault });
        };
        let Some(id) = drive.drive_id.clone() else {
            let note = "the drive tells no serial number: dock it by hand, with a name for it";
            return Ok(Bay { name, state: BayState::Docked, drive: Some(drive), work: None, note: Some(note.to_owned()) });
        };
        let jobs = self.inner.store.jobs_of_drive(&id).await?;
        let (next, job) = self.next(&content, &drive, &id, &jobs);
        let state = job.map_or(BayState::Docked, |job| idle_state(job, &id));
        let work = job.map(|job| BayWork {
            job: job.key.path(),
            drive_id: id.clone(),
            direction: match job.machine.kind {
                JobKind::Import => protocol::result::Direction::Import,
                JobKind::Export => protocol::result::Direction::Export,
            },
            blob: job
                .copies
                .get(&id)
                .and_then(|record| record.blob.as_ref())
                .map(|blob| format!("{}/{}", blob.container, blob.name)),
            progress: None,
        });
        Ok(Bay { name, state, drive: Some(drive), work, note: content.fault.or(note_of(next)) })
    }

    fn running_in(&self, bay: &str) -> Option<(BayWork, BayState)> {
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

    /// What waits for a person, the most urgent first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attention(&self) -> Result<Vec<Attention>, StoreError> {
        let mut list = Vec::new();
        for content in self.inner.worker.bays() {
            list.extend(self.attention_of_bay(&content).await?);
        }
        let states = [JobState::Shipping, JobState::Received, JobState::Transferring, JobState::Packaging];
        for job in self.inner.store.with_copies_in(&states, JOBS_MAX).await? {
            list.extend(self.attention_of_job(&job));
        }
        list.sort_by_key(|one| match one.kind {
            AttentionKind::CopyHeld => 0,
            AttentionKind::AmbiguousDrive => 1,
            AttentionKind::UnknownDrive | AttentionKind::JobNotShipped => 2,
            AttentionKind::NeedsEmptyDrive => 3,
            AttentionKind::ShipBack => 4,
            AttentionKind::DrivesMissing => 5,
        });
        Ok(list)
    }

    async fn attention_of_bay(&self, content: &BayContent) -> Result<Option<Attention>, StoreError> {
        let Some((drive, id)) = content.drive.as_ref().and_then(|drive| Some((drive, drive.drive_id.as_ref()?))) else {
            return Ok(None);
        };
        if self.running_in(&content.name).is_some() {
            return Ok(None);
        }
        let jobs = self.inner.store.jobs_of_drive(id).await?;
        let (next, job) = self.next(content, drive, id, &jobs);
        let kind = match next {
            Next::Unknown => AttentionKind::UnknownDrive,
            Next::Ambiguous => AttentionKind::AmbiguousDrive,
            Next::NotShipped => AttentionKind::JobNotShipped,
            Next::Wait(_) | Next::CheckIn | Next::Copy => return Ok(None),
        };
        Ok(Some(Attention {
            kind,
            message: note_of(next).unwrap_or_default(),
            job: job.map(|job| job.key.path()),
            drive_id: Some(id.clone()),
            bay: Some(content.name.clone()),
        }))
    }

    fn attention_of_job(&self, job: &StoredJob) -> Vec<Attention> {
        let about = |kind, message: String, drive_id: Option<&str>| Attention {
            kind,
            message,
            job: Some(job.key.path()),
            drive_id: drive_id.map(str::to_owned),
            bay: drive_id.and_then(|id| job.copies.get(id)).and_then(|record| record.bay.clone()),
        };
        let mut list = Vec::new();
        for (id, record) in &job.copies {
            if let Some(hold) = record.hold.as_ref().filter(|hold| hold.cause == HoldCause::Failed) {
                list.push(about(AttentionKind::CopyHeld, hold.message.clone(), Some(id)));
            }
        }
        let waits = matches!(job.machine.state, JobState::Shipping | JobState::Received | JobState::Transferring);
        let is_export = job.machine.kind == JobKind::Export;
        if waits && is_export && !job.machine.cancel_requested && job.machine.drives.len() < job.machine.expected_drives {
            let missing = job.machine.expected_drives - job.machine.drives.len();
            let message = format!("an export waits for {missing} empty drives: dock one, and check it in");
            list.push(about(AttentionKind::NeedsEmptyDrive, message, None));
        } else if job.machine.state == JobState::Shipping {
            let missing = job.machine.drives.iter().filter(|drive| drive.state != DriveState::Received).count();
            if missing > 0 && self.now() - job.machine.entered_at >= NEVER_RECEIVED_AFTER {
                let message = format!("{missing} drives did not come within 14 days: ask the customer");
                list.push(about(AttentionKind::DrivesMissing, message, None));
            }
        }
        if job.machine.state == JobState::Packaging {
            list.push(about(AttentionKind::ShipBack, "the drives are done: send them back".to_owned(), None));
        }
        list
    }
}

fn idle_state(job: &StoredJob, id: &str) -> BayState {
    let Some(drive) = job.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(id)) else {
        return BayState::Docked;
    };
    if matches!(drive.state, DriveState::Completed | DriveState::CompletedMoreInfo | DriveState::ShippedBack) {
        return BayState::Done;
    }
    match job.copies.get(&drive.id).and_then(|record| record.hold.as_ref()).map(|hold| hold.cause) {
        Some(HoldCause::Paused) => BayState::Paused,
        Some(HoldCause::Failed) => BayState::Held,
        None => BayState::Docked,
    }
}

fn note_of(next: Next) -> Option<String> {
    let text = match next {
        Next::Wait(why) => why,
        Next::Unknown => "no job names this drive".to_owned(),
        Next::Ambiguous => "several jobs name this drive: check it in to the right one by hand".to_owned(),
        Next::NotShipped => "the job of this drive was not shipped yet: ask the customer".to_owned(),
        Next::CheckIn | Next::Copy => return None,
    };
    Some(text)
}
