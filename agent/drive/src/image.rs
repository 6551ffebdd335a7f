//! A raw image: a plain file that is byte for byte a drive.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use file::CopyFile;
use protocol::identity::{DriveIdentity, DriveKind};
use protocol::units::ByteRange;
use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags};

use crate::contract::{Drive, TargetContent, read_whole};
use crate::error::DriveError;

/// RWF_DONTCACHE (Linux 6.14): pages that this call brought into the cache are dropped after it. A copier that reads a drive once must not push out everybody else's
/// cache. rustix has no name for it yet.
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// What is appended to the name of an image that is not whole yet.
pub const PARTIAL_SUFFIX: &str = ".partial";

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

    /// Opens an existing image for writing; its size stays.
    pub fn open_target(path: &Path) -> Result<Self, DriveError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| open_error(path, error))?;
        lock(path, &file)?;
        Self::new(path, path, Content::Target(CopyFile::new(file, path)), None, TargetContent::Unknown)
    }

    /// Makes an image of `size_bytes` zeros at `path`, or goes on with one that was begun. It is
    /// called `path.partial` until [`Drive::finish`].
    pub fn create_target(path: &Path, size_bytes: u64) -> Result<Self, DriveError> {
        let partial = partial_path(path);
        let failed = |source| DriveError::Io { operation: "create", path: partial.clone(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&partial).map_err(failed)?;
        lock(path, &file)?;
        let content = match file.metadata().map_err(failed)?.len() {
            0 => TargetContent::KnownZero,
            _ => TargetContent::Unknown,
        };
        // Only longer: it may be the beginning of another export, which the caller is about to find out.
        if file.metadata().map_err(failed)?.len() < size_bytes {
            file.set_len(size_bytes).map_err(failed)?;
        }
        let mut image =
            Self::new(path, &partial, Content::Target(CopyFile::new(file, &partial)), Some(path.to_owned()), content)?;
        image.identity.size = size_bytes;
        Ok(image)
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

    fn io_error(&self, operation: &'static str, range: ByteRange, error: &io::Error) -> DriveError {
        self.error(operation, range, error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
    }
}

/// Two writers of one image would mix their blobs.
fn lock(path: &Path, file: &File) -> Result<(), DriveError> {
    file.try_lock().map_err(|_| {
        DriveError::Refused(format!("another export is writing `{}`: wait for it, or cancel it first", path.display()))
    })
}

fn modified_unix_nanoseconds(metadata: &std::fs::Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// The name of an image that is not whole yet.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL_SUFFIX);
    PathBuf::from(name)
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
        self.file.file().sync_all().map_err(failed)?;
        // Whoever reads it next, to verify it, shall read the disk.
        let _ = fadvise(self.file.file(), 0, None, Advice::DontNeed);
        if let Some(target) = &self.rename_to {
            std::fs::rename(&self.path, target).map_err(failed)?;
            let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(())
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
