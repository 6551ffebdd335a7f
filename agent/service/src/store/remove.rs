//! Forgetting a job: no byte of it stays in the database or its log.

use sqlx::{Sqlite, Transaction};

use super::database::Store;
use super::error::StoreError;
use super::row::StoredJob;

/// Removes a job and its keys. `secure_delete` overwrites them with zeros.
pub(super) async fn remove(transaction: &mut Transaction<'_, Sqlite>, job: &StoredJob) -> Result<(), StoreError> {
    // What was still to be done names drives; what removes the job is queued after this.
    sqlx::query("DELETE FROM effect WHERE job_uid = ?").bind(&job.uid).execute(&mut **transaction).await?;
    sqlx::query("DELETE FROM job WHERE id = ?").bind(job.id).execute(&mut **transaction).await?;
    Ok(())
}

impl Store {
    /// Moves the write-ahead log into the database and empties it: it has older versions of pages. False where a
    /// reader was in the way.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn empty_log(&self) -> Result<bool, StoreError> {
        let (is_busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.pool).await?;
        Ok(is_busy == 0)
    }
}
