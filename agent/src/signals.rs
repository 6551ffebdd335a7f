//! First signal: cancel. Second: abort. Third: the end. While a question waits for its answer nothing was
//! begun, and any signal is the end.

use std::time::{Duration, Instant};

use copy::Stop;
use protocol::outcome::Outcome;
use protocol::stop::StopReason;
use tokio::signal::unix::{SignalKind, signal};

use crate::printer::Printer;

/// Signals this close to each other are one: `timeout` sends its signal to the process and to its group.
const ONE_GESTURE: Duration = Duration::from_millis(150);

/// Returns at the first SIGINT, SIGTERM or SIGHUP; never where they cannot be received, so that they end the
/// process as they always do.
pub(crate) async fn first() {
    let listeners = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = listeners else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// Listens for SIGINT, SIGTERM and SIGHUP from now on.
pub(crate) fn listen(stop: Stop, printer: Printer) {
    let listeners = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = listeners else {
        printer.warn("signals cannot be received: a cancel will end the process at once");
        return;
    };
    tokio::spawn(async move {
        let mut count = 0;
        let mut last: Option<Instant> = None;
        loop {
            let reason = tokio::select! {
                _ = interrupt.recv() => StopReason::Interrupted,
                _ = terminate.recv() => StopReason::Terminated,
                _ = hangup.recv() => StopReason::Terminated,
            };
            if printer.is_asking() {
                std::process::exit(Outcome::Cancelled.exit_code().into());
            }
            if last.is_some_and(|last| last.elapsed() < ONE_GESTURE) {
                continue;
            }
            last = Some(Instant::now());
            count += 1;
            match count {
                1 => {
                    printer.inform("cancelling: what was read is still sent and recorded; once more to drop it");
                    stop.request_stop(reason);
                }
                2 => {
                    printer.inform("aborting: requests are dropped, and the store is asked what it holds");
                    stop.request_stop(StopReason::SecondSignal);
                }
                _ => std::process::exit(Outcome::Cancelled.exit_code().into()),
            }
        }
    });
}
