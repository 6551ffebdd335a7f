//! From chunks to the object: they are composed, the object appears at once, and its checksum is compared with theirs.
//!
//! Each step looks at what is there already, so that a commit that failed half-way is repeated and goes on.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use file::crash;
use protocol::digest::Sha256Digest;
use protocol::units::ByteRange;

use super::leftovers;
use super::object::Found;
use super::requests::Condition;
use super::tree::{Piece, checksum_of, total_bytes};
use super::upload::GcsUpload;
use crate::contract::Blob;
use crate::error::{BlobError, BlobErrorKind};

/// Classes whose objects are paid for a minimum time, in days ("Storage classes").
const CLASSES_WITH_MINIMUM: [(&str, u32); 3] = [("NEARLINE", 30), ("COLDLINE", 90), ("ARCHIVE", 365)];

impl GcsUpload {
    /// Makes the object appear; gives its version.
    pub(super) async fn publish(&self, chunks: &[(Sha256Digest, ByteRange)]) -> Result<String, BlobError> {
        let pieces = self.pieces(chunks).await?;
        let found = match self.published().await? {
            Some(found) => found,
            None => self.put_together(pieces.clone()).await?,
        };
        self.require_content(&found, &pieces).await?;
        if let Some((class, days)) = CLASSES_WITH_MINIMUM.iter().find(|(class, _)| found.class.as_deref() == Some(class)) {
            self.tell(format!(
                "the object is of the class {class}: the chunks that it was put together from, which are removed now, are charged as if they were kept for {days} days; a bucket of the class STANDARD with a lifecycle rule avoids that"
            ));
        }
        self.clean(&pieces).await;
        Ok(found.facts.version)
    }

    fn tell(&self, message: String) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    /// The object, where an earlier try made it and its answer was lost.
    async fn published(&self) -> Result<Option<Found>, BlobError> {
        match self.was_sent.load(Ordering::Relaxed) {
            true => Ok(self.blob.look().await?.filter(|found| self.is_ours(found))),
            false => Ok(None),
        }
    }

    /// Whether what is there is of this transfer, and was not there before.
    fn is_ours(&self, found: &Found) -> bool {
        let is_new = Some(&found.facts.version) != self.replaced_version.as_ref();
        found.facts.transfer_id.as_ref() == Some(&self.request.transfer_id) && is_new
    }

    async fn put_together(&self, pieces: Vec<Piece>) -> Result<Found, BlobError> {
        let left = self.assembly.reduce(pieces).await?;
        crash::point("target-assembled");
        self.was_sent.store(true, Ordering::Relaxed);
        let headers = self.blob.described(&self.request.transfer_id, self.request.total_bytes);
        let condition = self.replaced_version.clone().map_or(Condition::Nothing, Condition::Version);
        let sent = self.assembly.publish(&left, headers, &condition).await;
        crash::point("target-published");
        let sent = sent.map_err(|failure| match failure.kind() {
            // A condition that does not hold is judged by what is there.
            BlobErrorKind::NotFound => self.assembly.gone("some"),
            _ => self.blob.error("commit", failure),
        });
        self.judge(sent.map(drop)).await
    }

    /// What a commit came to, with the store's own word for it.
    async fn judge(&self, sent: Result<(), BlobError>) -> Result<Found, BlobError> {
        let found = match sent {
            Err(error) if error.is_transient() => return Err(error),
            _ => self.blob.look().await,
        };
        match (sent, found) {
            // The one thing that makes this fail for good and still be done is our own earlier try, whose answer was lost.
            (_, Ok(Some(found))) if self.is_ours(&found) => Ok(found),
            (Ok(()), Err(error)) => Err(error),
            (Ok(()), Ok(_)) => {
                let message = "it was committed, and another program replaced or deleted it right after";
                Err(BlobError::new(BlobErrorKind::Changed, "commit", self.blob.address(), message))
            }
            (Err(error), _) if error.kind == BlobErrorKind::Changed => {
                let message = "another program made, replaced or deleted it meanwhile: look at what is there, and choose another name, or repeat the command with `--overwrite`";
                Err(BlobError::new(BlobErrorKind::AlreadyExists, "commit", self.blob.address(), message))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Compares length and checksum of the object with those of the chunks. One that is wrong does not stay.
    async fn require_content(&self, found: &Found, pieces: &[Piece]) -> Result<(), BlobError> {
        let is_whole = found.facts.size_bytes == total_bytes(pieces);
        if is_whole && found.checksum.is_none_or(|checksum| checksum == checksum_of(pieces)) {
            return Ok(());
        }
        let removed = self.blob.bucket.delete(self.blob.name(), Some(&found.facts.version)).await;
        self.was_sent.store(false, Ordering::Relaxed);
        let became = if removed.is_ok() { "was removed" } else { "could not be removed: delete it" };
        let message = format!(
            "the store put together another object than the chunks that were sent: its length or its checksum differs, and it {became}; start over with `--restart`"
        );
        Err(BlobError::new(BlobErrorKind::Other, "commit", self.blob.address(), message))
    }

    /// Removes what was put beside the object while it was sent. What cannot be removed stays, and is reported: the object is
    /// complete.
    async fn clean(&self, pieces: &[Piece]) {
        if let Err((count, error)) = leftovers::clean(&self.assembly, pieces).await {
            let below = self.assembly.staging.prefix();
            self.tell(format!(
                "the object is complete, and {count} of the objects that were put beside it while it was sent stay below `{below}`: {}",
                error.message
            ));
        }
    }
}
