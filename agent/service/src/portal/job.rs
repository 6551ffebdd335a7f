//! One job: where it stands, its drives with their receipts, its addresses and its history.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use protocol::arm::Address;
use protocol::station::AuditEntry;

use super::access::{Viewer, job_of, viewer};
use super::drive::{DriveCard, cards};
use super::jobs::text_of;
use super::offers::{self, Offer};
use super::{LivePage, PageError, job_link, live_part, render};
use crate::api::{Api, job_response, percent_of};
use crate::station::receipts;
use crate::store::StoredJob;

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
    Some(StateLine { state: entry.entered?.to_string(), at: text_of(entry.at), actor: entry.actor.clone() })
}

struct HistoryLine {
    at: String,
    actor: String,
    action: String,
}

pub(super) async fn page(
    State(api): State<Arc<Api>>,
    Path(place): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let viewer = viewer(&api, &headers).await?;
    let job = job_of(&api, &viewer, place).await?;
    let content = live(&api, &viewer, &job).await?;
    let events = job_link(&job.key).replacen("/portal/job/", "/portal/events/job/", 1);
    let above = Some(("/portal/jobs".to_owned(), "Jobs".to_owned()));
    Ok(render(&LivePage { title: job.key.name, viewer: Some(viewer), above, events, content }))
}

/// The receipts as a file.
pub(super) async fn receipts_file(
    State(api): State<Arc<Api>>,
    Path(place): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let viewer = viewer(&api, &headers).await?;
    let job = job_of(&api, &viewer, place).await?;
    let document = receipts(&job, |drive| api.station.progress(&job.uid, drive).is_some());
    let text = serde_json::to_string_pretty(&document);
    let text = text.map_err(|error| PageError::Message(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let name = format!("attachment; filename=\"{}_receipts.json\"", job.key.name);
    Ok(([("content-type", "application/json".to_owned()), ("content-disposition", name)], text).into_response())
}

/// The part that changes.
pub(super) async fn live(api: &Api, viewer: &Viewer, job: &StoredJob) -> Result<String, PageError> {
    let answer = job_response(api, job);
    let history = api.store.audit_log(Some(&job.uid), HISTORY_MAX).await?;
    let page = JobLive {
        csrf: viewer.csrf.clone(),
        state: job.machine.state.to_string(),
        kind: job.machine.kind.to_string(),
        is_cancelled: job.machine.cancel_requested,
        percent: percent_of(api, job),
        offers: offers::of_job(api, viewer, job),
        drives: cards(api, viewer, job),
        facts: facts(&answer, job),
        states: history.iter().rev().filter_map(state_line).collect(),
        history: history
            .into_iter()
            .map(|entry| HistoryLine { at: text_of(entry.at), actor: entry.actor, action: entry.action })
            .collect(),
        receipts_link: format!("{}/receipts.json", job_link(&job.key)),
    };
    live_part(&page)
}

fn facts(answer: &protocol::arm::JobResponse, job: &StoredJob) -> Vec<(&'static str, String)> {
    let details = &answer.properties;
    let address = |address: &Address| {
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
    };
    let account = details.storage_account_id.as_deref().and_then(|id| id.rsplit('/').next()).unwrap_or_default();
    let mut facts = vec![
        ("subscription", job.key.subscription.clone()),
        ("resource group", job.key.resource_group.clone()),
        ("account", account.to_owned()),
        ("location", answer.location.clone().unwrap_or_default()),
    ];
    facts.extend(details.shipping_information.as_ref().map(|own| ("drives are sent to", address(own))));
    facts.extend(details.return_address.as_ref().map(|own| ("drives go back to", address(own))));
    let parcel = |carrier: &str, tracking: &str| format!("{carrier} {tracking}");
    facts.extend(details.delivery_package.as_ref().map(|own| ("came by", parcel(&own.carrier_name, &own.tracking_number))));
    facts.extend(details.return_package.as_ref().map(|own| ("went back by", parcel(&own.carrier_name, &own.tracking_number))));
    facts.extend(details.incomplete_blob_list_uri.clone().map(|uri| ("blobs that were not exported", uri)));
    facts.push(("documents", details.diagnostics_path.clone().unwrap_or_else(|| "waimportexport".to_owned())));
    facts
}
