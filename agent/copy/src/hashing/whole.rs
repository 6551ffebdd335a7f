//! The plain SHA-256 of the whole, as `sha256sum` prints it, and the checksum that a blob states: one hash in drive order, so one
//! thread.
//!
//! Pieces that came too early wait in the buffers of their pool, so they are back-pressure as everything else. Each
//! stage takes a buffer before it takes a chunk: the earliest chunk under way always has one, and comes.

use std::collections::BTreeMap;
use std::time::Duration;

use blob::{RunningChecksum, StatedChecksum};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use protocol::digest::Sha256Digest;
use protocol::units::{ChunkGeometry, ChunkIndex};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::call::stop::Stop;
use crate::chunk::{Body, Place};
use crate::error::{CopyError, Stage};
use crate::flow::pool::PooledBytes;
use crate::flow::threads;

/// A chunk on its way to the whole-drive hash.
pub(crate) struct StreamPiece {
    pub(crate) place: Place,
    pub(crate) body: Body,
}

/// Pieces on their way to the hash. Few, so that after a stop little is left to hash.
const PIECES_WAITING_MAX: usize = 64;

/// How often a hash that waits looks whether it was abandoned.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Where pieces go to the hash: it takes them as long as there are any, so it is closed only where the hash panicked.
#[derive(Clone)]
pub(crate) struct PieceSender(Sender<StreamPiece>);

impl PieceSender {
    /// Hands a piece to the hash from a thread, which waits for room.
    pub(crate) fn send(&self, piece: StreamPiece) -> Result<(), CopyError> {
        self.0.send(piece).map_err(|_| hash_ended())
    }

    /// The same from a task, which must not block.
    pub(crate) async fn send_from_task(&self, piece: StreamPiece) -> Result<(), CopyError> {
        match self.0.try_send(piece) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(piece)) => {
                let output = self.clone();
                let sending = tokio::task::spawn_blocking(move || output.send(piece));
                sending.await.unwrap_or_else(|error| Err(CopyError::of_task(Stage::WholeHash, error)))
            }
            Err(TrySendError::Disconnected(_)) => Err(hash_ended()),
        }
    }
}

fn hash_ended() -> CopyError {
    CopyError::StageEnded { stage: Stage::WholeHash, panic: None }
}

/// Which hashes of the whole are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) sha256: bool,
    /// What is held against the checksum of the same kind.
    pub(crate) stated: Option<StatedChecksum>,
}

/// The hashes of the whole that were wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WholeDigests {
    pub(crate) sha256: Option<Sha256Digest>,
    /// Of the kind that is stated.
    pub(crate) computed: Option<StatedChecksum>,
}

/// The hashes under way.
struct WholeHasher {
    sha256: Option<Sha256>,
    of_stated: Option<RunningChecksum>,
}

impl WholeHasher {
    fn new(wanted: Wanted) -> Self {
        WholeHasher { sha256: wanted.sha256.then(Sha256::new), of_stated: wanted.stated.map(StatedChecksum::running) }
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.sha256 {
            hasher.update(bytes);
        }
        if let Some(running) = &mut self.of_stated {
            running.update(bytes);
        }
    }

    fn finish(self) -> WholeDigests {
        let sha256 = self.sha256.map(|hasher| Sha256Digest(hasher.finalize().into()));
        WholeDigests { sha256, computed: self.of_stated.map(RunningChecksum::finish) }
    }
}

/// The two ends of a whole-drive hash under way.
type Ends = (Option<PieceSender>, Option<oneshot::Receiver<Option<WholeDigests>>>);

/// Starts the hash where it is wanted. It needs the chunks in their order, or nearly so: where `is_abandoned`
/// says that they come in another one, it lets go of all that it holds, and gives nothing.
pub(crate) fn spawn(
    wanted: Wanted,
    geometry: ChunkGeometry,
    is_abandoned: impl Fn() -> bool + Send + 'static,
) -> Result<Ends, CopyError> {
    if wanted == Wanted::default() {
        return Ok((None, None));
    }
    let (output, input) = bounded(PIECES_WAITING_MAX);
    let (ended, end) = oneshot::channel();
    threads::spawn_once(Stage::WholeHash, move || {
        let digest = run(&input, geometry, wanted, || is_abandoned() || ended.is_closed());
        let _ = ended.send(digest);
    })?;
    Ok((Some(PieceSender(output)), Some(end)))
}

/// Puts chunks in order and hashes them; `None` where not all came.
fn run(
    input: &Receiver<StreamPiece>,
    geometry: ChunkGeometry,
    wanted: Wanted,
    is_abandoned: impl Fn() -> bool,
) -> Option<WholeDigests> {
    let zeros = vec![0; 1 << 20];
    let mut hasher = WholeHasher::new(wanted);
    let mut early = EarlyPieces::default();
    let mut next = ChunkIndex(0);
    while let Some(range) = geometry.range(next) {
        if is_abandoned() {
            drop(early);
            input.iter().for_each(drop);
            return None;
        }
        match early.take(next.0) {
            Some(body) => {
                match body {
                    Body::Bytes(bytes) => hasher.update(&bytes),
                    Body::Hole => update_zeros(&mut hasher, &zeros, range.length),
                }
                next.0 += 1;
            }
            None => match input.recv_timeout(LOOK_INTERVAL) {
                Ok(piece) => early.add(piece),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            },
        }
    }
    Some(hasher.finish())
}

/// Pieces that came before their turn, by the index of their chunk. Holes are kept as runs: they have no buffers that
/// would bound their number, and a drive may have millions of them.
#[derive(Default)]
struct EarlyPieces {
    pieces: BTreeMap<u64, Early>,
}

enum Early {
    Bytes(PooledBytes),
    /// So many chunks in a row.
    Holes(u64),
}

impl EarlyPieces {
    fn add(&mut self, piece: StreamPiece) {
        let index = piece.place.index.0;
        match piece.body {
            Body::Bytes(bytes) => drop(self.pieces.insert(index, Early::Bytes(bytes))),
            Body::Hole => self.add_hole(index),
        }
    }

    fn add_hole(&mut self, index: u64) {
        let behind = match self.pieces.get(&(index + 1)) {
            Some(Early::Holes(count)) => {
                let count = *count;
                self.pieces.remove(&(index + 1));
                count
            }
            _ => 0,
        };
        match self.pieces.range_mut(..index).next_back() {
            Some((start, Early::Holes(count))) if start + *count == index => *count += 1 + behind,
            _ => drop(self.pieces.insert(index, Early::Holes(1 + behind))),
        }
    }

    /// The piece of the chunk `index`, before which there is none any more.
    fn take(&mut self, index: u64) -> Option<Body> {
        match self.pieces.remove(&index)? {
            Early::Bytes(bytes) => Some(Body::Bytes(bytes)),
            Early::Holes(count) => {
                if count > 1 {
                    self.pieces.insert(index + 1, Early::Holes(count - 1));
                }
                Some(Body::Hole)
            }
        }
    }
}

fn update_zeros(hasher: &mut WholeHasher, zeros: &[u8], length: u64) {
    let mut left = length;
    while left > 0 {
        let step = left.min(zeros.len() as u64);
        hasher.update(&zeros[..step as usize]);
        left -= step;
    }
}

/// The hashes, when they end before a stop is asked for.
pub(crate) async fn result(end: Option<oneshot::Receiver<Option<WholeDigests>>>, stop: &Stop) -> WholeDigests {
    let Some(end) = end else { return WholeDigests::default() };
    let digests = tokio::select! {
        biased;
        digests = end => digests.ok().flatten(),
        () = stop.stopping() => None,
    };
    digests.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_in_any_order_give_the_hash_of_the_whole(
            order in Just((0..40_u64).collect::<Vec<_>>()).prop_shuffle(),
            holes in prop::collection::vec(any::<bool>(), 40),
        ) {
            let geometry = ChunkGeometry::new(39 * 512 + 100, 512).unwrap();
            let mut whole = vec![0; 39 * 512 + 100];
            let (output, input) = crossbeam_channel::unbounded();
            for index in order {
                let range = geometry.range(ChunkIndex(index)).unwrap();
                let bytes = vec![index as u8 + 1; range.length as usize];
                let body = if holes[index as usize] {
                    Body::Hole
                } else {
                    whole[range.offset as usize..range.end() as usize].copy_from_slice(&bytes);
                    Body::Bytes(Bytes::from(bytes).into())
                };
                output.send(StreamPiece { place: Place { index: ChunkIndex(index), range }, body }).unwrap();
            }
            drop(output);
            let stated = Some(StatedChecksum::Md5(blob::checksum::md5(&whole)));
            let expected = WholeDigests { sha256: Some(Sha256Digest::of(&whole)), computed: stated };
            prop_assert_eq!(run(&input, geometry, Wanted { sha256: true, stated }, || false), Some(expected));
        }
    }

    #[test]
    fn early_holes_are_kept_as_runs_and_a_missing_piece_gives_no_hash() {
        let geometry = ChunkGeometry::new(100_000 * 512, 512).unwrap();
        let mut early = EarlyPieces::default();
        let (output, input) = crossbeam_channel::unbounded();
        for (index, range) in geometry.chunks().filter(|(index, _)| index.0 != 50_000) {
            early.add(StreamPiece { place: Place { index, range }, body: Body::Hole });
            output.send(StreamPiece { place: Place { index, range }, body: Body::Hole }).unwrap();
        }
        drop(output);
        assert_eq!(early.pieces.len(), 2);
        assert_eq!(run(&input, geometry, Wanted { sha256: true, stated: None }, || false), None);
    }
}
