//! The form of a new job. What is wrong stands beside its field, and nothing typed is lost.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use protocol::arm::{BlobList, DriveStatus, Export, FieldProblem, JobDetails, PutJob, is_job_name, validate_put};
use protocol::job::JobKind;

use super::access::{Viewer, fields, value, viewer};
use super::forms::{FormField, FormPage, with_problems};
use super::{PageError, job_link, render};
use crate::api::{Api, body_of};
use crate::store::{Change, JobKey, Role, StoreError};

fn form_fields(api: &Api, viewer: &Viewer) -> Vec<FormField> {
    let subscriptions = match &viewer.actor.role {
        Role::Operator => Vec::new(),
        Role::Customer(own) => own.clone(),
    };
    let choice = |name, label, options: Vec<String>| {
        FormField::choice(name, label, options.into_iter().map(|option| (option.clone(), option)).collect())
    };
    let subscription = match subscriptions.is_empty() {
        true => FormField::line("subscription", "Subscription", "default"),
        false => choice("subscription", "Subscription", subscriptions),
    };
    let accounts = api.accounts.iter().map(|account| account.name.clone()).collect();
    let locations = api.locations.iter().map(|location| location.name.clone()).collect();
    vec![
        FormField {
            hint: "2 to 64 letters, digits, hyphens and underscores",
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

pub(super) async fn show(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, PageError> {
    let viewer = viewer(&api, &headers).await?;
    Ok(render(&page(&viewer, form_fields(&api, &viewer), None)))
}

fn page(viewer: &Viewer, fields: Vec<FormField>, error: Option<String>) -> FormPage {
    FormPage { error, ..FormPage::new(viewer, "New job", "/portal/new".to_owned(), fields, "Create the job") }
}

/// The body that a form means.
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
            "Verbose" => protocol::arm::LogLevel::Verbose,
            _ => protocol::arm::LogLevel::Error,
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

pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, PageError> {
    let (parts, body) = request.into_parts();
    let viewer = viewer(&api, &parts.headers).await?;
    let body = body_of(body).await.map_err(|message| PageError::Message(StatusCode::BAD_REQUEST, message))?;
    let form = fields(&viewer, &body)?;
    let key = JobKey {
        subscription: value(&form, "subscription").trim().to_owned(),
        resource_group: value(&form, "resourceGroup").trim().to_owned(),
        name: value(&form, "jobName").trim().to_owned(),
    };
    let wanted = body_of_form(&form);
    let mut problems = validate_put(&wanted);
    let mut problem = |target: &str, message: &str| {
        problems.push(FieldProblem { target: target.to_owned(), message: message.to_owned() });
    };
    if !is_job_name(&key.name) {
        problem("jobName", "it has 2 to 64 letters, digits, hyphens and underscores");
    }
    if key.subscription.is_empty() || !viewer.actor.may_use(&key.subscription) {
        problem("subscription", "it is not yours");
    }
    if key.resource_group.is_empty() {
        problem("resourceGroup", "it is required");
    }
    if !api.accounts.iter().any(|account| account.may_be_used(value(&form, "storageAccountId"), &key.subscription)) {
        problem("storageAccountId", "this station cannot reach it for this subscription");
    }
    let again = |error: String, problems: &[FieldProblem]| {
        Ok(render(&page(&viewer, with_problems(form_fields(&api, &viewer), &form, problems), Some(error))))
    };
    if !problems.is_empty() {
        return again("Some fields need another look.".to_owned(), &problems);
    }
    let change = Change { actor: &viewer.name, action: "put a job", version: None, now: api.station.now() };
    match api.store.create(&key, &wanted, &change).await {
        Ok(job) => {
            api.station.wake();
            Ok(Redirect::to(&job_link(&job.key)).into_response())
        }
        Err(error @ (StoreError::JobNameTaken(_) | StoreError::Changed)) => {
            let taken = [FieldProblem { target: "jobName".to_owned(), message: error.to_string() }];
            again("Another job has that name.".to_owned(), &taken)
        }
        Err(error) => Err(error.into()),
    }
}
