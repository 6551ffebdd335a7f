//! Putting a job: a new one, or one that is still Creating.

use std::collections::BTreeMap;

use protocol::arm::{DeliveryPackage, DriveStatus, JobDetails, PutJob};
use protocol::job::{Event, Field, Job, JobKind, JobState, Refusal, decide};
use sqlx::AnyConnection;
use time::OffsetDateTime;

use super::answered::Answered;
use super::audit::{AuditedJob, write_audit};
use super::change::Change;
use super::database::Store;
use super::drive_keys::{drives_of, without_key};
use super::effects::queue;
use super::error::StoreError;
use super::notices::notices;
use super::read::read_to_change;
use super::retry::retried;
use super::row::{JobKey, StoredJob, folded};
use super::seal::JobSeal;
use super::search::{self, Found};
use super::transaction::Transaction;
use super::{copies, write};

/// What a PUT did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Put {
    /// The job.
    pub(crate) job: StoredJob,
    /// Whether it is new.
    pub(crate) is_new: bool,
}

/// Which jobs a PUT replaces.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replace {
    Never,
    WhileCreating,
}

/// What the audit log says where a job that is put was there already.
const CHANGED: &str = "changed a job";

impl Store {
    /// Creates a job, or changes one that is still being put together. The body was validated.
    ///
    /// # Errors
    /// When the job exists and may not be changed in this way.
    pub(crate) async fn put(&self, key: &JobKey, body: &PutJob, change: &Change<'_>) -> Result<Put, StoreError> {
        retried!(self.put_once(key, body, change, Replace::WhileCreating))
    }

    async fn put_once(&self, key: &JobKey, body: &PutJob, change: &Change<'_>, replace: Replace) -> Result<Put, StoreError> {
        let mut transaction = self.begin().await?;
        let existing = read_to_change(&mut transaction, key).await?;
        change.precondition.require(existing.as_ref())?;
        let is_new = existing.is_none();
        if replace == Replace::Never && !is_new {
            return Err(StoreError::JobNameTaken(key.name.clone()));
        }
        if is_new {
            self.count_new(&mut transaction, key).await?;
            require_free_name(&mut transaction, key, body).await?;
        }
        let mut job = match existing {
            Some(job) => put_again(job, body, change.now)?,
            None => {
                let uid = format!("{:032x}", rand::random::<u128>());
                let seal = self.new_seal(&uid)?;
                new_job(uid, seal, key, body, change.now)
            }
        };
        let drives = job.details.drive_list.take().unwrap_or_default();
        job.details.drive_list = Some(drives.iter().map(without_key).collect());
        if is_new {
            write::insert(&mut transaction, &mut job).await?;
        } else {
            write::update(&mut transaction, &mut job).await?;
        }
        copies::write(&mut transaction, &job, None).await?;
        search::write(&mut transaction, &job, None).await?;
        self.seal_keys(&mut transaction, &job, &drives).await?;
        let entered = is_new.then_some(job.machine.state);
        let about = AuditedJob { uid: &job.uid, entered, detail: None };
        let action = if is_new { change.action } else { CHANGED };
        write_audit(&mut transaction, change.now, change.actor, action, Some(about)).await?;
        queue(&mut transaction, &job, &notices(&self.notices, &job.key, entered, change.now)).await?;
        transaction.commit().await?;
        Ok(Put { job, is_new })
    }

    /// Counts a new job. One customer's jobs do not make everything slow for the others.
    async fn count_new(&self, transaction: &mut Transaction, key: &JobKey) -> Result<(), StoreError> {
        let count = "INSERT INTO subscription_count (subscription_key, count) VALUES ($1, 1)
                     ON CONFLICT (subscription_key) DO UPDATE SET count = subscription_count.count + 1 RETURNING count";
        let count: i64 =
            sqlx::query_scalar(count).bind(folded(&key.subscription)).fetch_one(&mut **transaction).answered().await?;
        match count > i64::from(self.jobs_max) {
            true => Err(StoreError::TooManyJobs { subscription: key.subscription.clone(), jobs_max: self.jobs_max }),
            false => Ok(()),
        }
    }

    /// Creates a job that must be new. The body was validated.
    ///
    /// # Errors
    /// [`StoreError::JobNameTaken`] where it exists.
    pub(crate) async fn create(&self, key: &JobKey, body: &PutJob, change: &Change<'_>) -> Result<StoredJob, StoreError> {
        let put: Result<Put, StoreError> = retried!(self.put_once(key, body, change, Replace::Never));
        Ok(put?.job)
    }
}

impl Store {
    /// Whether there is a job of this name in an account.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn has_job_of_name(&self, name: &str, account: &str) -> Result<bool, StoreError> {
        let account = self.search_key(Found::Account, account);
        Ok(path_of_name(&mut *self.pool.acquire().await?, name, &account).await?.is_some())
    }
}

/// Blobs and documents of a job are named after it: two jobs of one account must not share them.
async fn require_free_name(transaction: &mut Transaction, key: &JobKey, body: &PutJob) -> Result<(), StoreError> {
    let own = body.properties.as_ref().map(JobDetails::account_name).unwrap_or_default();
    let own = transaction.store().search_key(Found::Account, own);
    match path_of_name(transaction, &key.name, &own).await? {
        None => Ok(()),
        // It was created since it was looked for.
        Some(path) if path == (folded(&key.subscription), folded(&key.resource_group)) => Err(StoreError::Contended),
        Some(_) => Err(StoreError::JobNameTaken(key.name.clone())),
    }
}

/// The subscription and the resource group, in lower case, of the job of this name in the account that is found by `account_key`.
async fn path_of_name(
    connection: &mut AnyConnection,
    name: &str,
    account_key: &str,
) -> Result<Option<(String, String)>, StoreError> {
    let path = "SELECT subscription_key, resource_group_key FROM job WHERE name_key = $1 AND account_key = $2 LIMIT 1";
    Ok(sqlx::query_as(path).bind(folded(name)).bind(account_key).fetch_optional(connection).answered().await?)
}

fn new_job(uid: String, seal: JobSeal, key: &JobKey, body: &PutJob, now: OffsetDateTime) -> StoredJob {
    let details = as_written_by_customer(body, None);
    let kind = details.job_type.unwrap_or(JobKind::Import);
    let ids = drives_of(&details).into_iter().filter_map(|drive| drive.drive_id);
    let mut machine = Job::new(kind, ids, now);
    set_conditions(&mut machine, &details);
    StoredJob {
        id: 0,
        uid,
        key: key.clone(),
        version: 0,
        created_at: now,
        modified_at: now,
        location: body.location.clone().unwrap_or_default(),
        tags: body.tags.clone(),
        machine,
        details,
        copies: BTreeMap::new(),
        audit_detail: None,
        grant_step: None,
        seal,
    }
}

/// Copies what decisions depend on from what the customer wrote.
fn set_conditions(machine: &mut Job, details: &JobDetails) {
    machine.has_return_address = details.return_address.is_some();
    machine.has_delivery_package = details.delivery_package.is_some();
    machine.expected_drives = details.delivery_package.as_ref().and_then(DeliveryPackage::announced_drives).unwrap_or(1);
}

/// The details of a PUT; fields that only the service writes keep their values.
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

/// A PUT of a job that exists: it replaces everything but what is written once.
fn put_again(mut job: StoredJob, body: &PutJob, now: OffsetDateTime) -> Result<StoredJob, StoreError> {
    let details = as_written_by_customer(body, Some(&job.details));
    let before = (&job.details.storage_account_id, &job.details.job_type);
    if before.0 != &details.storage_account_id {
        return Err(StoreError::WrittenOnce("properties.storageAccountId"));
    }
    if before.1 != &details.job_type {
        return Err(StoreError::WrittenOnce("properties.jobType"));
    }
    if job.machine.state != JobState::Creating {
        return Err(Refusal::NotInThisState { action: "put again", state: job.machine.state }.into());
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
    set_conditions(&mut job.machine, &details);
    job.details = details;
    job.location = body.location.clone().unwrap_or(job.location);
    job.tags = body.tags.clone().or(job.tags.take()).map(BTreeMap::from_iter);
    job.modified_at = now;
    Ok(job)
}
