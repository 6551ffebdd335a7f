//! What a PATCH may change, and when.

use super::*;

#[tokio::test]
async fn what_is_repeated_is_no_change_and_a_serial_number_can_be_corrected_on_the_way() {
    let scene = scene().await;
    let patch = async |properties: Value| scene.call("PATCH", &job("job-1"), json!({ "properties": properties })).await;
    let mut body = import();
    body["properties"]["driveList"] = json!([{ "driveId": "TYPO", "bitLockerKey": KEY }, { "driveId": "IN" }]);
    scene.call("PUT", &job("job-1"), body.clone()).await.expect(201);
    scene.call("PATCH", &job("job-1"), shipping()).await.expect(200);
    scene.call("PUT", &job("job-1"), body.clone()).await.refused(409, "JobStateConflict", None);
    let before = scene.call("GET", &job("job-1"), Value::Null).await.expect(200);
    let same = &before["properties"];
    for name in ["returnAddress", "deliveryPackage", "driveList", "logLevel", "backupDriveManifest"] {
        patch(json!({ name: same[name] })).await.expect(200);
    }
    let tags = json!({ "tags": before["tags"] });
    scene.call("PATCH", &job("job-1"), tags).await.expect(200);
    let other = scene.call("PATCH", &job("job-1"), json!({ "tags": {}, "properties": { "logLevel": "Verbose" } })).await;
    assert!(other.body["error"]["message"].as_str().unwrap().contains("`logLevel`"), "{}", other.body);
    let operator = format!("/operator/v1/jobs/{SUBSCRIPTION}/group/job-1/checkIn");
    scene.send(&scene.operator, "POST", &operator, json!({ "driveId": "IN" })).await.expect(200);
    let drives = |ids: &[&str]| json!({ "driveList": ids.iter().map(|id| json!({ "driveId": id })).collect::<Vec<_>>() });
    patch(drives(&["RIGHT", "OTHER"])).await.refused(409, "DriveStateConflict", None);
    patch(drives(&["RIGHT", "IN", "MORE"])).await.refused(409, "DriveCountConflict", None);
    let changed = json!({ "driveList": [{ "driveId": "RIGHT" }, { "driveId": "IN", "manifestFile": "x" }] });
    patch(changed).await.refused(409, "DriveStateConflict", None);
    let after = patch(drives(&["RIGHT", "IN"])).await.expect(200);
    let list = &after["properties"]["driveList"];
    assert_eq!((&list[0]["driveId"], &list[0]["state"]), (&json!("RIGHT"), &json!("Specified")));
    assert_eq!((&list[1]["driveId"], &list[1]["state"]), (&json!("IN"), &json!("Received")));
    let path = job("job-1").replace("?", "/listBitLockerKeys?");
    let keys = scene.call("POST", &path, Value::Null).await.expect(200);
    assert_eq!(keys["value"], json!([{ "driveId": "RIGHT", "bitLockerKey": KEY }]), "its key stays its key");
}
