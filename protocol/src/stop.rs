//! Why a transfer was asked to stop.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a transfer stops before its end, in order of severity: a later reason outranks an earlier
/// one, so that the receipt names the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// An operator paused the drive.
    Paused,
    /// The customer cancelled the job.
    JobCancelled,
    /// A station could not renew its right to copy: the drive may be copied by another from now on.
    LeaseLost,
    /// The agent is shutting down (SIGTERM).
    Terminated,
    /// Ctrl-C was pressed (SIGINT).
    Interrupted,
    /// Something else failed: a verification, the journal's disk.
    Failed,
    /// The drive failed, went away, or stopped at an unreadable range by policy.
    DriveFailed,
    /// Blob storage refused, or stayed unreachable through the retry budget.
    StoreFailed,
    /// What was in flight did not land within the drain timeout.
    DrainTimeout,
    /// A second signal: drop everything.
    SecondSignal,
}

impl StopReason {
    /// Whether the stop was asked for, and is not a fault.
    pub fn is_cancel(self) -> bool {
        !matches!(self, StopReason::Failed | StopReason::DriveFailed | StopReason::StoreFailed)
    }

    /// Whether requests under way are dropped instead of drained.
    pub fn is_abort(self) -> bool {
        matches!(self, StopReason::DrainTimeout | StopReason::SecondSignal)
    }
}
