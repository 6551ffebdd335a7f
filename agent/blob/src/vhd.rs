//! The footer of a fixed VHD: what Azure wants behind the bytes of a disk ("Virtual Hard Disk Image Format Specification").

use std::time::{Duration, SystemTime};

use protocol::digest::Sha256Digest;
use protocol::limits::MIB;

/// Length of the footer, in bytes.
pub const FOOTER_BYTES: u64 = 512;

/// A footer.
pub type Footer = [u8; 512];

const COOKIE: &[u8; 8] = b"conectix";
const FEATURES: u32 = 2;
const FORMAT_VERSION: u32 = 0x0001_0000;
/// There is no other header.
const NO_DATA_OFFSET: u64 = u64::MAX;
const CREATOR: &[u8; 4] = b"drag";
/// Windows: Azure takes no other.
const CREATOR_HOST: &[u8; 4] = b"Wi2k";
const FIXED: u32 = 2;
const CHECKSUM: std::ops::Range<usize> = 64..68;
/// Times are counted from the beginning of 2000.
const EPOCH: Duration = Duration::from_secs(946_684_800);

/// The length of a VHD that holds so many bytes: its disk is a whole number of MiB, as Azure wants it.
pub fn blob_bytes(data_bytes: u64) -> Option<u64> {
    data_bytes.max(1).checked_next_multiple_of(MIB)?.checked_add(FOOTER_BYTES)
}

/// The footer of a fixed disk of this size. `name` is what its identifier is made of.
pub fn footer(disk_bytes: u64, name: &str, now: SystemTime) -> Footer {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(EPOCH);
    let seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
    let mut bytes = [0; 512];
    let mut end = 0;
    let mut put = |field: &[u8]| {
        bytes[end..end + field.len()].copy_from_slice(field);
        end += field.len();
    };
    put(COOKIE);
    put(&FEATURES.to_be_bytes());
    put(&FORMAT_VERSION.to_be_bytes());
    put(&NO_DATA_OFFSET.to_be_bytes());
    put(&seconds.to_be_bytes());
    put(CREATOR);
    put(&FORMAT_VERSION.to_be_bytes());
    put(CREATOR_HOST);
    put(&disk_bytes.to_be_bytes());
    put(&disk_bytes.to_be_bytes());
    put(&geometry(disk_bytes));
    put(&FIXED.to_be_bytes());
    put(&[0; 4]);
    put(&Sha256Digest::of(name.as_bytes()).0[..16]);
    let sum = checksum(&bytes);
    bytes[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The size of the disk, in bytes, where this is the whole footer of a fixed VHD.
pub fn disk_bytes(footer: &[u8]) -> Option<u64> {
    let footer: &Footer = footer.try_into().ok()?;
    let word = |at: usize| footer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let size = footer.get(48..56).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
    let is_fixed = footer.starts_with(COOKIE) && word(60) == Some(FIXED) && word(CHECKSUM.start) == Some(checksum(footer));
    size.filter(|_| is_fixed)
}

/// The ones' complement of the sum of all bytes but those of the checksum itself.
fn checksum(footer: &Footer) -> u32 {
    let counted = footer.iter().enumerate().filter(|(index, _)| !CHECKSUM.contains(index));
    !counted.map(|(_, byte)| u32::from(*byte)).sum::<u32>()
}

/// Cylinders, heads and sectors, by the table at the end of the specification.
fn geometry(disk_bytes: u64) -> [u8; 4] {
    let sectors = (disk_bytes / 512).min(65_535 * 16 * 255);
    let (tracks, heads, per_track) = if sectors >= 65_535 * 16 * 63 {
        (sectors / 255, 16, 255)
    } else {
        let tracks = sectors / 17;
        let heads = tracks.div_ceil(1024).max(4);
        match () {
            () if tracks < heads * 1024 && heads <= 16 => (tracks, heads, 17),
            () if sectors / 31 < 16 * 1024 => (sectors / 31, 16, 31),
            () => (sectors / 63, 16, 63),
        }
    };
    let cylinders = u16::try_from(tracks / heads).unwrap_or(u16::MAX).to_be_bytes();
    [cylinders[0], cylinders[1], u8::try_from(heads).unwrap_or(16), per_track]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_tells_the_size_of_its_disk() {
        for bytes in [MIB, 5 * MIB, 1 << 30, 130 << 30, 32 << 40] {
            let footer = footer(bytes, "transfer", SystemTime::now());
            assert_eq!(disk_bytes(&footer), Some(bytes));
            for index in [0, 48, 60, 64, 400] {
                let mut changed = footer;
                changed[index] ^= 1;
                assert_eq!(disk_bytes(&changed), None, "{index}");
            }
            assert_eq!(disk_bytes(&footer[..511]), None);
        }
        assert_eq!(
            (blob_bytes(1), blob_bytes(MIB), blob_bytes(MIB + 1)),
            (Some(MIB + 512), Some(MIB + 512), Some(2 * MIB + 512))
        );
        assert_eq!((blob_bytes(0), blob_bytes(u64::MAX)), (Some(MIB + 512), None));
    }

    #[test]
    fn geometry_is_that_of_the_specification() {
        for (bytes, cylinders, heads, per_track) in
            [(MIB, 30_u16, 4, 17), (64 * MIB, 963, 8, 17), (1 << 30, 2080, 16, 63), (130 << 30, 65_535, 16, 255)]
        {
            let [high, low, found_heads, found_per_track] = geometry(bytes);
            assert_eq!((u16::from_be_bytes([high, low]), found_heads, found_per_track), (cylinders, heads, per_track), "{bytes}");
        }
    }
}
