//! The answer of BitLockerKeys_List.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The key of a drive. It is a secret: there is no text of it for a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriveKey {
    /// The drive.
    pub drive_id: String,
    /// Its key.
    pub bit_locker_key: String,
}
