//! When to try again: a pure function of the attempt, the error and the time that is left.

use std::time::Duration;

use crate::error::BlobError;

/// How long and how often a request is tried. There is one budget for all tries of a request: the time
/// from its first failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Back-off after the first failure; doubled after each further one.
    pub first_delay: Duration,
    /// The longest back-off.
    pub delay_max: Duration,
    /// No try begins later than this after the first failure.
    pub budget: Duration,
}

impl Default for RetryPolicy {
    /// Half a second, doubling to 16, for two minutes: a storage account that fails over is back
    /// within one.
    fn default() -> Self {
        RetryPolicy {
            first_delay: Duration::from_millis(500),
            delay_max: Duration::from_secs(16),
            budget: Duration::from_secs(120),
        }
    }
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Wait so long, then try again.
    After(Duration),
    /// The error is final, or the budget is spent.
    GiveUp,
}

impl RetryPolicy {
    /// What to do after attempt number `attempt` (from 1) failed with `error`, `elapsed` after the
    /// first failure. `jitter` is a random number from 0 to 1: delays are spread over their upper
    /// half, so that a crowd of requests does not come back at once.
    pub fn decide(&self, attempt: u32, error: &BlobError, elapsed: Duration, jitter: f64) -> Retry {
        if !error.is_transient() {
            return Retry::GiveUp;
        }
        let doublings = attempt.saturating_sub(1).min(16);
        let full = self.first_delay.saturating_mul(1 << doublings).min(self.delay_max);
        let asked = error.retry_after.unwrap_or_default();
        let left = self.budget.saturating_sub(elapsed);
        if left.is_zero() || asked > left {
            return Retry::GiveUp;
        }
        // The last try is at the very end of the budget: an outage that ends just before it is survived.
        Retry::After(full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)).max(asked).min(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::BlobErrorKind;

    fn error(kind: BlobErrorKind) -> BlobError {
        BlobError::new(kind, "test", "blob", "failed")
    }

    fn decide(attempt: u32, kind: BlobErrorKind, elapsed_seconds: u64) -> Retry {
        RetryPolicy::default().decide(attempt, &error(kind), Duration::from_secs(elapsed_seconds), 1.0)
    }

    #[test]
    fn final_errors_are_never_retried() {
        for kind in [BlobErrorKind::Denied, BlobErrorKind::NotFound, BlobErrorKind::NoSpace, BlobErrorKind::Other] {
            assert_eq!(decide(1, kind, 0), Retry::GiveUp);
        }
    }

    #[test]
    fn delays_double_up_to_their_bound() {
        let delays: Vec<_> = (1..8).map(|attempt| decide(attempt, BlobErrorKind::ServerFault, 0)).collect();
        let seconds = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 16.0];
        assert_eq!(delays, seconds.map(|seconds| Retry::After(Duration::from_secs_f64(seconds))));
    }

    #[test]
    fn the_budget_is_never_exceeded() {
        assert_eq!(decide(9, BlobErrorKind::Transport, 104), Retry::After(Duration::from_secs(16)));
        assert_eq!(decide(9, BlobErrorKind::Transport, 110), Retry::After(Duration::from_secs(10)), "and never left unused");
        assert_eq!(decide(9, BlobErrorKind::Transport, 120), Retry::GiveUp);
    }

    #[test]
    fn the_delay_that_the_server_asks_for_counts() {
        let throttled = BlobError { retry_after: Some(Duration::from_secs(7)), ..error(BlobErrorKind::Throttled) };
        let policy = RetryPolicy::default();
        assert_eq!(policy.decide(1, &throttled, Duration::ZERO, 0.0), Retry::After(Duration::from_secs(7)));
        let hours = BlobError { retry_after: Some(Duration::from_secs(7200)), ..throttled };
        assert_eq!(policy.decide(1, &hours, Duration::ZERO, 0.0), Retry::GiveUp);
    }
}
