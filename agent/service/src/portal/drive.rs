//! One drive of a job: its identity, how its copy runs or ended, and the documents that are left of it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use protocol::identity::DriveIdentity;
use protocol::result::{Evidence, TransferResult};
use protocol::units::ByteSize;

use super::bars::{Bar, stage_bar};
use super::copy_card::{CopyCard, limit};
use super::drive_card::{DriveCard, cards};
use super::extract::{ViewedDrive, no_drive};
use super::files::downloads;
use super::links::{drive_link, events_link, job_link};
use super::page::{LivePage, PageError, live_part, render};
use super::viewer::Viewer;
use crate::state::ServiceState;
use crate::store::StoredJob;

#[derive(Template)]
#[template(path = "drive_live.html")]
struct DriveLive {
    csrf: String,
    drive: DriveCard,
    copy: Option<CopyCard>,
    stages: Option<Bar>,
    facts: Vec<(&'static str, String)>,
    downloads: Vec<(&'static str, String)>,
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    ViewedDrive { viewer, job, id }: ViewedDrive,
) -> Result<Response, PageError> {
    let content = live(&state, &viewer, &job, &id)?;
    Ok(render(&LivePage {
        title: format!("Drive {id}"),
        viewer: Some(viewer),
        above: Some((job_link(&job.key), job.key.name.clone())),
        events: events_link(&drive_link(&job.key, &id)),
        content,
    }))
}

/// The part of the page that changes, as HTML.
pub(super) fn live(state: &ServiceState, viewer: &Viewer, job: &StoredJob, id: &str) -> Result<String, PageError> {
    let drive = cards(state, viewer, job).into_iter().find(|drive| drive.id == id).ok_or_else(|| no_drive(id))?;
    let record = job.copies.get(id);
    let result = record.and_then(|record| record.result.as_ref());
    let bay = record.and_then(|record| record.bay.as_deref()).unwrap_or_default();
    let copy = state
        .scheduler
        .progress(job, id)
        .map(|progress| CopyCard::new(&progress, &state.scheduler.rates(bay), &state.scheduler.unreadable_so_far(bay)));
    let mut facts = result.map(facts).unwrap_or_default();
    if let Some(blob) = record.and_then(|record| record.blob.as_ref()) {
        facts.insert(0, ("blob", format!("{}/{}", blob.container, blob.name)));
    }
    facts.extend(record.filter(|_| viewer.is_operator && !bay.is_empty()).map(|_| ("bay", bay.to_owned())));
    live_part(&DriveLive {
        csrf: viewer.csrf.clone(),
        drive,
        copy,
        stages: result.and_then(|result| stage_bar(&result.stages)),
        facts,
        downloads: downloads(job, id),
    })
}

fn facts(result: &TransferResult) -> Vec<(&'static str, String)> {
    let size = |bytes: u64| format!("{} ({bytes} bytes)", ByteSize(bytes));
    let mut facts = result.drive.as_ref().map(identity).unwrap_or_default();
    facts.push(("size", size(result.bytes_total)));
    facts.push(("chunks", format!("{} of {}", result.chunks, ByteSize(result.chunk_size))));
    facts.push(("sent", size(result.bytes_sent)));
    facts.push(("reused", size(result.bytes_reused)));
    facts.push(("zero, never sent", size(result.bytes_zero)));
    facts.extend((result.bytes_unreadable > 0).then(|| ("unreadable", size(result.bytes_unreadable))));
    facts.extend(result.root_sha256.map(|root| ("root SHA-256", root.to_string())));
    facts.extend(result.stream_sha256.map(|whole| ("SHA-256 of the whole", whole.to_string())));
    facts.extend(result.root_sha256.map(|_| ("evidence", evidence(result.evidence).to_owned())));
    facts.extend(limit(result.limited_by).map(|limit| ("limited by", limit.to_owned())));
    facts.push(("time", format!("{:.1} s", result.elapsed_seconds)));
    facts
}

fn identity(drive: &DriveIdentity) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    facts.extend(drive.serial.clone().map(|serial| ("serial number", serial)));
    facts.extend(drive.model.clone().map(|model| ("model", model)));
    facts.push(("sectors", format!("{} bytes", drive.sector_size)));
    facts.extend(drive.partition_table_id.clone().map(|id| ("partition table", id)));
    facts
}

/// What a grade of evidence proves, in words.
fn evidence(grade: Evidence) -> &'static str {
    match grade {
        Evidence::Sampled => "sampled: some parts were compared at a few places only",
        Evidence::Read => "read: the digests are of what was read from the source",
        Evidence::Transport => "transport: the receiving side checked a checksum of each chunk",
        Evidence::ReadBack => "read-back: read again from the target, and hashed",
    }
}
