//! Ranges, versions, and what is not there.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use protocol::units::ByteRange;

use super::content::{
    FIRST, SECOND, assert_kind, bytes_of, chunk_bytes, facts, is_zero, overwriting, place, read, request, resuming, store,
};
use super::test_store::TestStore;
use crate::contract::{Blob, CHECKED_RANGE_BYTES_MAX, Replaces};
use crate::error::BlobErrorKind::{Changed, ContainerNotFound, NotFound};

pub(super) async fn every_range_is_what_was_stored(tried: &dyn TestStore) {
    let (blob, bytes) = (tried.blob("ranges"), bytes_of(5 * (1 << 20) + 17, 30));
    let version = store(&*blob, &request(FIRST, &bytes), &bytes).await.unwrap();
    let size = bytes.len() as u64;
    let ranges =
        [(0, size), (0, 1), (0, 0), (512, 0), (size, 0), (size - 1, 1), (size - 512, 512), (1 << 20, 1 << 20), (511, 3 << 20)];
    for (offset, length) in ranges {
        let range = ByteRange::new(offset, length);
        let expected = &bytes[place(offset)..place(range.end())];
        assert!(read(&*blob, range, &version).await.unwrap() == expected, "{range:?}");
        if length > CHECKED_RANGE_BYTES_MAX {
            continue;
        }
        let body = blob.read(range, &version, true).await.unwrap();
        let pieces: Vec<Bytes> = body.pieces.try_collect().await.unwrap();
        assert!(pieces.concat() == expected, "{range:?}");
        assert!(body.checksum.is_none_or(|checksum| checksum.fits(expected)), "{range:?}");
    }
    if let Some(local) = blob.local() {
        let mut buffer = vec![0; 1000];
        local.read_at(&mut buffer, 12_345, &version).unwrap();
        assert!(buffer == bytes[12_345..13_345]);
    }
    holes_are_zeros(&*blob, &bytes, &version);
}

/// Where a store reports holes, they read as zeros.
fn holes_are_zeros(blob: &dyn Blob, bytes: &Bytes, version: &str) {
    let Some(local) = blob.local() else { return };
    let mut offset = 0;
    while let Some(data) = local.next_data(offset, version).unwrap() {
        assert!(data.offset >= offset && data.length > 0 && data.end() <= bytes.len() as u64, "{data:?}");
        assert!(is_zero(&bytes[place(offset)..place(data.offset)]));
        offset = data.end();
    }
    assert!(is_zero(&bytes[place(offset)..]));
}

/// A range that ends behind the blob is an error, or ends early: the reader counts. It never has bytes that are not there.
pub(super) async fn nothing_is_read_behind_the_end(tried: &dyn TestStore) {
    for length in [0, 1000, 1024] {
        let (blob, bytes) = (tried.blob(&format!("end-{length}")), bytes_of(length, 31));
        let version = store(&*blob, &request(FIRST, &bytes), &bytes).await.unwrap();
        let size = length as u64;
        assert!(read(&*blob, ByteRange::new(0, size), &version).await.unwrap() == bytes, "{length}");
        for (offset, length) in [(0, size + 1), (size / 2, size), (size, 1), (size + 1, 1), (size + 5000, 512)] {
            let rest = &bytes[place(offset.min(size))..];
            match read(&*blob, ByteRange::new(offset, length), &version).await {
                Ok(found) => {
                    // A store may pad a blob with zeros.
                    let (bytes, padding) = found.split_at_checked(rest.len()).unwrap_or_default();
                    assert!(bytes == rest && is_zero(padding), "{} at {offset}+{length}: {} bytes", blob.address(), found.len());
                }
                Err(error) => assert!(!error.is_transient(), "asking again would not help: {error}"),
            }
        }
    }
}

pub(super) async fn what_is_not_there_is_told(tried: &dyn TestStore) {
    let blob = tried.blob("missing");
    assert_eq!(blob.head().await.unwrap(), None);
    // The version that was asked for is gone with its blob: a server may look at the one first or at the other.
    let gone = [NotFound, Changed];
    for length in [0, 512] {
        assert_kind(read(&*blob, ByteRange::new(0, length), "\"0x1\"").await, &gone, "a blob that is not there");
    }
    if let Some(local) = blob.local() {
        assert_kind(local.read_at(&mut [0; 512], 0, "1"), &gone, "a blob that is not there");
    }
    let Some(blob) = tried.in_missing_container() else { return };
    let bytes = bytes_of(512, 32);
    assert_kind(blob.head().await, &[ContainerNotFound], "head");
    assert_kind(store(&*blob, &request(FIRST, &bytes), &bytes).await, &[ContainerNotFound], "an upload");
    assert_kind(store(&*blob, &resuming(request(FIRST, &bytes)), &bytes).await, &[ContainerNotFound], "a resumed upload");
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"file").unwrap();
    let stored = blob.sibling(".x").put_file(Arc::new(file), FIRST, &Replaces::Anything).await;
    assert_kind(stored, &[ContainerNotFound], "a file");
}

/// A reader that looked at a blob never gets bytes of what came after.
pub(super) async fn another_version_is_noticed(tried: &dyn TestStore) {
    let (blob, first, second) = (tried.blob("versions"), bytes_of(chunk_bytes(), 33), bytes_of(chunk_bytes(), 34));
    let version = store(&*blob, &request(FIRST, &first), &first).await.unwrap();
    assert_eq!(facts(&*blob).await.version, facts(&*blob).await.version, "looking changes nothing");
    let newer = store(&*blob, &overwriting(request(SECOND, &second)), &second).await.unwrap();
    assert_ne!(newer, version);
    let range = ByteRange::new(100, 512);
    for checked in [false, true] {
        assert_kind(blob.read(range, &version, checked).await.map(drop), &[Changed], "an older version");
    }
    if let Some(local) = blob.local() {
        assert_kind(local.read_at(&mut [0; 512], 0, &version), &[Changed], "an older version");
        assert_kind(local.next_data(0, &version), &[Changed], "an older version");
    }
    assert!(read(&*blob, range, &newer).await.unwrap() == second[100..612]);
}
