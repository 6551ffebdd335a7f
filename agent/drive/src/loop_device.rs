//! Loop devices: an image that the kernel shows as a block device, with sectors of either size and its
//! partitions.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::device::BlockDevice;
use crate::discovery::attached::{attached_at, attached_image};
use crate::error::DriveError;
use crate::image::open_error;
use crate::ioctl::{self, LoopConfig};

/// A program that looks what is on a drive has it open for a moment: a detached device is waited for this long before it is said
/// to be held.
const PASSING_HOLDER_GRACE: Duration = Duration::from_secs(2);

/// How often it is looked whether the device has gone.
const DETACH_BEAT: Duration = Duration::from_millis(10);

/// How an image is attached.
#[derive(Debug, Clone, Copy)]
pub struct LoopOptions {
    /// Logical sector size in bytes: 512 or 4096.
    pub sector_size_bytes: u32,
    /// Nothing is ever written to the image.
    pub read_only: bool,
    /// It is detached when [`AttachedLoop`] is dropped, or its process ends in whatever way.
    pub detach_on_drop: bool,
}

/// An image that was attached.
pub struct AttachedLoop {
    /// The device node.
    pub path: PathBuf,
    /// Keeps a device that goes with its last user.
    _device: File,
}

/// Another program may take the free device between asking and taking: then the next one is tried.
const TRIES: u32 = 16;

/// Attaches the image at `path` to a free loop device.
///
/// # Errors
/// When it is not an image of whole sectors, is attached already, or the kernel refuses.
pub fn attach(path: &Path, options: LoopOptions) -> Result<AttachedLoop, DriveError> {
    let metadata = std::fs::metadata(path).map_err(|error| open_error(path, error))?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a directory" } else { "a device or pipe" };
        return Err(DriveError::Refused(format!("`{}` is {what}: only an image, a plain file, can be attached", path.display())));
    }
    let opened = OpenOptions::new().read(true).write(!options.read_only).open(path);
    let image = opened.map_err(|error| open_error(path, error))?;
    let failed = |operation, source| DriveError::Io { operation, path: path.to_owned(), source };
    let sector = u64::from(options.sector_size_bytes);
    if metadata.len() == 0 || !metadata.len().is_multiple_of(sector) {
        return Err(DriveError::Refused(format!(
            "the image `{}` has {} bytes, which are not whole sectors of {sector}: its tail would be missing",
            path.display(),
            metadata.len()
        )));
    }
    if let Some(other) = attached_image(path) {
        let (path, other) = (path.display(), other.path);
        return Err(DriveError::Refused(format!("the image `{path}` is attached already, as `{other}`: use that, or detach it")));
    }
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control");
    let control = control.map_err(|error| open_error(Path::new("/dev/loop-control"), error))?;
    for _ in 0..TRIES {
        let number = ioctl::free_loop_number(&control).map_err(|errno| failed("find a loop device for", errno.into()))?;
        let node = PathBuf::from(format!("/dev/loop{number}"));
        let opened =
            OpenOptions::new().read(true).write(!options.read_only).custom_flags(OFlags::CLOEXEC.bits() as i32).open(&node);
        let device = opened.map_err(|error| open_error(&node, error))?;
        let mut flags = ioctl::LOOP_PARTSCAN;
        flags |= if options.read_only { ioctl::LOOP_READ_ONLY } else { 0 };
        flags |= if options.detach_on_drop { ioctl::LOOP_AUTOCLEAR } else { 0 };
        let config = LoopConfig::new(image.as_raw_fd() as u32, options.sector_size_bytes, flags);
        match ioctl::configure_loop(&device, config) {
            Ok(()) => return Ok(AttachedLoop { path: node, _device: device }),
            Err(Errno::BUSY) => {}
            Err(errno) => return Err(failed("attach", errno.into())),
        }
    }
    Err(failed("attach", Errno::BUSY.into()))
}

/// Detaches the loop device at `path`. Gives its image.
///
/// # Errors
/// When it is not an attached loop device, or is in use.
pub fn detach(path: &Path) -> Result<PathBuf, DriveError> {
    let refused = |text: String| Err(DriveError::Refused(text));
    if !path.exists() {
        return Err(DriveError::NotFound { path: path.to_owned() });
    }
    let Some(image) = BlockDevice::loop_backing_file(path) else {
        return refused(format!("`{}` is not a loop device with an image: see `drive-agent drives`", path.display()));
    };
    let opened = OpenOptions::new().read(true).custom_flags((OFlags::EXCL | OFlags::CLOEXEC).bits() as i32).open(path);
    let device = match opened {
        Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
            let users = attached_at(path).map(|drive| drive.in_use_by.join("; ")).unwrap_or_default();
            return refused(format!("`{}` is in use: {users}; release it first", path.display()));
        }
        other => other.map_err(|error| open_error(path, error))?,
    };
    let failed = |errno: Errno| DriveError::Io { operation: "detach", path: path.to_owned(), source: errno.into() };
    ioctl::clear_loop(&device).map_err(failed)?;
    drop(device);
    let end = Instant::now() + PASSING_HOLDER_GRACE;
    // Another image under the number came after ours had gone.
    while BlockDevice::loop_backing_file(path).as_ref() == Some(&image) {
        if Instant::now() >= end {
            return refused(format!("`{}` is held open by another program: it is detached when that ends", path.display()));
        }
        std::thread::sleep(DETACH_BEAT);
    }
    Ok(image)
}
