//! Whether anything changed in the database, seen from beside the service: every change of a job has its entry in the audit
//! log.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::runtime::{Builder, Runtime};

/// A connection that only reads.
pub struct Watch {
    runtime: Runtime,
    connection: Option<SqliteConnection>,
}

impl Watch {
    pub fn open(database: &Path) -> Self {
        let runtime = Builder::new_current_thread().build().unwrap();
        let options = SqliteConnectOptions::new().filename(database).read_only(true).disable_statement_logging();
        let connection = runtime.block_on(options.connect()).unwrap();
        Watch { runtime, connection: Some(connection) }
    }

    fn number(&mut self, query: &'static str) -> i64 {
        let Some(connection) = &mut self.connection else { return 0 };
        // To its end: a query that is left open is a reader in the way of the service.
        let rows: Vec<i64> = self.runtime.block_on(sqlx::query_scalar(query).fetch_all(connection)).unwrap();
        rows.into_iter().next().unwrap_or_default()
    }

    /// Counts up with every change.
    pub fn changes(&mut self) -> i64 {
        self.number("SELECT max(id) FROM audit")
    }

    /// How much of what was decided is not carried out yet.
    pub fn effects(&mut self) -> i64 {
        self.number("SELECT count(*) FROM effect")
    }

    pub fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = self.runtime.block_on(connection.close());
        }
    }
}
