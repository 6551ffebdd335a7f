//! The audit log: who did what.

use protocol::job::JobState;
use protocol::station::AuditEntry;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use time::OffsetDateTime;

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::proof::Proof;
use super::retry::retried;
use super::row::{JobKey, StoredJob};
use super::seal::{JobSeal, Sealed, Sealer};
use super::statement::Statement;
use super::transaction::Transaction;

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
    fn add_to(&self, query: &mut Statement) -> Result<(), sqlx::Error> {
        if let Some(before) = self.before {
            query.push(" AND audit.id < ").bind(before)?;
        }
        if let Some(job_uid) = &self.job_uid {
            query.push(" AND job_uid = ").bind(job_uid.clone())?;
        }
        if let Some(actor) = &self.actor {
            query.push(" AND actor = ").bind(actor.clone())?;
        }
        if let Some(action) = self.action.as_ref().filter(|action| !action.is_empty()) {
            query.push(" AND ").push_contains("lower(action)", action.to_lowercase())?;
        }
        if let Some(since) = self.since {
            query.push(" AND audit.at >= ").bind(since.unix_timestamp())?;
        }
        if let Some(until) = self.until {
            query.push(" AND audit.at < ").bind(until.unix_timestamp())?;
        }
        Ok(())
    }
}

/// The job that an entry is about.
#[derive(Clone, Copy)]
pub(super) struct AuditedJob<'job> {
    pub(super) uid: &'job str,
    /// The state that it entered.
    pub(super) entered: Option<JobState>,
    /// What the entry says beside its action, as it is kept, and the number of the job that it goes with.
    pub(super) detail: Option<(i64, &'job str)>,
}

/// Writes an entry.
pub(super) async fn write_audit(
    transaction: &mut Transaction,
    now: OffsetDateTime,
    actor: &str,
    action: &str,
    about: Option<AuditedJob<'_>>,
) -> Result<(), StoreError> {
    let insert = format!(
        "INSERT INTO audit (at, actor, action, job_uid, entered) VALUES ($1, $2, $3, $4, $5) RETURNING id, {}",
        transaction.dialect().transaction_number()
    );
    let at = now.unix_timestamp();
    let (id, number): (i64, Option<String>) = sqlx::query_as(AssertSqlSafe(insert))
        .bind(at)
        .bind(actor)
        .bind(action)
        .bind(about.map(|about| about.uid))
        .bind(about.and_then(|about| about.entered).map(JobState::name))
        .fetch_one(&mut **transaction)
        .answered()
        .await?;
    transaction.proof = Some(Proof { number, id, at, actor: actor.to_owned(), action: action.to_owned() });
    if let Some((job_id, detail)) = about.and_then(|about| about.detail) {
        sqlx::query("INSERT INTO audit_detail (audit_id, job_id, detail) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(job_id)
            .bind(detail)
            .execute(&mut **transaction)
            .answered()
            .await?;
    }
    Ok(())
}

/// Seals what entries say of a job that an earlier version wrote.
pub(super) async fn seal(transaction: &mut Transaction, job: &StoredJob, sealer: &Sealer) -> Result<(), StoreError> {
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
    Ok(())
}

impl Store {
    /// The newest entries, the newest first, and where older ones begin.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn audit_log(&self, filter: &AuditFilter, limit: u32) -> Result<AuditPage, StoreError> {
        let mut query = Statement::new(format!(
            "SELECT audit.id, audit.at, actor, action, entered, job_uid, detail, subscription, resource_group, name, {} FROM audit
             LEFT JOIN job ON job.uid = audit.job_uid LEFT JOIN audit_detail ON audit_detail.audit_id = audit.id WHERE 1 = 1",
            self.dialect.seal_of("job.uid")
        ));
        filter.add_to(&mut query)?;
        // One more tells whether there is another page.
        query.push(" ORDER BY audit.id DESC LIMIT ").bind(i64::from(limit) + 1)?;
        let mut rows = query.query().fetch_all(&self.pool).answered().await?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = match rows.last().filter(|_| has_more) {
            Some(row) => Some(row.try_get("id")?),
            None => None,
        };
        let entry = |row: &AnyRow| {
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
            let (job_uid, detail): (Option<String>, Option<String>) = (row.try_get("job_uid")?, row.try_get("detail")?);
            let sealer = self.sealer(job_uid.as_deref().unwrap_or_default(), &JobSeal(row.try_get("seal")?))?;
            Ok(AuditEntry {
                at: at.map_err(|error| StoreError::Damaged(error.to_string()))?,
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                detail: detail.map(|detail| sealer.open(&detail, Sealed::AuditDetail)).transpose()?,
                entered: entered.and_then(|name| name.parse::<JobState>().ok()),
                job: key.map(|key| key.path()),
                job_uid,
            })
        };
        Ok(AuditPage { entries: rows.iter().map(entry).collect::<Result<_, StoreError>>()?, next })
    }

    /// Writes an entry about something that changes no job.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn note(&self, actor: &str, action: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        retried!(self.note_once(actor, action, now))
    }

    async fn note_once(&self, actor: &str, action: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        write_audit(&mut transaction, now, actor, action, None).await?;
        transaction.commit().await
    }
}
