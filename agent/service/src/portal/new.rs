//! The form of a new job. What is wrong stands beside its field, and nothing typed is lost.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use protocol::arm::{BlobList, DriveStatus, Export, FieldProblem, JobDetails, LogLevel, PutJob};
use protocol::job::JobKind;

use super::extract::form;
use super::forms::{FormField, FormPage, value, with_problems};
use super::links::job_link;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::jobs::JobError;
use crate::state::ServiceState;
use crate::store::{JobKey, Role, StoreError};

fn form_fields(state: &ServiceState, viewer: &Viewer) -> Vec<FormField> {
    let subscriptions = match &viewer.actor.role {
        Role::Operator | Role::Station => Vec::new(),
        Role::Customer(own) => own.clone(),
    };
    let choice = |name, label, options: Vec<String>| {
        FormField::choice(name, label, options.into_iter().map(|option| (option.clone(), option)).collect())
    };
    let subscription = match subscriptions.is_empty() {
        true => FormField::line("subscription", "Subscription", "default"),
        false => choice("subscription", "Subscription", subscriptions),
    };
    let accounts = state.jobs.accounts_of(&viewer.actor);
    let locations = state.jobs.locations.iter().map(|location| location.name.clone()).collect();
    vec![
        FormField {
            hint: "2 to 64 letters, digits, hyphens and underscores".into(),
            ..FormField::line("jobName", "Name of the job", "")
        },
        subscription,
        FormField::line("resourceGroup", "Resource group", "default"),
        choice("jobType", "What it does", vec!["Import".to_owned(), "Export".to_owned()]),
        choice("storageAccountId", "Storage account", accounts),
        choice("location", "Datacenter", locations),
        FormField::long("driveList", "Drives of an import", "One serial number a line"),
        FormField::long("blobPath", "Blobs of an export", "One /CONTAINER/NAME a line"),
        FormField::long(
            "blobPathPrefix",
            "Blobs of an export by the beginning of their names",
            "One a line: / for all, /CONTAINER/ for a container",
        ),
        choice("logLevel", "Log", vec!["Error".to_owned(), "Verbose".to_owned()]),
    ]
}

pub(super) async fn show(State(state): State<Arc<ServiceState>>, viewer: Viewer) -> Response {
    render(&page(&viewer, form_fields(&state, &viewer), None))
}

fn page(viewer: &Viewer, fields: Vec<FormField>, error: Option<String>) -> FormPage {
    FormPage { error, ..FormPage::new(viewer, "New job", "/portal/new".to_owned(), fields, "Create the job") }
}

/// The body that the form stands for, as the API would get it.
fn body_of_form(form: &[(String, String)]) -> PutJob {
    let lines = |name: &str| {
        let lines = value(form, name).lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let kind = if value(form, "jobType") == "Export" { JobKind::Export } else { JobKind::Import };
    let drive = |id: String| DriveStatus { drive_id: Some(id), ..DriveStatus::default() };
    let details = JobDetails {
        storage_account_id: Some(format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{}",
            value(form, "subscription"),
            value(form, "resourceGroup"),
            value(form, "storageAccountId")
        )),
        job_type: Some(kind),
        log_level: Some(match value(form, "logLevel") {
            "Verbose" => LogLevel::Verbose,
            _ => LogLevel::Error,
        }),
        drive_list: (kind == JobKind::Import).then(|| lines("driveList").into_iter().map(drive).collect()),
        export: (kind == JobKind::Export).then(|| Export {
            blob_list: Some(BlobList { blob_path: lines("blobPath"), blob_path_prefix: lines("blobPathPrefix") }),
            blob_list_blob_path: None,
        }),
        ..JobDetails::default()
    };
    PutJob { location: Some(value(form, "location").to_owned()), tags: None, properties: Some(details) }
}

pub(super) async fn create(
    State(state): State<Arc<ServiceState>>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, PageError> {
    let form = form(&viewer, request.into_body()).await?;
    let key = JobKey {
        subscription: value(&form, "subscription").trim().to_owned(),
        resource_group: value(&form, "resourceGroup").trim().to_owned(),
        name: value(&form, "jobName").trim().to_owned(),
    };
    let (error, problems) = match state.jobs.create(&viewer.actor, &key, &body_of_form(&form)).await {
        Ok(job) => return Ok(Redirect::to(&job_link(&job.key)).into_response()),
        Err(JobError::Fields(problems)) => ("Some fields need another look.", problems),
        Err(JobError::Store(error @ (StoreError::JobNameTaken(_) | StoreError::Changed))) => {
            let taken = FieldProblem { target: "jobName".to_owned(), message: error.to_string() };
            ("Another job has that name.", vec![taken])
        }
        Err(error) => return Err(error.into()),
    };
    let fields = with_problems(form_fields(&state, &viewer), &form, &problems);
    Ok(render(&page(&viewer, fields, Some(error.to_owned()))))
}
