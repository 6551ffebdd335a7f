//! A block device of the kernel: a disk, a partition, a loop device.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use file::crash;
use protocol::drives::Verdict;
use protocol::identity::{DriveIdentity, DriveKind};
use protocol::units::ByteRange;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::confirm::Target;
use crate::contract::Drive;
use crate::discovery::attached::{attached_as, port_of};
use crate::discovery::roots::Roots;
use crate::discovery::sysfs::SysfsDevice;
use crate::error::DriveError;
use crate::image::open_error;
use crate::ioctl;
use crate::naming::{self, Naming};
use crate::opened_as::OpenedAs;
use crate::zeroing::{ZeroingDevice, ZeroingLadder};

/// How a device is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing is written to it and nothing is set on it.
    ReadOnly,
    /// For an export.
    ReadWrite,
}

/// A block device, opened with O_DIRECT (no cache between the drive and its digests) and O_EXCL (the
/// kernel refuses where a mount, swap, or another device holds it, and keeps them away while we work).
pub struct BlockDevice {
    path: PathBuf,
    file: File,
    identity: DriveIdentity,
    naming: Naming,
    zeroing: ZeroingLadder,
    sysfs: Option<SysfsDevice>,
    /// What had been written to it when it was opened.
    changed_units: Option<u64>,
}

impl BlockDevice {
    /// Opens the device at `path`.
    pub fn open(path: &Path, access: Access) -> Result<Self, DriveError> {
        // Its path is followed once to look and once to open: both have to lead to one device.
        let looked = std::fs::metadata(path).map_err(|error| open_error(path, error))?;
        let sysfs = SysfsDevice::of_number(&Roots::default(), looked.rdev());
        crash::point("device-looked-at");
        let file = open_exclusively(path, access, sysfs.as_ref())?;
        let opened = file.metadata().map_err(|error| open_error(path, error))?;
        if OpenedAs::of(&looked) != OpenedAs::of(&opened) {
            let message = format!("`{}` came to lead to another drive while it was opened: repeat the command", path.display());
            return Err(DriveError::Refused(message));
        }
        let failed = |errno: Errno| DriveError::from_io("examine", path, ByteRange::new(0, 0), errno);
        let size = ioctl::device_size_bytes(&file).map_err(failed)?;
        let sector_size = ioctl::logical_sector_size_bytes(&file).map_err(failed)?;
        if size == 0 {
            return Err(DriveError::NoMedium { path: path.to_owned() });
        }
        let is_loop = sysfs.as_ref().is_some_and(|device| device.loop_backing_file().is_some());
        let naming = sysfs.as_ref().map(|device| naming::name(&Roots::default(), device)).unwrap_or_default();
        let identity = DriveIdentity {
            path: path.display().to_string(),
            kind: if is_loop { DriveKind::Loop } else { DriveKind::Device },
            serial: naming.serial.clone(),
            model: naming.model.clone(),
            size,
            sector_size,
            partition_table_id: None,
            content_sample: None,
            modified_unix_nanoseconds: None,
        };
        let changed_units = sysfs.as_ref().and_then(SysfsDevice::changed_units);
        Ok(BlockDevice { path: path.to_owned(), file, identity, naming, zeroing: ZeroingLadder::default(), sysfs, changed_units })
    }

    /// The device as something that is to be written, and confirmed.
    pub(crate) fn as_target(&self) -> Target<'_> {
        let port = self.sysfs.as_ref().and_then(port_of);
        let kernel = || self.sysfs.as_ref().map(SysfsDevice::kernel_name);
        let file_name = || self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let place = port.or_else(kernel).unwrap_or_else(file_name);
        Target { path: &self.path, identity: &self.identity, naming: &self.naming, place, holds: self.holds() }
    }

    /// What a person who confirms that it may be overwritten has to know.
    fn holds(&self) -> Option<String> {
        let drive = attached_as(self.sysfs.as_ref()?)?;
        let image = drive.backing_file.map(|file| format!("the image `{file}`"));
        let content = drive.layout.and_then(|layout| layout.described()).map(|content| format!("with {content}"));
        let parts: Vec<String> = image.into_iter().chain(content).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// The file behind the loop device at `path`, if it is one.
    pub fn loop_backing_file(path: &Path) -> Option<PathBuf> {
        SysfsDevice::of_node(&Roots::default(), path)?.loop_backing_file()
    }

    /// Whether the kernel did it, or has no way to.
    fn did(&self, operation: &'static str, range: ByteRange, answer: rustix::io::Result<()>) -> Result<bool, DriveError> {
        match answer {
            Ok(()) => Ok(true),
            // USB bridges refuse what they do not know as a remote error.
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::REMOTEIO) => Ok(false),
            Err(errno) => Err(self.error(operation, range, &errno.into())),
        }
    }

    /// A device that vanished answers reads with EIO too; its size distinguishes the two.
    fn error(&self, operation: &'static str, range: ByteRange, source: &std::io::Error) -> DriveError {
        let errno = source.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
        if errno == Errno::IO && ioctl::device_size_bytes(&self.file).unwrap_or(0) == 0 {
            return DriveError::Removed { path: self.path.clone() };
        }
        DriveError::from_io(operation, &self.path, range, errno)
    }
}

/// How often a device that seems unused is asked for once more.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_millis(25);

fn open_exclusively(path: &Path, access: Access, sysfs: Option<&SysfsDevice>) -> Result<File, DriveError> {
    let read_only =
        || DriveError::ReadOnly { path: path.to_owned(), reason: "the kernel, or a switch on the drive, forbids writing" };
    if access == Access::ReadWrite && sysfs.is_some_and(SysfsDevice::is_read_only) {
        return Err(read_only());
    }
    if access == Access::ReadWrite
        && let Some(device) = sysfs
    {
        require_unused(path, device)?;
    }
    let flags = OFlags::EXCL | OFlags::DIRECT | OFlags::CLOEXEC;
    let mut options = OpenOptions::new();
    options.read(true).write(access == Access::ReadWrite).custom_flags(flags.bits() as i32);
    let mut opened = options.open(path);
    // A program that lists drives holds each for a moment: only a holder that stays uses it.
    for _ in 0..BUSY_TRIES {
        let is_busy = opened.as_ref().is_err_and(|error| error.raw_os_error() == Some(Errno::BUSY.raw_os_error()));
        if !is_busy || sysfs.and_then(attached_as).is_some_and(|drive| !drive.in_use_by.is_empty()) {
            break;
        }
        std::thread::sleep(BUSY_PAUSE);
        opened = options.open(path);
    }
    opened.map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::BUSY) => {
            let users = sysfs.and_then(attached_as).map(|drive| drive.in_use_by).unwrap_or_default();
            in_use(path, &users)
        }
        Some(Errno::ROFS | Errno::ACCESS) if access == Access::ReadWrite => read_only(),
        Some(Errno::NOMEDIUM) => DriveError::NoMedium { path: path.to_owned() },
        Some(Errno::NXIO | Errno::NODEV) => DriveError::Removed { path: path.to_owned() },
        _ => open_error(path, error),
    })
}

/// What the kernel's exclusive open cannot know: whether the machine runs from it, or uses it in a way that
/// holds nothing.
fn require_unused(path: &Path, device: &SysfsDevice) -> Result<(), DriveError> {
    let Some(drive) = attached_as(device) else { return Ok(()) };
    match drive.verdict {
        Verdict::Free => Ok(()),
        Verdict::InUse => Err(in_use(path, &drive.in_use_by)),
        Verdict::System => Err(DriveError::Refused(format!(
            "`{}` is the system disk ({}): it is never written to",
            path.display(),
            drive.in_use_by.join("; ")
        ))),
    }
}

fn in_use(path: &Path, users: &[String]) -> DriveError {
    let users = if users.is_empty() { "another program holds it".to_owned() } else { users.join("; ") };
    DriveError::Refused(format!("the drive `{}` is in use: {users}; release it and repeat the command", path.display()))
}

impl ZeroingDevice for BlockDevice {
    fn discard(&self, range: ByteRange) -> Result<bool, DriveError> {
        match self.did("discard", range, ioctl::discard(&self.file, range)) {
            Err(DriveError::Removed { path }) => Err(DriveError::Removed { path }),
            // Whatever it was: there are other ways to make zeros, and they will report it.
            answer => Ok(answer.unwrap_or(false)),
        }
    }

    fn zero_out(&self, range: ByteRange) -> Result<bool, DriveError> {
        self.did("zero", range, ioctl::zero_out(&self.file, range))
    }

    fn write_zeros(&self, range: ByteRange) -> Result<(), DriveError> {
        crate::contract::write_zeros(self, range)
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), DriveError> {
        self.read_at(buffer, offset)
    }

    fn sector_bytes(&self) -> u64 {
        self.identity.sector_size
    }
}

impl Drive for BlockDevice {
    fn opened_as(&self) -> Option<OpenedAs> {
        self.file.metadata().ok().map(|metadata| OpenedAs::of(&metadata))
    }

    fn was_modified(&self) -> Result<bool, DriveError> {
        Ok(self.sysfs.as_ref().and_then(SysfsDevice::changed_units) != self.changed_units)
    }

    fn identity(&self) -> &DriveIdentity {
        &self.identity
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DriveError> {
        let range = ByteRange::new(offset, buffer.len() as u64);
        self.file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                let end = ioctl::device_size_bytes(&self.file).unwrap_or(0);
                DriveError::Shrunk { path: self.path.clone(), end, size: self.identity.size }
            }
            _ => self.error("read", range, &error),
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DriveError> {
        let range = ByteRange::new(offset, bytes.len() as u64);
        self.file.write_all_at(bytes, offset).map_err(|error| self.error("write", range, &error))
    }

    fn zero_range(&self, range: ByteRange) -> Result<(), DriveError> {
        self.zeroing.zero(self, range)
    }

    fn sync(&self) -> Result<(), DriveError> {
        self.file.sync_data().map_err(|error| self.error("sync", ByteRange::new(0, self.identity.size), &error))
    }
}
