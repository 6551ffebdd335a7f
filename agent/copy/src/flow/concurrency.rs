//! How many requests run at once; and how many readers, whose reads are requests to a drive.
//!
//! Where no number was fixed it is found by trying, over windows in which a few requests for each connection ended:
//!
//! | state | what a window shows | next |
//! |---|---|---|
//! | starting | the rate rose by 5 % | starting, with twice as many |
//! | starting | it did not | settled, where it was before |
//! | settled | nothing yet, for some windows | settled |
//! | settled | nothing more to wait for | trying more, and the next time fewer |
//! | trying more | the rate rose by 5 % | trying still more |
//! | trying more | it did not | settled, where it was before |
//! | trying fewer | the rate is the same within 2 % | trying still fewer |
//! | trying fewer | it is not | settled, where it was before |
//! | any | the store throttled, or a request was silent for too long | recovering, with half |
//! | recovering | as many requests ended as run at once | recovering, with one more; settled, where that is what ran before |
//!
//! It starts with a few: on a slow link many requests share what there is, and none of them ends. What was tried without a
//! gain is tried again after twice as many windows, up to a limit, so that a store where all is
//! well is left alone. A window in which the requests waited for chunks, and not the chunks for requests, shows nothing
//! about the store.

use std::time::{Duration, Instant};

/// The shortest window: what takes less is decided by chance.
const WINDOW_MIN: Duration = Duration::from_millis(500);

/// The same while starting: a link that takes more is to be used soon.
const STARTING_WINDOW_MIN: Duration = Duration::from_millis(100);

/// Requests that end in a window, for each that runs at once.
const ROUNDS: usize = 2;

/// What more requests must gain, and what fewer may lose.
const GAIN: f64 = 1.05;
const LOSS: f64 = 0.98;

/// Windows between two tries: the fewest, and the most after tries that gained nothing.
const WAIT_WINDOWS_MIN: u32 = 4;
const WAIT_WINDOWS_MAX: u32 = 32;

/// How many run at first.
const STARTING: usize = 2;

/// The most that are ever tried.
const CONCURRENCY_MAX: usize = 64;

/// How many requests run at once, now.
#[derive(Debug)]
pub(crate) struct Concurrency {
    now: usize,
    max: usize,
    state: State,
    window: Window,
    wait_windows: u32,
    throttled_seen: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// It was chosen.
    Fixed,
    /// Doubled while that gains; `before` is what was there before the last time, and its rate.
    Starting {
        before: Option<(usize, f64)>,
    },
    Settled {
        windows_left: u32,
        next: Direction,
    },
    Trying {
        direction: Direction,
        before: usize,
        bytes_per_second: f64,
    },
    Recovering {
        successes: usize,
        until: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Direction {
    More,
    Fewer,
}

/// What ended since the number last changed.
#[derive(Debug, Default)]
struct Window {
    started: Option<Instant>,
    /// Requests that began under another number and did not end yet.
    to_skip: usize,
    ended: usize,
    ended_while_full: usize,
    bytes: u64,
}

/// What a window showed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shown {
    bytes_per_second: f64,
    was_full: bool,
}

/// A request that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// What it moved.
    pub(crate) bytes: u64,
    /// Whether as many ran as may: otherwise something else was waited for.
    pub(crate) was_full: bool,
    /// How often the store has throttled by now.
    pub(crate) throttled: u64,
    pub(crate) at: Instant,
}

impl Concurrency {
    /// `asked` for good; or found by trying, from `preferred` on and up to `most`.
    pub(crate) fn new(asked: Option<usize>, preferred: usize, most: usize) -> Self {
        let max = most.clamp(1, CONCURRENCY_MAX);
        let (now, state) = match asked {
            Some(asked) => (asked.max(1), State::Fixed),
            None => (STARTING.min(preferred).clamp(1, max), State::Starting { before: None }),
        };
        Concurrency { now, max, state, window: Window::default(), wait_windows: WAIT_WINDOWS_MIN, throttled_seen: 0 }
    }

    pub(crate) fn now(&self) -> usize {
        self.now
    }

    /// Notes that a request ended.
    pub(crate) fn ended(&mut self, ended: Ended) {
        if self.state == State::Fixed {
            return;
        }
        let (now, state) = if ended.throttled > self.throttled_seen {
            self.throttled_seen = ended.throttled;
            let until = if let State::Recovering { until, .. } = self.state { until } else { self.now };
            ((self.now / 2).max(1), State::Recovering { successes: 0, until })
        } else if let State::Recovering { successes, until } = self.state {
            recovered(self.now, successes + 1, until)
        } else {
            let is_starting = matches!(self.state, State::Starting { .. });
            let shortest = if is_starting { STARTING_WINDOW_MIN } else { WINDOW_MIN };
            let Some(shown) = self.window.add(ended, self.now, shortest) else { return };
            next(self.now, self.max, self.state, shown, self.wait_windows)
        };
        self.wait_windows = match (self.state, state) {
            (State::Trying { .. }, State::Settled { .. }) => (2 * self.wait_windows).min(WAIT_WINDOWS_MAX),
            (State::Trying { .. } | State::Recovering { .. }, _) => WAIT_WINDOWS_MIN,
            _ => self.wait_windows,
        };
        if now != self.now {
            tracing::debug!(before = self.now, now, "requests at once");
        }
        self.window = Window { to_skip: if now == self.now { 0 } else { self.now }, ..Window::default() };
        (self.now, self.state) = (now, state);
    }
}

impl Window {
    /// Adds a request; gives what the window showed when it is over.
    fn add(&mut self, ended: Ended, now: usize, shortest: Duration) -> Option<Shown> {
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return None;
        }
        let Some(started) = self.started else {
            self.started = Some(ended.at);
            return None;
        };
        self.ended += 1;
        self.ended_while_full += usize::from(ended.was_full);
        self.bytes += ended.bytes;
        let length = ended.at.saturating_duration_since(started);
        let is_over = length >= shortest && self.ended >= ROUNDS * now;
        let bytes_per_second = self.bytes as f64 / length.as_secs_f64();
        is_over.then_some(Shown { bytes_per_second, was_full: 2 * self.ended_while_full >= self.ended })
    }
}

/// One more after as many successes as run at once, until as many run as before the store throttled.
fn recovered(now: usize, successes: usize, until: usize) -> (usize, State) {
    match (successes >= now, now + 1 >= until) {
        (false, _) => (now, State::Recovering { successes, until }),
        (true, false) => (now + 1, State::Recovering { successes: 0, until }),
        (true, true) => (until, State::Settled { windows_left: WAIT_WINDOWS_MIN, next: Direction::More }),
    }
}

/// What runs at once, and what is tried, after a window: the table of the module.
fn next(now: usize, max: usize, state: State, shown: Shown, wait_windows: u32) -> (usize, State) {
    let rate = shown.bytes_per_second;
    let tried = |direction: Direction, bytes_per_second: f64| {
        let tried = match direction {
            Direction::More => (now + now.div_ceil(2)).min(max),
            Direction::Fewer => now - now.div_ceil(4).min(now - 1),
        };
        let opposite = if direction == Direction::More { Direction::Fewer } else { Direction::More };
        match tried == now {
            true => (now, State::Settled { windows_left: wait_windows, next: opposite }),
            false => (tried, State::Trying { direction, before: now, bytes_per_second }),
        }
    };
    match state {
        State::Starting { before } => match before {
            // What is waited for is not the store.
            _ if !shown.was_full => (now, State::Settled { windows_left: 0, next: Direction::More }),
            Some((before, earlier)) if rate < GAIN * earlier => {
                (before, State::Settled { windows_left: wait_windows, next: Direction::Fewer })
            }
            _ if now == max => (now, State::Settled { windows_left: wait_windows, next: Direction::Fewer }),
            _ => ((2 * now).min(max), State::Starting { before: Some((now, rate)) }),
        },
        State::Settled { windows_left: 0, next } if shown.was_full => tried(next, rate),
        State::Settled { windows_left, next } => (now, State::Settled { windows_left: windows_left.saturating_sub(1), next }),
        State::Trying { direction: Direction::More, bytes_per_second, .. }
            if shown.was_full && rate >= GAIN * bytes_per_second =>
        {
            tried(Direction::More, rate)
        }
        State::Trying { direction: Direction::More, before, .. } => {
            (before, State::Settled { windows_left: wait_windows, next: Direction::Fewer })
        }
        // What is lost in many small steps is lost too: the best of them is what the next is held against.
        State::Trying { direction: Direction::Fewer, bytes_per_second, .. } if rate >= LOSS * bytes_per_second => {
            tried(Direction::Fewer, rate.max(bytes_per_second))
        }
        State::Trying { direction: Direction::Fewer, before, .. } => {
            (before, State::Settled { windows_left: wait_windows, next: Direction::More })
        }
        State::Fixed | State::Recovering { .. } => (now, state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ended(throttled: u64) -> Ended {
        Ended { bytes: 0, was_full: false, throttled, at: Instant::now() }
    }

    #[test]
    fn concurrency_gives_way_when_throttled_and_comes_back() {
        let settled = State::Settled { windows_left: 0, next: Direction::More };
        let mut concurrency = Concurrency { now: 8, state: settled, ..Concurrency::new(None, 8, 8) };
        concurrency.ended(ended(1));
        assert_eq!(concurrency.now(), 4);
        concurrency.ended(ended(3));
        assert_eq!(concurrency.now(), 2);
        (0..2 + 3).for_each(|_| concurrency.ended(ended(3)));
        assert_eq!(concurrency.now(), 4);
        (0..100).for_each(|_| concurrency.ended(ended(3)));
        assert_eq!(concurrency.now(), 8);
        let mut fixed = Concurrency::new(Some(3), 8, 8);
        fixed.ended(ended(1));
        assert_eq!(fixed.now(), 3);
    }

    /// A store that moves so many bytes a second for a request, and in all, for `requests` of a megabyte. Only so many
    /// chunks are there to be sent at once.
    fn run(concurrency: &mut Concurrency, one: f64, all: f64, chunks: usize, requests: usize, at: &mut Instant) {
        for _ in 0..requests {
            let in_flight = concurrency.now().min(chunks);
            let rate = (one * in_flight as f64).min(all);
            *at += Duration::from_secs_f64(1e6 / rate);
            let was_full = in_flight >= concurrency.now();
            concurrency.ended(Ended { bytes: 1_000_000, was_full, throttled: 0, at: *at });
        }
    }

    #[test]
    fn more_requests_are_kept_only_while_they_gain() {
        for (one, all) in [(1e6, 40e6), (1e6, 20e6), (5e6, 20e6), (20e6, 20e6)] {
            let mut concurrency = Concurrency::new(None, 16, 256);
            let mut at = Instant::now();
            run(&mut concurrency, one, all, usize::MAX, 20_000, &mut at);
            let needed = all / one;
            // What is tried at this moment may be one step from what was found.
            let found = concurrency.now() as f64;
            assert!((0.6 * needed..=2.0 * needed + 1.0).contains(&found), "{found} for {needed} needed");
        }
    }

    #[test]
    fn a_store_that_slows_down_gets_fewer_and_one_that_recovers_more() {
        let mut concurrency = Concurrency::new(None, 16, 256);
        let mut at = Instant::now();
        run(&mut concurrency, 1e6, 32e6, usize::MAX, 10_000, &mut at);
        assert!(concurrency.now() >= 20, "{}", concurrency.now());
        run(&mut concurrency, 1e6, 4e6, usize::MAX, 10_000, &mut at);
        assert!(concurrency.now() <= 9, "{}", concurrency.now());
        run(&mut concurrency, 1e6, 32e6, usize::MAX, 20_000, &mut at);
        assert!(concurrency.now() >= 20, "{}", concurrency.now());
    }

    #[test]
    fn a_slow_drive_says_nothing_about_the_store() {
        let mut concurrency = Concurrency::new(None, 16, 256);
        run(&mut concurrency, 1e6, 100e6, 3, 10_000, &mut Instant::now());
        assert_eq!(concurrency.now(), 2 * STARTING, "three chunks are not waited for by more");
    }

    proptest! {
        #[test]
        fn there_is_always_one_and_never_too_many(
            preferred in 0..100_usize,
            most in 0..100_usize,
            steps in proptest::collection::vec((0..2_000_u64, 0..80_usize, 0..2_u64, 0..900_u64), 0..400),
        ) {
            let mut concurrency = Concurrency::new(None, preferred, most);
            let (mut throttled, mut at) = (0, Instant::now());
            for (bytes, in_flight, more_throttled, milliseconds) in steps {
                throttled += more_throttled * (bytes % 7 / 6);
                at += Duration::from_millis(milliseconds);
                let was_full = in_flight >= concurrency.now();
                concurrency.ended(Ended { bytes, was_full, throttled, at });
                prop_assert!((1..=most.clamp(1, CONCURRENCY_MAX)).contains(&concurrency.now()));
            }
        }
    }
}
