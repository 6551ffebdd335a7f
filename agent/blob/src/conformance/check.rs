//! Everything that is tried.

use super::content::CHUNK_BYTES;
use super::test_store::TestStore;
use super::{files, listing, ownership, reading, upload};

/// Tries everything. Each check uses names of its own, so that all of them can share a store.
///
/// # Panics
/// Where the store breaks a promise.
pub async fn check(store: &dyn TestStore) {
    CHUNK_BYTES.scope(store.chunk_bytes(), check_all(store)).await;
}

async fn check_all(store: &dyn TestStore) {
    upload::every_size_comes_back(store).await;
    upload::chunks_may_come_in_any_order_and_twice(store).await;
    upload::zeros_and_repeated_chunks_come_back(store).await;
    upload::nothing_looks_complete_before_its_commit(store).await;
    upload::a_second_commit_changes_nothing(store).await;
    upload::names_are_taken_as_they_stand(store).await;
    ownership::a_resumed_upload_finds_what_landed(store).await;
    ownership::a_resumed_upload_may_hold_other_bytes(store).await;
    ownership::what_landed_of_some_chunks_is_told(store).await;
    ownership::nothing_is_resumed_that_was_not_begun(store).await;
    ownership::another_transfer_neither_sees_nor_destroys_it(store).await;
    ownership::what_is_started_over_is_forgotten(store).await;
    ownership::a_blob_stays_unless_it_may_be_replaced(store).await;
    ownership::a_name_that_was_taken_meanwhile_stays(store).await;
    ownership::a_blob_that_was_replaced_meanwhile_stays(store).await;
    reading::every_range_is_what_was_stored(store).await;
    reading::nothing_is_read_behind_the_end(store).await;
    reading::what_is_not_there_is_told(store).await;
    reading::another_version_is_noticed(store).await;
    files::a_file_replaces_only_what_it_may(store).await;
    files::files_of_every_length_come_back(store).await;
    listing::what_is_stored_is_listed(store).await;
    listing::what_is_removed_is_gone(store).await;
    listing::names_that_cannot_be_are_refused(store).await;
}
