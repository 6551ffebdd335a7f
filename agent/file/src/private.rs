//! Folders and files that hold what only their owner may see: customers' data, and secrets.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Makes a folder, with those above it, for its owner alone. One that is there stays as it is.
///
/// # Errors
/// What the kernel says.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Why a folder cannot be used for secrets.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is another user's.
    #[error("it belongs to the user with number {0}, who could read and replace what is in it: choose another folder")]
    OtherOwner(u32),
    /// What the kernel said.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes a folder for secrets, or takes the rights of others away from one that is there; returns whether it had to.
///
/// # Errors
/// Where it is another user's, or the kernel says so.
pub fn close_folder(path: &Path) -> Result<bool, FolderError> {
    make_folder(path)?;
    let metadata = std::fs::metadata(path)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(FolderError::OtherOwner(metadata.uid()));
    }
    let is_open = metadata.mode() & 0o077 != 0;
    if is_open {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        let path = folder.path().join("a/b");
        make_folder(&path).unwrap();
        assert_eq!((mode(&path), mode(&folder.path().join("a"))), (0o700, 0o700));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        make_folder(&path).unwrap();
        assert_eq!(mode(&path), 0o755, "a folder that a person made stays as it is");
        assert!(close_folder(&path).unwrap() && !close_folder(&path).unwrap());
        assert_eq!(mode(&path), 0o700);
    }
}
