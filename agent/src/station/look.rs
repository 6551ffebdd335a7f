//! Looking which drive is docked at a place, each look on a thread of its own: a place that hangs does not hold up the
//! looks at the others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use drive::DriveError;
use drive::discovery::{Docked, docked_at};

/// A look takes milliseconds.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// What a look found.
type Found = Result<Option<Docked>, DriveError>;

/// The looks that have not come back.
#[derive(Default)]
pub(super) struct Looks {
    hanging: Mutex<HashMap<PathBuf, Receiver<Found>>>,
}

/// Why it is not known which drive is docked at a place.
pub(super) enum NotSeen {
    /// The place did not answer in time.
    Hangs,
    /// What is there cannot be used: one sentence.
    Unusable(String),
}

impl From<DriveError> for NotSeen {
    fn from(error: DriveError) -> Self {
        NotSeen::Unusable(error.to_string())
    }
}

impl Looks {
    /// The drive that is docked at `path`.
    pub(super) fn at(&self, path: &Path) -> Result<Option<Docked>, NotSeen> {
        let mut hanging = self.hanging.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = hanging.get(path) {
            let found = match look.try_recv() {
                Ok(found) => found.map_err(NotSeen::from),
                Err(TryRecvError::Empty) => return Err(NotSeen::Hangs),
                Err(TryRecvError::Disconnected) => Ok(None),
            };
            hanging.remove(path);
            return found;
        }
        drop(hanging);
        let (sender, look) = sync_channel(1);
        let owned = path.to_owned();
        let started = std::thread::Builder::new().name("look".to_owned()).spawn(move || {
            let _ = sender.send(docked_at(&owned));
        });
        if let Err(error) = started {
            tracing::warn!(%error, "a thread to look at a bay cannot be started");
            return Err(NotSeen::Hangs);
        }
        match look.recv_timeout(LOOK_TIMEOUT) {
            Ok(found) => Ok(found?),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(path = %path.display(), "the drive does not answer: what its bay holds is not known until it does");
                self.hanging.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), look);
                Err(NotSeen::Hangs)
            }
        }
    }
}
