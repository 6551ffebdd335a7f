use serde_json::{Value, json};

use super::*;
use crate::job::{JobKind, JobState};

/// A body as the published example of a creation has it.
fn example() -> Value {
    json!({ "location": "West US", "properties": {
        "storageAccountId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ClassicStorage/storageAccounts/test",
        "jobType": "Import",
        "returnAddress": { "recipientName": "Test", "streetAddress1": "Street1", "streetAddress2": "street2", "city": "Redmond",
            "stateOrProvince": "wa", "postalCode": "98007", "countryOrRegion": "USA", "phone": "4250000000", "email": "Test@contoso.com" },
        "returnShipping": { "carrierName": "FedEx", "carrierAccountNumber": "989ffff" },
        "diagnosticsPath": "waimportexport", "logLevel": "Verbose", "backupDriveManifest": true,
        "driveList": [{ "driveId": "9CA995BB", "bitLockerKey": "238810-662376-448998-450120-652806-203390-606320-483076",
            "manifestFile": "\\8a0c23f7.manifest", "manifestHash": "109B21108597EF36D5785F08303F3638", "driveHeaderHash": "" }] } })
}

fn put(body: &Value) -> PutJob {
    read_body(body.to_string().as_bytes()).unwrap()
}

/// The example with the value at `pointer` replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = example();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

#[test]
fn the_published_example_is_understood_and_its_key_is_never_answered() {
    let job = put(&example());
    assert_eq!(validate_put(&job), []);
    let details = job.properties.unwrap();
    assert_eq!(details.job_type, Some(JobKind::Import));
    assert!(details.drive_list.as_ref().unwrap()[0].bit_locker_key.is_some());
    let text = serde_json::to_string(&details).unwrap();
    assert!(!text.contains("238810") && !text.contains("bitLockerKey") && !text.contains("null"), "{text}");
}

#[test]
fn quirks_of_clients_are_tolerated() {
    let update: UpdateJob = read_body(br#"{"properties":{"state":"","logLevel":"Verbose","somethingNew":1}}"#).unwrap();
    assert_eq!(update.properties.as_ref().unwrap().state, None);
    assert_eq!(validate_update(&update), []);
    for name in ["blobListBlobPath", "blobListblobPath"] {
        let export: Export = read_body(format!("{{\"{name}\": \"/c/list.xml\"}}").as_bytes()).unwrap();
        assert_eq!(export.blob_list_blob_path.as_deref(), Some("/c/list.xml"));
        assert!(serde_json::to_string(&export).unwrap().contains("blobListBlobPath"));
    }
}

#[test]
fn wrong_types_are_told_with_their_path() {
    for (pointer, value, target) in [
        ("/properties/driveList", json!("one"), "properties.driveList"),
        ("/properties/driveList/0", json!({ "driveId": 5 }), "properties.driveList[0].driveId"),
        ("/properties/jobType", json!("Copy"), "properties.jobType"),
        ("/properties/returnAddress/city", json!(null), "properties.returnAddress.city"),
        ("/properties/state", json!("Lost"), "properties.state"),
        ("/tags", json!(["a"]), "tags"),
    ] {
        let body = if pointer.contains("/0") {
            let mut body = example();
            body["properties"]["driveList"][0] = value;
            body
        } else {
            with(pointer, value)
        };
        match read_body::<PutJob>(body.to_string().as_bytes()) {
            Err(BodyError::WrongField { target: found, .. }) => assert_eq!(found, target),
            other => panic!("{pointer}: {other:?}"),
        }
    }
    assert!(matches!(read_body::<PutJob>(b"{\"location\": "), Err(BodyError::NoJson(_))));
}

#[test]
fn missing_and_excessive_values_are_told_with_their_path() {
    let drive = |id: &str| json!({ "driveId": id });
    for (pointer, value, target) in [
        ("/location", json!(null), "location"),
        ("/properties/storageAccountId", json!(""), "properties.storageAccountId"),
        ("/properties/jobType", json!(null), "properties.jobType"),
        ("/properties/driveList", json!([]), "properties.driveList"),
        ("/properties/driveList", Value::Array((0..11).map(|id| drive(&id.to_string())).collect()), "properties.driveList"),
        ("/properties/driveList", json!([drive("A"), drive("A")]), "properties.driveList[1].driveId"),
        ("/properties/driveList", json!([{ "driveId": "A", "bitLockerKey": "123" }]), "properties.driveList[0].bitLockerKey"),
        ("/properties/diagnosticsPath", json!("x".repeat(1025)), "properties.diagnosticsPath"),
        ("/properties/returnAddress/email", json!(null), "properties.returnAddress.email"),
        ("/properties/returnAddress/city", json!("a\u{0}b"), "properties.returnAddress.city"),
        ("/properties/export", json!({ "blobListBlobPath": "/c/l" }), "properties.export"),
        ("/properties/state", json!("Shipping"), "properties.state"),
        (
            "/properties/deliveryPackage",
            json!({ "carrierName": "C", "trackingNumber": "T", "driveCount": -1 }),
            "properties.deliveryPackage.driveCount",
        ),
        ("/tags", json!({ "n".repeat(513): "v" }), &format!("tags.{}", "n".repeat(32))),
    ] {
        let problems = validate_put(&put(&with(pointer, value)));
        assert_eq!(problems.iter().map(|problem| problem.target.as_str()).collect::<Vec<_>>(), [target], "{pointer}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let problems = validate_put(&put(&json!({ "properties": { "jobType": "Export" } })));
    let targets: Vec<&str> = problems.iter().map(|problem| problem.target.as_str()).collect();
    assert_eq!(targets, ["location", "properties.storageAccountId", "properties.export"]);
    let response = ErrorResponse::of_problems(&problems).unwrap().error;
    assert_eq!((response.target.as_deref(), response.details.len()), (Some("location"), 3));
    assert!(ErrorResponse::of_problems(&[]).is_none());
}

#[test]
fn an_update_cancels_and_ships_and_nothing_else() {
    let problems = |body: Value| {
        let update: UpdateJob = read_body(json!({ "properties": body }).to_string().as_bytes()).unwrap();
        validate_update(&update).into_iter().map(|problem| problem.target).collect::<Vec<_>>()
    };
    assert_eq!(problems(json!({ "cancelRequested": true })), [""; 0]);
    assert_eq!(problems(json!({ "cancelRequested": false })), ["properties.cancelRequested"]);
    assert_eq!(problems(json!({ "state": "Shipping" })), [""; 0]);
    assert_eq!(problems(json!({ "state": "Completed" })), ["properties.state"]);
    assert_eq!(problems(json!({ "deliveryPackage": { "carrierName": "C" } })), ["properties.deliveryPackage.trackingNumber"]);
}

#[test]
fn filters_are_read_as_they_were_drafted() {
    let filter: Filter = "type eq 'Import' and state eq 'Transferring' and trackingnumber eq 'it''s'".parse().unwrap();
    let expected =
        Filter { kind: Some(JobKind::Import), state: Some(JobState::Transferring), tracking_number: Some("it's".into()) };
    assert_eq!(filter, expected);
    assert_eq!("".parse::<Filter>().unwrap(), Filter::default());
    for text in [
        "type",
        "type eq Import",
        "type eq 'Copy'",
        "state eq 'Import'",
        "color eq 'red'",
        "type eq 'Import' or state eq 'Creating'",
        "type eq 'Import' and",
        "type eq 'Import' and type eq 'Export'",
        "type eq 'Import",
    ] {
        let error = text.parse::<Filter>().unwrap_err().to_string();
        assert!(error.starts_with("`$filter`: ") && error.contains("joined by `and`"), "{error}");
    }
}

#[test]
fn names_of_jobs_are_checked() {
    assert!(["ab", "job-1", "Job_2", "1a"].into_iter().all(is_job_name));
    assert!(!["a", "", "-ab", "a b", "a/b", "ä1", &"a".repeat(65)].into_iter().any(is_job_name));
}
