//! A database of the version before opens with everything that it had.

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};

use super::*;
use crate::store::layout;

/// Tables of the layout before, each behind those that it refers to.
const TABLES: [&str; 10] =
    ["job", "drive_key", "drive_copy", "job_drive", "effect", "token", "session", "audit", "audit_detail", "docking"];

/// Migrations of the version before.
const MIGRATIONS: usize = 9;

/// Writes what is in the file `new` into a database of the layout before, as the version before would have.
async fn write_as_before(old: &Path, new: &Path) {
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", old.display())).await.unwrap();
    let before = Migrator::with_migrations(layout::sqlite().into_iter().take(MIGRATIONS).collect());
    before.run(&mut connection).await.unwrap();
    connection.execute(AssertSqlSafe(format!("ATTACH '{}' AS new", new.display()))).await.unwrap();
    for table in TABLES {
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1, 'main')")
            .bind(table)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        // The first versions did not fold the letters of serial numbers.
        let value = |column: &String| match (table, column.as_str()) {
            ("job_drive", "drive_id") => "upper(drive_key)".to_owned(),
            _ => column.clone(),
        };
        let (values, columns) = (columns.iter().map(value).collect::<Vec<_>>().join(", "), columns.join(", "));
        let copy = format!("INSERT INTO main.{table} ({columns}) SELECT {values} FROM new.{table}");
        connection.execute(AssertSqlSafe(copy)).await.unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_database_of_the_version_before_is_taken_over_without_a_loss() {
    let scene = Scene::sqlite().await;
    let store = &scene.store;
    for number in 0..12 {
        store.put(&key(&format!("Job-{number}")), &body(), &change("create")).await.unwrap();
    }
    let serial = || "SERIAL-77".to_owned();
    store.change(&key("Job-1"), &change("ship"), |_| Ok(vec![Event::Ship])).await.unwrap();
    let docked = DockedAs { serial: "SERIAL-77", attachment: "usb-1" };
    let claim = Claim { bay: "bay-1", docked, docked_at: None, drive_id: "SERIAL-77", may_take_over: false };
    let events = [Event::Ship, Event::CheckIn(serial()), Event::CopyStarted(serial()), Event::Cancel];
    let checked_in = Change { claim: Some(claim), ..change("all") };
    let edit = |job: &mut StoredJob| {
        job.audit_detail = Some("DETAIL-77".to_owned());
        job.copies.entry(serial()).or_default().size_bytes = Some(77);
        Ok(events.to_vec())
    };
    store.change(&key("Job-2"), &checked_in, edit).await.unwrap();
    let operator = Actor { name: "operator".into(), role: Role::Operator };
    let customer = Actor { name: "customer".into(), role: Role::Customer(vec!["SUB-1".into()]) };
    let token = store.create_token(&operator, "tests", start()).await.unwrap();
    store.create_token(&customer, "tests", start()).await.unwrap();
    let session = store.open_session(&customer, TokenOrigin::Stored, start()).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(scene.folder.path().join("vault.key"), folder.path().join("vault.key")).unwrap();
    write_as_before(&folder.path().join("jobs.db"), &scene.folder.path().join("jobs.db")).await;
    let taken_over = Scene::open(folder.path(), None).await;

    for number in 0..12 {
        let key = key(&format!("JOB-{number}"));
        assert_eq!(taken_over.get(&key).await.unwrap(), store.get(&key).await.unwrap());
        assert_eq!(taken_over.keys(&key).await.unwrap(), store.keys(&key).await.unwrap());
    }
    let of_drive = async |store: &Store| {
        let jobs = store.jobs_of_drive("serial-77").await.unwrap();
        jobs.iter().map(|job| job.uid.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of_drive(&taken_over).await.len(), 12);
    assert_eq!(of_drive(&taken_over).await, of_drive(store).await);
    assert_eq!(taken_over.dockings().await.unwrap(), store.dockings().await.unwrap());
    assert_eq!(taken_over.stops().await.unwrap(), store.stops().await.unwrap());
    assert_eq!(taken_over.tokens().await.unwrap(), [customer.clone(), operator.clone()]);
    assert_eq!(taken_over.actor_of(&token).await.unwrap(), Some(operator));
    assert_eq!(taken_over.session(&session, start()).await.unwrap().unwrap().actor, customer);
    let entries = async |store: &Store| store.audit_log(&AuditFilter::default(), 100).await.unwrap().entries;
    assert_eq!(entries(&taken_over).await, entries(store).await);
    assert!(entries(&taken_over).await.iter().any(|entry| entry.detail.as_deref() == Some("DETAIL-77")));
    let counts = async |store: &Store| {
        let mut counts = store.count_by_state().await.unwrap();
        counts.sort();
        counts
    };
    assert_eq!(counts(&taken_over).await, counts(store).await);
    // What is kept in new columns and tables is about the jobs of before too.
    let elsewhere = JobKey { resource_group: "other".into(), ..key("JOB-3") };
    let taken = taken_over.put(&elsewhere, &body(), &change("create")).await;
    assert!(matches!(taken, Err(StoreError::JobNameTaken(_))), "{taken:?}");
    let full = taken_over.with_jobs_per_subscription(12).put(&key("another"), &body(), &change("create")).await;
    assert!(matches!(full, Err(StoreError::TooManyJobs { .. })), "{full:?}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let scene = Scene::sqlite().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT version + 1, 'newer', success, checksum, 0 FROM _sqlx_migrations ORDER BY version DESC LIMIT 1";
    sqlx::query(newer).execute(&scene.store.pool).await.unwrap();
    let vault = Vault::open(&scene.folder.path().join("vault.key")).unwrap();
    let Err(error) = Store::open(&scene.folder.path().join("jobs.db"), vault).await else { panic!("it was opened") };
    assert!(matches!(error, StoreError::Newer(_)) && error.to_string().contains("newer version"), "{error}");
}
