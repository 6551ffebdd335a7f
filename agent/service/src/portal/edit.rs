//! The form that changes a job which is still being put together.

use axum::response::{IntoResponse, Redirect, Response};
use protocol::arm::PutJob;
use protocol::job::{JobState, Refusal};

use super::extract::ViewedJob;
use super::forms::{FormField, FormPage, value, with_problems};
use super::job_form::{details_of_form, job_fields, placed};
use super::links::job_link;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::jobs::JobError;
use crate::state::ServiceState;
use crate::store::{Precondition, StoreError, StoredJob};

fn page(viewer: &Viewer, job: &StoredJob, fields: Vec<FormField>) -> FormPage {
    let target = format!("{}/do/edit", job_link(&job.key));
    let about = format!("{} {}. What is wrong with its name or its account needs a new job.", job.machine.kind, job.key.name);
    let hidden = vec![("version", job.version.to_string())];
    FormPage { about: Some(about), hidden, ..FormPage::new(viewer, "Change the job", target, fields, "Save") }
}

fn fields(job: &StoredJob) -> Vec<FormField> {
    job_fields(job.machine.kind, &job.details)
}

pub(super) async fn show(ViewedJob { viewer, job }: ViewedJob) -> Result<Response, PageError> {
    match job.machine.state {
        JobState::Creating => Ok(render(&page(&viewer, &job, fields(&job)))),
        state => Err(StoreError::Refused(Refusal::NotInThisState { action: "changed", state }).into()),
    }
}

/// Changes the job, or shows the form again with what is wrong beside its fields.
pub(super) async fn edit(state: &ServiceState, viewed: &ViewedJob, form: &[(String, String)]) -> Result<Response, PageError> {
    let ViewedJob { viewer, job } = viewed;
    // Of the version that the form showed: what somebody else changed meanwhile is not undone.
    let shown = value(form, "version").parse().unwrap_or(-1);
    let details = details_of_form(job.machine.kind, form, job.details.clone());
    let body = PutJob { location: Some(job.location.clone()), tags: job.tags.clone(), properties: Some(details) };
    let (problems, error) = match state.jobs.put(&viewer.actor, &job.key, &body, Precondition::is(shown)).await {
        Ok(put) => return Ok(Redirect::to(&job_link(&put.job.key)).into_response()),
        Err(JobError::Fields(problems)) => placed(problems, &fields(job)),
        Err(JobError::Store(error @ (StoreError::Refused(_) | StoreError::Changed))) => (Vec::new(), error.to_string()),
        Err(error) => return Err(error.into()),
    };
    let fields = with_problems(fields(job), form, &problems);
    let page = page(viewer, job, fields);
    Ok(render(&FormPage { error: Some(error), hidden: vec![("version", shown.to_string())], ..page }))
}
