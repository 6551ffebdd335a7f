//! One life of the service, from its start to its stop or its kill: the real store, scheduler and API, on a clock of ours.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use metrics_exporter_prometheus::PrometheusBuilder;
use protocol::arm::Address;
use protocol::station::StationReport;
use serde_json::Value;
use service::ServiceState;
use service::http::Access;
use service::jobs::{Jobs, Location, ReachableAccount};
use service::scheduler::{Clock, Scheduler};
use service::stations::{Fleet, FleetTimes, SimulatedGrant};
use service::store::{Actor, Role, Store};
use service::vault::Vault;
use time::OffsetDateTime;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::network::Slot;
use crate::plane::SimulatedWorker;
use crate::station::{AWAY_AFTER, LEASE};
use crate::worker::WorkerOfLife;

/// Where a job can be sent to.
pub const LOCATION: &str = "West US";

/// The container of imports.
pub const IMPORTS: &str = "imports";

/// Looks at a service that works beside its rounds, before it is said to be stuck.
const LOOKS_MAX: u32 = 500;

/// Turns of all tasks between two looks: one that ends may wake another, and that a third.
const YIELDS: u32 = 4;
const YIELDS_WITH_STATIONS: u32 = 24;

/// A service that runs.
pub struct Life {
    /// While this is open a task waits, and so the clock of the runtime does not move by itself. It goes first: the runtime
    /// ends only after that task.
    keeper: Option<mpsc::Sender<()>>,
    runtime: Option<Runtime>,
    store: Store,
    scheduler: Scheduler,
    fleet: Arc<Fleet>,
    closing: CancellationToken,
    router: Router,
    worker: Arc<SimulatedWorker>,
}

/// What the service answered; `None` where it was killed meanwhile.
pub type Answered = Option<(u16, Value)>;

/// Where the answer to a request comes that was begun.
pub type Pending = Arc<Mutex<Answered>>;

/// The token of a customer, or of the operators.
pub fn token(customer: Option<usize>) -> String {
    customer.map_or_else(|| "dat_operator".to_owned(), |number| format!("dat_customer_{number}"))
}

pub fn subscription(customer: usize) -> String {
    format!("subscription-{customer}")
}

pub fn account(customer: usize) -> String {
    format!("account{customer}")
}

/// A database with the tokens of everybody in it, to begin each history with.
pub fn make_template(folder: &Path, customers: usize) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let vault = Vault::open(&folder.join("vault.key")).unwrap();
        let store = Store::open(&folder.join("template.db"), vault).await.unwrap();
        let now = OffsetDateTime::UNIX_EPOCH;
        let operator = Actor { name: "staff".to_owned(), role: Role::Operator };
        store.accept_token(&token(None), &operator, "world", now).await.unwrap();
        for number in 0..customers {
            let actor = Actor { name: format!("customer-{number}"), role: Role::Customer(vec![subscription(number)]) };
            store.accept_token(&token(Some(number)), &actor, "world", now).await.unwrap();
        }
        store.close().await;
    });
}

fn runtime() -> (Runtime, mpsc::Sender<()>) {
    // What other threads wake comes after everything that is ready, so that their speed changes no order.
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).global_queue_interval(1 << 30).event_interval(1 << 30);
    let runtime = builder.build().unwrap();
    let (keeper, kept) = mpsc::channel();
    runtime.spawn_blocking(move || kept.recv());
    (runtime, keeper)
}

impl Life {
    /// Starts the service over the files of a folder.
    pub fn start(folder: &Path, vault: &Path, worker: Arc<SimulatedWorker>, customers: usize) -> Self {
        worker.clock.revive();
        let (runtime, keeper) = runtime();
        let path: PathBuf = folder.join("jobs.db");
        let opening = async { Store::open_in_order(&path, Vault::open(vault).unwrap()).await.unwrap() };
        let store = runtime.block_on(opening);
        let of_life = worker.clone();
        let clock = move || {
            of_life.clock.kill_point();
            of_life.clock.now()
        };
        let seen = Arc::new(WorkerOfLife(worker.clone()));
        let clock: Clock = Arc::new(clock);
        let fleet = Fleet::new(seen, store.clone(), clock.clone(), FleetTimes { lease: LEASE, away_after: AWAY_AFTER });
        let scheduler = Scheduler::new(store.clone(), fleet.clone(), clock, IMPORTS.to_owned());
        let closing = CancellationToken::new();
        let address = Address { recipient_name: "Station".into(), city: "Dock".into(), ..Address::default() };
        let locations = vec![Location { name: LOCATION.into(), address, carriers: vec!["FedEx".into()] }];
        let reached = |number| ReachableAccount { name: account(number), subscriptions: vec![subscription(number)] };
        let state = ServiceState {
            jobs: Jobs::new(store.clone(), scheduler.clone(), locations, (0..customers).map(reached).collect()),
            store: store.clone(),
            scheduler: scheduler.clone(),
            fleet: fleet.clone(),
            access: Arc::new(Access::new(NonZeroU32::MAX, None)),
            public_url: None,
            scheme: "http",
            settings: Vec::new(),
            closing: closing.clone(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
        };
        let router = service::router(Arc::new(state));
        if worker.site().has_stations() {
            runtime.spawn(fleet.clone().expire(closing.clone()));
            runtime.block_on(scheduler.simulate_begin());
        }
        Life { runtime: Some(runtime), store, scheduler, fleet, closing, router, worker, keeper: Some(keeper) }
    }

    /// Runs work of the service; `None` where it was killed in it.
    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let runtime = self.runtime.as_ref()?;
        // On a task of its own, so that it takes turns with all others.
        let done = runtime.block_on(runtime.spawn(work));
        match done {
            Ok(value) => (!self.worker.clock.is_dying()).then_some(value),
            Err(_) if self.worker.clock.is_dying() => None,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Begins the call of a station; its answer comes into the slot.
    pub fn call_of_station(&self, name: &str, report: StationReport) -> Option<(Slot, JoinHandle<()>)> {
        let (fleet, closing, name) = (self.fleet.clone(), self.closing.clone(), name.to_owned());
        let slot = Slot::default();
        let answered = slot.clone();
        let task = self.runtime.as_ref()?.spawn(async move {
            let answer = fleet.simulate_call(&name, report, &closing).await;
            *answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        });
        Some((slot, task))
    }

    /// What is granted to stations.
    pub fn grants(&self) -> Vec<SimulatedGrant> {
        self.fleet.simulate_grants()
    }

    /// How long it is until then.
    pub fn remaining(&self, until: tokio::time::Instant) -> Duration {
        let Some(runtime) = self.runtime.as_ref() else { return Duration::ZERO };
        let _context = runtime.enter();
        until.saturating_duration_since(tokio::time::Instant::now())
    }

    /// Begins a request to the API that may wait for stations; its answer comes there.
    pub fn begin_call(&self, token: &str, method: &str, path: &str, body: &Value) -> (Pending, JoinHandle<()>) {
        let answered = Arc::new(Mutex::new(None));
        let (answer, request) = (answered.clone(), self.request(token, method, path, body));
        let runtime = self.runtime.as_ref().expect("it runs");
        let task = runtime.spawn(async move {
            let told = request.await;
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        });
        (answered, task)
    }

    /// Sends a request to the API.
    pub fn call(&self, token: &str, method: &str, path: &str, body: &Value) -> Answered {
        self.run(self.request(token, method, path, body))
    }

    fn request(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> impl Future<Output = (u16, Value)> + Send + 'static {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("host", "station:7070");
        let request = request.header("authorization", format!("Bearer {token}")).body(body).unwrap();
        let router = self.router.clone();
        async move {
            let response = router.oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let bytes = to_bytes(response.into_body(), 1 << 24).await.unwrap();
            (status, if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() })
        }
    }

    /// One round of the scheduler, and what it begins beside it as far as that goes by itself.
    pub fn round(&self) -> Option<()> {
        let scheduler = self.scheduler.clone();
        self.run(async move { scheduler.simulate_round().await })?;
        self.settle()
    }

    /// Waits until nothing goes on that does not wait for time to go by.
    pub fn settle(&self) -> Option<()> {
        let (scheduler, store, worker) = (self.scheduler.clone(), self.store.clone(), self.worker.clone());
        let is_settled = self.run(async move {
            let has_stations = worker.site().has_stations();
            for _ in 0..LOOKS_MAX {
                for _ in 0..if has_stations { YIELDS_WITH_STATIONS } else { YIELDS } {
                    tokio::task::yield_now().await;
                }
                let (beside, (copies, calls)) = (scheduler.work_beside(), worker.work_under_way());
                // With stations, effects and requests may wait for their answers: then nothing is asked of the database.
                let is_at_rest = if has_stations { store.is_idle() } else { beside.effects == calls };
                if beside.own_copies == copies && is_at_rest || worker.clock.is_dying() {
                    return true;
                }
                // With one connection, everything that was asked before has its answer when this has.
                let _ = store.counts().await;
            }
            false
        })?;
        if !is_settled {
            self.worker.site().violations.push("what goes on beside the rounds does not end".to_owned());
        }
        Some(())
    }

    /// How many changes there were, and how many effects are still to be carried out.
    pub fn counts(&self) -> (i64, i64) {
        let store = self.store.clone();
        self.run(async move { store.counts().await.unwrap() }).unwrap_or_default()
    }

    /// Lets time go by for what waits in the service.
    pub fn advance(&self, by: Duration) -> Option<()> {
        self.run(async move { tokio::time::advance(by).await })?;
        self.settle()
    }

    /// Ends: by a kill nothing is finished but what the database was told already.
    pub fn end(mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let store = self.store.clone();
        self.closing.cancel();
        runtime.block_on(async { store.close().await });
        drop(self.keeper.take());
        drop(runtime);
        self.worker.site().waiting_calls = 0;
    }
}
