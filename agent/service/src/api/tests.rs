mod changes;
mod portal;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use metrics_exporter_prometheus::PrometheusBuilder;
use proptest::prelude::*;
use protocol::arm::Address;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::versions::API_VERSIONS;
use crate::http::Access;
use crate::jobs::{Jobs, Location, ReachableAccount};
use crate::router;
use crate::scheduler::fake::FakeWorker;
use crate::scheduler::worker::BayContent;
use crate::scheduler::{Clock, Scheduler};
use crate::state::ServiceState;
use crate::store::{Actor, Role, Store};
use crate::vault::Vault;

struct Scene {
    _folder: tempfile::TempDir,
    router: Router,
    store: Store,
    customer: String,
    other: String,
    operator: String,
    now: Arc<AtomicI64>,
}

const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";

async fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(&folder.path().join("vault.key")).unwrap();
    let store = Store::open(&folder.path().join("jobs.db"), vault).await.unwrap();
    let start = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    let token =
        async |name: &str, role: Role| store.create_token(&Actor { name: name.into(), role }, "tests", start).await.unwrap();
    let customer = token("customer", Role::Customer(vec![SUBSCRIPTION.into()])).await;
    let other = token("other", Role::Customer(vec!["elsewhere".into()])).await;
    let operator = token("operator", Role::Operator).await;
    let now = Arc::new(AtomicI64::new(start.unix_timestamp()));
    let clock = now.clone();
    let address = Address { recipient_name: "Station".into(), city: "Dock".into(), ..Address::default() };
    let clock: Clock = Arc::new(move || OffsetDateTime::from_unix_timestamp(clock.load(Ordering::SeqCst)).unwrap());
    let worker = Arc::new(FakeWorker::default());
    let (name, attachment) = ("bay-1".to_owned(), "1".to_owned());
    let bay = BayContent { name, is_watched: false, drive: None, attachment, docked_at: None, sequence: 0 };
    worker.bays.lock().unwrap().push(bay);
    let scheduler = Scheduler::new(store.clone(), worker.clone(), clock, "imports".into());
    let locations = vec![Location { name: "West US".into(), address, carriers: vec!["FedEx".into()] }];
    let accounts = vec![ReachableAccount { name: "acme".into(), subscriptions: vec![] }];
    let state = ServiceState {
        jobs: Jobs::new(store.clone(), scheduler.clone(), locations, accounts),
        store: store.clone(),
        scheduler,
        access: Arc::new(Access::new(NonZeroU32::MAX, None)),
        public_url: None,
        scheme: "http",
        closing: CancellationToken::new(),
        metrics: PrometheusBuilder::new().build_recorder().handle(),
    };
    Scene { _folder: folder, router: router(Arc::new(state)), store, customer, other, operator, now }
}

struct Answer {
    status: u16,
    etag: Option<String>,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    #[track_caller]
    fn refused(self, status: u16, code: &str, target: Option<&str>) {
        assert_eq!(self.status, status, "{}", self.body);
        let error = &self.body["error"];
        assert_eq!((error["code"].as_str(), error["target"].as_str()), (Some(code), target), "{error}");
        assert!(error["message"].as_str().unwrap().len() > 10, "{error}");
    }
}

impl Scene {
    async fn send(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        self.send_with(token, method, path, body, &[]).await
    }

    async fn send_with(&self, token: &str, method: &str, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let mut request = Request::builder().method(method).uri(path).header("host", "station:7070");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 24).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            etag: parts.headers.get("etag").map(|tag| tag.to_str().unwrap().to_owned()),
            body: if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() },
        }
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(&self.customer, method, path, body).await
    }
}

fn job(name: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/group/providers/Microsoft.ImportExport/jobs/{name}?api-version=2021-01-01"
    )
}

const KEY: &str = "238810-662376-448998-450120-652806-203390-606320-483076";

fn import() -> Value {
    json!({ "location": "westus", "properties": {
        "storageAccountId": "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acme", "jobType": "Import",
        "returnAddress": { "recipientName": "R", "streetAddress1": "S", "city": "C", "postalCode": "1", "countryOrRegion": "X",
            "phone": "1", "email": "a@example.com" },
        "driveList": [{ "driveId": "9CA995BB", "bitLockerKey": KEY }] } })
}

fn shipping() -> Value {
    json!({ "properties": { "state": "Shipping", "deliveryPackage": { "carrierName": "FedEx", "trackingNumber": "T1" } } })
}

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
    let cancelled = scene.call("PATCH", &job("job-1"), json!({ "properties": { "cancelRequested": true } })).await.expect(200);
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
