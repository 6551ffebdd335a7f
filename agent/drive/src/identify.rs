//! The facts of an identity that cost reading: samples of the content, and the partition table.

use protocol::identity::{ContentSample, DriveIdentity};
use protocol::units::ByteRange;

use crate::aligned::AlignedBuffer;
use crate::contract::Drive;
use crate::error::DriveError;

/// How many places are sampled. 64 reads of 4 KiB take less than a second on the slowest drive.
const SAMPLES: u64 = 64;

/// Bytes read at each place: one sector of the largest kind.
const SAMPLE_BYTES: u64 = 4096;

/// The drive's identity with content sample and partition table.
///
/// # Errors
/// When the drive is gone. Places that cannot be read are part of the sample as unreadable.
pub fn identify(drive: &dyn Drive) -> Result<DriveIdentity, DriveError> {
    let mut identity = drive.identity().clone();
    identity.partition_table_id = partition_table_id(drive)?;
    identity.content_sample = Some(content_sample(drive)?);
    Ok(identity)
}

/// Where the content is sampled: places spread evenly from the first sector to the last.
pub fn sampled_places(size: u64) -> impl Iterator<Item = ByteRange> {
    let places = size.div_ceil(SAMPLE_BYTES);
    let samples = places.min(SAMPLES);
    (0..samples).map(move |number| {
        let place = if samples > 1 { mul_div(places - 1, number, samples - 1) } else { 0 };
        let offset = place * SAMPLE_BYTES;
        ByteRange::new(offset, (size - offset).min(SAMPLE_BYTES))
    })
}

/// Reads the sampled places.
fn content_sample(drive: &dyn Drive) -> Result<ContentSample, DriveError> {
    let mut buffer = AlignedBuffer::new(SAMPLE_BYTES as usize);
    let mut sample = ContentSample::of_places([]);
    for place in sampled_places(drive.size_bytes()) {
        let bytes = &mut buffer[..place.length as usize];
        match drive.read_at(bytes, place.offset) {
            Ok(()) => sample.push(Some(bytes)),
            Err(error) if error.is_unreadable() => sample.push(None),
            Err(error) => return Err(error),
        }
    }
    Ok(sample)
}

fn mul_div(value: u64, factor: u64, divisor: u64) -> u64 {
    (u128::from(value) * u128::from(factor) / u128::from(divisor)) as u64
}

/// The disk GUID of a GPT (UEFI specification 2.10, section 5.3.2), or the disk signature of an MBR.
fn partition_table_id(drive: &dyn Drive) -> Result<Option<String>, DriveError> {
    let sector = drive.sector_size_bytes() as usize;
    let mut buffer = AlignedBuffer::new(2 * sector);
    let bytes = &mut buffer[..2 * sector];
    if drive.size_bytes() < bytes.len() as u64 {
        return Ok(None);
    }
    match drive.read_at(bytes, 0) {
        Ok(()) => Ok(parse_partition_table_id(bytes, sector)),
        Err(error) if error.is_unreadable() => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn parse_partition_table_id(bytes: &[u8], sector: usize) -> Option<String> {
    let (first, second) = bytes.split_at_checked(sector)?;
    if second.starts_with(b"EFI PART") {
        return Some(format!("gpt:{}", guid_text(second.get(56..72)?.try_into().ok()?)));
    }
    let signature: [u8; 4] = first.get(440..444)?.try_into().ok()?;
    let has_table = first.get(510..512)? == [0x55, 0xaa];
    (has_table && signature != [0; 4]).then(|| format!("mbr:{:08x}", u32::from_le_bytes(signature)))
}

/// A GUID as it is written: its first three parts are little-endian numbers.
pub(crate) fn guid_text(guid: [u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
    let first = u32::from_le_bytes([a, b, c, d]);
    let (middle, last) = (u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
    let hex: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{first:08x}-{middle:04x}-{last:04x}-{}-{}", &hex[..4], &hex[4..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_tables_are_named() {
        let mut bytes = vec![0; 1024];
        assert_eq!(parse_partition_table_id(&bytes, 512), None);
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        bytes[440..444].copy_from_slice(&0x1234_abcd_u32.to_le_bytes());
        assert_eq!(parse_partition_table_id(&bytes, 512).unwrap(), "mbr:1234abcd");
        bytes[512..520].copy_from_slice(b"EFI PART");
        bytes[568..584]
            .copy_from_slice(&[0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b]);
        assert_eq!(parse_partition_table_id(&bytes, 512).unwrap(), "gpt:c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }
}
