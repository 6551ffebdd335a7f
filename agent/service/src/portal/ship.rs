//! Shipping: the form of the customer's parcel, and of the parcel back.

use axum::response::{IntoResponse, Redirect, Response};
use protocol::arm::DeliveryPackage;

use super::extract::{OperatorsJob, ViewedJob};
use super::forms::{FormField, FormPage, address_fields, address_of, value, with_problems};
use super::links::job_link;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::jobs::JobError;
use crate::state::ServiceState;
use crate::store::{StoreError, StoredJob};

fn parcel_fields() -> Vec<FormField> {
    vec![FormField::line("carrierName", "Carrier", ""), FormField::line("trackingNumber", "Tracking number", "")]
}

/// The fields of the customer's parcel, with what the job knows already.
fn fields(job: &StoredJob) -> Vec<FormField> {
    let mut fields = parcel_fields();
    fields.push(FormField::line("driveCount", "Drives in the parcel", "1"));
    fields.extend(address_fields(job.details.return_address.as_ref()));
    fields
}

fn page(viewer: &Viewer, job: &StoredJob, fields: Vec<FormField>) -> FormPage {
    let target = format!("{}/do/ship", job_link(&job.key));
    FormPage::new(viewer, "Ship", target, fields, "The drives are on their way")
}

pub(super) async fn show(ViewedJob { viewer, job }: ViewedJob) -> Response {
    render(&page(&viewer, &job, fields(&job)))
}

pub(super) async fn show_back(OperatorsJob(ViewedJob { viewer, job }): OperatorsJob) -> Response {
    let target = format!("{}/do/shipBack", job_link(&job.key));
    render(&FormPage::new(&viewer, "Send the drives back", target, parcel_fields(), "They went back"))
}

/// Ships, or shows the form again with what is wrong beside its fields.
pub(super) async fn ship(state: &ServiceState, viewed: &ViewedJob, form: &[(String, String)]) -> Result<Response, PageError> {
    let ViewedJob { viewer, job } = viewed;
    let package = DeliveryPackage {
        carrier_name: value(form, "carrierName").to_owned(),
        tracking_number: value(form, "trackingNumber").to_owned(),
        // A text that is not a number is refused like one that is out of range.
        drive_count: Some(value(form, "driveCount").parse().unwrap_or(-1)),
        ship_date: None,
    };
    let (error, problems) = match state.jobs.ship(&viewer.actor, &job.key, package, address_of(form)).await {
        Ok(job) => return Ok(Redirect::to(&job_link(&job.key)).into_response()),
        Err(JobError::Fields(problems)) => ("Some fields need another look.".to_owned(), problems),
        Err(JobError::Store(error @ StoreError::Refused(_))) => (error.to_string(), Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let page = page(viewer, job, with_problems(fields(job), form, &problems));
    Ok(render(&FormPage { error: Some(error), ..page }))
}
