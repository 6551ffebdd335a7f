//! What the copy engine reports while it works. Libraries emit this; programs print it.

use serde::{Deserialize, Serialize};

use crate::result::LimitedBy;
use crate::units::ByteRange;

/// What a transfer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Checking what a journal or the store already has.
    Preparing,
    /// Moving chunks.
    Copying,
    /// The drive is failing: what can be read is read, in the order that wears it least.
    Rescuing,
    /// Asked to stop; chunks in flight are landing.
    Draining,
    /// Making the blob appear, or syncing the drive.
    Committing,
    /// Making the drive behind the blob's end zero.
    Clearing,
    /// Reading the target again.
    Verifying,
    /// Nothing more will happen.
    Done,
}

/// A snapshot of the counters. Bytes count when they are recorded, not when they are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Size of the whole, in bytes; while clearing or verifying, of what is cleared or verified.
    pub bytes_total: u64,
    /// Recorded so far: the sum of the four below, and what an earlier run recorded. While clearing or
    /// verifying, what was cleared or verified.
    pub bytes_done: u64,
    /// Of those, bytes whose bodies went over in this run.
    pub bytes_sent: u64,
    /// Of those, bytes that the target held already.
    pub bytes_reused: u64,
    /// Of those, zeros that were never sent.
    pub bytes_zero: u64,
    /// Of those, bytes that could not be read.
    pub bytes_unreadable: u64,
    /// Bytes in buffers: being read, hashed, sent, or not recorded yet. They still land after a cancel.
    #[serde(default)]
    pub bytes_in_flight: u64,
    /// Requests that had to be repeated.
    pub retries: u64,
    /// What has held it back so far.
    pub limited_by: LimitedBy,
    /// Seconds since the start.
    pub elapsed_seconds: f64,
    /// Bytes a second over the last seconds.
    pub bytes_per_second: f64,
    /// What the link to the store has carried so far, in bytes a second while there were requests; absent for a store on this
    /// machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_bytes_per_second: Option<f64>,
    /// How long the drive has not answered; absent where it answers within seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive_silent_seconds: Option<f64>,
    /// Seconds to the end at that rate; absent while it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
}

impl Progress {
    /// The progress of a copy in this phase that has moved nothing.
    pub fn of_nothing(phase: Phase) -> Self {
        Progress {
            phase,
            bytes_total: 0,
            bytes_done: 0,
            bytes_sent: 0,
            bytes_reused: 0,
            bytes_zero: 0,
            bytes_unreadable: 0,
            bytes_in_flight: 0,
            retries: 0,
            limited_by: LimitedBy::Nothing,
            elapsed_seconds: 0.0,
            bytes_per_second: 0.0,
            link_bytes_per_second: None,
            drive_silent_seconds: None,
            eta_seconds: None,
        }
    }
}

/// What a failing drive has not given so far, each in drive order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableSoFar {
    /// Tried sector by sector, and abandoned.
    pub bad: Vec<ByteRange>,
    /// A read of them failed; parts of them may still be read.
    pub doubtful: Vec<ByteRange>,
}

/// Something worth one line to a person, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Something is unusual, and the transfer continues.
    Warning(String),
    /// Something a person may want to know.
    Information(String),
}
