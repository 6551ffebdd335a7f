//! Changing a job: the fields of a PATCH, shipping and cancelling, in one transaction.

use std::collections::BTreeMap;

use protocol::arm::{DeliveryPackage, DriveStatus, UpdateJob, UpdateProperties, validate_update};
use protocol::job::{Event, Field, Job, JobKind, JobState, Refusal, correct_drives, may_correct};

use super::error::JobError;
use super::service::Jobs;
use crate::store::{Actor, JobKey, Precondition, StoreError, StoredJob};

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
        precondition: Precondition,
    ) -> Result<StoredJob, JobError> {
        let problems = validate_update(&body);
        if !problems.is_empty() {
            return Err(JobError::Fields(problems));
        }
        let is_shipped = body.properties.as_ref().is_some_and(|own| own.state == Some(JobState::Shipping));
        let looked_up = if is_shipped { self.blobs_to_ship(actor, key).await? } else { None };
        let precondition = match looked_up {
            Some((version, _)) if !precondition.holds(Some(version)) => return Err(StoreError::Changed.into()),
            // Blobs were looked up for the job as it was read.
            Some((version, _)) => Precondition::is(version),
            None => precondition,
        };
        let change = self.change(actor, action(&body)).when(precondition);
        let changed = self.store.change(key, &change, |job| {
            let mut events = apply(job, body)?;
            if let Some((_, count)) = looked_up {
                // Where nobody said how many drives come, there is one for each blob.
                if !job.has_announced_drives() {
                    job.machine.expected_drives = count.max(1);
                }
                events.push(Event::BlobsFound(count));
            }
            Ok(events)
        });
        let job = changed.await?;
        self.scheduler.wake();
        Ok(job)
    }

    /// Corrects the serial number of a drive that has not come. Its key stays its key.
    ///
    /// # Errors
    /// When there is no such drive, it came, or the new number cannot be one.
    pub(crate) async fn correct_drive(&self, actor: &Actor, key: &JobKey, id: &str, to: &str) -> Result<StoredJob, JobError> {
        let job = self.store.get(key).await?;
        let mut drives = job.details.drive_list.unwrap_or_default();
        let drive = drives.iter_mut().find(|drive| drive.drive_id.as_deref() == Some(id));
        let no_such_drive = || StoreError::Refused(Refusal::NoSuchDrive { id: id.to_owned() });
        drive.ok_or_else(no_such_drive)?.drive_id = Some(to.trim().to_owned());
        let properties = UpdateProperties { drive_list: Some(drives), ..UpdateProperties::default() };
        // Of the version that was read: another correction meanwhile is not undone.
        self.update(actor, key, UpdateJob { tags: None, properties: Some(properties) }, Precondition::is(job.version)).await
    }
}

/// What the audit log says of a request.
fn action(body: &UpdateJob) -> &'static str {
    let properties = body.properties.as_ref();
    match (properties.and_then(|own| own.cancel_requested), properties.and_then(|own| own.state)) {
        (Some(true), _) => "asked for a cancel",
        (_, Some(JobState::Shipping)) => "shipped a job",
        _ if properties.is_some_and(|own| own.drive_list.is_some()) => "changed the drives of a job",
        _ => "changed a job",
    }
}

/// Writes the fields of a request into a job and returns its events: the change first, so that what shipping needs may
/// come with it. A field that is as it was is no change.
fn apply(job: &mut StoredJob, body: UpdateJob) -> Result<Vec<Event>, StoreError> {
    let mut fields = Vec::new();
    if let Some(tags) = body.tags
        && job.tags.as_ref().unwrap_or(&BTreeMap::new()) != &tags
    {
        job.tags = Some(tags);
        fields.push(Field::Tags);
    }
    let properties = body.properties.unwrap_or_default();
    let UpdateProperties { cancel_requested, state, return_address, return_shipping, delivery_package, .. } = properties;
    let details = &mut job.details;
    set(&mut details.return_address, return_address, Field::ReturnAddress, &mut fields);
    set(&mut details.return_shipping, return_shipping, Field::ReturnShipping, &mut fields);
    let announced = delivery_package.as_ref().and_then(DeliveryPackage::announced_drives);
    set(&mut details.delivery_package, delivery_package, Field::DeliveryPackage, &mut fields);
    // A parcel that is told once more announces nothing: how many drives are waited for may have changed since.
    if let Some(count) = announced.filter(|_| fields.contains(&Field::DeliveryPackage)) {
        job.machine.expected_drives = count;
    }
    set_or_default(&mut details.log_level, properties.log_level, Field::LogLevel, &mut fields);
    let backup = properties.backup_drive_manifest;
    set_or_default(&mut details.backup_drive_manifest, backup, Field::BackupDriveManifest, &mut fields);
    // The drives of an export are known when they are checked in.
    if let Some(drives) = properties.drive_list.filter(|_| job.machine.kind == JobKind::Import) {
        set_drives(job, &drives, &mut fields)?;
    }
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
    Ok(events)
}

/// Writes a list of drives into an import.
fn set_drives(job: &mut StoredJob, drives: &[DriveStatus], fields: &mut Vec<Field>) -> Result<(), StoreError> {
    let drives: Vec<DriveStatus> = drives.iter().map(DriveStatus::of_customer).collect();
    let before = job.details.drive_list.as_deref().unwrap_or_default();
    // Keys are sealed elsewhere: one that comes is a change, whichever it is.
    if drives == before {
        return Ok(());
    }
    let ids = drives.iter().filter_map(|drive| drive.drive_id.clone());
    if job.machine.state == JobState::Shipping {
        job.machine.drives = correct_drives(&job.machine, ids)?;
        require_unchanged(&job.machine, before, &drives)?;
    } else {
        job.machine.drives = Job::new(JobKind::Import, ids, job.modified_at).drives;
    }
    job.details.drive_list = Some(drives);
    fields.push(Field::DriveList);
    Ok(())
}

/// Refuses where what the customer wrote of a drive that came is another than it was.
fn require_unchanged(machine: &Job, before: &[DriveStatus], after: &[DriveStatus]) -> Result<(), Refusal> {
    for drive in machine.drives.iter().filter(|drive| !may_correct(drive.state)) {
        let of = |list: &[DriveStatus]| {
            let found = list.iter().find(|one| one.drive_id.as_ref() == Some(&drive.id));
            found.map(|found| DriveStatus { bit_locker_key: None, ..found.clone() })
        };
        if of(before) != of(after) {
            return Err(Refusal::DriveNotInThisState { id: drive.id.clone(), action: "changed", state: drive.state });
        }
    }
    Ok(())
}

fn set<T: PartialEq>(slot: &mut Option<T>, value: Option<T>, field: Field, fields: &mut Vec<Field>) {
    if value.is_some() && *slot != value {
        *slot = value;
        fields.push(field);
    }
}

/// The same for a field that is answered with its default where it was never written.
fn set_or_default<T: PartialEq + Copy + Default>(slot: &mut Option<T>, value: Option<T>, field: Field, fields: &mut Vec<Field>) {
    if value.is_some_and(|value| slot.unwrap_or_default() != value) {
        *slot = value;
        fields.push(field);
    }
}
