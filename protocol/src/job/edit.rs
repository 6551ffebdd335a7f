//! Which field a customer may change in which state: one table.

use super::refusal::Refusal;
use super::state::{DriveState, Job, JobDrive, JobState};

/// Fields that a customer may change after the job was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `tags`
    Tags,
    /// `returnAddress`
    ReturnAddress,
    /// `returnShipping`
    ReturnShipping,
    /// `deliveryPackage`
    DeliveryPackage,
    /// `logLevel`
    LogLevel,
    /// `backupDriveManifest`
    BackupDriveManifest,
    /// `driveList`
    DriveList,
}

impl Field {
    /// Every field.
    pub const ALL: [Field; 7] = [
        Field::Tags,
        Field::ReturnAddress,
        Field::ReturnShipping,
        Field::DeliveryPackage,
        Field::LogLevel,
        Field::BackupDriveManifest,
        Field::DriveList,
    ];

    /// Its name in the REST API.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Tags => "tags",
            Field::ReturnAddress => "returnAddress",
            Field::ReturnShipping => "returnShipping",
            Field::DeliveryPackage => "deliveryPackage",
            Field::LogLevel => "logLevel",
            Field::BackupDriveManifest => "backupDriveManifest",
            Field::DriveList => "driveList",
        }
    }
}

/// Whether a field may be changed: all of them while the job is put together, what concerns the delivery
/// while the drives are on their way, nothing after that. What may be changed of the drives then is in
/// [`correct_drives`].
pub const fn may_edit(state: JobState, field: Field) -> bool {
    match state {
        JobState::Creating => true,
        JobState::Shipping => matches!(field, Field::DeliveryPackage | Field::DriveList),
        _ => false,
    }
}

/// The drives of a job that was shipped, after the customer corrected their serial numbers: drives that came stay as
/// they are, and there are as many as before. A drive that counted as lost is waited for again under its new number.
///
/// # Errors
/// When a drive that came is missing from the list, or there are more or fewer drives.
pub fn correct_drives(job: &Job, ids: impl IntoIterator<Item = String>) -> Result<Vec<JobDrive>, Refusal> {
    let known = |id: String| job.drive(&id).cloned().unwrap_or_else(|| JobDrive::new(id, DriveState::Specified));
    let drives: Vec<JobDrive> = ids.into_iter().map(known).collect();
    let is_missing = |drive: &&JobDrive| !drives.iter().any(|one| one.id == drive.id);
    if let Some(drive) = job.drives.iter().filter(is_missing).find(|drive| !may_correct(drive.state)) {
        return Err(Refusal::DriveNotInThisState { id: drive.id.clone(), action: "corrected", state: drive.state });
    }
    if drives.len() != job.drives.len() {
        return Err(Refusal::DriveCount { has: job.drives.len(), given: drives.len() });
    }
    Ok(drives)
}

/// Whether the serial number of a drive may be corrected: until it comes.
pub const fn may_correct(state: DriveState) -> bool {
    matches!(state, DriveState::Specified | DriveState::NeverReceived)
}
