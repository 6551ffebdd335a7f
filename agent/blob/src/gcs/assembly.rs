//! Pieces of an object at the store: sending them, and composing them until few enough are left to become the object.
//!
//! Everything here is named by its content, and made only where nothing has its name: what an earlier try made, whose answer
//! was lost or whose process ended, is found and compared, and not made again.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use file::crash;
use futures::{FutureExt, StreamExt};
use protocol::digest::Sha256Digest;

use super::bucket::HeaderList;
use super::crc32c::Crc32c;
use super::error::GcsFailure;
use super::object::GcsBlob;
use super::requests::{Condition, Stored};
use super::staging::{PieceName, Staging};
use super::tree::Piece;
use crate::contract::Blob;
use crate::error::{BlobError, BlobErrorKind};
use crate::gathered::gathered;

/// Compositions that are asked for at once.
const AT_ONCE: usize = 16;

/// The pieces of one object that a transfer makes.
pub(super) struct Assembly {
    pub(super) blob: GcsBlob,
    pub(super) staging: Staging,
    /// What was composed, or found, and compared.
    composed: Mutex<HashSet<PieceName>>,
}

impl Assembly {
    pub(super) fn new(blob: GcsBlob, transfer_id: &str) -> Self {
        let staging = blob.names(blob.name(), transfer_id);
        Assembly { blob, staging, composed: Mutex::default() }
    }

    /// Sends a piece.
    pub(super) async fn send(&self, bytes: Bytes, digest: Sha256Digest) -> Result<Piece, BlobError> {
        let piece = Piece { name: PieceName::Sent(digest), bytes: bytes.len() as u64, checksum: Crc32c::of(&bytes) };
        let name = self.staging.piece(piece.name);
        let put = |condition| {
            let bytes = bytes.clone();
            let name = &name;
            async move { self.blob.bucket.put(name, bytes, piece.checksum, Vec::new(), &condition).await }
        };
        let sent = match put(Condition::Nothing).await {
            Err(failure) if failure.kind() == BlobErrorKind::Changed => match self.found(&name, piece).await? {
                Found::AsItShouldBe => return Ok(piece),
                // Of an earlier try, and damaged since: nothing else uses this name.
                Found::Other(version) => put(Condition::Version(version)).await,
                Found::Nothing => return Err(self.vanished("send a chunk of")),
            },
            other => other,
        };
        let stored = sent.map_err(|failure| self.failed("send a chunk of", failure))?;
        match stored.checksum {
            Some(found) if found != piece.checksum => {
                let message = "what the store keeps has another checksum than what was sent";
                Err(BlobError::new(BlobErrorKind::Corrupted, "send a chunk of", self.blob.address(), message))
            }
            _ => Ok(piece),
        }
    }

    /// A piece that an earlier run sent; `None` where it is not there in this length.
    pub(super) async fn sent_before(&self, digest: Sha256Digest, bytes: u64) -> Result<Option<Piece>, BlobError> {
        let name = PieceName::Sent(digest);
        let stored = self.blob.bucket.stored(&self.staging.piece(name)).await;
        let stored = stored.map_err(|failure| self.failed("look at a chunk of", failure))?;
        let held = stored.filter(|(length, _)| *length == bytes);
        Ok(held.and_then(|(_, stored)| Some(Piece { name, bytes, checksum: stored.checksum? })))
    }

    /// Composes until at most as many pieces are left as are composed at once. What is there already is not made again.
    pub(super) async fn reduce(&self, pieces: Vec<Piece>) -> Result<Vec<Piece>, BlobError> {
        let fan_out = self.blob.fan_out.max(2);
        let mut level = pieces;
        while level.len() > fan_out {
            let mut to_make: HashMap<PieceName, Range<usize>> = HashMap::new();
            let mut next = Vec::with_capacity(level.len().div_ceil(fan_out));
            for (number, group) in level.chunks(fan_out).enumerate() {
                let piece = Piece::of(group);
                next.push(piece);
                if group.len() > 1 && !self.composed().contains(&piece.name) {
                    let first = number * fan_out;
                    to_make.insert(piece.name, first..first + group.len());
                }
            }
            let pieces = &level;
            let make = |range: Range<usize>| async move { self.compose(&pieces[range]).await }.boxed();
            let made = futures::stream::iter(to_make.into_values()).map(make).buffer_unordered(AT_ONCE);
            gathered(made).await.1.map_or(Ok(()), Err)?;
            level = next;
        }
        Ok(level)
    }

    fn composed(&self) -> std::sync::MutexGuard<'_, HashSet<PieceName>> {
        self.composed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names below the prefix that this process knows of.
    pub(super) fn names_of(&self, pieces: &[Piece]) -> HashSet<String> {
        let composed = self.composed();
        let all = pieces.iter().map(|piece| &piece.name).chain(composed.iter());
        all.map(|name| self.staging.piece(*name)).collect()
    }

    /// Makes one object of these.
    async fn compose(&self, group: &[Piece]) -> Result<(), BlobError> {
        let piece = Piece::of(group);
        let (name, sources) = (self.staging.piece(piece.name), self.sources(group));
        let bucket = &self.blob.bucket;
        let made = match bucket.compose(&name, &sources, Vec::new(), &Condition::Nothing).await {
            Err(failure) if failure.kind() == BlobErrorKind::Changed => match self.found(&name, piece).await? {
                Found::AsItShouldBe => return self.note_composed(piece),
                Found::Other(version) => bucket.compose(&name, &sources, Vec::new(), &Condition::Version(version)).await,
                Found::Nothing => return Err(self.vanished("commit")),
            },
            other => other,
        };
        let stored = made.map_err(|failure| self.compose_failed(failure))?;
        self.require_checksum(&name, piece, stored).await?;
        crash::point("piece-composed");
        self.note_composed(piece)
    }

    fn note_composed(&self, piece: Piece) -> Result<(), BlobError> {
        self.composed().insert(piece.name);
        Ok(())
    }

    fn sources(&self, pieces: &[Piece]) -> Vec<String> {
        pieces.iter().map(|piece| self.staging.piece(piece.name)).collect()
    }

    /// Makes the object itself of what is left, with what is said of it.
    pub(super) async fn publish(
        &self,
        pieces: &[Piece],
        headers: HeaderList,
        condition: &Condition,
    ) -> Result<Stored, GcsFailure> {
        let (bucket, name) = (&self.blob.bucket, self.blob.name());
        match pieces.is_empty() {
            true => bucket.put(name, Bytes::new(), Crc32c::EMPTY, headers, condition).await,
            false => bucket.compose(name, &self.sources(pieces), headers, condition).await,
        }
    }

    /// What has a name that is to be made.
    async fn found(&self, name: &str, wanted: Piece) -> Result<Found, BlobError> {
        let stored = self.blob.bucket.stored(name).await.map_err(|failure| self.failed("look at a chunk of", failure))?;
        Ok(match stored {
            None => Found::Nothing,
            Some((length, stored)) => {
                let is_same = stored.checksum.is_none_or(|found| found == wanted.checksum);
                if length == wanted.bytes && is_same { Found::AsItShouldBe } else { Found::Other(stored.version) }
            }
        })
    }

    /// Compares what was composed with what follows from its pieces.
    async fn require_checksum(&self, name: &str, wanted: Piece, stored: Stored) -> Result<(), BlobError> {
        let is_it = match stored.checksum {
            Some(found) => found == wanted.checksum,
            None => matches!(self.found(name, wanted).await?, Found::AsItShouldBe),
        };
        if is_it {
            return Ok(());
        }
        let message = "what the store put together has another checksum than the chunks that were sent: something changed them at the store; start over with `--restart`";
        Err(BlobError::new(BlobErrorKind::Other, "commit", self.blob.address(), message))
    }

    pub(super) fn gone(&self, what: &str) -> BlobError {
        let message = format!(
            "the store does not hold {what} of the chunks that were sent, any more or as they were sent: repeat the command, and they are sent again"
        );
        BlobError::new(BlobErrorKind::Other, "commit", self.blob.address(), message)
    }

    /// Two tries, or another process of the same transfer, met: the next try finds what the other one made.
    fn vanished(&self, operation: &'static str) -> BlobError {
        let message = "what has the name of a chunk came and went: the request is repeated";
        BlobError::new(BlobErrorKind::ServerFault, operation, self.blob.address(), message)
    }

    /// The failure of a request about what lies beside the object.
    fn failed(&self, operation: &'static str, failure: GcsFailure) -> BlobError {
        match failure.kind() {
            BlobErrorKind::Changed => self.vanished(operation),
            _ => self.blob.error(operation, failure),
        }
    }

    /// The failure of a composition: a source may be gone.
    fn compose_failed(&self, failure: GcsFailure) -> BlobError {
        match failure.kind() {
            BlobErrorKind::NotFound => self.gone("some"),
            _ => self.failed("commit", failure),
        }
    }
}

/// What has the name of a piece.
enum Found {
    Nothing,
    AsItShouldBe,
    /// Something else, of this generation.
    Other(String),
}
