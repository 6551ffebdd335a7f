//! Segments: each becomes an object, and then, copied at the store, a part of the final one.

use file::crash;
use futures::{FutureExt, StreamExt};
use protocol::manifest::ChunkContent;

use super::answers::Part;
use super::fill::{COPIES_AT_ONCE, Chunk, object_range};
use super::multipart::{CopySource, OpenUpload};
use super::piece::{Piece, PieceState};
use super::requests::Condition;
use super::upload::S3Upload;
use crate::contract::RecordedChunks;
use crate::error::BlobError;
use crate::gathered::gathered;

/// Segments that are put together at once.
const PIECES_AT_ONCE: usize = 4;

impl S3Upload {
    /// Makes an object of every segment that is not one.
    pub(super) async fn finish_segments(&self, records: &dyn RecordedChunks) -> Result<(), BlobError> {
        let finish = |piece| self.finish_segment(piece, records).boxed();
        let finished = futures::stream::iter(0..self.layout.pieces()).map(finish).buffer_unordered(PIECES_AT_ONCE);
        gathered(finished).await.1.map_or(Ok(()), Err)
    }

    async fn finish_segment(&self, number: u64, records: &dyn RecordedChunks) -> Result<(), BlobError> {
        let chunks = self.chunks_of(number, records)?;
        let is_zero = chunks.iter().all(|chunk| chunk.content == ChunkContent::Zero);
        if is_zero && self.layout.is_full(number) {
            return self.finish(&self.zero_segment, &chunks).await;
        }
        self.finish(&self.piece(number), &chunks).await
    }

    /// Makes an object of a piece.
    async fn finish(&self, piece: &Piece, chunks: &[Chunk]) -> Result<(), BlobError> {
        if piece.state.lock().await.etag.is_some() {
            return Ok(());
        }
        let length = object_range(chunks);
        let is_object = {
            let state = piece.state.lock().await;
            state.upload.is_none() && state.object_bytes == Some(length)
        };
        if is_object {
            let etag = self.etag_of(&piece.key).await?;
            piece.state.lock().await.etag = Some(etag);
            return Ok(());
        }
        let upload = piece.open(&self.blob).await?;
        let mut state = piece.state.lock().await;
        if state.etag.is_some() {
            return Ok(());
        }
        // An earlier try made the object, and its answer was lost.
        let is_made = state.was_sent && !self.is_open(&upload).await? && self.length_of(&piece.key).await? == Some(length);
        let etag = if is_made { None } else { self.complete_piece(piece, &upload, &mut state, chunks).await? };
        let etag = match etag {
            Some(etag) => etag,
            None => self.etag_of(&piece.key).await?,
        };
        crash::point("segment-completed");
        *state = PieceState { object_bytes: Some(length), etag: Some(etag), ..PieceState::default() };
        Ok(())
    }

    /// Fills the upload of a piece, and makes it an object; gives the ETag, where the answer has it.
    async fn complete_piece(
        &self,
        piece: &Piece,
        upload: &OpenUpload,
        state: &mut PieceState,
        chunks: &[Chunk],
    ) -> Result<Option<String>, BlobError> {
        let parts = self.fill(upload, &piece.key, state, chunks).await?;
        state.was_sent = true;
        let completed = upload.complete(&parts, &Condition::Anything).await;
        completed.map_err(|failure| self.failed(failure))
    }

    async fn length_of(&self, key: &str) -> Result<Option<u64>, BlobError> {
        self.blob.staging_bucket().length_of(key).await.map_err(|failure| self.failed(failure))
    }

    /// Makes each segment a part of the final object.
    pub(super) async fn assemble(&self, upload: &OpenUpload) -> Result<Vec<Part>, BlobError> {
        let mut assembled = self.assembled.lock().await;
        let mut left = Vec::new();
        for piece in 0..self.layout.pieces() {
            let number = u32::try_from(piece + 1).unwrap_or(u32::MAX);
            if !assembled.contains_key(&number) {
                let is_own = self.piece(piece).state.lock().await.etag.is_some();
                left.push((number, if is_own { self.piece(piece) } else { self.zero_segment.clone() }));
            }
        }
        let copies = futures::stream::iter(left).map(|(number, piece)| {
            async move {
                let etag = piece.state.lock().await.etag.clone().ok_or_else(|| self.gone(1))?;
                let source = CopySource { bucket: self.blob.staging_bucket(), key: &piece.key, etag: &etag, range: None };
                let copied = upload.copy_part(number, source).await;
                Ok((number, copied.map_err(|failure| self.failed(failure))?))
            }
            .boxed()
        });
        let (copied, failure) = gathered(copies.buffer_unordered(COPIES_AT_ONCE)).await;
        assembled.extend(copied);
        if let Some(error) = failure {
            return Err(error);
        }
        let part = |piece: u64| {
            let number = u32::try_from(piece + 1).unwrap_or(u32::MAX);
            let etag = assembled.get(&number).cloned().ok_or_else(|| self.gone(1))?;
            Ok(Part { number, etag, size_bytes: self.layout.piece(piece).length, digest: None })
        };
        (0..self.layout.pieces()).map(part).collect()
    }
}
