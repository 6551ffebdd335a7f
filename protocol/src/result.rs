//! The document that `import`, `export` and `verify` print with `--output json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::identity::DriveIdentity;
use crate::outcome::Outcome;
use crate::receipt::Receipt;
use crate::units::ByteRange;
use utoipa::ToSchema;

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From a drive into a blob.
    Import,
    /// From a blob onto a drive.
    Export,
}

/// How well the copy is proved, weakest first. A transfer has the grade of its weakest chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Some bytes were compared with their source or target at a few places only: parts that came from an image of
    /// the drive, or what an earlier run left on a target that may have changed.
    Sampled,
    /// The digest is of what was read from the source; the other side was not checked.
    Read,
    /// The receiving side checked a checksum on arrival.
    Transport,
    /// Read again from the target and hashed.
    ReadBack,
}

/// Seconds spent in each stage, summed over its threads or requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct StageSeconds {
    /// Reading the source (import: the drive; export: requests to the store).
    pub read: f64,
    /// Hashing.
    pub hash: f64,
    /// Waiting for a free buffer: everything behind the reader was busy.
    pub wait: f64,
    /// Sending to the store (import).
    pub send: f64,
    /// Writing to the drive (export).
    pub write: f64,
    /// Making data and journal durable.
    pub sync: f64,
}

/// What held the transfer back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitedBy {
    /// The source side.
    Read,
    /// SHA-256 on the processors at hand.
    Hash,
    /// The store, on import.
    Send,
    /// The drive, on export.
    Write,
    /// Durability of data and journal.
    Sync,
    /// `--rate`.
    Rate,
    /// Nothing was moved.
    Nothing,
}

/// The result of `import` or `export`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferResult {
    /// How it ended.
    pub outcome: Outcome,
    /// Which way.
    pub direction: Direction,
    /// The drive; absent where it could not even be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive: Option<DriveIdentity>,
    /// The blob's address without secrets.
    pub blob: String,
    /// The transfer: what it leaves unfinished is named after it. Absent where it was not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_id: Option<String>,
    /// Size of what was to be moved, in bytes.
    pub bytes_total: u64,
    /// Bytes of chunks whose bodies went over.
    pub bytes_sent: u64,
    /// Bytes of chunks that the target held already.
    pub bytes_reused: u64,
    /// Bytes of zero chunks that were never sent.
    pub bytes_zero: u64,
    /// Bytes that could not be read.
    pub bytes_unreadable: u64,
    /// Bytes behind the blob's end that were made zero on the drive (export).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_cleared: u64,
    /// Size of every chunk but the last, in bytes.
    pub chunk_size: u64,
    /// How many chunks.
    pub chunks: u64,
    /// SHA-256 over the chunk digests in drive order; absent unless complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_sha256: Option<Sha256Digest>,
    /// SHA-256 of the whole, as `sha256sum` prints it, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_sha256: Option<Sha256Digest>,
    /// The weakest grade over all chunks.
    pub evidence: Evidence,
    /// Whether the blob was checked against a manifest of digests (export).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_against_manifest: Option<bool>,
    /// Reads that the drive refused (import).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_reads: u64,
    /// Bytes taken from an image of the drive, and not from the drive (import with `--rescued`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_from_image: u64,
    /// The same, by range, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_image: Vec<ByteRange>,
    /// How many such ranges there are, where the list is cut and has the first of them alone; absent where it has all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_image_ranges_total: Option<u64>,
    /// Whether the source was modified while it was read: the copy may be a mixture of two states.
    #[serde(default, skip_serializing_if = "is_false")]
    pub source_changed: bool,
    /// Where the manifest is: a path or an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Time from start to end.
    pub elapsed_seconds: f64,
    /// Where the time went.
    pub stages: StageSeconds,
    /// What held it back.
    pub limited_by: LimitedBy,
    /// What the link to the store carried, in bytes a second while there were requests; absent for a store on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_bytes_per_second: Option<f64>,
    /// Requests that had to be repeated.
    pub retries: u64,
    /// Ranges that could not be read.
    pub unreadable: Vec<ByteRange>,
    /// How many such ranges there are, where the list is cut and has the first of them alone; absent where it has all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable_ranges_total: Option<u64>,
    /// One sentence: what failed, on what, what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was and was not done; present unless complete or never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

impl TransferResult {
    /// The result of a transfer that moved nothing.
    pub fn not_begun(outcome: Outcome, direction: Direction, blob: &str) -> Self {
        TransferResult {
            outcome,
            direction,
            drive: None,
            blob: blob.to_owned(),
            transfer_id: None,
            bytes_total: 0,
            bytes_sent: 0,
            bytes_reused: 0,
            bytes_zero: 0,
            bytes_unreadable: 0,
            bytes_cleared: 0,
            failed_reads: 0,
            bytes_from_image: 0,
            from_image: Vec::new(),
            from_image_ranges_total: None,
            source_changed: false,
            chunk_size: 0,
            chunks: 0,
            root_sha256: None,
            stream_sha256: None,
            evidence: Evidence::Read,
            checked_against_manifest: None,
            manifest: None,
            elapsed_seconds: 0.0,
            stages: StageSeconds::default(),
            limited_by: LimitedBy::Nothing,
            link_bytes_per_second: None,
            retries: 0,
            unreadable: Vec::new(),
            unreadable_ranges_total: None,
            error: None,
            receipt: None,
        }
    }

    /// The same with at most `ranges_max` ranges in each of its lists. Counts of bytes are those of all of them.
    pub fn with_lists_cut(mut self, ranges_max: usize) -> Self {
        let lists = [
            (&mut self.unreadable, &mut self.unreadable_ranges_total),
            (&mut self.from_image, &mut self.from_image_ranges_total),
        ];
        for (list, total) in lists {
            if list.len() > ranges_max {
                total.get_or_insert(list.len() as u64);
                list.truncate(ranges_max);
            }
        }
        self.receipt = self.receipt.map(|receipt| receipt.with_lists_cut(ranges_max));
        self
    }

    /// Whether some list has the first of its ranges alone.
    pub fn has_cut_lists(&self) -> bool {
        let has_cut_class = |receipt: &Receipt| receipt.classes().iter().any(|class| class.ranges_total.is_some());
        self.unreadable_ranges_total.is_some()
            || self.from_image_ranges_total.is_some()
            || self.receipt.as_ref().is_some_and(has_cut_class)
    }

    /// The result of a transfer that was cancelled before it moved anything of so many bytes.
    pub fn cancelled_before_its_first_byte(direction: Direction, blob: &str, total_bytes: u64, receipt: Receipt) -> Self {
        let nothing = Self::not_begun(Outcome::Cancelled, direction, blob);
        TransferResult { bytes_total: total_bytes, receipt: Some(receipt), ..nothing }
    }
}

/// What a transfer would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedAction {
    /// Begin.
    Begin,
    /// Resume what an earlier run left.
    Resume,
    /// The blob is complete: store its manifest.
    StoreManifest,
}

/// What `import` and `export` print with `--dry-run`: every check before the first byte passed, and nothing was changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferPlan {
    /// Which way.
    pub direction: Direction,
    /// The drive.
    pub drive: DriveIdentity,
    /// The blob's address without secrets.
    pub blob: String,
    /// What would be done.
    pub action: PlannedAction,
    /// Size of what would be moved, in bytes.
    pub bytes_total: u64,
    /// Size of every chunk but the last, in bytes.
    pub chunk_size: u64,
    /// How many chunks.
    pub chunks: u64,
    /// How many of them an earlier run recorded.
    pub chunks_landed: u64,
    /// Where the manifest is, or would be.
    pub manifest: String,
    /// What the blob would be given beside its bytes, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<PlannedProperties>,
    /// Where what is not the blob yet would be put, where that is not beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging: Option<String>,
    /// What is worth knowing before it begins.
    pub warnings: Vec<String>,
}

/// What a blob would be given beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedProperties {
    /// Access tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Content type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Metadata, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// One range that differs, and on which side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// `drive` or `blob`.
    pub side: VerifiedSide,
    /// Where.
    #[serde(flatten)]
    pub range: ByteRange,
    /// In which way.
    pub reason: DifferenceReason,
}

/// What a manifest is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifiedSide {
    /// The drive.
    Drive,
    /// The blob.
    Blob,
}

/// In which way a range differs from its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceReason {
    /// The bytes have another digest.
    Content,
    /// The side ends before the range does.
    Missing,
    /// The side has bytes that the manifest does not know.
    Extra,
    /// The bytes cannot be read.
    Unreadable,
    /// Every chunk has its digest, and the whole does not have the one that is stated.
    StreamSha256,
}

/// The result of `verify`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifyResult {
    /// `complete` where all is equal, `mismatch` where something differs.
    pub outcome: Outcome,
    /// The manifest.
    pub manifest: String,
    /// The drive that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive: Option<DriveIdentity>,
    /// The blob that was read, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// Size of what the manifest describes, in bytes.
    pub bytes_total: u64,
    /// Bytes read and found equal, over both sides.
    pub bytes_verified: u64,
    /// Chunks of the manifest.
    pub chunks: u64,
    /// The root that the manifest states, and that its records give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_sha256: Option<Sha256Digest>,
    /// The SHA-256 of the whole that the manifest states, where it has one: each side was held against it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_sha256: Option<Sha256Digest>,
    /// Every range that differs, ascending, the drive's first.
    pub differences: Vec<Difference>,
    /// What the drive could not read when the manifest was made, and cannot read now: nothing is said of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<ByteRange>,
    /// Time from start to end.
    pub elapsed_seconds: f64,
    /// One sentence, where something differs or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
