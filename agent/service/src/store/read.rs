//! Reading one job, with its copies.

use sqlx::{Sqlite, Transaction};

use super::copies;
use super::database::Store;
use super::error::StoreError;
use super::row::{JOB_COLUMNS, JobKey, StoredJob, job_of};

impl Store {
    /// Reads a job.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn get(&self, key: &JobKey) -> Result<StoredJob, StoreError> {
        let mut transaction = self.pool.begin().await?;
        read(&mut transaction, key).await?.ok_or_else(|| StoreError::NotFound(key.name.clone()))
    }

    /// Reads the job of that random name, where it is still there.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn by_uid(&self, uid: &str) -> Result<Option<StoredJob>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let statement = format!("SELECT {JOB_COLUMNS} FROM job WHERE uid = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(uid).fetch_optional(&mut *transaction).await?;
        with_copies(&mut transaction, row.as_ref().map(job_of).transpose()?).await
    }
}

/// A job of this name, inside a transaction.
pub(super) async fn read(transaction: &mut Transaction<'_, Sqlite>, key: &JobKey) -> Result<Option<StoredJob>, StoreError> {
    let statement = format!("SELECT {JOB_COLUMNS} FROM job WHERE subscription = ? AND resource_group = ? AND name = ?");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(&key.subscription).bind(&key.resource_group).bind(&key.name);
    let row = query.fetch_optional(&mut **transaction).await?;
    with_copies(transaction, row.as_ref().map(job_of).transpose()?).await
}

async fn with_copies(transaction: &mut Transaction<'_, Sqlite>, job: Option<StoredJob>) -> Result<Option<StoredJob>, StoreError> {
    let Some(mut job) = job else { return Ok(None) };
    job.copies = copies::read(transaction, job.id).await?;
    Ok(Some(job))
}
