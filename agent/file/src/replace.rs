//! Making a file appear under its name, whole or not at all.
//!
//! | step | why |
//! |---|---|
//! | sync the file | a name must never lead to bytes that a power cut can take away |
//! | is it still what its temporary path names? | another process may have removed or replaced it |
//! | rename, and look again | what appeared has to be this file |
//! | sync the folder | the name survives a power cut too |

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::locked::{LockError, Which, is_at, open_locked};

/// What happens to a file that has the name already.
#[derive(Clone, Copy)]
pub enum IfExists<'check> {
    /// It is replaced.
    Replace,
    /// It is replaced where this says that it is the expected one, and stays otherwise, as it does where there is none: the
    /// call fails with `AlreadyExists`. Calls for files of one folder wait for each other.
    ReplaceIf(&'check dyn Fn() -> bool),
    /// It stays, and the call fails with `AlreadyExists`.
    Fail,
}

/// How often the lock of a folder is tried, which is held for one renaming.
const LOCK_TRIES: u32 = 500;

/// The pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Syncs `file`, which is at `from`, and moves it to `to`. A second call after the first succeeded changes nothing.
///
/// # Errors
/// `NotFound` where `from` does not name this file any more; `AlreadyExists` as asked for; else what the kernel says.
pub fn publish(file: &File, from: &Path, to: &Path, if_exists: IfExists<'_>) -> io::Result<()> {
    if is_at(file, to)? {
        // An earlier call timed out, and renamed it all the same.
        return sync_folder(to);
    }
    file.sync_all()?;
    if !is_at(file, from)? {
        return Err(lost(from));
    }
    let _lock = match if_exists {
        IfExists::ReplaceIf(is_expected) => {
            let lock = lock_folder(folder_of(to))?;
            if !is_expected() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            Some(lock)
        }
        IfExists::Replace | IfExists::Fail => None,
    };
    let flags = if matches!(if_exists, IfExists::Fail) { RenameFlags::NOREPLACE } else { RenameFlags::empty() };
    match renameat_with(CWD, from, CWD, to, flags) {
        // Not every file system knows NOREPLACE; there it is looked at first.
        Err(Errno::INVAL | Errno::NOSYS) if !flags.is_empty() => match std::fs::symlink_metadata(to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(from, to)?,
            Err(error) => return Err(error),
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        },
        other => other?,
    }
    if !is_at(file, to)? {
        return Err(lost(from));
    }
    sync_folder(to)
}

/// Locks a folder against other processes that look before they rename, until the file is dropped. A file system that
/// cannot lock folders leaves that look as it is: a look.
fn lock_folder(folder: &Path) -> io::Result<File> {
    let opened = File::open(folder)?;
    for _ in 0..LOCK_TRIES {
        match opened.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(opened),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("another process holds the folder `{}`", folder.display())))
}

fn lost(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("`{}` was removed or replaced while it was written", path.display()))
}

/// Writes a file whole, by way of a temporary one beside it that is called `temporary`. It is readable by its owner alone.
///
/// # Errors
/// What `write` or the kernel says. The temporary file is removed then, and what was at `to` stays.
pub fn write_file(
    to: &Path,
    temporary: &Path,
    if_exists: IfExists<'_>,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = match open_locked(temporary, Which::Any) {
        Ok(file) => file,
        Err(LockError::Io(error)) => return Err(error),
        Err(error) => return Err(io::Error::other(format!("`{}`: {error}", temporary.display()))),
    };
    let written = file.set_len(0).and_then(|()| write(&mut file)).and_then(|()| publish(&file, temporary, to, if_exists));
    if written.is_err() && is_at(&file, temporary).unwrap_or(false) {
        let _ = std::fs::remove_file(temporary);
    }
    written
}

/// The same for a file of the program's own in a folder that only it writes to.
///
/// # Errors
/// As for [`write_file`].
pub fn write_bytes(to: &Path, bytes: &[u8]) -> io::Result<()> {
    write_file(to, &with_suffix(to, ".tmp"), IfExists::Replace, |file| file.write_all(bytes))
}

/// Writes a small file of the user's whole or not at all: through a symbolic link and not over it, readable as new files are.
///
/// # Errors
/// What the kernel says. What was at `to` stays then.
pub fn write_users_file(to: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = std::fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
    let permissions = std::fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder_of(&target))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    sync_folder(&target)
}

/// A path with something appended to its last part.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder that a path is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in the folder of `path` durable.
///
/// # Errors
/// What the kernel says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lost_its_name_does_not_appear() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let file = open_locked(&from, Which::New).unwrap();
        std::fs::remove_file(&from).unwrap();
        std::fs::write(&from, "another process's").unwrap();
        let error = publish(&file, &from, &to, IfExists::Replace).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!to.exists() && from.exists());
    }

    #[test]
    fn a_name_that_is_taken_stays_unless_it_may_go() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::write(&to, "old").unwrap();
        let mut file = open_locked(&from, Which::New).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(publish(&file, &from, &to, IfExists::Fail).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&to).unwrap(), b"old");
        let unexpected = publish(&file, &from, &to, IfExists::ReplaceIf(&|| false)).unwrap_err();
        assert_eq!((unexpected.kind(), std::fs::read(&to).unwrap()), (io::ErrorKind::AlreadyExists, b"old".to_vec()));
        publish(&file, &from, &to, IfExists::ReplaceIf(&|| std::fs::read(&to).is_ok_and(|bytes| bytes == b"old"))).unwrap();
        publish(&file, &from, &to, IfExists::Fail).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"new");
    }

    #[test]
    fn a_failed_write_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("to");
        write_bytes(&to, b"old").unwrap();
        let failed = write_file(&to, &with_suffix(&to, ".tmp"), IfExists::Replace, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("full"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&to).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
