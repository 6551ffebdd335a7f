//! Bodies of requests about jobs, and the path of a job.

use serde_json::{Value, json};

pub const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";

/// The path of a job.
pub fn job(name: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/group/providers/Microsoft.ImportExport/jobs/{name}?api-version=2021-01-01"
    )
}

pub fn address() -> Value {
    json!({ "recipientName": "Greta Garbage", "streetAddress1": "Sesame Street 7", "city": "Cologne", "postalCode": "50667",
        "countryOrRegion": "Germany", "phone": "0221 4711", "email": "greta@example.com" })
}

pub const KEY: &str = "238810-662376-448998-450120-652806-203390-606320-483076";

fn account() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/local")
}

/// An import of these drives into the account `local`.
pub fn import(drives: &[&str]) -> Value {
    let drives: Vec<Value> = drives.iter().map(|id| json!({ "driveId": id, "bitLockerKey": KEY })).collect();
    json!({ "location": "This station", "properties": {
        "storageAccountId": account(),
        "jobType": "Import", "returnAddress": address(), "driveList": drives } })
}

/// An export of these blobs and prefixes.
pub fn export(paths: &[&str], prefixes: &[&str]) -> Value {
    json!({ "location": "This station", "properties": {
        "storageAccountId": account(),
        "jobType": "Export", "returnAddress": address(),
        "export": { "blobList": { "blobPath": paths, "blobPathPrefix": prefixes } } } })
}

pub fn shipping() -> Value {
    json!({ "state": "Shipping", "deliveryPackage": { "carrierName": "FedEx", "trackingNumber": "TRACK-4711" } })
}

pub fn parcel() -> Value {
    json!({ "carrierName": "DHL", "trackingNumber": "BACK-1" })
}
