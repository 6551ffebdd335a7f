//! What stations keep of jobs that were removed.

use std::sync::Arc;
use std::time::Duration;

use protocol::station::Task;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fleet::Fleet;
use super::worker::ANSWER_TIMEOUT;
use crate::scheduler::worker::WorkError;

/// Time between two looks for removed jobs that stations keep.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

impl Fleet {
    /// Has stations forget jobs that were removed while they had no token, until `closing`.
    pub async fn forget_removed(self: Arc<Self>, closing: CancellationToken) {
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(FORGET_INTERVAL) => {}
            }
            self.forget_removed_once()
                .await
                .unwrap_or_else(|error| tracing::warn!(%error, "a station still keeps a removed job"));
        }
    }

    pub(super) async fn forget_removed_once(&self) -> Result<(), WorkError> {
        let removed = self.store.removed_at_stations().await.map_err(|error| WorkError::Failed(error.to_string()))?;
        let mut forgotten = Ok(());
        for (station, job_uid) in removed {
            let is_here = self.stations.with_known(&station, |station| station.is_away(Instant::now(), &self.times).is_none());
            if is_here == Some(true)
                && let Err(error) = self.forget_at(&station, &job_uid, None).await
            {
                forgotten = Err(error);
            }
        }
        forgotten
    }

    /// Has a station remove what it keeps of a job, or of one of its drives.
    pub(super) async fn forget_at(&self, station: &str, job_uid: &str, drive_id: Option<&str>) -> Result<(), WorkError> {
        let task = Task::Forget { job_uid: job_uid.to_owned(), drive_id: drive_id.map(str::to_owned) };
        self.ask(station, task, ANSWER_TIMEOUT).await?;
        if drive_id.is_none() {
            self.store.forgot(job_uid, station).await.map_err(|error| WorkError::Failed(error.to_string()))?;
        }
        Ok(())
    }
}
