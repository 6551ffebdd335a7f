//! A new job: which kind, its form, and a look at what was typed before it is created. What is wrong stands beside its field, and
//! nothing typed is lost.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use protocol::arm::{FieldProblem, JobDetails, PutJob};
use protocol::job::JobKind;
use serde::Deserialize;

use super::extract::{PageQuery, form};
use super::forms::{FormField, FormPage, value, with_problems};
use super::job_form::{blob_names, details_of_form, job_fields, lines, placed};
use super::links::job_link;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::jobs::JobError;
use crate::state::ServiceState;
use crate::store::{JobKey, Role, StoreError};

/// Which kind of job: `Import` or `Export`.
#[derive(Deserialize)]
pub(super) struct NewQuery {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Template)]
#[template(path = "new.html")]
struct ChoosePage {
    title: &'static str,
    viewer: Option<Viewer>,
}

/// What was typed, before the job is created.
#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    title: &'static str,
    viewer: Option<Viewer>,
    csrf: String,
    kind: JobKind,
    facts: Vec<(&'static str, Vec<String>)>,
    form: Vec<(String, String)>,
}

fn form_fields(state: &ServiceState, viewer: &Viewer, kind: JobKind) -> Vec<FormField> {
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
    let mut fields = vec![
        FormField {
            hint: "2 to 64 letters, digits, hyphens and underscores".into(),
            ..FormField::line("jobName", "Name of the job", "")
        },
        subscription,
        FormField::line("resourceGroup", "Resource group", "default"),
        choice("storageAccountId", "Storage account", accounts),
        choice("location", "Datacenter", locations),
    ];
    fields.extend(job_fields(kind, &JobDetails::default()));
    fields
}

fn kind_of(name: &str) -> Option<JobKind> {
    [JobKind::Import, JobKind::Export].into_iter().find(|kind| kind.name() == name)
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    viewer: Viewer,
    PageQuery(query): PageQuery<NewQuery>,
) -> Response {
    match query.kind.as_deref().and_then(kind_of) {
        Some(kind) => render(&page(&viewer, kind, form_fields(&state, &viewer, kind), None)),
        None => render(&ChoosePage { title: "New job", viewer: Some(viewer) }),
    }
}

fn page(viewer: &Viewer, kind: JobKind, fields: Vec<FormField>, error: Option<String>) -> FormPage {
    let about = match kind {
        JobKind::Import => "An import copies your drives into the storage account.",
        JobKind::Export => "An export copies blobs of the storage account onto empty drives that you send.",
    };
    let page = FormPage::new(viewer, "New job", "/portal/new".to_owned(), fields, "Look it over");
    FormPage { about: Some(about.to_owned()), error, hidden: vec![("jobType", kind.name().to_owned())], ..page }
}

/// The body that the form stands for, as the API would get it.
fn body_of_form(kind: JobKind, form: &[(String, String)]) -> PutJob {
    let account = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{}",
        value(form, "subscription"),
        value(form, "resourceGroup"),
        value(form, "storageAccountId")
    );
    let details = JobDetails { storage_account_id: Some(account), ..JobDetails::default() };
    let properties = Some(details_of_form(kind, form, details));
    PutJob { location: Some(value(form, "location").to_owned()), tags: None, properties }
}

/// Shows what was typed, goes back to the form, or creates the job: as the button says that was pressed.
pub(super) async fn create(
    State(state): State<Arc<ServiceState>>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, PageError> {
    let form = form(&viewer, request.into_body()).await?;
    let kind = kind_of(value(&form, "jobType"))
        .ok_or_else(|| PageError::not_found("a job is an `Import` or an `Export`: choose one under “New job”".to_owned()))?;
    let key = JobKey {
        subscription: value(&form, "subscription").trim().to_owned(),
        resource_group: value(&form, "resourceGroup").trim().to_owned(),
        name: value(&form, "jobName").trim().to_owned(),
    };
    let again = |problems: Vec<FieldProblem>, error: Option<&str>| {
        let fields = form_fields(&state, &viewer, kind);
        let (problems, sentence) = placed(problems, &fields);
        let error = error.map(|error| if error.is_empty() { sentence } else { error.to_owned() });
        render(&page(&viewer, kind, with_problems(fields, &form, &problems), error))
    };
    let body = body_of_form(kind, &form);
    let error = match value(&form, "step") {
        "change" => return Ok(again(Vec::new(), None)),
        "create" => match state.jobs.create(&viewer.actor, &key, &body).await {
            Ok(job) => return Ok(Redirect::to(&job_link(&job.key)).into_response()),
            Err(error) => error,
        },
        _ => match state.jobs.check_new(&viewer.actor, &key, &body).await {
            Ok(()) => return Ok(review(viewer, kind, form)),
            Err(error) => error,
        },
    };
    match error {
        JobError::Fields(problems) => Ok(again(problems, Some(""))),
        JobError::Store(error @ (StoreError::JobNameTaken(_) | StoreError::Changed)) => {
            let taken = FieldProblem { target: "jobName".to_owned(), message: error.to_string() };
            Ok(again(vec![taken], Some("Another job has that name.")))
        }
        error => Err(error.into()),
    }
}

/// The page that shows what was typed. Keys are not shown, and go with the form.
fn review(viewer: Viewer, kind: JobKind, form: Vec<(String, String)>) -> Response {
    let one = |name: &str| vec![value(&form, name).trim().to_owned()];
    let mut facts = vec![
        ("name", one("jobName")),
        ("subscription", one("subscription")),
        ("resource group", one("resourceGroup")),
        ("storage account", one("storageAccountId")),
        ("datacenter", one("location")),
    ];
    match kind {
        JobKind::Import => facts.push(("drives", lines(&form, "driveList").iter().map(|line| without_key(line)).collect())),
        JobKind::Export => {
            let listed = Some(one("blobListBlobPath")).filter(|path| !path.concat().is_empty()).unwrap_or_default();
            let blobs =
                [("blobs", blob_names(&form, "blobPath")), ("blobs that begin with", blob_names(&form, "blobPathPrefix"))];
            facts.extend(blobs.into_iter().chain([("blobs listed in", listed)]).filter(|(_, lines)| !lines.is_empty()));
        }
    }
    facts.push(("log", one("logLevel")));
    let keeps = if value(&form, "backupDriveManifest").is_empty() { "beside the blobs alone" } else { "beside the logs too" };
    facts.push(("manifests", vec![keeps.to_owned()]));
    let csrf = viewer.csrf.clone();
    let form = form.into_iter().filter(|(name, _)| !matches!(name.as_str(), "csrf" | "step")).collect();
    render(&ReviewPage { title: "New job", viewer: Some(viewer), csrf, kind, facts, form })
}

fn without_key(line: &str) -> String {
    match line.split_once(char::is_whitespace) {
        None => line.to_owned(),
        Some((id, _)) => format!("{id}, with a BitLocker key"),
    }
}
