//! Docking a drive and taking it out by hand.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::extract::{Operator, form};
use super::forms::{FormField, FormPage, value};
use super::links::bay_link;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::state::ServiceState;

const BAYS: &str = "/portal/bays";

fn dock_page(viewer: &Viewer, bay: &str) -> FormPage {
    let path = FormField {
        hint: "A block device such as /dev/disk/by-path/…, an image, or the profile of a simulated drive".into(),
        ..FormField::line("path", "Path on the station", "")
    };
    let name = FormField {
        hint: "Its serial number, or the name of its file, where this is empty".into(),
        ..FormField::line("driveId", "What jobs call the drive", "")
    };
    let page = FormPage::new(viewer, "Dock a drive", format!("{}/do/dock", bay_link(bay)), vec![path, name], "Dock it");
    let above = Some((BAYS.to_owned(), "Bays".to_owned()));
    FormPage { above, about: Some(format!("Into {bay}.")), ..page }
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    Path(bay): Path<String>,
) -> Result<Response, PageError> {
    if !state.scheduler.bays().await?.iter().any(|one| one.name == bay) {
        return Err(PageError::not_found(format!("there is no bay `{bay}`")));
    }
    Ok(render(&dock_page(&viewer, &bay)))
}

/// The part of a path that names a bay, and what to do there.
#[derive(Deserialize)]
pub(super) struct BayAction {
    bay: String,
    action: String,
}

/// Docks a drive, or takes one out.
pub(super) async fn carry_out(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    Path(BayAction { bay, action }): Path<BayAction>,
    request: Request,
) -> Result<Response, PageError> {
    let form = form(&viewer, request.into_body()).await?;
    match action.as_str() {
        "dock" => {
            let id = Some(value(&form, "driveId").trim()).filter(|id| !id.is_empty());
            if let Err(error) = state.jobs.dock(&viewer.actor, &bay, value(&form, "path").trim(), id).await {
                return dock_page(&viewer, &bay).again(&form, error, "path");
            }
        }
        "undock" => state.jobs.undock(&viewer.actor, &bay).await?,
        _ => return Err(PageError::not_found(format!("there is no action `{action}`"))),
    }
    Ok(Redirect::to(BAYS).into_response())
}
