//! What is personal of a job is nowhere in the files of a server, and cannot be opened any more when the job is gone.

use protocol::job::{CopyRecord, Effect};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AssertSqlSafe, Executor};

use super::*;
use crate::store::database::{connect_once, options_of_server};
use crate::store::dialect::Dialect;
use crate::store::layout;
use crate::testing::PostgresServer;

/// Migrations of the version that did not seal.
const UNSEALED_MIGRATIONS: usize = 5;

/// A database at a server of its own, whose files can be searched.
async fn scene() -> Option<(PostgresServer, Scene)> {
    let server = PostgresServer::start()?;
    let address = server.new_database().await.parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Scene::open(folder.path(), Some(&address)).await;
    Some((server, Scene { folder, store, address: Some(address) }))
}

/// What must not be in a file of a server.
const PERSONAL: [&str; 10] = [
    "RECIPIENT-77",
    "STREET-77",
    "PHONE-77",
    "mail-77",
    "TRACKING-77",
    "SERIAL-77",
    "TAG-VALUE-77",
    "DETAIL-77",
    "BLOB-77",
    "111111-222222",
];

/// A job that has everything that is kept of jobs.
async fn full_job(store: &Store, name: &str) -> StoredJob {
    let serial = || "SERIAL-77".to_owned();
    store.put(&key(name), &body(), &change("create")).await.unwrap();
    let events = [Event::Ship, Event::CheckIn(serial()), Event::CopyStarted(serial())];
    let edit = |job: &mut StoredJob| {
        job.audit_detail = Some("DETAIL-77".to_owned());
        let blob = protocol::job::BlobName { container: "imports".to_owned(), name: "BLOB-77".to_owned() };
        job.copies.insert(serial(), CopyRecord { blob: Some(blob), ..CopyRecord::default() });
        let order = super::lease::order(&format!("grant-{}", job.uid), &job.uid, "SERIAL-77");
        job.grant_step = Some(GrantStep::Begin(Box::new(order)));
        Ok(events.to_vec())
    };
    store.change(&key(name), &change("begin"), edit).await.unwrap();
    store.change(&key(name), &change("cancel"), |_| Ok(vec![Event::Cancel])).await.unwrap()
}

/// Everything that a store tells of a job.
async fn told(store: &Store, name: &str) -> String {
    let job = store.get(&key(name)).await.unwrap();
    let mut grants: Vec<CopyOrder> = store.grants().await.unwrap().into_iter().map(|granted| granted.order).collect();
    grants.retain(|order| order.job_uid == job.uid);
    let mut stops: Vec<Effect> = Vec::new();
    stops.extend(store.stops().await.unwrap().into_iter().filter(|stop| stop.job_uid == job.uid).map(|stop| stop.effect));
    let filter = AuditFilter { job_uid: Some(job.uid.clone()), ..AuditFilter::default() };
    let audit = store.audit_log(&filter, 100).await.unwrap().entries;
    let search = Scope { search: Some("erial-7".to_owned()), ..Scope::ALL };
    let listed = store.list(&search, &Filter::default(), Order::OldestFirst, 10, None).await.unwrap().jobs.len();
    let mut found = Vec::new();
    for code in ["serial-77", "tracking-77"] {
        found.push(store.scanned(code, 10).await.unwrap().len());
    }
    found.push(store.jobs_of_drive("Serial-77").await.unwrap().len());
    found.push(store.naming_similar_drives(&["SERIAL-78"]).await.unwrap().of("SERIAL-78").len());
    let keys = store.keys(&key(name)).await.unwrap();
    let StoredJob { version, key, location, tags, machine, details, copies, .. } = job;
    format!(
        "{version} {key:?} {location} {tags:?} {machine:?} {details:?} {copies:?} {keys:?} {grants:?} {stops:?} {audit:?} {listed} {found:?}"
    )
}

#[tokio::test]
async fn nothing_personal_is_in_the_files_of_a_server() {
    let Some((server, scene)) = scene().await else { return };
    full_job(&scene.store, "NAME-77").await;
    let told = told(&scene.store, "NAME-77").await;
    assert!(PERSONAL.iter().all(|text| told.to_lowercase().contains(&text.to_lowercase())), "{told}");
    server.checkpoint().await;
    for folder in ["base", "pg_wal"] {
        assert_ne!(server.files_with(folder, b"NAME-77"), "", "the test sees what is there");
    }
    for text in PERSONAL {
        assert_eq!(server.files_with("", text.as_bytes()), "", "`{text}`");
    }
}

/// The key of a job, as the server has it.
async fn sealed_key(store: &Store, job_uid: &str) -> Option<Vec<u8>> {
    let query = sqlx::query_scalar("SELECT sealed FROM job_seal WHERE job_uid = $1").bind(job_uid);
    query.fetch_optional(&store.pool).await.unwrap()
}

/// A part of a key that can be searched for: files are searched by lines.
fn part_of(key: &[u8]) -> &[u8] {
    key.windows(16).find(|part| !part.contains(&b'\n')).unwrap()
}

#[tokio::test]
async fn the_key_of_a_removed_job_is_gone_from_the_tables_of_a_server() {
    let Some((server, scene)) = scene().await else { return };
    let store = &scene.store;
    // One leaves something in its account, and one does not; the third stays.
    let left = full_job(store, "left").await;
    let gone = store.put(&key("gone"), &body(), &change("create")).await.unwrap().job;
    let stays = store.put(&key("stays"), &body(), &change("create")).await.unwrap().job;
    let ended = |job: &mut StoredJob| {
        job.machine.state = JobState::Completed;
        Ok(vec![Event::Delete])
    };
    let mut keys = Vec::new();
    for job in [&left, &gone, &stays] {
        keys.push(sealed_key(store, &job.uid).await.unwrap());
    }
    store.change(&key("left"), &change("delete"), ended).await.unwrap();
    store.change(&key("gone"), &change("delete"), |_| Ok(vec![Event::Delete])).await.unwrap();
    let effects = store.effects(0, 10).await.unwrap();
    assert_eq!(effects.iter().filter(|effect| effect.effect == Effect::Remove).count(), 2);
    for effect in &effects {
        let has_left = effect.job_uid == left.uid;
        assert_eq!(store.left_behind(effect).unwrap().map(|left| left.job), has_left.then(|| "left".to_owned()));
        let other = sealed_key(store, &effect.job_uid).await;
        assert_eq!(other.is_some(), has_left);
        assert_ne!(other.as_ref(), keys.first(), "what is left is sealed with another key");
        keys.extend(other);
        assert!(store.empty_of_keys(&effect.job_uid).await.unwrap());
        assert!(store.forget(&effect.job_uid).await.unwrap());
    }
    for effect in store.effects(0, 10).await.unwrap() {
        assert_eq!(store.left_behind(&effect).unwrap(), None, "what was removed is not asked for again");
    }
    server.checkpoint().await;
    let stays = keys.remove(2);
    assert_ne!(server.files_with("base", part_of(&stays)), "", "the test sees what is there");
    assert_eq!(keys.len(), 3);
    for key in keys {
        assert_eq!(server.files_with("base", part_of(&key)), "");
    }
}

#[tokio::test]
async fn a_key_is_not_said_to_be_gone_while_a_reader_keeps_it() {
    let Some((_server, scene)) = scene().await else { return };
    let store = &scene.store;
    let job = store.put(&key("job-1"), &body(), &change("create")).await.unwrap().job;
    let mut reader = store.begin_reading().await.unwrap();
    let _: i64 = sqlx::query_scalar("SELECT count(*) FROM token").fetch_one(&mut *reader).await.unwrap();
    store.change(&key("job-1"), &change("delete"), |_| Ok(vec![Event::Delete])).await.unwrap();
    assert!(!store.forget(&job.uid).await.unwrap());
    drop(reader);
    assert!(store.forget(&job.uid).await.unwrap());
}

/// Copies rows of a file, where texts are as they are, into a database of the version that did not seal.
async fn write_unsealed(connection: &mut AnyConnection, store: &Store) {
    let tables = [
        ("job", "OVERRIDING SYSTEM VALUE"),
        ("drive_key", ""),
        ("drive_copy", ""),
        ("effect", "OVERRIDING SYSTEM VALUE"),
        ("audit", "OVERRIDING SYSTEM VALUE"),
        ("audit_detail", ""),
        ("copy_grant", ""),
        ("subscription_count", ""),
    ];
    for (table, overriding) in tables {
        let columns: Vec<String> =
            sqlx::query_scalar("SELECT name FROM pragma_table_info($1)").bind(table).fetch_all(&store.pool).await.unwrap();
        let value = |name: &String| format!("quote({name})");
        let values = columns.iter().map(value).collect::<Vec<_>>().join(" || ', ' || ");
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT {values} FROM {table}"))).fetch_all(&store.pool).await.unwrap();
        for row in rows {
            // SQLite and PostgreSQL write bytes differently.
            let row = row.replace(", X'", ", '\\x");
            let insert = format!("INSERT INTO {table} ({}) {overriding} VALUES ({row})", columns.join(", "));
            connection.execute(AssertSqlSafe(insert)).await.unwrap();
        }
    }
}

/// A file with jobs, and a database of the version before at a server with the same.
async fn unsealed(server: &PostgresServer) -> (Scene, DatabaseAddress) {
    let file = Scene::sqlite().await;
    full_job(&file.store, "NAME-77").await;
    full_job(&file.store, "other").await;
    let address: DatabaseAddress = server.new_database().await.parse().unwrap();
    let mut connection = connect_once(Dialect::Postgres, &options_of_server(&address).unwrap()).await.unwrap();
    let before = layout::postgres().into_iter().take(UNSEALED_MIGRATIONS).collect();
    Migrator::with_migrations(before).run(&mut connection).await.unwrap();
    write_unsealed(&mut connection, &file.store).await;
    (file, address)
}

#[tokio::test]
async fn jobs_of_the_version_before_are_sealed_without_a_loss() {
    let Some(server) = PostgresServer::start() else { return };
    let (file, address) = unsealed(&server).await;
    server.checkpoint().await;
    assert!(PERSONAL[..9].iter().all(|text| !server.files_with("base", text.as_bytes()).is_empty()), "the test sees them");
    let stores = [Scene::open(file.folder.path(), Some(&address)).await, Scene::open(file.folder.path(), Some(&address)).await];
    // Two services start at once.
    let (first, second) = tokio::join!(stores[0].seal_older(), stores[1].seal_older());
    first.and(second).unwrap();
    for name in ["NAME-77", "other"] {
        assert_eq!(told(&stores[0], name).await, told(&file.store, name).await);
    }
    server.checkpoint().await;
    for text in PERSONAL {
        assert_eq!(server.files_with("base", text.as_bytes()), "", "`{text}`");
    }
    stores[0].seal_older().await.unwrap();
    assert!(matches!(stores[0].require_own_vault(true).await, Err(StoreError::SealedJobs)));
}

#[tokio::test]
async fn what_an_end_cut_off_of_the_sealing_is_done_by_the_next_start() {
    let Some(server) = PostgresServer::start() else { return };
    let (file, address) = unsealed(&server).await;
    // All jobs are sealed, and what they were is in the tables still.
    Scene::open(file.folder.path(), Some(&address)).await.seal_jobs().await.unwrap();
    server.checkpoint().await;
    assert_ne!(server.files_with("base", b"SERIAL-77"), "", "the test sees what is there");
    Scene::open(file.folder.path(), Some(&address)).await.seal_older().await.unwrap();
    server.checkpoint().await;
    for text in PERSONAL {
        assert_eq!(server.files_with("base", text.as_bytes()), "", "`{text}`");
    }
}

#[tokio::test]
async fn what_a_job_left_that_the_version_before_removed_is_known_still() {
    let Some(server) = PostgresServer::start() else { return };
    let (file, address) = unsealed(&server).await;
    // As that version wrote it: sealed with the service's key alone.
    let uid = "0123456789abcdef0123456789abcdef";
    let ended = |job: &mut StoredJob| {
        job.machine.state = JobState::Completed;
        Ok(vec![Event::Delete])
    };
    file.store.change(&key("other"), &change("delete"), ended).await.unwrap();
    let effects = file.store.effects(0, 10).await.unwrap();
    let removed = effects.iter().find(|effect| effect.effect == Effect::Remove).unwrap();
    let left = file.store.left_behind(removed).unwrap().unwrap();
    let sealed = file.store.vault.seal(&serde_json::to_string(&left).unwrap(), &format!("{uid}/left")).unwrap();
    let store = Scene::open(file.folder.path(), Some(&address)).await;
    let insert = "INSERT INTO effect (id, job_uid, what, sealed) OVERRIDING SYSTEM VALUE VALUES (1000, $1, '\"Remove\"', $2)";
    let insert = sqlx::query(insert).bind(uid).bind(sealed);
    insert.execute(&store.pool).await.unwrap();
    store.seal_older().await.unwrap();
    let effects = store.effects(0, 10).await.unwrap();
    let removed = effects.iter().find(|effect| effect.job_uid == uid).unwrap();
    assert_eq!(store.left_behind(removed).unwrap(), Some(left));
}

#[tokio::test]
async fn a_service_that_could_not_read_sealed_jobs_keeps_the_database_as_it_is() {
    let Some(server) = PostgresServer::start() else { return };
    let (file, address) = unsealed(&server).await;
    let mut connection = connect_once(Dialect::Postgres, &options_of_server(&address).unwrap()).await.unwrap();
    connection.execute("UPDATE service_lease SET ends_at = 9000000000000").await.unwrap();
    let vault = || Vault::open(&file.folder.path().join("vault.key")).unwrap();
    assert!(matches!(Store::connect(&address, vault()).await, Err(StoreError::OlderService)));
    connection.execute("SELECT machine FROM job WHERE machine LIKE '%SERIAL-77%'").await.unwrap();
    connection.execute("UPDATE service_lease SET ends_at = 0").await.unwrap();
    Store::connect(&address, vault()).await.unwrap().seal_older().await.unwrap();
    // From now on other services may come and go.
    connection.execute("UPDATE service_lease SET ends_at = 9000000000000").await.unwrap();
    Store::connect(&address, vault()).await.unwrap();
}
