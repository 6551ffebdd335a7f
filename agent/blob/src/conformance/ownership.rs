//! Resumed, abandoned, replaced and lost uploads: a run resumes only its own work, and destroys no other's.

use bytes::Bytes;
use protocol::units::ByteRange;

use super::content::{
    FIRST, SECOND, THIRD, assert_holds, assert_kind, begun, bytes_like, bytes_of, chunk_bytes, chunks_of, commit, lost,
    overwriting, request, resuming, send, store,
};
use super::test_store::TestStore;
use crate::contract::{Blob, BlocksHeld, ChunkBody, Holding, Upload, UploadRequest};
use crate::error::BlobErrorKind::{AlreadyExists, Changed, NotFound};

/// What a store must know of these chunks, which were sent by an earlier run of the same transfer.
fn assert_held(upload: &dyn Upload, held: &BlocksHeld, chunks: &[ChunkBody], noted: Option<&String>) {
    match held {
        BlocksHeld::Blocks(blocks) => {
            assert!(upload.capabilities().content_named);
            for chunk in chunks {
                assert_eq!(blocks.get(&chunk.digest), Some(&chunk.range.length), "a block that landed is held");
            }
        }
        BlocksHeld::Recorded { state } => {
            assert!(!upload.capabilities().content_named);
            assert!(state.is_none() || noted.is_none() || state.as_ref() == noted, "nothing wrote to it: {state:?}, {noted:?}");
        }
        BlocksHeld::Nothing => assert!(chunks.is_empty(), "what landed is not held"),
    }
}

pub(super) async fn a_resumed_upload_finds_what_landed(tried: &dyn TestStore) {
    let (blob, bytes) = (tried.blob("resumed"), bytes_of(4 * chunk_bytes() + 100, 10));
    let (chunks, request) = (chunks_of(&bytes), request(FIRST, &bytes));
    let upload = begun(&*blob, &request, &chunks[1..3]).await;
    let noted = upload.state().await.unwrap();
    let held = upload.held().await.unwrap();
    assert_held(&*upload, &held, &chunks[1..3], None);
    drop(upload);
    // A run that did nothing comes between.
    let (upload, held) = blob.begin_upload(&resuming(request.clone())).await.unwrap();
    assert_held(&*upload, &held, &chunks[1..3], noted.as_ref());
    let noted = upload.state().await.unwrap();
    drop(upload);
    let (upload, held) = blob.begin_upload(&resuming(request)).await.unwrap();
    assert_held(&*upload, &held, &chunks[1..3], noted.as_ref());
    // A store that can list its places says that those hold what was recorded, and that others do not.
    match &*lost(&*upload, &chunks).await {
        [] => {}
        lost => assert_eq!(lost, [chunks[0].range, ByteRange::new(chunks[3].range.offset, chunks[3].range.length + 100)]),
    }
    send(&*upload, &chunks[..1]).await.unwrap();
    send(&*upload, &chunks[3..]).await.unwrap();
    commit(&*upload, &chunks).await.unwrap();
    assert_holds(&*blob, &bytes).await;
}

/// The drive was written to since: what landed is sent again, as other bytes or as zeros.
pub(super) async fn a_resumed_upload_may_hold_other_bytes(tried: &dyn TestStore) {
    let (blob, before) = (tried.blob("rewritten"), bytes_like("abcde"));
    let request = request(FIRST, &before);
    drop(begun(&*blob, &request, &chunks_of(&before)).await);
    let mut after = bytes_like("azczf").to_vec();
    // Data with zeros before, between and behind it.
    after[2 * chunk_bytes()..3 * chunk_bytes()].fill(0);
    after[2 * chunk_bytes() + 1000..2 * chunk_bytes() + 3000].fill(7);
    let after = Bytes::from(after);
    let chunks = chunks_of(&after);
    let (upload, _) = blob.begin_upload(&resuming(request)).await.unwrap();
    if upload.capabilities().content_named {
        send(&*upload, &chunks).await.unwrap();
    } else {
        upload.clear(chunks[1].range).await.unwrap();
        upload.put_chunk(&chunks[2]).await.unwrap();
        upload.put_chunk(&chunks[3]).await.unwrap();
        upload.put_chunk(&chunks[4]).await.unwrap();
        upload.sync().await.unwrap();
    }
    commit(&*upload, &chunks).await.unwrap();
    assert_holds(&*blob, &after).await;
}

/// What a journal speaks of may be gone: then it is not made silently.
/// What was sent and not answered: the receipt of an abort says of each chunk whether it landed.
pub(super) async fn what_landed_of_some_chunks_is_told(tried: &dyn TestStore) {
    let (blob, bytes) = (tried.blob("told"), bytes_of(4 * chunk_bytes() + 100, 23));
    let chunks = chunks_of(&bytes);
    let upload = begun(&*blob, &request(FIRST, &bytes), &chunks[1..3]).await;
    let asked: Vec<_> = chunks.iter().map(|chunk| (chunk.digest, chunk.range)).collect();
    let told = upload.holds(&asked).await.unwrap();
    use Holding::{Absent, Held, Unknown};
    match upload.capabilities().tells_of_chunks {
        true => assert_eq!(told, [Absent, Held, Held, Absent, Absent], "{}", blob.address()),
        false => assert_eq!(told, [Unknown; 5], "{}", blob.address()),
    }
}

pub(super) async fn nothing_is_resumed_that_was_not_begun(tried: &dyn TestStore) {
    let (blob, bytes) = (tried.blob("never-begun"), bytes_of(chunk_bytes(), 11));
    match blob.begin_upload(&resuming(request(FIRST, &bytes))).await {
        Ok((_, held)) => assert_eq!(held, BlocksHeld::Nothing),
        Err(error) => assert_eq!(error.kind, NotFound, "{error}"),
    }
    assert_eq!(blob.head().await.unwrap(), None);
    store(&*blob, &request(FIRST, &bytes), &bytes).await.unwrap();
    assert_holds(&*blob, &bytes).await;
}

pub(super) async fn another_transfer_neither_sees_nor_destroys_it(tried: &dyn TestStore) {
    let (blob, bytes) = (tried.blob("two-transfers"), bytes_of(3 * chunk_bytes(), 12));
    let (chunks, first) = (chunks_of(&bytes), request(FIRST, &bytes));
    drop(begun(&*blob, &first, &chunks[..2]).await);
    let others = chunks_of(&bytes_of(3 * chunk_bytes(), 13));
    for second in [resuming(request(THIRD, &bytes)), request(SECOND, &bytes)] {
        match blob.begin_upload(&second).await {
            Ok((upload, held)) => {
                assert!(!matches!(held, BlocksHeld::Recorded { .. }), "the work of another transfer is not resumed");
                send(&*upload, &others[..1]).await.unwrap();
            }
            Err(error) if second.resume => assert_eq!(error.kind, NotFound, "{error}"),
            Err(error) => {
                assert_eq!(error.kind, AlreadyExists, "{error}");
                assert!(blob.destroys_at_begin(), "only what would destroy it is refused");
            }
        }
    }
    let (upload, held) = blob.begin_upload(&resuming(first)).await.unwrap();
    assert_held(&*upload, &held, &chunks[..2], None);
    assert!(!matches!(held, BlocksHeld::Nothing));
    send(&*upload, &chunks[2..]).await.unwrap();
    commit(&*upload, &chunks).await.unwrap();
    assert_holds(&*blob, &bytes).await;
}

pub(super) async fn what_is_started_over_is_forgotten(tried: &dyn TestStore) {
    let (blob, before, after) = (tried.blob("started-over"), bytes_of(3 * chunk_bytes(), 14), bytes_like("zaz"));
    drop(begun(&*blob, &request(FIRST, &before), &chunks_of(&before)).await);
    let chunks = chunks_of(&after);
    let over = UploadRequest { replaces: Some(FIRST.to_owned()), ..request(SECOND, &after) };
    let (upload, held) = blob.begin_upload(&over).await.unwrap();
    assert!(!matches!(held, BlocksHeld::Recorded { .. }), "{held:?}");
    send(&*upload, &chunks).await.unwrap();
    // The transfer that was started over is gone, and what took its place stays.
    match blob.begin_upload(&resuming(request(FIRST, &before))).await {
        Ok((_, held)) => assert!(!matches!(held, BlocksHeld::Recorded { .. }), "{held:?}"),
        Err(error) => assert_eq!(error.kind, NotFound, "{error}"),
    }
    commit(&*upload, &chunks).await.unwrap();
    assert_holds(&*blob, &after).await;
}

pub(super) async fn a_blob_stays_unless_it_may_be_replaced(tried: &dyn TestStore) {
    let (blob, first, second) = (tried.blob("kept"), bytes_of(2 * chunk_bytes(), 15), bytes_of(chunk_bytes() + 5, 16));
    store(&*blob, &request(FIRST, &first), &first).await.unwrap();
    for request in [request(SECOND, &second), UploadRequest { replaces: Some(FIRST.to_owned()), ..request(THIRD, &second) }] {
        assert_kind(store(&*blob, &request, &second).await, &[AlreadyExists], "an upload without leave to replace");
        assert_holds(&*blob, &first).await;
    }
    let replacing = "89abcdef0123456789abcdef01234567";
    store(&*blob, &overwriting(request(replacing, &second)), &second).await.unwrap();
    assert_holds(&*blob, &second).await;
}

/// Which kind of error an upload gets that lost its place: the blob under its name is another's, and stays. An upload
/// that writes in place has lost what it wrote, too.
fn assert_lost(blob: &dyn Blob, result: Result<String, crate::BlobError>) {
    let kind = if blob.destroys_at_begin() { Changed } else { AlreadyExists };
    assert_kind(result, &[kind], "an upload that lost its place");
}

/// The name was free when the upload began, and is not any more.
pub(super) async fn a_name_that_was_taken_meanwhile_stays(tried: &dyn TestStore) {
    let (blob, first, second) = (tried.blob("taken"), bytes_of(2 * chunk_bytes(), 17), bytes_of(chunk_bytes(), 18));
    let chunks = chunks_of(&first);
    let upload = begun(&*blob, &request(FIRST, &first), &chunks[..1]).await;
    store(&*blob, &overwriting(request(SECOND, &second)), &second).await.unwrap();
    // A late chunk may land where the store keeps it apart, and is refused elsewhere.
    if let Err(error) = upload.put_chunk(&chunks[1]).await {
        assert!(blob.destroys_at_begin() && error.kind == Changed, "{:?}: {error}", error.kind);
    }
    assert_lost(&*blob, commit(&*upload, &chunks).await);
    assert_lost(&*blob, commit(&*upload, &chunks).await);
    assert_holds(&*blob, &second).await;
}

/// Another transfer replaced the blob that this one was to replace.
pub(super) async fn a_blob_that_was_replaced_meanwhile_stays(tried: &dyn TestStore) {
    let blob = tried.blob("replaced");
    let [zeroth, first, second] = [19, 20, 21].map(|seed| bytes_of(2 * chunk_bytes(), seed));
    store(&*blob, &request(THIRD, &zeroth), &zeroth).await.unwrap();
    let chunks = chunks_of(&first);
    let (upload, _) = blob.begin_upload(&overwriting(request(FIRST, &first))).await.unwrap();
    send(&*upload, &chunks).await.unwrap();
    store(&*blob, &overwriting(request(SECOND, &second)), &second).await.unwrap();
    let ended = commit(&*upload, &chunks).await;
    if upload.capabilities().replaces_only_what_it_found {
        assert_lost(&*blob, ended);
        assert_holds(&*blob, &second).await;
    } else {
        ended.unwrap();
        assert_holds(&*blob, &first).await;
    }
}
