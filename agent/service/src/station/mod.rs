//! The station: bays, the scheduler, and the copies that run.
//!
//! # How it decides
//! Level by level, not event by event: whenever something happened (a request, a drive, the end of a copy, a second),
//! one *round* looks at how things stand and does what is missing. So nothing depends on a message that was lost, and
//! a start of the service is a round like any other.
//!
//! # A round
//! 1. Effects from the outbox: stops first; documents are written beside the rounds and tried again.
//! 2. Timers that are due ([`protocol::job::Timer`]), so many a round.
//! 3. Bays: a docked drive is checked in where exactly one job waits for it; a drive that was received, or whose copy
//!    was interrupted, is copied.
//!
//! Only rounds start copies and only one round runs at a time, so that a drive is never copied twice at once.
//!
//! | file | what it knows |
//! |---|---|
//! | `worker` | what is asked of the data plane |
//! | `round` | what a round does with jobs and bays |
//! | `effects` | carrying out what was decided |
//! | `copies` | the beginning and the end of a copy |
//! | `check_in` | drives that come |
//! | `orders` | what operators may order |
//! | `show` | how all this looks from outside |
//! | `documents` | receipts and the list of what was not exported |

mod check_in;
mod copies;
mod documents;
mod effects;
#[cfg(test)]
pub(crate) mod fake;
mod orders;
mod round;
mod show;
pub mod worker;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::stop::StopReason;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};
use worker::{RunningCopy, Worker};

pub use check_in::CheckIn;
pub use documents::{DriveDocument, ReceiptsDocument, receipts};
pub use orders::{OrderError, ReturnPackage};
pub(crate) use show::waits_for_drives;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// Who acts when nobody does.
const SERVICE: &str = "service";

/// A round comes at least this often.
const BEAT: Duration = Duration::from_secs(1);

/// Looks whose rates are kept: three minutes of them.
const RATES_KEPT: usize = 180;

/// How often watchers are told how the bays stand.
const SHOW_BEAT: Duration = Duration::from_millis(500);

/// A station that runs.
#[derive(Clone)]
pub struct Station {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    worker: Arc<dyn Worker>,
    clock: Clock,
    /// The container that drives are imported into.
    import_container: String,
    wake: Notify,
    stopping: CancellationToken,
    running: Mutex<HashMap<CopyKey, Running>>,
    effects: Mutex<effects::Pending>,
    shown: watch::Sender<Arc<str>>,
}

/// A drive of a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CopyKey {
    job_uid: String,
    drive_id: String,
}

/// A copy that runs, in its bay.
struct Running {
    bay: String,
    copy: Arc<dyn RunningCopy>,
    /// The path of the job.
    job: String,
    /// The other side, for people.
    blob: String,
    direction: protocol::result::Direction,
    /// Bytes a second of the last minutes, a look apart.
    rates: VecDeque<f64>,
}

impl Station {
    /// A station. Nothing is done before [`Station::run`].
    pub fn new(store: Store, worker: Arc<dyn Worker>, clock: Clock, import_container: String) -> Self {
        let inner = Inner {
            store,
            worker,
            clock,
            import_container,
            wake: Notify::new(),
            stopping: CancellationToken::new(),
            running: Mutex::default(),
            effects: Mutex::default(),
            shown: watch::Sender::new("[]".into()),
        };
        Station { inner: Arc::new(inner) }
    }

    /// Round after round, until [`Station::stop`]; returns when every copy has drained.
    pub async fn run(&self) {
        let shower = tokio::spawn(self.clone().show_to_watchers());
        while !self.inner.stopping.is_cancelled() {
            self.round().await;
            // Rates are taken from one look to the next: somebody has to look.
            for running in self.running().values_mut() {
                running.rates.push_back(running.copy.progress().bytes_per_second);
                if running.rates.len() > RATES_KEPT {
                    running.rates.pop_front();
                }
            }
            tokio::select! {
                () = self.inner.stopping.cancelled() => {}
                () = self.inner.wake.notified() => {}
                () = self.inner.worker.docks_changed() => {}
                () = tokio::time::sleep(BEAT) => {}
            }
        }
        for running in self.running().values() {
            running.copy.stop(StopReason::Terminated);
        }
        while !self.running().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        shower.abort();
    }

    /// Asks the station to stop: copies drain, and go on when the service does.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }

    /// Asks copies that are draining to drop what is in flight.
    pub fn abort(&self) {
        for running in self.running().values() {
            running.copy.stop(StopReason::SecondSignal);
        }
    }

    /// Something changed that a round should look at.
    pub fn wake(&self) {
        self.inner.wake.notify_one();
    }

    /// What time it is here.
    pub fn now(&self) -> OffsetDateTime {
        (self.inner.clock)()
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<CopyKey, Running>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn show_to_watchers(self) {
        loop {
            tokio::time::sleep(SHOW_BEAT).await;
            if self.inner.shown.receiver_count() == 0 {
                continue;
            }
            if let Ok(text) = self.bays().await.map(|bays| serde_json::to_string(&bays).unwrap_or_default()) {
                self.inner.shown.send_if_modified(|shown| {
                    let is_new = **shown != *text;
                    if is_new {
                        *shown = text.into();
                    }
                    is_new
                });
            }
        }
    }

    /// The bays as JSON, whenever they change, at most twice a second.
    pub fn watch(&self) -> watch::Receiver<Arc<str>> {
        self.inner.shown.subscribe()
    }
}

/// A step that failed is no reason to leave the others undone.
fn log_failure(step: &'static str, result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::error!(step, error = %error, "a step of the scheduler failed and is tried again");
    }
}
