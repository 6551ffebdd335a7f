//! Jobs of versions that did not seal: they are sealed when a service starts.

use super::answered::Answered;
use super::database::Store;
use super::dialect::Dialect;
use super::effects::text_of;
use super::error::StoreError;
use super::find::JOBS_PER_QUERY;
use super::lease::ServiceLease;
use super::read::read_to_change;
use super::row::{JobKey, StoredJob};
use super::seal::Sealed;
use super::search;
use super::transaction::Transaction;
use super::{copies, grants, write};

/// Tables that had texts as they are.
const TABLES: [&str; 6] = ["job", "drive_copy", "drive_key", "audit_detail", "effect", "copy_grant"];

impl Store {
    /// Refuses where a service of a version that does not seal uses the database of a server: it could not read what is sealed.
    ///
    /// # Errors
    /// [`StoreError::OlderService`].
    pub(super) async fn require_no_older_service(&self) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres
            && self.has_table("service_lease").await?
            && !self.has_table("job_seal").await?
            && ServiceLease::is_taken(self).await?
        {
            return Err(StoreError::OlderService);
        }
        Ok(())
    }

    async fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        let count: i64 = sqlx::query_scalar(self.dialect.count_of_tables()).bind(name).fetch_one(&self.pool).answered().await?;
        Ok(count > 0)
    }

    /// Seals jobs that an earlier version wrote at a server. The vault is known to be the right one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn seal_older(&self) -> Result<(), StoreError> {
        if self.dialect != Dialect::Postgres {
            return Ok(());
        }
        let mut sealed = 0;
        loop {
            let statement = format!(
                "SELECT subscription, resource_group, name FROM job
                 WHERE NOT EXISTS (SELECT 1 FROM job_seal WHERE job_uid = uid) LIMIT {JOBS_PER_QUERY}"
            );
            let rows: Vec<(String, String, String)> =
                sqlx::query_as(sqlx::AssertSqlSafe(statement)).fetch_all(&self.pool).answered().await?;
            if rows.is_empty() {
                break;
            }
            for (subscription, resource_group, name) in rows {
                self.seal_one(&JobKey { subscription, resource_group, name }).await?;
                sealed += 1;
            }
        }
        if sealed > 0 {
            // What they were before is not to stay in unused parts of pages.
            for table in TABLES {
                sqlx::query(sqlx::AssertSqlSafe(format!("VACUUM (FULL, ANALYZE) {table}")))
                    .execute(&self.pool)
                    .answered()
                    .await?;
            }
            tracing::info!(jobs = sealed, "jobs that an earlier version wrote were sealed");
        }
        Ok(())
    }

    async fn seal_one(&self, key: &JobKey) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        // Another service may be sealing it: only what is asked when that has ended sees all that it wrote.
        let lock = "SELECT id FROM job WHERE subscription = $1 AND resource_group = $2 AND name = $3 FOR UPDATE";
        let lock = sqlx::query(lock).bind(&key.subscription).bind(&key.resource_group).bind(&key.name);
        lock.fetch_optional(&mut *transaction).answered().await?;
        let Some(mut job) = read_to_change(&mut transaction, key).await?.filter(|job| job.seal.0.is_none()) else {
            return Ok(());
        };
        job.seal = self.new_seal(&job.uid)?;
        write::rewrite(&mut transaction, &mut job).await?;
        sqlx::query("DELETE FROM drive_copy WHERE job_id = $1").bind(job.id).execute(&mut *transaction).answered().await?;
        copies::write(&mut transaction, &job, None).await?;
        search::write(&mut transaction, &job, None).await?;
        self.reseal_keys(&mut transaction, &job).await?;
        self.seal_rows(&mut transaction, &job).await?;
        transaction.commit().await
    }

    /// Seals what rows of other tables say of a job.
    async fn seal_rows(&self, transaction: &mut Transaction, job: &StoredJob) -> Result<(), StoreError> {
        let sealer = self.sealer(&job.uid, &job.seal)?;
        let details: Vec<(i64, String)> = sqlx::query_as("SELECT audit_id, detail FROM audit_detail WHERE job_id = $1")
            .bind(job.id)
            .fetch_all(&mut **transaction)
            .answered()
            .await?;
        for (audit_id, detail) in details {
            let update = sqlx::query("UPDATE audit_detail SET detail = $1 WHERE audit_id = $2");
            let update = update.bind(sealer.close(&detail, Sealed::AuditDetail)?).bind(audit_id);
            update.execute(&mut **transaction).answered().await?;
        }
        let effects: Vec<(i64, String)> = sqlx::query_as("SELECT id, what FROM effect WHERE job_uid = $1")
            .bind(&job.uid)
            .fetch_all(&mut **transaction)
            .answered()
            .await?;
        for (id, what) in effects {
            let what = text_of(&serde_json::from_str(&what)?, &sealer)?;
            let update = sqlx::query("UPDATE effect SET what = $1 WHERE id = $2").bind(what).bind(id);
            update.execute(&mut **transaction).answered().await?;
        }
        grants::seal(transaction, job, &sealer).await
    }
}
