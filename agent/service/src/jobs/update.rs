//! Changing a job: the fields of a PATCH, shipping and cancelling, in one transaction.

use protocol::arm::{DriveStatus, UpdateJob, UpdateProperties, validate_update};
use protocol::job::{Event, Field, Job, JobKind, JobState};

use super::error::JobError;
use super::service::Jobs;
use crate::store::{Actor, JobKey, StoredJob};

impl Jobs {
    /// Writes the fields of a request into a job, ships it where the request says so, and records a cancel.
    ///
    /// # Errors
    /// When a field is wrong, or the job's state does not allow it.
    pub(crate) async fn update(
        &self,
        actor: &Actor,
        key: &JobKey,
        body: UpdateJob,
        version: Option<i64>,
    ) -> Result<StoredJob, JobError> {
        let problems = validate_update(&body);
        if !problems.is_empty() {
            return Err(JobError::Fields(problems));
        }
        let change = self.change(actor, action(&body), version);
        let job = self.store.change(key, &change, |job| Ok(apply(job, body))).await?;
        self.scheduler.wake();
        Ok(job)
    }
}

/// What the audit log says of a request.
fn action(body: &UpdateJob) -> &'static str {
    let properties = body.properties.as_ref();
    match (properties.and_then(|own| own.cancel_requested), properties.and_then(|own| own.state)) {
        (Some(true), _) => "asked for a cancel",
        (_, Some(JobState::Shipping)) => "shipped a job",
        _ => "changed a job",
    }
}

/// Writes the fields of a request into a job and returns its events: the change first, so that what shipping needs may
/// come with it.
fn apply(job: &mut StoredJob, body: UpdateJob) -> Vec<Event> {
    let mut fields = Vec::new();
    if let Some(tags) = body.tags {
        job.tags = Some(tags);
        fields.push(Field::Tags);
    }
    let properties = body.properties.unwrap_or_default();
    let UpdateProperties { cancel_requested, state, return_address, return_shipping, delivery_package, .. } = properties;
    let details = &mut job.details;
    set(&mut details.return_address, return_address, Field::ReturnAddress, &mut fields);
    set(&mut details.return_shipping, return_shipping, Field::ReturnShipping, &mut fields);
    if let Some(count) = delivery_package.as_ref().and_then(|package| package.drive_count) {
        job.machine.expected_drives = usize::try_from(count).unwrap_or(1);
    }
    set(&mut details.delivery_package, delivery_package, Field::DeliveryPackage, &mut fields);
    set(&mut details.log_level, properties.log_level, Field::LogLevel, &mut fields);
    set(&mut details.backup_drive_manifest, properties.backup_drive_manifest, Field::BackupDriveManifest, &mut fields);
    if let Some(drives) = &properties.drive_list
        && job.machine.kind == JobKind::Import
    {
        let ids = drives.iter().filter_map(|drive| drive.drive_id.clone());
        job.machine.drives = Job::new(JobKind::Import, ids, job.modified_at).drives;
    }
    // The drives of an export are known when they are checked in.
    let drives = properties.drive_list.filter(|_| job.machine.kind == JobKind::Import);
    let drives = drives.map(|drives| drives.iter().map(DriveStatus::of_customer).collect());
    set(&mut details.drive_list, drives, Field::DriveList, &mut fields);
    let mut events = Vec::new();
    if !fields.is_empty() {
        events.push(Event::Change(fields));
    }
    if state == Some(JobState::Shipping) {
        events.push(Event::Ship);
    }
    if cancel_requested == Some(true) {
        events.push(Event::Cancel);
    }
    events
}

fn set<T>(slot: &mut Option<T>, value: Option<T>, field: Field, fields: &mut Vec<Field>) {
    if value.is_some() {
        *slot = value;
        fields.push(field);
    }
}
