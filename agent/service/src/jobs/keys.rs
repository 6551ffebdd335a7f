//! Reading the BitLocker keys of a job.

use super::error::JobError;
use super::service::Jobs;
use crate::store::{Actor, JobKey, Precondition};

impl Jobs {
    /// The drives of a job with their keys. The audit log says who read them.
    ///
    /// # Errors
    /// When there is no such job, or a key cannot be opened.
    pub(crate) async fn keys(
        &self,
        actor: &Actor,
        key: &JobKey,
        precondition: Precondition,
    ) -> Result<Vec<(String, String)>, JobError> {
        let keys = self.store.keys(key).await?;
        let change = self.change(actor, "read the keys of a job").when(precondition);
        self.store.change(key, &change, |_| Ok(Vec::new())).await?;
        Ok(keys)
    }
}
