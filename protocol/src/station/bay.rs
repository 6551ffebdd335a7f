//! The bays and what is in them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::identity::WeakIdentity;
use crate::progress::Progress;
use crate::result::Direction;

/// A drive in a bay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockedDrive {
    /// Where it is reached: a device, an image, or a profile.
    pub path: String,
    /// Its serial number without spaces: what jobs call it. Absent where it reports none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive_id: Option<String>,
    /// The serial number of the bridge that it is attached by, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge_serial: Option<String>,
    /// Why its name does not say whose it is; empty where it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weak_identity: Vec<WeakIdentity>,
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
    /// Where its host stands, where that one says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hall: Option<String>,
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
