//! The database: opened with a write-ahead log, full sync and secure delete, and brought to the newest layout.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlStr, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::error::StoreError;
use crate::vault::Vault;

/// How long a change waits for another one to end.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections of the pool: readers at once.
const CONNECTIONS_MAX: u32 = 8;

/// The database of a job service.
#[derive(Clone)]
pub struct Store {
    pub(super) pool: SqlitePool,
    pub(super) vault: Arc<Vault>,
    /// Jobs of one subscription.
    pub(super) jobs_max: u32,
}

/// Jobs that one subscription may have where nothing else is configured.
pub const JOBS_PER_SUBSCRIPTION: u32 = 10_000;

impl Store {
    /// Opens the database in the file at `path`, and makes it where there is none.
    ///
    /// # Errors
    /// When the file cannot be used, or is of a newer program.
    pub async fn open(path: &Path, vault: Vault) -> Result<Self, StoreError> {
        Self::open_with(path, vault, SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX)).await
    }

    /// Whether the database in the file at `path` holds keys that a vault sealed; not where there is none.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub async fn has_sealed_keys(path: &Path) -> Result<bool, StoreError> {
        if !path.exists() {
            return Ok(false);
        }
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'drive_key'";
        let (has_table,): (i64,) = sqlx::query_as(tables).fetch_one(&mut connection).await?;
        let mut has_keys = false;
        if has_table > 0 {
            has_keys = sqlx::query("SELECT 1 FROM drive_key LIMIT 1").fetch_optional(&mut connection).await?.is_some();
        }
        connection.close().await?;
        Ok(has_keys)
    }

    /// The same with one connection: what is asked at once is answered in the order that it was asked in.
    ///
    /// # Errors
    /// When the file cannot be used, or is of a newer program.
    #[cfg(feature = "simulation")]
    pub async fn open_in_order(path: &Path, vault: Vault) -> Result<Self, StoreError> {
        Self::open_with(path, vault, SqlitePoolOptions::new().max_connections(1).test_before_acquire(false)).await
    }

    /// How many entries the audit log has, which tells whether anything was changed; and how many effects are still to be
    /// carried out.
    ///
    /// # Errors
    /// When the database fails.
    #[cfg(feature = "simulation")]
    pub async fn counts(&self) -> Result<(i64, i64), StoreError> {
        let counts = "SELECT (SELECT coalesce(max(id), 0) FROM audit), (SELECT count(*) FROM effect)";
        Ok(sqlx::query_as(counts).fetch_one(&self.pool).await?)
    }

    async fn open_with(path: &Path, vault: Vault, pool: SqlitePoolOptions) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("secure_delete", "ON")
            // What is written anew is in no other file meanwhile.
            .pragma("temp_store", "MEMORY");
        let pool = pool.connect_with(options).await?;
        migrations().run(&pool).await?;
        let store = Store { pool, vault: Arc::new(vault), jobs_max: JOBS_PER_SUBSCRIPTION };
        store.note_unknown_waits().await?;
        // What was removed just before an end is still in the log.
        store.empty_log().await?;
        Ok(store)
    }

    /// Lets a subscription have this many jobs.
    #[must_use]
    pub fn with_jobs_per_subscription(mut self, jobs_max: u32) -> Self {
        self.jobs_max = jobs_max;
        self
    }

    /// Whether the database answers, as cheap as can be: strangers may ask.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT id FROM job LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(())
    }

    /// Closes the database; whatever was answered is in it.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a change, with the write lock.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// The database's layout, as it came to be. What was published is never changed: a newer layout is a new file.
fn migrations() -> Migrator {
    let migration = |version, name: &'static str, sql| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "jobs", include_str!("../../migrations/0001_jobs.sql")),
        migration(2, "copies", include_str!("../../migrations/0002_copies.sql")),
        migration(3, "docking", include_str!("../../migrations/0003_docking.sql")),
        migration(4, "sessions", include_str!("../../migrations/0004_sessions.sql")),
        migration(5, "states", include_str!("../../migrations/0005_states.sql")),
        migration(6, "station", include_str!("../../migrations/0006_station.sql")),
        migration(7, "effects", include_str!("../../migrations/0007_effects.sql")),
        migration(8, "sessions of whom", include_str!("../../migrations/0008_sessions.sql")),
        migration(9, "counts", include_str!("../../migrations/0009_counts.sql")),
    ])
}
