//! Crash points: named places, after a durable step or between a look and what follows from it, at which a test can kill the
//! process or stop it for a while. They exist only with the feature `crash-points`, which the crate `tests` turns on;
//! elsewhere [`point`] is nothing.
//!
//! `DRIVE_AGENT_CRASH=NAME` kills the process at the first time it gets to that point, `NAME:3` at the third;
//! `DRIVE_AGENT_STOP=NAME` stops it there as `SIGSTOP` does.

/// Every crash point, in the order in which a transfer gets to them.
pub const POINTS: &[&str] = &[
    "device-looked-at",
    "examined",
    "journal-begun",
    "upload-created",
    "target-begun",
    "leftover-removed",
    "empty-committed",
    "target-synced",
    "records-appended",
    "left-noted",
    "commit-noted",
    "segment-completed",
    "piece-composed",
    "target-assembled",
    "target-published",
    "committed-noted",
    "manifest-written",
    "manifest-copied",
    "manifest-allowed",
    "manifest-stored",
    "journal-removed",
];

/// The crash points of a service.
pub const SERVICE_POINTS: &[&str] = &["document-made"];

/// Ends or stops the process here where the environment asks for it.
#[cfg(feature = "crash-points")]
pub fn point(name: &'static str) {
    use rustix::process::{Signal, getpid, kill_process};
    debug_assert!(POINTS.contains(&name) || SERVICE_POINTS.contains(&name), "{name} is not in the list of crash points");
    if asked::KILL.is_now(name) {
        let _ = kill_process(getpid(), Signal::KILL);
        // The signal is on its way; nothing may happen after this point.
        loop {
            std::thread::park();
        }
    }
    if asked::STOP.is_now(name) {
        let _ = kill_process(getpid(), Signal::STOP);
        // Until it has come; and then until the process is continued.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[cfg(feature = "crash-points")]
mod asked {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    pub(super) static KILL: Asked = Asked::new("DRIVE_AGENT_CRASH");
    pub(super) static STOP: Asked = Asked::new("DRIVE_AGENT_STOP");

    /// What a variable of the environment asks for.
    pub(super) struct Asked {
        variable: &'static str,
        point: OnceLock<Option<(String, u64)>>,
        seen: AtomicU64,
    }

    impl Asked {
        const fn new(variable: &'static str) -> Self {
            Asked { variable, point: OnceLock::new(), seen: AtomicU64::new(0) }
        }

        /// Whether this is the point, and the time at it, that was asked for.
        pub(super) fn is_now(&self, name: &str) -> bool {
            let asked = self.point.get_or_init(|| {
                let text = std::env::var(self.variable).ok()?;
                let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
                Some((name.to_owned(), count.parse().ok()?))
            });
            asked.as_ref().is_some_and(|(asked, count)| asked == name && self.seen.fetch_add(1, Ordering::SeqCst) + 1 == *count)
        }
    }
}

/// Nothing: this build has no crash points.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_name: &'static str) {}
