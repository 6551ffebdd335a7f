//! The blobs of an export, looked up before its drives travel.

use protocol::arm::FieldProblem;
use protocol::job::{JobKind, JobState};

use super::error::JobError;
use super::service::Jobs;
use crate::scheduler::account_of;
use crate::scheduler::worker::{SelectedBlob, with_timeout};
use crate::store::{Actor, JobKey};

/// Most missing blobs that are named.
const NAMED_MAX: usize = 10;

impl Jobs {
    /// How many blobs an export that is about to be shipped asks for, and the version of the job that says so; `None` for
    /// other jobs.
    ///
    /// # Errors
    /// When a blob that it names is not there, or there are none.
    pub(super) async fn blobs_to_ship(&self, actor: &Actor, key: &JobKey) -> Result<Option<(i64, usize)>, JobError> {
        let job = self.store.get(key).await?;
        if job.machine.kind != JobKind::Export || job.machine.state != JobState::Creating {
            return Ok(None);
        }
        let export = job.details.export.clone().unwrap_or_default();
        let selected = with_timeout(self.scheduler.worker().select(account_of(&job.details), &export)).await;
        let selected = selected.map_err(|error| JobError::of_work(error, actor))?;
        let name = |one: &SelectedBlob| format!("`/{}/{}`", one.blob.container, one.blob.name);
        let missing: Vec<String> = selected.iter().filter(|one| one.size_bytes.is_none()).map(name).collect();
        let message = match (missing.is_empty(), selected.is_empty()) {
            (true, false) => return Ok(Some((job.version, selected.len()))),
            (true, true) => "no blob of the storage account is what the job asks for".to_owned(),
            (false, _) => {
                let more = missing.len().saturating_sub(NAMED_MAX);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("the storage account does not have {}{more}", missing[..missing.len().min(NAMED_MAX)].join(", "))
            }
        };
        let message = format!("{message}: put the blobs there, or change what is asked for, and ship the job then");
        Err(JobError::Fields(vec![FieldProblem { target: "properties.export".to_owned(), message }]))
    }
}
