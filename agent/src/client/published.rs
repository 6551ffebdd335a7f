//! The published API of a job service: jobs, by the wire types that the service answers with.

use protocol::arm::{DriveKey, JobResponse, LocationResponse, ReceiptsDocument, UpdateJob};
use protocol::operator::List;
use reqwest::{Method, Url};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::ClientError;
use super::job_path::{JobPath, PROVIDER};
use super::service::{JobService, body_of};

/// The version of the published API that we speak.
pub(super) const API_VERSION: &str = "2021-01-01";

impl JobService {
    /// A job as it stands.
    pub(crate) async fn job(&self, job: &JobPath) -> Result<JobResponse, ClientError> {
        self.of_job(Method::GET, job, &[], None).await
    }

    /// Creates a job, or changes one that is Creating. The body is a `PutJob`, and may have the keys of drives.
    pub(crate) async fn put_job(&self, job: &JobPath, body: &impl Serialize) -> Result<JobResponse, ClientError> {
        self.of_job(Method::PUT, job, &[], Some(body_of(body)?)).await
    }

    /// Changes, ships or cancels a job.
    pub(crate) async fn update_job(&self, job: &JobPath, update: &UpdateJob) -> Result<JobResponse, ClientError> {
        self.of_job(Method::PATCH, job, &[], Some(body_of(update)?)).await
    }

    /// Deletes a job.
    pub(crate) async fn delete_job(&self, job: &JobPath) -> Result<(), ClientError> {
        let _: IgnoredAny = self.of_job(Method::DELETE, job, &[], None).await?;
        Ok(())
    }

    /// What moved of every drive of a job.
    pub(crate) async fn receipts(&self, job: &JobPath) -> Result<ReceiptsDocument, ClientError> {
        self.of_job(Method::GET, job, &["receipts"], None).await
    }

    /// The keys of a job's drives.
    pub(crate) async fn keys(&self, job: &JobPath) -> Result<Vec<DriveKey>, ClientError> {
        let List { value } = self.of_job(Method::POST, job, &["listBitLockerKeys"], None).await?;
        Ok(value)
    }

    /// The jobs of a subscription that a filter is true of.
    pub(crate) async fn jobs(&self, subscription: &str, filter: Option<&str>) -> Result<Vec<JobResponse>, ClientError> {
        let segments = ["subscriptions", subscription, "providers", PROVIDER, "jobs"];
        self.list(self.published_url(&segments, filter.map(|filter| ("$filter", filter)))?, usize::MAX).await
    }

    /// The datacenters.
    pub(crate) async fn locations(&self) -> Result<Vec<LocationResponse>, ClientError> {
        let url = self.published_url(&["providers", PROVIDER, "locations"], None)?;
        let List { value } = self.ask(Method::GET, url, None).await?;
        Ok(value)
    }

    async fn of_job<T: DeserializeOwned>(
        &self,
        method: Method,
        job: &JobPath,
        below: &[&str],
        body: Option<String>,
    ) -> Result<T, ClientError> {
        let answer = self.ask(method, self.published_url(&job.segments(below), None)?, body).await;
        answer.map_err(|error| error.about(job))
    }

    fn published_url(&self, segments: &[&str], parameter: Option<(&str, &str)>) -> Result<Url, ClientError> {
        let version = ("api-version", API_VERSION);
        self.url(segments, &[Some(version), parameter].into_iter().flatten().collect::<Vec<_>>())
    }
}
