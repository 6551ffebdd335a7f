//! Which field a customer may change in which state: one table.

use super::state::JobState;

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
/// while the drives are on their way, nothing after that.
pub const fn may_edit(state: JobState, field: Field) -> bool {
    match state {
        JobState::Creating => true,
        JobState::Shipping => matches!(field, Field::DeliveryPackage),
        _ => false,
    }
}
