//! Getting a manifest: from a file, from beside a blob, or from a blob of its own; checked whole before
//! anything trusts it.

use std::path::Path;
use std::sync::Arc;

use blob::{Blob, BlobFacts};
use protocol::digest::Sha256Digest;
use protocol::manifest::{MANIFEST_SUFFIX, ManifestError, ManifestReader};
use protocol::units::{ByteRange, ChunkGeometry, ChunkIndex};
use tempfile::NamedTempFile;

use crate::attempts::Attempts;
use crate::error::{CopyError, state_error};
use crate::fetch::{Fetch, FetchBuffer};
use crate::options::{Link, TransferOptions};
use crate::prepare::attempts;
use crate::table::{ChunkTable, SharedTable};

/// A manifest that was read whole, with everything in it checked.
pub(crate) struct LoadedManifest {
    pub(crate) header: Box<protocol::manifest::Header>,
    pub(crate) geometry: ChunkGeometry,
    pub(crate) table: SharedTable,
    pub(crate) root: Sha256Digest,
}

/// Reads and checks a manifest; its records go into a table in `folder`.
pub(crate) fn load_manifest(path: &Path, shown: &str, folder: &Path) -> Result<LoadedManifest, CopyError> {
    let unusable = |error| CopyError::Manifest { place: shown.to_owned(), error };
    let file = std::fs::File::open(path).map_err(|error| unusable(ManifestError::Io(error)))?;
    let mut reader = ManifestReader::new(std::io::BufReader::new(file)).map_err(unusable)?;
    let geometry = reader.geometry();
    let failed = |source| state_error("make a table in", folder, source);
    let mut table = ChunkTable::new(folder, geometry).map_err(failed)?;
    let mut index = 0;
    while let Some(record) = reader.next_chunk().map_err(unusable)? {
        table.set_landed(ChunkIndex(index), &record, false).map_err(failed)?;
        index += 1;
    }
    let root = reader.footer().map(|footer| footer.root_sha256).ok_or_else(|| unusable(ManifestError::NoEnd))?;
    Ok(LoadedManifest { header: Box::new(reader.header().clone()), geometry, table: SharedTable::new(table), root })
}

/// Gets a manifest that is a blob itself into a temporary file.
///
/// # Errors
/// When there is none, or the store fails.
pub async fn fetch_manifest(blob: &dyn Blob, options: &TransferOptions, link: &Link) -> Result<NamedTempFile, CopyError> {
    let folder = &options.state_dir;
    std::fs::create_dir_all(folder).map_err(|source| state_error("create", folder, source))?;
    let attempts = attempts(options, link, blob.address()).for_first_contact();
    download(blob, options, &attempts, folder).await?.ok_or_else(|| not_found(blob).into())
}

/// Gets and checks the manifest beside the blob; `None` where there is none.
pub(crate) async fn manifest_beside(
    blob: &Arc<dyn Blob>,
    facts: &BlobFacts,
    options: &TransferOptions,
    attempts: &Attempts,
    folder: &Path,
) -> Result<Option<LoadedManifest>, CopyError> {
    let beside = blob.sibling(MANIFEST_SUFFIX);
    let Some(file) = download(&*beside, options, attempts, folder).await? else {
        return Ok(None);
    };
    let manifest = load_manifest(file.path(), &beside.address(), folder)?;
    let stated = manifest.header.total_bytes;
    if stated != facts.size_bytes {
        return Err(CopyError::Mismatch(format!(
            "the manifest `{}` is of another blob: it states {stated} bytes, and `{}` has {}; remove the manifest if the blob was replaced on purpose",
            beside.address(),
            blob.address(),
            facts.size_bytes
        )));
    }
    Ok(Some(manifest))
}

/// Gets a small blob into a file; `None` where there is none.
async fn download(
    blob: &dyn Blob,
    options: &TransferOptions,
    attempts: &Attempts,
    folder: &Path,
) -> Result<Option<NamedTempFile>, CopyError> {
    const PIECE_BYTES: u64 = 4 << 20;
    let Some(facts) = attempts.run("look at", 0, || blob.head()).await?.0 else {
        return Ok(None);
    };
    let failed = |source| state_error("write", folder, source);
    let mut file = NamedTempFile::new_in(folder).map_err(failed)?;
    let mut offset = 0;
    while offset < facts.size_bytes {
        let range = ByteRange::new(offset, PIECE_BYTES.min(facts.size_bytes - offset));
        let fetched = attempts.run_self_timed(|| async {
            let piece = FetchBuffer::new(vec![0; range.length as usize]);
            let fetch = Fetch { blob, version: &facts.version, checked: false, silence_max: options.request_timeout };
            fetch.fill(range, &piece).await?;
            Ok(piece.take().await.unwrap_or_default())
        });
        let (piece, _) = fetched.await?;
        std::io::Write::write_all(&mut file, &piece).map_err(failed)?;
        offset = range.end();
    }
    Ok(Some(file))
}

/// The error of a blob that is not there.
pub(crate) fn not_found(blob: &dyn Blob) -> blob::BlobError {
    let message = "there is no such blob: correct its name, or import it first";
    blob::BlobError::new(blob::BlobErrorKind::NotFound, "read", blob.address(), message)
}
