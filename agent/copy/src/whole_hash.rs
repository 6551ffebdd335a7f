//! The plain SHA-256 of the whole from what is there: where the chunks did not all pass through this process in
//! their order. One chunk is read while another is hashed, so two buffers of the budget are all that it takes.

use std::sync::Arc;

use blob::Blob;
use crossbeam_channel::Sender;
use drive::Drive;
use protocol::digest::Sha256Digest;
use protocol::units::ChunkGeometry;
use tokio::sync::oneshot;

use crate::attempts::Attempts;
use crate::chunk::{Body, Place};
use crate::error::CopyError;
use crate::fetch::Fetch;
use crate::limits::{HASHED_ALONE_BUFFERS, slowest_read};
use crate::options::{Link, TransferOptions};
use crate::plan::MemoryPlan;
use crate::pool::{BufferPool, PooledBuffer};
use crate::prepare::with_drive;
use crate::sectors::read_sectors;
use crate::stage::stream::{self, StreamPiece};

/// How a whole is cut, and what hashing it may take.
#[derive(Clone, Copy)]
pub(crate) struct Whole {
    pub(crate) geometry: ChunkGeometry,
    pub(crate) memory: MemoryPlan,
}

/// The hash of the whole from this version of a blob, committed or not. `None` when a stop came first.
pub(crate) async fn stream_of_blob(
    blob: &dyn Blob,
    version: &str,
    whole: Whole,
    attempts: &Attempts,
    options: &TransferOptions,
) -> Result<Option<Sha256Digest>, CopyError> {
    let hash = InOrder::start(whole, &attempts.link)?;
    let fetch = Fetch { blob, version, checked: false, silence_max: options.request_timeout, attempts };
    for (index, range) in whole.geometry.chunks() {
        let Some(buffer) = hash.buffer().await? else { return Ok(None) };
        let filled = fetch.fill(range, buffer).await?;
        hash.add(Place { index, range }, filled.buffer).await?;
    }
    hash.digest().await
}

/// The hash of the whole, from the drive itself. `None` when a stop came first.
pub(crate) async fn stream_of_drive(
    drive: &Arc<dyn Drive>,
    whole: Whole,
    options: &TransferOptions,
    link: &Link,
) -> Result<Option<Sha256Digest>, CopyError> {
    let hash = InOrder::start(whole, link)?;
    for (index, range) in whole.geometry.chunks() {
        let Some(mut buffer) = hash.buffer().await? else { return Ok(None) };
        let reading = with_drive(drive, options.read_timeout + slowest_read(range.length), link, move |drive| {
            read_sectors(drive, &mut buffer, range)?;
            Ok(buffer)
        });
        hash.add(Place { index, range }, reading.await?).await?;
    }
    hash.digest().await
}

/// A hash of chunks that come in their order.
struct InOrder<'link> {
    pool: BufferPool,
    pieces: Option<Sender<StreamPiece>>,
    end: Option<oneshot::Receiver<Option<Sha256Digest>>>,
    link: &'link Link,
}

impl<'link> InOrder<'link> {
    fn start(whole: Whole, link: &'link Link) -> Result<Self, CopyError> {
        let (pieces, end) = stream::spawn(true, whole.geometry, || false)?;
        let pool = BufferPool::new(whole.memory.buffers.min(HASHED_ALONE_BUFFERS), whole.memory.buffer_bytes);
        Ok(InOrder { pool, pieces, end, link })
    }

    /// A buffer for the next chunk; `None` when a stop came first.
    async fn buffer(&self) -> Result<Option<PooledBuffer>, CopyError> {
        Ok(self.link.stop.or_stopping(self.pool.take()).await.transpose()?)
    }

    async fn add(&self, place: Place, buffer: PooledBuffer) -> Result<(), CopyError> {
        let pieces = self.pieces.as_ref().ok_or(CopyError::Internal("the whole-drive hash"))?;
        let body = Body::Bytes(buffer.freeze(place.range.length as usize));
        stream::hand_over(pieces, StreamPiece { place, body }).await
    }

    async fn digest(self) -> Result<Option<Sha256Digest>, CopyError> {
        drop(self.pieces);
        Ok(stream::result(self.end, &self.link.stop).await)
    }
}
