//! Datacenters, and the operations of the API.

use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use super::answer::{ApiError, document};
use crate::jobs::Location;
use crate::state::ServiceState;

#[derive(Serialize)]
struct LocationBody {
    id: String,
    name: String,
    r#type: &'static str,
    properties: serde_json::Value,
}

fn body(location: &Location) -> LocationBody {
    let id = format!("/providers/Microsoft.ImportExport/locations/{}", location.name.replace(' ', "").to_ascii_lowercase());
    let address = &location.address;
    let properties = json!({
        "recipientName": address.recipient_name, "streetAddress1": address.street_address1,
        "streetAddress2": address.street_address2, "city": address.city, "stateOrProvince": address.state_or_province,
        "postalCode": address.postal_code, "countryOrRegion": address.country_or_region, "phone": address.phone,
        "additionalShippingInformation": address.additional_information.clone().unwrap_or_default(),
        "supportedCarriers": location.carriers,
        // A location that takes drives is its own alternate, as at the real service.
        "alternateLocations": [id],
    });
    LocationBody { id, name: location.name.clone(), r#type: "Microsoft.ImportExport/locations", properties }
}

pub(super) fn list(state: &ServiceState) -> Result<Response, ApiError> {
    document(200, &json!({ "value": state.jobs.locations.iter().map(body).collect::<Vec<_>>() }))
}

pub(super) fn get(state: &ServiceState, name: &str) -> Result<Response, ApiError> {
    let found = state.jobs.location(name);
    let message = || format!("there is no location `{name}`");
    document(200, &body(found.ok_or_else(|| ApiError::new(404, "LocationNotFound", message()))?))
}

/// Names of the operations, as role definitions use them.
const OPERATIONS: [(&str, &str, &str); 5] = [
    ("locations/read", "Locations", "Get the datacenters that drives can be sent to"),
    ("jobs/write", "Jobs", "Create or change a job"),
    ("jobs/read", "Jobs", "Get a job"),
    ("jobs/listBitLockerKeys/action", "Jobs", "Get the BitLocker keys of a job"),
    ("jobs/delete", "Jobs", "Delete a job"),
];

pub(super) fn operations() -> Result<Response, ApiError> {
    let operation = |(name, resource, what): &(&str, &str, &str)| {
        json!({ "name": format!("Microsoft.ImportExport/{name}"),
            "display": { "provider": "Microsoft Import/Export", "resource": resource, "operation": what, "description": what } })
    };
    document(200, &json!({ "value": OPERATIONS.iter().map(operation).collect::<Vec<_>>() }))
}
