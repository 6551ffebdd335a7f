//! Opening a drive on a thread of its own: a drive that hangs in it is left behind.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use copy::{CopyError, Stop};
use drive::{Drive, DriveError, Pace};

/// How often it is looked whether a stop was asked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Runs `open` on a thread of its own, and waits for it on this one: until `timeout` has passed in which no question
/// waited for its answer, or a stop is asked for.
///
/// # Errors
/// Those of `open`, and [`DriveError::NotOpened`] where it did not come back.
pub(crate) fn in_time<T: Send + 'static>(
    path: &Path,
    timeout: Duration,
    stop: &Stop,
    is_asking: impl Fn() -> bool,
    open: impl FnOnce() -> Result<T, DriveError> + Send + 'static,
) -> Result<T, DriveError> {
    let (sender, opened) = sync_channel(1);
    let started = std::thread::Builder::new().name("open".to_owned()).spawn(move || {
        let _ = sender.send(open());
    });
    started.map_err(|source| DriveError::Io { operation: "start a thread to open", path: path.to_owned(), source })?;
    let mut end = Instant::now() + timeout;
    loop {
        match opened.recv_timeout(LOOK_INTERVAL) {
            Ok(opened) => return opened,
            Err(RecvTimeoutError::Timeout) if is_asking() => end = Instant::now() + timeout,
            Err(RecvTimeoutError::Timeout) if Instant::now() < end && !stop.is_stopping() => {}
            Err(_) => return Err(DriveError::NotOpened { path: path.to_owned(), seconds: timeout.as_secs() }),
        }
    }
}

/// Opens a drive to read from.
pub(crate) fn source(path: &Path, pace: Pace, timeout: Duration, stop: &Stop) -> Result<Arc<dyn Drive>, CopyError> {
    let owned = path.to_owned();
    let open = move || drive::open_source(&owned, pace);
    let opened = tokio::task::block_in_place(|| in_time(path, timeout, stop, || false, open));
    or_cancelled(opened.map_err(CopyError::from), stop)
}

/// What was not opened because of a stop was cancelled.
pub(crate) fn or_cancelled<T>(result: Result<T, CopyError>, stop: &Stop) -> Result<T, CopyError> {
    match result {
        Err(CopyError::Drive(DriveError::NotOpened { .. })) if stop.is_stopping() => Err(CopyError::Cancelled),
        result => result,
    }
}
