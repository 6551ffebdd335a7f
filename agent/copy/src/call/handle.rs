//! How a transfer and its caller talk while it runs.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
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
    publish_journal: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl TransferHandle {
    /// A handle whose notices go to `notify`.
    pub fn new(stop: Stop, notify: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        let publish_journal = Arc::new(|| futures::future::ready(()).boxed());
        TransferHandle { stop, counters: Arc::default(), notify: Arc::new(notify), publish_journal }
    }

    /// Before anything is put at the target, and before a blob appears, the transfer waits for `publish`: another host that has
    /// the drive later can know by then what was to be put there.
    #[must_use]
    pub fn publishing_journal(self, publish: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        TransferHandle { publish_journal: Arc::new(publish), ..self }
    }

    pub(crate) async fn journal_published(&self) {
        (self.publish_journal)().await;
    }

    pub(crate) fn warn(&self, text: String) {
        (self.notify)(Notice::Warning(text));
    }

    pub(crate) fn inform(&self, text: String) {
        (self.notify)(Notice::Information(text));
    }
}
