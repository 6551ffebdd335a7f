//! Documents of a job: its receipts, and the list of what was not exported.

use protocol::arm::JobDetails;
use protocol::digest::Sha256Digest;
use protocol::job::{BlobName, CopyRecord, DriveState, JobState};
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::outcome::Outcome;
use protocol::receipt::{ClassRanges, Receipt};
use protocol::result::{Direction, Evidence};
use protocol::stop::StopReason;
use protocol::units::ByteRange;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Station;
use super::orders::{OrderError, in_time};
use super::round::account_of;
use super::worker::{Document, SelectedBlob};
use crate::store::StoredJob;

/// A document that the copy of a drive left in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveDocument {
    /// The manifest beside the blob.
    Manifest,
    /// What went wrong.
    ErrorLog,
    /// Every chunk.
    VerboseLog,
}

impl Station {
    /// Begins to read a document about a drive of a job; `None` where there is none.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn open_document(
        &self,
        job: &StoredJob,
        drive_id: &str,
        which: DriveDocument,
    ) -> Result<Option<Document>, OrderError> {
        let (worker, account) = (&self.inner.worker, account_of(&job.details));
        let place = job.copies.get(drive_id).and_then(|record| {
            let told = |address: &Option<String>| worker.place_of(account, address.as_deref()?);
            match which {
                DriveDocument::Manifest => {
                    let BlobName { container, name } = record.blob.clone()?;
                    Some(BlobName { container, name: name + MANIFEST_SUFFIX })
                }
                DriveDocument::ErrorLog => told(&record.logs.error),
                DriveDocument::VerboseLog => told(&record.logs.verbose),
            }
        });
        let Some(place) = place else { return Ok(None) };
        in_time(worker.open_document(account, &place)).await
    }
}

/// What moved of every drive of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriveReceipt {
    /// The drive.
    pub drive_id: String,
    /// Where it stands.
    pub state: DriveState,
    /// One sentence.
    pub copy_status: String,
    /// How its last copy ended; absent where nothing was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<CopyResult>,
}

/// How a copy ended, as a customer is told: without a word about the station.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    pub root_sha256: Option<Sha256Digest>,
    /// The weakest grade over all chunks.
    pub evidence: Evidence,
    /// Ranges that could not be read.
    pub unreadable: Vec<ByteRange>,
    /// What was and was not done, by byte range; absent where everything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<CustomerReceipt>,
}

/// The receipt of a copy, without the command that continues and without the store's paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomerReceipt {
    /// When the stop was asked for, or the fault was seen.
    #[serde(with = "time::serde::rfc3339")]
    pub requested_at: OffsetDateTime,
    /// When the last chunk in flight was accounted for.
    #[serde(with = "time::serde::rfc3339")]
    pub drained_at: OffsetDateTime,
    /// The gravest reason.
    pub reason: StopReason,
    /// Held by the target when the stop was asked for.
    pub landed_before_request: ClassRanges,
    /// Landed while draining.
    pub landed_after_request: ClassRanges,
    /// Sent, with nobody able to say whether it landed.
    pub outcome_unknown: ClassRanges,
    /// Never sent, or unreadable.
    pub never_sent: ClassRanges,
    /// Bytes that are left at the store without being a blob.
    pub residue_bytes: u64,
    /// How long they stay there; absent where they stay for good, or where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residue_lives_days: Option<u32>,
}

impl CopyResult {
    fn new(record: &CopyRecord) -> Option<Self> {
        let result = record.result.clone()?;
        Some(CopyResult {
            outcome: result.outcome,
            direction: result.direction,
            blob: record.blob.as_ref().map(|blob| format!("{}/{}", blob.container, blob.name)),
            bytes_total: result.bytes_total,
            bytes_sent: result.bytes_sent,
            bytes_reused: result.bytes_reused,
            bytes_zero: result.bytes_zero,
            bytes_unreadable: result.bytes_unreadable,
            chunk_size: result.chunk_size,
            chunks: result.chunks,
            root_sha256: result.root_sha256,
            evidence: result.evidence,
            unreadable: result.unreadable,
            receipt: result.receipt.map(CustomerReceipt::from),
        })
    }
}

impl From<Receipt> for CustomerReceipt {
    fn from(receipt: Receipt) -> Self {
        CustomerReceipt {
            requested_at: receipt.requested_at,
            drained_at: receipt.drained_at,
            reason: receipt.reason,
            landed_before_request: receipt.landed_before_request,
            landed_after_request: receipt.landed_after_request,
            outcome_unknown: receipt.outcome_unknown,
            never_sent: receipt.never_sent,
            residue_bytes: receipt.residue.as_ref().map_or(0, |residue| residue.bytes),
            residue_lives_days: receipt.residue.and_then(|residue| residue.lives_days),
        }
    }
}

/// The receipts of a job as it stands.
pub fn receipts(job: &StoredJob, is_running: impl Fn(&str) -> bool) -> ReceiptsDocument {
    let drive = |drive: &protocol::job::JobDrive| {
        let record = job.copies.get(&drive.id);
        let is_over = !matches!(drive.state, DriveState::Received | DriveState::Transferring);
        DriveReceipt {
            drive_id: drive.id.clone(),
            state: drive.state,
            copy_status: record.cloned().unwrap_or_default().status(is_running(&drive.id), is_over),
            result: record.and_then(CopyResult::new),
        }
    };
    ReceiptsDocument {
        job: job.key.path(),
        state: job.machine.state,
        cancel_requested: job.machine.cancel_requested,
        drives: job.machine.drives.iter().map(drive).collect(),
    }
}

/// The container where nobody names one (the published default).
const DIAGNOSTICS_CONTAINER: &str = "waimportexport";

/// Container and folder of a job's documents; the folder is empty, or ends with `/`.
pub(super) fn diagnostics(details: &JobDetails) -> (String, String) {
    let path = details.diagnostics_path.as_deref().unwrap_or_default().trim_matches('/');
    match path.split_once('/') {
        Some((container, folder)) => (container.to_owned(), format!("{folder}/")),
        None if path.is_empty() => (DIAGNOSTICS_CONTAINER.to_owned(), String::new()),
        None => (path.to_owned(), String::new()),
    }
}

/// A list of the blobs that no drive took, as the next job takes it; `None` where there are none.
pub(super) fn incomplete_list(job: &StoredJob, selected: &[SelectedBlob]) -> Option<String> {
    let is_taken = |one: &&SelectedBlob| {
        job.copies.values().any(|record| {
            record.blob.as_ref() == Some(&one.blob) && record.result.as_ref().is_some_and(|result| result.outcome.is_complete())
        })
    };
    let left: Vec<&SelectedBlob> = selected.iter().filter(|one| !is_taken(one)).collect();
    if left.is_empty() {
        return None;
    }
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let _ = writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)));
    let list = writer.create_element("BlobList").write_inner_content(|writer| {
        for SelectedBlob { blob, .. } in left {
            let path = format!("{}/{}", blob.container, blob.name);
            writer.create_element("BlobPath").write_text_content(BytesText::new(&path))?;
        }
        Ok(())
    });
    // Writing into memory does not fail.
    list.ok().and_then(|writer| String::from_utf8(std::mem::take(writer.get_mut())).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_go_where_the_customer_says() {
        let at =
            |path: Option<&str>| diagnostics(&JobDetails { diagnostics_path: path.map(str::to_owned), ..JobDetails::default() });
        assert_eq!(at(None), ("waimportexport".into(), String::new()));
        assert_eq!(at(Some("")), ("waimportexport".into(), String::new()));
        assert_eq!(at(Some("/logs/")), ("logs".into(), String::new()));
        assert_eq!(at(Some("logs/of/mine")), ("logs".into(), "of/mine/".into()));
    }
}
