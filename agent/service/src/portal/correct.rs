//! The form that corrects the serial number of a drive that has not come.

use axum::response::{IntoResponse, Redirect, Response};

use super::extract::{ViewedDrive, ViewedJob};
use super::forms::{FormField, FormPage, value, with_problems};
use super::links::job_link;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::jobs::JobError;
use crate::state::ServiceState;
use crate::store::{StoreError, StoredJob};

/// The form about the drive `id`.
fn page(viewer: &Viewer, job: &StoredJob, id: &str) -> FormPage {
    let fields = vec![FormField::line("driveId", "Serial number", id)];
    let target = format!("{}/do/correctDrive", job_link(&job.key));
    let page = FormPage::new(viewer, "Correct the serial number", target, fields, "Correct it").of_job(&job.key);
    let about = format!("The drive that the job calls {id}. Its key and everything else of it stay as they are.");
    FormPage { about: Some(about), hidden: vec![("drive", id.to_owned())], ..page }
}

pub(super) async fn show(ViewedDrive { viewer, job, id }: ViewedDrive) -> Response {
    render(&page(&viewer, &job, &id))
}

/// Corrects it, or shows the form again with what is wrong beside its field.
pub(super) async fn correct(state: &ServiceState, viewed: &ViewedJob, form: &[(String, String)]) -> Result<Response, PageError> {
    let (id, to) = (value(form, "drive"), value(form, "driveId"));
    let ViewedJob { viewer, job } = viewed;
    let (error, problems) = match state.jobs.correct_drive(&viewer.actor, &job.key, id, to).await {
        Ok(job) => return Ok(Redirect::to(&job_link(&job.key)).into_response()),
        Err(JobError::Fields(problems)) => ("That cannot be a serial number.".to_owned(), problems),
        Err(JobError::Store(error @ StoreError::Refused(_))) => (error.to_string(), Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let page = page(viewer, job, id);
    let fields = with_problems(page.fields, form, &problems);
    Ok(render(&FormPage { fields, error: Some(error), ..page }))
}
