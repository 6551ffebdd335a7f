//! What time does to a job, as functions of the job alone.

use time::{Duration, OffsetDateTime};

use super::state::{Job, JobState};

/// A job in Creating is deleted after so long without a change.
pub const CREATING_KEPT: Duration = Duration::days(14);

/// A drive that has not come so long after the shipping is NeverReceived.
pub const NEVER_RECEIVED_AFTER: Duration = Duration::days(14);

/// A job in Shipping of which nothing was heard for so long is closed.
pub const SILENT_SHIPPING_CLOSED_AFTER: Duration = Duration::days(30);

/// A finished job is removed after so long.
pub const FINISHED_KEPT: Duration = Duration::days(90);

/// What is due at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The job is removed: it was never shipped.
    RemoveUnshipped,
    /// Drives that have not come are NeverReceived.
    DrivesMissing,
    /// It was not reported where the drives are.
    ShippingSilent,
    /// The job is removed: it has been over for long enough.
    RemoveFinished,
}

/// What is due next, and when. A job in no such state waits for people, not for time.
pub fn next_timer(job: &Job) -> Option<(OffsetDateTime, Timer)> {
    let after = |since: OffsetDateTime, span: Duration| since.checked_add(span);
    match job.state {
        JobState::Creating => Some((after(job.changed_at, CREATING_KEPT)?, Timer::RemoveUnshipped)),
        JobState::Shipping => {
            let missing = (after(job.entered_at, NEVER_RECEIVED_AFTER)?, Timer::DrivesMissing);
            let silent = (after(job.heard_of_at, SILENT_SHIPPING_CLOSED_AFTER)?, Timer::ShippingSilent);
            match job.misses_drives() && missing.0 <= silent.0 {
                true => Some(missing),
                false => Some(silent),
            }
        }
        JobState::Completed | JobState::Closed => Some((after(job.entered_at, FINISHED_KEPT)?, Timer::RemoveFinished)),
        JobState::Received | JobState::Transferring | JobState::Packaging => None,
    }
}
