//! Shipping: the form of the customer's parcel, and of the parcel back.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use protocol::arm::{Address, DeliveryPackage, Filter};

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

/// The fields of the customer's parcel, with the address that is known already.
fn fields(known: Option<&Address>) -> Vec<FormField> {
    let mut fields = parcel_fields();
    fields.push(FormField::line("driveCount", "Drives in the parcel", "1"));
    fields.extend(address_fields(known));
    fields
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
    FormPage { about, ..FormPage::new(viewer, "Ship", target, fields, "The drives are on their way") }
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    ViewedJob { viewer, job }: ViewedJob,
) -> Result<Response, PageError> {
    let known = match &job.details.return_address {
        Some(known) => Some(known.clone()),
        None => last_return_address(&state, &job).await?,
    };
    Ok(render(&page(&state, &viewer, &job, fields(known.as_ref()))))
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
    let page = page(state, viewer, job, with_problems(fields(job.details.return_address.as_ref()), form, &problems));
    Ok(render(&FormPage { error: Some(error), ..page }))
}
