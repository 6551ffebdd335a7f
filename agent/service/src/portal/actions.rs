//! What is done with a job: pages that ask first, and forms that do it. What the API would refuse is refused here.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use protocol::arm::{UpdateJob, UpdateProperties, validate_update};
use protocol::job::{Event, Field, JobState, RetryOptions};
use protocol::units::ByteSize;

use super::access::{Viewer, fields, job_of, operator, value, viewer};
use super::drive::DrivePlace;
use super::forms::{FormField, FormPage, address_fields, address_of, with_problems};
use super::{PageError, job_link, render};
use crate::api::{Api, body_of};
use crate::station::{CheckIn, ReturnPackage};
use crate::store::{Change, StoreError, StoredJob};

type Place = Path<(String, String, String)>;

/// A page that asks before something that is never taken back.
#[derive(Template)]
#[template(path = "ask.html")]
struct AskPage {
    title: String,
    viewer: Option<Viewer>,
    sentences: Vec<&'static str>,
    list: Vec<String>,
    target: String,
    button: &'static str,
    back: String,
    csrf: String,
}

impl AskPage {
    fn new(viewer: Viewer, title: String, job: &StoredJob, action: &str, button: &'static str) -> Self {
        let back = job_link(&job.key);
        let (sentences, list) = (Vec::new(), Vec::new());
        let (csrf, target) = (viewer.csrf.clone(), format!("{back}/do/{action}"));
        AskPage { title, csrf, viewer: Some(viewer), sentences, list, target, button, back }
    }
}

pub(super) async fn ask_cancel(
    State(api): State<Arc<Api>>,
    Path(place): Place,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let viewer = viewer(&api, &headers).await?;
    let job = job_of(&api, &viewer, place).await?;
    let line = |drive: &protocol::job::JobDrive| {
        let progress = api.station.progress(&job.uid, &drive.id)?;
        let [done, total, in_flight] =
            [progress.bytes_done, progress.bytes_total, progress.bytes_in_flight].map(|bytes| ByteSize(bytes).to_string());
        Some(format!("{}: {done} of {total} landed, {in_flight} in flight", drive.id))
    };
    let list: Vec<String> = job.machine.drives.iter().filter_map(line).collect();
    let best_effort = "A cancel is best effort: no new chunk starts, chunks in flight land, the drives go back, and the receipts say exactly what moved. It is never taken back.";
    let now = if list.is_empty() { "Nothing is being copied just now." } else { "Being copied just now:" };
    let ask = AskPage::new(viewer, format!("Cancel {}?", job.key.name), &job, "cancel", "Cancel the job");
    Ok(render(&AskPage { sentences: vec![best_effort, now], list, ..ask }))
}

pub(super) async fn ask_delete(
    State(api): State<Arc<Api>>,
    Path(place): Place,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let viewer = viewer(&api, &headers).await?;
    let job = job_of(&api, &viewer, place).await?;
    let gone =
        "The job goes at once, with its addresses, keys and tracking numbers, and its receipts here. It is never taken back.";
    let stays = "Blobs stay in the storage account, and so do the documents that were written there.";
    let ask = AskPage::new(viewer, format!("Delete {}?", job.key.name), &job, "delete", "Delete the job");
    Ok(render(&AskPage { sentences: vec![gone, stays], ..ask }))
}

fn parcel_fields() -> Vec<FormField> {
    vec![FormField::line("carrierName", "Carrier", ""), FormField::line("trackingNumber", "Tracking number", "")]
}

fn ship_form(viewer: &Viewer, job: &StoredJob, error: Option<String>, mut form: Vec<FormField>) -> FormPage {
    if form.is_empty() {
        form = parcel_fields();
        form.push(FormField::line("driveCount", "Drives in the parcel", "1"));
        form.extend(address_fields(job.details.return_address.as_ref()));
    }
    let target = format!("{}/do/ship", job_link(&job.key));
    FormPage { error, ..FormPage::new(viewer, "Ship", target, form, "The drives are on their way") }
}

pub(super) async fn ask_ship(State(api): State<Arc<Api>>, Path(place): Place, headers: HeaderMap) -> Result<Response, PageError> {
    let viewer = viewer(&api, &headers).await?;
    let job = job_of(&api, &viewer, place).await?;
    Ok(render(&ship_form(&viewer, &job, None, Vec::new())))
}

pub(super) async fn ask_ship_back(
    State(api): State<Arc<Api>>,
    Path(place): Place,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let viewer = operator(&api, &headers).await?;
    let job = job_of(&api, &viewer, place).await?;
    let target = format!("{}/do/shipBack", job_link(&job.key));
    Ok(render(&FormPage::new(&viewer, "Send the drives back", target, parcel_fields(), "They went back")))
}

pub(super) async fn ask_retry(
    State(api): State<Arc<Api>>,
    Path((subscription, group, name, id)): Path<DrivePlace>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let viewer = operator(&api, &headers).await?;
    let job = job_of(&api, &viewer, (subscription, group, name)).await?;
    if job.machine.drive(&id).is_none() {
        return Err(PageError::Message(StatusCode::NOT_FOUND, format!("the job has no drive `{id}`")));
    }
    let fields = vec![
        FormField::check("rescue", "Rescue", "Get every sector that the drive still gives, and fill and list what it does not"),
        FormField::check("restart", "From the beginning", "Forget what was copied before"),
        FormField::check("overwrite", "Overwrite", "Replace a blob that is there already"),
    ];
    let held = job.copies.get(&id).and_then(|record| record.hold.as_ref());
    let about = held.map_or_else(|| id.clone(), |hold| format!("{id}: {}", hold.message));
    let target = format!("{}/do/retry", job_link(&job.key));
    let page = FormPage::new(&viewer, "Try again", target, fields, "Copy it");
    Ok(render(&FormPage { about: Some(about), hidden: vec![("driveId", id)], ..page }))
}

/// Carries out one action, and shows the job again; or the list, where it is gone.
pub(super) async fn carry_out(
    State(api): State<Arc<Api>>,
    Path((subscription, group, name, action)): Path<(String, String, String, String)>,
    request: Request,
) -> Result<Response, PageError> {
    let (parts, body) = request.into_parts();
    let viewer = viewer(&api, &parts.headers).await?;
    let body = body_of(body).await.map_err(|message| PageError::Message(StatusCode::BAD_REQUEST, message))?;
    let form = fields(&viewer, &body)?;
    let job = job_of(&api, &viewer, (subscription, group, name)).await?;
    let change = |action| Change { actor: &viewer.name, action, version: None, now: api.station.now() };
    match action.as_str() {
        "cancel" => {
            api.store.change(&job.key, &change("asked for a cancel"), |_| Ok(vec![Event::Cancel])).await?;
        }
        "delete" => {
            api.store.change(&job.key, &change("deleted a job"), |_| Ok(vec![Event::Delete])).await?;
            api.station.wake();
            return Ok(Redirect::to("/portal/jobs").into_response());
        }
        "ship" => {
            if let Err(page) = ship(&api, &viewer, &job, &form).await? {
                return Ok(render(&*page));
            }
        }
        _ if viewer.is_operator => order(&api, &viewer, &job, &action, &form).await?,
        _ => return Err(PageError::Message(StatusCode::FORBIDDEN, "this is for operators".to_owned())),
    }
    api.station.wake();
    Ok(Redirect::to(&job_link(&job.key)).into_response())
}

/// Ships, or gives the form back with what is wrong beside its fields.
async fn ship(
    api: &Api,
    viewer: &Viewer,
    job: &StoredJob,
    form: &[(String, String)],
) -> Result<Result<(), Box<FormPage>>, PageError> {
    let package = protocol::arm::DeliveryPackage {
        carrier_name: value(form, "carrierName").to_owned(),
        tracking_number: value(form, "trackingNumber").to_owned(),
        drive_count: Some(value(form, "driveCount").parse().unwrap_or(0)),
        ship_date: None,
    };
    let update = UpdateJob {
        tags: None,
        properties: Some(UpdateProperties {
            state: Some(JobState::Shipping),
            delivery_package: Some(package.clone()),
            return_address: Some(address_of(form)),
            ..UpdateProperties::default()
        }),
    };
    let problems = validate_update(&update);
    let again = |error: Option<String>| {
        let mut fields = parcel_fields();
        fields.push(FormField::line("driveCount", "Drives in the parcel", ""));
        fields.extend(address_fields(None));
        Box::new(ship_form(viewer, job, error, with_problems(fields, form, &problems)))
    };
    if !problems.is_empty() {
        return Ok(Err(again(Some("Some fields need another look.".to_owned()))));
    }
    let change = Change { actor: &viewer.name, action: "shipped a job", version: None, now: api.station.now() };
    let shipped = api.store.change(&job.key, &change, |job| {
        job.machine.expected_drives = usize::try_from(package.drive_count.unwrap_or(1)).unwrap_or(1);
        job.details.delivery_package = Some(package.clone());
        job.details.return_address = Some(address_of(form));
        Ok(vec![Event::Change(vec![Field::DeliveryPackage, Field::ReturnAddress]), Event::Ship])
    });
    match shipped.await {
        Ok(_) => Ok(Ok(())),
        Err(error @ StoreError::Refused(_)) => Ok(Err(again(Some(error.to_string())))),
        Err(error) => Err(error.into()),
    }
}

async fn order(api: &Api, viewer: &Viewer, job: &StoredJob, action: &str, form: &[(String, String)]) -> Result<(), PageError> {
    let (station, key, actor, drive) = (&api.station, &job.key, viewer.name.as_str(), value(form, "driveId"));
    let is_ticked = |name: &str| !value(form, name).is_empty();
    match action {
        "checkIn" => {
            station.check_in(key, &CheckIn { drive_id: Some(drive.to_owned()), ..CheckIn::default() }, actor).await?;
        }
        "neverReceived" => {
            station.never_received(key, drive, actor).await?;
        }
        "pause" => {
            station.pause(key, drive, actor).await?;
        }
        "resume" => {
            station.go_on(key, drive, false, RetryOptions::default(), actor).await?;
        }
        "retry" => {
            let retry =
                RetryOptions { restart: is_ticked("restart"), overwrite: is_ticked("overwrite"), rescue: is_ticked("rescue") };
            station.go_on(key, drive, true, retry, actor).await?;
        }
        "giveUp" => {
            station.give_up(key, drive, actor).await?;
        }
        "shipBack" => {
            let package = ReturnPackage {
                carrier_name: value(form, "carrierName").to_owned(),
                tracking_number: value(form, "trackingNumber").to_owned(),
            };
            station.ship_back(key, &package, actor).await?;
        }
        _ => return Err(PageError::Message(StatusCode::NOT_FOUND, format!("there is no action `{action}`"))),
    }
    Ok(())
}
