//! What is attached: which drive it is, what is on it, what uses it, and whether it may be touched.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::drives::{AttachedDrive, Layout, Verdict};
use protocol::station::WeakIdentity;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::layout;
use super::roots::Roots;
use super::sysfs::{self, SysfsDevice};
use super::uses::Uses;
use crate::naming;

/// Every drive that is attached, by the kernel's names.
///
/// # Errors
/// When the kernel's list cannot be read. What cannot be found out of one drive is absent there.
pub fn attached(roots: &Roots) -> std::io::Result<Vec<AttachedDrive>> {
    let uses = Uses::find(roots);
    let mut drives: Vec<AttachedDrive> =
        sysfs::drives(roots)?.into_iter().filter_map(|device| describe(roots, &device, &uses)).collect();
    drives.sort_by_key(|drive| natural_order(&drive.path));
    mark_duplicates(&mut drives);
    Ok(drives)
}

/// Two drives with the same serial number cannot be distinguished by it.
fn mark_duplicates(drives: &mut [AttachedDrive]) {
    let name = |drive: &AttachedDrive| drive.serial.as_ref().map(|serial| serial.to_ascii_uppercase());
    let names: Vec<Option<String>> = drives.iter().map(name).collect();
    for (drive, own) in drives.iter_mut().zip(&names) {
        if own.is_some() && names.iter().filter(|other| *other == own).count() > 1 {
            drive.weak_identity.push(WeakIdentity::Duplicated);
        }
    }
}

/// The loop device that has this very file, and what uses it.
pub fn attached_image(path: &Path) -> Option<AttachedDrive> {
    let own = std::fs::metadata(path).ok()?;
    let is_own = |file: PathBuf| std::fs::metadata(file).is_ok_and(|other| (other.dev(), other.ino()) == (own.dev(), own.ino()));
    let roots = Roots::default();
    let devices = sysfs::drives(&roots).unwrap_or_default();
    let device = devices.into_iter().find(|device| device.loop_backing_file().is_some_and(is_own))?;
    describe(&roots, &device, &Uses::find(&roots))
}

/// The drive behind the device node at `path`, or behind its partition.
pub fn attached_at(path: &Path) -> Option<AttachedDrive> {
    attached_as(&SysfsDevice::of_node(&Roots::default(), path)?)
}

/// The drive that a device is, or is a partition of.
pub(crate) fn attached_as(device: &SysfsDevice) -> Option<AttachedDrive> {
    let roots = Roots::default();
    describe(&roots, device, &Uses::find(&roots))
}

fn describe(roots: &Roots, device: &SysfsDevice, uses: &Uses) -> Option<AttachedDrive> {
    let name = device.kernel_name();
    let path = roots.dev.join(&name);
    let size = device.size_bytes().filter(|size| *size > 0)?;
    let sector_size = device.number_in("queue/logical_block_size").unwrap_or(512);
    let (mut in_use_by, _) = uses.of(device);
    // A free partition of the system disk is on the system disk.
    let (_, is_system) = uses.of(&device.disk());
    let node = probe(&path, in_use_by.is_empty());
    if in_use_by.is_empty() && matches!(node, Node::Busy) {
        in_use_by.push("a program, or a pool such as ZFS, that the kernel does not name".to_owned());
    }
    let naming = naming::name(roots, device);
    Some(AttachedDrive {
        by_id: links_to(&roots.dev.join("disk/by-id"), &name),
        by_path: links_to(&roots.dev.join("disk/by-path"), &name),
        model: naming.model,
        serial: naming.serial,
        bridge_serial: naming.bridge_serial,
        weak_identity: naming.weak,
        wwn: device.wwn(),
        size,
        sector_size,
        physical_sector_size: device.number_in("queue/physical_block_size").unwrap_or(sector_size),
        transport: device.transport(),
        rotational: device.number_in("queue/rotational") == Some(1),
        removable: device.number_in("removable") == Some(1),
        read_only: device.is_read_only(),
        backing_file: device.loop_backing_file().map(|path| path.display().to_string()),
        health: None,
        layout: node.layout(&path, size, sector_size),
        verdict: match (is_system, in_use_by.is_empty()) {
            (true, _) => Verdict::System,
            (false, true) => Verdict::Free,
            (false, false) => Verdict::InUse,
        },
        in_use_by,
        path: path.display().to_string(),
    })
}

/// The outcome of opening a node exclusively.
enum Node {
    Free,
    Busy,
    Closed,
}

/// Programs that look at the same moment hold it too, for a moment: a device in use stays busy.
const BUSY_LOOKS: u32 = 6;
const BUSY_PAUSE: Duration = Duration::from_millis(15);

/// Asks the kernel whether a program holds the node.
fn probe(path: &Path, seems_free: bool) -> Node {
    let flags = OFlags::EXCL | OFlags::NONBLOCK | OFlags::CLOEXEC;
    for look in 1.. {
        match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
            Ok(_) => return Node::Free,
            Err(error) if error.raw_os_error() != Some(Errno::BUSY.raw_os_error()) => return Node::Closed,
            Err(_) if !seems_free || look == BUSY_LOOKS => return Node::Busy,
            // Not in step with a program that does the same.
            Err(_) => std::thread::sleep(BUSY_PAUSE + Duration::from_millis(u64::from(std::process::id() % 13))),
        }
    }
    Node::Busy
}

impl Node {
    fn layout(self, path: &Path, size: u64, sector_size: u64) -> Option<Layout> {
        // Reading does no harm to its holder.
        let file = if matches!(self, Node::Closed) { None } else { File::open(path).ok() };
        layout::read(&file?, size, sector_size).ok()
    }
}

/// The name of the port that a device is attached to (`/dev/disk/by-path`), without its folder.
pub(crate) fn port_of(device: &SysfsDevice) -> Option<String> {
    let ports = links_to(&Roots::default().dev.join("disk/by-path"), &device.kernel_name());
    // Older udevs give the port of a SATA drive two names: the shorter one is the port's.
    let names = ports.iter().filter_map(|path| path.rsplit('/').next());
    names.min_by_key(|name| name.len()).map(str::to_owned)
}

/// Names in `folder` that lead to the device called `name`.
fn links_to(folder: &Path, name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| {
            std::fs::read_link(entry.path()).is_ok_and(|target| target.file_name().is_some_and(|file| *file == *name))
        })
        .map(|entry| entry.path().display().to_string())
        .collect();
    names.sort();
    names
}

/// `loop10` comes after `loop9`, and `sdaa` after `sdz`.
pub(super) fn natural_order(path: &str) -> (String, usize, String, u64) {
    let name = path.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let number = path[name.len()..].parse().unwrap_or(0);
    let stem: String = name.chars().take(name.rfind('/').map_or(0, |slash| slash + 3)).collect();
    (stem, name.len(), name.to_owned(), number)
}
