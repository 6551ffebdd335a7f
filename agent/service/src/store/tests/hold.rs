//! One service at a time has the database at a server.

use super::*;
use crate::store::DatabaseHold;

/// Ends the connections that hold the lock, as a server does that is restarted.
async fn cut_off(store: &Store) {
    let statement = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND database =
                     (SELECT oid FROM pg_database WHERE datname = current_database())";
    let _: i64 = sqlx::query_scalar(statement).fetch_one(&store.pool).await.unwrap();
}

#[tokio::test]
async fn a_second_service_gets_the_database_when_the_first_has_ended() {
    let Some(scene) = Scene::postgres().await else { return };
    let address = scene.address.as_ref().unwrap();
    let first = DatabaseHold::take(address).await.unwrap();
    assert!(matches!(DatabaseHold::take(address).await, Err(StoreError::InUse)));
    let other = PostgresServer::shared().unwrap().new_database().await.parse().unwrap();
    DatabaseHold::take(&other).await.unwrap();
    assert!(!first.lost().is_cancelled());
    drop(first);
    // Its connection ends a moment later.
    while DatabaseHold::take(address).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_service_that_was_cut_off_takes_the_database_again_or_is_told_that_it_lost_it() {
    let Some(scene) = Scene::postgres().await else { return };
    let address = scene.address.as_ref().unwrap();
    let first = DatabaseHold::take(address).await.unwrap();
    let holders = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database =
                   (SELECT oid FROM pg_database WHERE datname = current_database())";
    let held = async || -> i64 { sqlx::query_scalar(holders).fetch_one(&scene.store.pool).await.unwrap() };
    cut_off(&scene.store).await;
    while held().await == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!first.lost().is_cancelled(), "it has it again");
    let _second = loop {
        cut_off(&scene.store).await;
        if let Ok(second) = DatabaseHold::take(address).await {
            break second;
        }
    };
    first.lost().cancelled().await;
}
