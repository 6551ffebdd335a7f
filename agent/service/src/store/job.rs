//! Putting, reading and changing a job.

use std::collections::BTreeMap;

use protocol::arm::{DriveStatus, JobDetails, PutJob};
use protocol::job::{Decision, Effect, Event, Field, Job, JobKind, decide, next_timer};
use sqlx::{Sqlite, Transaction};
use time::OffsetDateTime;

use super::error::StoreError;
use super::row::{JOB_COLUMNS, JobKey, StoredEffect, StoredJob, job_of, seconds};
use super::{AuditedJob, Store, write_audit};

/// What a PUT did.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// The job.
    pub job: StoredJob,
    /// Whether it is new.
    pub is_new: bool,
}

/// What a change of a job does: events, one after another, and new values of its documents.
pub struct Change<'change> {
    /// Who wants it.
    pub actor: &'change str,
    /// A word for the audit log.
    pub action: &'change str,
    /// The version that it is about; any, where `None`.
    pub version: Option<i64>,
    /// When.
    pub now: OffsetDateTime,
}

impl Store {
    /// Creates a job, or changes one that is still being put together. The body was validated.
    ///
    /// # Errors
    /// When the job exists and may not be changed so.
    pub async fn put(&self, key: &JobKey, body: &PutJob, change: &Change<'_>) -> Result<Put, StoreError> {
        let mut transaction = self.begin().await?;
        let existing = read(&mut transaction, key).await?;
        require_version(existing.as_ref(), change.version)?;
        let is_new = existing.is_none();
        if is_new {
            require_free_name(&mut transaction, key, body).await?;
        }
        let mut job = match existing {
            Some(job) => put_again(job, body, change.now)?,
            None => new_job(key, body, change.now),
        };
        let drives = job.details.drive_list.take().unwrap_or_default();
        job.details.drive_list = Some(drives.iter().map(without_key).collect());
        self.write(&mut transaction, &mut job, is_new).await?;
        super::copies::write(&mut transaction, &job, None).await?;
        self.seal_keys(&mut transaction, &job, &drives).await?;
        let entered = is_new.then_some(job.machine.state);
        let about = AuditedJob { uid: &job.uid, entered };
        write_audit(&mut transaction, change.now, change.actor, change.action, Some(about)).await?;
        transaction.commit().await?;
        Ok(Put { job, is_new })
    }

    /// Creates a job that must be new. The body was validated.
    ///
    /// # Errors
    /// [`StoreError::JobNameTaken`] where it exists.
    pub async fn create(&self, key: &JobKey, body: &PutJob, change: &Change<'_>) -> Result<StoredJob, StoreError> {
        if self.get(key).await.is_ok() {
            return Err(StoreError::JobNameTaken(key.name.clone()));
        }
        // Where somebody is faster, this changes theirs only while it is Creating, and only if it is theirs to be.
        Ok(self.put(key, body, change).await?.job)
    }

    /// Reads a job.
    ///
    /// # Errors
    /// When there is none.
    pub async fn get(&self, key: &JobKey) -> Result<StoredJob, StoreError> {
        let mut transaction = self.pool.begin().await?;
        read(&mut transaction, key).await?.ok_or_else(|| StoreError::NotFound(key.name.clone()))
    }

    /// Reads the job of that random name, where it is still there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_uid(&self, uid: &str) -> Result<Option<StoredJob>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let statement = format!("SELECT {JOB_COLUMNS} FROM job WHERE uid = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(uid).fetch_optional(&mut *transaction).await?;
        with_copies(&mut transaction, row.as_ref().map(job_of).transpose()?).await
    }

    /// Changes a job: `edit` may refuse, or write its documents and give the events; each is decided in turn, and all
    /// of it is written, or nothing. A job that is removed by it is gone when this returns.
    ///
    /// # Errors
    /// When there is no such job, it was changed meanwhile, or a decision refuses.
    pub async fn change(
        &self,
        key: &JobKey,
        change: &Change<'_>,
        edit: impl FnOnce(&mut StoredJob) -> Result<Vec<Event>, StoreError>,
    ) -> Result<StoredJob, StoreError> {
        let mut transaction = self.begin().await?;
        let found = read(&mut transaction, key).await?;
        let mut job = found.ok_or_else(|| StoreError::NotFound(key.name.clone()))?;
        require_version(Some(&job), change.version)?;
        let before = job.clone();
        let keys_before = drives_of(&job.details);
        let events = edit(&mut job)?;
        let mut effects = Vec::new();
        for event in events {
            if let Event::Retry(drive_id) = &event {
                // The logs of the run before are not wanted any more, and would take its journal with them.
                self.drop_effect(&mut transaction, &job.uid, &Effect::PublishLogs(drive_id.clone())).await?;
            }
            let Decision { job: next, effects: more } = decide(&job.machine, event, change.now)?;
            job.machine = next;
            effects.extend(more);
        }
        let entered = (job.machine.state != before.machine.state).then_some(job.machine.state);
        let about = AuditedJob { uid: &job.uid, entered };
        write_audit(&mut transaction, change.now, change.actor, change.action, Some(about)).await?;
        let is_removed = effects.contains(&Effect::Remove);
        if is_removed {
            super::remove::remove(&mut transaction, &job).await?;
        }
        queue(&mut transaction, &job.uid, &effects).await?;
        if !is_removed && job != before {
            job.modified_at = change.now;
            let drives = drives_of(&job.details);
            if drives != keys_before {
                job.details.drive_list = Some(drives.iter().map(without_key).collect());
                self.seal_keys(&mut transaction, &job, &drives).await?;
            }
            self.write(&mut transaction, &mut job, false).await?;
            super::copies::write(&mut transaction, &job, Some(&before)).await?;
        }
        transaction.commit().await?;
        if is_removed {
            // Where somebody reads just now, carrying out the effect does it.
            self.empty_log().await?;
        }
        Ok(job)
    }

    /// The keys of a job's drives.
    ///
    /// # Errors
    /// When there is no such job, or a key cannot be opened.
    pub async fn keys(&self, key: &JobKey) -> Result<Vec<(String, String)>, StoreError> {
        let job = self.get(key).await?;
        let rows: Vec<(String, Vec<u8>)> =
            sqlx::query_as("SELECT drive_id, sealed FROM drive_key WHERE job_id = ? ORDER BY drive_id")
                .bind(job.id)
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter()
            .map(|(drive_id, sealed)| {
                let key = self.vault.open_sealed(&sealed, &place(&job, &drive_id))?;
                Ok((drive_id, key))
            })
            .collect()
    }

    /// Jobs whose timer is due, the longest first: at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due(&self, now: OffsetDateTime, limit: u32) -> Result<Vec<JobKey>, StoreError> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT subscription, resource_group, name FROM job WHERE due_at <= ? ORDER BY due_at LIMIT ?")
                .bind(seconds(now))
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(|(subscription, resource_group, name)| JobKey { subscription, resource_group, name }).collect())
    }

    /// What is still to be done, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn effects(&self) -> Result<Vec<StoredEffect>, StoreError> {
        let rows: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT id, job_uid, what FROM effect ORDER BY id").fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|(id, job_uid, what)| Ok(StoredEffect { id, job_uid, effect: serde_json::from_str(&what)? }))
            .collect()
    }

    async fn drop_effect(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        job_uid: &str,
        effect: &Effect,
    ) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM effect WHERE job_uid = ? AND what = ?").bind(job_uid);
        delete.bind(serde_json::to_string(effect)?).execute(&mut **transaction).await?;
        Ok(())
    }

    /// An effect was carried out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn effect_done(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM effect WHERE id = ?").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    async fn write(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        job: &mut StoredJob,
        is_new: bool,
    ) -> Result<(), StoreError> {
        let statement = match is_new {
            true => {
                "INSERT INTO job (version, kind, state, tracking_number, due_at, modified_at, location, tags, machine, details,
                 uid, subscription, resource_group, name, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
            }
            false => {
                "UPDATE job SET version = ?, kind = ?, state = ?, tracking_number = ?, due_at = ?, modified_at = ?, location = ?,
                 tags = ?, machine = ?, details = ? WHERE uid = ? RETURNING id"
            }
        };
        job.version += 1;
        let delivery = job.details.delivery_package.as_ref();
        let query = sqlx::query_scalar(statement)
            .bind(job.version)
            .bind(job.machine.kind.name())
            .bind(job.machine.state.name())
            .bind(delivery.map(|package| package.tracking_number.clone()))
            .bind(next_timer(&job.machine).map(|(at, _)| seconds(at)))
            .bind(seconds(job.modified_at))
            .bind(job.location.clone())
            .bind(job.tags.as_ref().map(serde_json::to_string).transpose()?)
            .bind(serde_json::to_string(&job.machine)?)
            .bind(serde_json::to_string(&job.details)?)
            .bind(job.uid.clone());
        let query = match is_new {
            true => query
                .bind(job.key.subscription.clone())
                .bind(job.key.resource_group.clone())
                .bind(job.key.name.clone())
                .bind(seconds(job.created_at)),
            false => query,
        };
        job.id = query.fetch_one(&mut **transaction).await?;
        Ok(())
    }

    /// Seals the keys that came with a list of drives; keys of drives that are not in it any more go.
    async fn seal_keys(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        job: &StoredJob,
        drives: &[DriveStatus],
    ) -> Result<(), StoreError> {
        let known: Vec<String> = sqlx::query_scalar("SELECT drive_id FROM drive_key WHERE job_id = ?")
            .bind(job.id)
            .fetch_all(&mut **transaction)
            .await?;
        for gone in known.iter().filter(|id| !drives.iter().any(|drive| drive.drive_id.as_ref() == Some(*id))) {
            let delete = sqlx::query("DELETE FROM drive_key WHERE job_id = ? AND drive_id = ?").bind(job.id).bind(gone);
            delete.execute(&mut **transaction).await?;
        }
        for drive in drives {
            if let (Some(id), Some(key)) = (&drive.drive_id, &drive.bit_locker_key) {
                sqlx::query("INSERT OR REPLACE INTO drive_key (job_id, drive_id, sealed) VALUES (?, ?, ?)")
                    .bind(job.id)
                    .bind(id)
                    .bind(self.vault.seal(key, &place(job, id))?)
                    .execute(&mut **transaction)
                    .await?;
            }
        }
        Ok(())
    }
}

/// What a sealed key belongs to.
fn place(job: &StoredJob, drive_id: &str) -> String {
    format!("{}/{drive_id}", job.uid)
}

fn drives_of(details: &JobDetails) -> Vec<DriveStatus> {
    details.drive_list.clone().unwrap_or_default()
}

fn without_key(drive: &DriveStatus) -> DriveStatus {
    DriveStatus { bit_locker_key: None, ..drive.clone() }
}

fn require_version(job: Option<&StoredJob>, wanted: Option<i64>) -> Result<(), StoreError> {
    match wanted {
        Some(wanted) if job.is_none_or(|job| job.version != wanted) => Err(StoreError::Changed),
        _ => Ok(()),
    }
}

pub(super) async fn read(transaction: &mut Transaction<'_, Sqlite>, key: &JobKey) -> Result<Option<StoredJob>, StoreError> {
    let statement = format!("SELECT {JOB_COLUMNS} FROM job WHERE subscription = ? AND resource_group = ? AND name = ?");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(&key.subscription).bind(&key.resource_group).bind(&key.name);
    let row = query.fetch_optional(&mut **transaction).await?;
    with_copies(transaction, row.as_ref().map(job_of).transpose()?).await
}

/// Blobs and documents of a job are named after it: two jobs of one account must not share them.
async fn require_free_name(transaction: &mut Transaction<'_, Sqlite>, key: &JobKey, body: &PutJob) -> Result<(), StoreError> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT details FROM job WHERE name = ?").bind(&key.name).fetch_all(&mut **transaction).await?;
    let account = |details: &JobDetails| {
        let id = details.storage_account_id.as_deref().unwrap_or_default();
        id.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
    };
    let own = body.properties.as_ref().map(account).unwrap_or_default();
    for (details,) in rows {
        if account(&serde_json::from_str(&details)?) == own {
            return Err(StoreError::JobNameTaken(key.name.clone()));
        }
    }
    Ok(())
}

async fn with_copies(transaction: &mut Transaction<'_, Sqlite>, job: Option<StoredJob>) -> Result<Option<StoredJob>, StoreError> {
    let Some(mut job) = job else { return Ok(None) };
    job.copies = super::copies::read(transaction, job.id).await?;
    Ok(Some(job))
}

async fn queue(transaction: &mut Transaction<'_, Sqlite>, job_uid: &str, effects: &[Effect]) -> Result<(), StoreError> {
    for effect in effects {
        sqlx::query("INSERT INTO effect (job_uid, what) VALUES (?, ?)")
            .bind(job_uid)
            .bind(serde_json::to_string(effect)?)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

fn new_job(key: &JobKey, body: &PutJob, now: OffsetDateTime) -> StoredJob {
    let details = as_written_by_customer(body, None);
    let kind = details.job_type.unwrap_or(JobKind::Import);
    let ids = drives_of(&details).into_iter().filter_map(|drive| drive.drive_id);
    let mut machine = Job::new(kind, ids, now);
    take_from(&mut machine, &details);
    StoredJob {
        id: 0,
        uid: format!("{:032x}", rand::random::<u128>()),
        key: key.clone(),
        version: 0,
        created_at: now,
        modified_at: now,
        location: body.location.clone().unwrap_or_default(),
        tags: body.tags.clone(),
        machine,
        details,
        copies: BTreeMap::new(),
    }
}

/// What decisions depend on of what the customer wrote.
fn take_from(machine: &mut Job, details: &JobDetails) {
    machine.has_return_address = details.return_address.is_some();
    machine.has_delivery_package = details.delivery_package.is_some();
    let count = details.delivery_package.as_ref().and_then(|package| package.drive_count);
    machine.expected_drives = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
}

/// The details that a PUT has, with what only the service writes as it was.
fn as_written_by_customer(body: &PutJob, before: Option<&JobDetails>) -> JobDetails {
    let nothing = JobDetails::default();
    let own = before.unwrap_or(&nothing);
    let mut details = body.properties.clone().unwrap_or_default();
    details.state = None;
    details.cancel_requested = None;
    details.provisioning_state = None;
    details.shipping_information = None;
    details.return_package = own.return_package.clone();
    details.percent_complete = own.percent_complete;
    details.incomplete_blob_list_uri = own.incomplete_blob_list_uri.clone();
    details.drive_list = details.drive_list.map(|drives| drives.iter().map(DriveStatus::of_customer).collect());
    details
}

/// A PUT of a job that exists: everything but what is written once.
fn put_again(mut job: StoredJob, body: &PutJob, now: OffsetDateTime) -> Result<StoredJob, StoreError> {
    let details = as_written_by_customer(body, Some(&job.details));
    let before = (&job.details.storage_account_id, &job.details.job_type);
    if before.0 != &details.storage_account_id {
        return Err(StoreError::WrittenOnce("properties.storageAccountId"));
    }
    if before.1 != &details.job_type {
        return Err(StoreError::WrittenOnce("properties.jobType"));
    }
    let mut fields = Field::ALL.to_vec();
    fields.retain(|field| match field {
        Field::ReturnAddress => details.return_address.is_some(),
        Field::DeliveryPackage => details.delivery_package.is_some(),
        _ => true,
    });
    job.machine = decide(&job.machine, Event::Change(fields), now)?.job;
    let ids = drives_of(&details).into_iter().filter_map(|drive| drive.drive_id);
    job.machine.drives = Job::new(job.machine.kind, ids, now).drives;
    take_from(&mut job.machine, &details);
    job.details = details;
    job.location = body.location.clone().unwrap_or(job.location);
    job.tags = body.tags.clone().or(job.tags.take()).map(BTreeMap::from_iter);
    job.modified_at = now;
    Ok(job)
}
