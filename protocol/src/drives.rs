//! The document that `drives` prints: what is attached, which drive it is, and whether it may be touched.

use serde::{Deserialize, Serialize};

use crate::station::WeakIdentity;

/// A drive that is attached to this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedDrive {
    /// Its device node, such as `/dev/sdb`.
    pub path: String,
    /// Names that stay with the drive (`/dev/disk/by-id`).
    pub by_id: Vec<String>,
    /// Names that stay with the port (`/dev/disk/by-path`).
    pub by_path: Vec<String>,
    /// What the drive says its model is.
    pub model: Option<String>,
    /// What the drive says its serial number is; what its bridge says, where only that has one.
    pub serial: Option<String>,
    /// The serial number of the bridge that it is attached by, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge_serial: Option<String>,
    /// Why the serial number does not say which drive it is; empty where it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weak_identity: Vec<WeakIdentity>,
    /// Its World Wide Name, or the like that its transport has.
    pub wwn: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Logical sector size in bytes.
    pub sector_size: u64,
    /// Physical sector size in bytes.
    pub physical_sector_size: u64,
    /// How it is attached.
    pub transport: Transport,
    /// Whether it has heads to move.
    pub rotational: bool,
    /// Whether its medium can be taken out.
    pub removable: bool,
    /// Whether the kernel, or a switch on the drive, forbids writing.
    pub read_only: bool,
    /// The file behind a loop device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backing_file: Option<String>,
    /// What its content looks like; absent where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// What uses it or a part of it.
    pub in_use_by: Vec<String>,
    /// Whether it may be touched.
    pub verdict: Verdict,
}

/// How a drive is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// SATA or older ATA.
    Sata,
    /// SAS.
    Sas,
    /// USB.
    Usb,
    /// NVMe.
    Nvme,
    /// A virtual machine's disk.
    Virtio,
    /// An SD or MMC card.
    Mmc,
    /// A loop device.
    Loop,
    /// Anything else.
    Other,
}

/// Whether a drive may be touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is not in use.
    Free,
    /// It is in use: `in_use_by` says by what.
    InUse,
    /// This machine runs from it.
    System,
}

/// What a drive's content looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Its partition table, such as `gpt:GUID` or `mbr:SIGNATURE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_table: Option<String>,
    /// A file system, or another known format, on the whole of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Its partitions, by number.
    pub partitions: Vec<Partition>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
    /// Its type: a GUID, or a byte such as `0x83`.
    pub kind: String,
    /// Its name, in a GPT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The file system, or other known format, on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// What happened at the docks, for `drives --watch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DockEvent {
    /// It was there when the watch began.
    Present,
    /// It was docked.
    Docked,
    /// It was taken away.
    Undocked,
    /// Something about it changed: what uses it, its medium, its partitions.
    Changed,
}

impl Transport {
    /// The name as JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Sata => "sata",
            Transport::Sas => "sas",
            Transport::Usb => "usb",
            Transport::Nvme => "nvme",
            Transport::Virtio => "virtio",
            Transport::Mmc => "mmc",
            Transport::Loop => "loop",
            Transport::Other => "other",
        }
    }
}
