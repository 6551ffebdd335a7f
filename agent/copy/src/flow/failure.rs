//! The first failure of a transfer: it ends the rest, and is what the result says.

use std::sync::{Arc, Mutex, PoisonError};

use drive::DriveError;
use protocol::units::ByteRange;

use crate::call::stop::Stop;
use crate::error::CopyError;

/// Where stages report that they failed.
#[derive(Clone)]
pub(crate) struct Failure {
    stop: Stop,
    first: Arc<Mutex<Option<CopyError>>>,
}

impl Failure {
    pub(crate) fn new(stop: Stop) -> Self {
        Failure { stop, first: Arc::default() }
    }

    /// Reports a failure; the first one stays. The rest of the transfer drains.
    pub(crate) fn fail(&self, error: CopyError) {
        let reason = error.stop_reason();
        tracing::debug!(%error, "a stage failed");
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.request_stop(reason);
    }

    /// Reports the failure in `result`, if it is one.
    pub(crate) fn check(&self, result: Result<(), CopyError>) {
        if let Err(error) = result {
            self.fail(error);
        }
    }

    pub(crate) fn take(&self) -> Option<CopyError> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Where the drive hangs, where that is what failed.
    pub(crate) fn hanging_range(&self) -> Option<ByteRange> {
        match &*self.first.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(CopyError::Drive(DriveError::TimedOut { range, .. })) => Some(*range),
            _ => None,
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}
