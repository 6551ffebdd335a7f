//! The station as it stands, one card a bay, with what needs a person first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use protocol::job::percent;
use protocol::progress::Progress;
use protocol::result::Direction;
use protocol::station::{Attention, AttentionKind, Bay};
use protocol::units::ByteSize;

use super::access::{Viewer, operator};
use super::{PageError, render};
use crate::api::Api;

#[derive(Template)]
#[template(path = "bays.html")]
struct BaysPage {
    title: &'static str,
    viewer: Option<Viewer>,
    content: String,
}

#[derive(Template)]
#[template(path = "bays_live.html")]
struct BaysLive {
    attention: Vec<AttentionLine>,
    bays: Vec<Card>,
}

struct AttentionLine {
    what: &'static str,
    bay: Option<String>,
    drive: Option<String>,
    message: String,
    job_link: Option<String>,
    job_name: String,
}

struct Card {
    name: String,
    state: &'static str,
    drive: Option<String>,
    model: Option<String>,
    size: String,
    job_link: Option<String>,
    job_name: String,
    direction: &'static str,
    copy: Option<CopyCard>,
    note: Option<String>,
}

struct CopyCard {
    percent: i64,
    rate: String,
    rate_max: String,
    left: String,
    curve: String,
    sent: String,
    zero: String,
    reused: String,
    unreadable: Option<String>,
    retries: u64,
}

pub(super) async fn page(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, PageError> {
    let viewer = operator(&api, &headers).await?;
    let content = live(&api).await?;
    Ok(render(&BaysPage { title: "Bays", viewer: Some(viewer), content }))
}

/// The part that changes.
pub(super) async fn live(api: &Api) -> Result<String, PageError> {
    let bays = api.station.bays().await?.into_iter().map(|bay| card(api, bay)).collect();
    let attention = api.station.attention().await?.into_iter().map(line).collect();
    BaysLive { attention, bays }
        .render()
        .map_err(|error| PageError::Message(axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// The page of a job, from its path in the API.
fn link_of(path: &str) -> (Option<String>, String) {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        [_, subscription, _, group, _, _, _, name] => {
            let key = crate::store::JobKey {
                subscription: (*subscription).to_owned(),
                resource_group: (*group).to_owned(),
                name: (*name).to_owned(),
            };
            (Some(super::job_link(&key)), (*name).to_owned())
        }
        _ => (None, String::new()),
    }
}

fn line(one: Attention) -> AttentionLine {
    let (job_link, job_name) = one.job.as_deref().map_or((None, String::new()), link_of);
    let what = match one.kind {
        AttentionKind::CopyHeld => "A copy failed",
        AttentionKind::UnknownDrive => "Unknown drive",
        AttentionKind::AmbiguousDrive => "Whose drive?",
        AttentionKind::JobNotShipped => "Job not shipped",
        AttentionKind::NotDocked => "Not docked",
        AttentionKind::DrivesMissing => "Drives missing",
        AttentionKind::NeedsEmptyDrive => "Empty drive needed",
        AttentionKind::ShipBack => "Send back",
    };
    AttentionLine { what, bay: one.bay, drive: one.drive_id, message: one.message, job_link, job_name }
}

fn card(api: &Api, bay: Bay) -> Card {
    let (job_link, job_name) = bay.work.as_ref().map_or((None, String::new()), |work| link_of(&work.job));
    let copy = bay
        .work
        .as_ref()
        .and_then(|work| work.progress.as_ref())
        .map(|progress| copy_card(progress, &api.station.rates(&bay.name)));
    let direction = match bay.work.as_ref().map(|work| work.direction) {
        Some(Direction::Export) => "export",
        _ => "import",
    };
    let drive = bay.drive.as_ref();
    Card {
        state: bay.state.name(),
        drive: drive.map(|drive| drive.drive_id.clone().unwrap_or_else(|| "a drive without a serial number".to_owned())),
        model: drive.and_then(|drive| drive.model.clone()),
        size: drive.map(|drive| ByteSize(drive.size_bytes).to_string()).unwrap_or_default(),
        name: bay.name,
        job_link,
        job_name,
        direction,
        copy,
        note: bay.note,
    }
}

fn copy_card(progress: &Progress, rates: &[f64]) -> CopyCard {
    let size = |bytes: u64| ByteSize(bytes).to_string();
    let most = rates.iter().copied().fold(1.0, f64::max);
    // One step to the right a second, a curve as high as its highest rate.
    let start = 180_usize.saturating_sub(rates.len());
    let point = |(index, rate): (usize, &f64)| format!("{},{:.1}", start + index, 31.0 - 30.0 * rate / most);
    CopyCard {
        percent: percent(progress.bytes_done, progress.bytes_total, false),
        rate: size(progress.bytes_per_second as u64),
        rate_max: size(most as u64),
        left: progress.eta_seconds.map_or_else(String::new, time_left),
        curve: rates.iter().enumerate().map(point).collect::<Vec<_>>().join(" "),
        sent: size(progress.bytes_sent),
        zero: size(progress.bytes_zero),
        reused: size(progress.bytes_reused),
        unreadable: (progress.bytes_unreadable > 0).then(|| size(progress.bytes_unreadable)),
        retries: progress.retries,
    }
}

fn time_left(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil();
    match minutes {
        _ if !minutes.is_finite() || minutes > 1e6 => String::new(),
        _ if seconds < 60.0 => format!("{} s left", seconds.ceil()),
        _ if minutes < 120.0 => format!("{minutes} min left"),
        _ => format!("{:.1} h left", seconds / 3600.0),
    }
}
