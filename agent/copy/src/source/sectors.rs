//! Reading a drive in whole sectors, around what a manifest says cannot be read.

use drive::{Drive, DriveError};
use protocol::fill::Fill;
use protocol::units::ByteRange;

/// Whether ranges can be left out by a drive with such sectors.
pub(crate) fn are_sectors(ranges: &[ByteRange], sector_bytes: u64) -> bool {
    !ranges.is_empty()
        && ranges.iter().all(|range| range.offset.is_multiple_of(sector_bytes) && range.length.is_multiple_of(sector_bytes))
}

/// Reads a range but for the parts that a manifest says are filling.
pub(crate) fn read_around(
    drive: &dyn Drive,
    buffer: &mut [u8],
    range: ByteRange,
    unreadable: &[ByteRange],
    fill: Fill,
) -> Result<(), DriveError> {
    let mut next = range.offset;
    for bad in unreadable.iter().chain([&ByteRange::new(range.end(), 0)]) {
        let good = ByteRange::new(next, bad.offset - next);
        if good.length > 0 {
            read_sectors(drive, &mut buffer[(next - range.offset) as usize..], good)?;
        }
        fill.fill(&mut buffer[(bad.offset - range.offset) as usize..(bad.end() - range.offset) as usize], bad.offset);
        next = bad.end();
    }
    Ok(())
}

/// Reads a range into the start of `buffer`, up to the end of its last sector where the drive continues
/// behind it: direct reads are of whole sectors.
pub(crate) fn read_sectors(drive: &dyn Drive, buffer: &mut [u8], range: ByteRange) -> Result<(), DriveError> {
    let whole = range.length.next_multiple_of(drive.sector_size_bytes()).min(drive.size_bytes() - range.offset);
    let piece_bytes = drive.preferred_read_bytes();
    for (number, piece) in buffer[..whole as usize].chunks_mut(piece_bytes).enumerate() {
        drive.read_at(piece, range.offset + (number * piece_bytes) as u64)?;
    }
    Ok(())
}
