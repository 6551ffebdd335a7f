//! Jobs of versions that did not seal: they are sealed when a service starts.

use sqlx::Connection;

use super::answered::Answered;
use super::database::Store;
use super::dialect::Dialect;
use super::error::StoreError;
use super::find::JOBS_PER_QUERY;
use super::lease::ServiceLease;
use super::read::read_to_change;
use super::row::JobKey;
use super::{audit, copies, effects, grants, search, write};

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

    /// Seals jobs that an earlier version wrote at a server, and leaves nothing of what they were. The vault is known to be the
    /// right one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn seal_older(&self) -> Result<(), StoreError> {
        let is_to_do = sqlx::query("SELECT id FROM unsealed");
        if self.dialect != Dialect::Postgres || is_to_do.fetch_optional(&self.pool).answered().await?.is_none() {
            return Ok(());
        }
        self.seal_jobs().await?;
        // What they were before is not to stay in unused parts of pages. A large table takes longer than any statement may.
        let mut connection = self.pool.acquire().await?.detach();
        sqlx::query("SET statement_timeout = 0").execute(&mut connection).answered().await?;
        for table in TABLES {
            let vacuum = sqlx::query(sqlx::AssertSqlSafe(format!("VACUUM (FULL, ANALYZE) {table}")));
            if let Err(error) = vacuum.execute(&mut connection).await {
                tracing::warn!(
                    table, %error,
                    "jobs are sealed; what they were before is in unused parts of the database until the next start"
                );
                return Ok(());
            }
        }
        connection.close().await?;
        sqlx::query("DELETE FROM unsealed").execute(&self.pool).answered().await?;
        Ok(())
    }

    /// Seals the jobs that are not.
    pub(super) async fn seal_jobs(&self) -> Result<(), StoreError> {
        loop {
            let statement = format!(
                "SELECT subscription, resource_group, name FROM job
                 WHERE NOT EXISTS (SELECT 1 FROM job_seal WHERE job_uid = uid) LIMIT {JOBS_PER_QUERY}"
            );
            let rows: Vec<(String, String, String)> =
                sqlx::query_as(sqlx::AssertSqlSafe(statement)).fetch_all(&self.pool).answered().await?;
            if rows.is_empty() {
                return Ok(());
            }
            for (subscription, resource_group, name) in rows {
                self.seal_one(&JobKey { subscription, resource_group, name }).await?;
            }
        }
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
        let sealer = self.sealer(&job.uid, &job.seal)?;
        audit::seal(&mut transaction, &job, &sealer).await?;
        effects::seal(&mut transaction, &job, &sealer).await?;
        grants::seal(&mut transaction, &job, &sealer).await?;
        transaction.commit().await
    }
}
