//! A whole file as a block blob: staged piece by piece, and committed at once.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use azure_core::http::RequestContent;
use azure_storage_blob::clients::BlockBlobClient;
use azure_storage_blob::models::{BlockBlobClientCommitBlockListOptions, BlockBlobClientStageBlockOptions};
use bytes::Bytes;
use protocol::digest::Sha256Digest;

use super::client::{AzureBlob, block_list, body_of, require_length};
use crate::block_id::block_id;
use crate::contract::{Blob, Replaces};
use crate::error::{BlobError, BlobErrorKind};

/// The largest piece that is staged at once, in bytes.
const FILE_PIECE_BYTES: u64 = 8 << 20;

/// Stores a file under the name of `blob`, where that is what `replaces` says.
pub(super) async fn put(blob: &AzureBlob, file: &Arc<File>, replaces: &Replaces) -> Result<(), BlobError> {
    let client = blob.client()?.block_blob_client();
    let (ids, length_bytes) = stage(blob, &client, file).await?;
    let list = block_list(ids).map_err(|error| blob.error("write", error))?;
    match commit(blob, &client, &body_of(&list), replaces).await {
        Err(error) if error.kind == BlobErrorKind::Changed => {
            return Err(BlobError { kind: BlobErrorKind::AlreadyExists, ..error });
        }
        other => other?,
    }
    // The store may answer that it is done and hold another list all the same.
    match blob.look().await {
        Err(error) if error.kind == BlobErrorKind::NotPermitted => Ok(()),
        found => require_length(found?.map_or(0, |found| found.length_bytes), length_bytes, &blob.address()),
    }
}

/// Sends the pieces of a file as blocks; gives their ids in order, and the length of all.
async fn stage(blob: &AzureBlob, client: &BlockBlobClient, file: &Arc<File>) -> Result<(Vec<Vec<u8>>, u64), BlobError> {
    let failed =
        |error: io::Error| BlobError::new(BlobErrorKind::Other, "read for", blob.address(), error.to_string()).caused_by(error);
    let (mut ids, mut length_bytes) = (Vec::new(), 0);
    loop {
        let (file, offset) = (file.clone(), length_bytes);
        let read = tokio::task::spawn_blocking(move || read_piece(&file, offset)).await;
        let piece = read.map_err(io::Error::other).and_then(|piece| piece).map_err(failed)?;
        if piece.is_empty() {
            return Ok((ids, length_bytes));
        }
        length_bytes += piece.len() as u64;
        let piece = Bytes::from(piece);
        let id = block_id(&Sha256Digest::of(&piece));
        let send = |crc64, md5| {
            let options = BlockBlobClientStageBlockOptions {
                transactional_content_crc64: crc64,
                transactional_content_md5: md5,
                ..Default::default()
            };
            let (id, piece) = (&id, piece.clone());
            async move {
                let length = piece.len() as u64;
                let sent = client.stage_block(id, length, piece.into(), Some(options)).await;
                sent.map(drop).map_err(|error| blob.error("write", error))
            }
        };
        blob.account.checksums.send(&piece, None, send).await?;
        ids.push(id);
    }
}

/// The piece of a file that begins at `offset`; empty behind its end.
fn read_piece(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len().saturating_sub(offset).min(FILE_PIECE_BYTES);
    let mut piece = vec![0; length as usize];
    file.read_exact_at(&mut piece, offset).map(|()| piece)
}

async fn commit(blob: &AzureBlob, client: &BlockBlobClient, list: &Bytes, replaces: &Replaces) -> Result<(), BlobError> {
    let send = |crc64, md5| {
        let options = BlockBlobClientCommitBlockListOptions {
            if_none_match: (*replaces == Replaces::Nothing).then(|| "*".into()),
            if_match: if let Replaces::Version(version) = replaces { Some(version.clone().into()) } else { None },
            transactional_content_crc64: crc64,
            transactional_content_md5: md5,
            ..Default::default()
        };
        let list = RequestContent::from(list.to_vec());
        async move { client.commit_block_list(list, Some(options)).await.map(drop).map_err(|error| blob.error("write", error)) }
    };
    blob.account.checksums.send(list, None, send).await
}
