//! The audit log: who did what.

use protocol::job::JobState;
use protocol::station::AuditEntry;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, Transaction};
use time::OffsetDateTime;

use super::database::Store;
use super::error::StoreError;
use super::row::JobKey;

/// Which entries are asked for: all, where nothing is said.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditFilter {
    /// Older than this entry.
    pub(crate) before: Option<i64>,
    /// Of the job with this random name.
    pub(crate) job_uid: Option<String>,
    /// By this actor.
    pub(crate) actor: Option<String>,
    /// With this in what was done.
    pub(crate) action: Option<String>,
    /// Not before this time.
    pub(crate) since: Option<OffsetDateTime>,
    /// Before this time.
    pub(crate) until: Option<OffsetDateTime>,
}

/// Entries, and where the next page begins.
#[derive(Debug)]
pub(crate) struct AuditPage {
    pub(crate) entries: Vec<AuditEntry>,
    pub(crate) next: Option<i64>,
}

impl AuditFilter {
    fn add_to(&self, query: &mut QueryBuilder<Sqlite>) {
        if let Some(before) = self.before {
            query.push(" AND audit.id < ").push_bind(before);
        }
        if let Some(job_uid) = &self.job_uid {
            query.push(" AND job_uid = ").push_bind(job_uid.clone());
        }
        if let Some(actor) = &self.actor {
            query.push(" AND actor = ").push_bind(actor.clone());
        }
        if let Some(action) = &self.action {
            query.push(" AND instr(lower(action), ").push_bind(action.to_lowercase()).push(") > 0");
        }
        if let Some(since) = self.since {
            query.push(" AND audit.at >= ").push_bind(since.unix_timestamp());
        }
        if let Some(until) = self.until {
            query.push(" AND audit.at < ").push_bind(until.unix_timestamp());
        }
    }
}

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
    /// The newest entries, the newest first, and where older ones begin.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn audit_log(&self, filter: &AuditFilter, limit: u32) -> Result<AuditPage, StoreError> {
        let mut query = QueryBuilder::new(
            "SELECT audit.id, audit.at, actor, action, entered, job_uid, detail, subscription, resource_group, name FROM audit
             LEFT JOIN job ON job.uid = audit.job_uid LEFT JOIN audit_detail ON audit_detail.audit_id = audit.id WHERE 1",
        );
        filter.add_to(&mut query);
        // One more tells whether there is another page.
        query.push(" ORDER BY audit.id DESC LIMIT ").push_bind(i64::from(limit) + 1);
        let mut rows = query.build().fetch_all(&self.pool).await?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = match rows.last().filter(|_| has_more) {
            Some(row) => Some(row.try_get("id")?),
            None => None,
        };
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
        Ok(AuditPage { entries: rows.iter().map(entry).collect::<Result<_, StoreError>>()?, next })
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
