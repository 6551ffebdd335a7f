//! What a station shows of itself: its bays, and what needs a person.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::job::JobState;
use crate::progress::Progress;
use crate::result::Direction;

/// A drive in a bay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockedDrive {
    /// Where it is reached: a device, an image, or a profile.
    pub path: String,
    /// Its serial number without spaces: what jobs call it. Absent where it tells none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive_id: Option<String>,
    /// What it says its model is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// What a bay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BayState {
    /// No drive is in it.
    Empty,
    /// A drive is in it, and nothing is copied.
    Docked,
    /// It copies.
    Copying,
    /// It was asked to stop; chunks in flight are landing.
    Draining,
    /// It copies what can be read of a failing drive.
    Rescuing,
    /// An operator paused it.
    Paused,
    /// It failed, and waits for an operator.
    Held,
    /// Its drive is done.
    Done,
}

impl BayState {
    /// The name as JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            BayState::Empty => "empty",
            BayState::Docked => "docked",
            BayState::Copying => "copying",
            BayState::Draining => "draining",
            BayState::Rescuing => "rescuing",
            BayState::Paused => "paused",
            BayState::Held => "held",
            BayState::Done => "done",
        }
    }
}

/// What is copied in a bay, or was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BayWork {
    /// The path of the job.
    pub job: String,
    /// Its drive.
    pub drive_id: String,
    /// Which way.
    #[schema(value_type = String)]
    pub direction: Direction,
    /// The blob, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// How far it is, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub progress: Option<Progress>,
}

/// A bay as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bay {
    /// Its name on the station.
    pub name: String,
    /// What it is doing.
    pub state: BayState,
    /// Drives are found in it, and not docked by hand.
    #[serde(default)]
    pub is_watched: bool,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive: Option<DockedDrive>,
    /// What is copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<BayWork>,
    /// One sentence: why it does not copy, or what its copy last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

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

/// Who did what, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String)]
    pub at: OffsetDateTime,
    /// Who: the name of a token, or `service`.
    pub actor: String,
    /// What.
    pub action: String,
    /// The state that the job entered by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub entered: Option<JobState>,
    /// The path of the job, while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The random name of the job, which outlives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_uid: Option<String>,
}
