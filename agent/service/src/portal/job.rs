//! One job: where it stands, its drives with their receipts, its addresses and its history; and what may be done now,
//! which the state machine itself is asked for.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use protocol::arm::{Address, DriveStatus};
use protocol::job::{DriveState, Event, JobState, decide};
use protocol::receipt::Receipt;
use protocol::result::TransferResult;
use protocol::units::ByteSize;

use super::access::{Viewer, job_of, viewer};
use super::jobs::text_of;
use super::{PageError, job_link, render};
use crate::api::{Api, job_response, percent_of};
use crate::station::receipts;
use crate::store::StoredJob;

/// Entries of the history that are shown.
const HISTORY_MAX: u32 = 200;

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    title: String,
    viewer: Option<Viewer>,
    name: String,
    events: String,
    content: String,
}

#[derive(Template)]
#[template(path = "job_live.html")]
struct JobLive {
    csrf: String,
    state: String,
    kind: String,
    is_cancelled: bool,
    percent: Option<i64>,
    actions: Vec<Action>,
    drives: Vec<DriveCard>,
    facts: Vec<(&'static str, String)>,
    history: Vec<HistoryLine>,
    receipts_link: String,
}

/// Something that may be done now: a page that asks, or a form that does it.
struct Action {
    name: &'static str,
    target: String,
    is_link: bool,
    fields: Vec<(&'static str, String)>,
}

struct DriveCard {
    id: String,
    state: String,
    percent: Option<i64>,
    status: String,
    receipt: Option<ReceiptBar>,
    strip: Option<Bar>,
    stages: Option<Bar>,
    facts: Vec<(&'static str, String)>,
    operator_note: Option<String>,
    actions: Vec<Action>,
}

struct ReceiptBar {
    before: String,
    after: String,
    unknown: String,
    never: String,
    parts: Vec<BarPart>,
}

/// A bar that says in words too what it shows.
struct Bar {
    label: String,
    parts: Vec<BarPart>,
}

struct BarPart {
    class: &'static str,
    x: String,
    width: String,
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
    let name = job.key.name.clone();
    Ok(render(&JobPage { title: name.clone(), viewer: Some(viewer), name, events, content }))
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
    let drives = answer.properties.drive_list.as_deref().unwrap_or_default();
    let page = JobLive {
        csrf: viewer.csrf.clone(),
        state: format!("{:?}", job.machine.state),
        kind: format!("{:?}", job.machine.kind),
        is_cancelled: job.machine.cancel_requested,
        percent: percent_of(api, job),
        actions: actions(api, viewer, job),
        drives: drives.iter().map(|drive| drive_card(api, viewer, job, drive)).collect(),
        facts: facts(&answer, job),
        history: history
            .into_iter()
            .map(|entry| HistoryLine { at: text_of(entry.at), actor: entry.actor, action: entry.action })
            .collect(),
        receipts_link: format!("{}/receipts.json", job_link(&job.key)),
    };
    page.render().map_err(|error| PageError::Message(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// What the table allows now, to this viewer.
fn actions(api: &Api, viewer: &Viewer, job: &StoredJob) -> Vec<Action> {
    let link = job_link(&job.key);
    let may = |event: Event| {
        // What shipping needs is asked for on its page.
        let mut machine = job.machine.clone();
        (machine.has_delivery_package, machine.has_return_address) = (true, true);
        decide(&machine, event, api.station.now()).is_ok()
    };
    let page = |name, path: &str| Action { name, target: format!("{link}/{path}"), is_link: true, fields: Vec::new() };
    let mut actions = Vec::new();
    if job.machine.state == JobState::Creating && may(Event::Ship) {
        actions.push(page("Ship", "ship"));
    }
    if !job.machine.cancel_requested && may(Event::Cancel) {
        actions.push(page("Cancel", "cancel"));
    }
    if may(Event::Delete) {
        actions.push(Action { name: "Delete", target: format!("{link}/do/delete"), is_link: false, fields: Vec::new() });
    }
    if viewer.is_operator && may(Event::ShippedBack) {
        actions.push(page("Send the drives back", "shipBack"));
    }
    actions
}

fn drive_actions(api: &Api, viewer: &Viewer, job: &StoredJob, id: &str) -> Vec<Action> {
    if !viewer.is_operator {
        return Vec::new();
    }
    let may = |event: Event| decide(&job.machine, event, api.station.now()).is_ok();
    let record = job.copies.get(id);
    let state = job.machine.drive(id).map(|drive| drive.state);
    let waits = matches!(state, Some(DriveState::Received | DriveState::Transferring)) && !job.machine.cancel_requested;
    let is_paused = record.is_some_and(|record| record.is_paused);
    let is_held = record.is_some_and(|record| record.hold.is_some());
    let is_running = api.station.progress(&job.uid, id).is_some();
    let wishes = [
        ("Check in", "checkIn", may(Event::CheckIn(id.to_owned()))),
        ("Never came", "neverReceived", may(Event::NeverReceived(id.to_owned()))),
        ("Pause", "pause", waits && !is_paused && !is_held),
        ("Resume", "resume", waits && is_paused),
        ("Try again", "retry", (waits && is_held) || may(Event::Retry(id.to_owned()))),
        ("Give up", "giveUp", state == Some(DriveState::Transferring) && (is_held || is_paused) && !is_running),
    ];
    let target = |action: &str| format!("{}/do/{action}", job_link(&job.key));
    let action = |(name, action, _): (&'static str, &str, bool)| Action {
        name,
        target: target(action),
        is_link: false,
        fields: vec![("driveId", id.to_owned())],
    };
    wishes.into_iter().filter(|(_, _, may)| *may).map(action).collect()
}

fn drive_card(api: &Api, viewer: &Viewer, job: &StoredJob, drive: &DriveStatus) -> DriveCard {
    let id = drive.drive_id.clone().unwrap_or_default();
    let record = job.copies.get(&id);
    let result = record.and_then(|record| record.result.as_ref());
    let size = |bytes: u64| ByteSize(bytes).to_string();
    let mut facts = Vec::new();
    if let Some(blob) = record.and_then(|record| record.blob.as_ref()) {
        facts.push(("blob", format!("{}/{}", blob.container, blob.name)));
    }
    if let Some(result) = result {
        facts.push(("size", size(result.bytes_total)));
        facts.push(("sent", size(result.bytes_sent)));
        facts.push(("reused", size(result.bytes_reused)));
        facts.push(("zero, never sent", size(result.bytes_zero)));
        if result.bytes_unreadable > 0 {
            facts.push(("unreadable", size(result.bytes_unreadable)));
        }
        facts.extend(result.root_sha256.map(|root| ("root SHA-256", root.to_string())));
        facts.push(("evidence", format!("{:?}", result.evidence)));
    }
    let logs = [("error log", &drive.error_log_uri), ("verbose log", &drive.verbose_log_uri), ("manifest", &drive.manifest_uri)];
    facts.extend(logs.into_iter().filter_map(|(name, uri)| Some((name, uri.clone()?))));
    DriveCard {
        state: drive.state.map(|state| format!("{state:?}")).unwrap_or_default(),
        percent: drive.percent_complete,
        status: drive.copy_status.clone().unwrap_or_default(),
        receipt: result.and_then(|result| result.receipt.as_ref().map(|receipt| receipt_bar(receipt, result.bytes_total))),
        strip: result.and_then(strip_map),
        stages: result.filter(|_| viewer.is_operator).and_then(stage_bar),
        facts,
        // What names the station is for its staff.
        operator_note: record.filter(|_| viewer.is_operator).and_then(|record| Some(record.hold.as_ref()?.message.clone())),
        actions: drive_actions(api, viewer, job, &id),
        id,
    }
}

fn receipt_bar(receipt: &Receipt, total: u64) -> ReceiptBar {
    let classes = [
        ("before", &receipt.landed_before_request),
        ("after", &receipt.landed_after_request),
        ("unknown", &receipt.outcome_unknown),
        ("never", &receipt.never_sent),
    ];
    let share = |bytes: u64| format!("{:.2}", 1000.0 * bytes as f64 / total.max(1) as f64);
    let parts = classes.iter().flat_map(|(class, ranges)| {
        ranges.ranges.as_slice().iter().map(|range| BarPart { class, x: share(range.offset), width: share(range.length) })
    });
    let text = |bytes: u64| format!("{} ({bytes} bytes)", ByteSize(bytes));
    ReceiptBar {
        parts: parts.take(BAR_PARTS_MAX).collect(),
        before: text(receipt.landed_before_request.bytes),
        after: text(receipt.landed_after_request.bytes),
        unknown: text(receipt.outcome_unknown.bytes),
        never: text(receipt.never_sent.bytes),
    }
}

/// The whole drive, with what could not be read in it.
fn strip_map(result: &TransferResult) -> Option<Bar> {
    let count = result.unreadable.len();
    let first = result.unreadable.first()?;
    let share = |bytes: u64| 1000.0 * bytes as f64 / result.bytes_total.max(1) as f64;
    let whole = BarPart { class: "before", x: "0".to_owned(), width: "1000".to_owned() };
    // A single sector of a large drive is seen too.
    let bad = result.unreadable.iter().take(BAR_PARTS_MAX).map(|range| BarPart {
        class: "lost",
        x: format!("{:.2}", share(range.offset)),
        width: format!("{:.2}", share(range.length).max(2.0)),
    });
    let bytes: u64 = result.unreadable.iter().map(|range| range.length).sum();
    let label = format!("{} in {count} places, the first at byte {}", ByteSize(bytes), first.offset);
    Some(Bar { label, parts: std::iter::once(whole).chain(bad).collect() })
}

/// The time of each stage, summed over its threads and requests.
fn stage_bar(result: &TransferResult) -> Option<Bar> {
    let stages = &result.stages;
    let named = [
        ("read", stages.read),
        ("hash", stages.hash),
        ("wait", stages.wait),
        ("send", stages.send),
        ("write", stages.write),
        ("sync", stages.sync),
    ];
    let total: f64 = named.iter().map(|(_, seconds)| seconds).sum();
    let mut x = 0.0;
    let part = |(class, seconds): &(&'static str, f64)| {
        let width = 1000.0 * seconds / total;
        let part = BarPart { class, x: format!("{x:.2}"), width: format!("{width:.2}") };
        x += width;
        part
    };
    let words: Vec<String> =
        named.iter().filter(|(_, seconds)| *seconds >= 0.01).map(|(name, seconds)| format!("{name} {seconds:.1} s")).collect();
    (total > 0.0).then(|| Bar { parts: named.iter().map(part).collect(), label: words.join(", ") })
}

/// Parts of a bar: more than a screen has points.
const BAR_PARTS_MAX: usize = 4000;

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
