//! A service with a store of its own, and what is asked of it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use metrics_exporter_prometheus::PrometheusBuilder;
use protocol::arm::Address;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::http::Access;
use crate::jobs::{Jobs, Location, ReachableAccount};
use crate::router;
use crate::scheduler::fake::FakeWorker;
use crate::scheduler::{Clock, Scheduler};
use crate::state::ServiceState;
use crate::stations::{Fleet, FleetTimes};
use crate::store::{Actor, Role, Store};
use crate::vault::Vault;
use protocol::station::BayContent;

pub(super) struct Scene {
    _folder: tempfile::TempDir,
    pub(super) router: Router,
    pub(super) store: Store,
    pub(super) customer: String,
    pub(super) other: String,
    pub(super) operator: String,
    pub(super) now: Arc<AtomicI64>,
}

pub(super) const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";

pub(super) async fn scene() -> Scene {
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
    let clock: Clock = Arc::new(move || {
        OffsetDateTime::from_unix_timestamp(clock.load(Ordering::SeqCst)).unwrap() + time::Duration::milliseconds(250)
    });
    let worker = Arc::new(FakeWorker::default());
    let (name, attachment) = ("bay-1".to_owned(), "1".to_owned());
    let bay = BayContent {
        name,
        is_watched: false,
        drive: None,
        attachment,
        docked_at: None,
        docked_here: None,
        sequence: 0,
        station: None,
        hall: None,
        state_id: None,
        unknown: None,
    };
    worker.bays.lock().unwrap().push(bay);
    let fleet = Fleet::new(worker, store.clone(), clock.clone(), FleetTimes::of_lease(std::time::Duration::from_secs(90)));
    let scheduler = Scheduler::new(store.clone(), fleet.clone(), clock, "imports".into());
    let locations = vec![Location { name: "West US".into(), address, carriers: vec!["FedEx".into()] }];
    let accounts = vec![ReachableAccount { name: "acme".into(), subscriptions: vec![] }];
    let state = ServiceState {
        jobs: Jobs::new(store.clone(), scheduler.clone(), locations, accounts),
        store: store.clone(),
        scheduler,
        fleet,
        access: Arc::new(Access::new(NonZeroU32::MAX, None)),
        public_url: None,
        scheme: "http",
        settings: Vec::new(),
        closing: CancellationToken::new(),
        metrics: PrometheusBuilder::new().build_recorder().handle(),
    };
    Scene { _folder: folder, router: router(Arc::new(state)), store, customer, other, operator, now }
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) allow: Option<String>,
    pub(super) body: Value,
}

impl Answer {
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    #[track_caller]
    pub(super) fn refused(self, status: u16, code: &str, target: Option<&str>) {
        assert_eq!(self.status, status, "{}", self.body);
        let error = &self.body["error"];
        assert_eq!((error["code"].as_str(), error["target"].as_str()), (Some(code), target), "{error}");
        assert!(error["message"].as_str().unwrap().len() > 10, "{error}");
    }
}

impl Scene {
    pub(super) async fn send(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        self.send_with(token, method, path, body, &[]).await
    }

    pub(super) async fn send_with(&self, token: &str, method: &str, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
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
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        Answer {
            status: parts.status.as_u16(),
            etag: header("etag"),
            allow: header("allow"),
            body: if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() },
        }
    }

    pub(super) async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(&self.customer, method, path, body).await
    }
}

pub(super) fn job(name: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/group/providers/Microsoft.ImportExport/jobs/{name}?api-version=2021-01-01"
    )
}

pub(super) const KEY: &str = "238810-662376-448998-450120-652806-203390-606320-483076";

pub(super) fn import() -> Value {
    json!({ "location": "westus", "properties": {
        "storageAccountId": "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acme", "jobType": "Import",
        "returnAddress": { "recipientName": "R", "streetAddress1": "S", "city": "C", "postalCode": "1", "countryOrRegion": "X",
            "phone": "1", "email": "a@example.com" },
        "driveList": [{ "driveId": "9CA995BB", "bitLockerKey": KEY }] } })
}

pub(super) fn shipping() -> Value {
    json!({ "properties": { "state": "Shipping", "deliveryPackage": { "carrierName": "FedEx", "trackingNumber": "T1" } } })
}
