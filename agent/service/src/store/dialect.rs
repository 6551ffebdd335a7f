//! What the database engines say differently. Every other statement is the same text for all of them: placeholders are `$1`,
//! aggregates are cast, and names are compared in columns that are in lower case.

use std::time::Duration;

/// How long a change waits for another one to end.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time that one statement may take at a server.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// One file, one writer at a time.
    Sqlite,
    /// A server, with many writers: what must stay as it was read is locked, or a constraint.
    Postgres,
}

impl Dialect {
    /// What is said at the beginning of each connection.
    pub(super) fn settings(self) -> String {
        let (lock, statement) = (LOCK_TIMEOUT.as_millis(), STATEMENT_TIMEOUT.as_millis());
        match self {
            // No other file has what a temporary table holds.
            Dialect::Sqlite => format!(
                "PRAGMA busy_timeout = {lock}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
                 PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"
            ),
            // The server soon notices that a host is gone: what that one had locked is free then.
            // What was answered is durable, also where the server is set up to be faster; where it is set up to be safer, that
            // stays.
            Dialect::Postgres => format!(
                "SET lock_timeout = {lock}; SET statement_timeout = {statement};
                 SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
                 SET idle_in_transaction_session_timeout = {statement}; SET default_transaction_isolation = 'read committed';
                 SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
            ),
        }
    }

    /// Begins a change.
    pub(super) fn begin_change(self) -> &'static str {
        match self {
            // With the write lock: a decision is about the job as it stands.
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        }
    }

    /// Begins reading what belongs together, as it was at one moment.
    pub(super) fn begin_reading(self) -> &'static str {
        match self {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Keeps the rows that a query finds as they are until the change has ended.
    pub(super) fn for_update(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE",
        }
    }

    /// How many tables of a name there are.
    pub(super) fn count_of_tables(self) -> &'static str {
        match self {
            Dialect::Sqlite => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1",
            Dialect::Postgres => {
                "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1"
            }
        }
    }

    /// The sealed key of the job with this random name, as the column `seal`.
    pub(super) fn seal_of(self, uid: &str) -> String {
        match self {
            Dialect::Sqlite => "CAST(NULL AS BLOB) AS seal".to_owned(),
            Dialect::Postgres => {
                format!("(SELECT sealed FROM job_seal WHERE job_uid = {uid} AND part = right({uid}, 1)) AS seal")
            }
        }
    }

    /// The column of sessions that counts up with them.
    pub(super) fn order_of_insertion(self) -> &'static str {
        match self {
            Dialect::Sqlite => "rowid",
            Dialect::Postgres => "number",
        }
    }

    /// The number of the transaction, as text: what became of it can be asked later.
    pub(super) fn transaction_number(self) -> &'static str {
        match self {
            Dialect::Sqlite => "CAST(NULL AS TEXT)",
            Dialect::Postgres => "CAST(pg_current_xact_id() AS TEXT)",
        }
    }
}
