//! What waits for a person.

use std::collections::HashMap;

use protocol::job::{DriveState, JobKind, JobState, NEVER_RECEIVED_AFTER};
use protocol::station::{Attention, AttentionKind};
use time::OffsetDateTime;

use super::handle::Scheduler;
use super::next::{NAMELESS, Next, note_of};
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
