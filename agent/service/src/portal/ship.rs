//! Shipping: the form of the customer's parcel, and of the parcel back.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use protocol::arm::{Address, DeliveryPackage, Filter};
use protocol::job::JobState;

use super::extract::{OperatorsJob, ViewedJob};
use super::forms::{FormField, FormPage, address_fields, address_of, value, with_problems};
use super::links::job_link;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::jobs::JobError;
use crate::state::ServiceState;
use crate::store::{Order, Scope, StoreError, StoredJob};

fn parcel_fields() -> Vec<FormField> {
    vec![FormField::line("carrierName", "Carrier", ""), FormField::line("trackingNumber", "Tracking number", "")]
}

/// Jobs that are looked through for an address.
const EARLIER_JOBS: u32 = 20;

/// The fields of the customer's parcel, with what is known of it already; and the address that drives go back to, which stays
/// as it is once the job is shipped.
fn fields(job: &StoredJob, known: Option<&Address>) -> Vec<FormField> {
    let mut fields = parcel_fields();
    if let Some(package) = &job.details.delivery_package {
        fields[0].value.clone_from(&package.carrier_name);
        fields[1].value.clone_from(&package.tracking_number);
    }
    let drives = job.announced_drives().max(job.machine.drives.len()).max(1);
    fields.push(FormField::line("driveCount", "Drives in the parcel", &drives.to_string()));
    if !is_shipped(job) {
        fields.extend(address_fields(known));
    }
    fields
}

fn is_shipped(job: &StoredJob) -> bool {
    job.machine.state != JobState::Creating
}

fn page(state: &ServiceState, viewer: &Viewer, job: &StoredJob, fields: Vec<FormField>) -> FormPage {
    let target = format!("{}/do/ship", job_link(&job.key));
    let location = state.jobs.location(&job.location);
    let address = location.map(|location| location.address.lines().join(", ")).filter(|address| !address.is_empty());
    let about =
        address.map(|address| format!("Send the drives to: {address}. The packing slip on the job's page has this address too."));
    let mut fields = fields;
    if let Some(carrier) = fields.iter_mut().find(|field| field.name == "carrierName") {
        let carriers = location.map(|location| location.carriers.join(", ")).filter(|carriers| !carriers.is_empty());
        carrier.hint = carriers.map_or(String::new(), |carriers| format!("The datacenter takes parcels of {carriers}")).into();
    }
    let (title, button) = if is_shipped(job) { ("Correct the parcel", "Save") } else { ("Ship", "The drives are on their way") };
    FormPage { about, ..FormPage::new(viewer, title, target, fields, button).of_job(&job.key) }
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    ViewedJob { viewer, job }: ViewedJob,
) -> Result<Response, PageError> {
    let known = match &job.details.return_address {
        Some(known) => Some(known.clone()),
        None => last_return_address(&state, &job).await?,
    };
    Ok(render(&page(&state, &viewer, &job, fields(&job, known.as_ref()))))
}

/// Where drives of this customer went back to last: nobody types it for each job.
async fn last_return_address(state: &ServiceState, job: &StoredJob) -> Result<Option<Address>, PageError> {
    let subscriptions = Some(vec![job.key.subscription.clone()]);
    let scope = Scope { subscriptions, resource_group: None, search: None };
    let page = state.store.list(&scope, &Filter::default(), Order::NewestFirst, EARLIER_JOBS, None).await?;
    Ok(page.jobs.into_iter().find_map(|earlier| earlier.details.return_address))
}

pub(super) async fn show_back(OperatorsJob(ViewedJob { viewer, job }): OperatorsJob) -> Response {
    let target = format!("{}/do/shipBack", job_link(&job.key));
    let mut fields = parcel_fields();
    // Most go back as they came.
    fields[0].value = job.details.delivery_package.as_ref().map(|own| own.carrier_name.clone()).unwrap_or_default();
    fields[1].hint = "The one of the parcel back".into();
    render(&FormPage::new(&viewer, "Send the drives back", target, fields, "They went back").of_job(&job.key))
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
    let address = job.details.return_address.clone().filter(|_| is_shipped(job)).unwrap_or_else(|| address_of(form));
    let (error, problems) = match state.jobs.ship(&viewer.actor, &job.key, package, address).await {
        Ok(job) => return Ok(Redirect::to(&job_link(&job.key)).into_response()),
        Err(JobError::Fields(problems)) => ("Some fields need another look.".to_owned(), problems),
        Err(JobError::Store(error @ StoreError::Refused(_))) => (error.to_string(), Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let page = page(state, viewer, job, with_problems(fields(job, job.details.return_address.as_ref()), form, &problems));
    Ok(render(&FormPage { error: Some(error), ..page }))
}
