//! The facts of an identity that cost reading: samples of the content, and the partition table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::identity::{ContentSample, DriveIdentity};
use protocol::units::ByteRange;

use crate::contract::Drive;
use crate::error::DriveError;
use crate::timed_reader::TimedReader;

/// How many places are sampled. 64 reads of 4 KiB take less than a second on the slowest drive.
const SAMPLES: u64 = 64;

/// Bytes read at each place: one sector of the largest kind.
const SAMPLE_BYTES: u64 = 4096;

/// How long sampling may take.
#[derive(Debug, Clone, Copy)]
pub struct SampleRules {
    /// Longest single read.
    pub each: Duration,
    /// Longest of all together. A read has half of what is left, so that no number of places that hang uses it up.
    pub all: Duration,
    /// Whether a place that hangs counts as unreadable; else it is an error.
    pub goes_on: bool,
}

/// Who a drive is.
#[derive(Debug)]
pub struct Identified {
    /// Its identity with content sample and partition table.
    pub identity: DriveIdentity,
    /// The sampled places whose reads did not come back.
    pub hanging: Vec<ByteRange>,
}

/// The drive's identity with content sample and partition table.
///
/// # Errors
/// When the drive is gone, or hangs everywhere. Places that cannot be read are part of the sample as unreadable.
pub fn identify(drive: &Arc<dyn Drive>, rules: SampleRules) -> Result<Identified, DriveError> {
    let end = Instant::now() + rules.all;
    let mut sampler = Sampler { drive, rules, end, reader: TimedReader::default(), hanging: Vec::new() };
    let mut identity = drive.identity().clone();
    identity.partition_table_id = sampler.partition_table_id()?;
    identity.content_sample = Some(sampler.content_sample()?);
    let all_hang = sampled_places(drive.size_bytes()).all(|place| sampler.hanging.contains(&place));
    match all_hang && drive.size_bytes() > 0 {
        true => Err(sampler.timed_out(ByteRange::new(0, drive.size_bytes()), rules.each)),
        false => Ok(Identified { identity, hanging: sampler.hanging }),
    }
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

/// Reads with a bound for each place, and one for all.
struct Sampler<'drive> {
    drive: &'drive Arc<dyn Drive>,
    rules: SampleRules,
    end: Instant,
    reader: TimedReader,
    hanging: Vec<ByteRange>,
}

impl Sampler<'_> {
    /// Reads one place, and does something with its bytes; `None` where it cannot be read.
    fn read<T>(&mut self, place: ByteRange, use_bytes: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, DriveError> {
        if self.hanging.iter().any(|hang| hang.offset < place.end() && place.offset < hang.end()) {
            self.hanging.push(place);
            return Ok(None);
        }
        let timeout = self.rules.each.min(self.end.saturating_duration_since(Instant::now()) / 2);
        match self.reader.read(self.drive, place, timeout, || false) {
            Ok(Some(buffer)) => {
                let used = use_bytes(&buffer[..place.length as usize]);
                self.reader.give_back(buffer);
                Ok(Some(used))
            }
            Ok(None) if self.rules.goes_on => {
                self.hanging.push(place);
                Ok(None)
            }
            Ok(None) => Err(self.timed_out(place, timeout)),
            Err(error) if error.is_unreadable() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn timed_out(&self, range: ByteRange, after: Duration) -> DriveError {
        let path = self.drive.identity().path.clone().into();
        DriveError::TimedOut { path, range, seconds: after.as_secs().max(1) }
    }

    /// Reads the sampled places.
    fn content_sample(&mut self) -> Result<ContentSample, DriveError> {
        let mut sample = ContentSample::of_places([]);
        for place in sampled_places(self.drive.size_bytes()) {
            if self.read(place, |bytes| sample.push(Some(bytes)))?.is_none() {
                sample.push(None);
            }
        }
        Ok(sample)
    }

    /// The disk GUID of a GPT (UEFI specification 2.10, section 5.3.2), or the disk signature of an MBR.
    fn partition_table_id(&mut self) -> Result<Option<String>, DriveError> {
        let sector = self.drive.sector_size_bytes();
        if self.drive.size_bytes() < 2 * sector {
            return Ok(None);
        }
        let read = self.read(ByteRange::new(0, 2 * sector), |bytes| parse_partition_table_id(bytes, sector as usize));
        Ok(read?.flatten())
    }
}

fn mul_div(value: u64, factor: u64, divisor: u64) -> u64 {
    (u128::from(value) * u128::from(factor) / u128::from(divisor)) as u64
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
