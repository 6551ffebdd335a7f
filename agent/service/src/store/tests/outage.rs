//! A server that goes away: what was answered was done, and once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use sqlx::{AssertSqlSafe, Executor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What happens to the next commit.
const PASSES: u8 = 0;
const LOSES_ITS_ANSWER: u8 = 1;
const IS_LOST: u8 = 2;
/// From now on the server says nothing.
const IS_SILENT: u8 = 3;

/// Stands between the store and its server, and cuts a connection at a commit.
async fn proxy(server: u16, fate: Arc<AtomicU8>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(forward(client, server, fate.clone()));
        }
    });
    port
}

async fn forward(mut client: TcpStream, server: u16, fate: Arc<AtomicU8>) {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                if fate.load(Ordering::SeqCst) == IS_SILENT {
                    return std::future::pending().await;
                }
                let Some(bytes) = read.ok().filter(|count| *count > 0).map(|count| &asked[..count]) else { return };
                let is_commit = bytes.windows(7).any(|window| window == b"COMMIT\0");
                match if is_commit { fate.swap(PASSES, Ordering::SeqCst) } else { PASSES } {
                    IS_LOST => return,
                    LOSES_ITS_ANSWER => {
                        server.write_all(bytes).await.unwrap();
                        // It is committed when the server answers.
                        let _ = server.read(&mut answered).await;
                        return;
                    }
                    _ => server.write_all(bytes).await.unwrap(),
                }
            }
            read = server.read(&mut answered) => {
                let Some(count) = read.ok().filter(|count| *count > 0) else { return };
                client.write_all(&answered[..count]).await.unwrap();
            }
        }
    }
}

/// A store behind a proxy, and what happens to its next commit.
async fn behind_proxy() -> Option<(Scene, Arc<AtomicU8>)> {
    let server = PostgresServer::shared()?;
    let fate = Arc::new(AtomicU8::new(PASSES));
    let port = proxy(server.port(), fate.clone()).await;
    let address = server.new_database().await.replace(&format!(":{}/", server.port()), &format!(":{port}/"));
    let (folder, address) = (tempfile::tempdir().unwrap(), address.parse().unwrap());
    let store = Scene::open(folder.path(), Some(&address)).await;
    Some((Scene { folder, store, address: Some(address) }, fate))
}

/// Makes and changes a job while a commit of each has that fate: both are done, and once.
async fn commits_are_done_once(fate: u8) {
    let Some((scene, next)) = behind_proxy().await else { return };
    next.store(fate, Ordering::SeqCst);
    let put = scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap();
    assert!(put.is_new);
    assert_eq!(next.load(Ordering::SeqCst), PASSES, "a connection was cut");
    next.store(fate, Ordering::SeqCst);
    let shipped = scene.store.change(&key("job-1"), &change("ship"), |_| Ok(vec![Event::Ship])).await.unwrap();
    assert_eq!((put.job.version, shipped.version), (1, 2));
    assert_eq!(scene.store.get(&key("job-1")).await.unwrap(), shipped);
    next.store(fate, Ordering::SeqCst);
    let operator = Actor { name: "operator".into(), role: Role::Operator };
    scene.store.create_token(&operator, "tests", start()).await.unwrap();
    let log = scene.store.audit_log(&AuditFilter::default(), 10).await.unwrap().entries;
    let actions: Vec<&str> = log.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["made the token operator", "ship", "create"]);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_not_done_again() {
    commits_are_done_once(LOSES_ITS_ANSWER).await;
}

#[tokio::test]
async fn a_commit_that_did_not_arrive_is_done_again() {
    commits_are_done_once(IS_LOST).await;
}

#[tokio::test]
async fn a_change_that_was_in_the_way_of_another_is_done_again() {
    let Some(scene) = Scene::postgres().await else { return };
    scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap();
    // A sequence counts also what is undone.
    let fail_twice = "CREATE SEQUENCE failures;
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('failures') <= 2 THEN
                RAISE EXCEPTION 'in the way' USING ERRCODE = CASE WHEN currval('failures') = 1 THEN '40001' ELSE '40P01' END;
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER fail BEFORE UPDATE ON job FOR EACH ROW EXECUTE FUNCTION fail()";
    scene.store.pool.execute(AssertSqlSafe(fail_twice)).await.unwrap();
    let shipped = scene.store.change(&key("job-1"), &change("ship"), |_| Ok(vec![Event::Ship])).await.unwrap();
    assert_eq!(shipped.version, 2);
    let counted: i64 = sqlx::query_scalar("SELECT last_value FROM failures").fetch_one(&scene.store.pool).await.unwrap();
    assert_eq!(counted, 3);
    let log = scene.store.audit_log(&AuditFilter::default(), 10).await.unwrap().entries;
    assert_eq!(log.len(), 2, "what failed left no entry");
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_server_was_killed() {
    let Some(server) = PostgresServer::start() else { return };
    let server = Arc::new(server);
    let address: DatabaseAddress = server.new_database().await.parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Scene::open(folder.path(), Some(&address)).await;
    store.put(&key("job-1"), &body(), &change("create")).await.unwrap();
    let tagging = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0..400 {
                let edit = |job: &mut StoredJob| {
                    job.tags.get_or_insert_default().insert(format!("t{number}"), "x".into());
                    Ok(vec![Event::Change(vec![Field::Tags])])
                };
                // It is tried for longer than the server needs to come back.
                store.change(&key("job-1"), &change("tag"), edit).await.unwrap();
            }
        }
    });
    let killing = tokio::task::spawn_blocking({
        let server = server.clone();
        move || {
            for _ in 0..3 {
                server.kill();
                server.go();
            }
        }
    });
    killing.await.unwrap();
    tagging.await.unwrap();
    let job = store.get(&key("job-1")).await.unwrap();
    assert_eq!((job.version, job.tags.unwrap().len()), (401, 401), "each change was made once");
}

#[tokio::test]
async fn a_server_that_fell_silent_is_not_waited_for_for_ever() {
    let Some((scene, next)) = behind_proxy().await else { return };
    scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap();
    let edit = |job: &mut StoredJob| {
        // In the middle of a transaction. Time that only passes by waiting passes at once from here on.
        next.store(IS_SILENT, Ordering::SeqCst);
        tokio::time::pause();
        job.location = "elsewhere".into();
        Ok(vec![Event::Ship])
    };
    let changed = scene.store.change(&key("job-1"), &change("ship"), edit).await;
    assert!(changed.as_ref().is_err_and(StoreError::is_internal), "{changed:?}");
    let read = scene.store.get(&key("job-1")).await;
    assert!(read.as_ref().is_err_and(StoreError::is_internal), "{read:?}");
}

#[tokio::test]
async fn a_text_that_cannot_be_kept_is_refused() {
    let Some(scene) = Scene::postgres().await else { return };
    let put = scene.store.put(&key("job\0"), &body(), &change("create")).await;
    assert!(matches!(put, Err(StoreError::Unstorable)), "{put:?}");
    let found = scene.store.get(&key("job\0")).await;
    assert!(matches!(found, Err(StoreError::Unstorable)), "{found:?}");
    scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap();
}
