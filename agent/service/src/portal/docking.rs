//! Drives that staff dock, check in and take out by hand.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use protocol::arm::FieldProblem;
use protocol::job::JobKind;
use protocol::station::BayState;
use serde::Deserialize;

use super::access::{Viewer, fields, operator, value};
use super::forms::{FormField, FormPage, with_problems};
use super::{PageError, bay_link, job_link, render};
use crate::api::{Api, body_of};
use crate::station::{CheckIn, OrderError};

const BAYS: &str = "/portal/bays";

/// An operator's form.
async fn form_of(api: &Api, request: Request) -> Result<(Viewer, Vec<(String, String)>), PageError> {
    let (parts, body) = request.into_parts();
    let viewer = operator(api, &parts.headers).await?;
    let body = body_of(body).await.map_err(|message| PageError::Message(StatusCode::BAD_REQUEST, message))?;
    let form = fields(&viewer, &body)?;
    Ok((viewer, form))
}

fn dock_page(viewer: &Viewer, bay: &str) -> FormPage {
    let path = FormField {
        hint: "A block device such as /dev/disk/by-path/…, an image, or the profile of a simulated drive",
        ..FormField::line("path", "Path on the station", "")
    };
    let name = FormField {
        hint: "Its serial number, or the name of its file, where this is empty",
        ..FormField::line("driveId", "What jobs call the drive", "")
    };
    let page = FormPage::new(viewer, "Dock a drive", format!("{}/do/dock", bay_link(bay)), vec![path, name], "Dock it");
    FormPage { about: Some(format!("Into {bay}.")), ..page }
}

pub(super) async fn ask_dock(
    State(api): State<Arc<Api>>,
    Path(bay): Path<String>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let viewer = operator(&api, &headers).await?;
    if !api.station.bays().await?.iter().any(|one| one.name == bay) {
        return Err(PageError::Message(StatusCode::NOT_FOUND, format!("there is no bay `{bay}`")));
    }
    Ok(render(&dock_page(&viewer, &bay)))
}

/// Docks a drive, or takes one out.
pub(super) async fn carry_out(
    State(api): State<Arc<Api>>,
    Path((bay, action)): Path<(String, String)>,
    request: Request,
) -> Result<Response, PageError> {
    let (viewer, form) = form_of(&api, request).await?;
    match action.as_str() {
        "dock" => {
            let id = Some(value(&form, "driveId").trim()).filter(|id| !id.is_empty());
            if let Err(error) = api.station.dock(&bay, value(&form, "path").trim(), id, &viewer.name).await {
                let page = dock_page(&viewer, &bay);
                return again(page, &form, error, "path");
            }
        }
        "undock" => api.station.undock(&bay, &viewer.name).await.map_err(PageError::from)?,
        _ => return Err(PageError::Message(StatusCode::NOT_FOUND, format!("there is no action `{action}`"))),
    }
    Ok(Redirect::to(BAYS).into_response())
}

/// The form once more, with what is wrong beside the field that it is most likely about.
fn again(page: FormPage, form: &[(String, String)], error: OrderError, field: &str) -> Result<Response, PageError> {
    if matches!(error, OrderError::Store(crate::store::StoreError::Database(_))) {
        return Err(error.into());
    }
    let problem = [FieldProblem { target: field.to_owned(), message: error.to_string() }];
    let fields = with_problems(page.fields, form, &problem);
    Ok(render(&FormPage { fields, error: Some("That did not work.".to_owned()), ..page }))
}

/// What a check-in is about, as far as a link says it.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    bay: String,
    #[serde(default)]
    job: String,
}

/// Drives that wait in bays, and jobs that wait for drives.
async fn check_in_page(api: &Api, viewer: &Viewer) -> Result<FormPage, PageError> {
    let bays = api.station.bays().await?;
    let idle = bays.into_iter().filter(|bay| bay.state == BayState::Docked);
    let bays: Vec<_> = idle
        .filter_map(|bay| {
            let id = bay.drive?.drive_id?;
            Some((bay.name.clone(), format!("{id} in {}", bay.name)))
        })
        .collect();
    let jobs = api.station.waiting_for_drives().await?.into_iter().map(|job| {
        let kind = match job.machine.kind {
            JobKind::Import => "import",
            JobKind::Export => "export",
        };
        let key = &job.key;
        (job.uid.clone(), format!("{} ({kind}; {}, {})", key.name, key.subscription, key.resource_group))
    });
    let fields = vec![
        FormField::choice("bay", "Drive", bays),
        FormField::choice("job", "Job", jobs.collect()),
        FormField::check(
            "erase",
            "What is on the drive may go",
            "Only for an export whose drive is not empty: it is overwritten",
        ),
    ];
    Ok(FormPage::new(viewer, "Check in a drive", "/portal/check-in".to_owned(), fields, "Check it in"))
}

pub(super) async fn ask_check_in(
    State(api): State<Arc<Api>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let viewer = operator(&api, &headers).await?;
    let mut page = check_in_page(&api, &viewer).await?;
    for (field, wanted) in page.fields.iter_mut().zip([wanted.bay, wanted.job]).filter(|(_, wanted)| !wanted.is_empty()) {
        field.value = wanted;
    }
    Ok(render(&page))
}

pub(super) async fn check_in(State(api): State<Arc<Api>>, request: Request) -> Result<Response, PageError> {
    let (viewer, form) = form_of(&api, request).await?;
    let wanted = CheckIn { drive_id: None, bay: Some(value(&form, "bay").to_owned()), erase: !value(&form, "erase").is_empty() };
    let Some(job) = api.store.by_uid(value(&form, "job")).await? else {
        let error = OrderError::Refused("choose the job that the drive is for".to_owned());
        return again(check_in_page(&api, &viewer).await?, &form, error, "job");
    };
    match api.station.check_in(&job.key, &wanted, &viewer.name).await {
        Ok(job) => Ok(Redirect::to(&job_link(&job.key)).into_response()),
        Err(error) => again(check_in_page(&api, &viewer).await?, &form, error, "bay"),
    }
}
