//! An object being written: its chunks are parts of uploads, and what is not known in this process the store is asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use async_trait::async_trait;
use file::crash;
use futures::{FutureExt, StreamExt};
use protocol::digest::Sha256Digest;
use protocol::manifest::ChunkContent;
use protocol::receipt::Residue;
use protocol::units::{ByteRange, RangeList};
use tokio::sync::{Mutex, OnceCell};

use super::layout::Layout;
use super::leftovers::{self, Leftovers};
use super::multipart::OpenUpload;
use super::object::S3Blob;
use super::piece::{Parts, Piece, PieceState};
use super::probe::probe;
use super::requests::Condition;
use super::staging::Staging;
use crate::contract::{
    Blob, BlocksHeld, ChunkBody, CommitFacts, Holding, LeftBy, RecordedChunks, Upload, UploadCapabilities, UploadRequest,
};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::BlobFacts;

/// Uploads that are listed at once.
const LISTS_AT_ONCE: usize = 16;

/// An object being written.
pub(super) struct S3Upload {
    pub(super) blob: S3Blob,
    pub(super) request: UploadRequest,
    pub(super) layout: Layout,
    pub(super) staging: Staging,
    /// The credentials do not permit to look: what is there is not known.
    pub(super) is_unseen: bool,
    /// The version that is replaced; `None` where there was no object.
    pub(super) replaced_version: Option<String>,
    /// That is of this very transfer: the same content has the same version.
    pub(super) replaces_own: bool,
    /// What is known of the pieces that were used.
    pieces: StdMutex<HashMap<u64, Arc<Piece>>>,
    /// The upload of the final object.
    pub(super) of_final: Mutex<Option<OpenUpload>>,
    /// Bytes of parts that this process sent and the store acknowledged.
    sent_bytes: AtomicU64,
    /// What is worth a warning after the commit.
    pub(super) told: StdMutex<Vec<String>>,
    /// The store was asked to make the object appear.
    pub(super) was_sent: AtomicBool,
    /// Parts of the final object that were made of segments, by their number: their ETags.
    pub(super) assembled: Mutex<HashMap<u32, String>>,
    /// The ETag of the chunk of zeros that is copied.
    pub(super) zero_chunk: OnceCell<String>,
    /// The segment of zeros.
    pub(super) zero_segment: Arc<Piece>,
}

impl S3Upload {
    /// Begins an upload, or takes up what an earlier run of this very transfer left.
    pub(super) async fn begin(blob: S3Blob, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        let (existing, is_unseen) = match blob.look().await {
            Ok(found) => (found, false),
            Err(error) if error.kind == BlobErrorKind::NotPermitted => (None, true),
            Err(error) => return Err(error),
        };
        blob.require_uploadable(existing.as_ref())?;
        let is_own = |facts: &BlobFacts| facts.transfer_id.as_ref() == Some(&request.transfer_id);
        if !request.overwrite && existing.as_ref().is_some_and(|facts| !is_own(facts)) {
            // It came after the caller looked: the commit, which replaces what is found here, must not replace it.
            let message = "it exists already: choose another name, or repeat the command with `--overwrite`";
            return Err(BlobError::new(BlobErrorKind::AlreadyExists, "begin", blob.address(), message));
        }
        if let Some(id) = &request.replaces {
            leftovers::discard(&blob, id).await?;
        }
        let staging = blob.names(blob.key(), &request.transfer_id);
        let zero_segment = Arc::new(Piece::new(staging.zero_segment(), PieceState::default()));
        let upload = S3Upload {
            layout: Layout::new(request.total_bytes, request.chunk_bytes, blob.sizes),
            staging,
            request: request.clone(),
            is_unseen,
            replaces_own: existing.as_ref().is_some_and(is_own),
            replaced_version: existing.map(|facts| facts.version),
            pieces: StdMutex::default(),
            of_final: Mutex::default(),
            sent_bytes: AtomicU64::new(0),
            told: StdMutex::default(),
            was_sent: AtomicBool::new(false),
            assembled: Mutex::default(),
            zero_chunk: OnceCell::new(),
            zero_segment,
            blob,
        };
        // First: where it fails, nothing is left that the next try would not remove.
        probe(&upload.blob, &upload.staging).await?;
        let is_resumed = request.resume && upload.take_up().await?;
        if !is_resumed && upload.layout.is_direct() && request.total_bytes > 0 {
            upload.begin_final().await?;
        }
        crash::point("target-begun");
        Ok((Arc::new(upload), if is_resumed { BlocksHeld::Recorded { state: None } } else { BlocksHeld::Nothing }))
    }

    /// Takes up what an earlier run left; false where that is nothing.
    async fn take_up(&self) -> Result<bool, BlobError> {
        let failed = |failure| self.blob.error("look for what is left of", failure);
        let found = Leftovers::find(&self.blob, self.blob.key(), &self.request.transfer_id).await.map_err(failed)?;
        if self.layout.is_direct() {
            let Some(upload) = found.of_final else { return Ok(false) };
            return match upload.all_parts().await.map_err(failed)? {
                Some(_) => {
                    *self.of_final.lock().await = Some(upload);
                    Ok(true)
                }
                None => Ok(false),
            };
        }
        if let Some(upload) = &found.of_final {
            // It was being put together: that is begun anew, from the segments that there are by then.
            upload.abort().await.map_err(failed)?;
        }
        if found.is_empty() {
            return Ok(false);
        }
        let mut states: HashMap<u64, PieceState> = HashMap::new();
        let number_of = |key: &str| key.strip_prefix(self.staging.prefix())?.parse::<u64>().ok();
        for object in &found.objects {
            if let Some(number) = number_of(&object.key) {
                states.entry(number).or_default().object_bytes = Some(object.size_bytes);
            }
        }
        for upload in found.uploads {
            let Some(number) = number_of(&upload.key) else { continue };
            let state = states.entry(number).or_default();
            // Where the answer to a beginning was lost there are two, and one of them has no part.
            let is_used = state.upload.is_none() || upload.has_parts().await.map_err(failed)?;
            if is_used {
                state.upload = Some(upload);
            }
        }
        let pieces =
            states.into_iter().map(|(number, state)| (number, Arc::new(Piece::new(self.staging.segment(number), state))));
        *self.pieces.lock().unwrap_or_else(PoisonError::into_inner) = pieces.collect();
        Ok(true)
    }

    /// Begins the upload of the final object, and notes that it is this transfer's.
    pub(super) async fn begin_final(&self) -> Result<OpenUpload, BlobError> {
        let mut of_final = self.of_final.lock().await;
        if let Some(upload) = &*of_final {
            return Ok(upload.clone());
        }
        let failed = |failure| self.blob.error("begin", failure);
        let headers = self.blob.described(&self.request.transfer_id, self.request.total_bytes);
        // The parts of the final object of a large drive are segments, whose digests are not known.
        let bucket = &self.blob.bucket;
        let upload = bucket.create_upload(self.blob.key(), headers, self.layout.is_direct()).await.map_err(failed)?;
        crash::point("upload-created");
        let noted = self
            .blob
            .staging_bucket()
            .put(&self.staging.marker(), upload.id.clone().into(), Vec::new(), &Condition::Anything)
            .await;
        if let Err(failure) = noted {
            // Nothing would lead to it.
            upload.abort().await.map_err(failed)?;
            return Err(failed(failure));
        }
        *of_final = Some(upload.clone());
        Ok(upload)
    }

    fn piece_of(&self, (_, range): &(Sha256Digest, ByteRange)) -> u64 {
        self.layout.place_of(range.offset).piece
    }

    /// A piece, whether or not anything of it was begun.
    pub(super) fn piece(&self, number: u64) -> Arc<Piece> {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Piece::new(self.staging.segment(number), PieceState::default()));
        pieces.entry(number).or_insert_with(new).clone()
    }

    /// The upload whose parts the chunks of a piece are, begun where there is none.
    pub(super) async fn upload_of(&self, piece: u64) -> Result<OpenUpload, BlobError> {
        match self.layout.is_direct() {
            true => self.begin_final().await,
            false => self.piece(piece).open(&self.blob).await,
        }
    }

    /// Which chunks of a piece were recorded, and are not held as they were recorded.
    async fn lost_of(&self, piece: u64, records: &dyn RecordedChunks) -> Result<Vec<ByteRange>, BlobError> {
        let unreadable = |error: std::io::Error| {
            BlobError::new(BlobErrorKind::Other, "compare", self.blob.address(), error.to_string()).caused_by(error)
        };
        let mut recorded = Vec::new();
        for (number, index, range) in self.layout.chunks_of(piece) {
            if let Some(ChunkContent::Data(digest)) = records.content(index).map_err(unreadable)? {
                recorded.push((number, digest, range));
            }
        }
        if recorded.is_empty() {
            return Ok(Vec::new());
        }
        let (upload, is_whole) = match self.layout.is_direct() {
            true => (self.of_final.lock().await.clone(), false),
            false => self.piece(piece).known(self.layout.piece(piece).length).await,
        };
        let parts = self.parts_of(upload.as_ref()).await?;
        let kept = self.piece(piece);
        let mut state = kept.state.lock().await;
        state.before.get_or_insert_with(|| parts.numbers());
        let is_held = |number: u32, digest, range: ByteRange| match parts.is_there(number) {
            true => parts.holding(number, range.length, digest, state.sent.get(&number)).is_some(),
            false => is_whole,
        };
        let lost = recorded.iter().filter(|(number, digest, range)| !is_held(*number, digest, *range));
        Ok(lost.map(|(.., range)| *range).collect())
    }

    /// The parts of an upload; none where it is not open.
    async fn parts_of(&self, upload: Option<&OpenUpload>) -> Result<Parts, BlobError> {
        let failed = |failure| self.blob.error("list the parts of", failure);
        let parts = match upload {
            Some(upload) => upload.all_parts().await.map_err(failed)?.unwrap_or_default(),
            None => Vec::new(),
        };
        Ok(Parts::new(parts))
    }

    /// Which of these chunks of a piece the store holds.
    async fn holds_of(&self, piece: u64, chunks: &[(Sha256Digest, ByteRange)]) -> Result<Vec<Holding>, BlobError> {
        let upload = match self.layout.is_direct() {
            true => self.of_final.lock().await.clone(),
            false => self.piece(piece).state.lock().await.upload.clone(),
        };
        let parts = self.parts_of(upload.as_ref()).await?;
        let kept = self.piece(piece);
        let state = kept.state.lock().await;
        let is_of_before = |number| state.before.as_ref().is_some_and(|before| before.contains(&number));
        let holding = |(digest, range): &(Sha256Digest, ByteRange)| {
            let number = self.layout.place_of(range.offset).number;
            match parts.holding(number, range.length, digest, state.sent.get(&number)) {
                // One without a digest may be what an earlier run sent, of a drive that has changed since.
                Some(part) if part.digest.is_none() && is_of_before(number) => Holding::Unknown,
                Some(_) => Holding::Held,
                None if parts.is_untold(number) => Holding::Unknown,
                None => Holding::Absent,
            }
        };
        Ok(chunks.iter().map(holding).collect())
    }

    /// Notes what there was in the upload of a piece before this process sends anything to it.
    async fn note_before(&self, piece: u64, upload: &OpenUpload) -> Result<(), BlobError> {
        let kept = self.piece(piece);
        let mut state = kept.state.lock().await;
        if state.before.is_none() {
            let parts = upload.all_parts().await;
            let parts = parts.map_err(|failure| self.blob.error("list the parts of", failure))?;
            state.before = Some(Parts::new(parts.unwrap_or_default()).numbers());
        }
        Ok(())
    }
}

#[async_trait]
impl Upload for S3Upload {
    fn capabilities(&self) -> UploadCapabilities {
        UploadCapabilities {
            content_named: false,
            tells_of_chunks: true,
            durable_when_acknowledged: true,
            replaces_only_what_it_found: !(self.is_unseen && self.request.overwrite),
            preferred_concurrency: 16,
        }
    }

    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        let place = self.layout.place_of(chunk.range.offset);
        let upload = self.upload_of(place.piece).await?;
        if self.request.resume {
            self.note_before(place.piece, &upload).await?;
        }
        let sent = upload.put_part(place.number, chunk.bytes.clone(), chunk.digest).await;
        let etag = sent.map_err(|failure| self.blob.error("send a part of", failure))?;
        self.sent_bytes.fetch_add(chunk.range.length, Ordering::Relaxed);
        if self.request.resume {
            let kept = self.piece(place.piece);
            let mut state = kept.state.lock().await;
            if state.before.as_ref().is_some_and(|before| before.contains(&place.number)) {
                state.sent.insert(place.number, etag);
            }
        }
        Ok(())
    }

    async fn clear(&self, _range: ByteRange) -> Result<(), BlobError> {
        // The commit puts zeros wherever they were recorded, whatever part is there.
        Ok(())
    }

    async fn sync(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn held(&self) -> Result<BlocksHeld, BlobError> {
        Ok(BlocksHeld::Recorded { state: None })
    }

    async fn holds(&self, chunks: &[(Sha256Digest, ByteRange)]) -> Result<Vec<Holding>, BlobError> {
        // They are as many as are sent at once, of one piece or two.
        let mut all = Vec::new();
        for of_piece in chunks.chunk_by(|one, next| self.piece_of(one) == self.piece_of(next)) {
            all.extend(self.holds_of(self.piece_of(&of_piece[0]), of_piece).await?);
        }
        Ok(all)
    }

    async fn lost(&self, records: &dyn RecordedChunks) -> Result<Vec<ByteRange>, BlobError> {
        let pieces = 0..self.layout.pieces();
        let mut lost = futures::stream::iter(pieces).map(|piece| self.lost_of(piece, records).boxed()).buffered(LISTS_AT_ONCE);
        let mut all = RangeList::default();
        while let Some(found) = lost.next().await {
            found?.into_iter().for_each(|range| all.push(range));
        }
        Ok(all.into())
    }

    async fn commit(&self, _chunks: &[(Sha256Digest, ByteRange)], facts: &CommitFacts<'_>) -> Result<String, BlobError> {
        self.publish(facts.records).await
    }

    fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn residue(&self, landed_bytes: u64) -> Option<Residue> {
        let recorded = Default::default();
        let left = LeftBy { transfer_id: &self.request.transfer_id, landed_bytes, recorded: &recorded };
        match self.blob.left_by(left).await {
            Ok(residue) => residue,
            // What this run sent is the least that there is.
            Err(_) => {
                let bytes = self.sent_bytes.load(Ordering::Relaxed);
                let below = self.blob.shown_piece(self.staging.prefix());
                let description = format!(
                    "multipart uploads and objects below `{below}`, of at least that many bytes: the store did not say how many (`drive-agent transfers` asks it again)"
                );
                (landed_bytes > 0).then_some(Residue { description, path: None, bytes, lives_days: None })
            }
        }
    }
}
