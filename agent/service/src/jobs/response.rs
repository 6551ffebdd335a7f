//! A job as customers see it: what was written, where it stands, and how far its copies are.

use protocol::arm::{DriveStatus, EncryptionKey, Identity, JobDetails, JobResponse, ReceiptsDocument, SystemData};
use protocol::job::{DriveState, JobState, percent};

use super::service::Jobs;
use crate::scheduler::receipts;
use crate::store::StoredJob;

impl Jobs {
    /// What moved of every drive of a job.
    pub(crate) fn receipts(&self, job: &StoredJob) -> ReceiptsDocument {
        receipts(job, |drive_id| self.scheduler.is_running(&job.uid, drive_id))
    }

    /// A job as the REST API answers with it.
    pub(crate) fn response(&self, job: &StoredJob) -> JobResponse {
        let location = self.location(&job.location);
        let mut details = JobDetails {
            state: Some(job.machine.state),
            cancel_requested: Some(job.machine.cancel_requested),
            provisioning_state: Some("Succeeded".to_owned()),
            shipping_information: location.map(|location| location.address.clone()),
            ..job.details.clone()
        };
        details.log_level.get_or_insert_default();
        details.backup_drive_manifest.get_or_insert(false);
        let managed = || EncryptionKey { kek_type: Some("MicrosoftManaged".to_owned()), ..EncryptionKey::default() };
        details.encryption_key.get_or_insert_with(managed);
        for machine in &job.machine.drives {
            let drives = details.drive_list.get_or_insert_default();
            if !drives.iter().any(|drive| drive.drive_id.as_ref() == Some(&machine.id)) {
                // The drives of an export are known when they are checked in.
                drives.push(DriveStatus { drive_id: Some(machine.id.clone()), ..DriveStatus::default() });
            }
            if let Some(drive) = drives.iter_mut().find(|drive| drive.drive_id.as_ref() == Some(&machine.id)) {
                drive.state = Some(machine.state);
                self.add_copy(job, drive);
            }
        }
        details.percent_complete = self.percent_of(job);
        JobResponse {
            id: job.key.path(),
            name: job.key.name.clone(),
            r#type: "Microsoft.ImportExport/jobs".to_owned(),
            location: Some(location.map_or_else(|| job.location.clone(), |location| location.name.clone())),
            tags: job.tags.clone(),
            properties: details,
            identity: Some(Identity { r#type: "None".to_owned() }),
            system_data: Some(SystemData { created_at: job.created_at, last_modified_at: job.modified_at }),
        }
    }

    /// Progress of a job in percent: the mean over its drives, from the first copy on.
    pub(crate) fn percent_of(&self, job: &StoredJob) -> Option<i64> {
        let has_begun = !matches!(job.machine.state, JobState::Creating | JobState::Shipping | JobState::Received);
        let came = job.machine.drives.iter().filter(|drive| drive.state != DriveState::NeverReceived);
        let done: Vec<i64> = came.map(|drive| self.percent_of_drive(job, &drive.id).unwrap_or(0)).collect();
        (has_begun && !done.is_empty() && !job.copies.is_empty()).then(|| done.iter().sum::<i64>() / done.len() as i64)
    }

    fn percent_of_drive(&self, job: &StoredJob, id: &str) -> Option<i64> {
        match self.scheduler.progress(job, id) {
            Some(progress) => Some(percent(progress.bytes_done, progress.bytes_total, false)),
            None => job.copies.get(id)?.percent(),
        }
    }

    /// Adds the progress of a drive's copy; nothing before its first run.
    fn add_copy(&self, job: &StoredJob, drive: &mut DriveStatus) {
        let Some((id, record)) = drive.drive_id.as_ref().and_then(|id| Some((id, job.copies.get(id)?))) else { return };
        if record.runs == 0 {
            return;
        }
        let running = self.scheduler.progress(job, id);
        let is_over = drive.state.is_some_and(|state| !state.is_here());
        drive.copy_status = Some(record.status(running.is_some(), is_over));
        let bytes = match &running {
            Some(progress) => Some(progress.bytes_sent + progress.bytes_reused + progress.bytes_zero),
            None => record.bytes_landed(),
        };
        drive.bytes_succeeded = bytes.and_then(|bytes| i64::try_from(bytes).ok());
        drive.percent_complete = self.percent_of_drive(job, id);
        drive.error_log_uri = record.logs.error.clone();
        drive.verbose_log_uri = record.logs.verbose.clone();
        drive.manifest_uri = record.logs.manifest.clone();
    }
}
