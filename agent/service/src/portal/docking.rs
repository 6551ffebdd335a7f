//! Docking a drive and taking it out by hand.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use protocol::station::{Bay, BayState};
use serde::Deserialize;

use super::extract::{Operator, PageQuery, form};
use super::forms::{FieldKind, FormField, FormPage, value};
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::jobs::JobError;
use crate::state::ServiceState;

const BAYS: &str = "/portal/bays";

/// What a link fills in.
#[derive(Deserialize, Default)]
pub(super) struct DockQuery {
    #[serde(default)]
    bay: String,
    /// The drive that waits for a bay.
    #[serde(default, rename = "for")]
    awaited: String,
}

/// The form: bays that are free for docking by hand, and what is docked.
async fn page(state: &ServiceState, viewer: &Viewer) -> Result<FormPage, PageError> {
    let bays = state.scheduler.bays().await?;
    let free = bays.iter().filter(|bay| is_free(bay)).map(|bay| (bay.name.clone(), bay.name.clone()));
    // A bay that is not chosen is none: the first of the list would be a guess.
    let bay = std::iter::once((String::new(), "Choose the bay".to_owned())).chain(free).collect();
    let path = FormField {
        hint: "A block device such as /dev/disk/by-path/…, an image, or the profile of a simulated drive".into(),
        ..FormField::line("path", "Path on the bay's host", "")
    };
    let name = FormField {
        hint: "Its serial number, or the name of its file, where this is empty".into(),
        ..FormField::line("driveId", "What jobs call the drive", "")
    };
    let fields = vec![FormField::choice("bay", "Bay", bay), path, name];
    let page = FormPage::new(viewer, "Dock a drive", "/portal/dock".to_owned(), fields, "Dock it");
    let about = match bays.iter().any(|bay| bay.is_watched) {
        true => "A bay that is watched is not listed: it takes the drive that is put into it.",
        false => "Bays that have a drive are not listed.",
    };
    Ok(FormPage { above: Some((BAYS.to_owned(), "Bays".to_owned())), about: Some(about.to_owned()), ..page })
}

/// Whether a drive may be docked there by hand.
pub(super) fn is_free(bay: &Bay) -> bool {
    !bay.is_watched && bay.state == BayState::Empty && bay.drive.is_none()
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    PageQuery(query): PageQuery<DockQuery>,
) -> Result<Response, PageError> {
    let mut page = page(&state, &viewer).await?;
    if !query.awaited.is_empty() {
        // The name of the drive is not filled in: it would count for more than what the drive itself says.
        page.about = Some(format!("`{}` waits for a bay. {}", query.awaited, page.about.unwrap_or_default()));
    }
    for field in page.fields.iter_mut().filter(|field| field.name == "bay" && !query.bay.is_empty()) {
        match &field.kind {
            FieldKind::Choice(bays) if bays.iter().all(|(name, _)| *name != query.bay) => {
                field.problem = Some(format!("`{}` is not free for docking by hand now", query.bay));
            }
            _ => field.value.clone_from(&query.bay),
        }
    }
    Ok(render(&page))
}

pub(super) async fn dock(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    request: Request,
) -> Result<Response, PageError> {
    let form = form(&viewer, request.into_body()).await?;
    let text = |name: &str| value(&form, name).trim();
    let again = async |error: JobError, field: &str| page(&state, &viewer).await?.again(&form, error, field);
    if text("bay").is_empty() {
        return again(JobError::Refused("choose the bay that the drive is in".to_owned()), "bay").await;
    }
    let id = Some(text("driveId")).filter(|id| !id.is_empty());
    match state.jobs.dock(&viewer.actor, text("bay"), text("path"), id).await {
        Ok(_) => Ok(Redirect::to(BAYS).into_response()),
        Err(error) => again(error, "path").await,
    }
}

pub(super) async fn take_out(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    Path(bay): Path<String>,
    request: Request,
) -> Result<Response, PageError> {
    form(&viewer, request.into_body()).await?;
    state.jobs.undock(&viewer.actor, &bay).await?;
    Ok(Redirect::to(BAYS).into_response())
}
