//! The audit log: who did what.

use protocol::job::JobState;
use protocol::station::AuditEntry;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use time::OffsetDateTime;

use super::database::Store;
use super::error::StoreError;
use super::row::JobKey;

/// The job that an entry is about.
#[derive(Clone, Copy)]
pub(super) struct AuditedJob<'job> {
    pub(super) uid: &'job str,
    /// The state that it entered.
    pub(super) entered: Option<JobState>,
    /// What the entry says beside its action, and the number of the job that it goes with.
    pub(super) detail: Option<(i64, &'job str)>,
}

/// Writes an entry.
pub(super) async fn write_audit(
    transaction: &mut Transaction<'_, Sqlite>,
    now: OffsetDateTime,
    actor: &str,
    action: &str,
    about: Option<AuditedJob<'_>>,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO audit (at, actor, action, job_uid, entered) VALUES (?, ?, ?, ?, ?)";
    let entry = sqlx::query(insert)
        .bind(now.unix_timestamp())
        .bind(actor)
        .bind(action)
        .bind(about.map(|about| about.uid))
        .bind(about.and_then(|about| about.entered).map(JobState::name))
        .execute(&mut **transaction)
        .await?;
    if let Some((job_id, detail)) = about.and_then(|about| about.detail) {
        sqlx::query("INSERT INTO audit_detail (audit_id, job_id, detail) VALUES (?, ?, ?)")
            .bind(entry.last_insert_rowid())
            .bind(job_id)
            .bind(detail)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

impl Store {
    /// The newest entries, the newest first: of one job, or of all.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn audit_log(&self, job_uid: Option<&str>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT audit.at, actor, action, entered, job_uid, detail, subscription, resource_group, name FROM audit
             LEFT JOIN job ON job.uid = audit.job_uid LEFT JOIN audit_detail ON audit_detail.audit_id = audit.id WHERE ?1 IS NULL OR job_uid = ?1 ORDER BY audit.id DESC LIMIT ?2",
        )
        .bind(job_uid)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let entry = |row: &SqliteRow| {
            let at = OffsetDateTime::from_unix_timestamp(row.try_get("at")?);
            let name: Option<String> = row.try_get("name")?;
            let key = match name {
                Some(name) => Some(JobKey {
                    subscription: row.try_get("subscription")?,
                    resource_group: row.try_get("resource_group")?,
                    name,
                }),
                None => None,
            };
            let entered: Option<String> = row.try_get("entered")?;
            Ok(AuditEntry {
                at: at.map_err(|error| StoreError::Damaged(error.to_string()))?,
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                detail: row.try_get("detail")?,
                entered: entered.and_then(|name| name.parse::<JobState>().ok()),
                job: key.map(|key| key.path()),
                job_uid: row.try_get("job_uid")?,
            })
        };
        rows.iter().map(entry).collect()
    }

    /// Writes an entry about something that changes no job.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn note(&self, actor: &str, action: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        write_audit(&mut transaction, now, actor, action, None).await?;
        Ok(transaction.commit().await?)
    }
}
