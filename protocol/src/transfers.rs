//! What `drive-agent transfers` shows of transfers that were begun and not finished.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::receipt::Residue;
use crate::result::Direction;

/// A transfer that was begun and not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferEntry {
    /// Its name; its first digits do for a command.
    pub transfer_id: String,
    /// Which way.
    pub direction: Direction,
    /// The drive's path.
    pub drive: String,
    /// The drive's serial number, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive_serial: Option<String>,
    /// The blob's address without secrets.
    pub blob: String,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub begun_at: OffsetDateTime,
    /// What is to be moved, in bytes.
    pub bytes_total: u64,
    /// What had landed by its journal, in bytes.
    pub bytes_landed: u64,
    /// Whether a process is at it now.
    pub is_running: bool,
    /// Whether the blob is whole, and only its manifest is missing.
    pub is_committed: bool,
    /// Its journal.
    pub journal: String,
    /// What it left at its target; absent where nothing is known to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Residue>,
    /// Why the store could not be asked what it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_error: Option<String>,
    /// The command that resumes it.
    pub resume: String,
    /// The command that discards it.
    pub discard: String,
}

/// A journal that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableJournal {
    /// The file.
    pub journal: String,
    /// Why.
    pub error: String,
}

/// All of a state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferEntries {
    /// The oldest first.
    pub transfers: Vec<TransferEntry>,
    /// Journals that cannot be read.
    pub unreadable: Vec<UnreadableJournal>,
}

/// What became of a transfer that was discarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscardedTransfer {
    /// Its name.
    pub transfer_id: String,
    /// What stays at its target, and why; absent where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays: Option<String>,
}
