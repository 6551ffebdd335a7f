//! A raw image: a plain file that is byte for byte a drive.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use file::locked::{LockError, Which, is_at, lock_opened, open_locked};
use file::replace::{IfExists, publish, sync_folder};
use file::{CopyFile, crash};
use protocol::identity::{DriveIdentity, DriveKind};
use protocol::units::ByteRange;
use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags};

use crate::contract::{Drive, TargetContent, read_whole};
use crate::error::DriveError;
use crate::opened_as::OpenedAs;
use crate::zero::is_zero;

/// RWF_DONTCACHE (Linux 6.14): pages that this call brought into the cache are dropped after it. A copier that reads a drive once must not push what other
/// programs use out of it. rustix has no name for it yet.
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// A plain file as a drive.
pub struct ImageDrive {
    path: PathBuf,
    file: Content,
    identity: DriveIdentity,
    /// Where the file is moved to when it is whole.
    rename_to: Option<PathBuf>,
    content: TargetContent,
    dontcache_works: AtomicBool,
}

/// The file of an image.
enum Content {
    Source(File),
    Target(CopyFile),
}

impl Content {
    fn file(&self) -> &File {
        match self {
            Content::Source(file) => file,
            Content::Target(file) => file.file(),
        }
    }

    fn target(&self) -> io::Result<&CopyFile> {
        match self {
            Content::Source(_) => Err(io::ErrorKind::PermissionDenied.into()),
            Content::Target(file) => Ok(file),
        }
    }
}

impl ImageDrive {
    /// Opens an image for reading only.
    pub fn open_source(path: &Path) -> Result<Self, DriveError> {
        let file = File::open(path).map_err(|error| open_error(path, error))?;
        Self::new(path, path, Content::Source(file), None, TargetContent::Unknown)
    }

    /// Opens an existing image for writing; its size stays. A symbolic link is followed only where this user made it.
    pub fn open_target(path: &Path) -> Result<Self, DriveError> {
        let link = std::fs::symlink_metadata(path).map_err(|error| open_error(path, error))?;
        if link.is_symlink() && link.uid() != rustix::process::geteuid().as_raw() {
            return Err(DriveError::Refused(format!(
                "`{}` is a symbolic link of another user, and it is not written through: name the image itself",
                path.display()
            )));
        }
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| open_error(path, error))?;
        // Two writers of one image would mix their blobs.
        lock_opened(&file, path).map_err(|error| match error {
            LockError::Busy => busy(path),
            LockError::Io(error) => open_error(path, error),
            _ => DriveError::Refused(format!("`{}` was replaced while it was opened: repeat the command", path.display())),
        })?;
        Self::new(path, path, Content::Target(CopyFile::new(file)), None, TargetContent::Unknown)
    }

    /// Makes the unfinished image `partial` for a transfer, or opens the one that it left; [`Drive::finish`] moves it to
    /// `path`.
    pub(crate) fn begin_target(path: &Path, partial: &Path, size_bytes: u64) -> Result<Self, DriveError> {
        let failed = |source| DriveError::Io { operation: "create", path: partial.to_owned(), source };
        let file = open_locked(partial, Which::Any).map_err(|error| match error {
            LockError::Io(source) => failed(source),
            LockError::Busy => busy(path),
            error => DriveError::Refused(format!("`{}`: {error}, and it is not written to: remove it", partial.display())),
        })?;
        let length = file.metadata().map_err(failed)?.len();
        // A length that no run of this transfer gave it says that its content is not ours.
        let content = match length == size_bytes && size_bytes > 0 {
            true => TargetContent::Unknown,
            false => TargetContent::KnownZero,
        };
        if content == TargetContent::KnownZero {
            file.set_len(0).and_then(|()| file.set_len(size_bytes)).and_then(|()| sync_folder(partial)).map_err(failed)?;
        }
        crash::point("target-begun");
        Self::new(path, partial, Content::Target(CopyFile::new(file)), Some(path.to_owned()), content)
    }

    fn new(
        shown_path: &Path,
        path: &Path,
        file: Content,
        rename_to: Option<PathBuf>,
        content: TargetContent,
    ) -> Result<Self, DriveError> {
        let metadata =
            file.file().metadata().map_err(|source| DriveError::Io { operation: "examine", path: path.to_owned(), source })?;
        let identity = DriveIdentity {
            path: shown_path.display().to_string(),
            kind: DriveKind::Image,
            serial: None,
            model: None,
            size: metadata.len(),
            sector_size: 512,
            partition_table_id: None,
            content_sample: None,
            modified_unix_nanoseconds: Some(modified_unix_nanoseconds(&metadata)),
        };
        let path = path.to_owned();
        Ok(ImageDrive { path, file, identity, rename_to, content, dontcache_works: AtomicBool::new(true) })
    }

    /// Runs `call` with RWF_DONTCACHE as long as the file system knows it.
    fn with_dontcache<T>(&self, mut call: impl FnMut(ReadWriteFlags) -> rustix::io::Result<T>) -> rustix::io::Result<T> {
        if self.dontcache_works.load(Ordering::Relaxed) {
            match call(DONTCACHE) {
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => self.dontcache_works.store(false, Ordering::Relaxed),
                other => return other,
            }
        }
        call(ReadWriteFlags::empty())
    }

    /// The error of a file that ends at or before `position`, with where it ends now.
    fn shrunk(&self, position: u64) -> DriveError {
        let end = self.file.file().metadata().map_or(position, |metadata| metadata.len().min(position));
        DriveError::Shrunk { path: self.path.clone(), end, size: self.identity.size }
    }

    fn error(&self, operation: &'static str, range: ByteRange, errno: Errno) -> DriveError {
        DriveError::from_io(operation, &self.path, range, errno)
    }

    /// Fails where an unfinished image has lost its name: what is written then is on its way to nowhere.
    fn require_name(&self) -> Result<(), DriveError> {
        let is_there = |path| is_at(self.file.file(), path).unwrap_or(false);
        match &self.rename_to {
            Some(target) if !is_there(&self.path) && !is_there(target) => Err(DriveError::Io {
                operation: "write",
                path: self.path.clone(),
                source: io::Error::new(io::ErrorKind::NotFound, "it was removed or replaced while it was written"),
            }),
            _ => Ok(()),
        }
    }

    fn io_error(&self, operation: &'static str, range: ByteRange, error: &io::Error) -> DriveError {
        self.error(operation, range, error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
    }
}

/// Another program made a file of the image's name while its content was written.
fn came_meanwhile(target: &Path, partial: &Path) -> DriveError {
    let advice = format!(
        "it came to exist while its content was written to `{}`: move it away, and repeat the command",
        partial.display()
    );
    DriveError::Io { operation: "finish", path: target.to_owned(), source: io::Error::new(io::ErrorKind::AlreadyExists, advice) }
}

fn busy(path: &Path) -> DriveError {
    DriveError::Refused(format!("another export is writing `{}`: wait for it, or cancel it first", path.display()))
}

fn modified_unix_nanoseconds(metadata: &std::fs::Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// Names the failure of opening `path`.
pub(crate) fn open_error(path: &Path, error: io::Error) -> DriveError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => DriveError::NotFound { path },
        io::ErrorKind::PermissionDenied => DriveError::Permission { path },
        _ => DriveError::Io { operation: "open", path, source: error },
    }
}

impl Drive for ImageDrive {
    fn opened_as(&self) -> Option<OpenedAs> {
        self.file.file().metadata().ok().map(|metadata| OpenedAs::of(&metadata))
    }

    fn identity(&self) -> &DriveIdentity {
        &self.identity
    }

    fn preferred_readers(&self) -> usize {
        2
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DriveError> {
        let read = read_whole(buffer, offset, |rest, position| {
            let length = rest.len() as u64;
            loop {
                let read = self
                    .with_dontcache(|flags| rustix::io::preadv2(self.file.file(), &mut [IoSliceMut::new(rest)], position, flags));
                match read {
                    Err(Errno::INTR) => {}
                    read => return read.map_err(|errno| self.error("read", ByteRange::new(position, length), errno)),
                }
            }
        });
        read?.map_err(|position| self.shrunk(position))
    }

    fn next_data(&self, offset: u64) -> Result<Option<ByteRange>, DriveError> {
        let size = self.identity.size;
        if offset >= size {
            return Ok(None);
        }
        let failed = |source| self.io_error("find the holes of", ByteRange::new(offset, size - offset), &source);
        match file::next_data(self.file.file(), offset, size).map_err(failed)? {
            Some(data) => Ok(Some(ByteRange::new(data.start, data.end - data.start))),
            // Also what a file that shrank says.
            None if self.file.file().metadata().map_or(0, |metadata| metadata.len()) < size => Err(self.shrunk(offset)),
            None => Ok(None),
        }
    }

    fn target_content(&self) -> TargetContent {
        self.content
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DriveError> {
        let written = self.file.target().and_then(|file| file.write_all_at(bytes, offset));
        written.map_err(|error| self.io_error("write", ByteRange::new(offset, bytes.len() as u64), &error))
    }

    fn zero_range(&self, range: ByteRange) -> Result<(), DriveError> {
        let zeroed = self.file.target().and_then(|file| file.zero(range.offset, range.length));
        zeroed.map_err(|error| self.io_error("zero", range, &error))
    }

    fn sync(&self) -> Result<(), DriveError> {
        self.require_name()?;
        self.file.file().sync_data().map_err(|source| match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => DriveError::NoSpace { path: self.path.clone() },
            _ => DriveError::Io { operation: "sync", path: self.path.clone(), source },
        })
    }

    fn finish(&self) -> Result<(), DriveError> {
        let failed = |source| DriveError::Io { operation: "finish", path: self.path.clone(), source };
        if self.rename_to.is_some() {
            self.file.target().and_then(|file| file.give_length(self.identity.size)).map_err(failed)?;
        }
        match &self.rename_to {
            // The name was free when the export began; what came there since is not ours to replace.
            Some(target) => {
                publish(self.file.file(), &self.path, target, IfExists::Fail).map_err(|source| match source.kind() {
                    io::ErrorKind::AlreadyExists => came_meanwhile(target, &self.path),
                    _ => failed(source),
                })?;
                crash::point("target-published");
            }
            None => self.file.file().sync_all().map_err(failed)?,
        }
        // A reader that verifies it next reads the disk.
        let _ = fadvise(self.file.file(), 0, None, Advice::DontNeed);
        Ok(())
    }

    fn state(&self) -> Result<Option<String>, DriveError> {
        let failed = |source| DriveError::Io { operation: "sync", path: self.path.clone(), source };
        self.require_name()?;
        let file = self.file.file();
        let metadata = file.sync_all().and_then(|()| file.metadata()).map_err(failed)?;
        Ok(Some(format!(
            "{}-{}-{}.{:09}-{}.{:09}",
            metadata.ino(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec()
        )))
    }

    fn holds_data(&self) -> Result<bool, DriveError> {
        let mut buffer = vec![0; 1 << 20];
        let mut offset = 0;
        while let Some(data) = self.next_data(offset)? {
            let piece = &mut buffer[..data.length.min(1 << 20) as usize];
            self.read_at(piece, data.offset)?;
            if !is_zero(piece) {
                return Ok(true);
            }
            offset = data.offset + piece.len() as u64;
        }
        Ok(false)
    }

    fn was_modified(&self) -> Result<bool, DriveError> {
        let metadata = self.file.file().metadata().map_err(|source| DriveError::Io {
            operation: "examine",
            path: self.path.clone(),
            source,
        })?;
        Ok(metadata.len() != self.identity.size
            || Some(modified_unix_nanoseconds(&metadata)) != self.identity.modified_unix_nanoseconds)
    }
}
