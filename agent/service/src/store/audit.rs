//! Who did what.

use protocol::station::AuditEntry;
use time::OffsetDateTime;

use super::Store;
use super::error::StoreError;

impl Store {
    /// The newest entries, the newest first: of one job, or of all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_log(&self, job_uid: Option<&str>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let rows: Vec<(i64, String, String, Option<String>)> = sqlx::query_as(
            "SELECT at, actor, action, job_uid FROM audit WHERE ?1 IS NULL OR job_uid = ?1 ORDER BY id DESC LIMIT ?2",
        )
        .bind(job_uid)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let entry = |(at, actor, action, job_uid)| {
            let at = OffsetDateTime::from_unix_timestamp(at).map_err(|error| StoreError::Damaged(error.to_string()))?;
            Ok(AuditEntry { at, actor, action, job_uid })
        };
        rows.into_iter().map(entry).collect()
    }

    /// Writes down an act that changes no job.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note(&self, actor: &str, action: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        super::write_audit(&mut transaction, now, actor, action, None).await?;
        Ok(transaction.commit().await?)
    }
}
