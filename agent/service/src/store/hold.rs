//! One service at a time: until stations hold grants, two services that share a database would both carry out what is to be done
//! about a copy that only one of them runs. The lock of a state directory keeps a second one away from a file; the database keeps
//! it away from a server.

use std::time::Duration;

use sqlx::AnyConnection;
use sqlx::any::AnyConnectOptions;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::address::DatabaseAddress;
use super::database::{CONNECT_TIMEOUT, connect_once, options_of_server};
use super::dialect::Dialect;
use super::error::StoreError;

/// The number of the lock at the server, which no other program has: `driveagt` in ASCII.
const NUMBER: i64 = 0x6472_6976_6561_6774;

/// How long a database is waited for that another service has.
const TAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between two attempts to take it.
const TAKE_INTERVAL: Duration = Duration::from_millis(100);

/// Time between two looks whether it is still held.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// A database that is this service's, until it is dropped.
pub struct DatabaseHold {
    lost: CancellationToken,
    watching: JoinHandle<()>,
}

impl DatabaseHold {
    /// Takes a database.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another service has it; or when the server cannot be reached.
    pub async fn take(address: &DatabaseAddress) -> Result<Self, StoreError> {
        let options = options_of_server(address)?;
        let begin = Instant::now();
        let connection = loop {
            match lock(&options).await? {
                Some(connection) => break connection,
                // A service that was just killed has it until the server looks at its connection.
                None if begin.elapsed() < TAKE_TIMEOUT => tokio::time::sleep(TAKE_INTERVAL).await,
                None => return Err(StoreError::InUse),
            }
        };
        let lost = CancellationToken::new();
        let watching = tokio::spawn(watch(options, connection, lost.clone()));
        Ok(DatabaseHold { lost, watching })
    }

    /// Cancelled when another service took the database while its server was away.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

impl Drop for DatabaseHold {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// A connection that holds the lock; `None` where another one does.
async fn lock(options: &AnyConnectOptions) -> Result<Option<AnyConnection>, StoreError> {
    let locking = async {
        let mut connection = connect_once(Dialect::Postgres, options).await?;
        let query = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(NUMBER);
        let is_locked: bool = query.fetch_one(&mut connection).await?;
        Ok(is_locked.then_some(connection))
    };
    tokio::time::timeout(CONNECT_TIMEOUT, locking).await.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))?
}

/// Looks whether the connection is there, and connects again where the server was away.
async fn watch(options: AnyConnectOptions, mut connection: AnyConnection, lost: CancellationToken) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let look = sqlx::query("SELECT 1").execute(&mut connection);
        if matches!(tokio::time::timeout(LOOK_TIMEOUT, look).await, Ok(Ok(_))) {
            continue;
        }
        match lock(&options).await {
            Ok(Some(again)) => connection = again,
            Ok(None) => {
                lost.cancel();
                return;
            }
            Err(error) => tracing::warn!(%error, "the database does not answer"),
        }
    }
}
