//! Opening a file that only one process may write: locked, and still what its path names.
//!
//! A lock is of an inode, and a path may name another one by the time the lock is held. So after the lock the two are
//! compared, and where they differ the path is opened again.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Which file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// One that exists.
    Existing,
    /// One that this call makes, readable by its owner alone.
    New,
    /// Either.
    Any,
}

/// Why a file could not be opened for this process alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error("another process has it open to write")]
    Busy,
    /// Its path came to lead to another file while it was opened.
    #[error("it was replaced while it was opened")]
    Replaced,
    /// The path is a symbolic link, which may lead to a file of another owner.
    #[error("it is a symbolic link")]
    SymbolicLink,
    /// A directory, a pipe, a device.
    #[error("it is not a plain file")]
    NotPlain,
    /// The same file has a second name, under which it may be of another owner's.
    #[error("it has a second name (a hard link)")]
    SecondName,
    /// It belongs to another user.
    #[error("it belongs to the user with number {0}")]
    OtherOwner(u32),
    /// What the kernel said.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How often a path is opened again when it came to name another file meanwhile.
const TRIES: u32 = 16;

/// How often a lock is tried. [`is_busy`] holds one for a moment.
const LOCK_TRIES: u32 = 5;

/// The pause between two tries of a lock.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Opens a file of this user's to read and write, locked against every other process that opens it this way. Symbolic
/// links are not followed, and nothing is truncated.
///
/// # Errors
/// [`LockError`]. Where a new file was asked for and there is one, an I/O error of kind `AlreadyExists`.
pub fn open_locked(path: &Path, which: Which) -> Result<File, LockError> {
    open(path, which, require_own)
}

/// Opens, or makes, a file that exists to be locked. It may be another user's: what is written to it is not read back.
///
/// # Errors
/// As for [`open_locked`].
pub fn open_lock_file(path: &Path) -> Result<File, LockError> {
    open(path, Which::Any, require_plain)
}

/// Locks a file that the caller opened by `path`, symbolic links followed.
///
/// # Errors
/// [`LockError::Replaced`] where the path leads to another file by now.
pub fn lock_opened(file: &File, path: &Path) -> Result<(), LockError> {
    lock(file)?;
    let own = file.metadata()?;
    require_plain(&own)?;
    match is_same(&own, &std::fs::metadata(path)?) {
        true => Ok(()),
        false => Err(LockError::Replaced),
    }
}

fn open(path: &Path, which: Which, require: impl Fn(&Metadata) -> Result<(), LockError>) -> Result<File, LockError> {
    for _ in 0..TRIES {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
        match which {
            Which::Existing => {}
            Which::New => _ = options.create_new(true),
            Which::Any => _ = options.create(true).truncate(false),
        }
        let file = options.open(path).map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::LOOP) => LockError::SymbolicLink,
            Some(Errno::ISDIR | Errno::NXIO) => LockError::NotPlain,
            _ => LockError::Io(error),
        })?;
        require(&file.metadata()?)?;
        lock(&file)?;
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
    Err(LockError::Busy)
}

fn lock(file: &File) -> Result<(), LockError> {
    for number in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if number < LOCK_TRIES => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(LockError::Busy),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether another process has a file open to write.
pub fn is_busy(path: &Path) -> bool {
    matches!(open_locked(path, Which::Existing), Err(LockError::Busy))
}

fn require_plain(metadata: &Metadata) -> Result<(), LockError> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(LockError::NotPlain),
    }
}

/// A file that may be written to: plain, of this user, and with one name.
fn require_own(metadata: &Metadata) -> Result<(), LockError> {
    require_plain(metadata)?;
    if metadata.nlink() > 1 {
        return Err(LockError::SecondName);
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(LockError::OtherOwner(metadata.uid()));
    }
    Ok(())
}

/// Whether `path` itself, no link, names this very file.
///
/// # Errors
/// What the kernel says about the open file. A path that names nothing is not an error.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    Ok(std::fs::symlink_metadata(path).is_ok_and(|there| is_same(&own, &there)))
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_has_it_and_nothing_is_truncated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "content").unwrap();
        let first = open_locked(&path, Which::Existing).unwrap();
        assert!(matches!(open_locked(&path, Which::Any), Err(LockError::Busy)));
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
        drop(first);
        open_locked(&path, Which::Any).unwrap();
        assert!(
            matches!(open_locked(&path, Which::New), Err(LockError::Io(error)) if error.kind() == io::ErrorKind::AlreadyExists)
        );
    }

    #[test]
    fn what_may_be_another_owners_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, link, second) = (folder.path().join("victim"), folder.path().join("link"), folder.path().join("second"));
        std::fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(matches!(open_locked(&link, Which::Any), Err(LockError::SymbolicLink)));
        std::fs::hard_link(&victim, &second).unwrap();
        assert!(matches!(open_locked(&second, Which::Existing), Err(LockError::SecondName)));
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(matches!(open_locked(&pipe, Which::Any), Err(LockError::NotPlain)));
        assert!(matches!(open_locked(folder.path(), Which::Existing), Err(LockError::NotPlain)));
    }

    #[test]
    fn a_file_that_was_opened_by_a_link_is_locked_unless_it_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&path, "content").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let file = File::open(&link).unwrap();
        lock_opened(&file, &link).unwrap();
        assert!(matches!(lock_opened(&File::open(&path).unwrap(), &path), Err(LockError::Busy)));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(lock_opened(&file, &link), Err(LockError::Io(error)) if error.kind() == io::ErrorKind::NotFound));
        std::fs::write(&path, "another").unwrap();
        assert!(matches!(lock_opened(&file, &link), Err(LockError::Replaced)));
        let second = folder.path().join("second");
        std::fs::hard_link(&path, &second).unwrap();
        let lock = open_lock_file(&second).unwrap();
        assert!(matches!(open_lock_file(&second), Err(LockError::Busy)));
        drop(lock);
    }

    #[test]
    fn a_file_that_lost_its_name_is_not_at_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = open_locked(&path, Which::New).unwrap();
        assert!(is_at(&file, &path).unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another").unwrap();
        assert!(!is_at(&file, &path).unwrap());
    }
}
