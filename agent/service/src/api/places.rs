//! Datacenters, and what can be done at all.

use axum::response::Response;
use protocol::arm::Address;
use serde::Serialize;
use serde_json::json;

use super::Api;
use super::answer::{ApiError, document};

/// A datacenter that drives are sent to.
#[derive(Debug, Clone)]
pub struct Location {
    /// Its name, such as `West US`.
    pub name: String,
    /// Where drives are sent to.
    pub address: Address,
    /// Carriers that it takes parcels from.
    pub carriers: Vec<String>,
}

#[derive(Serialize)]
struct LocationBody {
    id: String,
    name: String,
    r#type: &'static str,
    properties: serde_json::Value,
}

/// `West US` and `westus` are one.
pub(super) fn is_location(location: &Location, name: &str) -> bool {
    let plain = |text: &str| text.replace(' ', "").to_ascii_lowercase();
    plain(&location.name) == plain(name)
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
        // A location that is open names itself.
        "alternateLocations": [id],
    });
    LocationBody { id, name: location.name.clone(), r#type: "Microsoft.ImportExport/locations", properties }
}

pub(super) fn list(api: &Api) -> Result<Response, ApiError> {
    document(200, &json!({ "value": api.locations.iter().map(body).collect::<Vec<_>>() }))
}

pub(super) fn get(api: &Api, name: &str) -> Result<Response, ApiError> {
    let found = api.locations.iter().find(|location| is_location(location, name));
    let message = || format!("there is no location `{name}`");
    document(200, &body(found.ok_or_else(|| ApiError::new(404, "LocationNotFound", message()))?))
}

/// Names of what can be done, for who gives rights.
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
