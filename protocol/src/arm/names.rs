//! Names in the documents of jobs: the published service takes them in any case of their letters, and `null` for what is absent.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::body::{BodyError, read_body, require_shape, understand};
use super::job::UpdateJob;

/// Every name in a document of a job, as it is published.
const NAMES: [&str; 53] = [
    "additionalInformation",
    "backupDriveManifest",
    "bitLockerKey",
    "blobList",
    "blobListBlobPath",
    "blobPath",
    "blobPathPrefix",
    "bytesSucceeded",
    "cancelRequested",
    "carrierAccountNumber",
    "carrierName",
    "city",
    "copyStatus",
    "countryOrRegion",
    "deliveryPackage",
    "diagnosticsPath",
    "driveCount",
    "driveHeaderHash",
    "driveId",
    "driveList",
    "email",
    "encryptionKey",
    "errorLogUri",
    "export",
    "incompleteBlobListUri",
    "jobType",
    "kekType",
    "kekUrl",
    "kekVaultResourceID",
    "location",
    "logLevel",
    "manifestFile",
    "manifestHash",
    "manifestUri",
    "percentComplete",
    "phone",
    "postalCode",
    "properties",
    "provisioningState",
    "recipientName",
    "returnAddress",
    "returnPackage",
    "returnShipping",
    "shipDate",
    "shippingInformation",
    "state",
    "stateOrProvince",
    "storageAccountId",
    "streetAddress1",
    "streetAddress2",
    "tags",
    "trackingNumber",
    "verboseLogUri",
];

/// What an update may change, below `properties`.
const CHANGEABLE: [&str; 8] = [
    "cancelRequested",
    "state",
    "returnAddress",
    "returnShipping",
    "deliveryPackage",
    "logLevel",
    "backupDriveManifest",
    "driveList",
];

/// The value with every known name as it is published, and without what is `null`.
///
/// # Errors
/// Where two names of one object differ in case alone: one of the two values would be lost.
fn published(value: &Value, path: &str) -> Result<Value, BodyError> {
    match value {
        Value::Object(members) => {
            let mut renamed = Map::new();
            for (name, member) in members {
                let known = NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name)).map(str::to_owned);
                let name = known.unwrap_or_else(|| name.clone());
                let target = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                if member.is_null() {
                    continue;
                }
                // Tags are the customer's own words.
                let member = if name == "tags" { member.clone() } else { published(member, &target)? };
                if renamed.insert(name, member).is_some() {
                    return Err(BodyError::WrongField { target, message: "it is named twice".to_owned() });
                }
            }
            Ok(Value::Object(renamed))
        }
        Value::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| published(item, &format!("{path}[{index}]")));
            Ok(Value::Array(items.collect::<Result<_, _>>()?))
        }
        other => Ok(other.clone()),
    }
}

/// What a body says, and the same as it would be published.
fn understood<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Value), BodyError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| BodyError::NoJson(error.to_string()))?;
    let as_published = published(&value, "")?;
    let body = match as_published == value {
        // A name that is there twice can be seen in the text alone.
        true => read_body(bytes)?,
        false => {
            require_shape(&as_published, "", "")?;
            understand(&as_published)?
        }
    };
    Ok((body, as_published))
}

/// Understands the document of a job.
///
/// # Errors
/// With the path of the first field that is wrong.
pub fn read_job_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    understood(bytes).map(|(body, _)| body)
}

/// Understands an update of a job.
///
/// # Errors
/// As [`read_job_body`]; and where it has names, and none of something that can be changed: it would change nothing, and the
/// caller would take it for done.
pub fn read_update_body(bytes: &[u8]) -> Result<UpdateJob, BodyError> {
    let (update, value) = understood(bytes)?;
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (top, properties) = (members(&value), members(&value["properties"]));
    let changes = top.contains_key("tags") || properties.keys().any(|name| CHANGEABLE.contains(&name.as_str()));
    let misplaced = top.keys().find(|name| CHANGEABLE.contains(&name.as_str()));
    let unknown = properties.keys().map(|name| format!("properties.{name}")).next();
    let unknown = unknown.or_else(|| top.keys().find(|name| *name != "properties").cloned());
    match (changes, misplaced, unknown) {
        (false, Some(name), _) => Err(BodyError::WrongField {
            target: name.clone(),
            message: format!("it belongs into `properties`: {{\"properties\":{{\"{name}\":…}}}}"),
        }),
        (false, None, Some(target)) => Err(BodyError::WrongField {
            target,
            message: format!("an update changes `tags`, or below `properties`: {}", CHANGEABLE.join(", ")),
        }),
        _ => Ok(update),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::{PartialSchema, ToSchema};

    use super::*;
    use crate::arm::PutJob;

    fn update(body: &Value) -> Result<UpdateJob, BodyError> {
        read_update_body(body.to_string().as_bytes())
    }

    #[test]
    fn a_cancel_is_understood_however_it_is_spelled() {
        for body in [
            json!({ "properties": { "cancelRequested": true } }),
            json!({ "properties": { "CancelRequested": true } }),
            json!({ "Properties": { "CANCELREQUESTED": true, "state": null } }),
        ] {
            assert_eq!(update(&body).unwrap().properties.unwrap().cancel_requested, Some(true), "{body}");
        }
    }

    #[test]
    fn an_update_that_names_nothing_known_is_refused() {
        for (body, target) in [
            (json!({ "cancelRequested": true }), "cancelRequested"),
            (json!({ "properties": { "cancel": true } }), "properties.cancel"),
            (json!({ "cancel": true }), "cancel"),
            (json!({ "properties": { "state": "Shipping", "State": "Creating" } }), "properties.state"),
        ] {
            let error = update(&body).unwrap_err();
            assert!(matches!(&error, BodyError::WrongField { target: found, .. } if found == target), "{body}: {error}");
        }
        for body in [json!({}), json!({ "properties": {} }), json!({ "tags": { "State": "x", "state": "y" } })] {
            update(&body).unwrap();
        }
    }

    #[test]
    fn every_name_of_the_documents_is_known() {
        let mut schemas = Vec::new();
        PutJob::schemas(&mut schemas);
        UpdateJob::schemas(&mut schemas);
        schemas.extend([PutJob::schema(), UpdateJob::schema()].map(|schema| (String::new(), schema)));
        let names = |schema: &Value| schema["properties"].as_object().map(|own| own.keys().cloned().collect::<Vec<_>>());
        let schemas = schemas.iter().map(|(_, schema)| serde_json::to_value(schema).unwrap());
        let names: Vec<String> = schemas.filter_map(|schema| names(&schema)).flatten().collect();
        assert!(names.len() > 50, "{names:?}");
        let unknown: Vec<&String> = names.iter().filter(|name| !NAMES.contains(&name.as_str())).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn null_is_absent_everywhere() {
        let body = json!({ "properties": { "returnAddress": { "streetAddress2": null, "stateOrProvince": null, "city": "C" },
            "export": { "blobList": { "blobPath": null, "blobPathPrefix": ["/c/"] } } } });
        let job: PutJob = read_job_body(body.to_string().as_bytes()).unwrap();
        let properties = job.properties.unwrap();
        assert_eq!(properties.return_address.unwrap().city, "C");
        assert_eq!(properties.export.unwrap().blob_list.unwrap().blob_path_prefix.len(), 1);
    }
}
