//! What an upload left at the store that was not finished, and its removal: everything below its own prefix. Nothing of
//! another transfer.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::receipt::Residue;

use super::assembly::Assembly;
use super::object::GcsBlob;
use super::staging::Staging;
use super::tree::Piece;
use crate::contract::Blob;
use crate::error::{BlobError, BlobErrorKind};

/// Objects that are removed at once.
const AT_ONCE: usize = 32;

/// How often the removal of what a complete object does not need is tried, and how long it waits between two tries. It is no
/// part of the copy, and takes nothing of its budget.
const CLEANING_PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(2)];

/// The names beside which a transfer may have left something: the object's, and its manifest's.
fn names(blob: &GcsBlob) -> [String; 2] {
    [blob.name().to_owned(), format!("{}{MANIFEST_SUFFIX}", blob.name())]
}

/// What an unfinished transfer keeps at the store, for a receipt.
pub(super) async fn left_by(blob: &GcsBlob, transfer_id: &str) -> Result<Option<Residue>, BlobError> {
    let (mut bytes, mut count) = (0, 0);
    for name in names(blob) {
        let found = blob.bucket.all_objects(blob.names(&name, transfer_id).prefix()).await;
        let found = found.map_err(|failure| blob.error("look for what is left of", failure))?;
        bytes += found.iter().map(|object| object.size_bytes).sum::<u64>();
        count += found.len();
    }
    let description = format!(
        "{count} object{} below `{}`: they stay until they are removed (`drive-agent transfers discard`), or a lifecycle rule removes them",
        if count == 1 { "" } else { "s" },
        blob.names(blob.name(), transfer_id).prefix()
    );
    Ok((count > 0).then_some(Residue { description, path: None, bytes, lives_days: None }))
}

/// Removes everything that a transfer left; false where that was nothing.
pub(super) async fn discard(blob: &GcsBlob, transfer_id: &str) -> Result<bool, BlobError> {
    let mut had_any = false;
    for name in names(blob) {
        let found = blob.bucket.all_objects(blob.names(&name, transfer_id).prefix()).await;
        let found = found.map_err(|failure| blob.error("look for what is left of", failure))?;
        had_any |= !found.is_empty();
        let (_, failure) = remove(blob, found.into_iter().map(|object| object.key)).await;
        if let Some(error) = failure {
            return Err(error);
        }
    }
    Ok(had_any)
}

/// Removes these; gives those that stay, and why the first of them does.
async fn remove(blob: &GcsBlob, names: impl Iterator<Item = String> + Send) -> (Vec<String>, Option<BlobError>) {
    let removals = futures::stream::iter(names).map(|name| {
        async move {
            let removed = blob.bucket.delete(&name, None).await;
            (name, removed.map_err(|failure| blob.error("remove what is left of", failure)))
        }
        .boxed()
    });
    let mut removals = removals.buffer_unordered(AT_ONCE);
    let (mut staying, mut first): (Vec<String>, Option<BlobError>) = (Vec::new(), None);
    while let Some((name, removed)) = removals.next().await {
        if let Err(error) = removed {
            staying.push(name);
            // One that is final says more than one that would pass.
            if first.as_ref().is_none_or(|first| first.is_transient() && !error.is_transient()) {
                first = Some(error);
            }
        }
    }
    (staying, first)
}

/// Removes what was put beside an object that is complete: what the store lists, and what this process knows where it lists
/// nothing. Gives how many stay, and why.
pub(super) async fn clean(assembly: &Assembly, pieces: &[Piece]) -> Result<(), (usize, BlobError)> {
    let blob = &assembly.blob;
    let mut left: Vec<String> = match blob.bucket.all_objects(assembly.staging.prefix()).await {
        Ok(found) => found.into_iter().map(|object| object.key).collect(),
        Err(_) => assembly.names_of(pieces).into_iter().collect(),
    };
    let mut why = None;
    for pause in CLEANING_PAUSES {
        tokio::time::sleep(pause).await;
        (left, why) = remove(blob, left.into_iter()).await;
        if !why.as_ref().is_some_and(BlobError::is_transient) {
            break;
        }
    }
    why.map_or(Ok(()), |error| Err((left.len(), error)))
}

/// A warning of what other transfers left beside this object, which may be at work or may be forgotten.
pub(super) async fn of_others(blob: &GcsBlob, own_ids: &[String]) -> Result<Vec<String>, BlobError> {
    let prefix = Staging::of_all(blob.staging_folder(), blob.name());
    let found = match blob.bucket.list(&prefix, "/", None).await {
        Ok(found) => found,
        // Who may write and not list is told nothing, and may go on.
        Err(failure) if failure.kind() == BlobErrorKind::NotPermitted && blob.staging.is_none() => return Ok(Vec::new()),
        Err(failure) => return Err(blob.error("look for what is left of", failure)),
    };
    let id_of = |folder: &String| folder.strip_prefix(&prefix)?.strip_suffix('/').map(str::to_owned);
    let others: BTreeSet<String> = found.prefixes.iter().filter_map(id_of).filter(|id| !own_ids.contains(id)).collect();
    Ok(others
        .into_iter()
        .take(1)
        .map(|id| {
            format!(
                "another transfer ({id}) is at work on `{}`, or left something at the store below `{prefix}{id}/`: where it was this machine's, `drive-agent transfers` lists it",
                blob.address()
            )
        })
        .collect())
}
