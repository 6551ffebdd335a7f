//! The time of a simulated drive: real, faster by a factor, or without waiting at all.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::timing::{Model, Timing};

/// A span of time; the longest there is, where a profile makes it longer.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// How fast a simulated drive's time goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many of its seconds in one of ours.
    Scaled(f64),
    /// Its time goes on only by what it does, and nothing waits for it.
    Unlimited,
}

/// A drive's clock, with the model that says when things end.
pub(super) struct Clock {
    pace: Pace,
    opened: Instant,
    state: Mutex<State>,
}

struct State {
    model: Option<Model>,
    /// The drive's time where nothing waits for it.
    unlimited_now: f64,
}

impl Clock {
    pub(super) fn new(pace: Pace, timing: Option<Timing>, size: u64) -> Self {
        let state = State { model: timing.map(|timing| Model::new(timing, size)), unlimited_now: 0.0 };
        Clock { pace, opened: Instant::now(), state: Mutex::new(state) }
    }

    /// How long the drive has been open, in its own time.
    pub(super) fn age(&self) -> Duration {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        seconds(self.now(&state))
    }

    fn now(&self, state: &State) -> f64 {
        match self.pace {
            Pace::Scaled(factor) => self.opened.elapsed().as_secs_f64() * factor,
            Pace::Unlimited => state.unlimited_now,
        }
    }

    /// Waits until what `work` asks of the model has ended, and for `delay` more.
    pub(super) fn pass(&self, delay: Duration, work: impl FnOnce(&mut Model, f64) -> f64) {
        let wait = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.now(&state);
            let end = state.model.as_mut().map_or(now, |model| work(model, now)) + delay.as_secs_f64();
            match self.pace {
                Pace::Scaled(factor) => (end - self.opened.elapsed().as_secs_f64() * factor) / factor,
                Pace::Unlimited => {
                    state.unlimited_now = state.unlimited_now.max(end);
                    0.0
                }
            }
        };
        if wait > 0.0 {
            std::thread::sleep(seconds(wait));
        }
    }
}
