//! The file of a blob: looking at it, and storing a small one whole.

use std::fs::{File, Metadata};
use std::io::{self, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use file::locked::LockError;
use file::replace::{IfExists, folder_of, write_file};

use crate::contract::{Blob, Replaces};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::{BlobFacts, Obstacles};

/// Why the unfinished file of a transfer is not read as a blob.
const UNFINISHED: &str = "it is the unfinished file of a transfer: resume that transfer, or rename the file";

/// A file in a directory store.
#[derive(Clone)]
pub struct DirectoryBlob {
    pub(super) path: PathBuf,
}

impl DirectoryBlob {
    /// The blob at `path`, made absolute so that its address means the same from everywhere.
    pub fn new(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        // One file has one address, whatever links and dots lead to its folder.
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        Ok(DirectoryBlob { path: folder.zip(path.file_name()).map_or_else(|| path.clone(), |(folder, name)| folder.join(name)) })
    }

    /// The file of the blob.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn error(&self, operation: &'static str, error: io::Error) -> BlobError {
        error_at(&self.path, operation, error)
    }

    /// The file, where it is the version given.
    pub(super) fn open_version(&self, version: &str) -> Result<File, BlobError> {
        let file = File::open(&self.path).map_err(|error| self.error("read", error))?;
        let metadata = file.metadata().map_err(|error| self.error("read", error))?;
        if version_of(&metadata) == version {
            return Ok(file);
        }
        let message = "it was changed by another program meanwhile";
        Err(BlobError::new(BlobErrorKind::Changed, "read", self.path.display().to_string(), message))
    }

    /// The directory must be there: a typing mistake must not become a new store.
    pub(super) fn require_directory(&self) -> Result<(), BlobError> {
        let folder = folder_of(&self.path);
        if folder.is_dir() {
            return Ok(());
        }
        let message = format!("the directory `{}` does not exist: create it, or correct the path", folder.display());
        Err(BlobError::new(BlobErrorKind::ContainerNotFound, "reach", self.path.display().to_string(), message))
    }

    pub(super) fn look(&self) -> Result<Option<BlobFacts>, BlobError> {
        self.require_directory()?;
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(BlobFacts {
                size_bytes: metadata.len(),
                version: version_of(&metadata),
                content_mark: Some(content_mark_of(&metadata)),
                transfer_id: None,
                is_incomplete: false,
                is_sparse: false,
                is_vhd: false,
                stated: None,
                obstacles: Obstacles { to_reading: self.is_unfinished().then(|| UNFINISHED.to_owned()), ..Obstacles::default() },
            })),
            Ok(metadata) => {
                let what = if metadata.is_dir() { "it is a directory" } else { "it is not a plain file" };
                Err(BlobError::new(BlobErrorKind::Refused, "use", self.address(), what))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error("examine", error)),
        }
    }

    pub(super) fn is_unfinished(&self) -> bool {
        self.path.file_name().is_some_and(|name| file::partial::is_partial(&name.to_string_lossy()))
    }

    pub(super) fn store(&self, source: &File, transfer_id: &str, replaces: &Replaces) -> Result<(), BlobError> {
        self.require_directory()?;
        let is_version = || match (replaces, std::fs::metadata(&self.path)) {
            (Replaces::Version(version), Ok(metadata)) => version_of(&metadata) == *version,
            _ => false,
        };
        let if_exists = match replaces {
            Replaces::Anything => IfExists::Replace,
            Replaces::Nothing => IfExists::Fail,
            Replaces::Version(_) => IfExists::ReplaceIf(&is_version),
        };
        let stored = file::partial::path_of(&self.path, transfer_id).and_then(|temporary| {
            let mut source = source.try_clone()?;
            write_file(&self.path, &temporary, if_exists, |file| {
                source.rewind()?;
                io::copy(&mut source, file).map(|_| ())
            })
        });
        stored.map_err(|error| self.error("write", error))
    }
}

/// The unfinished file of a transfer into the blob of this address, where that is one of a directory.
pub fn unfinished_file(address: &str, transfer_id: &str) -> Option<PathBuf> {
    file::partial::path_of(path_of(address)?, transfer_id).ok()
}

/// The unfinished files of every transfer into the blob of this address; none where that is not one of a directory.
pub fn unfinished_files(address: &str) -> Vec<PathBuf> {
    path_of(address).and_then(|path| file::partial::beside(path).ok()).unwrap_or_default()
}

/// The file of a blob, whose address it is; the addresses of other stores are URLs.
fn path_of(address: &str) -> Option<&Path> {
    Some(Path::new(address)).filter(|path| path.is_absolute())
}

pub(crate) fn error_at(path: &Path, operation: &'static str, error: io::Error) -> BlobError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => BlobErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => BlobErrorKind::AlreadyExists,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => BlobErrorKind::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => BlobErrorKind::NoSpace,
        io::ErrorKind::InvalidFilename => BlobErrorKind::InvalidName,
        _ => BlobErrorKind::Other,
    };
    let message = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!("{error}: free some space, and repeat the command"),
        io::ErrorKind::FileTooLarge => format!("{error}: raise the limit (`ulimit -f`), or choose another file system"),
        _ => error.to_string(),
    };
    BlobError::new(kind, operation, path.display().to_string(), message).caused_by(error)
}

/// The failure to get a file for this transfer alone.
pub(crate) fn lock_error(path: &Path, operation: &'static str, error: LockError) -> BlobError {
    let (kind, message) = match error {
        LockError::Io(error) => return error_at(path, operation, error),
        LockError::Busy => {
            (BlobErrorKind::AlreadyExists, "another transfer is writing it: wait for it, or cancel it first".to_owned())
        }
        _ => (BlobErrorKind::Refused, format!("{error}, and it is not written to: remove it, or choose another name")),
    };
    BlobError::new(kind, operation, path.display().to_string(), message).caused_by(error)
}

/// Runs blocking file work where it may block; dropping the future does not stop it.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// What stays the same when a file is renamed, and changes when it is written to or another one takes its place.
pub(super) fn content_mark_of(metadata: &Metadata) -> String {
    format!("{}-{}-{}.{:09}", metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// Changes whenever anything about the file changes: the time of change cannot be set back, as that of the last write can.
pub(super) fn version_of(metadata: &Metadata) -> String {
    format!("{}-{}.{:09}", content_mark_of(metadata), metadata.ctime(), metadata.ctime_nsec())
}
