//! Jobs in an embedded SQLite database.
//!
//! Write-ahead log, full sync, secure delete. One writer at a time: every change takes the write lock when it
//! begins, so that a decision is always about the job as it stands.

mod audit;
mod copies;
mod docking;
mod error;
mod job;
mod list;
mod remove;
mod row;
mod session;
mod token;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use protocol::job::JobState;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlStr, Sqlite, SqlitePool, Transaction};
use time::OffsetDateTime;

use crate::vault::Vault;

pub use docking::Docking;
pub use error::StoreError;
pub use job::{Change, Put};
pub use list::{Page, Scope};
pub use row::{JobKey, StoredEffect, StoredJob};
pub use session::{SESSION_LASTS, Session};
pub(crate) use token::TokenOrigin;
pub use token::{Actor, Role, new_secret};

/// How long a change waits for another one to end.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Readers at once.
const CONNECTIONS_MAX: u32 = 8;

/// The database of a job service.
#[derive(Clone)]
pub struct Store {
    pool: SqlitePool,
    vault: Arc<Vault>,
}

impl Store {
    /// Opens the database in the file at `path`, and makes it where there is none.
    ///
    /// # Errors
    /// When the file cannot be used, or is of a newer program.
    pub async fn open(path: &Path, vault: Vault) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("secure_delete", "ON");
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await?;
        migrations().run(&pool).await?;
        let store = Store { pool, vault: Arc::new(vault) };
        // What was removed just before an end is still in the log.
        store.empty_log().await?;
        Ok(store)
    }

    /// Closes the database; whatever was answered is in it.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a change, with the write lock.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
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
    ])
}

/// The job that an act is about.
#[derive(Clone, Copy)]
struct AuditedJob<'job> {
    uid: &'job str,
    /// The state that it entered by it.
    entered: Option<JobState>,
}

/// Writes down who did what.
async fn write_audit(
    transaction: &mut Transaction<'_, Sqlite>,
    now: OffsetDateTime,
    actor: &str,
    action: &str,
    about: Option<AuditedJob<'_>>,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO audit (at, actor, action, job_uid, entered) VALUES (?, ?, ?, ?, ?)")
        .bind(now.unix_timestamp())
        .bind(actor)
        .bind(action)
        .bind(about.map(|about| about.uid))
        .bind(about.and_then(|about| about.entered).map(JobState::name))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
