//! `verify`: a manifest against a drive, a blob, or both; and reading back what was just written.

use std::path::Path;
use std::sync::Arc;

use blob::Blob;
use drive::zero::is_zero;
use drive::{Drive, DriveError};
use protocol::digest::Sha256Digest;
use protocol::fill::Fill;
use protocol::manifest::ChunkContent;
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::result::{Difference, DifferenceReason, VerifiedSide, VerifyResult};
use protocol::units::{ByteRange, ChunkGeometry};
use tokio::task::JoinSet;

use crate::attempts::Attempts;
use crate::chunk::Place;
use crate::error::{CopyError, state_error};
use crate::fetch::{Fetch, FetchBuffer};
use crate::hashing::ZeroDigests;
use crate::limits::{WATCHDOG_BEAT, slowest_read};
use crate::manifest::{load_manifest, not_found};
use crate::options::{Link, TransferOptions};
use crate::plan::{MemoryPlan, memory_plan};
use crate::pool::{BufferPool, PooledBuffer};
use crate::prepare::attempts;
use crate::rate::RateLimit;
use crate::station::hashing;
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
        let facts = tokio::select! {
            facts = looking => facts,
            () = link.stop.stopping() => return Err(CopyError::Cancelled),
        };
        let facts = facts?.0;
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
        concurrency: side.concurrency(options).min(memory.buffers),
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

/// What a comparison found.
#[derive(Default)]
struct Found {
    differences: Vec<Difference>,
    /// What the drive could not read then and cannot read now.
    unreadable: Vec<ByteRange>,
}

impl Found {
    fn one(difference: Difference) -> Self {
        Found { differences: vec![difference], unreadable: Vec::new() }
    }
}

struct Comparer {
    side: Side,
    size: u64,
    fill: Fill,
    concurrency: usize,
    zeros: ZeroDigests,
    pool: BufferPool,
    rate: RateLimit,
    attempts: Attempts,
    options: TransferOptions,
    link: Link,
}

impl Comparer {
    async fn run(self: Arc<Self>, geometry: ChunkGeometry, table: &SharedTable) -> Result<Found, CopyError> {
        let mut chunks = geometry.chunks();
        let mut under_way = JoinSet::new();
        let mut found = Found::default();
        let mut ended = false;
        loop {
            while !ended && under_way.len() < self.concurrency {
                match chunks.next().filter(|_| !self.link.stop.is_stopping()) {
                    None => ended = true,
                    Some((index, range)) => {
                        let (content, unreadable) = table.with(|table| {
                            let content = table.get(index)?.landed.map(|(content, ..)| content);
                            Ok((content, table.unreadable_of(index).to_vec()))
                        })?;
                        under_way.spawn(self.clone().compare(Place { index, range }, content, unreadable));
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.link.stop.aborting() => {
                    under_way.shutdown().await;
                    return Ok(found);
                }
                compared = under_way.join_next() => match compared {
                    None => return Ok(found),
                    Some(Ok(one)) => {
                        let one = one?;
                        found.differences.extend(one.differences);
                        found.unreadable.extend(one.unreadable);
                    }
                    Some(Err(_)) => return Err(CopyError::Internal("a comparison")),
                },
            }
        }
    }

    async fn compare(
        self: Arc<Self>,
        place: Place,
        expected: Option<ChunkContent>,
        unreadable: Vec<ByteRange>,
    ) -> Result<Found, CopyError> {
        let range = place.range;
        let differs = |range, reason| Found::one(Difference { side: self.side.name(), range, reason });
        if range.end() > self.size {
            // A chunk that is cut cannot be compared: all of it counts as missing.
            return Ok(differs(range, DifferenceReason::Missing));
        }
        tokio::select! {
            () = self.link.stop.stopping() => return Ok(Found::default()),
            () = self.rate.wait(range.length) => {}
        }
        let buffer = self.pool.take().await;
        let mut left_out = Vec::new();
        let content = match &self.side {
            Side::Blob { blob, version } => {
                let buffer = self.fetch(&**blob, version, range, buffer).await?;
                self.hash(buffer, range).await?
            }
            Side::Drive(drive) => match self.read(drive.clone(), buffer, range, unreadable).await {
                Ok((buffer, unread)) => {
                    left_out = unread;
                    self.hash(buffer, range).await?
                }
                Err(error) if error.is_unreadable() => return Ok(differs(range, DifferenceReason::Unreadable)),
                Err(error) => return Err(error.into()),
            },
        };
        self.link.counters.add_to_part(range.length - left_out.iter().map(|range| range.length).sum::<u64>());
        let zero = || ChunkContent::Data(self.zeros.of(range.length));
        let is_equal = expected == Some(content) || content == ChunkContent::Zero && expected == Some(zero());
        let equal = Found { differences: Vec::new(), unreadable: left_out };
        Ok(if is_equal { equal } else { differs(range, DifferenceReason::Content) })
    }

    async fn fetch(
        &self,
        blob: &dyn Blob,
        version: &str,
        range: ByteRange,
        buffer: PooledBuffer,
    ) -> Result<PooledBuffer, CopyError> {
        let buffer = FetchBuffer::new(buffer);
        let fetched = self.attempts.run_self_timed(|| async {
            let fetch = Fetch { blob, version, checked: false, silence_max: self.options.request_timeout };
            fetch.fill(range, &buffer).await
        });
        fetched.await?;
        buffer.take().await.ok_or(CopyError::Internal("a buffer"))
    }

    /// Reads on a thread of its own, so that a drive that hangs is an error and not the end of us. Where the
    /// chunk cannot be read whole, what the manifest says could not be read then is left out, and given back: its
    /// filling is what the digest is of.
    async fn read(
        &self,
        drive: Arc<dyn Drive>,
        mut buffer: PooledBuffer,
        range: ByteRange,
        unreadable: Vec<ByteRange>,
    ) -> Result<(PooledBuffer, Vec<ByteRange>), DriveError> {
        let fill = self.fill;
        let path = drive.identity().path.clone().into();
        let seconds = self.options.read_timeout.as_secs();
        let reading = tokio::task::spawn_blocking(move || match read_sectors(&*drive, &mut buffer, range) {
            Ok(()) => Ok((buffer, Vec::new())),
            Err(error) if error.is_unreadable() && are_sectors(&unreadable, drive.sector_size_bytes()) => {
                read_around(&*drive, &mut buffer, range, &unreadable, fill)?;
                Ok((buffer, unreadable))
            }
            Err(error) => Err(error),
        });
        let limit = self.options.read_timeout.max(WATCHDOG_BEAT) + slowest_read(range.length);
        match tokio::time::timeout(limit, reading).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(DriveError::TimedOut { path, range, seconds }),
        }
    }

    async fn hash(&self, buffer: PooledBuffer, range: ByteRange) -> Result<ChunkContent, CopyError> {
        let (counters, station) = (self.link.counters.clone(), self.options.station.clone());
        let hashed = tokio::task::spawn_blocking(move || {
            let bytes = &buffer[..range.length as usize];
            let work = || if is_zero(bytes) { ChunkContent::Zero } else { ChunkContent::Data(Sha256Digest::of(bytes)) };
            hashing(station.as_deref(), || counters.hash_time.time(work))
        });
        hashed.await.map_err(|_| CopyError::Internal("a hashing thread"))
    }
}

/// Whether ranges can be left out by a drive with such sectors.
fn are_sectors(ranges: &[ByteRange], sector_bytes: u64) -> bool {
    !ranges.is_empty()
        && ranges.iter().all(|range| range.offset.is_multiple_of(sector_bytes) && range.length.is_multiple_of(sector_bytes))
}

/// Reads a range but for the parts that a manifest says are filling.
fn read_around(
    drive: &dyn Drive,
    buffer: &mut [u8],
    range: ByteRange,
    unreadable: &[ByteRange],
    fill: Fill,
) -> Result<(), DriveError> {
    let mut next = range.offset;
    for bad in unreadable.iter().chain([&ByteRange::new(range.end(), 0)]) {
        let good = ByteRange::new(next, bad.offset - next);
        if good.length > 0 {
            read_sectors(drive, &mut buffer[(next - range.offset) as usize..], good)?;
        }
        fill.fill(&mut buffer[(bad.offset - range.offset) as usize..(bad.end() - range.offset) as usize], bad.offset);
        next = bad.end();
    }
    Ok(())
}

/// Reads a range into the start of `buffer`, up to the end of its last sector where the drive goes on
/// behind it: direct reads are of whole sectors.
pub(crate) fn read_sectors(drive: &dyn Drive, buffer: &mut [u8], range: ByteRange) -> Result<(), DriveError> {
    let whole = range.length.next_multiple_of(drive.sector_size_bytes()).min(drive.size_bytes() - range.offset);
    let piece_bytes = drive.preferred_read_bytes();
    for (number, piece) in buffer[..whole as usize].chunks_mut(piece_bytes).enumerate() {
        drive.read_at(piece, range.offset + (number * piece_bytes) as u64)?;
    }
    Ok(())
}
