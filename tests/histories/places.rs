//! What is made once and used by many histories: file systems, a loop device, a store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{IFlags, ioctl_setflags};

use crate::support::azure_fake::AzureFake;
use crate::support::gcs_fake::GcsFake;
use crate::support::images::{KIB, MIB};
use crate::support::loop_device::LoopDevice;
use crate::support::s3_fake::S3Fake;

/// Size of each file system, in bytes: what a step leaves free is counted from here.
const FILE_SYSTEM_BYTES: u64 = 48 * MIB as u64;

/// Larger than every drive.
pub const LOOP_DEVICE_BYTES: usize = 832 * KIB;

/// The places of one worker.
pub struct Places {
    /// Where drives, store and targets are.
    pub store_disk: Disk,
    /// Where the state directories are.
    pub state_disk: Disk,
    // It goes away before the file system that it is on.
    pub loop_device: Option<KeptLoopDevice>,
    _device_disk: Disk,
    pub azure: AzureFake,
    pub s3: S3Fake,
    pub gcs: GcsFake,
    // The last to go: everything is below it.
    _folder: tempfile::TempDir,
}

impl Places {
    /// Makes them. Only root can have file systems and loop devices.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("drive-agent-histories").tempdir().unwrap();
        let is_root = rustix::process::geteuid().is_root();
        let device_disk = Disk::new(folder.path().join("device-disk"), is_root);
        let has_loop_devices = is_root && Path::new("/dev/loop-control").exists();
        let loop_device = has_loop_devices.then(|| KeptLoopDevice::new(&device_disk.path));
        Places {
            store_disk: Disk::new(folder.path().join("disk"), is_root),
            state_disk: Disk::new(folder.path().join("state-disk"), is_root),
            loop_device,
            _device_disk: device_disk,
            azure: AzureFake::start(),
            s3: small_s3(),
            gcs: GcsFake::start(),
            _folder: folder,
        }
    }
}

/// A server that takes parts as small as the drives need.
fn small_s3() -> S3Fake {
    let fake = S3Fake::start();
    fake.set_part_bytes_min(1);
    fake
}

/// A file system of its own, where that can be had.
pub struct Disk {
    pub path: PathBuf,
    pub is_mounted: bool,
}

impl Disk {
    fn new(path: PathBuf, is_root: bool) -> Self {
        std::fs::create_dir(&path).unwrap();
        let size = format!("size={FILE_SYSTEM_BYTES}");
        let is_mounted = is_root && mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], &path);
        Disk { path, is_mounted }
    }

    /// Leaves so many bytes free; gives the file that takes the rest.
    pub fn fill(&self, left_bytes: u64) -> Option<PathBuf> {
        let free = || rustix::fs::statvfs(&self.path).map(|facts| facts.f_bavail * facts.f_frsize).unwrap_or(0);
        let filler = self.path.join("filler");
        let file = File::create(&filler).ok()?;
        let length = free().checked_sub(left_bytes).filter(|length| *length > 0 && self.is_mounted)?;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length).ok()?;
        Some(filler)
    }
}

/// Makes a folder one in which nothing can be created, renamed or removed; or an ordinary one again. Only the immutable
/// flag holds root back.
pub fn set_read_only(folder: &Path, is_read_only: bool) {
    let Ok(opened) = File::open(folder) else { return };
    if rustix::process::geteuid().is_root() {
        let flags = if is_read_only { IFlags::IMMUTABLE } else { IFlags::empty() };
        // Not every file system has flags: without them the folder stays as it is.
        let _ = ioctl_setflags(&opened, flags);
    } else {
        let mode = if is_read_only { 0o555 } else { 0o755 };
        let _ = opened.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").args(["--lazy", "--quiet"]).arg(&self.path).status();
        }
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    Command::new("mount").args(arguments).arg(path).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A loop device that goes away with the process, however that ends.
pub struct KeptLoopDevice {
    pub path: PathBuf,
    _held_open: File,
}

impl KeptLoopDevice {
    fn new(folder: &Path) -> Self {
        let image = folder.join("loop.img");
        File::create(&image).unwrap().set_len(LOOP_DEVICE_BYTES as u64).unwrap();
        let device = LoopDevice::attach(&image, 512);
        let path = device.path.clone();
        // Detached now by the drop of `device`, it goes away when its last user closes it.
        KeptLoopDevice { _held_open: File::open(&path).unwrap(), path }
    }

    /// What confirms that it may be written.
    pub fn word(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}
