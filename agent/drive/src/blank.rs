//! Is anything on a drive?

use std::path::Path;

use crate::aligned::AlignedBuffer;
use crate::contract::Drive;
use crate::discovery::attached::attached_at;
use crate::error::DriveError;
use crate::open::open_source;
use crate::simulated::Pace;
use crate::zero::is_zero;

/// The pieces in which a drive is looked at.
const BLANK_LOOK_BYTES: u64 = 1 << 20;

/// Drives up to this size are looked at whole, and as much of the data of a sparse image.
const BLANK_WHOLE_BYTES_MAX: u64 = 2 << 30;

/// Places of a larger one that are looked at, evenly spread: ten seconds of a disk's time.
const BLANK_PLACES: u64 = 1000;

/// What is read at each of them.
const BLANK_PLACE_BYTES: u64 = 4096;

/// Whether nothing is on a drive: no partition table, no file system, and zeros wherever it is looked. A small drive is
/// read whole; of a larger one both ends, where every known format has its marks, and samples.
///
/// # Errors
/// That of the drive, where it cannot be opened or read.
pub fn is_blank(path: &Path) -> Result<bool, DriveError> {
    let layout = attached_at(path).and_then(|drive| drive.layout);
    let has_layout = layout
        .is_some_and(|layout| layout.partition_table.is_some() || layout.content.is_some() || !layout.partitions.is_empty());
    if has_layout {
        return Ok(false);
    }
    holds_only_zeros(&*open_source(path, Pace::Unlimited)?)
}

/// Whether an open drive has zeros wherever it is looked: at both ends, and at samples of what is between them.
///
/// # Errors
/// That of the drive, where it cannot be read.
pub fn holds_only_zeros(drive: &dyn Drive) -> Result<bool, DriveError> {
    let (size, sector) = (drive.size_bytes(), drive.sector_size_bytes());
    let mut buffer = AlignedBuffer::new(BLANK_LOOK_BYTES as usize)?;
    let mut is_zero_at = |offset: u64, length: u64| {
        let piece = &mut buffer[..(length.min(size - offset)) as usize];
        drive.read_at(piece, offset).map(|()| is_zero(piece))
    };
    // Holes of a sparse image are not read: what is left may be little.
    let (mut offset, mut left) = (0, BLANK_WHOLE_BYTES_MAX);
    while left > 0 {
        let Some(data) = drive.next_data(offset)? else { return Ok(true) };
        let begin = data.offset / sector * sector;
        let length = BLANK_LOOK_BYTES.min(data.end() - begin).next_multiple_of(sector);
        if !is_zero_at(begin, length)? {
            return Ok(false);
        }
        offset = (begin + length).min(size);
        left = left.saturating_sub(length);
    }
    let end = size.saturating_sub(BLANK_LOOK_BYTES) / sector * sector;
    if !is_zero_at(end, BLANK_LOOK_BYTES)? {
        return Ok(false);
    }
    for place in 1..BLANK_PLACES {
        let begin = u64::try_from(u128::from(size) * u128::from(place) / u128::from(BLANK_PLACES)).unwrap_or(0);
        if !is_zero_at(begin / BLANK_PLACE_BYTES * BLANK_PLACE_BYTES, BLANK_PLACE_BYTES)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_drive_is_blank_where_nothing_is_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.img");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(600 << 20).unwrap();
        assert!(is_blank(&path).unwrap());
        file.write_all_at(b"ten bytes!", 5_000_000).unwrap();
        assert!(!is_blank(&path).unwrap(), "a few bytes in the middle are a customer's data");
        file.set_len(0).unwrap();
        file.set_len(12345).unwrap();
        assert!(is_blank(&path).unwrap(), "an odd size");
        file.write_all_at(b"x", 12344).unwrap();
        assert!(!is_blank(&path).unwrap());
    }
}
