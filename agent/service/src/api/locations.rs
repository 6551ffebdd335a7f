//! Datacenters, and the operations of the API.

use axum::response::Response;
use protocol::arm::{LocationProperties, LocationResponse, Operation, OperationDisplay, OperationList};
use protocol::operator::List;

use super::answer::{ApiError, document};
use crate::jobs::Location;
use crate::state::ServiceState;

fn body(location: &Location) -> LocationResponse {
    let id = format!("/providers/Microsoft.ImportExport/locations/{}", location.name.replace(' ', "").to_ascii_lowercase());
    let address = location.address.clone();
    let properties = LocationProperties {
        recipient_name: address.recipient_name,
        street_address1: address.street_address1,
        street_address2: address.street_address2,
        city: address.city,
        state_or_province: address.state_or_province,
        postal_code: address.postal_code,
        country_or_region: address.country_or_region,
        phone: address.phone,
        additional_shipping_information: address.additional_information.unwrap_or_default(),
        supported_carriers: location.carriers.clone(),
        // A location that takes drives is its own alternate, as at the real service.
        alternate_locations: vec![id.clone()],
    };
    LocationResponse { id, name: location.name.clone(), r#type: "Microsoft.ImportExport/locations".to_owned(), properties }
}

pub(super) fn list(state: &ServiceState) -> Result<Response, ApiError> {
    document(200, &List { value: state.jobs.locations.iter().map(body).collect() })
}

pub(super) fn get(state: &ServiceState, name: &str) -> Result<Response, ApiError> {
    let found = state.jobs.location(name);
    let message = || format!("there is no location `{name}`");
    document(200, &body(found.ok_or_else(|| ApiError::new(404, "LocationNotFound", message()))?))
}

/// Names of the operations, as role definitions use them.
const OPERATIONS: [(&str, &str, &str); 6] = [
    ("register/action", "Registration", "Register a subscription, which has no effect here"),
    ("locations/read", "Locations", "Get the datacenters that drives can be sent to"),
    ("jobs/write", "Jobs", "Create or change a job"),
    ("jobs/read", "Jobs", "Get a job"),
    ("jobs/listBitLockerKeys/action", "Jobs", "Get the BitLocker keys of a job"),
    ("jobs/delete", "Jobs", "Delete a job"),
];

pub(super) fn operations() -> Result<Response, ApiError> {
    let operation = |(name, resource, what): &(&str, &str, &str)| Operation {
        name: format!("Microsoft.ImportExport/{name}"),
        display: OperationDisplay {
            provider: "Microsoft Import/Export".to_owned(),
            resource: (*resource).to_owned(),
            operation: (*what).to_owned(),
            description: (*what).to_owned(),
        },
    };
    document(200, &OperationList { value: OPERATIONS.iter().map(operation).collect() })
}
