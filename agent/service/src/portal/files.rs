//! Files to download: the receipts of a job, and the documents of a drive.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::rescue::{map_of_result, mapfile};
use serde::Deserialize;

use super::extract::ViewedJob;
use super::links::drive_link;
use super::page::PageError;
use crate::jobs::JobError;
use crate::scheduler::DriveDocument;
use crate::state::ServiceState;
use crate::store::{JobKey, StoredJob};

const MANIFEST: &str = "manifest.jsonl";
const MAPFILE: &str = "mapfile";
const ERROR_LOG: &str = "error.xml";
const VERBOSE_LOG: &str = "verbose.xml";

/// What can be downloaded of a copy that has ended.
pub(super) fn downloads(job: &StoredJob, id: &str) -> Vec<(&'static str, String)> {
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

/// The receipts of a job.
pub(super) async fn receipts(
    State(state): State<Arc<ServiceState>>,
    ViewedJob { job, .. }: ViewedJob,
) -> Result<Response, PageError> {
    let text = serde_json::to_string_pretty(&state.jobs.receipts(&job)).map_err(PageError::internal)?;
    let name = format!("attachment; filename=\"{}_receipts.json\"", job.key.name);
    Ok(([("content-type", "application/json".to_owned()), ("content-disposition", name)], text).into_response())
}

/// The part of a path that names a file of a drive.
#[derive(Deserialize)]
pub(super) struct FilePath {
    drive: String,
    file: String,
}

/// A document of a drive.
pub(super) async fn drive_file(
    State(state): State<Arc<ServiceState>>,
    ViewedJob { viewer, job }: ViewedJob,
    Path(FilePath { drive: id, file }): Path<FilePath>,
) -> Result<Response, PageError> {
    let missing = || PageError::not_found(format!("there is no `{file}` of the drive `{id}`"));
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
    let opened = state
        .scheduler
        .open_document(&job, &id, which)
        .await
        .map_err(|error| PageError::Message(StatusCode::BAD_GATEWAY, JobError::of_work(error, &viewer.actor).to_string()))?;
    let document = opened.ok_or_else(missing)?;
    let mut response = (attachment(&job.key, &id, &file, kind), Body::from_stream(document.pieces)).into_response();
    response.headers_mut().insert("content-length", document.size_bytes.into());
    Ok(response)
}

/// The headers of a file to save. Characters that a header must not contain are replaced in the drive's name.
fn attachment(key: &JobKey, id: &str, file: &str, kind: &'static str) -> [(&'static str, String); 2] {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let id: String = id.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    let disposition = format!("attachment; filename=\"{}_{id}_{file}\"", key.name);
    [("content-type", kind.to_owned()), ("content-disposition", disposition)]
}
