//! One place where a drive can be docked: which drive is there now, found out without touching the drive.

use std::fs::Metadata;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use protocol::station::WeakIdentity;

use super::roots::Roots;
use super::sysfs::SysfsDevice;
use super::watch;
use crate::contract::Drive;
use crate::error::DriveError;
use crate::naming::{self, Naming};
use crate::open::{Place, look_at_profile, metadata_of, place_of};
use crate::opened_as::OpenedAs;

/// A drive in a dock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docked {
    /// What the drive says its serial number is. Images and loop devices have the name of their file, without what
    /// follows the last dot.
    pub serial: Option<String>,
    /// The serial number of the bridge that it is attached by, where that is another one.
    pub bridge_serial: Option<String>,
    /// Why the serial number does not say which drive it is; empty where it does.
    pub weak_identity: Vec<WeakIdentity>,
    /// What it says its model is.
    pub model: Option<String>,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Another number means another drive, or the same one docked again.
    pub sequence: u64,
    /// The device or file that it is: one that another is swapped for is not the one that was docked.
    pub opened_as: OpenedAs,
}

impl Docked {
    /// The kernel shows it as a device; else it is a file.
    pub fn is_device(&self) -> bool {
        matches!(self.opened_as, OpenedAs::Device { .. })
    }
}

/// Which drive is docked at `path`: a device node or a link to one, an image, or a profile of a simulated drive. `None` where
/// there is none.
///
/// # Errors
/// When what is there cannot be used as a drive: why.
pub fn docked_at(path: &Path) -> Result<Option<Docked>, DriveError> {
    let Some(metadata) = metadata_of(path)? else { return Ok(None) };
    let of_file = |naming, size_bytes, opened_as| docked(naming, stem(path), size_bytes, file_sequence(&metadata), opened_as);
    Ok(match place_of(path, &metadata)? {
        Place::Device => docked_device(&metadata),
        Place::Profile => {
            // Reading a profile touches no drive but one that it may name.
            let drive = look_at_profile(path)?;
            drive.opened_as().map(|opened_as| of_file(drive.naming().clone(), drive.identity().size, opened_as))
        }
        Place::File => Some(of_file(Naming::default(), metadata.len(), OpenedAs::of(&metadata))),
    })
}

/// `None` where a reader of cards or disks is empty.
fn docked_device(metadata: &Metadata) -> Option<Docked> {
    let roots = Roots::default();
    let device = SysfsDevice::of_number(&roots, metadata.rdev())?;
    let size_bytes = device.size_bytes().filter(|size| *size > 0)?;
    let named_file = device.loop_backing_file().as_deref().and_then(stem);
    Some(docked(naming::name(&roots, &device), named_file, size_bytes, device.sequence(), OpenedAs::of(metadata)))
}

/// What stands for a file as long as it exists. File systems give the number of a file that was removed to the next one, and
/// what is written to a file changes all of its times but that of its birth.
fn file_sequence(metadata: &Metadata) -> u64 {
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or(0, |born| born.as_secs().wrapping_mul(1_000_000_000).wrapping_add(born.subsec_nanos().into()));
    metadata.ino().rotate_left(32) ^ born
}

/// A drive that reports no serial number, and need not, is called by its file: a person gave that its name.
fn docked(naming: Naming, file: Option<String>, size_bytes: u64, sequence: u64, opened_as: OpenedAs) -> Docked {
    let Naming { serial, bridge_serial, model, weak: weak_identity } = naming;
    let serial = serial.or_else(|| file.filter(|_| weak_identity.is_empty()));
    Docked { serial, bridge_serial, weak_identity, model, size_bytes, sequence, opened_as }
}

/// Whether the drive at `path` cannot be written: the kernel or a switch on the drive forbids it, or the file has no right
/// for it.
///
/// # Errors
/// When it cannot be looked at.
pub fn is_read_only(path: &Path) -> std::io::Result<bool> {
    let metadata = std::fs::metadata(path)?;
    if metadata.file_type().is_block_device() {
        return Ok(SysfsDevice::of_node(&Roots::default(), path).is_some_and(|device| device.is_read_only()));
    }
    // A profile is not written itself, but where it says.
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        return look_at_profile(path).map(|drive| !drive.is_writable()).map_err(std::io::Error::other);
    }
    let denies = rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err();
    Ok(denies || metadata.permissions().readonly())
}

fn stem(path: &Path) -> Option<String> {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned())
}

/// Wakes when the kernel announces block devices that come or go.
pub struct DockBell {
    socket: Option<OwnedFd>,
}

impl DockBell {
    /// Listens from now on; without the right to (in a container) it only waits.
    pub fn listen() -> Self {
        DockBell { socket: watch::listen().ok() }
    }

    /// Returns when a burst of messages has ended, or after `longest`.
    pub fn wait(&self, longest: Duration) {
        watch::wait_for_burst(self.socket.as_ref(), longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_a_dock_is_called_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("WD-42.img");
        assert_eq!(docked_at(&path).unwrap(), None);
        std::fs::write(&path, [0; 1024]).unwrap();
        let docked = docked_at(&path).unwrap().unwrap();
        assert_eq!((docked.serial.as_deref(), docked.size_bytes), (Some("WD-42"), 1024));
        let filling = folder.path().join("0123456789.img");
        std::fs::write(&filling, [0; 1024]).unwrap();
        assert_eq!(docked_at(&filling).unwrap().unwrap().weak_identity, [], "a person called it so");
        assert!(matches!(docked_at(folder.path()), Err(DriveError::NotADrive { .. })), "a directory is not a drive");
        let wrong = folder.path().join("wrong.toml");
        std::fs::write(&wrong, "size = \"1MiB\"\nserial = 7\n").unwrap();
        assert!(matches!(docked_at(&wrong), Err(DriveError::Profile { .. })));
        let profile = folder.path().join("a.toml");
        std::fs::write(&profile, "size = \"1MiB\"\nserial = \"S 1\"\nmodel = \"M\"\n").unwrap();
        let docked = docked_at(&profile).unwrap().unwrap();
        assert_eq!((docked.serial.as_deref(), docked.model.as_deref(), docked.size_bytes), (Some("S 1"), Some("M"), 1 << 20));
    }

    #[test]
    fn a_file_that_takes_the_place_of_another_is_another_drive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("A.img");
        std::fs::write(&path, [0; 1024]).unwrap();
        let first = docked_at(&path).unwrap().unwrap();
        let born = path.metadata().unwrap().created().unwrap();
        std::fs::write(&path, [1; 1024]).unwrap();
        assert_eq!(docked_at(&path).unwrap().unwrap(), first, "it was written to");
        // Clocks of file systems are coarse.
        while path.metadata().unwrap().created().unwrap() == born {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, [1; 1024]).unwrap();
        }
        assert_ne!(docked_at(&path).unwrap().unwrap().sequence, first.sequence);
    }
}
