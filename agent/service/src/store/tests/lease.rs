//! One of the services that share a database decides.

use super::*;
use crate::store::{LeaseSeen, ServiceLease, Taken};

async fn take(store: &Store, holder: &str) -> Result<ServiceLease, String> {
    let mut seen = LeaseSeen::default();
    match ServiceLease::take(store, holder, &format!("http://{holder}"), &mut seen).await.unwrap() {
        Taken::Ours(lease) => Ok(lease),
        Taken::Theirs { url } => Err(url),
    }
}

/// Lets the lease end, as time does.
async fn expire(store: &Store) {
    sqlx::query("UPDATE service_lease SET ends_at = 0").execute(&store.pool).await.unwrap();
}

#[tokio::test]
async fn a_second_service_decides_when_the_first_lets_it() {
    let Some(scene) = Scene::postgres().await else { return };
    let other = scene.again().await;
    let first = take(&scene.store, "first").await.unwrap();
    assert_eq!(take(&other, "second").await.err().unwrap(), "http://first", "it learns where the other one is");
    assert!(first.store().is_held() && !first.lost().is_cancelled());
    first.release().await;
    let second = take(&other, "second").await.unwrap();
    second.store().put(&key("job-1"), &body(), &change("create")).await.unwrap();
}

/// The server that wrote the lease is gone, and the clock of the one that took its place is twenty minutes behind.
#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_whatever_the_clock_of_the_server_says() {
    let Some(scene) = Scene::postgres().await else { return };
    // Its process has ended.
    drop(take(&scene.store, "gone").await.unwrap());
    sqlx::query("UPDATE service_lease SET ends_at = ends_at + 1200000").execute(&scene.store.pool).await.unwrap();
    let (other, mut seen, begun) = (scene.again().await, LeaseSeen::default(), std::time::Instant::now());
    loop {
        match ServiceLease::take(&other, "second", "http://second", &mut seen).await.unwrap() {
            Taken::Ours(_) => break,
            Taken::Theirs { .. } => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
        }
        assert!(begun.elapsed().as_secs() < 60, "it waits for the clock");
    }
    assert!(begun.elapsed().as_secs() >= 10, "the other one might have decided still");
}

/// Requests that wait for something have every connection of the pool.
#[tokio::test]
async fn a_lease_is_renewed_whatever_the_connections_of_the_pool_are_busy_with() {
    let Some(scene) = Scene::postgres().await else { return };
    let first = take(&scene.store, "first").await.unwrap();
    let mut busy = Vec::new();
    while let Ok(Ok(connection)) = tokio::time::timeout(std::time::Duration::from_millis(500), scene.store.pool.acquire()).await {
        busy.push(connection);
    }
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    assert!(first.store().is_held() && !first.lost().is_cancelled(), "{} connections", busy.len());
}

#[tokio::test]
async fn what_a_service_does_after_another_took_over_is_refused() {
    let Some(scene) = Scene::postgres().await else { return };
    let first = take(&scene.store, "first").await.unwrap();
    first.store().put(&key("job-1"), &body(), &change("create")).await.unwrap();
    // It slept: the lease ended, and it does not know yet.
    expire(&scene.store).await;
    let second = take(&scene.again().await, "second").await.unwrap();
    let late = first.store().change(&key("job-1"), &change("ship"), |_| Ok(vec![Event::Ship])).await;
    assert!(matches!(late, Err(StoreError::TakenOver)), "{late:?}");
    let operator = Actor { name: "late".into(), role: Role::Operator };
    assert!(matches!(first.store().create_token(&operator, "tests", start()).await, Err(StoreError::TakenOver)));
    first.lost().cancelled().await;
    assert!(!first.store().is_held());
    assert_eq!(second.store().get(&key("job-1")).await.unwrap().version, 1);
}

#[tokio::test]
async fn a_change_that_was_begun_before_is_done_before_another_takes_over() {
    let Some(scene) = Scene::postgres().await else { return };
    let first = take(&scene.store, "first").await.unwrap();
    first.store().put(&key("job-1"), &body(), &change("create")).await.unwrap();
    let mut begun = first.store().begin().await.unwrap();
    expire(&scene.store).await;
    let other = scene.again().await;
    let taking = tokio::spawn(async move { take(&other, "second").await.map(|lease| lease.store()) });
    // It waits at the term.
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&scene.store.pool).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    sqlx::query("UPDATE job SET version = 7").execute(&mut *begun).await.unwrap();
    begun.commit().await.unwrap();
    let second = taking.await.unwrap().unwrap();
    assert_eq!(second.get(&key("job-1")).await.unwrap().version, 7);
}

#[tokio::test]
async fn a_service_that_was_killed_takes_over_from_itself_at_once() {
    let Some(scene) = Scene::postgres().await else { return };
    let killed = take(&scene.store, "first").await.unwrap();
    let again = take(&scene.again().await, "first").await.unwrap();
    again.store().put(&key("job-1"), &body(), &change("create")).await.unwrap();
    let late = killed.store().put(&key("job-2"), &body(), &change("create")).await;
    assert!(matches!(late, Err(StoreError::TakenOver)));
}

#[tokio::test]
async fn a_drive_of_a_job_has_one_grant_and_its_end_counts_once() {
    let Some(scene) = Scene::postgres().await else { return };
    for scene in [scene, Scene::sqlite().await] {
        grants_of(&scene.store).await;
    }
}

/// An order to copy a drive of a job.
pub(super) fn order(grant: &str, job_uid: &str, drive_id: &str) -> CopyOrder {
    CopyOrder {
        grant: Some(grant.to_owned()),
        state_id: None,
        journal: None,
        bay: "hall/bay-1".into(),
        direction: protocol::result::Direction::Import,
        job_uid: job_uid.to_owned(),
        drive_id: drive_id.to_owned(),
        account: "acme".into(),
        blob: protocol::job::BlobName { container: "c".into(), name: "n".into() },
        size_bytes: None,
        sequence: 1,
        account_only: false,
        was_cut_off: false,
        retry: protocol::job::RetryOptions::default(),
        may_erase: false,
    }
}

async fn grants_of(store: &Store) {
    store.put(&key("job-1"), &body(), &change("create")).await.unwrap();
    let uid = store.get(&key("job-1")).await.unwrap().uid;
    let order = |grant: &str| order(grant, &uid, "A");
    let step = async |step: GrantStep| {
        store
            .change(&key("job-1"), &change("copy"), |job| {
                job.grant_step = Some(step);
                Ok(Vec::new())
            })
            .await
            .map(|_| ())
    };
    step(GrantStep::Begin(Box::new(order("one")))).await.unwrap();
    assert!(matches!(step(GrantStep::Begin(Box::new(order("two")))).await, Err(StoreError::NotNow(_))));
    assert!(matches!(step(GrantStep::End("two".into())).await, Err(StoreError::Fenced)));
    let granted: Vec<Option<String>> = store.grants().await.unwrap().into_iter().map(|granted| granted.order.grant).collect();
    assert_eq!(granted, [Some("one".to_owned())]);
    step(GrantStep::End("one".into())).await.unwrap();
    assert!(matches!(step(GrantStep::End("one".into())).await, Err(StoreError::Fenced)));
    step(GrantStep::Begin(Box::new(order("two")))).await.unwrap();
    store.end_grant("two").await.unwrap();
    assert!(store.grants().await.unwrap().is_empty());
}
