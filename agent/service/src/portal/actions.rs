//! Actions on a job, sent by forms. Each calls the same use case as the API.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use protocol::job::RetryOptions;
use protocol::operator::{CheckIn, ReturnPackage};

use super::correct::correct;
use super::edit::edit;
use super::extract::{ActionPath, JobPath, ViewedJob, form, job_of};
use super::forms::value;
use super::links::{job_link, receive_link};
use super::page::PageError;
use super::ship::ship;
use super::viewer::Viewer;
use crate::state::ServiceState;
use crate::store::Precondition;

/// Carries out one action, and shows the job again; or what was scanned, where the form has that; or the list, where the job
/// is gone.
pub(super) async fn carry_out(
    State(state): State<Arc<ServiceState>>,
    viewer: Viewer,
    Path(path): Path<JobPath>,
    Path(ActionPath { action }): Path<ActionPath>,
    request: Request,
) -> Result<Response, PageError> {
    // Before the job: a form of another site must not find out which jobs there are.
    let form = form(&viewer, request.into_body()).await?;
    let job = job_of(&state, &viewer, path).await?;
    let viewed = ViewedJob { viewer, job };
    let ViewedJob { viewer, job } = &viewed;
    match action.as_str() {
        "cancel" => {
            state.jobs.cancel(&viewer.actor, &job.key).await?;
        }
        "delete" => {
            state.jobs.delete(&viewer.actor, &job.key, Precondition::default()).await?;
            return Ok(Redirect::to("/portal/jobs").into_response());
        }
        "ship" => return ship(&state, &viewed, &form).await,
        "edit" => return edit(&state, &viewed, &form).await,
        "correctDrive" => return correct(&state, &viewed, &form).await,
        _ if viewer.is_operator => carry_out_order(&state, &viewed, &action, &form).await?,
        _ => return Err(PageError::Message(StatusCode::FORBIDDEN, "this is for operators".to_owned())),
    }
    let next = match value(&form, "code") {
        "" => job_link(&job.key),
        scanned => receive_link(scanned),
    };
    Ok(Redirect::to(&next).into_response())
}

/// What only operators may do.
async fn carry_out_order(
    state: &ServiceState,
    ViewedJob { viewer, job }: &ViewedJob,
    action: &str,
    form: &[(String, String)],
) -> Result<(), PageError> {
    let (jobs, key, actor, drive) = (&state.jobs, &job.key, &viewer.actor, value(form, "driveId"));
    let is_ticked = |name: &str| !value(form, name).is_empty();
    // The drives of an export have no names before they come.
    let named = Some(drive).filter(|drive| !drive.is_empty());
    match action {
        "checkIn" => {
            let check_in = CheckIn { drive_id: Some(drive.to_owned()), ..CheckIn::default() };
            jobs.check_in(actor, key, &check_in).await
        }
        "neverReceived" => jobs.never_received(actor, key, named).await,
        "undoNeverReceived" => jobs.undo_never_received(actor, key, named).await,
        "pause" => jobs.pause(actor, key, drive).await,
        "resume" => jobs.resume(actor, key, drive).await,
        "retry" => {
            let (restart, overwrite, rescue) = (is_ticked("restart"), is_ticked("overwrite"), is_ticked("rescue"));
            jobs.retry(actor, key, drive, RetryOptions { restart, overwrite, rescue, erase: is_ticked("erase") }).await
        }
        "giveUp" => jobs.give_up(actor, key, drive).await,
        "undoCheckIn" => jobs.undo_check_in(actor, key, drive).await,
        "undoGiveUp" => jobs.undo_give_up(actor, key, drive).await,
        "release" => jobs.release(actor, key, drive).await,
        "shipBack" => {
            let package = ReturnPackage {
                carrier_name: value(form, "carrierName").to_owned(),
                tracking_number: value(form, "trackingNumber").to_owned(),
            };
            jobs.ship_back(actor, key, &package).await
        }
        _ => return Err(PageError::not_found(format!("there is no action `{action}`"))),
    }?;
    Ok(())
}
