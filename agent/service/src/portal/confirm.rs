//! Pages that ask before something that cannot easily be taken back.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use protocol::job::{CopyRecord, JobDrive, JobKind};
use protocol::units::ByteSize;

use super::extract::{OperatorsDrive, ViewedDrive, ViewedJob};
use super::links::job_link;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::state::ServiceState;
use crate::store::StoredJob;

/// A page that asks before something that is never taken back.
#[derive(Template)]
#[template(path = "ask.html")]
pub(super) struct AskPage {
    title: String,
    viewer: Option<Viewer>,
    pub(super) sentences: Vec<&'static str>,
    pub(super) list: Vec<String>,
    pub(super) fields: Vec<(&'static str, String)>,
    target: String,
    button: &'static str,
    back: String,
    csrf: String,
}

impl AskPage {
    /// The page that asks before an action on a job.
    pub(super) fn new(viewer: Viewer, title: String, job: &StoredJob, action: &str, button: &'static str) -> Self {
        let back = job_link(&job.key);
        Self::of(viewer, title, format!("{back}/do/{action}"), button, back)
    }

    /// The page that asks before what is sent to `target`.
    pub(super) fn of(viewer: Viewer, title: String, target: String, button: &'static str, back: String) -> Self {
        let (sentences, list, fields) = (Vec::new(), Vec::new(), Vec::new());
        let csrf = viewer.csrf.clone();
        AskPage { title, csrf, viewer: Some(viewer), sentences, list, fields, target, button, back }
    }
}

pub(super) async fn cancel(State(state): State<Arc<ServiceState>>, viewed: ViewedJob) -> Response {
    let ViewedJob { viewer, job } = viewed;
    let line = |drive: &JobDrive| {
        let progress = state.scheduler.progress(&job, &drive.id)?;
        let [done, total, in_flight] =
            [progress.bytes_done, progress.bytes_total, progress.bytes_in_flight].map(|bytes| ByteSize(bytes).to_string());
        Some(format!("{}: {done} of {total} landed, {in_flight} in flight", drive.id))
    };
    let list: Vec<String> = job.machine.drives.iter().filter_map(line).collect();
    let best_effort = "A cancel is best effort: no new chunk starts, chunks in flight land, the drives go back, and the receipts say exactly what moved. It is never taken back.";
    let now = if list.is_empty() { "Nothing is being copied just now." } else { "Being copied just now:" };
    let ask = AskPage::new(viewer, format!("Cancel {}?", job.key.name), &job, "cancel", "Cancel the job");
    render(&AskPage { sentences: vec![best_effort, now], list, ..ask })
}

/// Asks before the copy of a drive is ended.
pub(super) async fn give_up(
    State(state): State<Arc<ServiceState>>,
    OperatorsDrive(ViewedDrive { viewer, job, id }): OperatorsDrive,
) -> Result<Response, PageError> {
    let record = job.copies.get(&id);
    let done = record.and_then(|record| record.percent()).unwrap_or(0);
    let why = record.and_then(|record| record.hold()).map(|hold| hold.message.clone());
    let list = [Some(format!("{id}: {done}% is copied")), why].into_iter().flatten().collect();
    let ends =
        "The copy of this drive ends as it is. What landed stays, the drive goes back with an error, and the job ends Closed.";
    let back = "It can be taken back until the drive is shipped back.";
    let bay = state.scheduler.bay_of(&job.uid, &id).await?;
    let docked = if bay.is_some() { "The drive is still in its bay." } else { "The drive is in no bay." };
    let ask = AskPage::new(viewer, format!("Give up the copy of {id}?"), &job, "giveUp", "Give up");
    Ok(render(&AskPage { sentences: vec![ends, back, docked], list, fields: vec![("driveId", id)], ..ask }))
}

/// Asks before the drive that was checked in as one of a job is said to be another one.
pub(super) async fn wrong_drive(
    State(state): State<Arc<ServiceState>>,
    OperatorsDrive(ViewedDrive { viewer, job, id }): OperatorsDrive,
) -> Result<Response, PageError> {
    let record = job.copies.get(&id);
    let bay = match state.scheduler.bay_of(&job.uid, &id).await? {
        Some(bay) => Some(bay),
        None => record.and_then(|record| record.bay.clone()),
    };
    if !record.is_some_and(CopyRecord::was_begun) {
        let waits = "Nothing of it was copied. It is waited for again: dock the right drive, and check it in.";
        let ask = AskPage::new(viewer, format!("Is it another drive than {id}?"), &job, "undoCheckIn", "It is another drive");
        return Ok(render(&AskPage { sentences: vec![waits], fields: vec![("driveId", id)], ..ask }));
    }
    let done = record.and_then(|record| record.percent()).unwrap_or(0);
    let copied = bay.map_or_else(|| format!("{id}: {done}% is copied"), |bay| format!("{id} in {bay}: {done}% is copied"));
    let blob = record.and_then(|record| record.blob.as_ref()).map(|blob| format!("Blob {}/{}", blob.container, blob.name));
    let list = [Some(copied), blob].into_iter().flatten().collect();
    let again = "The copy of this drive is set back to its beginning, and waits for the right drive: dock that one, and check it in. Which drive is the right one is asked from now on.";
    let left = match job.machine.kind {
        JobKind::Import => {
            "The blob stays as it is. The copy of the right drive is held before it replaces that blob, and continues with “Try again, replacing the blob”."
        }
        JobKind::Export => {
            "The wrong drive holds what was exported: take it out, and erase it. No other job gets it unless that is said."
        }
    };
    let ask = AskPage::new(viewer, format!("Was {id} the wrong drive?"), &job, "undoCheckIn", "It was the wrong drive");
    Ok(render(&AskPage { sentences: vec![again, left], list, fields: vec![("driveId", id)], ..ask }))
}

pub(super) async fn delete(ViewedJob { viewer, job }: ViewedJob) -> Response {
    let gone =
        "The job goes at once, with its addresses, keys and tracking numbers, and its receipts here. It is never taken back.";
    let documents = "Its receipts, logs and lists go from the storage account too, and what its unfinished copies left there.";
    let stays = "Blobs that are whole stay, with their manifests.";
    let ask = AskPage::new(viewer, format!("Delete {}?", job.key.name), &job, "delete", "Delete the job");
    render(&AskPage { sentences: vec![gone, documents, stays], ..ask })
}
