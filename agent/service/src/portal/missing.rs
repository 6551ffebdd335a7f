//! Pages that ask before a drive is said not to come: what is lost by that.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use protocol::job::{DriveState, Event, Job, JobKind, JobState, decide};

use super::confirm::AskPage;
use super::extract::{OperatorsDrive, OperatorsJob, ViewedDrive, ViewedJob};
use super::page::{PageError, render};
use crate::state::ServiceState;
use crate::store::StoredJob;

/// Asks before a drive of an import is said not to come.
pub(super) async fn drive(
    State(state): State<Arc<ServiceState>>,
    OperatorsDrive(ViewedDrive { viewer, job, id }): OperatorsDrive,
) -> Result<Response, PageError> {
    let after = after(&state, &job, Some(id.clone()))?;
    let lost = match job.machine.cancel_requested {
        true => "The job was cancelled: nothing of this drive would be imported.",
        false => "Nothing of this drive is imported, and the job ends Closed unless it comes after all.",
    };
    let mut ask = AskPage::new(viewer, format!("Did {id} never come?"), &job, "neverReceived", "It never came");
    ask.sentences = vec![lost, what_follows(&after), way_back(&after)];
    ask.list = others(&after, &id);
    ask.fields = vec![("driveId", id)];
    Ok(render(&ask))
}

/// Asks before no more drives are waited for by an export.
pub(super) async fn any_drive(
    State(state): State<Arc<ServiceState>>,
    OperatorsJob(ViewedJob { viewer, job }): OperatorsJob,
) -> Result<Response, PageError> {
    if job.machine.kind == JobKind::Import {
        return Err(PageError::not_found("an import says which of its drives did not come".to_owned()));
    }
    let after = after(&state, &job, None)?;
    let lost = match job.machine.cancel_requested {
        true => "The job was cancelled: nothing more would be exported.",
        false => "What no drive has taken is not exported. It is listed in a blob of the customer's account.",
    };
    let mut ask = AskPage::new(viewer, "Do no more drives come?".to_owned(), &job, "neverReceived", "No more drives come");
    ask.sentences = vec![lost, what_follows(&after), way_back(&after)];
    ask.list = blobs(&job);
    Ok(render(&ask))
}

/// The job as it is then.
fn after(state: &ServiceState, job: &StoredJob, drive_id: Option<String>) -> Result<Job, PageError> {
    let decided = decide(&job.machine, Event::NeverReceived(drive_id), state.scheduler.now());
    Ok(decided.map_err(crate::store::StoreError::from)?.job)
}

fn what_follows(after: &Job) -> &'static str {
    match after.state {
        JobState::Shipping if after.awaits_drives() => "The job keeps waiting for its other drives.",
        JobState::Shipping => "No drive of the job is here: it stays in Shipping, and is closed after 30 days without news.",
        JobState::Received | JobState::Transferring => "The job does not wait any longer: the drives that are here are copied.",
        JobState::Packaging => "The job does not wait any longer: the drives that are here are sent back.",
        JobState::Creating | JobState::Completed | JobState::Closed => "The job ends now.",
    }
}

fn way_back(after: &Job) -> &'static str {
    match after.state {
        JobState::Shipping => {
            "It can be taken back for 14 days after the job was shipped, and a drive that comes after all can be checked in."
        }
        JobState::Received | JobState::Transferring => {
            "It cannot be taken back then. A drive that comes after all can be checked in until the others are done."
        }
        _ => "It cannot be taken back then: a drive that comes after all is sent back as it is.",
    }
}

/// The other drives of an import, and where they stand.
fn others(after: &Job, id: &str) -> Vec<String> {
    let others = after.drives.iter().filter(|drive| drive.id != id);
    let line = |state: DriveState| match state {
        DriveState::Specified => "has not come yet",
        DriveState::NeverReceived => "never came",
        DriveState::Received | DriveState::Transferring => "is here",
        DriveState::Completed | DriveState::CompletedMoreInfo => "is done",
        DriveState::ShippedBack => "was sent back",
    };
    others.map(|drive| format!("{} {}", drive.id, line(drive.state))).collect()
}

/// How many blobs of an export have a drive, and which do.
fn blobs(job: &StoredJob) -> Vec<String> {
    let taken = job.copies.values().filter_map(|record| record.blob.as_ref());
    let taken: Vec<String> = taken.map(|blob| format!("{}/{} has a drive", blob.container, blob.name)).collect();
    let of = job.machine.blobs.map_or_else(String::new, |blobs| format!(" of {blobs}"));
    [format!("{}{of} blobs have a drive", taken.len())].into_iter().chain(taken).collect()
}
