//! What every drive promises, tried on each kind.

use std::path::Path;

use crate::contract::Drive;
use crate::error::DriveError;
use crate::image::ImageDrive;
use crate::new_image::NewImage;
use crate::simulated::{Pace, Purpose, SimulatedDrive};
use protocol::units::ByteRange;

fn read(drive: &dyn Drive, offset: u64, length: usize) -> Result<Vec<u8>, DriveError> {
    let mut bytes = vec![0x55; length];
    drive.read_at(&mut bytes, offset).map(|()| bytes)
}

/// A source answers the same to every read, never with less than was asked for, and reports its data.
fn source_conforms(drive: &dyn Drive) {
    let size = drive.size_bytes();
    let whole = read(drive, 0, size as usize).unwrap();
    let middle = size / 2 / 512 * 512;
    assert_eq!(read(drive, middle, 512).unwrap(), whole[middle as usize..middle as usize + 512]);
    assert!(matches!(read(drive, size - 512, 1024), Err(DriveError::Shrunk { .. })), "a short read is never data");
    let mut position = 0;
    while let Some(data) = drive.next_data(position).unwrap() {
        assert!(data.offset >= position && data.length > 0 && data.end() <= size);
        assert!(crate::zero::is_zero(&whole[position as usize..data.offset as usize]), "a hole reads as zeros");
        position = data.end();
    }
    assert!(crate::zero::is_zero(&whole[position as usize..]), "a hole reads as zeros");
    assert!(drive.next_data(size).unwrap().is_none());
}

/// A target holds what was written, and zeros where it was zeroed.
fn target_conforms(drive: &dyn Drive) {
    let size = drive.size_bytes() as usize;
    let pattern: Vec<u8> = (0..size).map(|index| index as u8 | 1).collect();
    drive.write_at(&pattern, 0).unwrap();
    drive.zero_range(ByteRange::new(4096, 8192)).unwrap();
    drive.zero_range(ByteRange::new(0, 0)).unwrap();
    drive.sync().unwrap();
    let mut expected = pattern;
    expected[4096..12288].fill(0);
    assert_eq!(read(drive, 0, size).unwrap(), expected);
}

/// A new image, begun for some transfer.
fn new_image(path: &Path, size_bytes: u64) -> NewImage {
    let image = NewImage::new(path, size_bytes);
    image.begin("0123456789abcdef0123456789abcdef").unwrap();
    image
}

#[test]
fn an_image_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drive.img");
    let target = new_image(&path, 65_536);
    target_conforms(&target);
    target.finish().unwrap();
    source_conforms(&ImageDrive::open_source(&path).unwrap());
    source_conforms(&target);
    assert!(matches!(ImageDrive::open_target(&path), Err(DriveError::Refused(_))), "two writers would mix their blobs");
    drop(target);
    target_conforms(&ImageDrive::open_target(&path).unwrap());
}

#[test]
fn a_sparse_image_tells_its_holes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drive.img");
    let target = new_image(&path, 4 << 20);
    target.write_at(&[9; 4096], 2 << 20).unwrap();
    target.finish().unwrap();
    let source = ImageDrive::open_source(&path).unwrap();
    source_conforms(&source);
    assert_eq!(source.next_data(0).unwrap(), Some(ByteRange::new(2 << 20, 4096)));
}

#[test]
fn a_shrinking_image_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drive.img");
    std::fs::write(&path, vec![1; 8192]).unwrap();
    let source = ImageDrive::open_source(&path).unwrap();
    assert!(!source.was_modified().unwrap());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
    assert!(source.was_modified().unwrap());
    assert!(matches!(read(&source, 0, 8192), Err(DriveError::Shrunk { end: 4096, size: 8192, .. })));
    assert!(matches!(source.next_data(4096), Err(DriveError::Shrunk { .. })));
}

#[test]
fn a_simulated_drive_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drive.toml");
    std::fs::write(&path, "size = \"64KiB\"\nserial = \"S\"\nseed = 1\nzero_share = 0.5\nrun_size = \"4KiB\"").unwrap();
    let drive = SimulatedDrive::open(&path, Pace::Unlimited, Purpose::Copy, |_| unreachable!()).unwrap();
    source_conforms(&drive);
    assert!(matches!(drive.write_at(&[0; 512], 0), Err(DriveError::ReadOnly { .. })));
    assert_eq!(Path::new(&drive.identity().path), path);
}
