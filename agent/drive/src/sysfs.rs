//! What sysfs and procfs know of a block device.

use std::fs;
use std::path::{Path, PathBuf};

/// A block device as the kernel describes it under /sys.
pub(crate) struct SysfsDevice {
    /// The folder of the device itself, a partition's own one for a partition.
    folder: PathBuf,
    number: (u32, u32),
}

impl SysfsDevice {
    /// The device with this number, or `None` where sysfs is not mounted.
    pub(crate) fn find(number: (u32, u32)) -> Option<Self> {
        let folder = fs::canonicalize(format!("/sys/dev/block/{}:{}", number.0, number.1)).ok()?;
        Some(SysfsDevice { folder, number })
    }

    /// The folder of the whole disk.
    fn disk_folder(&self) -> &Path {
        if self.folder.join("partition").exists() { self.folder.parent().unwrap_or(&self.folder) } else { &self.folder }
    }

    fn disk_text(&self, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.disk_folder().join(file)).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The serial number that the drive reports: NVMe and virtio as text, SCSI and SATA in vital
    /// product data page 0x80.
    pub(crate) fn serial(&self) -> Option<String> {
        self.disk_text("device/serial").or_else(|| self.disk_text("serial")).or_else(|| {
            let page = fs::read(self.disk_folder().join("device/vpd_pg80")).ok()?;
            let text = String::from_utf8_lossy(page.get(4..)?).trim_matches(['\0', ' ']).to_owned();
            (!text.is_empty()).then_some(text)
        })
    }

    /// Whether the kernel, or a switch on the drive, forbids writing.
    pub(crate) fn is_read_only(&self) -> bool {
        fs::read_to_string(self.folder.join("ro")).is_ok_and(|text| text.trim() == "1")
    }

    /// The model that the drive reports.
    pub(crate) fn model(&self) -> Option<String> {
        self.disk_text("device/model")
    }

    /// The file behind a loop device.
    pub(crate) fn loop_backing_file(&self) -> Option<PathBuf> {
        self.disk_text("loop/backing_file").map(PathBuf::from)
    }

    /// The kernel's name, such as `sdb` or `loop3`.
    pub(crate) fn kernel_name(&self) -> String {
        self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Who uses the device or one of its partitions, as far as the kernel tells: a mount, swap, or a
    /// device built on it.
    pub(crate) fn holder(&self) -> Option<String> {
        let mut parts = vec![(self.folder.clone(), self.number)];
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.path().join("partition").exists()
                && let Some(number) = fs::read_to_string(entry.path().join("dev")).ok().and_then(|text| parse_number(&text))
            {
                parts.push((entry.path(), number));
            }
        }
        parts.iter().find_map(|(folder, number)| holder_of(folder, *number))
    }
}

fn parse_number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn holder_of(folder: &Path, number: (u32, u32)) -> Option<String> {
    let name = folder.file_name()?.to_string_lossy().into_owned();
    if let Some(holder) = fs::read_dir(folder.join("holders")).into_iter().flatten().flatten().next() {
        return Some(format!("`{name}` is part of `{}`", holder.file_name().to_string_lossy()));
    }
    if let Some(place) = mount_point(number) {
        let system = if place == "/" { ", the system disk" } else { "" };
        return Some(format!("`{name}` is mounted on `{place}`{system}"));
    }
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .any(|path| fs::canonicalize(path).is_ok_and(|path| path.file_name().is_some_and(|file| *file == *name)))
        .then(|| format!("`{name}` is used as swap"))
}

/// Where the device is mounted in our namespace (proc(5), mountinfo: the third field is the device
/// number, the fifth the mount point).
fn mount_point(number: (u32, u32)) -> Option<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(2);
        let device = fields.next().and_then(parse_number)?;
        (device == number).then(|| fields.nth(1).map(str::to_owned)).flatten()
    })
}
