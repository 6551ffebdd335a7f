//! How the service ends: at the first signal copies drain, at the second what is in flight is dropped.

use service::scheduler::Scheduler;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::printer::Printer;
use crate::signals::Signals;

/// Waits for a signal, and then until scheduling and serving have ended.
///
/// # Errors
/// With one sentence, where another service took the database: then this one ends by itself.
pub(super) async fn wait<S, T>(
    scheduler: &Scheduler,
    closing: &CancellationToken,
    lost: Option<&CancellationToken>,
    scheduling: JoinHandle<S>,
    serving: JoinHandle<T>,
    printer: &Printer,
) -> Result<(), String> {
    let mut signals = Signals::take();
    let lost = async {
        match lost {
            Some(lost) => lost.cancelled().await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        _ = signals.first() => Ok(()),
        () = lost => Err("another service decides about the jobs of this database now: this one ends; start it again, and it stands by".to_owned()),
    };
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
    end
}

/// Never returns: the drain ends sooner for it.
async fn abort_at_second_signal(signals: &mut Signals, scheduler: &Scheduler) {
    signals.second().await;
    scheduler.abort();
    std::future::pending::<()>().await;
}
