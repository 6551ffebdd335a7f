//! `verify`: a manifest against a drive, a blob, or both; and reading back what was just written.

mod compare;
mod hashes;

use std::path::Path;
use std::sync::Arc;

use blob::Blob;
use drive::Drive;
use protocol::fill::Fill;
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::result::{Difference, DifferenceReason, VerifiedSide, VerifyResult};
use protocol::units::ByteRange;
use tokio::sync::Semaphore;

use self::compare::{Comparer, Found};
use self::hashes::Hashes;
use crate::attempts::Attempts;
use crate::error::{CopyError, state_error};
use crate::hashing::ZeroDigests;
use crate::manifest::{load_manifest, not_found};
use crate::options::{Link, TransferOptions};
use crate::plan::{MemoryPlan, memory_plan};
use crate::pool::BufferPool;
use crate::prepare::attempts;
use crate::rate::RateLimit;
use crate::table::SharedTable;

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
}

/// What [`verify`] holds the manifest against; at least one of the two.
#[derive(Default)]
pub struct Sides {
    /// The drive.
    pub drive: Option<Arc<dyn Drive>>,
    /// The blob.
    pub blob: Option<Arc<dyn Blob>>,
}

/// Holds the manifest in the file at `path` against a drive, a blob, or both. `shown` is what the
/// manifest is called in messages.
///
/// # Errors
/// When the manifest cannot be used, or a side cannot be read at all. Differences are no error: they
/// are in the result.
pub async fn verify(
    path: &Path,
    shown: &str,
    sides: Sides,
    options: TransferOptions,
    link: Link,
) -> Result<VerifyResult, CopyError> {
    let address = sides.blob.as_ref().map_or_else(|| shown.to_owned(), |blob| blob.address());
    let attempts = attempts(&options, &link, address);
    let folder = &options.state_dir;
    std::fs::create_dir_all(folder).map_err(|source| state_error("create", folder, source))?;
    let loaded = load_manifest(path, shown, folder)?;
    let geometry = loaded.geometry;
    let mut compared = Vec::new();
    let mut differences = Vec::new();
    let drive = sides.drive.as_ref().map(|drive| drive.identity().clone());
    if let Some(drive) = sides.drive {
        let recorded = &loaded.header.drive;
        if recorded.serial != drive.identity().serial {
            let (now, recorded) = (drive.identity().label(), recorded.label());
            link.inform(format!("the manifest was made of the drive `{recorded}`; this one is `{now}`"));
        }
        let size = drive.size_bytes();
        compared.push((Side::Drive(drive), size));
    }
    if let Some(blob) = &sides.blob {
        let patient = attempts.for_first_contact();
        let looking = patient.run("look at", 0, || blob.head());
        let facts = link.stop.or_stopping(looking).await.ok_or(CopyError::Cancelled)??.0;
        let Some(facts) = facts else {
            return Err(CopyError::Store(not_found(&**blob)));
        };
        if facts.size_bytes > geometry.total_bytes() {
            let extra = ByteRange::new(geometry.total_bytes(), facts.size_bytes - geometry.total_bytes());
            differences.push(Difference { side: VerifiedSide::Blob, range: extra, reason: DifferenceReason::Extra });
        }
        compared.push((Side::Blob { blob: blob.clone(), version: facts.version }, facts.size_bytes));
    }
    link.counters.begin_part(Phase::Verifying, geometry.total_bytes() * compared.len() as u64);
    let memory = memory_plan(options.memory, geometry)?;
    let mut bytes_verified = 0;
    let mut unreadable = Vec::new();
    for (side, size) in compared {
        let expected = Expected { table: &loaded.table, fill: loaded.header.unreadable_fill };
        let found = compare_up_to(side, size, expected, &options, &attempts, &link, memory).await?;
        let Found { differences: found, unreadable: unread } = found;
        let lost = found.iter().map(|difference| difference.range).chain(unread.iter().copied());
        bytes_verified += geometry.total_bytes() - lost.map(|range| range.length).sum::<u64>();
        differences.extend(found);
        unreadable.extend(unread);
    }
    differences.sort_by_key(|difference| (difference.side, difference.range));
    link.counters.set_phase(Phase::Done);
    let was_stopped = link.stop.is_stopping();
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
        bytes_verified: if was_stopped { link.counters.part_bytes() } else { bytes_verified },
        chunks: geometry.chunk_count(),
        root_sha256: Some(loaded.root),
        differences,
        unreadable,
        elapsed_seconds: link.counters.elapsed_seconds(),
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
    let range = first.range;
    let count = match differences.len() {
        1 => "one range".to_owned(),
        count => format!("{count} ranges"),
    };
    format!("{which} from the manifest `{manifest}` in {count}, the first at {range} (offset+length in bytes)")
}

/// Compares a whole side with what the table says.
pub(crate) async fn compare(
    side: Side,
    expected: Expected<'_>,
    options: &TransferOptions,
    attempts: &Attempts,
    link: &Link,
    memory: MemoryPlan,
) -> Result<Vec<Difference>, CopyError> {
    let total = expected.table.with(|table| Ok(table.geometry().total_bytes()))?;
    link.counters.begin_part(Phase::Verifying, total);
    Ok(compare_up_to(side, u64::MAX, expected, options, attempts, link, memory).await?.differences)
}

/// The same for a side that ends at `size`: what lies behind is missing.
async fn compare_up_to(
    side: Side,
    size: u64,
    expected: Expected<'_>,
    options: &TransferOptions,
    attempts: &Attempts,
    link: &Link,
    memory: MemoryPlan,
) -> Result<Found, CopyError> {
    let geometry = expected.table.with(|table| Ok(table.geometry()))?;
    let comparer = Arc::new(Comparer {
        reads: Arc::new(Semaphore::new(side.concurrency(options))),
        hashes: Hashes::start(link.counters.clone(), options.station.clone())?,
        zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
        pool: BufferPool::new(memory.buffers, memory.buffer_bytes),
        rate: RateLimit::new(options.rate, options.station.clone()),
        attempts: attempts.clone(),
        options: options.clone(),
        link: link.clone(),
        side,
        size,
        fill: expected.fill,
    });
    let mut found = comparer.clone().run(geometry, expected.table).await?;
    found.differences.sort_by_key(|difference| difference.range);
    found.unreadable.sort_unstable();
    let mut merged: Vec<Difference> = Vec::new();
    for difference in found.differences {
        match merged.last_mut() {
            Some(last) if last.range.end() == difference.range.offset && last.reason == difference.reason => {
                last.range.length += difference.range.length;
            }
            _ => merged.push(difference),
        }
    }
    Ok(Found { differences: merged, unreadable: found.unreadable })
}
