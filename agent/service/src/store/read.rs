//! Reading one job, with its copies.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::any::AnyRow;

use super::answered::Answered;
use super::copies;
use super::database::Store;
use super::error::StoreError;
use super::row::{JobKey, StoredJob, folded, time_of};
use super::seal::{JobSeal, Sealed};
use super::transaction::Transaction;

impl Store {
    /// Those of these random names that jobs of this database had which were removed: the audit log has them for good.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn gone(&self, uids: &[String]) -> Result<Vec<String>, StoreError> {
        let mut gone = Vec::new();
        for uid in uids {
            let query = "SELECT count(*) FROM audit WHERE job_uid = $1 AND NOT EXISTS (SELECT 1 FROM job WHERE uid = $1)";
            let count: i64 = sqlx::query_scalar(query).bind(uid).fetch_one(&self.pool).answered().await?;
            if count > 0 {
                gone.push(uid.clone());
            }
        }
        Ok(gone)
    }

    /// Reads a job.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn get(&self, key: &JobKey) -> Result<StoredJob, StoreError> {
        let mut transaction = self.begin_reading().await?;
        read(&mut transaction, key, "").await?.ok_or_else(|| StoreError::NotFound(key.name.clone()))
    }

    /// Reads the job of that random name, where it is still there.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn by_uid(&self, uid: &str) -> Result<Option<StoredJob>, StoreError> {
        let mut transaction = self.begin_reading().await?;
        let statement = format!("SELECT {} FROM job WHERE uid = $1", self.job_columns());
        let row = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(uid).fetch_optional(&mut *transaction).answered().await?;
        let job = row.as_ref().map(|row| self.job_of(row)).transpose()?;
        with_copies(&mut transaction, job).await
    }

    /// All columns of a job that [`Store::job_of`] reads.
    pub(super) fn job_columns(&self) -> String {
        let columns =
            "id, uid, subscription, resource_group, name, version, created_at, modified_at, location, tags, machine, details";
        format!("{columns}, {}", self.dialect.seal_of("uid"))
    }

    /// A job, without its copies.
    pub(super) fn job_of(&self, row: &AnyRow) -> Result<StoredJob, StoreError> {
        let uid: String = row.try_get("uid")?;
        let seal = JobSeal(row.try_get("seal")?);
        let sealer = self.sealer(&uid, &seal)?;
        let tags: Option<String> = row.try_get("tags")?;
        Ok(StoredJob {
            id: row.try_get("id")?,
            uid,
            key: JobKey {
                subscription: row.try_get("subscription")?,
                resource_group: row.try_get("resource_group")?,
                name: row.try_get("name")?,
            },
            version: row.try_get("version")?,
            created_at: time_of(row.try_get("created_at")?)?,
            modified_at: time_of(row.try_get("modified_at")?)?,
            location: row.try_get("location")?,
            tags: tags.map(|text| Ok::<_, StoreError>(serde_json::from_str(&sealer.open(&text, Sealed::Tags)?)?)).transpose()?,
            machine: serde_json::from_str(&sealer.open(row.try_get("machine")?, Sealed::Machine)?)?,
            details: serde_json::from_str(&sealer.open(row.try_get("details")?, Sealed::Details)?)?,
            copies: BTreeMap::new(),
            audit_detail: None,
            grant_step: None,
            seal,
        })
    }
}

/// A job of this name, as it stays until the transaction has changed it: a decision is about the job as it stands.
pub(super) async fn read_to_change(transaction: &mut Transaction, key: &JobKey) -> Result<Option<StoredJob>, StoreError> {
    let lock = transaction.dialect().for_update();
    read(transaction, key, lock).await
}

/// A job of this name, inside a transaction.
async fn read(transaction: &mut Transaction, key: &JobKey, lock: &str) -> Result<Option<StoredJob>, StoreError> {
    let columns = transaction.store().job_columns();
    let statement =
        format!("SELECT {columns} FROM job WHERE subscription_key = $1 AND resource_group_key = $2 AND name_key = $3{lock}");
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(folded(&key.subscription))
        .bind(folded(&key.resource_group))
        .bind(folded(&key.name))
        .fetch_optional(&mut **transaction)
        .answered()
        .await?;
    let job = row.as_ref().map(|row| transaction.store().job_of(row)).transpose()?;
    with_copies(transaction, job).await
}

async fn with_copies(transaction: &mut Transaction, job: Option<StoredJob>) -> Result<Option<StoredJob>, StoreError> {
    let Some(mut job) = job else { return Ok(None) };
    job.copies = copies::read(transaction, &job).await?;
    Ok(Some(job))
}
