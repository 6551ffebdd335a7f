//! What waits for a person.

use std::collections::HashMap;

use protocol::job::{DriveState, JobDrive, JobKind, JobState, NEVER_RECEIVED_AFTER};
use protocol::station::{Attention, AttentionKind};
use time::OffsetDateTime;

use super::handle::Scheduler;
use super::next::{NAMELESS, Next, next, note_of};
use super::view::JOBS_MAX;
use super::worker::BayContent;
use crate::store::{StoreError, StoredJob};

impl Scheduler {
    /// What waits for a person, the most urgent first.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn attention(&self) -> Result<Vec<Attention>, StoreError> {
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
            list.extend(attention_of_job(&job, &docked, self.now()));
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
        let Some(found) = self.find(content).await? else {
            return Ok(Some(about(AttentionKind::UnknownDrive, NAMELESS.to_owned(), None, None)));
        };
        let (next, job) = next(&found, self.now());
        let kind = match next {
            Next::Unknown => AttentionKind::UnknownDrive,
            Next::Ambiguous(_) => AttentionKind::AmbiguousDrive,
            Next::NotShipped => AttentionKind::JobNotShipped,
            Next::Wait(_) | Next::CheckIn | Next::Copy => return Ok(None),
        };
        Ok(Some(about(kind, note_of(next).unwrap_or_default(), job, Some(&found.id))))
    }
}

/// What waits: its kind, a sentence for the operator, and the drive that it is about.
type Waits = (AttentionKind, String, Option<String>);

/// What waits of one job.
fn attention_of_job(job: &StoredJob, docked: &HashMap<String, String>, now: OffsetDateTime) -> Vec<Attention> {
    let bay_of = |id: &str| docked.get(&id.to_ascii_lowercase()).cloned();
    let mut waits = held_copies(job);
    waits.extend(undocked_drives(job, |id| bay_of(id).is_some()));
    waits.extend(missing_drives(job, now));
    if job.machine.state == JobState::Packaging {
        waits.push((AttentionKind::ShipBack, "the drives are done: send them back".to_owned(), None));
    }
    let attention = |(kind, message, drive_id): Waits| Attention {
        kind,
        message,
        job: Some(job.key.path()),
        bay: drive_id.as_deref().and_then(bay_of),
        drive_id,
    };
    waits.into_iter().map(attention).collect()
}

/// Copies that failed.
fn held_copies(job: &StoredJob) -> Vec<Waits> {
    let held = job.copies.iter().filter_map(|(id, record)| Some((id, record.hold.as_ref()?)));
    held.map(|(id, hold)| {
        let message = format!("{}; then `jobs retry {} --drive {id}`, or `give-up`", hold.message, job.key.name);
        (AttentionKind::CopyHeld, message, Some(id.clone()))
    })
    .collect()
}

/// Drives that are to be copied and are in no bay.
fn undocked_drives(job: &StoredJob, is_docked: impl Fn(&str) -> bool) -> Vec<Waits> {
    let machine = &job.machine;
    if !matches!(machine.state, JobState::Received | JobState::Transferring) || machine.cancel_requested {
        return Vec::new();
    }
    let is_held = |id: &str| job.copies.get(id).is_some_and(|record| record.hold.is_some());
    let waits = |drive: &&JobDrive| {
        matches!(drive.state, DriveState::Received | DriveState::Transferring) && !is_docked(&drive.id) && !is_held(&drive.id)
    };
    let message = || "the drive is here and in no bay: dock it".to_owned();
    let undocked = machine.drives.iter().filter(waits);
    undocked.map(|drive| (AttentionKind::NotDocked, message(), Some(drive.id.clone()))).collect()
}

/// Drives that an export needs, or that did not come.
fn missing_drives(job: &StoredJob, now: OffsetDateTime) -> Option<Waits> {
    let machine = &job.machine;
    let is_shipping = machine.state == JobState::Shipping;
    if machine.cancel_requested {
        let message = "the job was cancelled while its drives were on their way: check them in, or say that they never came";
        return is_shipping.then(|| (AttentionKind::DrivesMissing, message.to_owned(), None));
    }
    let is_waiting = matches!(machine.state, JobState::Shipping | JobState::Received | JobState::Transferring);
    if is_waiting && machine.kind == JobKind::Export && machine.drives.len() < machine.expected_drives {
        let missing = machine.expected_drives - machine.drives.len();
        let message = format!("an export waits for {missing} empty drives: dock one, and check it in");
        return Some((AttentionKind::NeedsEmptyDrive, message, None));
    }
    let missing = machine.drives.iter().filter(|drive| drive.state != DriveState::Received).count();
    let is_late = is_shipping && now - machine.entered_at >= NEVER_RECEIVED_AFTER;
    (is_late && missing > 0).then(|| {
        let message = format!("{missing} drives did not come within 14 days: ask the customer");
        (AttentionKind::DrivesMissing, message, None)
    })
}
