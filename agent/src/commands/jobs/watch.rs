//! How a job stands, whenever that changes.

use std::time::Duration;

use futures::StreamExt;
use protocol::arm::JobResponse;
use protocol::job::JobState;
use serde_json::json;

use super::Jobs;
use super::text::watch_text;
use crate::client::{ClientError, JobPath};
use crate::signals;

/// The pause before a service that hung up is asked again.
const RECONNECT: Duration = Duration::from_secs(1);

impl Jobs<'_> {
    /// Says how a job stands whenever that changes, until it ends; a service that restarts is waited for.
    pub(super) async fn watch(&self, name: &str) -> Result<(), ClientError> {
        let job = self.path_of(name);
        let watching = async {
            let mut has_seen = false;
            loop {
                match self.watch_once(name, &job, &mut has_seen).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(ClientError::Failed(_)) if has_seen => {}
                    Err(error) => return Err(error.about(&job)),
                }
                tokio::time::sleep(RECONNECT).await;
            }
        };
        tokio::select! {
            ended = watching => ended,
            () = signals::first() => Ok(()),
            () = self.printer.reader_gone() => Ok(()),
        }
    }

    /// True where the job has ended; false where the service hung up.
    async fn watch_once(&self, name: &str, job: &JobPath, has_seen: &mut bool) -> Result<bool, ClientError> {
        let events = self.service.events(&job.segments(&["events"])).await?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let (event, data) = event?;
            *has_seen = true;
            if event == "gone" {
                self.printer.line(&json!({ "gone": name }), || format!("the job `{name}` is gone\n"));
                return Ok(true);
            }
            let job: JobResponse = serde_json::from_str(&data)
                .map_err(|error| ClientError::Failed(format!("an event is not understood: {error}")))?;
            self.printer.line(&job, || watch_text(&job));
            if job.properties.state.is_some_and(JobState::is_final) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
