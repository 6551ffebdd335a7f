//! How a transfer and its caller talk while it runs.

use std::sync::Arc;

use protocol::progress::Notice;

use crate::call::counters::Counters;
use crate::call::stop::Stop;

/// What a caller holds of a transfer while it runs.
#[derive(Clone)]
pub struct TransferHandle {
    /// Ends it.
    pub stop: Stop,
    /// How far it is.
    pub counters: Arc<Counters>,
    notify: Arc<dyn Fn(Notice) + Send + Sync>,
}

impl TransferHandle {
    /// A handle whose notices go to `notify`.
    pub fn new(stop: Stop, notify: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        TransferHandle { stop, counters: Arc::default(), notify: Arc::new(notify) }
    }

    pub(crate) fn warn(&self, text: String) {
        (self.notify)(Notice::Warning(text));
    }

    pub(crate) fn inform(&self, text: String) {
        (self.notify)(Notice::Information(text));
    }
}
