//! One job: where it stands, its drives with their receipts, its addresses and its history.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use protocol::arm::{Address, JobResponse};
use protocol::job::JobState;
use protocol::progress::Progress;
use protocol::station::AuditEntry;

use super::drive_card::{AtRest, DriveCard, cards, moving};
use super::extract::ViewedJob;
use super::links::{events_link, job_link};
use super::next_steps::{next_step, to_come};
use super::offers::{self, Offer};
use super::page::{LivePage, PageError, live_part, render};
use super::time_text::time_text;
use super::viewer::Viewer;
use crate::state::ServiceState;
use crate::store::{AuditFilter, StoredJob};

/// Entries of the history that are shown.
const HISTORY_MAX: u32 = 200;

#[derive(Template)]
#[template(path = "job_live.html")]
struct JobLive {
    csrf: String,
    state: String,
    kind: String,
    is_cancelled: bool,
    percent: Option<i64>,
    /// How its copies run together; empty where none does.
    moving: Vec<String>,
    next_step: String,
    to_come: Vec<JobState>,
    offers: Vec<Offer>,
    drives: Vec<DriveCard>,
    facts: Vec<(&'static str, String)>,
    states: Vec<StateLine>,
    history: Vec<HistoryLine>,
    receipts_link: String,
}

/// A state that the job entered.
struct StateLine {
    state: String,
    at: String,
    actor: String,
}

fn state_line(entry: &AuditEntry) -> Option<StateLine> {
    Some(StateLine { state: entry.entered?.to_string(), at: time_text(entry.at), actor: entry.actor.clone() })
}

struct HistoryLine {
    at: String,
    actor: String,
    action: String,
    detail: Option<String>,
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    ViewedJob { viewer, job }: ViewedJob,
) -> Result<Response, PageError> {
    let content = live(&state, &viewer, &job).await?;
    let events = events_link(&job_link(&job.key));
    let above = Some(("/portal/jobs".to_owned(), "Jobs".to_owned()));
    Ok(render(&LivePage { title: job.key.name, viewer: Some(viewer), above, events, content }))
}

/// The part of the page that changes, as HTML.
pub(super) async fn live(state: &ServiceState, viewer: &Viewer, job: &StoredJob) -> Result<String, PageError> {
    let answer = state.jobs.response(job);
    let of_job = AuditFilter { job_uid: Some(job.uid.clone()), ..AuditFilter::default() };
    let history = state.store.audit_log(&of_job, HISTORY_MAX).await?.entries;
    // Looked at once: a copy that ends meanwhile is counted once.
    let copies =
        job.machine.drives.iter().filter_map(|drive| Some((drive.id.as_str(), state.scheduler.progress(job, &drive.id)?)));
    let (moving_ids, copies): (Vec<&str>, Vec<Progress>) = copies.unzip();
    let at_rest = AtRest::of(job, |id| moving_ids.contains(&id));
    let page = JobLive {
        csrf: viewer.csrf.clone(),
        state: job.machine.state.to_string(),
        kind: job.machine.kind.to_string(),
        is_cancelled: job.machine.cancel_requested,
        percent: state.jobs.percent_of(job),
        moving: moving(&copies, at_rest),
        next_step: next_step(job, viewer.is_operator),
        to_come: to_come(&job.machine),
        offers: offers::of_job(state, viewer, job),
        drives: cards(state, viewer, job),
        facts: facts(&answer, job),
        states: history.iter().rev().filter_map(state_line).collect(),
        history: history
            .into_iter()
            .map(|entry| HistoryLine {
                at: time_text(entry.at),
                actor: entry.actor,
                action: entry.action,
                // It may be about another customer's drive.
                detail: entry.detail.filter(|_| viewer.is_operator),
            })
            .collect(),
        receipts_link: format!("{}/receipts.json", job_link(&job.key)),
    };
    live_part(&page)
}

fn facts(answer: &JobResponse, job: &StoredJob) -> Vec<(&'static str, String)> {
    let details = &answer.properties;
    let account = details.storage_account_id.as_deref().and_then(|id| id.rsplit('/').next()).unwrap_or_default();
    let mut facts = vec![
        ("subscription", job.key.subscription.clone()),
        ("resource group", job.key.resource_group.clone()),
        ("account", account.to_owned()),
        ("location", answer.location.clone().unwrap_or_default()),
    ];
    facts.extend(details.shipping_information.as_ref().map(|own| ("drives are sent to", address_text(own))));
    facts.extend(details.return_address.as_ref().map(|own| ("drives go back to", address_text(own))));
    let parcel = |carrier: &str, tracking: &str| format!("{carrier} {tracking}");
    facts.extend(details.delivery_package.as_ref().map(|own| ("delivery", parcel(&own.carrier_name, &own.tracking_number))));
    facts.extend(details.return_package.as_ref().map(|own| ("went back by", parcel(&own.carrier_name, &own.tracking_number))));
    facts.extend(details.incomplete_blob_list_uri.clone().map(|uri| ("blobs that were not exported", uri)));
    facts.push(("documents", details.diagnostics_path.clone().unwrap_or_else(|| "waimportexport".to_owned())));
    facts
}

/// An address in one line.
fn address_text(address: &Address) -> String {
    let parts = [
        &address.recipient_name,
        &address.street_address1,
        &address.street_address2,
        &address.postal_code,
        &address.city,
        &address.state_or_province,
        &address.country_or_region,
        &address.phone,
    ];
    let email = address.email.iter();
    parts.into_iter().chain(email).filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(", ")
}
