//! One side against the manifest, chunk by chunk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use blob::Blob;
use drive::{Drive, DriveError};
use protocol::digest::Sha256Digest;
use protocol::fill::Fill;
use protocol::manifest::ChunkContent;
use protocol::result::{Difference, DifferenceReason};
use protocol::units::{ByteRange, ChunkGeometry, ChunkIndex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::chunk::{Body, Place};
use crate::error::{CopyError, Stage};
use crate::flow::attempts::Attempts;
use crate::flow::pool::{BufferPool, FilledBuffer, PooledBuffer};
use crate::flow::rate::RateLimit;
use crate::hashing::ZeroDigests;
use crate::hashing::whole::{PieceSender, StreamPiece};
use crate::limits::{WATCHDOG_INTERVAL, slowest_read};
use crate::source::blob_range::Fetch;
use crate::source::holes::{Holes, Source};
use crate::source::sectors::{are_sectors, read_around, read_sectors};
use crate::verify::hashes::Hashes;
use crate::verify::side::{Expected, Scope, Side};

/// What a comparison found.
#[derive(Default)]
pub(crate) struct Compared {
    pub(crate) differences: Vec<Difference>,
    /// What the drive could not read then and cannot read now.
    pub(crate) unreadable: Vec<ByteRange>,
    /// The SHA-256 of the whole side, where it was wanted and all of it was read.
    pub(crate) stream_sha256: Option<Sha256Digest>,
}

impl Compared {
    fn add(&mut self, other: Compared) {
        self.differences.extend(other.differences);
        self.unreadable.extend(other.unreadable);
    }
}

/// The SHA-256 of the whole side on its way: chunks go to it in about the order of the drive.
pub(super) struct WholeSide {
    pub(super) pieces: PieceSender,
    /// A chunk cannot be read: there will be no hash, and what waits for its turn must not keep its buffers.
    pub(super) is_broken: Arc<AtomicBool>,
}

/// Compares the chunks of one side.
pub(super) struct Comparer {
    pub(super) side: Side,
    pub(super) size: u64,
    pub(super) fill: Fill,
    /// Permits to read, for as many at once as serve the side well.
    pub(super) reads: Arc<Semaphore>,
    pub(super) hashes: Hashes,
    pub(super) zeros: ZeroDigests,
    pub(super) whole: Option<WholeSide>,
    pub(super) pool: BufferPool,
    pub(super) rate: RateLimit,
    pub(super) attempts: Attempts,
    pub(super) options: TransferOptions,
    pub(super) handle: TransferHandle,
}

/// A chunk, with what the manifest says of it.
struct Planned {
    place: Place,
    /// The part of it outside of which all is known to be zeros.
    data: ByteRange,
    expected: Option<ChunkContent>,
    unreadable: Vec<ByteRange>,
}

/// What a chunk needs to be read.
struct Room {
    reading: Option<OwnedSemaphorePermit>,
    buffer: PooledBuffer,
}

impl Comparer {
    /// Compares chunk after chunk, until there are no more or a stop is asked for.
    pub(super) async fn run(self: Arc<Self>, geometry: ChunkGeometry, expected: Expected<'_>) -> Result<Compared, CopyError> {
        let mut chunks = geometry.chunks();
        let mut under_way = JoinSet::new();
        let mut found = Compared::default();
        let mut ended = false;
        let mut holes = self.holes();
        while !(ended && under_way.is_empty()) {
            tokio::select! {
                biased;
                () = self.handle.stop.aborting() => {
                    under_way.shutdown().await;
                    return Ok(found);
                }
                Some(compared) = under_way.join_next() => {
                    found.add(compared.unwrap_or_else(|error| Err(CopyError::of_task(Stage::Compare, error)))?);
                }
                room = self.room(), if !ended => match self.next_with_data(&mut chunks, expected, &mut holes, &mut found).await? {
                    Some(planned) => {
                        under_way.spawn(self.clone().compare(planned, room?));
                    }
                    None => ended = true,
                },
            }
        }
        Ok(found)
    }

    /// The next chunk that is not a hole; the holes before it are compared without being read. `None` when there is none, or
    /// none is to be begun any more.
    async fn next_with_data(
        &self,
        chunks: &mut impl Iterator<Item = (ChunkIndex, ByteRange)>,
        expected: Expected<'_>,
        holes: &mut Option<Holes>,
        found: &mut Compared,
    ) -> Result<Option<Planned>, CopyError> {
        while let Some((index, range)) = chunks.next().filter(|_| !self.handle.stop.is_stopping()) {
            let planned = expected.table.with(|table| {
                let content = table.get(index)?.landed.map(|(content, ..)| content);
                let unreadable = table.unreadable_of(index).to_vec();
                Ok(Planned { place: Place { index, range }, data: range, expected: content, unreadable })
            })?;
            let is_wanted = match expected.scope {
                Scope::All => true,
                Scope::Landed => planned.expected.is_some(),
                Scope::Only(places) => places.contains(&index),
            };
            if !is_wanted {
                continue;
            }
            match self.data_in(range, holes).await {
                Some(data) => return Ok(Some(Planned { data, ..planned })),
                None if self.is_equal(range, planned.expected, ChunkContent::Zero) => {
                    self.add_to_whole(planned.place, Body::Hole).await?;
                    found.add(self.judge(range, planned.expected, ChunkContent::Zero, Vec::new()));
                }
                // Only what was read is said to differ.
                None => return Ok(Some(planned)),
            }
        }
        Ok(None)
    }

    /// The part of a range outside of which all is zeros; `None` where it is a hole.
    async fn data_in(&self, range: ByteRange, holes: &mut Option<Holes>) -> Option<ByteRange> {
        let sparse_bytes = match &self.side {
            Side::Blob { blob, sparse_bytes, .. } if blob.local().is_none() => *sparse_bytes,
            _ => self.size,
        };
        match holes {
            Some(holes) if range.end() <= self.size.min(sparse_bytes) => holes.data_in(range).await,
            _ => Some(range),
        }
    }

    /// The holes of the side, where it may have some.
    fn holes(&self) -> Option<Holes> {
        let stop = self.handle.stop.clone();
        let (source, timeout) = match &self.side {
            Side::Drive(drive) => (Source::Drive(drive.clone()), self.options.read_timeout),
            Side::Blob { blob, version, sparse_bytes } => match blob.local() {
                Some(local) => (Source::Blob(local, version.clone()), self.options.request_timeout),
                None if *sparse_bytes == 0 => return None,
                None => return Some(Holes::at_store(blob.clone(), version.clone(), self.attempts.clone(), stop)),
            },
        };
        Some(Holes::new(source, timeout, stop))
    }

    /// Waits for what a chunk needs, before there is one: so they are begun in the order of the drive.
    async fn room(&self) -> Result<Room, CopyError> {
        // It is never closed.
        let reading = self.reads.clone().acquire_owned().await.ok();
        Ok(Room { reading, buffer: self.pool.take().await? })
    }

    async fn compare(self: Arc<Self>, planned: Planned, Room { reading, buffer }: Room) -> Result<Compared, CopyError> {
        let Planned { place, data, expected, unreadable } = planned;
        let range = place.range;
        if range.end() > self.size {
            // A chunk that is cut cannot be compared: all of it counts as missing.
            return Ok(self.not_read(range, DifferenceReason::Missing));
        }
        if self.handle.stop.or_stopping(self.rate.wait(data.length)).await.is_none() {
            self.break_whole();
            return Ok(Compared::default());
        }
        let (buffer, left_out) = match &self.side {
            Side::Blob { blob, version, .. } => {
                (self.fetch(&**blob, version).fill_sparse(range, data, buffer).await?.buffer, Vec::new())
            }
            Side::Drive(drive) => match self.read(drive.clone(), buffer, range, unreadable).await {
                Ok(read) => read,
                Err(CopyError::Drive(error)) if error.is_unreadable() => {
                    return Ok(self.not_read(range, DifferenceReason::Unreadable));
                }
                Err(error) => return Err(error),
            },
        };
        drop(reading);
        let (mut filled, mut content) = self.hashes.content(FilledBuffer::new(buffer, range.length as usize)).await?;
        if let Side::Blob { blob, version, .. } = &self.side
            && !self.is_equal(range, expected, content)
        {
            let again = self.fetch(&**blob, version).fill_again(range, filled).await?;
            (filled, content) = self.hashes.content(again).await?;
        }
        self.add_to_whole(place, Body::Bytes(filled.freeze())).await?;
        Ok(self.judge(range, expected, content, left_out))
    }

    async fn add_to_whole(&self, place: Place, body: Body) -> Result<(), CopyError> {
        match &self.whole {
            Some(whole) => whole.pieces.send_from_task(StreamPiece { place, body }).await,
            None => Ok(()),
        }
    }

    /// A chunk whose bytes cannot be read.
    fn not_read(&self, range: ByteRange, reason: DifferenceReason) -> Compared {
        self.break_whole();
        self.differs(range, reason)
    }

    fn break_whole(&self) {
        if let Some(whole) = &self.whole {
            whole.is_broken.store(true, Ordering::Relaxed);
        }
    }

    /// Holds what a chunk is against what it should be; parts of it may have been left out.
    fn judge(
        &self,
        range: ByteRange,
        expected: Option<ChunkContent>,
        content: ChunkContent,
        left_out: Vec<ByteRange>,
    ) -> Compared {
        self.handle.counters.add_to_part(range.length - left_out.iter().map(|range| range.length).sum::<u64>());
        match self.is_equal(range, expected, content) {
            true => Compared { unreadable: left_out, ..Compared::default() },
            false => self.differs(range, DifferenceReason::Content),
        }
    }

    fn is_equal(&self, range: ByteRange, expected: Option<ChunkContent>, content: ChunkContent) -> bool {
        expected.is_some_and(|expected| self.zeros.agree(expected, content, range.length))
    }

    fn differs(&self, range: ByteRange, reason: DifferenceReason) -> Compared {
        Compared { differences: vec![Difference { side: self.side.name(), range, reason }], ..Compared::default() }
    }

    fn fetch<'blob>(&'blob self, blob: &'blob dyn Blob, version: &'blob str) -> Fetch<'blob> {
        Fetch { blob, version, checked: false, silence_max: self.options.request_timeout, attempts: &self.attempts }
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
    ) -> Result<(PooledBuffer, Vec<ByteRange>), CopyError> {
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
        let limit = self.options.read_timeout.max(WATCHDOG_INTERVAL) + slowest_read(range.length);
        match tokio::time::timeout(limit, reading).await {
            Ok(Ok(read)) => Ok(read?),
            Ok(Err(error)) => Err(CopyError::of_task(Stage::Read, error)),
            Err(_) => Err(DriveError::TimedOut { path, range, seconds }.into()),
        }
    }
}
