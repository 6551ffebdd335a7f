//! Deleting a job that is Creating or over.

use protocol::job::Event;

use super::error::JobError;
use super::service::Jobs;
use crate::store::{Actor, JobKey, Precondition};

impl Jobs {
    /// Removes a job: when this returns, nothing of it is in the database.
    ///
    /// # Errors
    /// When the job's state does not allow it.
    pub(crate) async fn delete(&self, actor: &Actor, key: &JobKey, precondition: Precondition) -> Result<(), JobError> {
        let change = self.change(actor, "deleted a job").when(precondition);
        self.store.change(key, &change, |_| Ok(vec![Event::Delete])).await?;
        // It is removed, whatever follows: where this fails, carrying out the effect does it.
        if let Err(error) = self.store.empty_of_removed().await {
            tracing::warn!(%error, "unused parts of the database may hold something of a removed job for a while");
        }
        self.scheduler.wake();
        Ok(())
    }
}
