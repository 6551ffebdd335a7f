//! What an upload left at the store that was not finished, and its removal: everything below its own prefix, and the upload
//! of the final object that its marker names. Nothing of another transfer.

use std::collections::BTreeSet;

use futures::{FutureExt, StreamExt, TryStreamExt};
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::receipt::Residue;

use super::error::S3Failure;
use super::multipart::OpenUpload;
use super::object::S3Blob;
use super::staging::Staging;
use crate::contract::Blob;
use crate::error::{BlobError, BlobErrorKind};
use crate::http::listing::Listed;

/// Requests at once that list or remove.
const AT_ONCE: usize = 16;

/// Longest marker, in bytes: ids of uploads have a few hundred characters.
const MARKER_BYTES_MAX: u64 = 4096;

/// What a transfer left.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// Uploads whose names say whose they are.
    pub(super) uploads: Vec<OpenUpload>,
    pub(super) objects: Vec<Listed>,
    /// The upload of the final object, where there is a marker of it.
    pub(super) of_final: Option<OpenUpload>,
}

impl Leftovers {
    /// Looks for what a transfer left beside a key.
    pub(super) async fn find(blob: &S3Blob, key: &str, transfer_id: &str) -> Result<Self, S3Failure> {
        let mut found = Self::find_named(blob, key, transfer_id).await?;
        let marker = blob.names(key, transfer_id).marker();
        if found.objects.iter().any(|object| object.key == marker && object.size_bytes <= MARKER_BYTES_MAX) {
            let body = blob.staging_bucket().get_small(&marker).await?;
            let id = body.and_then(|body| String::from_utf8(body.to_vec()).ok()).filter(|id| !id.is_empty());
            found.of_final = id.map(|id| blob.bucket.open_upload(key, &id));
        }
        Ok(found)
    }

    /// The same by names alone: without the upload that the marker leads to.
    async fn find_named(blob: &S3Blob, key: &str, transfer_id: &str) -> Result<Self, S3Failure> {
        let (bucket, names) = (blob.staging_bucket(), blob.names(key, transfer_id));
        let objects = bucket.all_objects(names.prefix()).await?;
        let uploads = bucket.all_uploads(names.prefix()).await?;
        Ok(Leftovers { uploads, objects, of_final: None })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.uploads.is_empty() && self.objects.is_empty() && self.of_final.is_none()
    }

    /// All uploads, that of the final object among them.
    fn all_uploads(&self) -> Vec<OpenUpload> {
        self.uploads.iter().chain(&self.of_final).cloned().collect()
    }

    /// How many bytes the store keeps of it, parts and objects; and how many uploads there still are.
    async fn measure(&self) -> Result<(u64, usize), S3Failure> {
        let of_parts = futures::stream::iter(self.all_uploads()).map(|upload| async move { upload.all_parts().await }.boxed());
        let of_parts: Vec<_> = of_parts.buffer_unordered(AT_ONCE).try_collect().await?;
        let open: Vec<_> = of_parts.into_iter().flatten().collect();
        let parts: u64 = open.iter().flatten().map(|part| part.size_bytes).sum();
        let objects: u64 = self.objects.iter().map(|object| object.size_bytes).sum();
        Ok((parts + objects, open.len()))
    }

    /// Aborts the uploads, and removes the objects: the marker last, since it leads to an upload.
    async fn remove(&self, blob: &S3Blob) -> Result<(), S3Failure> {
        let aborted = futures::stream::iter(self.all_uploads()).map(|upload| async move { upload.abort().await }.boxed());
        aborted.buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await?;
        let keys = self.objects.iter().map(|object| object.key.clone());
        let (markers, others): (Vec<String>, Vec<String>) = keys.partition(|key| key.ends_with("/upload"));
        for keys in [others, markers] {
            let removed = futures::stream::iter(keys).map(|key| async move { blob.staging_bucket().delete(&key).await }.boxed());
            removed.buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await?;
        }
        Ok(())
    }
}

/// The keys beside which a transfer may have left something: the object's, and its manifest's.
fn keys(blob: &S3Blob) -> [String; 2] {
    [blob.key().to_owned(), format!("{}{MANIFEST_SUFFIX}", blob.key())]
}

/// What an unfinished transfer keeps at the store, for a receipt.
pub(super) async fn left_by(blob: &S3Blob, transfer_id: &str) -> Result<Option<Residue>, BlobError> {
    let failed = |failure| blob.error("look for what is left of", failure);
    let (mut bytes, mut uploads, mut objects) = (0, 0, 0);
    for key in keys(blob) {
        let found = Leftovers::find(blob, &key, transfer_id).await.map_err(failed)?;
        let (found_bytes, open) = found.measure().await.map_err(failed)?;
        bytes += found_bytes;
        uploads += open;
        objects += found.objects.len();
    }
    let description = format!(
        "{uploads} multipart upload{} and {objects} object{} below `{}`: they stay until they are removed (`drive-agent transfers discard`), or a lifecycle rule removes them",
        if uploads == 1 { "" } else { "s" },
        if objects == 1 { "" } else { "s" },
        blob.shown_piece(blob.names(blob.key(), transfer_id).prefix())
    );
    Ok((uploads + objects > 0).then_some(Residue { description, path: None, bytes, lives_days: None }))
}

/// Removes everything that a transfer left; false where that was nothing.
pub(super) async fn discard(blob: &S3Blob, transfer_id: &str) -> Result<bool, BlobError> {
    let failed = |failure| blob.error("remove what is left of", failure);
    let mut had_any = false;
    for key in keys(blob) {
        let found = Leftovers::find(blob, &key, transfer_id).await.map_err(failed)?;
        had_any |= !found.is_empty();
        found.remove(blob).await.map_err(failed)?;
    }
    Ok(had_any)
}

/// Removes what was put beside an object that is complete: the upload that the marker leads to is the object by now.
pub(super) async fn clean(blob: &S3Blob, transfer_id: &str) -> Result<(), BlobError> {
    let failed = |failure| blob.error("remove what was put beside", failure);
    let found = Leftovers::find_named(blob, blob.key(), transfer_id).await.map_err(failed)?;
    found.remove(blob).await.map_err(failed)
}

/// A warning of what other transfers left beside this object, which may be at work or may be forgotten.
pub(super) async fn of_others(blob: &S3Blob, own_ids: &[String]) -> Result<Vec<String>, BlobError> {
    let prefix = Staging::of_all(&blob.staging_folder(), blob.key());
    let found = match blob.staging_bucket().list(&prefix, "/", None).await {
        Ok(found) => found,
        // Who may write and not list is told nothing, and may go on.
        Err(failure) if failure.kind() == BlobErrorKind::NotPermitted && blob.staging.is_none() => return Ok(Vec::new()),
        Err(failure) => return Err(blob.staging_error("look for what is left of", failure)),
    };
    let id_of = |folder: &String| folder.strip_prefix(&prefix)?.strip_suffix('/').map(str::to_owned);
    let others: BTreeSet<String> = found.prefixes.iter().filter_map(id_of).filter(|id| !own_ids.contains(id)).collect();
    for id in others {
        let folder = format!("{prefix}{id}/");
        // Servers that keep folders list one for some time after its last object was removed.
        let below = blob.staging_bucket().list(&folder, "", None).await;
        if below.is_ok_and(|below| below.items.is_empty()) {
            continue;
        }
        let (address, shown) = (blob.address(), blob.shown_piece(&folder));
        return Ok(vec![format!(
            "another transfer ({id}) is at work on `{address}`, or left something at the store below `{shown}`: where it was this machine's, `drive-agent transfers` lists it"
        )]);
    }
    Ok(Vec::new())
}
