//! The form that changes a job which is still being put together.

use axum::response::{IntoResponse, Redirect, Response};
use protocol::arm::{FieldProblem, PutJob};
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
    let kind = job.machine.kind;
    let about = format!("{kind} {}. What is wrong with its name, its account or its datacenter needs a new job.", job.key.name);
    let hidden = vec![("version", job.version.to_string())];
    let page = FormPage::new(viewer, "Change the job", target, fields, "Save").of_job(&job.key);
    FormPage { about: Some(about), hidden, ..page }
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
    let (problems, error, version) = match state.jobs.put(&viewer.actor, &job.key, &body, Precondition::is(shown)).await {
        Ok(put) => return Ok(Redirect::to(&job_link(&put.job.key)).into_response()),
        Err(JobError::Fields(problems)) => {
            let (problems, error) = placed(problems, &fields(job));
            (problems, error, shown)
        }
        Err(JobError::Store(StoreError::Changed)) => {
            // It was shown what is there now: saving once more is of that version.
            let error = "Somebody changed the job while this form was open. It has what you typed, and beside it what is there now: \
                         what you save replaces that.";
            (differences(job, form), error.to_owned(), job.version)
        }
        Err(JobError::Store(error @ StoreError::Refused(_))) => (Vec::new(), error.to_string(), shown),
        Err(error) => return Err(error.into()),
    };
    let fields = with_problems(fields(job), form, &problems);
    let page = page(viewer, job, fields);
    Ok(render(&FormPage { error: Some(error), hidden: vec![("version", version.to_string())], ..page }))
}

/// What is there now, of each field that has something else.
fn differences(job: &StoredJob, form: &[(String, String)]) -> Vec<FieldProblem> {
    let now = |field: FormField| {
        let is_typed = value(form, field.name).lines().eq(field.value.lines());
        let shown =
            if field.value.is_empty() { "nothing".to_owned() } else { field.value.lines().collect::<Vec<_>>().join(", ") };
        (!is_typed).then(|| FieldProblem { target: field.name.to_owned(), message: format!("now: {shown}") })
    };
    fields(job).into_iter().filter_map(now).collect()
}
