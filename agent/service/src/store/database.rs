//! The database: opened durably, and brought to the newest layout.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::address::DatabaseAddress;
use super::answered::Answered;
use super::dialect::Dialect;
use super::error::StoreError;
use super::layout::migrator;
use super::lookup::Lookups;
use super::notices::NoticeRule;
use super::term::Term;
use crate::vault::Vault;

/// Connections of the pool to a file: readers at once.
const FILE_CONNECTIONS_MAX: u32 = 8;

/// Connections of the pool to a server. It has a hundred where nothing else is configured, for all services together.
const SERVER_CONNECTIONS_MAX: u32 = 16;

/// How long a server that does not answer is tried.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take to show that it can still be used.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of a path that stay as they are in the address of its database.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// The database of a job service.
#[derive(Clone)]
pub struct Store {
    pub(super) pool: AnyPool,
    pub(super) dialect: Dialect,
    pub(super) vault: Arc<Vault>,
    /// Jobs of one subscription.
    pub(super) jobs_max: u32,
    /// Who is told of which states.
    pub(super) notices: Arc<[NoticeRule]>,
    /// In which this service decides, where several share the database.
    pub(super) term: Option<Arc<Term>>,
    /// Of a file: something was removed whose earlier copies may still be in unused parts of it. Whoever holds the lock writes it
    /// anew.
    pub(super) has_removed: Arc<(AtomicBool, tokio::sync::Mutex<()>)>,
    /// API tokens, by their secrets.
    pub(super) tokens: Arc<Lookups>,
    /// Sessions of the portal, by theirs.
    pub(super) sessions: Arc<Lookups>,
}

/// Jobs that one subscription may have where nothing else is configured.
pub const JOBS_PER_SUBSCRIPTION: u32 = 10_000;

/// The options by which a file is reached: `mode` as SQLite knows it.
fn options_of_file(path: &Path, mode: &str) -> Result<AnyConnectOptions, StoreError> {
    let path = std::path::absolute(path).map_err(sqlx::Error::Io)?;
    let text = path.to_str().ok_or_else(|| StoreError::PathNotUtf8(path.clone()))?;
    Ok(format!("sqlite://{}?mode={mode}", utf8_percent_encode(text, UNRESERVED)).parse()?)
}

/// The options by which a server is reached.
pub(super) fn options_of_server(address: &DatabaseAddress) -> Result<AnyConnectOptions, StoreError> {
    Ok(AnyConnectOptions::from_url(address.url())?)
}

/// A connection of its own, set up as those of a pool are.
pub(super) async fn connect_once(dialect: Dialect, options: &AnyConnectOptions) -> Result<AnyConnection, sqlx::Error> {
    sqlx::any::install_default_drivers();
    let mut connection: AnyConnection = options.connect().answered().await?;
    connection.execute(AssertSqlSafe(dialect.settings())).answered().await?;
    Ok(connection)
}

/// Whether a table has a row, in a database that may not have the table yet.
pub(super) async fn has_rows(dialect: Dialect, options: &AnyConnectOptions, table: &'static str) -> Result<bool, StoreError> {
    let mut connection = connect_once(dialect, options).await?;
    let tables = sqlx::query_scalar(dialect.count_of_tables()).bind(table);
    let tables: i64 = tables.fetch_one(&mut connection).answered().await?;
    let mut has_rows = false;
    if tables > 0 {
        let query = sqlx::query(AssertSqlSafe(format!("SELECT 1 FROM {table} LIMIT 1")));
        has_rows = query.fetch_optional(&mut connection).answered().await?.is_some();
    }
    connection.close().await?;
    Ok(has_rows)
}

/// Lets no connection be used whose server is gone without a word: once one of them does not answer, all that are as old are
/// closed.
fn without_dead_connections(pool: AnyPoolOptions) -> AnyPoolOptions {
    let silent_at: Arc<Mutex<Option<Instant>>> = Arc::default();
    pool.test_before_acquire(false).before_acquire(move |connection, about| {
        let (silent_at, opened) = (silent_at.clone(), Instant::now().checked_sub(about.age));
        Box::pin(async move {
            let is_suspect = opened < *silent_at.lock().unwrap_or_else(PoisonError::into_inner);
            let answers =
                !is_suspect && tokio::time::timeout(PING_TIMEOUT, connection.ping()).await.is_ok_and(|pong| pong.is_ok());
            if !answers && !is_suspect {
                *silent_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            Ok(answers)
        })
    })
}

impl Store {
    /// Opens the database in the file at `path`, and makes it where there is none.
    ///
    /// # Errors
    /// When the file cannot be used, or is of a newer program.
    pub async fn open(path: &Path, vault: Vault) -> Result<Self, StoreError> {
        let pool = AnyPoolOptions::new().max_connections(FILE_CONNECTIONS_MAX);
        Self::open_with(Dialect::Sqlite, &options_of_file(path, "rwc")?, vault, pool).await
    }

    /// Opens the database at a PostgreSQL server. The database is there; its tables are made where there are none.
    ///
    /// # Errors
    /// When the server cannot be reached, or the database is of a newer program.
    pub async fn connect(address: &DatabaseAddress, vault: Vault) -> Result<Self, StoreError> {
        let pool = AnyPoolOptions::new().max_connections(SERVER_CONNECTIONS_MAX).acquire_timeout(CONNECT_TIMEOUT);
        let pool = without_dead_connections(pool);
        Self::open_with(Dialect::Postgres, &options_of_server(address)?, vault, pool).await
    }

    /// Whether the database in the file at `path` holds keys that a vault sealed; not where there is none.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub async fn has_sealed_keys(path: &Path) -> Result<bool, StoreError> {
        match path.exists() {
            true => has_rows(Dialect::Sqlite, &options_of_file(path, "rw")?, "drive_key").await,
            false => Ok(false),
        }
    }

    /// Opens a file with one connection: what is asked at once is answered in the order that it was asked in.
    ///
    /// # Errors
    /// When the file cannot be used, or is of a newer program.
    #[cfg(feature = "simulation")]
    pub async fn open_in_order(path: &Path, vault: Vault) -> Result<Self, StoreError> {
        let pool = AnyPoolOptions::new().max_connections(1).test_before_acquire(false);
        Self::open_with(Dialect::Sqlite, &options_of_file(path, "rwc")?, vault, pool).await
    }

    /// How many entries the audit log has, which tells whether anything was changed; and how many effects are still to be
    /// carried out.
    ///
    /// # Errors
    /// When the database fails.
    #[cfg(feature = "simulation")]
    pub async fn counts(&self) -> Result<(i64, i64), StoreError> {
        let counts = "SELECT (SELECT coalesce(max(id), 0) FROM audit), (SELECT count(*) FROM effect)";
        Ok(sqlx::query_as(counts).fetch_one(&self.pool).answered().await?)
    }

    /// Whether nothing is asked of the database just now: every connection has been given back.
    #[cfg(feature = "simulation")]
    pub fn is_idle(&self) -> bool {
        u32::try_from(self.pool.num_idle()).is_ok_and(|idle| idle == self.pool.size())
    }

    async fn open_with(
        dialect: Dialect,
        options: &AnyConnectOptions,
        vault: Vault,
        pool: AnyPoolOptions,
    ) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let pool = pool.after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(AssertSqlSafe(dialect.settings())).await?;
                Ok(())
            })
        });
        let pool = pool.connect_with(options.clone()).await?;
        let store = Store {
            pool,
            dialect,
            vault: Arc::new(vault),
            jobs_max: JOBS_PER_SUBSCRIPTION,
            notices: Arc::new([]),
            term: None,
            has_removed: Arc::default(),
            tokens: Lookups::of_tokens(),
            sessions: Lookups::of_sessions(),
        };
        store.require_no_older_service().await?;
        migrator(dialect).run(&store.pool).await?;
        store.note_unknown().await?;
        // What was removed just before an end is still in the log, and in unused parts of pages.
        store.empty_log().await?;
        store.empty_of_removed_before().await?;
        Ok(store)
    }

    /// The key of its secrets.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// Lets a subscription have this many jobs.
    #[must_use]
    pub fn with_jobs_per_subscription(mut self, jobs_max: u32) -> Self {
        self.jobs_max = jobs_max;
        self
    }

    /// Writes notices with changes of jobs, as these rules say.
    #[must_use]
    pub fn with_notices(mut self, rules: Vec<NoticeRule>) -> Self {
        self.notices = rules.into();
        self
    }

    pub(super) fn of_term(mut self, term: Arc<Term>) -> Self {
        self.term = Some(term);
        self
    }

    /// Whether the database answers, as cheap as can be: strangers may ask.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT id FROM job LIMIT 1").fetch_optional(&self.pool).answered().await?;
        Ok(())
    }

    /// Closes the database; whatever was answered is in it.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
