//! Begin, put, commit, read.

use protocol::manifest::MANIFEST_SUFFIX;
use protocol::units::ByteRange;

use super::content::{
    FIRST, assert_holds, begun, bytes_like, bytes_of, chunk_bytes, chunks_of, commit, facts, overwriting, read, request, store,
};
use super::test_store::TestStore;

/// Lengths that are not multiples of a chunk or a page, and lengths that are.
pub(super) async fn every_size_comes_back(tried: &dyn TestStore) {
    for length in [0, 1, 511, 512, 513, chunk_bytes() - 1, chunk_bytes(), chunk_bytes() + 1, 3 * chunk_bytes() + 17] {
        let (blob, bytes) = (tried.blob(&format!("size-{length}")), bytes_of(length, 1));
        assert_eq!(blob.head().await.unwrap(), None, "{}", blob.address());
        let version = store(&*blob, &request(FIRST, &bytes), &bytes).await.unwrap();
        assert_holds(&*blob, &bytes).await;
        let found = facts(&*blob).await;
        assert_eq!(found.version, version, "{length}");
        assert!(found.transfer_id.as_deref().is_none_or(|id| id == FIRST), "{:?}", found.transfer_id);
        found.require_readable("it").unwrap();
        found.require_replaceable("it").unwrap();
        if let Some(named) = blob.named_chunks().await.unwrap() {
            let wanted: Vec<_> = chunks_of(&bytes).iter().map(|chunk| (chunk.digest, chunk.range.length)).collect();
            assert_eq!((named.chunks, named.version.unwrap_or(version.clone())), (wanted, version));
        }
    }
}

pub(super) async fn chunks_may_come_in_any_order_and_twice(tried: &dyn TestStore) {
    let (blob, bytes) = (tried.blob("order"), bytes_of(9 * chunk_bytes() + 100, 2));
    let chunks = chunks_of(&bytes);
    let (upload, _) = blob.begin_upload(&request(FIRST, &bytes)).await.unwrap();
    // Three by three at once, from the last third to the first, and some twice.
    for of_third in [2, 0, 1] {
        let puts = chunks.iter().skip(of_third).step_by(3).rev().map(|chunk| upload.put_chunk(chunk));
        futures::future::try_join_all(puts).await.unwrap();
        upload.put_chunk(&chunks[of_third]).await.unwrap();
    }
    upload.sync().await.unwrap();
    commit(&*upload, &chunks).await.unwrap();
    assert_holds(&*blob, &bytes).await;
}

pub(super) async fn zeros_and_repeated_chunks_come_back(tried: &dyn TestStore) {
    for pattern in ["zazabz", "zz", "aaaz", "z"] {
        let (blob, mut bytes) = (tried.blob(&format!("zeros-{pattern}")), bytes_like(pattern).to_vec());
        // The last chunk is an odd one, of zeros too.
        bytes.resize(bytes.len() + 700, 0);
        let bytes = bytes.into();
        store(&*blob, &request(FIRST, &bytes), &bytes).await.unwrap();
        assert_holds(&*blob, &bytes).await;
    }
}

/// A reader never takes half a blob for a whole one; the upload itself can be read where the store has a view of it.
pub(super) async fn nothing_looks_complete_before_its_commit(tried: &dyn TestStore) {
    let (blob, bytes) = (tried.blob("uncommitted"), bytes_of(3 * chunk_bytes(), 3));
    let chunks = chunks_of(&bytes);
    let upload = begun(&*blob, &request(FIRST, &bytes), &chunks).await;
    assert!(blob.head().await.unwrap().is_none_or(|facts| facts.is_incomplete), "{}", blob.address());
    assert!(upload.residue(bytes.len() as u64).await.is_some_and(|residue| residue.bytes > 0), "{}", blob.address());
    let mark = upload.content_mark().await.unwrap();
    if let Some(view) = upload.uncommitted() {
        let version = facts(&*view).await.version;
        assert!(read(&*view, ByteRange::new(0, bytes.len() as u64), &version).await.unwrap() == bytes);
    }
    commit(&*upload, &chunks).await.unwrap();
    assert_holds(&*blob, &bytes).await;
    assert_eq!(facts(&*blob).await.content_mark, mark, "what was noted before the commit is what appeared");
}

/// The answer to the first may have been lost.
pub(super) async fn a_second_commit_changes_nothing(tried: &dyn TestStore) {
    let (blob, bytes) = (tried.blob("committed-twice"), bytes_of(2 * chunk_bytes(), 4));
    let chunks = chunks_of(&bytes);
    let upload = begun(&*blob, &request(FIRST, &bytes), &chunks).await;
    let first = commit(&*upload, &chunks).await.unwrap();
    assert_eq!(commit(&*upload, &chunks).await.unwrap(), first, "{}", blob.address());
    assert_eq!(facts(&*blob).await.version, first);
    assert_holds(&*blob, &bytes).await;
}

pub(super) async fn names_are_taken_as_they_stand(tried: &dyn TestStore) {
    let names = [
        "a b.img",
        "%41%2F",
        "q?x=1&y#z",
        "plus+and&<amp>;'\"",
        "\u{fc}ml\u{e4}ut \u{65e5}\u{672c}",
        "dots..img",
        "~$!@^*(){}[]=,",
        "back\\slash",
    ];
    for (seed, name) in (0..).zip(names) {
        let (blob, bytes) = (tried.blob(name), bytes_of(1000, seed));
        store(&*blob, &request(FIRST, &bytes), &bytes).await.unwrap();
        let beside = blob.sibling(MANIFEST_SUFFIX);
        assert_ne!(beside.address(), blob.address());
        assert_eq!(beside.head().await.unwrap(), None, "{}", beside.address());
    }
    for (seed, name) in (0..).zip(names) {
        // Another object of the same name is the same blob, and none took another one's place.
        assert_holds(&*tried.blob(name), &bytes_of(1000, seed)).await;
        let other = bytes_of(1000, 100 + seed);
        store(&*tried.blob(name), &overwriting(request(FIRST, &other)), &other).await.unwrap();
        assert_holds(&*tried.blob(name), &other).await;
    }
}
