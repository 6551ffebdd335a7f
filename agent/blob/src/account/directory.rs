//! A directory as an account: its folders are containers, the files in them blobs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use file::replace::sync_folder;

use super::contract::{Account, BlobItem, ListBounds};
use crate::contract::Blob;
use crate::directory::{DirectoryBlob, error_at, lock_error};
use crate::error::{BlobError, BlobErrorKind};

pub(super) struct DirectoryAccount {
    pub(super) root: PathBuf,
}

impl DirectoryAccount {
    /// The path of a blob, which is always inside of its container.
    fn path_of(&self, container: &str, name: &str) -> Result<PathBuf, BlobError> {
        let is_part = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['/', '\0']);
        match is_part(container) && name.split('/').all(is_part) {
            true => Ok(self.root.join(container).join(name)),
            false => {
                let message = "a container is one name, and a blob's name has no empty part, no `.` and no `..`";
                Err(BlobError::new(BlobErrorKind::InvalidName, "name", format!("{container}/{name}"), message))
            }
        }
    }

    /// Removes the folders of a blob that are empty, but not its container.
    fn remove_empty_folders(&self, container: &str, path: &Path) {
        let container = self.root.join(container);
        let above = path.ancestors().skip(1).take_while(|folder| *folder != container && folder.starts_with(&container));
        for folder in above {
            if std::fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }

    fn error(&self, operation: &'static str, error: io::Error) -> BlobError {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => BlobErrorKind::Denied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobErrorKind::NoSpace,
            io::ErrorKind::InvalidFilename => BlobErrorKind::InvalidName,
            _ => BlobErrorKind::Other,
        };
        BlobError::new(kind, operation, self.address(), error.to_string()).caused_by(error)
    }
}

#[async_trait]
impl Account for DirectoryAccount {
    fn address(&self) -> String {
        self.root.display().to_string()
    }

    fn blob(&self, container: &str, name: &str) -> Result<Arc<dyn Blob>, BlobError> {
        let path = self.path_of(container, name)?;
        Ok(Arc::new(DirectoryBlob::new(&path).map_err(|error| self.error("use", error))?))
    }

    async fn make_place(&self, container: &str, name: &str) -> Result<(), BlobError> {
        let path = self.path_of(container, name)?;
        let folder = path.parent().unwrap_or(&self.root);
        file::private::make_folder(folder).map_err(|error| self.error("make a folder in", error))
    }

    async fn remove(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        let path = self.path_of(container, name)?;
        let is_removed = match std::fs::remove_file(&path) {
            Ok(()) => sync_folder(&path).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        let is_removed = is_removed.map_err(|error| error_at(&path, "remove", error))?;
        self.remove_empty_folders(container, &path);
        Ok(is_removed)
    }

    async fn discard_unfinished(&self, container: &str, name: &str, transfer_id: &str) -> Result<bool, BlobError> {
        let path = self.path_of(container, name)?;
        let is_removed = file::partial::remove(&path, transfer_id);
        let is_removed = is_removed.map_err(|error| lock_error(&path, "remove what is left of", error))?;
        self.remove_empty_folders(container, &path);
        Ok(is_removed)
    }

    async fn containers(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        let listed = names(&self.root, |entry| entry.is_dir());
        let mut names = listed.map_err(|error| self.error("list", error))?;
        names.retain(|name| name.starts_with(prefix));
        Ok(names)
    }

    async fn blobs(&self, container: &str, prefix: &str) -> Result<Vec<BlobItem>, BlobError> {
        let root = self.path_of(container, ANY_NAME)?.with_file_name("");
        let mut items = Vec::new();
        let mut folders = vec![String::new()];
        let mut bounds = ListBounds::new(self.address());
        while let Some(folder) = folders.pop() {
            let path = root.join(&folder);
            let within = |name: String| format!("{folder}{name}");
            let below = names(&path, Path::is_dir).map_err(|error| self.error("list", error))?;
            // Only folders that can hold such names.
            let may_hold = |below: &String| below.starts_with(prefix) || prefix.starts_with(below.as_str());
            folders.extend(below.into_iter().map(|name| within(name) + "/").filter(may_hold));
            let files = names(&path, Path::is_file).map_err(|error| self.error("list", error))?;
            let is_blob = |name: &String| name.starts_with(prefix) && !file::partial::is_partial(name);
            let found: Vec<String> = files.into_iter().map(within).filter(is_blob).collect();
            bounds.add_page(found.iter().map(String::as_str), None)?;
            for name in found {
                let size_bytes = std::fs::metadata(root.join(&name)).map_or(0, |metadata| metadata.len());
                items.push(BlobItem { container: container.to_owned(), name, size_bytes });
            }
        }
        items.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(items)
    }
}

/// A name of a blob, where only the container matters.
const ANY_NAME: &str = "any";

/// Names in a folder, ascending; none where there is no such folder.
fn names(folder: &Path, is_wanted: impl Fn(&Path) -> bool) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if is_wanted(&entry.path()) {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}
