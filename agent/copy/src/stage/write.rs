//! [`FetchedChunk`] → [`CheckedChunk`] → [`LandedChunk`]: hashed, compared with the manifest where
//! there is one, written to the drive. Zeros are skipped only where the drive is known to be zero.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use drive::zero::is_zero;
use drive::{AlignedBuffer, Drive, TargetContent};
use protocol::digest::Sha256Digest;
use protocol::manifest::{ChunkContent, ChunkState};
use protocol::units::ByteRange;
use tokio::sync::mpsc;

use crate::call::counters::Counters;
use crate::call::stop::Stop;
use crate::chunk::{Body, CheckedChunk, FetchedChunk, Held, LandedChunk, Place};
use crate::error::CopyError;
use crate::flow::pool::{FilledBuffer, PooledBytes};
use crate::flow::watchdog::CallWatch;
use crate::hashing::ZeroDigests;
use crate::hashing::hash_pool::{HasBody, HashPool};
use crate::hashing::whole::{PieceSender, StreamPiece};
use crate::limits::WRITE_PIECE_BYTES;
use crate::record::table::SharedTable;

/// What all checking and writing threads of an export share.
pub(crate) struct WriteStage {
    pub(crate) drive: Arc<dyn Drive>,
    /// What the manifest says, where there is one.
    pub(crate) expected: Option<SharedTable>,
    pub(crate) zeros: ZeroDigests,
    pub(crate) table: SharedTable,
    pub(crate) hash_pool: HashPool<FetchedChunk>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: Stop,
    pub(crate) stream: Option<PieceSender>,
    /// Fetches a chunk once more: a digest that does not fit may be the network's fault.
    pub(crate) fetch_again: FetchAgain,
}

/// Fetches one chunk once more, into its buffer, while the calling thread waits.
pub(crate) type FetchAgain = Box<dyn Fn(Place, FilledBuffer) -> Result<FilledBuffer, CopyError> + Send + Sync>;

impl HasBody for FetchedChunk {
    fn body(&self) -> Option<&[u8]> {
        self.buffer.as_deref()
    }
}

impl WriteStage {
    /// Hashes and compares chunk after chunk until no more come.
    pub(crate) fn run_check(&self, output: &Sender<CheckedChunk>) -> Result<(), CopyError> {
        let check = |chunk, digest: Option<_>| {
            let content = digest.map_or(ChunkContent::Zero, ChunkContent::Data);
            match self.check(chunk, content) {
                Ok(checked) => Ok(output.send(checked).is_ok()),
                // It was to be fetched once more, and a stop came first: it never arrived.
                Err(CopyError::Cancelled) => Ok(true),
                Err(error) => Err(error),
            }
        };
        self.hash_pool.run(|_| Ok(true), check)
    }

    fn check(&self, chunk: FetchedChunk, mut content: ChunkContent) -> Result<CheckedChunk, CopyError> {
        let FetchedChunk { place, mut buffer, attempts, slot } = chunk;
        if !self.is_expected(place, &content)? {
            let Some(filled) = buffer else { return Err(differs(place)) };
            let filled = (self.fetch_again)(place, filled)?;
            content = self
                .hash_pool
                .timed(|| if is_zero(&filled) { ChunkContent::Zero } else { ChunkContent::Data(Sha256Digest::of(&filled)) });
            buffer = Some(filled);
            if !self.is_expected(place, &content)? {
                return Err(differs(place));
            }
        }
        let bytes = buffer.filter(|_| content != ChunkContent::Zero).map(FilledBuffer::freeze);
        if let Some(stream) = &self.stream {
            let body = bytes.clone().map_or(Body::Hole, Body::Bytes);
            stream.send(StreamPiece { place, body })?;
        }
        Ok(CheckedChunk { place, bytes, content, attempts, slot })
    }

    fn is_expected(&self, place: Place, content: &ChunkContent) -> Result<bool, CopyError> {
        let Some(expected) = &self.expected else { return Ok(true) };
        let says = expected.get(place.index)?.landed.map(|(content, ..)| content);
        Ok(says.is_some_and(|says| self.zeros.agree(says, *content, place.range.length)))
    }

    /// Writes chunk after chunk until no more come. After an abort nothing new is written.
    pub(crate) fn run_write(
        &self,
        watch: &CallWatch,
        input: &Receiver<CheckedChunk>,
        output: &mpsc::Sender<LandedChunk>,
    ) -> Result<(), CopyError> {
        for chunk in input {
            if self.stop.is_aborting() {
                break;
            }
            self.table.with(|table| table.set_unknown(chunk.place.index))?;
            let landed = self.counters.write_time.time(|| self.write(watch, chunk))?;
            if output.blocking_send(landed).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, watch: &CallWatch, chunk: CheckedChunk) -> Result<LandedChunk, CopyError> {
        let CheckedChunk { place, bytes, content, attempts, slot } = chunk;
        let state = match &bytes {
            Some(bytes) => {
                self.write_bytes(watch, bytes, place.range.offset)?;
                ChunkState::Sent
            }
            None => {
                if self.drive.target_content() == TargetContent::Unknown {
                    self.zero(watch, place.range)?;
                }
                ChunkState::Zero
            }
        };
        let held = Held { _share: bytes.and_then(PooledBytes::into_share), _slot: Some(slot) };
        Ok(LandedChunk::now(place, content, state, attempts, Vec::new(), held))
    }

    /// Writes whole sectors; the tail of a blob whose size is odd is padded with what the rest of the
    /// drive will be: zeros.
    fn write_bytes(&self, watch: &CallWatch, bytes: &[u8], offset: u64) -> Result<(), CopyError> {
        let padded = self.padded_length(bytes.len() as u64, offset);
        let is_odd = padded != bytes.len() as u64;
        let whole = if is_odd { bytes.len() / self.sector() * self.sector() } else { bytes.len() };
        for (number, piece) in bytes[..whole].chunks(WRITE_PIECE_BYTES).enumerate() {
            let range = ByteRange::new(offset + (number * WRITE_PIECE_BYTES) as u64, piece.len() as u64);
            watch.during(range, || self.drive.write_at(piece, range.offset))?;
        }
        if is_odd {
            let mut sector = AlignedBuffer::new(self.sector())?;
            sector[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            // An image may end within the sector: it keeps its size.
            let range = ByteRange::new(offset + whole as u64, padded - whole as u64);
            watch.during(range, || self.drive.write_at(&sector[..range.length as usize], range.offset))?;
        }
        Ok(())
    }

    fn zero(&self, watch: &CallWatch, range: ByteRange) -> Result<(), CopyError> {
        let end = range.offset + self.padded_length(range.length, range.offset);
        let mut offset = range.offset;
        while offset < end {
            let piece = ByteRange::new(offset, (end - offset).min(WRITE_PIECE_BYTES as u64));
            watch.during(piece, || self.drive.zero_range(piece))?;
            offset = piece.end();
        }
        Ok(())
    }

    fn sector(&self) -> usize {
        self.drive.sector_size_bytes() as usize
    }

    /// The length up to the next sector, where the drive continues behind it.
    fn padded_length(&self, length: u64, offset: u64) -> u64 {
        length.next_multiple_of(self.drive.sector_size_bytes()).min(self.drive.size_bytes() - offset)
    }
}

fn differs(place: Place) -> CopyError {
    let range = place.range;
    CopyError::Mismatch(format!(
        "the blob differs from its manifest at {range} (offset+length in bytes), and nothing of that range was written: name all differences with `drive-agent verify`, or remove the manifest if the blob was replaced on purpose"
    ))
}
