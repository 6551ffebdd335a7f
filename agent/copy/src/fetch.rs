//! Getting one range of a blob into a buffer, whole and checked as far as the store can.

use std::time::Duration;

use blob::contract::CHECKED_RANGE_BYTES_MAX;
use blob::{Blob, BlobError, BlobErrorKind};
use futures::StreamExt;
use protocol::units::ByteRange;

/// How a range is got.
pub(crate) struct Fetch<'blob> {
    pub(crate) blob: &'blob dyn Blob,
    pub(crate) version: &'blob str,
    /// Ask the store for checksums: where no manifest says what is right.
    pub(crate) checked: bool,
    /// Longest silence between two pieces.
    pub(crate) silence_max: Duration,
}

impl Fetch<'_> {
    /// Fills `buffer` with the range. Tells whether a checksum of the store was checked over all of it.
    pub(crate) async fn fill(&self, range: ByteRange, buffer: &mut [u8]) -> Result<bool, BlobError> {
        let step = if self.checked { CHECKED_RANGE_BYTES_MAX } else { range.length };
        let mut all_checked = self.checked;
        let mut offset = range.offset;
        for piece in buffer.chunks_mut(step.max(1) as usize) {
            let piece_range = ByteRange::new(offset, piece.len() as u64);
            all_checked &= self.fill_piece(piece_range, piece).await?;
            offset = piece_range.end();
        }
        Ok(all_checked)
    }

    async fn fill_piece(&self, range: ByteRange, buffer: &mut [u8]) -> Result<bool, BlobError> {
        let error = |kind, message: String| BlobError::new(kind, "read", self.blob.address(), message);
        let silent = || error(BlobErrorKind::TimedOut, format!("no bytes came for {} s", self.silence_max.as_secs_f64()));
        let begun = tokio::time::timeout(self.silence_max, self.blob.read(range, self.version, self.checked)).await;
        let mut body = begun.map_err(|_| silent())??;
        let mut filled = 0;
        loop {
            let next = tokio::time::timeout(self.silence_max, body.pieces.next()).await.map_err(|_| silent())?;
            let Some(piece) = next else { break };
            let piece = piece?;
            let Some(target) = buffer.get_mut(filled..filled + piece.len()) else {
                return Err(error(BlobErrorKind::Corrupted, format!("more than the {} bytes asked for came", range.length)));
            };
            target.copy_from_slice(&piece);
            filled += piece.len();
        }
        if filled < buffer.len() {
            // The rest of a range that a server cut short comes with the next attempt.
            return Err(error(BlobErrorKind::Transport, format!("{filled} of {} bytes came", range.length)));
        }
        match body.checksum {
            Some(checksum) if !checksum.fits(buffer) => {
                Err(error(BlobErrorKind::Corrupted, format!("{range} arrived with another checksum than it was sent with")))
            }
            checksum => Ok(checksum.is_some()),
        }
    }
}
