//! One call after another. A call waits at the service for something new; it is dropped, and made again, when there is
//! something new here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::station::{CALL_VERSION, StationOrders, StationReport};
use protocol::station_rate::RateOrder;
use protocol::stop::StopReason;
use service::moment::Moment;
use service::scheduler::Clock;
use service::scheduler::worker::Worker;

use super::copies::Copies;
use super::lease::Lease;
use super::tasks::Tasks;
use crate::client::{ClientError, JobService};
use crate::printer::Printer;

/// How long a call waits for something new while nothing is copied.
const IDLE_WAIT_SECONDS: u64 = 20;

/// The same while something is copied: so often is its progress told.
const COPYING_WAIT_SECONDS: u64 = 1;

/// Pause after a call that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two looks at the lease.
const LEASE_INTERVAL: Duration = Duration::from_millis(250);

/// The code of the answer where another process has this station's name for good.
const REPLACED: &str = "StationReplaced";

/// A station that calls.
pub(super) struct Calls {
    /// Those that are asked in turn: each knows which one decides.
    pub(super) services: Vec<JobService>,
    pub(super) worker: Arc<dyn Worker>,
    pub(super) copies: Arc<Copies>,
    pub(super) tasks: Arc<Tasks>,
    pub(super) lease: Arc<Lease>,
    pub(super) identity: Identity,
    pub(super) last: Mutex<LastAnswer>,
    pub(super) printer: Printer,
}

/// What the last answer said, and how many calls there were.
#[derive(Default, Clone)]
pub(super) struct LastAnswer {
    service: String,
    number: u64,
    calls: u64,
    /// Whose turn it is to be asked.
    turn: usize,
}

/// Who calls.
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) hall: Option<String>,
    pub(super) state_id: String,
    pub(super) process: u64,
    /// Where its accounts are.
    pub(super) accounts: BTreeMap<String, String>,
    /// The clock that says when drives were docked.
    pub(super) clock: Clock,
}

/// What was said last of the service, so that it is said once.
#[derive(PartialEq, Eq)]
enum Said {
    Nothing,
    Answers,
    Fails(String),
}

impl Calls {
    /// Calls until something cannot pass by itself.
    pub(super) async fn run(&self) -> ClientError {
        let mut said = Said::Nothing;
        loop {
            match self.call_once(false).await {
                Ok(true) => self.say(&mut said, None),
                Ok(false) => {}
                Err(error) if is_final(&error, said == Said::Nothing) => return error,
                Err(error) => {
                    self.say(&mut said, Some(&error));
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    /// Calls until the service has taken the end of every copy.
    pub(super) async fn finish(&self) {
        while !self.copies.is_empty() {
            if self.call_once(true).await.is_err() {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
        // So that its bays are known to be away at once.
        let _ = self.call_once(true).await;
    }

    /// One call; false where it was dropped, since something is new here.
    async fn call_once(&self, is_stopping: bool) -> Result<bool, ClientError> {
        let sent = Moment::now();
        let report = self.report(is_stopping);
        let is_new_here = async {
            tokio::select! {
                () = self.copies.changed.notified() => {}
                () = self.tasks.changed.notified() => {}
                () = self.worker.docks_changed() => {}
            }
        };
        let orders = tokio::select! {
            orders = self.asked().station_call(&self.identity.name, &report) => self.noted(orders)?,
            () = is_new_here, if !is_stopping => return Ok(false),
        };
        let is_new_service = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = last.service != orders.service;
            (last.service, last.number) = (orders.service.clone(), if is_new { 0 } else { orders.number });
            is_new
        };
        if is_new_service {
            // It took nothing of the report in, and gets the next one at once.
            return Ok(false);
        }
        self.apply(orders, sent, is_stopping).await?;
        Ok(true)
    }

    /// The service that is asked now.
    fn asked(&self) -> &JobService {
        let turn = self.last.lock().unwrap_or_else(PoisonError::into_inner).turn;
        &self.services[turn % self.services.len()]
    }

    /// After a service that does not answer comes the turn of the next one.
    fn noted<T>(&self, answer: Result<T, ClientError>) -> Result<T, ClientError> {
        if matches!(answer, Err(ClientError::Failed(_) | ClientError::Refused { status: 503, .. })) {
            self.last.lock().unwrap_or_else(PoisonError::into_inner).turn += 1;
        }
        answer
    }

    fn report(&self, is_stopping: bool) -> StationReport {
        let last = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.calls += 1;
            last.clone()
        };
        let copies = self.copies.report();
        let wait_seconds = match (is_stopping, self.copies.is_running()) {
            (true, _) => 0,
            (false, true) => COPYING_WAIT_SECONDS,
            (false, false) => IDLE_WAIT_SECONDS,
        };
        StationReport {
            call_version: CALL_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state_id: self.identity.state_id.clone(),
            process: self.identity.process,
            hall: self.identity.hall.clone(),
            bays: self.worker.bays(),
            accounts: self.identity.accounts.clone(),
            rate: self.worker.rate(),
            copies,
            done: self.tasks.report(),
            service: last.service,
            call: last.calls,
            seen: last.number,
            wait_seconds,
            is_stopping,
            told_at: Some((self.identity.clock)()),
        }
    }

    async fn apply(&self, orders: StationOrders, sent: Moment, is_stopping: bool) -> Result<(), ClientError> {
        let renewed = self.lease.renew(sent, Duration::from_secs(orders.lease_seconds));
        renewed.map_err(|error| ClientError::Usage(error.to_string()))?;
        self.follow_rate(&orders.rate);
        // An answer that was long on its way may come when its grants have to be stopped already.
        let may_begin = !is_stopping && !self.lease.is_over(Moment::now());
        self.copies.apply(orders.grants, may_begin);
        self.tasks.apply(orders.tasks);
        Ok(())
    }

    /// Takes over what operators order about the rate.
    fn follow_rate(&self, rate: &str) {
        if let Ok(order) = rate.parse::<RateOrder>() {
            self.worker.set_rate(order);
        }
    }

    fn say(&self, said: &mut Said, error: Option<&ClientError>) {
        let now = error.map_or(Said::Answers, |error| {
            Said::Fails(match error {
                ClientError::Refused { status: 401, .. } => {
                    format!("{error}; put a new one into the token's file, and start the station again")
                }
                error => error.to_string(),
            })
        });
        if *said == now {
            return;
        }
        match &now {
            Said::Fails(text) if self.copies.is_running() => {
                let seconds = self.lease.remaining(Moment::now()).as_secs();
                self.printer.warn(&format!("{text}; copies go on for {seconds} s, and stop then if it does not answer"));
            }
            Said::Fails(text) => self.printer.warn(text),
            _ if *said == Said::Nothing => {
                self.printer.inform(&format!("the station `{}` is known to the service", self.identity.name));
            }
            _ => self.printer.inform("the service answers again"),
        }
        *said = now;
    }

    /// Stops the copies when the service has not renewed their grants in time. Never returns.
    pub(super) async fn watch_lease(&self) {
        let mut is_logged = false;
        loop {
            tokio::time::sleep(LEASE_INTERVAL).await;
            let now = Moment::now();
            if !self.lease.is_over(now) || !self.copies.is_running() {
                is_logged = false;
                continue;
            }
            if !std::mem::replace(&mut is_logged, true) {
                tracing::warn!("the service did not answer in time: copies stop");
            }
            // After a sleep the drive may be copied by another host already.
            let is_late = self.lease.has_ended(now);
            self.copies.stop_all(if is_late { StopReason::SecondSignal } else { StopReason::LeaseLost });
        }
    }
}

/// Whether another call would get the same answer for ever.
fn is_final(error: &ClientError, is_first: bool) -> bool {
    match error {
        // Name and token do not go together; later on, the token may have been revoked by mistake.
        ClientError::Refused { status: 401 | 403, .. } => is_first,
        ClientError::Refused { code, status, .. } => code == REPLACED || *status == 400,
        ClientError::Usage(_) => true,
        ClientError::Failed(_) => false,
    }
}
