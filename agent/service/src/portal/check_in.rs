//! The form that checks a docked drive in to a job, whatever serial number the drive reports.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use protocol::operator::CheckIn;
use protocol::station::{Bay, BayState};
use serde::Deserialize;

use super::extract::{Operator, PageQuery, form};
use super::forms::{FormField, FormPage, value};
use super::links::{job_link, key_of_path};
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::jobs::JobError;
use crate::state::ServiceState;
use crate::store::{StoreError, StoredJob};

/// Jobs that the form lists: where there are more, a part of the name finds the others.
const JOBS_MAX: u32 = 100;

/// What a link fills in, and what is searched for.
#[derive(Deserialize, Default)]
pub(super) struct CheckInQuery {
    #[serde(default)]
    bay: String,
    /// The path of a job.
    #[serde(default)]
    job: String,
    #[serde(default)]
    drive: String,
    /// What the name of the job has in it.
    #[serde(default)]
    search: String,
}

/// The form: drives that wait in bays, jobs that wait for drives, and which drive of the job it is.
async fn page(state: &ServiceState, viewer: &Viewer, query: &CheckInQuery) -> Result<FormPage, PageError> {
    let bays = state.scheduler.bays().await?;
    let idle: Vec<&Bay> = bays.iter().filter(|bay| bay.state == BayState::Docked && bay.drive.is_some()).collect();
    // A bay that is not chosen is none: the drive in the first one may be another customer's.
    let nowhere = (String::new(), "It came, and is in no bay yet".to_owned());
    let bays = std::iter::once(nowhere).chain(idle.iter().map(|bay| (bay.name.clone(), bay_text(bay)))).collect();
    let mut jobs = state.store.taking_drives(query.search.trim(), JOBS_MAX).await?;
    if let Some(key) = key_of_path(&query.job).filter(|_| jobs.iter().all(|job| job.key.path() != query.job)) {
        match state.store.get(&key).await {
            Ok(job) => jobs.push(job),
            // It was removed meanwhile.
            Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // A job that is not chosen is none: the first of the list would be a guess.
    let none = (String::new(), "Choose the job".to_owned());
    let jobs = std::iter::once(none).chain(jobs.iter().map(|job| (job.key.path(), job_text(job)))).collect();
    let drive = FormField {
        hint: "Empty for the one whose serial number the drive tells; else the name that the job has for it, or that an export's drive is to have".into(),
        ..FormField::line("drive", "Which drive of the job it is", "")
    };
    let fields = vec![
        FormField::choice("bay", "The drive in your hands", bays),
        FormField::choice("job", "Job", jobs),
        drive,
        FormField::check(
            "erase",
            "What is on the drive may go",
            "Only for an export whose drive is not empty: it is overwritten",
        ),
        FormField::check("spare", "It goes back unused", "Only for an export: the drive is not needed, or unsuitable"),
        FormField::check(
            "takeOver",
            "It was checked in for another job by mistake",
            "From now on it is a drive of this job, and not of the other",
        ),
    ];
    let page = FormPage::new(viewer, "Check in a drive", "/portal/check-in".to_owned(), fields, "Check it in");
    let about = "What you say here counts, whatever serial number the drive tells: compare the label on the drive and the tracking number of its parcel.";
    let above = Some(("/portal/bays".to_owned(), "Bays".to_owned()));
    Ok(FormPage { above, about: Some(about.to_owned()), search: Some(query.search.clone()), ..page })
}

fn bay_text(bay: &Bay) -> String {
    let serial = bay.drive.as_ref().and_then(|drive| drive.drive_id.as_deref()).unwrap_or("a drive without a serial number");
    let is_weak = bay.drive.as_ref().is_some_and(|drive| !drive.weak_identity.is_empty());
    format!("{serial} in {}{}", bay.name, if is_weak { " (not certain which drive it is)" } else { "" })
}

fn job_text(job: &StoredJob) -> String {
    let kind = job.machine.kind.name().to_ascii_lowercase();
    let key = &job.key;
    let missing = job.machine.drives.iter().filter(|drive| !drive.is_spare).map(|drive| drive.id.as_str()).collect::<Vec<_>>();
    let parcel = job.details.delivery_package.as_ref();
    let parcel = parcel.map(|own| format!("; parcel {} {}", own.carrier_name, own.tracking_number)).unwrap_or_default();
    format!("{} ({kind}; {}, {}{parcel}) {}", key.name, key.subscription, key.resource_group, missing.join(", "))
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    PageQuery(query): PageQuery<CheckInQuery>,
) -> Result<Response, PageError> {
    let mut page = page(&state, &viewer, &query).await?;
    let chosen = [query.bay, query.job, query.drive];
    for (field, chosen) in page.fields.iter_mut().zip(chosen).filter(|(_, chosen)| !chosen.is_empty()) {
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
    let text = |name: &str| Some(value(&form, name).trim().to_owned()).filter(|text| !text.is_empty());
    let is_ticked = |name: &str| !value(&form, name).is_empty();
    let (drive_id, bay) = (text("drive"), text("bay"));
    let check_in =
        CheckIn { drive_id, bay, erase: is_ticked("erase"), spare: is_ticked("spare"), take_over: is_ticked("takeOver") };
    let query = CheckInQuery { job: value(&form, "job").to_owned(), ..CheckInQuery::default() };
    let Some(key) = key_of_path(&query.job) else {
        let error = JobError::Refused("choose the job that the drive is for".to_owned());
        return page(&state, &viewer, &query).await?.again(&form, error, "job");
    };
    match state.jobs.check_in(&viewer.actor, &key, &check_in).await {
        Ok(job) => Ok(Redirect::to(&job_link(&job.key)).into_response()),
        Err(error) => page(&state, &viewer, &query).await?.again(&form, error, "bay"),
    }
}
