//! `verify`: a manifest against a drive, a blob, or both; and reading back what was just written.

mod compare;
mod hashes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use blob::Blob;
use drive::Drive;
use protocol::fill::Fill;
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::result::{Difference, DifferenceReason, VerifiedSide, VerifyResult};
use protocol::units::{ByteRange, ChunkIndex};
use tokio::sync::Semaphore;

pub(crate) use self::compare::Compared;
use self::compare::{Comparer, WholeSide};
use self::hashes::Hashes;
use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::flow::attempts::Attempts;
use crate::flow::pool::BufferPool;
use crate::flow::rate::RateLimit;
use crate::hashing::ZeroDigests;
use crate::hashing::whole;
use crate::plan::{MemoryPlan, memory_plan};
use crate::record::table::SharedTable;
use crate::source::manifest::{ManifestSource, load_manifest, not_found, require_whole};

/// What a manifest is held against.
#[derive(Clone)]
pub(crate) enum Side {
    Drive(Arc<dyn Drive>),
    Blob { blob: Arc<dyn Blob>, version: String },
}

impl Side {
    fn name(&self) -> VerifiedSide {
        match self {
            Side::Drive(_) => VerifiedSide::Drive,
            Side::Blob { .. } => VerifiedSide::Blob,
        }
    }

    /// Requests at once that serve it well.
    fn concurrency(&self, options: &TransferOptions) -> usize {
        match self {
            Side::Drive(drive) => drive.preferred_readers(),
            Side::Blob { .. } => options.concurrency.unwrap_or(8),
        }
    }
}

/// What a manifest says.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'manifest> {
    pub(crate) table: &'manifest SharedTable,
    /// What stands where the drive could not be read.
    pub(crate) fill: Fill,
    /// Which chunks are compared.
    pub(crate) scope: Scope<'manifest>,
    /// Whether the SHA-256 of the whole side is wanted: it costs a thread, which a fast side would wait for.
    pub(crate) wants_stream: bool,
}

/// Which chunks are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'places> {
    /// All of them; one of which nothing is recorded differs.
    All,
    /// Those that landed.
    Landed,
    /// These.
    Only(&'places BTreeSet<ChunkIndex>),
}

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
/// When the manifest cannot be used, or a side cannot be read at all. Differences are no error: they
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

/// Compares a side with what the table says.
pub(crate) async fn compare(
    side: Side,
    expected: Expected<'_>,
    options: &TransferOptions,
    attempts: &Attempts,
    handle: &TransferHandle,
    memory: MemoryPlan,
) -> Result<Compared, CopyError> {
    let total = expected.table.with(|table| Ok(table.geometry().total_bytes()))?;
    handle.counters.begin_part(Phase::Verifying, total);
    compare_up_to(side, u64::MAX, expected, options, attempts, handle, memory).await
}

/// The same for a side that ends at `size`: what lies behind is missing.
async fn compare_up_to(
    side: Side,
    size: u64,
    expected: Expected<'_>,
    options: &TransferOptions,
    attempts: &Attempts,
    handle: &TransferHandle,
    memory: MemoryPlan,
) -> Result<Compared, CopyError> {
    let geometry = expected.table.with(|table| Ok(table.geometry()))?;
    let is_broken = Arc::new(AtomicBool::new(false));
    let is_abandoned = {
        let is_broken = is_broken.clone();
        move || is_broken.load(Ordering::Relaxed)
    };
    let (pieces, whole_end) = whole::spawn(expected.wants_stream, geometry, is_abandoned)?;
    let comparer = Arc::new(Comparer {
        reads: Arc::new(Semaphore::new(side.concurrency(options))),
        hashes: Hashes::start(handle.counters.clone(), options.shared_budget.clone())?,
        zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
        whole: pieces.map(|pieces| WholeSide { pieces, is_broken }),
        pool: BufferPool::new(memory.buffers, memory.buffer_bytes),
        rate: RateLimit::new(options.rate, options.shared_budget.clone()),
        attempts: attempts.clone(),
        options: options.clone(),
        handle: handle.clone(),
        side,
        size,
        fill: expected.fill,
    });
    let mut found = comparer.clone().run(geometry, expected).await?;
    drop(comparer);
    found.stream_sha256 = whole::result(whole_end, &handle.stop).await;
    found.differences.sort_by_key(|difference| difference.range);
    found.unreadable.sort_unstable();
    let mut merged: Vec<Difference> = Vec::new();
    for difference in std::mem::take(&mut found.differences) {
        match merged.last_mut() {
            Some(last) if last.range.end() == difference.range.offset && last.reason == difference.reason => {
                last.range.length += difference.range.length;
            }
            _ => merged.push(difference),
        }
    }
    Ok(Compared { differences: merged, ..found })
}
