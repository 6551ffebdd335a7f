//! Cancelling a job. The request is recorded here; what runs is stopped by the next round of the scheduler.

use protocol::arm::{UpdateJob, UpdateProperties};

use super::error::JobError;
use super::service::Jobs;
use crate::store::{Actor, JobKey, Precondition, StoredJob};

impl Jobs {
    /// Records that a job is to be cancelled. It is never taken back.
    ///
    /// # Errors
    /// When the job's state does not allow it.
    pub(crate) async fn cancel(&self, actor: &Actor, key: &JobKey) -> Result<StoredJob, JobError> {
        let properties = UpdateProperties { cancel_requested: Some(true), ..UpdateProperties::default() };
        self.update(actor, key, UpdateJob { tags: None, properties: Some(properties) }, Precondition::default()).await
    }
}
