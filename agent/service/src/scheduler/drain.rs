//! The end of the scheduler: which tasks it waits for, and what the log says of those that take long.

use std::time::Duration;

use protocol::stop::StopReason;

use super::handle::Scheduler;

/// How long effects that are being carried out may still take. They stay in the outbox until they are done, so the next
/// start repeats what is dropped here.
const EFFECTS_GRACE: Duration = Duration::from_secs(5);

/// Time between two log lines about copies that still drain: nothing else shows why a stop takes long.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

impl Scheduler {
    /// Stops the copies in the service's own bays; returns when the end of each is written down.
    pub(super) async fn drain(&self) {
        self.stop_own(StopReason::Terminated);
        self.inner.copies.close();
        self.inner.effects.close();
        tokio::join!(self.drain_copies(), self.drain_effects());
    }

    /// Each copy has a limit of its own: the drain timeout of its transfer.
    async fn drain_copies(&self) {
        let copies = &self.inner.copies;
        while tokio::time::timeout(REPORT_INTERVAL, copies.wait()).await.is_err() {
            let bays: Vec<String> = self.running().values().map(|running| running.bay.clone()).collect();
            tracing::warn!(count = copies.len(), bays = bays.join(", "), "the stop still waits for copies");
        }
    }

    async fn drain_effects(&self) {
        let effects = &self.inner.effects;
        tokio::select! {
            () = effects.wait() => return,
            () = tokio::time::sleep(EFFECTS_GRACE) => {}
            () = self.inner.aborting.cancelled() => {}
        }
        tracing::warn!(count = effects.len(), "effects of jobs were dropped: they are repeated when the service starts");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use time::OffsetDateTime;
    use tokio::sync::oneshot;

    use super::*;
    use crate::scheduler::fake::FakeWorker;
    use crate::store::Store;
    use crate::vault::Vault;

    /// What a test may wait for something that happens at once.
    const TIMEOUT: Duration = Duration::from_secs(20);

    async fn scheduler(folder: &tempfile::TempDir) -> Scheduler {
        let vault = Vault::open(&folder.path().join("vault.key")).unwrap();
        let store = Store::open(&folder.path().join("jobs.db"), vault).await.unwrap();
        Scheduler::new(store, Arc::new(FakeWorker::default()), Arc::new(OffsetDateTime::now_utc), "drives".into())
    }

    /// The run of a scheduler that was asked to stop, and waits.
    async fn stopping(scheduler: &Scheduler) -> tokio::task::JoinHandle<()> {
        let run = tokio::spawn({
            let scheduler = scheduler.clone();
            async move { scheduler.run().await }
        });
        scheduler.stop();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!run.is_finished());
        run
    }

    #[tokio::test]
    async fn a_stop_waits_until_every_copy_has_ended_also_by_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let scheduler = scheduler(&folder).await;
        let (end, ended) = oneshot::channel::<()>();
        scheduler.inner.copies.spawn(ended);
        scheduler.inner.copies.spawn(async { panic!("as a mistake in a copy would") });
        let run = stopping(&scheduler).await;
        end.send(()).unwrap();
        tokio::time::timeout(TIMEOUT, run).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_stop_waits_for_effects_and_a_second_signal_drops_them() {
        let folder = tempfile::tempdir().unwrap();
        let scheduler = scheduler(&folder).await;
        scheduler.inner.effects.spawn(std::future::pending::<()>());
        let run = stopping(&scheduler).await;
        scheduler.abort();
        tokio::time::timeout(EFFECTS_GRACE / 2, run).await.unwrap().unwrap();
    }
}
