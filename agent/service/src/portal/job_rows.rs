//! A job as a row of a list.

use protocol::job::{CopyState, JobKind, JobState};

use super::links::job_link;
use super::time_text::time_text;
use crate::state::ServiceState;
use crate::store::StoredJob;

/// A row of the list of jobs.
pub(super) struct JobRow {
    pub(super) link: String,
    pub(super) name: String,
    pub(super) kind: JobKind,
    pub(super) state: JobState,
    /// What is unusual about it: `held`, `paused`, `cancelled`.
    pub(super) marks: Vec<&'static str>,
    /// Why it waits for a person, in lists of what waits.
    pub(super) why: Vec<String>,
    pub(super) percent: String,
    pub(super) created: String,
    pub(super) changed: String,
    pub(super) subscription: String,
    pub(super) group: String,
}

/// The row of a job.
pub(super) fn row(state: &ServiceState, job: &StoredJob) -> JobRow {
    JobRow {
        link: job_link(&job.key),
        name: job.key.name.clone(),
        kind: job.machine.kind,
        state: job.machine.state,
        marks: marks(job),
        why: Vec::new(),
        percent: state.jobs.percent_of(job).map_or_else(String::new, |percent| format!("{percent}%")),
        created: time_text(job.created_at),
        changed: time_text(job.modified_at),
        subscription: job.key.subscription.clone(),
        group: job.key.resource_group.clone(),
    }
}

fn marks(job: &StoredJob) -> Vec<&'static str> {
    let hand = job.in_hand();
    let has = |wanted: fn(&CopyState) -> bool| job.machine.drives.iter().any(|drive| wanted(hand.copy_state(&drive.id)));
    let marks = [
        (has(|copy| matches!(copy, CopyState::Held(_))), "held"),
        (has(|copy| *copy == CopyState::Paused), "paused"),
        (job.machine.cancel_requested, "cancelled"),
    ];
    marks.into_iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| mark).collect()
}
