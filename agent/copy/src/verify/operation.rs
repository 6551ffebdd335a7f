//! A manifest against a drive, a blob, or both.

use std::sync::Arc;

use blob::Blob;
use drive::Drive;
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::result::{Difference, DifferenceReason, VerifiedSide, VerifyResult};
use protocol::units::ByteRange;

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::flow::attempts::Attempts;
use crate::plan::memory_plan;
use crate::source::manifest::{ManifestSource, load_manifest, not_found, require_whole};
use crate::verify::compare::compare_up_to;
use crate::verify::comparer::Compared;
use crate::verify::side::{Expected, Scope, Side};

/// What [`verify`] holds the manifest against; at least one of the two.
#[derive(Default)]
pub struct Sides {
    /// The drive.
    pub drive: Option<Arc<dyn Drive>>,
    /// The blob.
    pub blob: Option<Arc<dyn Blob>>,
}

/// Holds a manifest against a drive, a blob, or both. `shown` is what the manifest is called in messages.
///
/// # Errors
/// When the manifest cannot be used, or a side cannot be read at all. Differences are not an error: they
/// are in the result.
pub async fn verify(
    manifest: ManifestSource,
    shown: &str,
    sides: Sides,
    options: TransferOptions,
    handle: TransferHandle,
) -> Result<VerifyResult, CopyError> {
    let address = sides.blob.as_ref().map_or_else(|| shown.to_owned(), |blob| blob.address());
    let attempts = Attempts::new(&options, &handle, address);
    let loading = load_manifest(&manifest, shown, &options, &attempts);
    let loaded = handle.stop.or_stopping(loading).await.ok_or(CopyError::Cancelled)??;
    let geometry = loaded.geometry;
    let mut compared = Vec::new();
    let mut differences = Vec::new();
    let drive = sides.drive.as_ref().map(|drive| drive.identity().clone());
    if let Some(drive) = sides.drive {
        let recorded = &loaded.header.drive;
        if recorded.serial != drive.identity().serial {
            let (now, recorded) = (drive.identity().label(), recorded.label());
            handle.inform(format!("the manifest was made of the drive `{recorded}`; this one is `{now}`"));
        }
        let size = drive.size_bytes();
        compared.push((Side::Drive(drive), size));
    }
    if let Some(blob) = &sides.blob {
        let patient = attempts.for_first_contact();
        let looking = patient.run("look at", 0, || blob.head());
        let facts = handle.stop.or_stopping(looking).await.ok_or(CopyError::Cancelled)??.0;
        let Some(facts) = facts else {
            return Err(CopyError::Store(not_found(&**blob)));
        };
        require_whole(&**blob, &facts)?;
        if facts.size_bytes > geometry.total_bytes() {
            let extra = ByteRange::new(geometry.total_bytes(), facts.size_bytes - geometry.total_bytes());
            differences.push(Difference { side: VerifiedSide::Blob, range: extra, reason: DifferenceReason::Extra });
        }
        compared.push((Side::Blob { blob: blob.clone(), version: facts.version }, facts.size_bytes));
    }
    handle.counters.begin_part(Phase::Verifying, geometry.total_bytes() * compared.len() as u64);
    let memory = memory_plan(options.memory, geometry)?;
    let mut bytes_verified = 0;
    let mut unreadable = Vec::new();
    for (side, size) in compared {
        let stream_sha256 = loaded.stream_sha256;
        let fill = loaded.header.unreadable_fill;
        let expected = Expected { table: &loaded.table, fill, scope: Scope::All, wants_stream: stream_sha256.is_some() };
        let name = side.name();
        let found = compare_up_to(side, size, expected, &options, &attempts, &handle, memory).await?;
        let Compared { differences: found, unreadable: unread, stream_sha256: of_side } = found;
        if found.is_empty() && of_side.is_some() && of_side != stream_sha256 {
            let whole = ByteRange::new(0, geometry.total_bytes());
            differences.push(Difference { side: name, range: whole, reason: DifferenceReason::StreamSha256 });
        }
        let lost = found.iter().map(|difference| difference.range).chain(unread.iter().copied());
        bytes_verified += geometry.total_bytes() - lost.map(|range| range.length).sum::<u64>();
        differences.extend(found);
        unreadable.extend(unread);
    }
    differences.sort_by_key(|difference| (difference.side, difference.range));
    handle.counters.set_phase(Phase::Done);
    let was_stopped = handle.stop.is_stopping();
    let (outcome, error) = match differences.first() {
        _ if was_stopped => (Outcome::Cancelled, Some("the verification was cancelled before its end".to_owned())),
        None if unreadable.is_empty() => (Outcome::Complete, None),
        None => (Outcome::CompleteWithUnreadable, None),
        Some(first) => (Outcome::Mismatch, Some(sentence(shown, &differences, first))),
    };
    Ok(VerifyResult {
        outcome,
        manifest: shown.to_owned(),
        drive,
        blob: sides.blob.map(|blob| blob.address()),
        bytes_total: geometry.total_bytes(),
        bytes_verified: if was_stopped { handle.counters.part_bytes() } else { bytes_verified },
        chunks: geometry.chunk_count(),
        root_sha256: Some(loaded.root),
        stream_sha256: loaded.stream_sha256,
        differences,
        unreadable,
        elapsed_seconds: handle.counters.elapsed_seconds(),
        error,
    })
}

fn sentence(manifest: &str, differences: &[Difference], first: &Difference) -> String {
    let differs = |side| differences.iter().any(|difference| difference.side == side);
    let which = match (differs(VerifiedSide::Drive), differs(VerifiedSide::Blob)) {
        (true, true) => "the drive and the blob differ",
        (true, false) => "the drive differs",
        _ => "the blob differs",
    };
    if first.reason == DifferenceReason::StreamSha256 {
        return format!(
            "{which} from the manifest `{manifest}` as a whole: every chunk has its SHA-256, and the SHA-256 of the whole is not the one that the manifest states; the manifest was edited, or made by a faulty program: import again"
        );
    }
    let range = first.range;
    let count = match differences.len() {
        1 => "one range".to_owned(),
        count => format!("{count} ranges"),
    };
    format!("{which} from the manifest `{manifest}` in {count}, the first at {range} (offset+length in bytes)")
}
