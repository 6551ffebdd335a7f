//! What waits for a person, with the actions that help: as a part of the bays' page, and on pages of its own where it is long.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use protocol::station::{Attention, AttentionKind};
use serde::Deserialize;

use super::extract::{Operator, PageQuery};
use super::job_rows::{JobRow, row};
use super::links::{job_link, key_of_path};
use super::offers::{self, Offer};
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::scheduler::{AttentionPage, AttentionPlace};
use crate::state::ServiceState;
use crate::store::{StoreError, StoredJob};

/// Jobs of one page.
const PAGE_JOBS: u32 = 50;

/// One line of what waits.
pub(super) struct AttentionLine {
    pub(super) what: &'static str,
    pub(super) bay: Option<String>,
    pub(super) drive: Option<String>,
    pub(super) message: String,
    pub(super) job_link: Option<String>,
    pub(super) job_name: String,
    pub(super) offers: Vec<Offer>,
}

impl From<Attention> for AttentionLine {
    fn from(one: Attention) -> Self {
        let key = one.job.as_deref().and_then(key_of_path);
        AttentionLine {
            what: title(one.kind),
            offers: one.actions.iter().filter_map(|offered| offers::of_action(&offered.action)).collect(),
            bay: one.bay,
            drive: one.drive_id,
            message: one.message,
            job_link: key.as_ref().map(job_link),
            job_name: key.map(|key| key.name).unwrap_or_default(),
        }
    }
}

fn title(kind: AttentionKind) -> &'static str {
    match kind {
        AttentionKind::CopyHeld => "A copy failed",
        AttentionKind::UnknownDrive => "Unknown drive",
        AttentionKind::AmbiguousDrive => "Whose drive?",
        AttentionKind::JobNotShipped => "Job not shipped",
        AttentionKind::LateDrive => "Came too late",
        AttentionKind::NotDocked => "Not docked",
        AttentionKind::DrivesMissing => "Drives missing",
        AttentionKind::NeedsEmptyDrive => "Empty drive needed",
        AttentionKind::WaitsForOthers => "Waits for others",
        AttentionKind::CopyPaused => "Paused",
        AttentionKind::ShipBack => "Send back",
        AttentionKind::StationAway => "Station away",
        AttentionKind::BayUnusable => "Bay cannot be used",
    }
}

/// The first page of what waits, and the address of the next.
pub(super) async fn first_page(state: &ServiceState) -> Result<(Vec<AttentionLine>, Option<String>), PageError> {
    Ok(shown(state.scheduler.attention(None, PAGE_JOBS).await?))
}

fn shown(page: AttentionPage) -> (Vec<AttentionLine>, Option<String>) {
    let next = page.next.map(|place| format!("/portal/attention?after={place}"));
    (page.list.into_iter().map(AttentionLine::from).collect(), next)
}

/// The place that an address names.
fn place(text: Option<&str>) -> Result<Option<AttentionPlace>, PageError> {
    text.map(str::parse).transpose().map_err(|()| PageError::incomplete_address())
}

/// The jobs that wait for a person or have `search` in what they are found by, the most urgent first; and where the next page
/// begins.
pub(super) async fn waiting_jobs(
    state: &ServiceState,
    after: Option<&str>,
    search: &str,
) -> Result<(Vec<JobRow>, Option<String>), PageError> {
    let page = state.scheduler.attention(place(after)?, PAGE_JOBS).await?;
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for one in page.list {
        let Some(job) = one.job else { continue };
        let why = title(one.kind).to_owned();
        match reasons.iter_mut().find(|(known, _)| *known == job) {
            Some((_, all)) if all.contains(&why) => {}
            Some((_, all)) => all.push(why),
            None => reasons.push((job, vec![why])),
        }
    }
    let mut rows = Vec::new();
    for (path, why) in reasons {
        let Some(key) = key_of_path(&path) else { continue };
        match state.store.get(&key).await {
            Ok(job) if is_found_by(&job, search) => rows.push(JobRow { why, ..row(state, &job) }),
            // It was removed meanwhile.
            Ok(_) | Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((rows, page.next.map(|place| place.to_string())))
}

/// Whether the job has `search` in its name, its customer, the number of its parcel or one of its drives, as the store finds it.
fn is_found_by(job: &StoredJob, search: &str) -> bool {
    let search = search.to_ascii_lowercase();
    let parcel = job.details.delivery_package.as_ref().map(|package| package.tracking_number.as_str());
    let drives = job.machine.drives.iter().map(|drive| drive.id.as_str());
    let texts = [job.key.name.as_str(), job.key.subscription.as_str()].into_iter().chain(parcel).chain(drives);
    texts.into_iter().any(|text| text.to_ascii_lowercase().contains(&search))
}

#[derive(Template)]
#[template(path = "attention.html")]
struct WholePage {
    title: &'static str,
    viewer: Option<Viewer>,
    csrf: String,
    attention: Vec<AttentionLine>,
    next: Option<String>,
}

/// Where the page begins.
#[derive(Deserialize)]
pub(super) struct AttentionQuery {
    after: Option<String>,
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    PageQuery(query): PageQuery<AttentionQuery>,
) -> Result<Response, PageError> {
    let after = place(query.after.as_deref())?;
    let (attention, next) = shown(state.scheduler.attention(after, PAGE_JOBS).await?);
    let csrf = viewer.csrf.clone();
    Ok(render(&WholePage { title: "Waits for a person", viewer: Some(viewer), csrf, attention, next }))
}
