//! How a transfer and its caller talk while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    was_elsewhere: Arc<AtomicBool>,
    publish_journal: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl TransferHandle {
    /// A handle whose notices go to `notify`.
    pub fn new(stop: Stop, notify: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        let publish_journal = Arc::new(|| futures::future::ready(()).boxed());
        TransferHandle {
            stop,
            counters: Arc::default(),
            notify: Arc::new(notify),
            was_elsewhere: Arc::default(),
            publish_journal,
        }
    }

    /// Says that the journal came from another host: what it says was written to the drive is read there whole, and not at some places,
    /// before it is believed.
    pub fn note_journal_of_another_host(&self) {
        self.was_elsewhere.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_journal_of_another_host(&self) -> bool {
        self.was_elsewhere.load(Ordering::SeqCst)
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
