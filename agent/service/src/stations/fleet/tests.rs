//! Which stations are known, and when they are answered.

use std::collections::BTreeMap;

use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};
use protocol::station::{CopyOrder, LogOrder, TaskResult};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::*;
use crate::scheduler::fake::FakeWorker;
use crate::scheduler::worker::WorkError;
use crate::store::Actor;
use crate::vault::Vault;

/// The station's state directory, on a machine that was started again.
const STATE: &str = "journals.boot-2";

struct Scene {
    _folder: tempfile::TempDir,
    fleet: Arc<Fleet>,
}

impl Scene {
    /// A service that has not begun, and a token of the station `hall`.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(&folder.path().join("vault.key")).unwrap();
        let store = Store::open(&folder.path().join("jobs.db"), vault).await.unwrap();
        let clock = Arc::new(|| OffsetDateTime::UNIX_EPOCH);
        let times = FleetTimes::of_lease(Duration::from_secs(2));
        let scene = Scene { _folder: folder, fleet: Fleet::new(Arc::new(FakeWorker::default()), store, clock, times) };
        scene.make_token().await;
        scene
    }

    async fn make_token(&self) {
        let station = Actor { name: "hall".to_owned(), role: Role::Station };
        self.fleet.store.create_token(&station, "test", OffsetDateTime::UNIX_EPOCH).await.unwrap();
    }

    async fn revoke_token(&self) {
        self.fleet.store.revoke_token("hall", "test", OffsetDateTime::UNIX_EPOCH).await.unwrap();
    }

    async fn call(&self, call: u64) -> Result<StationOrders, CallError> {
        self.call_with(call, BTreeMap::new()).await
    }

    /// The next call, where `call` is 0.
    async fn call_with(&self, call: u64, done: BTreeMap<String, TaskResult>) -> Result<StationOrders, CallError> {
        let before = self.fleet.stations.with("hall", |station| station.told().map_or(0, |told| told.call));
        let call = if call == 0 { before + 1 } else { call };
        let service = self.fleet.stations.with("hall", |station| station.service.clone());
        let report = StationReport {
            call_version: CALL_VERSION,
            version: String::new(),
            state_id: STATE.to_owned(),
            process: 1,
            hall: None,
            bays: Vec::new(),
            accounts: BTreeMap::new(),
            rate: StationRate::new((RateCap(None), RateAuthority::Configuration)),
            copies: BTreeMap::new(),
            done,
            service,
            call,
            seen: 0,
            told_at: None,
            wait_seconds: 0,
            is_stopping: false,
        };
        self.fleet.call("hall", report, &CancellationToken::new()).await
    }

    async fn put_logs(&self, bay: &str) -> Result<(), WorkError> {
        let result = TransferResult::not_begun(Outcome::Complete, Direction::Import, "c/n");
        let order =
            LogOrder { copy: order(bay), container: "c".to_owned(), prefix: "p".to_owned(), verbose: false, manifest: false };
        self.fleet.put_logs(&order, &result).await.map(|_| ())
    }

    fn known(&self) -> Vec<String> {
        self.fleet.list().into_iter().map(|station| station.name).collect()
    }
}

fn order(bay: &str) -> CopyOrder {
    serde_json::from_value(serde_json::json!({
        "bay": bay, "direction": Direction::Import, "jobUid": "77", "driveId": "A", "account": "acme",
        "blob": { "container": "c", "name": "n" }, "sequence": 1, "accountOnly": false, "wasCutOff": false,
        "retry": {}, "mayErase": false
    }))
    .unwrap()
}

#[tokio::test]
async fn a_station_that_has_not_called_a_new_service_yet_is_waited_for_and_one_without_a_token_is_not() {
    let scene = Scene::new().await;
    let undocked = scene.fleet.undock("gone/bay-1").await;
    assert!(matches!(undocked, Err(WorkError::Failed(_))), "a service that has not begun knows no station: {undocked:?}");
    scene.fleet.begin().await.unwrap();
    let undocked = scene.fleet.undock("hall/bay-1").await;
    assert!(matches!(undocked, Err(WorkError::Failed(_))), "{undocked:?}");
    let undocked = scene.fleet.undock("gone/bay-1").await;
    assert!(matches!(undocked, Err(WorkError::Refused(_))), "{undocked:?}");
}

/// An answer without the grants of the service before would take them back, and the station would stop its copies.
#[tokio::test]
async fn no_station_is_answered_before_it_is_known_what_was_granted() {
    let scene = Scene::new().await;
    assert_eq!(scene.call(1).await.unwrap_err(), CallError::NotNow);
    scene.fleet.begin().await.unwrap();
    assert_eq!(scene.call(2).await.unwrap().grants.len(), 0);
}

#[tokio::test]
async fn a_station_without_a_token_is_known_only_as_long_as_something_may_run_there() {
    let scene = Scene::new().await;
    scene.fleet.begin().await.unwrap();
    assert_eq!((scene.known(), scene.fleet.away()), (vec!["hall".to_owned()], Vec::new()), "it had no time to call yet");
    tokio::time::sleep(scene.fleet.times.away_after * 2).await;
    assert_eq!(scene.fleet.away().len(), 1, "operators are told of one that does not call");
    scene.revoke_token().await;
    scene.fleet.know_stations().await.unwrap();
    assert_eq!((scene.known(), scene.fleet.away()), (Vec::new(), Vec::new()));
    // A cancel asks what its copy moved: it is not waited for all the same.
    let (ended, _end) = oneshot::channel();
    let copy = scene.fleet.start(order("hall/bay-1"), ended);
    tokio::time::sleep(scene.fleet.times.away_after * 2).await;
    assert_eq!((scene.known(), scene.fleet.away()), (Vec::new(), Vec::new()));
    assert!(matches!(scene.fleet.undock("hall/bay-1").await, Err(WorkError::Refused(_))));
    assert!(scene.put_logs("hall/bay-1").await.is_ok(), "the service writes what it knows");
    drop(copy);
    // A call that was on its way when the token was revoked makes nothing of it for long.
    let _ = scene.call(1).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    scene.fleet.know_stations().await.unwrap();
    assert!(scene.fleet.stations.lock().is_empty(), "nothing is kept of it");
    scene.make_token().await;
    scene.fleet.know_stations().await.unwrap();
    assert_eq!(scene.known(), ["hall"]);
}

/// A job was removed while the token of its station was being changed.
#[tokio::test]
async fn a_station_that_had_no_token_forgets_removed_jobs_when_it_has_one_again() {
    let scene = Scene::new().await;
    let store = &scene.fleet.store;
    let is_kept = async || !store.stations_of("77").await.unwrap().is_empty();
    store.note_kept("77", "hall", None).await;
    scene.fleet.begin().await.unwrap();
    scene.revoke_token().await;
    scene.fleet.know_stations().await.unwrap();
    scene.fleet.forget("77", None).await.unwrap();
    scene.fleet.forget_removed_once().await.unwrap();
    assert!(is_kept().await, "its host still has the data");
    scene.make_token().await;
    scene.fleet.know_stations().await.unwrap();
    scene.call(1).await.unwrap();
    let forgetting = scene.fleet.forget_removed_once();
    let answering = async {
        loop {
            let orders = scene.call_with(0, BTreeMap::new()).await.unwrap();
            if let Some(id) = orders.tasks.into_keys().next() {
                return scene.call_with(0, BTreeMap::from([(id, TaskResult::Done)])).await.map(|_| ());
            }
        }
    };
    let (forgotten, answered) = tokio::join!(forgetting, answering);
    assert_eq!((forgotten, answered), (Ok(()), Ok(())));
    assert!(!is_kept().await);
}

/// What the journal of a host alone knows is asked there, also after its machine was started again; and not where the journal is on
/// another one.
#[tokio::test]
async fn who_has_the_journal_is_asked_what_a_copy_moved() {
    for (kept_in, is_asked) in [("journals.boot-1", true), ("boot-2", true), ("others.boot-2", false), ("boot-1", false)] {
        let scene = Scene::new().await;
        scene.fleet.store.note_kept("77", "hall", Some(kept_in)).await;
        scene.fleet.begin().await.unwrap();
        scene.call(1).await.unwrap();
        let (ended, end) = oneshot::channel();
        let copy = scene.fleet.start(CopyOrder { account_only: true, ..order("hall/bay-1") }, ended);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let grants = scene.call(2).await.unwrap().grants;
        assert_eq!(grants.len() == 1 && end.is_empty(), is_asked, "{kept_in}");
        drop(copy);
    }
}
