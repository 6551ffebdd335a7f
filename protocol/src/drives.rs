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
    /// What it says of its own condition; absent where it says nothing, or was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<DriveHealth>,
    /// What its content looks like; absent where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// What uses it or a part of it.
    pub in_use_by: Vec<String>,
    /// Whether it may be touched.
    pub verdict: Verdict,
}

/// What a drive says of its own condition (SMART). What it does not say is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveHealth {
    /// Whether it expects to fail soon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_failing: Option<bool>,
    /// How warm it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<i64>,
    /// Sectors that went bad, and that others stand in for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reallocated_sectors: Option<u64>,
    /// Sectors that could not be read, and that nothing stands in for yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_sectors: Option<u64>,
    /// Reads and writes of an NVMe drive that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_errors: Option<u64>,
}

/// From here on most drives are warmer than their makers allow.
const TOO_WARM_CELSIUS: i64 = 70;

impl DriveHealth {
    /// It in words, such as `36 °C, healthy`; `None` where nothing is known.
    pub fn described(&self) -> Option<String> {
        let judged = self.is_failing.map(|is_failing| if is_failing { "failing" } else { "healthy" }.to_owned());
        let warmth = self.temperature_celsius.map(|degrees| format!("{degrees} °C"));
        let parts: Vec<String> = warmth.into_iter().chain(judged).chain(self.lost()).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// What a person should know before they trust it, and what to do about it.
    pub fn warning(&self) -> Option<String> {
        let failing = "the drive says that it is failing: copy it now, with `--on-unreadable rescue`, and do not write to it";
        let pending =
            |count| format!("the drive could not read {count} of its sectors lately: copy it with `--on-unreadable rescue`");
        let warm = |degrees| format!("the drive is {degrees} °C warm: cool it, or it slows down and wears out");
        match (self.is_failing, self.pending_sectors, self.temperature_celsius) {
            (Some(true), ..) => Some(failing.to_owned()),
            (_, Some(count), _) if count > 0 => Some(pending(count)),
            (_, _, Some(degrees)) if degrees >= TOO_WARM_CELSIUS => Some(warm(degrees)),
            _ => None,
        }
    }

    fn lost(&self) -> impl Iterator<Item = String> {
        let counts = [
            (self.reallocated_sectors, "reallocated"),
            (self.pending_sectors, "unreadable lately"),
            (self.media_errors, "media errors"),
        ];
        counts.into_iter().filter_map(|(count, what)| Some(format!("{} {what}", count.filter(|count| *count > 0)?)))
    }
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

impl Layout {
    /// What is on it, in words; `None` where nothing is known to be.
    pub fn described(&self) -> Option<String> {
        if let Some(content) = &self.content {
            return Some(content.clone());
        }
        let kind = self.partition_table.as_ref()?.split(':').next()?;
        let parts: Vec<String> = self.partitions.iter().map(Partition::described).collect();
        Some(if parts.is_empty() { format!("{kind}, no partition") } else { format!("{kind}: {}", parts.join(", ")) })
    }
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

impl Partition {
    /// What is on it: the file system that was found, or else what the partition table says.
    fn described(&self) -> String {
        let known = || PARTITION_KINDS.iter().find(|(kind, _)| kind.eq_ignore_ascii_case(&self.kind)).map(|(_, name)| *name);
        match (&self.content, known()) {
            (Some(content), _) => content.clone(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => format!("unknown ({})", self.kind),
        }
    }
}

/// Types of partitions that are met on drives, and what they are for: UEFI specification 2.10 section 5.3.3, the Discoverable
/// Partitions Specification, and the list of MBR types that fdisk of util-linux shows.
const PARTITION_KINDS: [(&str, &str); 19] = [
    ("0x07", "NTFS or exFAT"),
    ("0x0b", "FAT32"),
    ("0x0c", "FAT32"),
    ("0x0e", "FAT16"),
    ("0x82", "swap"),
    ("0x83", "Linux"),
    ("0x8e", "LVM"),
    ("0xee", "GPT"),
    ("0xef", "EFI system"),
    ("0xfd", "RAID"),
    ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"),
    ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Windows data"),
    ("e3c9e316-0b5c-4db8-817d-f92df00215ae", "Windows reserved"),
    ("de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery"),
    ("0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux"),
    ("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "swap"),
    ("e6d6d379-f507-44c2-a23c-238f2a3df928", "LVM"),
    ("a19d880f-05fc-4d3b-a006-743f0f84911e", "RAID"),
    ("48465300-0000-11aa-aa11-00306543ecac", "Apple HFS+"),
];

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

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(kind: &str, content: Option<&str>) -> Partition {
        let content = content.map(str::to_owned);
        Partition { number: 1, offset: 0, length: 1, kind: kind.to_owned(), name: None, content }
    }

    #[test]
    fn what_is_on_a_drive_is_said_in_words() {
        let layout = |table: Option<&str>, content: Option<&str>, partitions: Vec<Partition>| {
            Layout { partition_table: table.map(str::to_owned), content: content.map(str::to_owned), partitions }.described()
        };
        let table = Some("mbr:1234");
        let parts = vec![partition("0x83", Some("ext4")), partition("0x82", None), partition("0x99", None)];
        assert_eq!(layout(table, None, parts).as_deref(), Some("mbr: ext4, swap, unknown (0x99)"));
        let windows = vec![partition("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", None)];
        assert_eq!(layout(Some("gpt:1"), None, windows).as_deref(), Some("gpt: Windows data"));
        assert_eq!(layout(table, None, Vec::new()).as_deref(), Some("mbr, no partition"));
        assert_eq!(layout(None, Some("xfs"), Vec::new()).as_deref(), Some("xfs"));
        assert_eq!(layout(None, None, Vec::new()), None);
    }

    #[test]
    fn the_condition_of_a_drive_is_said_in_words_and_what_is_worst_is_warned_of() {
        let nothing = DriveHealth::default();
        assert_eq!((nothing.described(), nothing.warning()), (None, None));
        let well =
            DriveHealth { is_failing: Some(false), temperature_celsius: Some(36), reallocated_sectors: Some(0), ..nothing };
        assert_eq!((well.described().as_deref(), well.warning()), (Some("36 °C, healthy"), None));
        let warm = DriveHealth { temperature_celsius: Some(71), ..well };
        let losing = DriveHealth { pending_sectors: Some(8), ..warm };
        let failing = DriveHealth { is_failing: Some(true), ..losing };
        for (health, words) in [(warm, "71 °C warm"), (losing, "8 of its sectors"), (failing, "is failing")] {
            assert!(health.warning().unwrap().contains(words), "{health:?}");
        }
        let lost = DriveHealth { reallocated_sectors: Some(3), ..failing };
        assert_eq!(lost.described().as_deref(), Some("71 °C, failing, 3 reallocated, 8 unreadable lately"));
    }
}
