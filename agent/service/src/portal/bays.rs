//! The page of the bays, one card each, with what needs a person first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use protocol::result::Direction;
use protocol::station::{Bay, WeakIdentity};
use protocol::units::ByteSize;

use super::attention::{self, AttentionLine};
use super::copy_card::CopyCard;
use super::extract::Operator;
use super::links::{drive_link, job_link, key_of_path};
use super::offers::{self, Offer};
use super::page::{LivePage, PageError, live_part, render};
use super::viewer::Viewer;
use crate::state::ServiceState;

#[derive(Template)]
#[template(path = "bays_live.html")]
struct BaysLive {
    csrf: String,
    attention: Vec<AttentionLine>,
    next: Option<String>,
    rate: String,
    bays: Vec<Card>,
}

struct Card {
    name: String,
    state: &'static str,
    drive: Option<String>,
    /// The bridge's serial number, and why the drive's cannot be relied on.
    identity: Option<String>,
    model: Option<String>,
    size: String,
    job_link: Option<String>,
    job_name: String,
    drive_link: String,
    direction: &'static str,
    copy: Option<CopyCard>,
    note: Option<String>,
    offer: Option<Offer>,
}

pub(super) async fn show(State(state): State<Arc<ServiceState>>, Operator(viewer): Operator) -> Result<Response, PageError> {
    let content = live(&state, &viewer).await?;
    let events = "/portal/events/bays".to_owned();
    Ok(render(&LivePage { title: "Bays".to_owned(), viewer: Some(viewer), above: None, events, content }))
}

/// The part of the page that changes, as HTML.
pub(super) async fn live(state: &ServiceState, viewer: &Viewer) -> Result<String, PageError> {
    let bays = state.scheduler.bays().await?.into_iter().map(|bay| card(state, bay)).collect();
    let (attention, next) = attention::first_page(state).await?;
    live_part(&BaysLive { csrf: viewer.csrf.clone(), attention, next, rate: state.jobs.rate().text(), bays })
}

fn card(state: &ServiceState, bay: Bay) -> Card {
    let work = bay.work.as_ref();
    let key = work.and_then(|work| key_of_path(&work.job));
    let progress = work.and_then(|work| work.progress.as_ref());
    let copy = progress.map(|progress| {
        CopyCard::new(progress, &state.scheduler.rates(&bay.name), &state.scheduler.unreadable_so_far(&bay.name))
    });
    let direction = match work.map(|work| work.direction) {
        Some(Direction::Export) => "export",
        _ => "import",
    };
    let drive = bay.drive.as_ref();
    let drive_id = work.map(|work| work.drive_id.as_str()).unwrap_or_default();
    Card {
        state: bay.state.name(),
        drive: drive.map(|drive| drive.drive_id.clone().unwrap_or_else(|| "a drive without a serial number".to_owned())),
        identity: drive.and_then(|drive| WeakIdentity::note(drive.bridge_serial.as_deref(), &drive.weak_identity)),
        model: drive.and_then(|drive| drive.model.clone()),
        size: drive.map(|drive| ByteSize(drive.size_bytes).to_string()).unwrap_or_default(),
        drive_link: key.as_ref().map(|key| drive_link(key, drive_id)).unwrap_or_default(),
        job_link: key.as_ref().map(job_link),
        job_name: key.map(|key| key.name).unwrap_or_default(),
        direction,
        copy,
        offer: offers::of_bay(&bay),
        name: bay.name,
        note: bay.note,
    }
}
