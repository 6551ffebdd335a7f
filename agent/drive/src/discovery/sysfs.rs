//! What sysfs knows of a block device.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use protocol::drives::Transport;

use super::roots::Roots;
use crate::naming::vpd::serial_of_page_80;

/// Sizes in sysfs are in units of 512 bytes, whatever the sector size.
const SYSFS_UNIT_BYTES: u64 = 512;

/// A block device as the kernel describes it under /sys.
#[derive(Debug, Clone)]
pub(crate) struct SysfsDevice {
    /// The folder of the device itself, a partition's own one for a partition.
    folder: PathBuf,
}

/// A USB device, by its descriptor.
#[derive(Debug, Clone)]
pub(crate) struct UsbBridge {
    /// Its folder, which is that of its port.
    pub(crate) port: PathBuf,
    /// Vendor and product id.
    pub(crate) product: (u16, u16),
    /// Its serial number.
    pub(crate) serial: Option<String>,
}

/// Every whole disk that could be docked: no partition, nothing that is built on other devices, nothing
/// that lives in memory.
pub(crate) fn drives(roots: &Roots) -> io::Result<Vec<SysfsDevice>> {
    let mut devices = Vec::new();
    for entry in fs::read_dir(roots.sys.join("block"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_built = ["dm-", "md", "bcache", "drbd", "zram", "ram", "nbd"].iter().any(|prefix| name.starts_with(prefix));
        if !is_built && let Ok(folder) = fs::canonicalize(entry.path()) {
            devices.push(SysfsDevice { folder });
        }
    }
    Ok(devices)
}

impl SysfsDevice {
    /// The device behind a node, or `None` where it is none or sysfs is not mounted.
    pub(crate) fn of_node(roots: &Roots, path: &Path) -> Option<Self> {
        Self::of_number(roots, fs::metadata(path).ok()?.rdev())
    }

    /// The device of a number (`st_rdev`).
    pub(crate) fn of_number(roots: &Roots, number: u64) -> Option<Self> {
        let number = (rustix::fs::major(number), rustix::fs::minor(number));
        let folder = fs::canonicalize(roots.sys.join(format!("dev/block/{}:{}", number.0, number.1))).ok()?;
        Some(SysfsDevice { folder })
    }

    /// The whole disk that this is, or is a partition of.
    pub(crate) fn disk(&self) -> Self {
        SysfsDevice { folder: self.disk_folder().to_owned() }
    }

    /// The folder of the whole disk.
    fn disk_folder(&self) -> &Path {
        if self.folder.join("partition").exists() { self.folder.parent().unwrap_or(&self.folder) } else { &self.folder }
    }

    fn disk_text(&self, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.disk_folder().join(file)).ok()?;
        let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(crate) fn number_in(&self, file: &str) -> Option<u64> {
        self.disk_text(file)?.parse().ok()
    }

    pub(crate) fn size_bytes(&self) -> Option<u64> {
        self.number_in("size").and_then(|units| units.checked_mul(SYSFS_UNIT_BYTES))
    }

    /// The serial number that the drive reports: NVMe and virtio as text, SCSI and SATA in vital
    /// product data page 0x80, MMC in its card identification.
    pub(crate) fn serial(&self) -> Option<String> {
        let serial = self.disk_text("device/serial").or_else(|| self.disk_text("serial"));
        serial.or_else(|| self.page("vpd_pg80").and_then(|page| serial_of_page_80(&page)))
    }

    /// A page of vital product data that the kernel keeps, such as `vpd_pg80`.
    pub(crate) fn page(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.disk_folder().join("device").join(name)).ok()
    }

    /// The USB device that it is, or is behind.
    pub(crate) fn usb_bridge(&self) -> Option<UsbBridge> {
        let port = self.disk_folder().ancestors().find(|folder| folder.join("idVendor").exists())?;
        let text = |file: &str| fs::read_to_string(port.join(file)).ok();
        let id = |file: &str| u16::from_str_radix(text(file)?.trim(), 16).ok();
        let serial = text("serial").map(|serial| serial.trim().to_owned()).filter(|serial| !serial.is_empty());
        Some(UsbBridge { product: (id("idVendor")?, id("idProduct")?), port: port.to_owned(), serial })
    }

    /// The folder of the device itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The World Wide Name: `wwid` of SCSI, SATA and NVMe.
    pub(super) fn wwn(&self) -> Option<String> {
        self.disk_text("wwid").or_else(|| self.disk_text("device/wwid"))
    }

    /// Whether the kernel, or a switch on the drive, forbids writing.
    pub(crate) fn is_read_only(&self) -> bool {
        fs::read_to_string(self.folder.join("ro")).is_ok_and(|text| text.trim() == "1")
    }

    /// The model that the drive reports, with the vendor before it where that is not a mere transport.
    pub(crate) fn model(&self) -> Option<String> {
        let model = self.disk_text("device/model").or_else(|| self.disk_text("device/name"))?;
        match self.disk_text("device/vendor").filter(|vendor| vendor != "ATA" && !vendor.starts_with("0x")) {
            Some(vendor) => Some(format!("{vendor} {model}")),
            None => Some(model),
        }
    }

    /// How warm it is, where the kernel measures it (drivetemp, nvme): thousandths of a degree in Documentation/hwmon.
    pub(crate) fn temperature_celsius(&self) -> Option<i64> {
        let device = self.disk_folder().join("device");
        let in_folder = |folder: PathBuf| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let monitors = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("hwmon"));
            monitors.map(|entry| entry.path()).find_map(|monitor| fs::read_to_string(monitor.join("temp1_input")).ok())
        };
        let text = in_folder(device.join("hwmon")).or_else(|| in_folder(device))?;
        text.trim().parse::<i64>().ok().map(|thousandths| thousandths.div_euclid(1000))
    }

    /// How much was written to it, and discarded, since it is there: a count that only rises.
    pub(crate) fn changed_units(&self) -> Option<u64> {
        // Fields 7 and 14 of `stat` (Documentation/block/stat.rst); the second came with Linux 4.18.
        let text = fs::read_to_string(self.folder.join("stat")).ok()?;
        let fields: Vec<u64> = text.split_ascii_whitespace().filter_map(|field| field.parse().ok()).collect();
        Some(fields.get(6)?.wrapping_add(*fields.get(13).unwrap_or(&0)))
    }

    /// The file behind a loop device.
    pub(crate) fn loop_backing_file(&self) -> Option<PathBuf> {
        self.disk_text("loop/backing_file").map(PathBuf::from)
    }

    /// The kernel's name, such as `sdb` or `loop3`.
    pub(crate) fn kernel_name(&self) -> String {
        file_name(&self.folder)
    }

    /// How the drive is attached, from the buses that lead to it.
    pub(crate) fn transport(&self) -> Transport {
        let folder = self.disk_folder();
        let name = file_name(folder);
        let way = folder.to_string_lossy();
        let has = |part: &str| way.split('/').any(|step| step.starts_with(part));
        if name.starts_with("loop") {
            Transport::Loop
        } else if name.starts_with("nvme") {
            Transport::Nvme
        } else if has("usb") {
            Transport::Usb
        } else if name.starts_with("vd") || has("virtio") {
            Transport::Virtio
        } else if name.starts_with("mmcblk") {
            Transport::Mmc
        } else if has("ata") {
            Transport::Sata
        } else if has("end_device-") || has("sas") {
            Transport::Sas
        } else {
            Transport::Other
        }
    }

    /// Counts up whenever another medium is in the same place.
    pub(crate) fn sequence(&self) -> u64 {
        self.number_in("diskseq").unwrap_or(0)
    }

    /// The device and its partitions: each with its folder, name and number (`8:16`).
    pub(super) fn parts(&self) -> Vec<Part> {
        let own = Part::of(&self.folder);
        let inside = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        own.into_iter().chain(inside.filter(|path| path.join("partition").exists()).filter_map(|path| Part::of(&path))).collect()
    }
}

/// A device, or a partition of one.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) number: String,
}

impl Part {
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let number = fs::read_to_string(folder.join("dev")).ok()?.trim().to_owned();
        Some(Part { folder: folder.to_owned(), name: file_name(folder), number })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
