//! The plain SHA-256 of the whole, as `sha256sum` prints it: one hash in drive order, so one thread.

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use protocol::digest::Sha256Digest;
use protocol::units::ChunkGeometry;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::chunk::{Body, Place};
use crate::error::CopyError;
use crate::stop::Stop;
use crate::threads;

/// A chunk on its way to the whole-drive hash.
pub(crate) struct StreamPiece {
    pub(crate) place: Place,
    pub(crate) body: Body,
}

/// Pieces on their way to the hash. Few, so that after a stop little is left to hash.
const PIECES_WAITING_MAX: usize = 64;

/// How often a hash that waits looks whether it was abandoned.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The two ends of a whole-drive hash under way.
type Ends = (Option<Sender<StreamPiece>>, Option<oneshot::Receiver<Option<Sha256Digest>>>);

/// Starts the hash where it is wanted. It needs the chunks in their order, or nearly so: where `is_abandoned`
/// says that they come in another one, it lets go of all that it holds, and gives nothing.
pub(crate) fn spawn(
    is_wanted: bool,
    geometry: ChunkGeometry,
    is_abandoned: impl Fn() -> bool + Send + 'static,
) -> Result<Ends, CopyError> {
    if !is_wanted {
        return Ok((None, None));
    }
    let (output, input) = bounded(PIECES_WAITING_MAX);
    let (ended, end) = oneshot::channel();
    threads::spawn_once("whole-drive hash", move || {
        let _ = ended.send(run(&input, geometry, is_abandoned));
    })?;
    Ok((Some(output), Some(end)))
}

/// Puts chunks in order and hashes them; `None` where not all came.
fn run(input: &Receiver<StreamPiece>, geometry: ChunkGeometry, is_abandoned: impl Fn() -> bool) -> Option<Sha256Digest> {
    let zeros = vec![0; 1 << 20];
    let mut hasher = Sha256::new();
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    loop {
        let piece = match input.recv_timeout(LOOK_INTERVAL) {
            Ok(piece) => Some(piece),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if is_abandoned() {
            drop((piece, waiting));
            input.iter().for_each(drop);
            return None;
        }
        let Some(piece) = piece else { continue };
        waiting.insert(piece.place.index.0, piece);
        while let Some(piece) = waiting.remove(&next) {
            match piece.body {
                Body::Bytes(bytes) => hasher.update(&*bytes),
                Body::Hole => update_zeros(&mut hasher, &zeros, piece.place.range.length),
            }
            next += 1;
        }
    }
    (next == geometry.chunk_count()).then(|| Sha256Digest(hasher.finalize().into()))
}

fn update_zeros(hasher: &mut Sha256, zeros: &[u8], length: u64) {
    let mut left = length;
    while left > 0 {
        let step = left.min(zeros.len() as u64);
        hasher.update(&zeros[..step as usize]);
        left -= step;
    }
}

/// The hash, when it ends before a stop is asked for.
pub(crate) async fn result(end: Option<oneshot::Receiver<Option<Sha256Digest>>>, stop: &Stop) -> Option<Sha256Digest> {
    let end = end?;
    tokio::select! {
        biased;
        digest = end => digest.ok().flatten(),
        () = stop.stopping() => None,
    }
}
