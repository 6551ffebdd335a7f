//! Crash points: named places, right after a durable step, at which a test can kill the process. They exist only with the
//! feature `crash-points`, which the crate `tests` turns on; elsewhere [`point`] is nothing.
//!
//! `DRIVE_AGENT_CRASH=NAME` kills the process at the first time it gets to that point, `NAME:3` at the third.

/// Every crash point, in the order in which a transfer gets to them.
pub const POINTS: &[&str] = &[
    "journal-begun",
    "target-begun",
    "leftover-removed",
    "target-synced",
    "records-appended",
    "left-noted",
    "commit-noted",
    "target-published",
    "committed-noted",
    "manifest-written",
    "manifest-stored",
    "manifest-copied",
    "journal-removed",
];

/// Ends the process here, as a power cut would, where the environment asks for it.
#[cfg(feature = "crash-points")]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static ASKED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static SEEN: AtomicU64 = AtomicU64::new(0);
    debug_assert!(POINTS.contains(&name), "{name} is not in the list of crash points");
    let asked = ASKED.get_or_init(|| {
        let text = std::env::var("DRIVE_AGENT_CRASH").ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), count.parse().ok()?))
    });
    let Some((asked_name, count)) = asked else { return };
    if asked_name == name && SEEN.fetch_add(1, Ordering::SeqCst) + 1 == *count {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal is on its way; nothing may happen after this point.
        loop {
            std::thread::park();
        }
    }
}

/// Nothing: this build has no crash points.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_name: &'static str) {}
