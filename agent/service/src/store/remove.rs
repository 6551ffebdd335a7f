//! Forgetting a job: no byte of it stays in the database or its log.

use super::answered::Answered;
use super::database::Store;
use super::dialect::Dialect;
use super::error::StoreError;
use super::row::{StoredJob, folded};
use super::transaction::Transaction;

/// Removes a job and its keys. `secure_delete` overwrites them with zeros.
pub(super) async fn remove(transaction: &mut Transaction, job: &StoredJob) -> Result<(), StoreError> {
    // What was still to be done names drives; what removes the job is queued after this.
    sqlx::query("DELETE FROM effect WHERE job_uid = $1").bind(&job.uid).execute(&mut **transaction).answered().await?;
    sqlx::query("DELETE FROM job WHERE id = $1").bind(job.id).execute(&mut **transaction).answered().await?;
    let subscription = folded(&job.key.subscription);
    let fewer = sqlx::query("UPDATE subscription_count SET count = count - 1 WHERE subscription_key = $1");
    fewer.bind(&subscription).execute(&mut **transaction).answered().await?;
    let none = sqlx::query("DELETE FROM subscription_count WHERE subscription_key = $1 AND count <= 0");
    none.bind(&subscription).execute(&mut **transaction).answered().await?;
    Ok(())
}

/// A database up to this size is written anew after a removal: larger ones would keep changes waiting for too long.
const COMPACTED_BYTES_MAX: i64 = 64 << 20;

impl Store {
    /// Leaves nothing of a removed job behind in a file. (A server frees what was removed in its own time.) `secure_delete` overwrites a row where it is; when a table's pages were
    /// divided before, an older copy of it may be in a part of another page that nothing uses. Only writing the database
    /// anew drops that.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn empty_of_removed(&self) -> Result<(), StoreError> {
        if self.dialect != Dialect::Sqlite {
            return Ok(());
        }
        let size: i64 = sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            .fetch_one(&self.pool)
            .answered()
            .await?;
        if size <= COMPACTED_BYTES_MAX {
            sqlx::query("VACUUM").execute(&self.pool).await?;
        }
        // Where a reader is in the way just now, carrying out the effect empties it later.
        self.empty_log().await?;
        Ok(())
    }

    /// Moves the write-ahead log into the database and empties it: it has older versions of pages. False where a
    /// reader was in the way.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn empty_log(&self) -> Result<bool, StoreError> {
        if self.dialect != Dialect::Sqlite {
            return Ok(true);
        }
        let (is_busy, _, _): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.pool).answered().await?;
        Ok(is_busy == 0)
    }
}
