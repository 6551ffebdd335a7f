//! What an upload left at the store that was not finished, and its removal. Blocks carry no transfer's name: where there are
//! some that the transfer did not record, they may be another one's, and all of them stay.

use azure_core::http::Etag;
use azure_storage_blob::models::{BlobClientDeleteOptions, BlockBlobClientCommitBlockListOptions, BlockListType};
use file::crash;
use protocol::receipt::Residue;

use super::block::{UNCOMMITTED_LIVE_DAYS, own_chunks};
use super::client::{AzureBlob, block_list};
use super::kind::BlobKind;
use super::metadata;
use crate::contract::{Discarded, LeftBy};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::BlobFacts;

/// Uncommitted blocks of a blob.
struct Uncommitted {
    bytes: u64,
    /// How many are not among what the transfer recorded.
    unrecorded: usize,
    count: usize,
}

pub(super) async fn left_by(blob: &AzureBlob, left: LeftBy<'_>) -> Result<Option<Residue>, BlobError> {
    let found = blob.look().await?.map(|found| found.facts);
    if blob.kind == BlobKind::Page {
        let residue =
            |description: &str, bytes| Some(Residue { description: description.to_owned(), path: None, bytes, lives_days: None });
        let is_written = left.landed_bytes > 0;
        return Ok(match found {
            Some(_) if blob.form.is_existing && is_written => residue("what was written into the page blob", left.landed_bytes),
            Some(facts) if is_unfinished_of(&facts, left) => {
                residue("the page blob itself, marked `incomplete` in its metadata", left.landed_bytes)
            }
            Some(facts) if is_written && facts.transfer_id.as_deref() != Some(left.transfer_id) => {
                residue("nothing of it is left: another program replaced the page blob that was begun", 0)
            }
            _ => None,
        });
    }
    let Uncommitted { bytes, count, .. } = uncommitted(blob, left).await?;
    let description = "uncommitted blocks".to_owned();
    Ok((count > 0).then_some(Residue { description, path: None, bytes, lives_days: Some(UNCOMMITTED_LIVE_DAYS) }))
}

pub(super) async fn discard(blob: &AzureBlob, left: LeftBy<'_>) -> Result<Discarded, BlobError> {
    let found = blob.look().await?.map(|found| found.facts);
    if blob.kind == BlobKind::Page {
        return match found {
            Some(_) if blob.form.is_existing => {
                Ok(Discarded::Stays("what was written into the page blob stays in it".to_owned()))
            }
            Some(facts) if is_unfinished_of(&facts, left) => delete(blob, facts.version).await,
            _ => Ok(Discarded::Everything),
        };
    }
    if let Some(emptied) = found.as_ref().filter(|facts| is_unfinished_of(facts, left)) {
        // An earlier run of this got no further.
        return delete(blob, emptied.version.clone()).await;
    }
    let Uncommitted { unrecorded, count, .. } = uncommitted(blob, left).await?;
    let stay = |why: &str| Ok(Discarded::Stays(format!("{why}: its {count} uncommitted blocks stay, and vanish after a week")));
    match (count, found, unrecorded) {
        (0, ..) => Ok(Discarded::Everything),
        (_, Some(_), _) => stay("a blob has this name, and only a commit of another one would remove them"),
        (_, None, 1..) => stay("some were not recorded by this transfer, and may be another one's"),
        (_, None, 0) => replace_by_nothing(blob, left).await,
    }
}

fn is_unfinished_of(facts: &BlobFacts, left: LeftBy<'_>) -> bool {
    facts.is_incomplete && facts.transfer_id.as_deref() == Some(left.transfer_id)
}

async fn uncommitted(blob: &AzureBlob, left: LeftBy<'_>) -> Result<Uncommitted, BlobError> {
    let failed = |error| blob.error("list the blocks of", error);
    let list = blob.client()?.block_blob_client().get_block_list(BlockListType::Uncommitted, None).await.map_err(failed);
    let blocks = match list {
        Err(error) if error.kind == BlobErrorKind::NotFound => None,
        list => list?.into_model().map_err(failed)?.uncommitted_blocks,
    };
    let count = blocks.as_ref().map_or(0, Vec::len);
    let own = own_chunks(blocks);
    let recorded = own.keys().filter(|digest| left.recorded.contains(*digest)).count();
    Ok(Uncommitted { bytes: own.values().sum(), unrecorded: count - recorded, count })
}

/// Commits an empty blob where there is none, which removes all uncommitted blocks, and deletes it: that very one. Until then
/// it says that it is unfinished, and whose it is.
async fn replace_by_nothing(blob: &AzureBlob, left: LeftBy<'_>) -> Result<Discarded, BlobError> {
    let failed = |error| blob.error("remove the blocks of", error);
    let list = block_list(Vec::new()).map_err(failed)?;
    let metadata = [(metadata::TRANSFER, left.transfer_id), (metadata::STATE, metadata::INCOMPLETE)];
    let options = BlockBlobClientCommitBlockListOptions {
        if_none_match: Some("*".into()),
        metadata: Some(metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
        ..Default::default()
    };
    blob.client()?.block_blob_client().commit_block_list(list, Some(options)).await.map_err(failed)?;
    crash::point("empty-committed");
    let found = blob.look().await?.map(|found| found.facts);
    match found.filter(|facts| is_unfinished_of(facts, left)) {
        Some(emptied) => delete(blob, emptied.version).await,
        None => Ok(Discarded::Everything),
    }
}

/// Deletes this very version.
async fn delete(blob: &AzureBlob, version: String) -> Result<Discarded, BlobError> {
    let options = BlobClientDeleteOptions { if_match: Some(Etag::from(version)), ..Default::default() };
    match blob.client()?.delete(Some(options)).await.map_err(|error| blob.error("remove", error)) {
        Err(error) if error.kind == BlobErrorKind::NotFound => Ok(Discarded::Everything),
        Err(error) => Err(error),
        Ok(_) => Ok(Discarded::Everything),
    }
}
