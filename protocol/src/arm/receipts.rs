//! The receipts of a job, as its customer reads them: what moved of each drive, without what names the station.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::digest::Sha256Digest;
use crate::job::{DriveState, JobState};
use crate::outcome::Outcome;
use crate::receipt::ClassRanges;
use crate::result::{Direction, Evidence};
use crate::stop::StopReason;
use crate::units::ByteRange;

/// What moved of every drive of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptsDocument {
    /// The path of the job.
    pub job: String,
    /// Where it stands.
    pub state: JobState,
    /// Whether it was cancelled.
    pub cancel_requested: bool,
    /// Its drives.
    pub drives: Vec<DriveReceipt>,
}

/// What moved of a drive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DriveReceipt {
    /// The drive.
    pub drive_id: String,
    /// Where it stands.
    pub state: DriveState,
    /// How its copy stands, in one sentence.
    pub copy_status: String,
    /// What is left of another drive that was copied as this one by mistake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How its last copy ended; absent where nothing was copied, and nothing is known of what would have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<CopyResult>,
}

/// How a copy ended, for its customer: without what names the station.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CopyResult {
    /// How it ended.
    pub outcome: Outcome,
    /// Which way.
    pub direction: Direction,
    /// The blob, as `CONTAINER/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// Size of what was to be moved, in bytes.
    pub bytes_total: u64,
    /// Bytes of chunks whose bodies went over in the last run.
    pub bytes_sent: u64,
    /// Bytes of chunks that the target held already.
    pub bytes_reused: u64,
    /// Bytes of zero chunks that were never sent.
    pub bytes_zero: u64,
    /// Bytes that could not be read.
    pub bytes_unreadable: u64,
    /// Size of every chunk but the last, in bytes.
    pub chunk_size: u64,
    /// How many chunks.
    pub chunks: u64,
    /// SHA-256 over the chunk digests; absent unless complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    pub root_sha256: Option<Sha256Digest>,
    /// The weakest grade over all chunks.
    pub evidence: Evidence,
    /// Ranges that could not be read.
    pub unreadable: Vec<ByteRange>,
    /// How many such ranges there are, where the list is cut; absent where it has all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable_ranges_total: Option<u64>,
    /// Where all ranges are, where a list has the first of them alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What was and was not done, by byte range; absent where everything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<CustomerReceipt>,
}

/// The receipt of a copy, without the command that continues and without the store's paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomerReceipt {
    /// When the stop was asked for, or the fault was seen.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: OffsetDateTime,
    /// When the last chunk in flight was accounted for.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub drained_at: OffsetDateTime,
    /// The gravest reason.
    pub reason: StopReason,
    /// Held by the target when the stop was asked for.
    pub landed_before_request: ClassRanges,
    /// Landed while draining.
    pub landed_after_request: ClassRanges,
    /// Sent, and it is unknown whether it landed.
    pub outcome_unknown: ClassRanges,
    /// Never sent, or unreadable.
    pub never_sent: ClassRanges,
    /// Bytes that are left at the store without being a blob.
    pub residue_bytes: u64,
    /// How long they stay there; absent where they stay for good, or where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residue_lives_days: Option<u32>,
}
