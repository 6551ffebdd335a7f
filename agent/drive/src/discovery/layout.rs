//! Partition tables and the marks of file systems: what a drive's content looks like.
//!
//! Reads a few kilobytes. Whatever a hostile drive says, nothing here trusts a number before it is checked
//! against the drive's size.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use protocol::drives::{Layout, Partition};

/// Partitions of a GPT that are looked at: the usual table has 128 places.
const GPT_ENTRIES_MAX: u64 = 512;

/// Logical partitions that are followed.
const LOGICAL_MAX: u32 = 64;

/// How much of a place is read to recognise what is there: btrfs has its mark at 64 KiB.
const MARK_BYTES: u64 = 72 << 10;

pub(crate) fn read(file: &File, size: u64, sector: u64) -> io::Result<Layout> {
    let head = read_up_to(file, 0, MARK_BYTES.min(size))?;
    let partition_table = crate::identify::parse_partition_table_id(&head, sector as usize);
    let content = recognise(&head);
    let mut partitions = match &partition_table {
        // A boot sector of a file system has the mark of an MBR too.
        _ if content.is_some() && !is_gpt(&head, sector) => Vec::new(),
        Some(id) if id.starts_with("gpt:") => gpt_partitions(file, &head, size, sector)?,
        _ if head.get(510..512) == Some(&[0x55, 0xaa]) => mbr_partitions(file, &head, size, sector)?,
        _ => Vec::new(),
    };
    for partition in &mut partitions {
        let length = MARK_BYTES.min(partition.length);
        partition.content = read_up_to(file, partition.offset, length).ok().and_then(|bytes| recognise(&bytes));
    }
    Ok(Layout { partition_table: partition_table.filter(|_| content.is_none() || is_gpt(&head, sector)), content, partitions })
}

fn read_up_to(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn is_gpt(head: &[u8], sector: u64) -> bool {
    head.get(sector as usize..).is_some_and(|bytes| bytes.starts_with(b"EFI PART"))
}

fn number<const BYTES: usize>(bytes: &[u8], offset: usize) -> Option<[u8; BYTES]> {
    bytes.get(offset..offset + BYTES)?.try_into().ok()
}

fn u32_at(bytes: &[u8], offset: usize) -> u64 {
    number(bytes, offset).map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes)))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    number(bytes, offset).map_or(0, u64::from_le_bytes)
}

/// UEFI specification 2.10, section 5.3.3.
fn gpt_partitions(file: &File, head: &[u8], size: u64, sector: u64) -> io::Result<Vec<Partition>> {
    let header = head.get(sector as usize..).unwrap_or_default();
    let (start, count, entry_bytes) = (u64_at(header, 72), u32_at(header, 80), u32_at(header, 84));
    if !(128..=4096).contains(&entry_bytes) {
        return Ok(Vec::new());
    }
    let count = count.min(GPT_ENTRIES_MAX);
    let Some(offset) = start.checked_mul(sector).filter(|offset| offset.saturating_add(count * entry_bytes) <= size) else {
        return Ok(Vec::new());
    };
    let table = read_up_to(file, offset, count * entry_bytes)?;
    let mut partitions = Vec::new();
    for (index, entry) in table.chunks_exact(entry_bytes as usize).enumerate() {
        let kind: [u8; 16] = number(entry, 0).unwrap_or_default();
        let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
        let place = first
            .checked_mul(sector)
            .zip(last.checked_sub(first).and_then(|sectors| sectors.checked_add(1)?.checked_mul(sector)));
        let Some((offset, length)) = place.filter(|(offset, length)| offset.checked_add(*length).is_some_and(|end| end <= size))
        else {
            continue;
        };
        if kind != [0; 16] {
            let units = entry[56..128].as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
            let name: String =
                char::decode_utf16(units.take_while(|unit| *unit != 0)).map(|letter| letter.unwrap_or('?')).collect();
            partitions.push(Partition {
                number: index as u32 + 1,
                offset,
                length,
                kind: crate::identify::guid_text(kind),
                name: (!name.is_empty()).then_some(name),
                content: None,
            });
        }
    }
    Ok(partitions)
}

/// The four entries of a master boot record, and the chain of logical partitions behind an extended one.
fn mbr_partitions(file: &File, head: &[u8], size: u64, sector: u64) -> io::Result<Vec<Partition>> {
    let mut partitions = Vec::new();
    for index in 0..4 {
        let Some((kind, start, sectors)) = mbr_entry(head, index) else { continue };
        let is_extended = [0x05, 0x0f, 0x85].contains(&kind);
        if is_extended {
            logical_partitions(file, start, size, sector, &mut partitions)?;
        } else {
            partitions.extend(mbr_partition(index as u32 + 1, kind, start, sectors, size, sector));
        }
    }
    partitions.sort_by_key(|partition| partition.number);
    Ok(partitions)
}

fn mbr_entry(record: &[u8], index: usize) -> Option<(u8, u64, u64)> {
    let entry = record.get(446 + 16 * index..462 + 16 * index)?;
    let (kind, start, sectors) = (entry[4], u32_at(entry, 8), u32_at(entry, 12));
    (kind != 0 && sectors > 0).then_some((kind, start, sectors))
}

fn mbr_partition(number: u32, kind: u8, start: u64, sectors: u64, size: u64, sector: u64) -> Option<Partition> {
    let (offset, length) = (start * sector, sectors * sector);
    let is_inside = offset > 0 && offset.checked_add(length).is_some_and(|end| end <= size);
    is_inside.then(|| Partition { number, offset, length, kind: format!("{kind:#04x}"), name: None, content: None })
}

fn logical_partitions(file: &File, extended: u64, size: u64, sector: u64, partitions: &mut Vec<Partition>) -> io::Result<()> {
    let mut next = extended;
    for number in 5..5 + LOGICAL_MAX {
        let offset = next * sector;
        if offset == 0 || offset + sector > size {
            return Ok(());
        }
        let record = read_up_to(file, offset, sector)?;
        if record.get(510..512) != Some(&[0x55, 0xaa]) {
            return Ok(());
        }
        if let Some((kind, start, sectors)) = mbr_entry(&record, 0) {
            partitions.extend(mbr_partition(number, kind, next + start, sectors, size, sector));
        }
        match mbr_entry(&record, 1) {
            Some((_, start, _)) if extended + start > next => next = extended + start,
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Marks of file systems and other formats: offset, bytes, name. The more special ones come first.
const MARKS: [(usize, &[u8], &str); 27] = [
    (3, b"-FVE-FS-", "BitLocker"),
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
    (3, b"ReFS\0\0\0\0", "ReFS"),
    (82, b"FAT32   ", "FAT32"),
    (54, b"FAT16   ", "FAT16"),
    (54, b"FAT12   ", "FAT12"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0, b"XFSB", "XFS"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (512, b"LABELONE", "LVM"),
    (0, b"LABELONE", "LVM"),
    (4096, &[0xfc, 0x4e, 0x2b, 0xa9], "Linux RAID"),
    (0, &[0xfc, 0x4e, 0x2b, 0xa9], "Linux RAID"),
    (4086, b"SWAPSPACE2", "swap"),
    (4086, b"SWAP-SPACE", "swap"),
    (32, b"NXSB", "APFS"),
    (1024, b"H+\0\x04", "HFS+"),
    (1024, b"HX\0\x05", "HFS+"),
    (1024, &[0x10, 0x20, 0xf5, 0xf2], "F2FS"),
    (32_769, b"CD001", "ISO 9660"),
    (0, b"hsqs", "squashfs"),
    (4120, &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81], "bcache"),
    (0x3fd8, &[0x11, 0x7a, 0xb1, 0xda], "ZFS"),
    (0x3fd8, &[0xda, 0xb1, 0x7a, 0x11], "ZFS"),
    (0, b"conectix", "VHD"),
    (0, b"QFI\xfb", "QCOW2"),
];

/// What the bytes at the beginning of a place say that it is.
fn recognise(bytes: &[u8]) -> Option<String> {
    let has = |(offset, mark, _): &&(usize, &[u8], &str)| bytes.get(*offset..offset + mark.len()) == Some(*mark);
    if let Some((_, _, name)) = MARKS.iter().find(has) {
        return Some((*name).to_owned());
    }
    // ext2, 3 and 4 share a mark; the features distinguish them (linux/fs/ext4/ext4.h).
    if bytes.get(1080..1082) == Some(&[0x53, 0xef]) {
        let (compatible, incompatible) = (u32_at(bytes, 1116), u32_at(bytes, 1120));
        let (has_journal, has_extents) = (compatible & 0x4 != 0, incompatible & 0x40 != 0);
        return Some(
            if has_extents {
                "ext4"
            } else if has_journal {
                "ext3"
            } else {
                "ext2"
            }
            .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever stands on a drive, looking at it does no harm and stays on the drive.
        #[test]
        fn hostile_tables_are_survived(
            mut head in proptest::collection::vec(any::<u8>(), 4096..8192),
            is_gpt in any::<bool>(),
            entry_bytes in prop_oneof![Just(128_u32), any::<u32>()],
            start in prop_oneof![0_u64..20, any::<u64>()],
        ) {
            head[510..512].copy_from_slice(&[0x55, 0xaa]);
            if is_gpt {
                head[512..520].copy_from_slice(b"EFI PART");
                head[512 + 72..512 + 80].copy_from_slice(&start.to_le_bytes());
                head[512 + 84..512 + 88].copy_from_slice(&entry_bytes.to_le_bytes());
            }
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&head, 0).unwrap();
            let layout = read(&file, head.len() as u64, 512).unwrap();
            for partition in layout.partitions {
                prop_assert!(partition.offset + partition.length <= head.len() as u64);
            }
        }
    }
}
