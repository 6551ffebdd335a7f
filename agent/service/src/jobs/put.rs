//! Putting a job: through the API, which may also replace one, and through the portal's form, which only creates.

use protocol::arm::{FieldProblem, PutJob, is_job_name, is_resource_group_name, validate_put};
use protocol::text::is_word;

use super::error::JobError;
use super::service::Jobs;
use crate::store::{Actor, JobKey, Precondition, Put, StoreError, StoredJob};

const ACTION: &str = "created a job";

const GROUP_RULE: &str = "1 to 90 letters, digits, and `-_.()`, the last no dot";

/// Refuses names that a job cannot have: its own, and those of its group and subscription.
pub(crate) fn require_names(key: &JobKey) -> Result<(), JobError> {
    let problem = |target: &str, message: &str| {
        JobError::Fields(vec![FieldProblem { target: target.to_owned(), message: message.to_owned() }])
    };
    match key {
        _ if !is_job_name(&key.name) => Err(JobError::InvalidName(key.name.clone())),
        _ if !is_resource_group_name(&key.resource_group) => Err(problem("resourceGroupName", GROUP_RULE)),
        _ if !is_word(&key.subscription) => {
            Err(problem("subscriptionId", "1 to 128 letters, digits and signs, and no part of a path"))
        }
        _ => Ok(()),
    }
}

/// The storage account that a body names.
fn account_id(body: &PutJob) -> &str {
    body.properties.as_ref().and_then(|details| details.storage_account_id.as_deref()).unwrap_or_default()
}

fn account_name(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}

impl Jobs {
    /// Creates a job, or replaces one that is Creating.
    ///
    /// # Errors
    /// When the body is wrong, names places that are not there, or the job may not be replaced.
    pub(crate) async fn put(
        &self,
        actor: &Actor,
        key: &JobKey,
        body: &PutJob,
        precondition: Precondition,
    ) -> Result<Put, JobError> {
        require_names(key)?;
        let problems = validate_put(body);
        if !problems.is_empty() {
            return Err(JobError::Fields(problems));
        }
        self.require_places(actor, key, body)?;
        let put = self.store.put(key, body, &self.change(actor, ACTION).when(precondition)).await?;
        self.scheduler.wake();
        Ok(put)
    }

    /// Creates a job that must be new. Everything that is wrong with it is told at once, field by field.
    ///
    /// # Errors
    /// When a field is wrong, or another job has the name.
    pub(crate) async fn create(&self, actor: &Actor, key: &JobKey, body: &PutJob) -> Result<StoredJob, JobError> {
        self.require_right_fields(actor, key, body)?;
        let job = self.store.create(key, body, &self.change(actor, ACTION)).await?;
        self.scheduler.wake();
        Ok(job)
    }

    /// Whether [`Jobs::create`] would create the job now.
    ///
    /// # Errors
    /// As those of `create`.
    pub(crate) async fn check_new(&self, actor: &Actor, key: &JobKey, body: &PutJob) -> Result<(), JobError> {
        self.require_right_fields(actor, key, body)?;
        let is_there = match self.store.get(key).await {
            Ok(_) => true,
            Err(StoreError::NotFound(_)) => self.store.has_job_of_name(&key.name, account_name(account_id(body))).await?,
            Err(error) => return Err(error.into()),
        };
        match is_there {
            true => Err(StoreError::JobNameTaken(key.name.clone()).into()),
            false => Ok(()),
        }
    }

    fn require_right_fields(&self, actor: &Actor, key: &JobKey, body: &PutJob) -> Result<(), JobError> {
        let mut problems = validate_put(body);
        problems.extend(self.problems_of_key(actor, key, body));
        match problems.is_empty() {
            true => Ok(()),
            false => Err(JobError::Fields(problems)),
        }
    }

    /// The location and the account must be ones of this station.
    fn require_places(&self, actor: &Actor, key: &JobKey, body: &PutJob) -> Result<(), JobError> {
        let location = body.location.as_deref().unwrap_or_default();
        if self.location(location).is_none() {
            let known = self.locations.iter().map(|location| location.name.clone()).collect();
            return Err(JobError::UnknownLocation { name: location.to_owned(), known });
        }
        let id = account_id(body);
        // An account whose id names a subscription is only for actors who may use that subscription.
        let named = id.strip_prefix("/subscriptions/").and_then(|rest| rest.split('/').next()).unwrap_or(&key.subscription);
        if !actor.may_use(named) || !self.reaches(account_name(id), &key.subscription) {
            return Err(JobError::UnreachableAccount(account_name(id).to_owned()));
        }
        Ok(())
    }

    fn reaches(&self, account: &str, subscription: &str) -> bool {
        self.accounts.iter().any(|known| known.may_be_used(account, subscription))
    }

    /// What is wrong with where a new job is put, beside the fields of a form.
    fn problems_of_key(&self, actor: &Actor, key: &JobKey, body: &PutJob) -> Vec<FieldProblem> {
        let location = body.location.as_deref().unwrap_or_default();
        let checks = [
            (is_job_name(&key.name), "jobName", "it has 2 to 64 letters, digits, hyphens and underscores"),
            (is_word(&key.subscription) && actor.may_use(&key.subscription), "subscription", "it is not yours"),
            (is_resource_group_name(&key.resource_group), "resourceGroup", GROUP_RULE),
            (
                self.reaches(account_name(account_id(body)), &key.subscription),
                "storageAccountId",
                "this station cannot reach it for this subscription",
            ),
            (self.location(location).is_some(), "location", "there is no such location"),
        ];
        let wrong = checks.into_iter().filter(|(is_right, ..)| !is_right);
        wrong.map(|(_, target, message)| FieldProblem { target: target.to_owned(), message: message.to_owned() }).collect()
    }
}
