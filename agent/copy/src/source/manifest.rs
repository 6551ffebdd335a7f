//! Getting a manifest: from a file, from beside a blob, or from a blob of its own; checked whole before
//! anything trusts it, and checked while it comes: nothing of it is kept but the table of its records.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::{Blob, BlobFacts};
use protocol::digest::Sha256Digest;
use protocol::manifest::{Header, MANIFEST_SUFFIX, ManifestError, ManifestReader};
use protocol::units::{ByteRange, ChunkGeometry, ChunkIndex};
use tokio::sync::mpsc;

use crate::call::options::TransferOptions;
use crate::error::{CopyError, Stage, state_error};
use crate::flow::attempts::Attempts;
use crate::limits::MANIFEST_BEGINNING_BYTES;
use crate::record::table::{ChunkTable, SharedTable};
use crate::source::blob_range::Fetch;

/// Where a manifest is.
pub enum ManifestSource {
    /// A file on this machine.
    File(PathBuf),
    /// A blob of its own.
    Blob(Arc<dyn Blob>),
}

/// A manifest that was read whole, with everything in it checked.
pub(crate) struct LoadedManifest {
    pub(crate) header: Box<Header>,
    pub(crate) geometry: ChunkGeometry,
    pub(crate) table: SharedTable,
    pub(crate) root: Sha256Digest,
    /// The SHA-256 of the whole, where the manifest has it.
    pub(crate) stream_sha256: Option<Sha256Digest>,
}

/// What is known of a manifest before it is read.
#[derive(Clone)]
struct Place {
    /// What it is called in messages.
    shown: String,
    size_bytes: u64,
    /// The blob beside which it is, and its size in bytes.
    blob: Option<(String, u64)>,
    /// Where the table of its records goes.
    folder: PathBuf,
    /// What to do where it cannot be used.
    way_out: &'static str,
}

/// Reads and checks a manifest. Its records go into a table in `options.state_dir`.
pub(crate) async fn load_manifest(
    source: &ManifestSource,
    shown: &str,
    options: &TransferOptions,
    attempts: &Attempts,
) -> Result<LoadedManifest, CopyError> {
    let folder = options.state_dir.clone();
    let way_out = "look whether it is what you meant, or import again";
    let place = Place { shown: shown.to_owned(), size_bytes: 0, blob: None, folder, way_out };
    match source {
        ManifestSource::File(path) => {
            let path = path.clone();
            let loading = tokio::task::spawn_blocking(move || load_file(&path, place));
            loading.await.unwrap_or_else(|error| Err(CopyError::of_task(Stage::Manifest, error)))
        }
        ManifestSource::Blob(blob) => {
            let loaded = download(&**blob, place, options, &attempts.for_first_contact()).await?;
            loaded.ok_or_else(|| not_found(&**blob).into())
        }
    }
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
    let of_blob = Some((blob.address(), facts.size_bytes));
    let way_out = "move it away to export the blob without it, or import again with `--overwrite`";
    let place = Place { shown: beside.address(), size_bytes: 0, blob: of_blob, folder: folder.to_owned(), way_out };
    download(&*beside, place, options, attempts).await
}

/// The header of a manifest at the store; `None` where the blob is not a manifest.
pub(crate) async fn header_of_manifest(
    blob: &dyn Blob,
    facts: &BlobFacts,
    options: &TransferOptions,
    attempts: &Attempts,
) -> Result<Option<Header>, CopyError> {
    let range = ByteRange::new(0, MANIFEST_BEGINNING_BYTES.min(facts.size_bytes));
    let fetch = Fetch { blob, version: &facts.version, checked: false, silence_max: options.request_timeout, attempts };
    let beginning = fetch.fill(range, vec![0; range.length as usize]).await?.buffer;
    Ok(ManifestReader::new(&*beginning).ok().map(|reader| reader.header().clone()))
}

fn load_file(path: &Path, place: Place) -> Result<LoadedManifest, CopyError> {
    let folder = &place.folder;
    file::private::make_folder(folder).map_err(|source| state_error("create", folder, source))?;
    // A pipe would wait for its other end.
    let opened = std::fs::metadata(path).and_then(|metadata| match metadata.is_file() {
        true => Ok((metadata.len(), File::open(path)?)),
        false => Err(std::io::Error::other("it is not a plain file")),
    });
    let unusable =
        |error| CopyError::Manifest { place: place.shown.clone(), error: ManifestError::Io(error), way_out: place.way_out };
    let (size_bytes, file) = opened.map_err(unusable)?;
    load(BufReader::new(file), &Place { size_bytes, ..place })
}

/// Reads a manifest to its end, and no further than an honest one of its kind can go.
fn load(source: impl BufRead, place: &Place) -> Result<LoadedManifest, CopyError> {
    let unusable = |error| CopyError::Manifest { place: place.shown.clone(), error, way_out: place.way_out };
    let mut reader = ManifestReader::new(source).map_err(unusable)?;
    if let Some((blob, size)) = &place.blob
        && reader.header().total_bytes != *size
    {
        return Err(CopyError::Mismatch(format!(
            "the manifest `{}` is of another blob: it states {} bytes, and `{blob}` has {size}; remove the manifest if the blob was replaced on purpose",
            place.shown,
            reader.header().total_bytes
        )));
    }
    let geometry = reader.geometry();
    let (bytes, most) = (place.size_bytes, protocol::manifest::bytes_max(geometry));
    if bytes > most {
        return Err(unusable(ManifestError::TooLong { bytes, most }));
    }
    let failed = |source| state_error("make a table in", &place.folder, source);
    let mut table = ChunkTable::new(&place.folder, geometry).map_err(failed)?;
    let mut index = 0;
    while let Some(record) = reader.next_chunk().map_err(unusable)? {
        table.set_landed(ChunkIndex(index), &record, false).map_err(failed)?;
        index += 1;
    }
    let footer = reader.footer().ok_or_else(|| unusable(ManifestError::NoEnd))?;
    let (root, stream_sha256) = (footer.root_sha256, footer.stream_sha256);
    let header = Box::new(reader.header().clone());
    Ok(LoadedManifest { header, geometry, table: SharedTable::new(table), root, stream_sha256 })
}

/// Reads a manifest from the store; `None` where there is none. One that cannot be used is fetched once more: it
/// comes without a checksum of the store, and may have been changed on its way.
async fn download(
    blob: &dyn Blob,
    place: Place,
    options: &TransferOptions,
    attempts: &Attempts,
) -> Result<Option<LoadedManifest>, CopyError> {
    let Some(facts) = attempts.run("look at", 0, || blob.head()).await?.0 else {
        return Ok(None);
    };
    let place = Place { size_bytes: facts.size_bytes, ..place };
    let fetch = Fetch { blob, version: &facts.version, checked: false, silence_max: options.request_timeout, attempts };
    match load_once(&fetch, place.clone()).await {
        Err(CopyError::Manifest { .. }) => {
            attempts.handle.counters.add_retry();
            load_once(&fetch, place).await.map(Some)
        }
        loaded => loaded.map(Some),
    }
}

/// Fetches a manifest piece by piece while a thread checks what has come. The first fault of it ends the fetching.
async fn load_once(fetch: &Fetch<'_>, place: Place) -> Result<LoadedManifest, CopyError> {
    const PIECE_BYTES: u64 = 4 << 20;
    let (output, pieces) = mpsc::channel(1);
    let size = place.size_bytes;
    let loading = tokio::task::spawn_blocking(move || {
        let folder = &place.folder;
        file::private::make_folder(folder).map_err(|source| state_error("create", folder, source))?;
        load(BufReader::new(Pieces { pieces, current: Cursor::default() }), &place)
    });
    let mut offset = 0;
    while offset < size {
        let range = ByteRange::new(offset, PIECE_BYTES.min(size - offset));
        let filled = fetch.fill(range, vec![0; range.length as usize]).await?;
        if output.send(filled.buffer).await.is_err() {
            break;
        }
        offset = range.end();
    }
    drop(output);
    loading.await.unwrap_or_else(|error| Err(CopyError::of_task(Stage::Manifest, error)))
}

/// Pieces of a file as they come; they end where the fetching does.
struct Pieces {
    pieces: mpsc::Receiver<Vec<u8>>,
    current: Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let length = self.current.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}

/// Refuses a blob that cannot be read, or that an import has begun and not finished.
pub(crate) fn require_whole(blob: &dyn Blob, facts: &BlobFacts) -> Result<(), CopyError> {
    facts.require_readable(&blob.address())?;
    match facts.is_incomplete {
        true => Err(CopyError::Refused(format!(
            "the blob `{}` is marked incomplete: its import was not finished; finish it first",
            blob.address()
        ))),
        false => Ok(()),
    }
}

/// The error of a blob that is not there.
pub(crate) fn not_found(blob: &dyn Blob) -> blob::BlobError {
    let message = "there is no such blob: correct its name, or import it first";
    blob::BlobError::new(blob::BlobErrorKind::NotFound, "read", blob.address(), message)
}
