//! Containers, and what is in them.

use super::content::{FIRST, SECOND, assert_holds, assert_kind, begun, bytes_of, chunk_bytes, chunks_of, request, store};
use super::test_store::TestStore;
use crate::account::BlobItem;
use crate::error::BlobErrorKind::InvalidName;

pub(super) async fn what_is_stored_is_listed(tried: &dyn TestStore) {
    let Some((account, container)) = tried.account() else { return };
    let names = ["list/a & b.img", "list/a<b>.img", "list/deep/er/c.img", "list/\u{fc}.img"];
    let mut expected = Vec::new();
    for (length, name) in (1..).map(|index| 512 * index).zip(names) {
        account.make_place(&container, name).await.unwrap();
        let (blob, bytes) = (tried.blob(name), bytes_of(length, 50));
        store(&*blob, &request(FIRST, &bytes), &bytes).await.unwrap();
        expected.push(BlobItem { container: container.clone(), name: name.to_owned(), size_bytes: length as u64 });
        assert_holds(&*account.blob(&container, name).unwrap(), &bytes).await;
    }
    expected.sort_by(|one, other| one.name.cmp(&other.name));
    // An unfinished upload is not a blob yet, except where it is written in place.
    let (unfinished, bytes) = (tried.blob("list/deep/unfinished"), bytes_of(chunk_bytes(), 51));
    let upload = begun(&*unfinished, &request(FIRST, &bytes), &chunks_of(&bytes)).await;
    drop(upload);
    let mut listed = account.blobs(&container, "list/").await.unwrap();
    listed.retain(|item| !(unfinished.destroys_at_begin() && item.name == "list/deep/unfinished"));
    assert_eq!(listed, expected);
    assert_eq!(account.blobs(&container, "list/a ").await.unwrap(), expected[..1]);
    assert!(account.blobs(&container, "list/none").await.unwrap().is_empty());
    assert!(account.blobs("missing-container", "").await.unwrap().is_empty());
    let containers = account.containers("").await.unwrap();
    assert!(containers.contains(&container), "{containers:?}");
    assert!(account.containers(&container).await.unwrap().contains(&container));
    assert!(account.containers("none-begins-so").await.unwrap().is_empty());
}

pub(super) async fn what_is_removed_is_gone(tried: &dyn TestStore) {
    let Some((account, container)) = tried.account() else { return };
    let (name, bytes) = ("removed/in/a.img", bytes_of(chunk_bytes(), 52));
    account.make_place(&container, name).await.unwrap();
    store(&*tried.blob(name), &request(FIRST, &bytes), &bytes).await.unwrap();
    let (unfinished, other) = ("removed/in/unfinished", "removed/in/other");
    for name in [unfinished, other] {
        drop(begun(&*tried.blob(name), &request(FIRST, &bytes), &chunks_of(&bytes)).await);
    }
    // Only what that very transfer left.
    assert!(!account.discard_unfinished(&container, other, SECOND).await.unwrap());
    assert!(!account.discard_unfinished(&container, name, FIRST).await.unwrap(), "a blob that is whole stays");
    assert_holds(&*tried.blob(name), &bytes).await;
    account.discard_unfinished(&container, unfinished, FIRST).await.unwrap();
    assert!(!account.discard_unfinished(&container, unfinished, FIRST).await.unwrap(), "it is gone");
    assert!(account.remove(&container, name).await.unwrap());
    assert!(!account.remove(&container, name).await.unwrap(), "it is gone");
    assert!(!account.remove("missing-container", "a").await.unwrap());
    assert!(!account.blobs(&container, "removed/").await.unwrap().iter().any(|item| item.name == name));
}

pub(super) async fn names_that_cannot_be_are_refused(tried: &dyn TestStore) {
    let Some((account, container)) = tried.account() else { return };
    for (container, name) in
        [("..", "a"), (&*container, "../../a"), (&*container, "/a"), ("", "a"), ("a/b", "c"), (&*container, "a//b")]
    {
        let shown = format!("{container}/{name}");
        assert_kind(account.blob(container, name).map(drop), &[InvalidName], &shown);
        assert_kind(account.make_place(container, name).await, &[InvalidName], &shown);
        assert_kind(account.remove(container, name).await, &[InvalidName], &shown);
        assert_kind(account.discard_unfinished(container, name, FIRST).await, &[InvalidName], &shown);
    }
}
