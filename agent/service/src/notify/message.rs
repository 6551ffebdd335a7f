//! What is told of a job.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use protocol::job::{JobKind, JobState, Notice};
use serde::Serialize;
use time::OffsetDateTime;

use crate::store::StoredJob;

/// A message about a job, as a webhook gets it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message {
    /// The same for each attempt to send it.
    pub(super) id: String,
    /// `jobStateChanged`
    event: &'static str,
    /// The state that the job came to.
    pub(super) state: JobState,
    /// When it came there.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    job: MessageJob,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageJob {
    /// Its path in the REST API.
    id: String,
    name: String,
    subscription: String,
    resource_group: String,
    r#type: JobKind,
    /// Its state when this was sent, which may be a later one.
    state: JobState,
    cancel_requested: bool,
    /// Its page, where the service has a name that others know.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

impl Message {
    pub(super) fn new(job: &StoredJob, notice: &Notice, effect_id: i64, public_url: Option<&str>) -> Self {
        let key = &job.key;
        let part = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let path = [&key.subscription, &key.resource_group, &key.name].map(|text| part(text).to_string()).join("/");
        let link = public_url.map(|url| format!("{url}/portal/job/{path}"));
        Message {
            id: format!("{}-{effect_id}", job.uid),
            event: "jobStateChanged",
            state: notice.state,
            at: notice.at,
            job: MessageJob {
                id: key.path(),
                name: key.name.clone(),
                subscription: key.subscription.clone(),
                resource_group: key.resource_group.clone(),
                r#type: job.machine.kind,
                state: job.machine.state,
                cancel_requested: job.machine.cancel_requested,
                link,
            },
        }
    }

    /// The subject of a mail.
    pub(super) fn subject(&self) -> String {
        format!("{}: {}", self.job.name, self.state)
    }

    /// A mail.
    pub(super) fn text(&self) -> String {
        let MessageJob { name, subscription, resource_group, r#type, cancel_requested, link, .. } = &self.job;
        let what = match self.state {
            JobState::Creating => "It is being put together.",
            JobState::Shipping => "Its drives are on their way to the datacenter.",
            JobState::Received => "Its drives have come to the datacenter, and wait to be copied.",
            JobState::Transferring => "Its drives are being copied.",
            JobState::Packaging if *cancel_requested => "It was cancelled. What was moved until then is in its receipts.",
            JobState::Packaging => "Its drives were copied, and are packed to be sent back.",
            JobState::Completed => "Its drives are on their way back. Its receipts say what was moved.",
            JobState::Closed => "It is over, and not all of it was copied. Its receipts say what was moved.",
        };
        let link = link.as_ref().map_or(String::new(), |link| format!("\n{link}\n"));
        format!("{type} {name} ({subscription}/{resource_group}) is now {}.\n{what}\n{link}", self.state, type = r#type)
    }
}
