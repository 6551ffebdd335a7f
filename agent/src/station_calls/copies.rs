//! The copies of this host, each under a grant of the service: those that run, and those whose end the service has not taken yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::limits::RANGES_KEPT_MAX;
use protocol::outcome::Outcome;
use protocol::progress::UnreadableSoFar;
use protocol::result::TransferResult;
use protocol::station::{CopyOrder, CopyReport, Grant};
use protocol::stop::StopReason;
use service::scheduler::worker::{RunningCopy, Worker};
use tokio::sync::{Notify, oneshot};

/// The copies of this host.
pub(super) struct Copies {
    worker: Arc<dyn Worker>,
    held: Mutex<BTreeMap<String, Held>>,
    /// Something has ended.
    pub(super) changed: Notify,
}

enum Held {
    Running(Arc<dyn RunningCopy>),
    Ended(Box<TransferResult>),
}

impl Copies {
    pub(super) fn new(worker: Arc<dyn Worker>) -> Arc<Self> {
        Arc::new(Copies { worker, held: Mutex::default(), changed: Notify::new() })
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what the service's grants say: begins what is new, stops what is to stop, and what has no grant any more; an end
    /// that is not waited for is forgotten.
    pub(super) fn apply(self: &Arc<Self>, grants: Vec<Grant>, may_begin: bool) {
        let names: BTreeSet<String> = grants.iter().filter_map(|grant| grant.order.grant.clone()).collect();
        for Grant { order, stop } in grants {
            let Some(name) = order.grant.clone() else { continue };
            let is_held = self.held().contains_key(&name);
            if !is_held && may_begin {
                self.begin(name.clone(), order);
            }
            if let (Some(reason), Some(Held::Running(copy))) = (stop, self.held().get(&name)) {
                copy.stop(reason);
            }
        }
        self.held().retain(|name, held| match held {
            _ if names.contains(name) => true,
            Held::Running(copy) => {
                copy.stop(StopReason::LeaseLost);
                true
            }
            Held::Ended(_) => false,
        });
    }

    fn begin(self: &Arc<Self>, name: String, order: CopyOrder) {
        let (ended, end) = oneshot::channel();
        let failed = TransferResult::not_begun(Outcome::Failed, order.direction, &order.blob.name);
        let copy = self.worker.start(order, ended);
        self.held().insert(name.clone(), Held::Running(copy));
        let copies = self.clone();
        tokio::spawn(async move {
            let result = end.await.unwrap_or_else(|_| {
                let error = Some("the copy ended without a result: the station's log says why".to_owned());
                TransferResult { error, ..failed }
            });
            // The service keeps no longer lists; the logs are written from the whole ones.
            let result = Box::new(result.with_lists_cut(RANGES_KEPT_MAX));
            copies.held().insert(name, Held::Ended(result));
            copies.changed.notify_one();
        });
    }

    /// Asks every copy to stop.
    pub(super) fn stop_all(&self, reason: StopReason) {
        for held in self.held().values() {
            if let Held::Running(copy) = held {
                copy.stop(reason);
            }
        }
    }

    /// Whether something runs.
    pub(super) fn is_running(&self) -> bool {
        self.held().values().any(|held| matches!(held, Held::Running(_)))
    }

    /// Whether nothing runs, and the service has taken every end.
    pub(super) fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    /// How they stand.
    pub(super) fn report(&self) -> BTreeMap<String, CopyReport> {
        let report = |held: &Held| match held {
            Held::Running(copy) => {
                let UnreadableSoFar { mut bad, mut doubtful } = copy.unreadable_so_far();
                bad.truncate(RANGES_KEPT_MAX);
                doubtful.truncate(RANGES_KEPT_MAX);
                CopyReport::Running { progress: copy.progress(), unreadable: UnreadableSoFar { bad, doubtful } }
            }
            Held::Ended(result) => CopyReport::Ended { result: result.clone() },
        };
        self.held().iter().map(|(name, held)| (name.clone(), report(held))).collect()
    }
}
