//! How the service ends: at the first signal copies drain, at the second what is in flight is dropped.

use service::scheduler::Scheduler;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::printer::Printer;
use crate::signals::Signals;

/// Waits for a signal, and then until scheduling and serving have ended.
pub(super) async fn wait<S, T>(
    scheduler: &Scheduler,
    closing: &CancellationToken,
    scheduling: JoinHandle<S>,
    serving: JoinHandle<T>,
    printer: &Printer,
) {
    let mut signals = Signals::take();
    signals.first().await;
    // systemd may not be there.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    printer.inform("stopping: copies drain, and resume when the service does; once more to drop what is in flight");
    closing.cancel();
    scheduler.stop();
    let drained = async {
        let _ = scheduling.await;
        let _ = serving.await;
    };
    tokio::select! {
        () = drained => {}
        () = abort_at_second_signal(&mut signals, scheduler) => {}
    }
}

/// Never returns: the drain ends sooner for it.
async fn abort_at_second_signal(signals: &mut Signals, scheduler: &Scheduler) {
    signals.second().await;
    scheduler.abort();
    std::future::pending::<()>().await;
}
