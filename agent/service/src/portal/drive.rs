//! One drive of a job: who it is, how its copy goes or went, and the documents that are left of it.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use protocol::identity::DriveIdentity;
use protocol::progress::UnreadableSoFar;
use protocol::rescue::{map_of_result, mapfile};
use protocol::result::{Evidence, TransferResult};
use protocol::units::ByteSize;

use super::access::{Viewer, job_of, viewer};
use super::bars::{Bar, receipt_bar, stage_bar, strip_map};
use super::copy_card::{CopyCard, limit};
use super::offers::{self, Offer};
use super::{LivePage, PageError, drive_link, job_link, live_part, render};
use crate::api::{Api, job_response};
use crate::station::{DriveDocument, OrderError};
use crate::store::{JobKey, StoredJob};

/// Subscription, resource group, job, drive.
pub(super) type DrivePlace = (String, String, String, String);

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

/// A drive as its job's page shows it too.
pub(super) struct DriveCard {
    pub(super) id: String,
    pub(super) link: String,
    pub(super) state: String,
    pub(super) percent: Option<i64>,
    pub(super) status: String,
    pub(super) receipt: Option<Bar>,
    pub(super) strip: Option<Bar>,
    pub(super) operator_note: Option<String>,
    pub(super) offers: Vec<Offer>,
}

/// The drives of a job.
pub(super) fn cards(api: &Api, viewer: &Viewer, job: &StoredJob) -> Vec<DriveCard> {
    let answer = job_response(api, job);
    let drives = answer.properties.drive_list.unwrap_or_default().into_iter();
    let card = |drive: protocol::arm::DriveStatus| {
        let id = drive.drive_id.unwrap_or_default();
        let record = job.copies.get(&id);
        let result = record.and_then(|record| record.result.as_ref());
        DriveCard {
            link: drive_link(&job.key, &id),
            state: drive.state.map(|state| state.to_string()).unwrap_or_default(),
            percent: drive.percent_complete,
            status: drive.copy_status.unwrap_or_default(),
            receipt: result.and_then(|result| Some(receipt_bar(result.receipt.as_ref()?, result.bytes_total))),
            strip: result.and_then(unreadable_of),
            // What names the station is for its staff.
            operator_note: record.filter(|_| viewer.is_operator).and_then(|record| Some(record.hold.as_ref()?.message.clone())),
            offers: offers::of_drive(api, viewer, job, &id),
            id,
        }
    };
    drives.map(card).collect()
}

fn unreadable_of(result: &TransferResult) -> Option<Bar> {
    let unreadable = UnreadableSoFar { bad: result.unreadable.clone(), doubtful: Vec::new() };
    strip_map(&unreadable, result.bytes_total)
}

pub(super) async fn page(
    State(api): State<Arc<Api>>,
    Path((subscription, group, name, id)): Path<DrivePlace>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let viewer = viewer(&api, &headers).await?;
    let job = job_of(&api, &viewer, (subscription, group, name)).await?;
    let content = live(&api, &viewer, &job, &id)?;
    Ok(render(&LivePage {
        title: format!("Drive {id}"),
        viewer: Some(viewer),
        above: Some((job_link(&job.key), job.key.name.clone())),
        events: drive_link(&job.key, &id).replacen("/portal/job/", "/portal/events/job/", 1),
        content,
    }))
}

/// The part that changes.
pub(super) fn live(api: &Api, viewer: &Viewer, job: &StoredJob, id: &str) -> Result<String, PageError> {
    let drive = cards(api, viewer, job).into_iter().find(|drive| drive.id == id).ok_or_else(|| no_drive(id))?;
    let record = job.copies.get(id);
    let result = record.and_then(|record| record.result.as_ref());
    let bay = record.and_then(|record| record.bay.as_deref()).unwrap_or_default();
    let copy = api
        .station
        .progress(&job.uid, id)
        .map(|progress| CopyCard::new(&progress, &api.station.rates(bay), &api.station.unreadable_so_far(bay)));
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

fn no_drive(id: &str) -> PageError {
    PageError::Message(StatusCode::NOT_FOUND, format!("the job has no drive `{id}`"))
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

/// What a grade of evidence proves.
fn evidence(grade: Evidence) -> &'static str {
    match grade {
        Evidence::Sampled => "sampled: some parts were compared at a few places only",
        Evidence::Read => "read: the digests are of what was read from the source",
        Evidence::Transport => "transport: the receiving side checked a checksum of each chunk",
        Evidence::ReadBack => "read-back: read again from the target, and hashed",
    }
}

/// What can be downloaded of a copy that has ended.
fn downloads(job: &StoredJob, id: &str) -> Vec<(&'static str, String)> {
    let Some(record) = job.copies.get(id) else { return Vec::new() };
    let result = record.result.as_ref();
    let offered = [
        (result.is_some_and(|result| result.root_sha256.is_some()), "Manifest (every chunk with its SHA-256)", MANIFEST),
        (result.is_some(), "Mapfile of GNU ddrescue", MAPFILE),
        (record.logs.error.is_some(), "Error log (XML)", ERROR_LOG),
        (record.logs.verbose.is_some(), "Verbose log (XML)", VERBOSE_LOG),
    ];
    let link = drive_link(&job.key, id);
    offered.into_iter().filter(|(is_there, ..)| *is_there).map(|(_, name, file)| (name, format!("{link}/file/{file}"))).collect()
}

const MANIFEST: &str = "manifest.jsonl";
const MAPFILE: &str = "mapfile";
const ERROR_LOG: &str = "error.xml";
const VERBOSE_LOG: &str = "verbose.xml";

/// A document of a drive, as a file.
pub(super) async fn file(
    State(api): State<Arc<Api>>,
    Path((subscription, group, name, id, file)): Path<(String, String, String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let viewer = viewer(&api, &headers).await?;
    let job = job_of(&api, &viewer, (subscription, group, name)).await?;
    let missing = || PageError::Message(StatusCode::NOT_FOUND, format!("there is no `{file}` of the drive `{id}`"));
    let (which, kind) = match file.as_str() {
        MANIFEST => (DriveDocument::Manifest, "application/jsonl"),
        ERROR_LOG => (DriveDocument::ErrorLog, "application/xml"),
        VERBOSE_LOG => (DriveDocument::VerboseLog, "application/xml"),
        MAPFILE => {
            let result = job.copies.get(&id).and_then(|record| record.result.as_ref()).ok_or_else(missing)?;
            let (map, phase) = map_of_result(result);
            let text = mapfile::write(&map, phase, 0);
            return Ok((attachment(&job.key, &id, "map", "text/plain; charset=utf-8"), text).into_response());
        }
        _ => return Err(missing()),
    };
    let opened = api.station.open_document(&job, &id, which).await.map_err(|error| match error {
        OrderError::Store(error) => error.into(),
        error => PageError::Message(StatusCode::BAD_GATEWAY, error.to_string()),
    })?;
    let document = opened.ok_or_else(missing)?;
    let mut response = (attachment(&job.key, &id, &file, kind), Body::from_stream(document.pieces)).into_response();
    response.headers_mut().insert("content-length", document.size_bytes.into());
    Ok(response)
}

/// The headers of a file that is to be saved. Names of drives may hold what a header may not.
fn attachment(key: &JobKey, id: &str, file: &str, kind: &'static str) -> [(&'static str, String); 2] {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let id: String = id.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    let disposition = format!("attachment; filename=\"{}_{id}_{file}\"", key.name);
    [("content-type", kind.to_owned()), ("content-disposition", disposition)]
}
