//! The whole job service, asked by any client: paths, queries, bodies of both APIs and forms of the portal, over a database.
//!
//! An input has one request or several, each begun by a line `===`: who asks (`customer`, `operator`, `staff` by the portal,
//! `nobody`), method and address in the next line, and the body behind it. In bodies `CSRF` is the viewer's own.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use metrics_exporter_prometheus::PrometheusBuilder;
use protocol::arm::{Address, JobResponse};
use service::ServiceState;
use service::http::Access;
use service::jobs::{Jobs, Location, ReachableAccount};
use service::scheduler::{Clock, Scheduler};
use service::stations::{Fleet, FleetTimes};
use service::store::{Actor, Role, Store};
use service::vault::Vault;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::Target;
use crate::station::EmptyStation;

pub const TARGETS: &[Target] = &[Target { name: "requests", run: requests }];

/// Requests of one input.
const REQUESTS_MAX: usize = 8;

/// What an answer may have beside what the request has, in bytes, and for each byte of it: pages have menus and forms.
const ANSWER_FIXED_BYTES: usize = 256 << 10;
const ANSWER_BYTES_EACH: usize = 128;

/// A database that every input begins with, and who may use it.
struct Prepared {
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    customer: String,
    operator: String,
}

thread_local! {
    static PREPARED: RefCell<Prepared> = RefCell::new(Prepared::new());
}

impl Prepared {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // In memory, where there is a place for it.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let (customer, operator) = runtime.block_on(async {
            let store = open(folder.path(), "template.db").await;
            let token = async |name: &str, role: Role| {
                let (secret, actor) = (format!("token-of-the-{name}"), Actor { name: name.into(), role });
                store.accept_token(&secret, &actor, "tests", OffsetDateTime::UNIX_EPOCH).await.unwrap();
                secret
            };
            let tokens = (token("customer", Role::Customer(vec!["s".into()])).await, token("operator", Role::Operator).await);
            store.close().await;
            tokens
        });
        Prepared { runtime, folder, customer, operator }
    }
}

async fn open(folder: &Path, name: &str) -> Store {
    let vault = Vault::open(&folder.join("vault.key")).unwrap();
    Store::open_in_order(&folder.join(name), vault).await.unwrap()
}

fn service(store: &Store) -> Router {
    let clock: Clock = Arc::new(|| OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap());
    let fleet = Fleet::new(
        Arc::new(EmptyStation),
        store.clone(),
        clock.clone(),
        FleetTimes::of_lease(std::time::Duration::from_secs(90)),
    );
    let scheduler = Scheduler::new(store.clone(), fleet.clone(), clock, "imports".to_owned());
    let address = Address { recipient_name: "Station".into(), city: "Dock".into(), ..Address::default() };
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
    service::router(Arc::new(state))
}

/// A client.
struct Asking<'prepared> {
    router: Router,
    prepared: &'prepared Prepared,
    /// The cookie of a session, and the sign of its forms.
    session: Option<(String, String)>,
}

impl Asking<'_> {
    async fn send(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// The session of an operator at the portal.
    async fn session(&mut self) -> (String, String) {
        if let Some(session) = &self.session {
            return session.clone();
        }
        let body = Body::from(format!("token={}", self.prepared.operator));
        let answer = self.send(Request::post("/portal/login").header("host", "station").body(body).unwrap()).await;
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let page = Request::get("/portal/new").header("host", "station").header("cookie", &cookie).body(Body::empty()).unwrap();
        let page = String::from_utf8(to_bytes(self.send(page).await.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap();
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("the form has a sign of its session");
        let session = (cookie, rest.split('"').next().unwrap().to_owned());
        self.session.insert(session).clone()
    }

    /// One request of an input; `None` where it is not one.
    async fn ask(&mut self, head: &str, body: &[u8]) -> Option<()> {
        let mut words = head.split(' ');
        let (who, method, address) = (words.next()?, words.next()?, words.next()?);
        let mut request = Request::builder().method(method).uri(address).header("host", "station:7070");
        let mut body = body.to_vec();
        request = match who {
            "customer" => request.header("authorization", format!("Bearer {}", self.prepared.customer)),
            "operator" => request.header("authorization", format!("Bearer {}", self.prepared.operator)),
            "staff" => {
                let (cookie, sign) = self.session().await;
                if let Some(place) = body.windows(4).position(|word| word == b"CSRF") {
                    body.splice(place..place + 4, sign.bytes());
                }
                request.header("cookie", cookie)
            }
            _ => request,
        };
        let asked = request.body(Body::from(body.clone())).ok()?;
        let is_put = method == "PUT";
        let answer = self.send(asked).await;
        let status = answer.status().as_u16();
        assert!(status < 500, "{head} is answered with {status}");
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            return Some(());
        }
        let most = ANSWER_FIXED_BYTES + ANSWER_BYTES_EACH * (head.len() + body.len());
        let bytes = to_bytes(answer.into_body(), most).await.expect("an answer is no longer than its request explains");
        if kind.starts_with("application/json") {
            let told: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON is JSON");
            if status >= 400 {
                assert!(told["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{told}");
            }
            if is_put && status < 300 {
                serde_json::from_slice::<JobResponse>(&bytes).expect("a job is a job");
            }
        }
        Some(())
    }
}

fn requests(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    PREPARED.with_borrow(|prepared| {
        let database: PathBuf = prepared.folder.path().join("jobs.db");
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", database.display()));
        }
        std::fs::copy(prepared.folder.path().join("template.db"), &database).unwrap();
        prepared.runtime.block_on(async {
            let store = open(prepared.folder.path(), "jobs.db").await;
            let mut asking = Asking { router: service(&store), prepared, session: None };
            for request in text.split("===\n").filter(|request| !request.is_empty()).take(REQUESTS_MAX) {
                let (head, body) = request.split_once('\n').unwrap_or((request, ""));
                asking.ask(head, body.trim_end_matches('\n').as_bytes()).await;
            }
            store.close().await;
        });
    });
}
