//! Trying a request until it succeeds, is refused for good, the budget is spent, or a stop is asked for.
//!
//! Waits end at a stop, attempts do not: an attempt under way ends by itself or by its timeout.
//! A caller that must drop it drops the future.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use blob::retry::{Retry, RetryPolicy};
use blob::{Blob, BlobError, BlobErrorKind};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::limits::{OUTAGE_NOTICE_INTERVAL, SLOWEST_BODY_BYTES_PER_SECOND};

/// How requests of one transfer are tried.
#[derive(Clone)]
pub(crate) struct Attempts {
    /// The blob that they are about, for messages.
    pub(crate) address: String,
    pub(crate) policy: RetryPolicy,
    pub(crate) request_timeout: Duration,
    /// Requests end by themselves when nothing moves: how long one takes says nothing on a slow link.
    pub(crate) notices_silence: bool,
    /// The budget of requests to a store that was not reached yet.
    pub(crate) first_contact_budget: Duration,
    pub(crate) handle: TransferHandle,
    /// The store was not reached yet.
    pub(crate) is_first_contact: bool,
    /// How often the store throttled.
    pub(crate) throttled: Arc<AtomicU64>,
    /// When the last message said that requests are being repeated.
    pub(crate) told_at: Arc<Mutex<Option<Instant>>>,
}

/// A request that did not succeed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: CopyError,
    /// It might have succeeded later, but a stop was asked for.
    pub(crate) gave_up_for_stop: bool,
    /// Whether what was sent may have landed all the same.
    pub(crate) doubt: Doubt,
}

/// Whether a request that failed may have been carried out; the gravest doubt over all its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doubt {
    /// Every attempt was refused: it was certainly not carried out.
    None,
    /// Every attempt was answered, and some answer does not exclude that it was carried out. What the store holds
    /// from then on tells.
    UntilAsked,
    /// Some attempt was not answered: it may be carried out even after the store was asked.
    Lasting,
}

impl Doubt {
    /// The doubt that an attempt leaves. A server that is busy may have stored the body before it said so.
    fn after(kind: BlobErrorKind) -> Self {
        use BlobErrorKind::*;
        match kind {
            ContainerNotFound | NotFound | AlreadyExists | Changed | Denied | NotPermitted | Unsupported | ForeignBlocks
            | Corrupted => Doubt::None,
            TimedOut | Transport | ServerFault => Doubt::Lasting,
            _ => Doubt::UntilAsked,
        }
    }
}

impl From<Failed> for CopyError {
    fn from(failed: Failed) -> Self {
        if failed.gave_up_for_stop { CopyError::Cancelled } else { failed.error }
    }
}

impl Attempts {
    /// As the options of a transfer say. `blob` is absent where there is none of which it is known.
    pub(crate) fn new(options: &TransferOptions, handle: &TransferHandle, address: String, blob: Option<&dyn Blob>) -> Self {
        Attempts {
            address,
            notices_silence: blob.is_some_and(Blob::notices_silence),
            policy: options.retry,
            request_timeout: options.request_timeout,
            first_contact_budget: options.first_contact_budget,
            is_first_contact: false,
            handle: handle.clone(),
            throttled: Arc::default(),
            told_at: Arc::default(),
        }
    }

    /// Tries `attempt` until it succeeds; gives the result and how many attempts it took. Each attempt
    /// is ended after the request timeout and the time that `body_bytes` may take, unless the store notices silence.
    pub(crate) async fn run<T, F>(
        &self,
        operation: &'static str,
        body_bytes: u64,
        attempt: impl Fn() -> F,
    ) -> Result<(T, u32), Failed>
    where
        F: Future<Output = Result<T, BlobError>>,
    {
        if self.notices_silence {
            return self.run_self_timed(attempt).await;
        }
        let limit = self.request_timeout + Duration::from_secs(body_bytes / SLOWEST_BODY_BYTES_PER_SECOND);
        self.run_self_timed(|| async {
            let ended = tokio::time::timeout(limit, attempt()).await;
            ended.unwrap_or_else(|_| {
                let message = format!("no answer within {} s", limit.as_secs_f64().ceil());
                Err(BlobError::new(BlobErrorKind::TimedOut, operation, self.address.as_str(), message))
            })
        })
        .await
    }

    /// The same for attempts that notice silence themselves: a slow body is not a silent one.
    pub(crate) async fn run_self_timed<T, F>(&self, attempt: impl Fn() -> F) -> Result<(T, u32), Failed>
    where
        F: Future<Output = Result<T, BlobError>>,
    {
        let mut first_failure = None;
        let mut doubt = Doubt::None;
        let mut number = 0;
        loop {
            number += 1;
            let error = match attempt().await {
                Ok(value) => return Ok((value, number)),
                Err(error) => error,
            };
            let since_first = first_failure.get_or_insert_with(Instant::now).elapsed();
            // A link that is full is silent for some, as a store that is busy refuses some.
            if matches!(error.kind, BlobErrorKind::Throttled | BlobErrorKind::TimedOut) {
                self.throttled.fetch_add(1, Ordering::Relaxed);
            }
            doubt = doubt.max(Doubt::after(error.kind));
            let policy = self.policy_after(error.kind);
            match policy.decide(number, &error, since_first, rand::random()) {
                Retry::GiveUp => {
                    let error = with_wait_that_is_too_long(error, policy.budget.saturating_sub(since_first));
                    return Err(failed(error, number, since_first, doubt, false));
                }
                Retry::After(delay) => {
                    tracing::debug!(%error, attempt = number, delay_milliseconds = delay.as_millis() as u64, "trying again");
                    self.handle.counters.add_retry();
                    self.tell(&error, since_first);
                    tokio::select! {
                        biased;
                        () = self.handle.stop.stopping() => return Err(failed(error, number, since_first, doubt, true)),
                        () = tokio::time::sleep(delay) => {}
                    }
                }
            }
        }
    }

    /// Meters what a request with a body moves, where that goes over a link.
    pub(crate) async fn metered<T, E>(&self, body_bytes: u64, request: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        if !self.notices_silence {
            return request.await;
        }
        let mut metered = self.handle.counters.link.request();
        let result = request.await;
        if result.is_ok() {
            metered.moved_bytes = body_bytes;
        }
        result
    }

    /// The same with the shorter budget for a store that was not reached yet.
    pub(crate) fn for_first_contact(&self) -> Self {
        Attempts { is_first_contact: true, ..self.clone() }
    }

    /// A store that says that it is busy was reached.
    fn policy_after(&self, kind: BlobErrorKind) -> RetryPolicy {
        match self.is_first_contact && kind != BlobErrorKind::Throttled {
            true => RetryPolicy { budget: self.first_contact_budget, ..self.policy },
            false => self.policy,
        }
    }

    /// Reports an outage, once in a while: many requests fail of the same.
    fn tell(&self, error: &BlobError, since_first: Duration) {
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_some_and(|at| at.elapsed() < OUTAGE_NOTICE_INTERVAL) {
            return;
        }
        *told_at = Some(Instant::now());
        let left = self.policy_after(error.kind).budget.saturating_sub(since_first).as_secs();
        self.handle.warn(format!("{error}; trying again for up to {left} s"));
    }
}

/// Says so, where a store asks for a longer pause than there is time for.
fn with_wait_that_is_too_long(error: BlobError, left: Duration) -> BlobError {
    match error.retry_after.filter(|asked| error.is_transient() && *asked > left) {
        Some(asked) => {
            let (asked, left) = (asked.as_secs(), left.as_secs());
            let message = format!(
                "{}; the store asks to be left alone for {asked} s, and {left} s of the retry budget are left: repeat the command then, or give more with `--retry-budget`",
                error.message
            );
            BlobError { message, ..error }
        }
        None => error,
    }
}

fn failed(error: BlobError, attempts: u32, elapsed: Duration, doubt: Doubt, gave_up_for_stop: bool) -> Failed {
    let error = match attempts {
        1 => CopyError::Store(error),
        attempts => CopyError::StoreGaveUp { error, attempts, seconds: elapsed.as_secs_f64() },
    };
    Failed { error, gave_up_for_stop, doubt }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::stop::Stop;
    use protocol::stop::StopReason;
    use std::cell::Cell;

    fn attempts(budget: Duration) -> Attempts {
        Attempts {
            address: "blob".into(),
            policy: RetryPolicy { first_delay: Duration::from_millis(1), delay_max: Duration::from_millis(2), budget },
            request_timeout: Duration::from_millis(50),
            notices_silence: false,
            first_contact_budget: budget,
            is_first_contact: false,
            handle: TransferHandle::new(Stop::new(), |_| ()),
            throttled: Arc::default(),
            told_at: Arc::default(),
        }
    }

    fn error(kind: BlobErrorKind) -> BlobError {
        BlobError::new(kind, "test", "blob", "failed")
    }

    #[tokio::test]
    async fn passing_errors_are_tried_again_and_final_ones_are_not() {
        let tries = Cell::new(0);
        let patient = attempts(Duration::from_secs(5));
        let result = patient.run("test", 0, || {
            tries.set(tries.get() + 1);
            let try_number = tries.get();
            async move { if try_number < 4 { Err(error(BlobErrorKind::ServerFault)) } else { Ok(try_number) } }
        });
        assert_eq!(result.await.unwrap(), (4, 4));
        tries.set(0);
        let patient = attempts(Duration::from_secs(5));
        let result = patient.run("test", 0, || {
            tries.set(tries.get() + 1);
            async { Err::<(), _>(error(BlobErrorKind::Denied)) }
        });
        assert!(matches!(result.await.unwrap_err(), Failed { error: CopyError::Store(_), doubt: Doubt::None, .. }));
        assert_eq!(tries.get(), 1);
    }

    #[tokio::test]
    async fn silence_is_an_error_and_the_budget_ends_it() {
        let patient = attempts(Duration::from_millis(120));
        let result = patient.run("test", 0, std::future::pending::<Result<(), BlobError>>);
        let failed = result.await.unwrap_err();
        assert!(failed.doubt == Doubt::Lasting && !failed.gave_up_for_stop);
        assert!(matches!(failed.error, CopyError::StoreGaveUp { attempts: 2..=4, .. }), "{failed:?}");
    }

    #[tokio::test]
    async fn a_store_that_is_busy_was_reached_and_a_pause_that_is_too_long_is_said() {
        let mut patient = attempts(Duration::from_secs(5)).for_first_contact();
        patient.first_contact_budget = Duration::ZERO;
        let tries = Cell::new(0);
        let busy_once = patient.run("test", 0, || {
            tries.set(tries.get() + 1);
            let is_first = tries.get() == 1;
            async move { if is_first { Err(error(BlobErrorKind::Throttled)) } else { Ok(()) } }
        });
        assert!(busy_once.await.is_ok());
        let unreachable = patient.run("test", 0, || async { Err::<(), _>(error(BlobErrorKind::Transport)) }).await;
        assert!(matches!(unreachable.unwrap_err().error, CopyError::Store(_)), "tried once");
        let hours = || BlobError { retry_after: Some(Duration::from_secs(7200)), ..error(BlobErrorKind::Throttled) };
        let failed = patient.run("test", 0, || async { Err::<(), _>(hours()) }).await.unwrap_err().error.to_string();
        assert!(failed.contains("7200 s") && failed.contains("`--retry-budget`"), "{failed}");
    }

    #[tokio::test]
    async fn waits_give_up_at_a_stop_and_attempts_do_not() {
        let mut patient = attempts(Duration::from_secs(60));
        patient.policy.first_delay = Duration::from_secs(30);
        patient.policy.delay_max = Duration::from_secs(30);
        patient.handle.stop.request_stop(StopReason::Interrupted);
        let failed = patient.run("test", 0, || async { Err::<(), _>(error(BlobErrorKind::Throttled)) }).await.unwrap_err();
        // The store may have stored the body before it said that it was busy.
        assert!(failed.gave_up_for_stop && failed.doubt == Doubt::UntilAsked);
        assert_eq!(patient.run("test", 0, || async { Ok(1) }).await.unwrap(), (1, 1));
    }
}
