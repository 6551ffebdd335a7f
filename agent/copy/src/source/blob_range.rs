//! Getting one range of a blob into a buffer, whole and checked as far as the store can.

use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

use blob::contract::CHECKED_RANGE_BYTES_MAX;
use blob::{Blob, BlobError, BlobErrorKind, LocalBlob};
use futures::StreamExt;
use protocol::units::ByteRange;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::flow::attempts::{Attempts, Failed};
use crate::flow::pool::FilledBuffer;

/// The most that is read of a local blob by one call: each has the time of a silence.
const LOCAL_PIECE_BYTES: usize = 8 << 20;

/// How ranges of a blob are fetched.
pub(crate) struct Fetch<'blob> {
    pub(crate) blob: &'blob dyn Blob,
    pub(crate) version: &'blob str,
    /// Ask the store for checksums: where no manifest says what is right.
    pub(crate) checked: bool,
    /// Longest silence between two pieces.
    pub(crate) silence_max: Duration,
    pub(crate) attempts: &'blob Attempts,
}

/// A range that was fetched whole.
pub(crate) struct Filled<B> {
    /// It lies at the beginning.
    pub(crate) buffer: B,
    /// Whether a checksum of the store was checked over all of it.
    pub(crate) was_checked: bool,
    pub(crate) attempts: u32,
}

/// A buffer that one attempt after the other may fill. An attempt that timed out may hang in a call that has the
/// buffer; the next one waits for it.
struct FetchBuffer<B>(Arc<Mutex<B>>);

impl<B> FetchBuffer<B> {
    fn new(buffer: B) -> Self {
        FetchBuffer(Arc::new(Mutex::new(buffer)))
    }

    /// The buffer, after an attempt that succeeded: all earlier ones have let go of the lock by then, and of their share
    /// of it an instant later.
    async fn into_inner(mut self) -> B {
        loop {
            match Arc::try_unwrap(self.0) {
                Ok(buffer) => return buffer.into_inner(),
                Err(shared) => self.0 = shared,
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Fetch<'_> {
    /// Fills the beginning of the buffer with the range, in as many attempts as it may take.
    pub(crate) async fn fill<B>(&self, range: ByteRange, buffer: B) -> Result<Filled<B>, Failed>
    where
        B: DerefMut<Target = [u8]> + Send + 'static,
    {
        self.fill_sparse(range, range, buffer).await
    }

    /// The same where all of the range is zeros but `data`, a part of it: no more than that is fetched.
    pub(crate) async fn fill_sparse<B>(&self, range: ByteRange, data: ByteRange, buffer: B) -> Result<Filled<B>, Failed>
    where
        B: DerefMut<Target = [u8]> + Send + 'static,
    {
        let buffer = FetchBuffer::new(buffer);
        let (was_checked, attempts) = self.attempts.run_self_timed(|| self.fill_once(range, data, &buffer)).await?;
        Ok(Filled { buffer: buffer.into_inner().await, was_checked, attempts })
    }

    /// Fetches a range once more whose bytes are not what a manifest says, into the same buffer: what came without a
    /// checksum of the store may have been changed on its way.
    pub(crate) async fn fill_again(&self, range: ByteRange, filled: FilledBuffer) -> Result<FilledBuffer, Failed> {
        self.attempts.handle.counters.add_retry();
        let Filled { buffer, .. } = self.fill(range, filled.into_buffer()).await?;
        Ok(FilledBuffer::new(buffer, range.length as usize))
    }

    async fn fill_once<B>(&self, range: ByteRange, data: ByteRange, buffer: &FetchBuffer<B>) -> Result<bool, BlobError>
    where
        B: DerefMut<Target = [u8]> + Send + 'static,
    {
        let mut guard = self.in_time(buffer.0.clone().lock_owned()).await?;
        if let Some(local) = self.blob.local() {
            self.fill_locally(&local, range, guard).await?;
            return Ok(false);
        }
        let start = data.offset.saturating_sub(range.offset) as usize;
        let end = start + data.length as usize;
        let too_small = || self.error(BlobErrorKind::Other, "its buffer is too small".to_owned());
        let whole = guard.get_mut(..range.length as usize).filter(|whole| end <= whole.len()).ok_or_else(too_small)?;
        whole[..start].fill(0);
        whole[end..].fill(0);
        let step = if self.checked { CHECKED_RANGE_BYTES_MAX } else { data.length };
        // No checksum of the store says that the rest is zeros.
        let mut all_checked = self.checked && data == range;
        let mut offset = data.offset;
        for piece in whole[start..end].chunks_mut(step.max(1) as usize) {
            let piece_range = ByteRange::new(offset, piece.len() as u64);
            all_checked &= self.fill_piece(piece_range, piece).await?;
            offset = piece_range.end();
        }
        Ok(all_checked)
    }

    async fn fill_locally<B>(
        &self,
        local: &Arc<dyn LocalBlob>,
        range: ByteRange,
        mut guard: OwnedMutexGuard<B>,
    ) -> Result<(), BlobError>
    where
        B: DerefMut<Target = [u8]> + Send + 'static,
    {
        let length = range.length as usize;
        for start in (0..length).step_by(LOCAL_PIECE_BYTES) {
            let piece = start..length.min(start + LOCAL_PIECE_BYTES);
            let (local, version, offset) = (local.clone(), self.version.to_owned(), range.offset + start as u64);
            // When this future is dropped or times out, the buffer stays with the call until that ends.
            let reading = tokio::task::spawn_blocking(move || {
                let read = guard.get_mut(piece).map(|piece| local.read_at(piece, offset, &version));
                (guard, read)
            });
            let ended = self.in_time(reading).await?;
            let (back, read) = ended.map_err(|error| self.error(BlobErrorKind::Other, error.to_string()))?;
            guard = back;
            read.unwrap_or_else(|| Err(self.error(BlobErrorKind::Other, "its buffer is too small".to_owned())))?;
        }
        Ok(())
    }

    async fn fill_piece(&self, range: ByteRange, buffer: &mut [u8]) -> Result<bool, BlobError> {
        let mut body = self.in_time(self.blob.read(range, self.version, self.checked)).await??;
        let mut filled = 0;
        while let Some(piece) = self.in_time(body.pieces.next()).await? {
            let piece = piece?;
            let Some(target) = buffer.get_mut(filled..filled + piece.len()) else {
                let message = format!("more than the {} bytes asked for came", range.length);
                return Err(self.error(BlobErrorKind::Corrupted, message));
            };
            target.copy_from_slice(&piece);
            filled += piece.len();
        }
        if filled < buffer.len() {
            // The rest of a range that a server cut short comes with the next attempt.
            return Err(self.error(BlobErrorKind::Transport, format!("{filled} of {} bytes came", range.length)));
        }
        match body.checksum {
            Some(checksum) if !checksum.fits(buffer) => {
                let message = format!("{range} arrived with another checksum than it was sent with");
                Err(self.error(BlobErrorKind::Corrupted, message))
            }
            checksum => Ok(checksum.is_some()),
        }
    }

    /// Waits for as long as the store may be silent.
    async fn in_time<T>(&self, wait: impl Future<Output = T>) -> Result<T, BlobError> {
        let ended = tokio::time::timeout(self.silence_max, wait).await;
        let silent = || format!("no bytes came for {} s", self.silence_max.as_secs_f64());
        ended.map_err(|_| self.error(BlobErrorKind::TimedOut, silent()))
    }

    fn error(&self, kind: BlobErrorKind, message: String) -> BlobError {
        BlobError::new(kind, "read", self.blob.address(), message)
    }
}
