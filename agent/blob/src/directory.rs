//! A directory as a store: a blob is a plain file, byte for byte the drive.
//!
//! A blob being written is called `NAME.partial`; it is synced and renamed when it is whole. Zero
//! chunks stay holes; `file` says how the others are written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use file::CopyFile;
use futures::StreamExt;
use protocol::digest::Sha256Digest;
use protocol::limits::CHUNKS_MAX;
use protocol::receipt::Residue;
use protocol::units::ByteRange;
use rustix::fs::{Advice, CWD, RenameFlags, fadvise, renameat_with};
use rustix::io::Errno;

use crate::contract::{
    Blob, BlobFacts, ChunkBody, ChunkLimits, CommitFacts, Held, LocalBlob, RangeBody, Upload, UploadRequest, UploadTraits,
};
use crate::error::{BlobError, BlobErrorKind};

/// Pieces in which a range is read: small enough to stay in a processor's cache on the way.
const READ_PIECE_BYTES: u64 = 1 << 20;

/// What the name of a file ends with until it is whole.
pub(crate) const PARTIAL_SUFFIX: &str = ".partial";

/// A file in a directory store.
#[derive(Clone)]
pub struct DirectoryBlob {
    path: PathBuf,
}

impl DirectoryBlob {
    /// The blob at `path`, made absolute so that its address means the same from everywhere.
    pub fn new(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        // One file has one address, whatever links and dots lead to it.
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        Ok(DirectoryBlob { path: folder.zip(path.file_name()).map_or_else(|| path.clone(), |(folder, name)| folder.join(name)) })
    }

    /// The file of the blob.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn partial_path(&self) -> PathBuf {
        with_suffix(&self.path, PARTIAL_SUFFIX)
    }

    fn error(&self, operation: &'static str, error: &io::Error) -> BlobError {
        error_at(&self.path, operation, error)
    }

    /// The file, where it is the version given.
    fn open_version(&self, version: &str) -> Result<File, BlobError> {
        let file = File::open(&self.path).map_err(|error| self.error("read", &error))?;
        let metadata = file.metadata().map_err(|error| self.error("read", &error))?;
        if version_of(&metadata) == version {
            return Ok(file);
        }
        let message = "it was changed by somebody else meanwhile";
        Err(BlobError::new(BlobErrorKind::Changed, "read", self.path.display().to_string(), message))
    }

    /// The directory must be there: a typing mistake must not become a new store.
    fn require_directory(&self) -> Result<PathBuf, BlobError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        if folder.is_dir() {
            return Ok(folder.to_owned());
        }
        let message = format!("the directory `{}` does not exist: create it, or correct the path", folder.display());
        Err(BlobError::new(BlobErrorKind::ContainerNotFound, "reach", self.path.display().to_string(), message))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn error_at(path: &Path, operation: &'static str, error: &io::Error) -> BlobError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => BlobErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => BlobErrorKind::AlreadyExists,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => BlobErrorKind::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => BlobErrorKind::NoSpace,
        _ => BlobErrorKind::Other,
    };
    let message = match kind {
        BlobErrorKind::NoSpace => format!("{error}: free some space, and repeat the command to go on"),
        _ => error.to_string(),
    };
    BlobError::new(kind, operation, path.display().to_string(), message)
}

/// Runs blocking file work where it may block; dropping the future does not stop it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Changes when the file is replaced or written to.
fn version_of(metadata: &std::fs::Metadata) -> String {
    format!("{}-{}.{:09}", metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

impl LocalBlob for DirectoryBlob {
    fn read_at(&self, buffer: &mut [u8], offset: u64, version: &str) -> Result<(), BlobError> {
        self.open_version(version)?.read_exact_at(buffer, offset).map_err(|error| self.error("read", &error))
    }

    fn next_data(&self, offset: u64, version: &str) -> Result<Option<ByteRange>, BlobError> {
        let file = self.open_version(version)?;
        let found = file.metadata().and_then(|metadata| file::next_data(&file, offset, metadata.len()));
        let data = found.map_err(|error| self.error("find the holes of", &error))?;
        Ok(data.map(|data| ByteRange::new(data.start, data.end - data.start)))
    }
}

#[async_trait]
impl Blob for DirectoryBlob {
    fn address(&self) -> String {
        self.path.display().to_string()
    }

    fn limits(&self) -> ChunkLimits {
        ChunkLimits { chunks_max: CHUNKS_MAX, chunk_bytes_max: 1 << 40, chunk_bytes_multiple: 512, blob_bytes_max: u64::MAX }
    }

    fn checks_arrival(&self) -> bool {
        false
    }

    fn sibling(&self, suffix: &str) -> Arc<dyn Blob> {
        Arc::new(DirectoryBlob { path: with_suffix(&self.path, suffix) })
    }

    async fn head(&self) -> Result<Option<BlobFacts>, BlobError> {
        self.require_directory()?;
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(BlobFacts {
                size_bytes: metadata.len(),
                version: version_of(&metadata),
                transfer_id: None,
                is_incomplete: false,
                is_being_replaced: self.partial_path().exists(),
            })),
            Ok(metadata) => {
                let what = if metadata.is_dir() { "it is a directory" } else { "it is not a plain file" };
                Err(BlobError::new(BlobErrorKind::Other, "use", self.address(), what))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error("examine", &error)),
        }
    }

    async fn read(&self, range: ByteRange, version: &str, _checked: bool) -> Result<RangeBody, BlobError> {
        let (path, file) = (self.path.clone(), Arc::new(self.open_version(version)?));
        let pieces = futures::stream::unfold(range, move |left| {
            let (file, path) = (file.clone(), path.clone());
            async move {
                if left.length == 0 {
                    return None;
                }
                let length = left.length.min(READ_PIECE_BYTES);
                let read = blocking(move || {
                    let mut bytes = vec![0; length as usize];
                    file.read_exact_at(&mut bytes, left.offset).map(|()| Bytes::from(bytes))
                });
                let piece = read.await.and_then(|result| result).map_err(|error| error_at(&path, "read", &error));
                let next = match &piece {
                    Ok(_) => ByteRange::new(left.offset + length, left.length - length),
                    Err(_) => ByteRange::new(left.end(), 0),
                };
                Some((piece, next))
            }
        });
        Ok(RangeBody { pieces: pieces.boxed(), checksum: None })
    }

    fn local(&self) -> Option<Arc<dyn LocalBlob>> {
        Some(Arc::new(self.clone()))
    }

    async fn begin_upload(&self, request: &UploadRequest) -> Result<(Arc<dyn Upload>, Held), BlobError> {
        self.require_directory()?;
        let partial = self.partial_path();
        let failed = |error: &io::Error| error_at(&partial, "create", error);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&partial);
        let file = opened.map_err(|error| failed(&error))?;
        if file.try_lock().is_err() {
            let message = "another transfer is writing it: wait for it, or cancel it first";
            return Err(BlobError::new(BlobErrorKind::AlreadyExists, "write", partial.display().to_string(), message));
        }
        // The file gets its length with the first chunk, which the journal's beginning precedes. So a file of that length
        // is one that records may be about; one that was just made is not.
        let held = match file.metadata().map_err(|error| failed(&error))?.len() {
            length if request.resume && length == request.total_bytes && length > 0 => Held::Recorded,
            _ => Held::Nothing,
        };
        if held == Held::Nothing {
            file.set_len(0).map_err(|error| failed(&error))?;
            sync_directory(&partial).map_err(|error| failed(&error))?;
        }
        let upload = DirectoryUpload {
            file: Arc::new(CopyFile::new(file, &partial)),
            path: self.path.clone(),
            partial,
            overwrite: request.overwrite,
            total_bytes: request.total_bytes,
        };
        Ok((Arc::new(upload), held))
    }

    async fn put_file(&self, path: &Path) -> Result<(), BlobError> {
        self.require_directory()?;
        let (source, partial, target) = (path.to_owned(), self.partial_path(), self.path.clone());
        let work = move || {
            let mut file = File::create(&partial)?;
            io::copy(&mut File::open(&source)?, &mut file)?;
            file.sync_all()?;
            std::fs::rename(&partial, &target)?;
            sync_directory(&target)
        };
        blocking(work).await.and_then(|result| result).map_err(|error| self.error("write", &error))
    }
}

/// A file being written under its partial name.
struct DirectoryUpload {
    file: Arc<CopyFile>,
    path: PathBuf,
    partial: PathBuf,
    overwrite: bool,
    total_bytes: u64,
}

/// Whether `path` leads to this very file.
fn is_file_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    Ok(std::fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())))
}

#[async_trait]
impl Upload for DirectoryUpload {
    fn traits(&self) -> UploadTraits {
        UploadTraits { content_named: false, durable_when_acknowledged: false, concurrency: 4 }
    }

    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        let (file, bytes, offset) = (self.file.clone(), chunk.bytes.clone(), chunk.range.offset);
        let total_bytes = self.total_bytes;
        // Writes that make a file longer go one at a time.
        let written = blocking(move || file.give_length(total_bytes).and_then(|()| file.write_all_at(&bytes, offset))).await;
        written.and_then(|result| result).map_err(|error| error_at(&self.partial, "write", &error))
    }

    async fn clear(&self, range: ByteRange) -> Result<(), BlobError> {
        let file = self.file.clone();
        let cleared = blocking(move || file.zero(range.offset, range.length)).await;
        cleared.and_then(|result| result).map_err(|error| error_at(&self.partial, "clear a part of", &error))
    }

    async fn sync(&self) -> Result<(), BlobError> {
        let (file, total_bytes) = (self.file.clone(), self.total_bytes);
        // The length of the whole, where the last bytes are zeros that were never written.
        let synced = blocking(move || file.give_length(total_bytes).and_then(|()| file.file().sync_data())).await;
        synced.and_then(|result| result).map_err(|error| error_at(&self.partial, "sync", &error))
    }

    async fn held(&self) -> Result<Held, BlobError> {
        Ok(Held::Recorded)
    }

    async fn commit(&self, _chunks: &[(Sha256Digest, ByteRange)], _facts: &CommitFacts<'_>) -> Result<(), BlobError> {
        let (file, partial, target) = (self.file.clone(), self.partial.clone(), self.path.clone());
        let total_bytes = self.total_bytes;
        let flags = if self.overwrite { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let work = move || {
            if is_file_at(file.file(), &target)? {
                // An earlier try was given up on, and renamed it all the same.
                return sync_directory(&target);
            }
            file.give_length(total_bytes)?;
            let file = file.file();
            file.sync_all()?;
            // Whoever reads it next, to verify it, shall read the disk.
            let _ = fadvise(file, 0, None, Advice::DontNeed);
            match renameat_with(CWD, &partial, CWD, &target, flags) {
                // Not every file system knows NOREPLACE; then we look, and rename.
                Err(Errno::INVAL | Errno::NOSYS) if !flags.is_empty() && !target.exists() => std::fs::rename(&partial, &target)?,
                other => other?,
            }
            sync_directory(&target)
        };
        let committed = blocking(work).await;
        committed.and_then(|result| result).map_err(|error| error_at(&self.path, "finish", &error))
    }

    fn residue(&self, _landed_bytes: u64) -> Option<Residue> {
        let bytes = std::fs::metadata(&self.partial).map_or(0, |metadata| metadata.blocks() * 512);
        let description = format!("the file `{}`, which a resume goes on with", self.partial.display());
        Some(Residue { description, bytes, lives_days: None })
    }
}
