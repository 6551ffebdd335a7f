//! What waits for a person.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a person is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionKind {
    /// A copy failed: retry it, or end it.
    CopyHeld,
    /// A drive is docked that no job waits for.
    UnknownDrive,
    /// A drive is docked that several jobs name: check it in by hand.
    AmbiguousDrive,
    /// A drive is docked whose job was not shipped yet.
    JobNotShipped,
    /// A drive of a job was received and is in no bay.
    NotDocked,
    /// A job waits for drives for longer than it should.
    DrivesMissing,
    /// An export waits for an empty drive: check one in.
    NeedsEmptyDrive,
    /// A job's drives are done: send them back.
    ShipBack,
}

impl AttentionKind {
    /// The name as JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            AttentionKind::CopyHeld => "copy-held",
            AttentionKind::UnknownDrive => "unknown-drive",
            AttentionKind::AmbiguousDrive => "ambiguous-drive",
            AttentionKind::JobNotShipped => "job-not-shipped",
            AttentionKind::NotDocked => "not-docked",
            AttentionKind::DrivesMissing => "drives-missing",
            AttentionKind::NeedsEmptyDrive => "needs-empty-drive",
            AttentionKind::ShipBack => "ship-back",
        }
    }
}

/// Something that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attention {
    /// Why.
    pub kind: AttentionKind,
    /// One sentence.
    pub message: String,
    /// The path of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive_id: Option<String>,
    /// The bay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bay: Option<String>,
}
