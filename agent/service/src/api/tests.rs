mod changes;
mod portal;
mod preconditions;
mod scene;

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use proptest::prelude::*;
use protocol::arm::API_VERSIONS;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tower::ServiceExt;

use self::scene::{KEY, SUBSCRIPTION, Scene, import, job, scene, shipping};

#[tokio::test]
async fn a_job_lives_from_put_to_delete() {
    let scene = scene().await;
    let created = scene.call("PUT", &job("job-1"), import()).await.expect(201);
    let properties = &created["properties"];
    assert_eq!((created["location"].as_str(), created["type"].as_str()), (Some("West US"), Some("Microsoft.ImportExport/jobs")));
    assert_eq!((properties["state"].as_str(), properties["cancelRequested"].as_bool()), (Some("Creating"), Some(false)));
    assert_eq!(properties["driveList"][0]["state"], "Specified");
    assert_eq!(properties["shippingInformation"]["city"], "Dock");
    assert_eq!(
        (properties["logLevel"].as_str(), properties["encryptionKey"]["kekType"].as_str()),
        (Some("Error"), Some("MicrosoftManaged"))
    );
    let text = created.to_string();
    assert!(!text.contains("238810") && !text.contains("null"), "{text}");
    assert_eq!(scene.call("PUT", &job("job-1"), import()).await.status, 200, "put again, it is changed");
    let shipped = scene.call("PATCH", &job("job-1"), shipping()).await.expect(200);
    assert_eq!(shipped["properties"]["state"], "Shipping");
    let keys = job("job-1").replace("?", "/listBitLockerKeys?");
    assert_eq!(
        scene.call("POST", &keys, Value::Null).await.expect(200)["value"],
        json!([{ "driveId": "9CA995BB", "bitLockerKey": KEY }])
    );
    scene.call("DELETE", &job("job-1"), Value::Null).await.refused(409, "JobStateConflict", None);
    let cancelled = scene.call("PATCH", &job("job-1"), json!({ "properties": { "CancelRequested": true } })).await.expect(200);
    assert_eq!(
        (&cancelled["properties"]["cancelRequested"], &cancelled["properties"]["state"]),
        (&json!(true), &json!("Shipping"))
    );
    // Nothing came in thirty days: a cancelled job ends Completed.
    scene.now.fetch_add(31 * 86_400, Ordering::SeqCst);
    let due = scene.store.due(OffsetDateTime::from_unix_timestamp(scene.now.load(Ordering::SeqCst)).unwrap(), 50).await.unwrap();
    let now = OffsetDateTime::from_unix_timestamp(scene.now.load(Ordering::SeqCst)).unwrap();
    let tick = crate::store::Change::new("clock", "tick", now);
    scene.store.change(&due[0], &tick, |_| Ok(vec![protocol::job::Event::Tick])).await.unwrap();
    assert_eq!(scene.call("GET", &job("job-1"), Value::Null).await.expect(200)["properties"]["state"], "Completed");
    let deleted = scene.call("DELETE", &job("job-1"), Value::Null).await;
    assert_eq!((deleted.status, deleted.body), (200, Value::Null), "200 with an empty body, as recorded");
    scene.call("GET", &job("job-1"), Value::Null).await.refused(404, "ResourceNotFound", None);
}

#[tokio::test]
async fn nobody_sees_what_is_not_theirs() {
    let scene = scene().await;
    scene.call("PUT", &job("job-1"), import()).await.expect(201);
    for (token, status, code) in [
        ("", 401, "AuthenticationFailed"),
        ("dat_wrong", 401, "AuthenticationFailed"),
        (&scene.other, 403, "AuthorizationFailed"),
    ] {
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            scene.send(token, method, &job("job-1"), import()).await.refused(status, code, None);
        }
        let list = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ImportExport/jobs?api-version=2021-01-01");
        scene.send(token, "GET", &list, Value::Null).await.refused(status, code, None);
    }
    scene.send(&scene.operator, "GET", &job("job-1"), Value::Null).await.expect(200);
    let now = OffsetDateTime::from_unix_timestamp(0).unwrap();
    assert!(scene.store.revoke_token("customer", "tests", now).await.unwrap());
    scene.call("GET", &job("job-1"), Value::Null).await.refused(401, "AuthenticationFailed", None);
}

#[tokio::test]
async fn paths_and_versions_are_checked() {
    let scene = scene().await;
    for version in API_VERSIONS {
        scene
            .call("GET", &format!("/providers/Microsoft.ImportExport/operations?api-version={version}"), Value::Null)
            .await
            .expect(200);
    }
    let locations = |rest: &str| {
        format!("/PROVIDERS/microsoft.importexport/LOCATIONS{rest}?Api-Version=2016-11-01").replace("PROVIDERS", "providers")
    };
    assert_eq!(scene.call("GET", &locations(""), Value::Null).await.expect(200)["value"][0]["name"], "West US");
    for name in ["/West%20US", "/westus"] {
        assert_eq!(scene.call("GET", &locations(name), Value::Null).await.expect(200)["properties"]["city"], "Dock");
    }
    scene.call("GET", &locations("/mars"), Value::Null).await.refused(404, "LocationNotFound", None);
    let without = job("job-1").replace("?api-version=2021-01-01", "");
    scene.call("GET", &without, Value::Null).await.refused(400, "MissingApiVersionParameter", None);
    let wrong = job("job-1").replace("2021-01-01", "2030-01-01");
    scene.call("GET", &wrong, Value::Null).await.refused(400, "InvalidApiVersionParameter", Some("api-version"));
    scene.call("POST", &job("job-1"), Value::Null).await.refused(405, "MethodNotAllowed", None);
    scene.call("GET", "/nowhere?api-version=2021-01-01", Value::Null).await.refused(404, "InvalidResourcePath", None);
}

#[tokio::test]
async fn bodies_are_refused_with_the_path_of_the_field() {
    let scene = scene().await;
    let with = |pointer: &str, value: Value| {
        let mut body = import();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (pointer, value, code, target) in [
        ("/location", json!("mars"), "LocationNotFound", "location"),
        (
            "/properties/storageAccountId",
            json!("/storageAccounts/unknown"),
            "StorageAccountNotFound",
            "properties.storageAccountId",
        ),
        ("/properties/jobType", json!("Copy"), "InvalidField", "properties.jobType"),
        ("/properties/driveList/0/driveId", json!(7), "InvalidField", "properties.driveList[0].driveId"),
        ("/properties/driveList/0/bitLockerKey", json!("1-2"), "InvalidField", "properties.driveList[0].bitLockerKey"),
        ("/properties/returnAddress/city", json!(""), "InvalidField", "properties.returnAddress.city"),
    ] {
        scene.call("PUT", &job("job-1"), with(pointer, value)).await.refused(400, code, Some(target));
    }
    scene.call("PUT", &job("x"), import()).await.refused(400, "InvalidJobName", Some("jobName"));
    scene.call("PUT", &job("job-1"), Value::Null).await.refused(400, "InvalidRequestContent", None);
    scene.call("PUT", &job("job-1"), json!("x".repeat(2 << 20))).await.refused(413, "RequestTooLarge", None);
    scene.call("PUT", &job("job-1"), import()).await.expect(201);
    let ship = json!({ "properties": { "state": "Shipping" } });
    scene.call("PATCH", &job("job-1"), ship).await.refused(400, "ShippingInformationMissing", None);
    let back = json!({ "properties": { "cancelRequested": false } });
    scene.call("PATCH", &job("job-1"), back).await.refused(400, "InvalidField", Some("properties.cancelRequested"));
    scene.call("PATCH", &job("job-1"), shipping()).await.expect(200);
    let late = json!({ "properties": { "logLevel": "Verbose" } });
    scene.call("PATCH", &job("job-1"), late).await.refused(409, "FieldNotEditable", None);
}

#[tokio::test]
async fn a_job_that_was_changed_meanwhile_is_not_changed_blindly() {
    let scene = scene().await;
    let first = scene.call("PUT", &job("job-1"), import()).await.etag.unwrap();
    let tags = json!({ "tags": { "a": "b" } });
    let matching = |tag: &str| vec![("if-match".to_owned(), tag.to_owned())];
    let send = async |tag: &str| {
        let headers = matching(tag);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        scene.send_with(&scene.customer, "PATCH", &job("job-1"), tags.clone(), &headers).await
    };
    let second = send(&first).await;
    assert_eq!(second.status, 200);
    assert_ne!(second.etag.as_ref(), Some(&first));
    send(&first).await.refused(412, "PreconditionFailed", None);
    send("\"not ours\"").await.refused(412, "PreconditionFailed", None);
    assert_eq!(send("*").await.status, 200);
    let got = scene.call("GET", &job("job-1"), Value::Null).await;
    assert_eq!(got.body["tags"]["a"], "b");
}

#[tokio::test]
async fn lists_have_pages_and_summaries() {
    let scene = scene().await;
    for number in 0..5 {
        scene.call("PUT", &job(&format!("job-{number}")), import()).await.expect(201);
    }
    let mut url = format!(
        "/subscriptions/{SUBSCRIPTION}/resourcegroups/group/providers/Microsoft.ImportExport/jobs?api-version=2021-01-01&$top=2&$filter=type%20eq%20'Import'"
    );
    let mut names = Vec::new();
    loop {
        let page = scene.call("GET", &url, Value::Null).await.expect(200);
        for job in page["value"].as_array().unwrap() {
            assert!(job["properties"].get("driveList").is_none());
            names.push(job["name"].as_str().unwrap().to_owned());
        }
        match page.get("nextLink") {
            Some(next) => url = next.as_str().unwrap().strip_prefix("http://station:7070").unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["job-0", "job-1", "job-2", "job-3", "job-4"]);
    for (query, code, target) in [
        ("$top=0", "InvalidTop", "$top"),
        ("$top=101", "InvalidTop", "$top"),
        ("$filter=color%20eq%20'red'", "InvalidFilter", "$filter"),
        ("$skiptoken=x", "InvalidSkipToken", "$skiptoken"),
    ] {
        let url = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ImportExport/jobs?api-version=2021-01-01&{query}");
        scene.call("GET", &url, Value::Null).await.refused(400, code, Some(target));
    }
}

#[tokio::test]
async fn an_export_is_created_and_knows_its_drives_when_they_come() {
    let scene = scene().await;
    let mut body = import();
    body["properties"]["jobType"] = json!("Export");
    body["properties"].as_object_mut().unwrap().remove("driveList");
    body["properties"]["export"] = json!({ "blobList": { "blobPathPrefix": ["/"] } });
    let created = scene.call("PUT", &job("out"), body).await.expect(201);
    assert!(created["properties"].get("driveList").is_none_or(|drives| drives == &json!([])), "{created}");
    scene.call("PATCH", &job("out"), shipping()).await.expect(200);
    let key = crate::store::JobKey { subscription: SUBSCRIPTION.into(), resource_group: "group".into(), name: "out".into() };
    let now = OffsetDateTime::from_unix_timestamp(scene.now.load(Ordering::SeqCst)).unwrap();
    let check_in = crate::store::Change::new("staff", "checked a drive in", now);
    scene.store.change(&key, &check_in, |_| Ok(vec![protocol::job::Event::CheckIn("EMPTY-1".into())])).await.unwrap();
    let got = scene.call("GET", &job("out"), Value::Null).await.expect(200);
    assert_eq!(got["properties"]["driveList"], json!([{ "driveId": "EMPTY-1", "state": "Received" }]));
    assert_eq!(got["properties"]["state"], "Received");
}

#[tokio::test]
async fn a_customer_writes_what_is_the_customers() {
    let scene = scene().await;
    let mut body = import();
    body["properties"]["percentComplete"] = json!(99);
    body["properties"]["driveList"][0]["bytesSucceeded"] = json!(5);
    body["properties"]["returnPackage"] = json!({ "carrierName": "C", "trackingNumber": "T", "driveCount": 1, "shipDate": "x" });
    let created = scene.call("PUT", &job("job-1"), body).await.expect(201).to_string();
    assert!(
        !created.contains("percentComplete") && !created.contains("bytesSucceeded") && !created.contains("returnPackage"),
        "{created}"
    );
    let empty = json!({ "properties": { "driveList": [] } });
    scene.call("PATCH", &job("job-1"), empty).await.refused(400, "InvalidField", Some("properties.driveList"));
    // What a second PUT leaves out is gone, also for shipping.
    let mut without = import();
    without["properties"].as_object_mut().unwrap().remove("returnAddress");
    scene.call("PUT", &job("job-1"), without).await.expect(200);
    scene.call("PATCH", &job("job-1"), shipping()).await.refused(400, "ShippingInformationMissing", None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is asked for: an answer, never 500.
    #[test]
    fn no_request_breaks_it(
        method in prop_oneof![Just(Method::GET), Just(Method::PUT), Just(Method::PATCH), Just(Method::DELETE), Just(Method::POST), Just(Method::HEAD)],
        path in "(/[a-zA-Z0-9%._ -]{0,12}){0,9}",
        known in 0..12_usize,
        query in "[a-z$=&%'0-9-]{0,40}",
        body in prop_oneof![
            ".{0,200}",
            Just(import().to_string()),
            Just("{\"properties\":{\"driveList\":[null]}}".to_owned()),
            Just("[[[[[[[[[[[[[[".repeat(200)),
            Just("{\"driveId\":\"A\"}".to_owned()),
            Just("{\"bay\":\"bay-1\",\"erase\":true}".to_owned()),
            Just("{\"path\":\"/dev/null\",\"driveId\":\"A\"}".to_owned()),
            Just("{\"name\":\"x\",\"subscriptions\":[\"s\"]}".to_owned()),
        ],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let status = runtime.block_on(async {
            let scene = scene().await;
            let orders = "/operator/v1/jobs/one/group/job-1";
            let path = match known {
                0..=2 => job("job-1"),
                3 => format!("{orders}/checkIn"),
                4 => format!("{orders}/pause"),
                5 => format!("{orders}/shipBack"),
                6 => "/operator/v1/bays/bay-1/dock".to_owned(),
                7 => format!("/operator/v1{}?{query}", path.replace(' ', "%20")),
                8 => "/operator/v1/tokens".to_owned(),
                _ => format!("{}?{query}", path.replace(' ', "%20")),
            };
            let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {}", scene.operator));
            let Ok(request) = request.body(Body::from(body)) else { return StatusCode::OK };
            scene.router.clone().oneshot(request).await.unwrap().status()
        });
        prop_assert!(status.as_u16() < 500, "{status}");
    }
}
