//! The plain SHA-256 of the whole from what is there: where the chunks did not all pass through this process in
//! their order.

use std::sync::Arc;

use blob::Blob;
use bytes::Bytes;
use drive::{AlignedBuffer, Drive};
use protocol::digest::Sha256Digest;
use protocol::units::ChunkGeometry;

use crate::attempts::Attempts;
use crate::chunk::{Body, Place};
use crate::error::CopyError;
use crate::fetch::{Fetch, FetchBuffer};
use crate::limits::slowest_read;
use crate::manifest::not_found;
use crate::options::{Link, TransferOptions};
use crate::prepare::with_drive;
use crate::sectors::read_sectors;
use crate::stage::stream::{self, StreamPiece};

/// The hash of the whole, from the blob: of an import whose chunks did not come in order. `None` when a stop came
/// first.
pub(crate) async fn stream_of_blob(
    blob: &dyn Blob,
    geometry: ChunkGeometry,
    attempts: &Attempts,
    options: &TransferOptions,
    link: &Link,
) -> Result<Option<Sha256Digest>, CopyError> {
    let (Some(output), Some(end)) = stream::spawn(true, geometry, || false)? else {
        return Ok(None);
    };
    let facts = attempts.run("look at", 0, || blob.head()).await?.0.ok_or_else(|| not_found(blob))?;
    for (index, range) in geometry.chunks() {
        if link.stop.is_stopping() {
            return Ok(None);
        }
        let buffer = FetchBuffer::new(AlignedBuffer::new(range.length as usize));
        let fetched = attempts.run_self_timed(|| async {
            let fetch = Fetch { blob, version: &facts.version, checked: false, silence_max: options.request_timeout };
            fetch.fill(range, &buffer).await
        });
        fetched.await?;
        let buffer = buffer.take().await.ok_or(CopyError::Internal("a buffer"))?;
        let body = Body::Bytes(Bytes::from_owner(buffer).slice(..range.length as usize).into());
        let output = output.clone();
        let sent = tokio::task::spawn_blocking(move || output.send(StreamPiece { place: Place { index, range }, body })).await;
        sent.ok().and_then(Result::ok).ok_or(CopyError::Internal("the whole-drive hash"))?;
    }
    drop(output);
    Ok(end.await.ok().flatten())
}

/// The hash of the whole, from the drive itself: of a transfer that was gone on with, not all chunks
/// passed through this process. `None` when a stop came first.
pub(crate) async fn stream_of_drive(
    drive: &Arc<dyn Drive>,
    geometry: ChunkGeometry,
    options: &TransferOptions,
    link: &Link,
) -> Result<Option<Sha256Digest>, CopyError> {
    let (Some(output), Some(end)) = stream::spawn(true, geometry, || false)? else {
        return Ok(None);
    };
    for (index, range) in geometry.chunks() {
        if link.stop.is_stopping() {
            return Ok(None);
        }
        let bytes = with_drive(drive, options.read_timeout + slowest_read(range.length), link, move |drive| {
            let mut buffer = AlignedBuffer::new(range.length as usize);
            read_sectors(drive, &mut buffer, range)?;
            Ok(Bytes::from_owner(buffer).slice(..range.length as usize))
        });
        let piece = StreamPiece { place: Place { index, range }, body: Body::Bytes(bytes.await?.into()) };
        output.send(piece).map_err(|_| CopyError::Internal("the whole-drive hash"))?;
    }
    drop(output);
    Ok(end.await.ok().flatten())
}
