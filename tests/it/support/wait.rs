//! Waiting for what is to come, instead of sleeping until it has probably come.

use std::time::{Duration, Instant};

/// The longest that a test waits for one event.
pub const EVENT_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a test looks for an event.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What `look` gives as soon as it gives something; `None` where it never does.
pub fn poll<T>(interval: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + EVENT_TIMEOUT;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(interval);
    }
}

/// Waits until something is so.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let come = poll(LOOK_INTERVAL, || is_so().then_some(()));
    assert!(come.is_some(), "waited {EVENT_TIMEOUT:?} for {what}, which did not come");
}
