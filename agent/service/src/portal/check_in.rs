//! The form that checks a docked drive in to a job.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use protocol::operator::CheckIn;
use protocol::station::BayState;
use serde::Deserialize;

use super::extract::{Operator, form};
use super::forms::{FormField, FormPage, value};
use super::links::job_link;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::jobs::JobError;
use crate::state::ServiceState;

/// The bay and the job that a link chooses in the form.
#[derive(Deserialize)]
pub(super) struct CheckInQuery {
    #[serde(default)]
    bay: String,
    #[serde(default)]
    job: String,
}

/// The form: drives that wait in bays, and jobs that wait for drives.
async fn page(state: &ServiceState, viewer: &Viewer) -> Result<FormPage, PageError> {
    let bays = state.scheduler.bays().await?;
    let idle = bays.into_iter().filter(|bay| bay.state == BayState::Docked);
    let bays: Vec<_> = idle
        .filter_map(|bay| {
            let id = bay.drive?.drive_id?;
            Some((bay.name.clone(), format!("{id} in {}", bay.name)))
        })
        .collect();
    let jobs = state.scheduler.waiting_for_drives().await?.into_iter().map(|job| {
        let kind = job.machine.kind.name().to_ascii_lowercase();
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

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    Query(query): Query<CheckInQuery>,
) -> Result<Response, PageError> {
    let mut page = page(&state, &viewer).await?;
    for (field, chosen) in page.fields.iter_mut().zip([query.bay, query.job]).filter(|(_, chosen)| !chosen.is_empty()) {
        field.value = chosen;
    }
    Ok(render(&page))
}

pub(super) async fn check_in(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    request: Request,
) -> Result<Response, PageError> {
    let form = form(&viewer, request.into_body()).await?;
    let bay = Some(value(&form, "bay").to_owned());
    let check_in = CheckIn { drive_id: None, bay, erase: !value(&form, "erase").is_empty() };
    let Some(job) = state.store.by_uid(value(&form, "job")).await? else {
        let error = JobError::Refused("choose the job that the drive is for".to_owned());
        return page(&state, &viewer).await?.again(&form, error, "job");
    };
    match state.jobs.check_in(&viewer.actor, &job.key, &check_in).await {
        Ok(job) => Ok(Redirect::to(&job_link(&job.key)).into_response()),
        Err(error) => page(&state, &viewer).await?.again(&form, error, "bay"),
    }
}
