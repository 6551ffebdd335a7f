//! Where good bytes of unfinished chunks wait: a sparse file beside the journal, each byte at its place on
//! the drive. A failing drive is never asked twice for what it has given.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use file::locked::{LockError, Which, open_locked};

use crate::error::{CopyError, state_error};

/// The scratch file of one transfer; made when it is first needed.
pub(super) struct Scratch {
    path: PathBuf,
    file: Option<Arc<File>>,
}

/// A scratch file to be synced, where it may block.
pub(super) struct ToSync {
    path: PathBuf,
    file: Option<Arc<File>>,
}

impl ToSync {
    pub(super) fn sync(&self) -> Result<(), CopyError> {
        let synced = self.file.as_ref().map_or(Ok(()), |file| file.sync_data());
        synced.map_err(|source| state_error("sync", &self.path, source))
    }
}

fn as_io(error: LockError) -> io::Error {
    match error {
        LockError::Io(error) => error,
        error => io::Error::other(error.to_string()),
    }
}

impl Scratch {
    /// The file at `path`, if an earlier run left one.
    pub(super) fn open(path: &Path) -> Result<Self, CopyError> {
        let file = match open_locked(path, Which::Existing) {
            Ok(file) => {
                // An earlier version made it readable for others.
                let closed = file.set_permissions(Permissions::from_mode(0o600));
                closed.map_err(|source| state_error("close to others", path, source))?;
                Some(Arc::new(file))
            }
            Err(LockError::Io(error)) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(state_error("open", path, as_io(error))),
        };
        Ok(Scratch { path: path.to_owned(), file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> Result<(), CopyError> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                let made = open_locked(&self.path, Which::New);
                empty.insert(Arc::new(made.map_err(|error| state_error("create", &self.path, as_io(error)))?))
            }
        };
        file.write_all_at(bytes, offset).map_err(|source| state_error("write", &self.path, source))
    }

    pub(super) fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), CopyError> {
        let read = match &self.file {
            Some(file) => file.read_exact_at(bytes, offset),
            None => Err(ErrorKind::NotFound.into()),
        };
        read.map_err(|source| state_error("read", &self.path, source))
    }

    /// What makes durable all that was written until now.
    pub(super) fn to_sync(&self) -> ToSync {
        ToSync { path: self.path.clone(), file: self.file.clone() }
    }
}
