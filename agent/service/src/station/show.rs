//! How the station looks from outside.

use std::collections::HashMap;

use protocol::job::{DriveState, JobKind, JobState, NEVER_RECEIVED_AFTER};
use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::station::{Attention, AttentionKind, Bay, BayState, BayWork};

use time::OffsetDateTime;

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

    /// Bytes a second of what is copied in a bay, over the last minutes.
    pub fn rates(&self, bay: &str) -> Vec<f64> {
        let running = self.running();
        running
            .values()
            .find(|running| running.bay == bay)
            .map(|running| running.rates.iter().copied().collect())
            .unwrap_or_default()
    }

    /// What the drive in a bay has not given so far, while it is copied.
    pub fn unreadable_so_far(&self, bay: &str) -> UnreadableSoFar {
        let running = self.running();
        let here = running.values().find(|running| running.bay == bay);
        here.map(|running| running.copy.unreadable_so_far()).unwrap_or_default()
    }

    /// Jobs that a drive in a bay may be checked in to: those that wait for a drive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_for_drives(&self) -> Result<Vec<StoredJob>, StoreError> {
        let jobs = self.inner.store.in_hand(JOBS_MAX).await?;
        Ok(jobs.into_iter().filter(waits_for_drives).collect())
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
        let Some((id, found)) = self.find(&content).await? else {
            return Ok(bay(BayState::Docked, None, Some(NAMELESS.to_owned())));
        };
        let (next, job) = self.next(&content, id, &found);
        let state = job.map_or(BayState::Docked, |job| idle_state(job, id));
        let blob_of = |job: &StoredJob| {
            let blob = job.copies.get(id).and_then(|record| record.blob.as_ref())?;
            Some(format!("{}/{}", blob.container, blob.name))
        };
        let work = job.map(|job| BayWork {
            job: job.key.path(),
            drive_id: id.to_owned(),
            direction: match job.machine.kind {
                JobKind::Import => protocol::result::Direction::Import,
                JobKind::Export => protocol::result::Direction::Export,
            },
            blob: blob_of(job),
            progress: None,
        });
        Ok(bay(state, work, note_of(next)))
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
        let bays = self.inner.worker.bays();
        for content in &bays {
            list.extend(self.attention_of_bay(content).await?);
        }
        let docked: HashMap<String, String> = bays
            .iter()
            .filter_map(|bay| Some((bay.drive.as_ref()?.drive_id.as_ref()?.to_ascii_lowercase(), bay.name.clone())))
            .collect();
        let missing_since = self.now().checked_sub(NEVER_RECEIVED_AFTER).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        for job in self.inner.store.waiting(missing_since, JOBS_MAX).await? {
            self.attention_of_job(&job, &docked, &mut list);
        }
        list.sort_by_key(|one| match one.kind {
            AttentionKind::CopyHeld => 0,
            AttentionKind::AmbiguousDrive => 1,
            AttentionKind::UnknownDrive | AttentionKind::JobNotShipped => 2,
            AttentionKind::NotDocked => 3,
            AttentionKind::NeedsEmptyDrive => 4,
            AttentionKind::ShipBack => 5,
            AttentionKind::DrivesMissing => 6,
        });
        Ok(list)
    }

    async fn attention_of_bay(&self, content: &BayContent) -> Result<Option<Attention>, StoreError> {
        if content.drive.is_none() || self.running_in(&content.name).is_some() {
            return Ok(None);
        }
        let about = |kind, message: String, job: Option<&StoredJob>, id: Option<&str>| Attention {
            kind,
            message,
            job: job.map(|job| job.key.path()),
            drive_id: id.map(str::to_owned),
            bay: Some(content.name.clone()),
        };
        let Some((id, found)) = self.find(content).await? else {
            return Ok(Some(about(AttentionKind::UnknownDrive, NAMELESS.to_owned(), None, None)));
        };
        let (next, job) = self.next(content, id, &found);
        let kind = match next {
            Next::Unknown => AttentionKind::UnknownDrive,
            Next::Ambiguous(_) => AttentionKind::AmbiguousDrive,
            Next::NotShipped => AttentionKind::JobNotShipped,
            Next::Wait(_) | Next::CheckIn | Next::Copy => return Ok(None),
        };
        Ok(Some(about(kind, note_of(next).unwrap_or_default(), job, Some(id))))
    }

    fn attention_of_job(&self, job: &StoredJob, docked: &HashMap<String, String>, list: &mut Vec<Attention>) {
        let about = |kind, message: String, drive_id: Option<&str>| Attention {
            kind,
            message,
            job: Some(job.key.path()),
            drive_id: drive_id.map(str::to_owned),
            bay: drive_id.and_then(|id| docked.get(&id.to_ascii_lowercase()).cloned()),
        };
        for (id, record) in &job.copies {
            if let Some(hold) = &record.hold {
                let message = format!("{}; then `jobs retry {} --drive {id}`, or `give-up`", hold.message, job.key.name);
                list.push(about(AttentionKind::CopyHeld, message, Some(id)));
            }
        }
        let machine = &job.machine;
        if matches!(machine.state, JobState::Received | JobState::Transferring) && !machine.cancel_requested {
            let waits =
                machine.drives.iter().filter(|drive| matches!(drive.state, DriveState::Received | DriveState::Transferring));
            let is_held = |id: &str| job.copies.get(id).is_some_and(|record| record.hold.is_some());
            let is_docked = |id: &str| docked.contains_key(&id.to_ascii_lowercase());
            for drive in waits.filter(|drive| !is_docked(&drive.id) && !is_held(&drive.id)) {
                let message = "the drive is here and in no bay: dock it".to_owned();
                list.push(about(AttentionKind::NotDocked, message, Some(&drive.id)));
            }
        }
        let waits = matches!(machine.state, JobState::Shipping | JobState::Received | JobState::Transferring);
        let is_export = machine.kind == JobKind::Export;
        if waits && is_export && !machine.cancel_requested && machine.drives.len() < machine.expected_drives {
            let missing = machine.expected_drives - machine.drives.len();
            let message = format!("an export waits for {missing} empty drives: dock one, and check it in");
            list.push(about(AttentionKind::NeedsEmptyDrive, message, None));
        } else if machine.state == JobState::Shipping
            && !machine.cancel_requested
            && self.now() - machine.entered_at >= NEVER_RECEIVED_AFTER
        {
            let missing = machine.drives.iter().filter(|drive| drive.state != DriveState::Received).count();
            if missing > 0 {
                let message = format!("{missing} drives did not come within 14 days: ask the customer");
                list.push(about(AttentionKind::DrivesMissing, message, None));
            }
        }
        if machine.state == JobState::Shipping && machine.cancel_requested {
            let message = "the job was cancelled while its drives were on their way: check them in, or say that they never came";
            list.push(about(AttentionKind::DrivesMissing, message.to_owned(), None));
        }
        if machine.state == JobState::Packaging {
            list.push(about(AttentionKind::ShipBack, "the drives are done: send them back".to_owned(), None));
        }
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

/// Why a drive without a name waits.
const NAMELESS: &str = "the drive tells no serial number: dock it by hand, with a name for it";

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

fn note_of(next: Next) -> Option<String> {
    let text = match next {
        Next::Wait(why) => why,
        Next::Unknown => "no job names this drive".to_owned(),
        Next::Ambiguous(why) => why.to_owned(),
        Next::NotShipped => "the job of this drive was not shipped yet: ask the customer".to_owned(),
        Next::CheckIn | Next::Copy => return None,
    };
    Some(text)
}
