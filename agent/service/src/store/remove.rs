//! Forgetting a job: no byte of it stays in a file or its log; at a server nothing that could be read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::job::Effect;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tokio::time::Instant;

use super::answered::Answered;
use super::database::Store;
use super::dialect::Dialect;
use super::effects::queue_of_removed;
use super::error::StoreError;
use super::row::{StoredJob, folded};
use super::search::part;
use super::transaction::Transaction;

/// Removes a job and its keys. What is to be done about it is queued, with what it leaves elsewhere.
pub(super) async fn remove(transaction: &mut Transaction, job: &StoredJob, effects: &[Effect]) -> Result<(), StoreError> {
    // What was still to be done names drives; what removes the job is queued after this.
    sqlx::query("DELETE FROM effect WHERE job_uid = $1").bind(&job.uid).execute(&mut **transaction).answered().await?;
    sqlx::query("DELETE FROM job WHERE id = $1").bind(job.id).execute(&mut **transaction).answered().await?;
    let subscription = folded(&job.key.subscription);
    let fewer = sqlx::query("UPDATE subscription_count SET count = count - 1 WHERE subscription_key = $1");
    fewer.bind(&subscription).execute(&mut **transaction).answered().await?;
    let none = sqlx::query("DELETE FROM subscription_count WHERE subscription_key = $1 AND count <= 0");
    none.bind(&subscription).execute(&mut **transaction).answered().await?;
    let left = transaction.store().seal_left_behind(job)?;
    if transaction.dialect() == Dialect::Postgres {
        remove_seal(transaction, &job.uid).await?;
        if let Some(seal) = left.as_ref().and_then(|(_, seal)| seal.0.as_ref()) {
            let insert = "INSERT INTO job_seal (part, job_uid, sealed, letters) VALUES ($1, $2, $3, '')";
            let insert = sqlx::query(insert).bind(part(&job.uid)).bind(&job.uid).bind(seal);
            insert.execute(&mut **transaction).answered().await?;
        }
    }
    queue_of_removed(transaction, &job.uid, effects, left.as_ref().map(|(sealed, _)| sealed.as_slice())).await
}

async fn remove_seal(connection: &mut AnyConnection, job_uid: &str) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM job_seal WHERE job_uid = $1 AND part = $2").bind(job_uid).bind(part(job_uid));
    delete.execute(connection).answered().await?;
    Ok(())
}

/// A database up to this size is written anew after a removal: larger ones would keep changes waiting for too long.
const COMPACTED_BYTES_MAX: i64 = 64 << 20;

/// How long transactions are waited for that may still see what was removed.
const READERS_TIMEOUT: Duration = Duration::from_secs(3);

/// Time between two looks.
const READERS_INTERVAL: Duration = Duration::from_millis(100);

/// How long the tables are waited for that are rewritten.
const VACUUM_LOCK_TIMEOUT: &str = "SET lock_timeout = '300ms'";

/// Whether another transaction had a lock for too long.
fn has_timed_out_for_lock(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("55P03"))
}

/// Transactions of this database that may see what an earlier one than `$1` removed: the server keeps it for them.
const READERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
     AND age(backend_xmin) > age(xid(CAST($1 AS xid8)))";

impl Store {
    /// Leaves nothing of removed jobs behind in a file. `secure_delete` overwrites a row where it is; when a table's pages were
    /// divided before, an older copy of it may be in a part of another page that nothing uses. Only writing the database
    /// anew drops that, once after any number of removals. False where a reader was in the way. (At a server
    /// [`Store::forget`] does it: others need not wait for it.)
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn empty_of_removed(&self) -> Result<bool, StoreError> {
        let (has_removed, turn) = &*self.has_removed;
        if self.dialect != Dialect::Sqlite || !has_removed.load(Ordering::SeqCst) {
            return Ok(true);
        }
        let _turn = turn.lock().await;
        if !has_removed.swap(false, Ordering::SeqCst) {
            return Ok(true);
        }
        let is_empty = self.write_anew().await;
        if !matches!(is_empty, Ok(true)) {
            has_removed.store(true, Ordering::SeqCst);
        }
        is_empty
    }

    /// The same of what a process before this one removed, which was killed before more was done: its effects tell.
    pub(super) async fn empty_of_removed_before(&self) -> Result<(), StoreError> {
        let removed = "SELECT count(*) FROM effect WHERE NOT EXISTS (SELECT 1 FROM job WHERE job.uid = effect.job_uid)";
        let removed: i64 = sqlx::query_scalar(removed).fetch_one(&self.pool).answered().await?;
        if removed > 0 {
            self.has_removed.0.store(true, Ordering::SeqCst);
            self.empty_of_removed().await?;
        }
        Ok(())
    }

    async fn write_anew(&self) -> Result<bool, StoreError> {
        let size: i64 = sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            .fetch_one(&self.pool)
            .answered()
            .await?;
        if size <= COMPACTED_BYTES_MAX {
            sqlx::query("VACUUM").execute(&self.pool).await?;
        }
        self.empty_log().await
    }

    /// Leaves nothing behind of a job that was removed and left nothing anywhere else any more. False where a reader was in
    /// the way.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn forget(&self, job_uid: &str) -> Result<bool, StoreError> {
        match self.dialect {
            Dialect::Sqlite => self.empty_of_keys(job_uid).await,
            Dialect::Postgres => {
                let mut transaction = self.begin().await?;
                remove_seal(&mut transaction, job_uid).await?;
                transaction.commit().await?;
                self.empty_of_keys(job_uid).await
            }
        }
    }

    /// Rewrites the tables at a server that have keys and digests of a job which was removed, or the file. False where a reader was
    /// in the way.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn empty_of_keys(&self, job_uid: &str) -> Result<bool, StoreError> {
        if self.dialect == Dialect::Sqlite {
            return self.empty_of_removed().await;
        }
        let part = part(job_uid);
        if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(true);
        }
        let number: String =
            sqlx::query_scalar("SELECT CAST(pg_current_xact_id() AS TEXT)").fetch_one(&self.pool).answered().await?;
        let begin = Instant::now();
        loop {
            let readers: i64 = sqlx::query_scalar(READERS).bind(&number).fetch_one(&self.pool).answered().await?;
            if readers == 0 {
                break;
            }
            if begin.elapsed() > READERS_TIMEOUT {
                return Ok(false);
            }
            tokio::time::sleep(READERS_INTERVAL).await;
        }
        // Requests wait behind one who waits for a lock: a backup by another user has the tables for long, and is not seen above.
        let mut connection = self.pool.acquire().await?.detach();
        sqlx::query(VACUUM_LOCK_TIMEOUT).execute(&mut connection).answered().await?;
        for table in ["job_seal", "job_drive"] {
            let vacuum = sqlx::query(AssertSqlSafe(format!("VACUUM (FULL) {table}_{part}")));
            match vacuum.execute(&mut connection).answered().await {
                Err(error) if has_timed_out_for_lock(&error) => return Ok(false),
                written => written?,
            };
        }
        connection.close().await?;
        Ok(true)
    }

    /// Moves the write-ahead log of a file into the database and empties it: it has older versions of pages. False where a
    /// reader was in the way.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn empty_log(&self) -> Result<bool, StoreError> {
        if self.dialect != Dialect::Sqlite {
            return Ok(true);
        }
        let (is_busy, _, _): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.pool).answered().await?;
        Ok(is_busy == 0)
    }
}
