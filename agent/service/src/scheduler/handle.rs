//! The scheduler's handle: what all of its files share, and the table of copies that run.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use protocol::result::Direction;
use protocol::station::station_and_bay;
use protocol::stop::StopReason;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pending::PendingEffects;
use super::worker::{RunningCopy, Worker};
use crate::notify::Notifier;
use crate::store::Store;

/// The time.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// The actor of changes that the service makes by itself.
pub(super) const SERVICE: &str = "service";

/// The scheduler of a station. Clones share one state.
#[derive(Clone)]
pub struct Scheduler {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) worker: Arc<dyn Worker>,
    pub(super) clock: Clock,
    /// The container that drives are imported into.
    pub(super) import_container: String,
    /// Who is told of jobs; nobody, where it was not said.
    pub(super) notifier: OnceLock<Notifier>,
    pub(super) wake: Notify,
    pub(super) stopping: CancellationToken,
    /// What drains is to be dropped.
    pub(super) aborting: CancellationToken,
    /// Tasks that wait for the end of a copy and write it down.
    pub(super) copies: TaskTracker,
    /// Tasks that carry out effects beside the rounds.
    pub(super) effects: TaskTracker,
    running: Mutex<HashMap<CopyKey, Running>>,
    pub(super) pending: Mutex<PendingEffects>,
    /// The bays as JSON, for watchers.
    pub(super) shown: watch::Sender<Arc<str>>,
}

/// A drive of a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CopyKey {
    pub(super) job_uid: String,
    pub(super) drive_id: String,
}

impl CopyKey {
    pub(super) fn new(job_uid: &str, drive_id: &str) -> Self {
        CopyKey { job_uid: job_uid.to_owned(), drive_id: drive_id.to_owned() }
    }
}

/// A copy that runs, in its bay.
pub(super) struct Running {
    pub(super) bay: String,
    pub(super) copy: Arc<dyn RunningCopy>,
    /// Nothing moves: what a run moved is asked for.
    pub(super) is_account_only: bool,
    /// The path of the job.
    pub(super) job: String,
    /// The blob as `CONTAINER/NAME`, for display.
    pub(super) blob: String,
    pub(super) direction: Direction,
    /// Bytes a second, sampled once a round; the newest last.
    pub(super) rates: VecDeque<f64>,
}

impl Running {
    /// Whether it holds a bay. What a run moved is asked for without its drive: another one may be there.
    pub(super) fn is_in(&self, bay: &str) -> bool {
        self.bay == bay && !self.is_account_only
    }
}

impl Scheduler {
    /// A scheduler. Nothing is done before [`Scheduler::run`].
    pub fn new(store: Store, worker: Arc<dyn Worker>, clock: Clock, import_container: String) -> Self {
        let inner = Inner {
            store,
            worker,
            clock,
            import_container,
            notifier: OnceLock::new(),
            wake: Notify::new(),
            stopping: CancellationToken::new(),
            aborting: CancellationToken::new(),
            copies: TaskTracker::new(),
            effects: TaskTracker::new(),
            running: Mutex::default(),
            pending: Mutex::default(),
            shown: watch::Sender::new("[]".into()),
        };
        Scheduler { inner: Arc::new(inner) }
    }

    /// Sends notices with `notifier`. It is said once, before [`Scheduler::run`].
    pub fn notify_with(&self, notifier: Notifier) {
        let _ = self.inner.notifier.set(notifier);
    }

    /// Asks the scheduler to stop: copies drain, and are resumed when the service starts again.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }

    /// Asks copies that are draining to drop what is in flight.
    pub fn abort(&self) {
        self.inner.aborting.cancel();
        self.stop_own(StopReason::SecondSignal);
    }

    /// Stops the copies in this service's own bays. Those at stations go on without it.
    pub fn stop_own(&self, reason: StopReason) {
        for running in self.running().values().filter(|running| station_and_bay(&running.bay).is_none()) {
            running.copy.stop(reason);
        }
    }

    /// Begins the next round now: something changed that it should look at.
    pub(crate) fn wake(&self) {
        self.inner.wake.notify_one();
    }

    /// The time by the scheduler's clock.
    pub(crate) fn now(&self) -> OffsetDateTime {
        (self.inner.clock)()
    }

    /// The data plane.
    pub(crate) fn worker(&self) -> &dyn Worker {
        &*self.inner.worker
    }

    pub(super) fn running(&self) -> MutexGuard<'_, HashMap<CopyKey, Running>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a drive of a job is being copied.
    pub(crate) fn is_running(&self, job_uid: &str, drive_id: &str) -> bool {
        self.running().contains_key(&CopyKey::new(job_uid, drive_id))
    }

    /// Whether the drive in a bay is being copied.
    pub(crate) fn is_running_in(&self, bay: &str) -> bool {
        self.running().values().any(|running| running.is_in(bay))
    }

    /// Asks the copy of a drive to stop; false where none runs.
    pub(crate) fn stop_running(&self, job_uid: &str, drive_id: &str, reason: StopReason) -> bool {
        let running = self.running();
        let found = running.get(&CopyKey::new(job_uid, drive_id));
        found.inspect(|running| running.copy.stop(reason)).is_some()
    }
}
