//! What the data plane is ordered to do: it knows drives and stores, and nothing of jobs but what is here.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::bay::DockedDrive;
use crate::job::{BlobName, DockedTime, RetryOptions};
use crate::result::Direction;

/// A bay, and what is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BayContent {
    /// The bay's name; `STATION/BAY` where it is another host's.
    pub name: String,
    /// Drives are found in it, and not docked by hand.
    pub is_watched: bool,
    /// The drive in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive: Option<DockedDrive>,
    /// Stays the same as long as the drive is not taken out, also over restarts of the service.
    pub attachment: String,
    /// When the drive was docked, by the clock of its host; absent where it was there when the service began.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub docked_at: Option<OffsetDateTime>,
    /// The same by the clock of the service, as it computes that for another host.
    #[serde(skip)]
    pub docked_here: Option<OffsetDateTime>,
    /// Another number means another drive, or the same one docked again: an order for the one must not copy the
    /// other.
    pub sequence: u64,
    /// The host that it is at; absent where it is the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// Where that host stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hall: Option<String>,
    /// The state directory of that host, as [`super::StationReport::state_id`] names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_id: Option<String>,
    /// Why nothing is known of it now, or what is there cannot be used: one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl BayContent {
    /// When the drive was docked, where that is known.
    pub fn docked(&self) -> Option<DockedTime> {
        self.docked_at.map(|told| DockedTime { told, here: self.docked_here.unwrap_or(told) })
    }
}

/// A key of a journal: 64 hexadecimal digits, which no log shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalKey(pub String);

impl fmt::Debug for JournalKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JournalKey(not shown)")
    }
}

/// Where a journal is kept in the account of its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalOrder {
    /// What the names of its segments begin with.
    pub place: BlobName,
    /// What seals them.
    pub key: JournalKey,
}

/// A copy that is to be begun or resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyOrder {
    /// The grant that it runs under, where it runs at another host: a random name, by which its end is told from that of an
    /// earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The state directory of that host: no other host has the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_id: Option<String>,
    /// Where its journal is kept in the account, for the next host that has the drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalOrder>,
    /// The bay of the drive.
    pub bay: String,
    /// Import or export.
    pub direction: Direction,
    /// The random name of the job.
    pub job_uid: String,
    /// The drive's name in the job.
    pub drive_id: String,
    /// The account.
    pub account: String,
    /// The blob.
    pub blob: BlobName,
    /// Size of what is to be moved, in bytes, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// The docking that the order is for: [`BayContent::sequence`].
    pub sequence: u64,
    /// Move nothing; only account for what earlier runs did. Used where the job was cancelled.
    pub account_only: bool,
    /// The run before was cut off: chunks that were in flight then may have landed.
    pub was_cut_off: bool,
    /// How this run differs.
    pub retry: RetryOptions,
    /// The drive of an export was found empty in this docking, or an operator said that what is on it may go.
    pub may_erase: bool,
}

/// Where the logs of a copy go, and which of them are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogOrder {
    /// What was copied.
    pub copy: CopyOrder,
    /// The container.
    pub container: String,
    /// What their names begin with.
    pub prefix: String,
    /// Every chunk too.
    pub verbose: bool,
    /// The manifest too.
    pub manifest: bool,
}
