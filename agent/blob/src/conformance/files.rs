//! Whole files, as manifests are stored: beside a blob, at once, and in place of nothing that they may not replace.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use protocol::manifest::MANIFEST_SUFFIX;

use super::content::{FIRST, SECOND, assert_holds, assert_kind, bytes_of, facts};
use super::test_store::TestStore;
use crate::contract::{Blob, Replaces};
use crate::error::{BlobError, BlobErrorKind::AlreadyExists};

/// Stores these bytes from a file that is at its end, as one is that was just written.
async fn put(blob: &dyn Blob, transfer_id: &str, bytes: &[u8], replaces: &Replaces) -> Result<(), BlobError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let file: Arc<File> = Arc::new(file);
    blob.put_file(file, transfer_id, replaces).await
}

pub(super) async fn a_file_replaces_only_what_it_may(tried: &dyn TestStore) {
    let blob = tried.blob("file").sibling(MANIFEST_SUFFIX);
    let [first, second, third, fourth] = [40, 41, 42, 43].map(|seed| bytes_of(3000, seed));
    let absent = put(&*blob, FIRST, &first, &Replaces::Version("\"0x1\"".to_owned())).await;
    assert_kind(absent, &[AlreadyExists], "a version of a blob that is not there");
    assert_eq!(blob.head().await.unwrap(), None);
    put(&*blob, FIRST, &first, &Replaces::Nothing).await.unwrap();
    assert_kind(put(&*blob, SECOND, &second, &Replaces::Nothing).await, &[AlreadyExists], "a name that is taken");
    assert_holds(&*blob, &first).await;
    let looked_at = facts(&*blob).await.version;
    put(&*blob, SECOND, &second, &Replaces::Version(looked_at.clone())).await.unwrap();
    assert_holds(&*blob, &second).await;
    let late = put(&*blob, FIRST, &third, &Replaces::Version(looked_at)).await;
    assert_kind(late, &[AlreadyExists], "a version that was replaced meanwhile");
    assert_holds(&*blob, &second).await;
    put(&*blob, FIRST, &fourth, &Replaces::Anything).await.unwrap();
    assert_holds(&*blob, &fourth).await;
}

pub(super) async fn files_of_every_length_come_back(tried: &dyn TestStore) {
    for length in [0, 1, 511, 4097, (8 << 20) + 17] {
        let (blob, bytes) = (tried.blob(&format!("file-{length}")).sibling(MANIFEST_SUFFIX), bytes_of(length, 44));
        put(&*blob, FIRST, &bytes, &Replaces::Anything).await.unwrap();
        assert_holds(&*blob, &bytes).await;
        // The same again, as a run does whose first answer was lost.
        put(&*blob, FIRST, &bytes, &Replaces::Anything).await.unwrap();
        assert_holds(&*blob, &bytes).await;
    }
}
