//! The signals of this process, received in one place. First signal: cancel. Second: abort. Third: the end, whatever
//! hangs. Where nothing drains, and while a question waits for its answer, any signal is the end.
//!
//! They are received on a thread of their own: a database or a disk that blocks the others cannot hold them up.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use copy::Stop;
use protocol::outcome::Outcome;
use protocol::stop::StopReason;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::printer::Printer;

/// Signals this close to each other are one: `timeout` sends its signal to the process and to its group.
const ONE_GESTURE: Duration = Duration::from_millis(150);

/// Sent by the kernel for a write beyond the largest size that files may have (`ulimit -f`). With a handler the write
/// fails instead, and the process lives.
const FILE_SIZE_SIGNAL: i32 = 25;

/// What was received so far.
#[derive(Clone, Copy)]
struct Received {
    count: u32,
    reason: StopReason,
}

static RECEIVED: OnceLock<watch::Sender<Received>> = OnceLock::new();

/// Receives signals from now on, until the process ends. Those that were ignored when it was started stay ignored.
///
/// # Errors
/// When they cannot be received: they end the process at once, as they always do.
///
/// With `drains`, the first two never end the process: not before the command listens, when nothing has said yet what was
/// moved, and not after it has, when its result is being printed.
pub(crate) fn receive(printer: &Printer, drains: bool) -> std::io::Result<()> {
    let received = RECEIVED.get_or_init(|| watch::Sender::new(Received { count: 0, reason: StopReason::Terminated }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (listening, is_listening) = oneshot::channel();
    let printer = printer.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            let listeners = Listeners::new();
            let failed = listeners.as_ref().err().map(|error| std::io::Error::from(error.kind()));
            let _ = listening.send(failed.map_or(Ok(()), Err));
            if let Ok(listeners) = listeners {
                listeners.run(received, &printer, drains).await;
            }
        });
    })?;
    is_listening.blocking_recv().map_err(std::io::Error::other)?
}

/// What is listened to; `None` for what was ignored at the start.
struct Listeners {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hangup: Option<Signal>,
    _file_size: Signal,
}

impl Listeners {
    fn new() -> std::io::Result<Self> {
        let ignored = ignored_signals();
        let listen = |kind: SignalKind| match ignored & (1 << (kind.as_raw_value() - 1)) {
            0 => signal(kind).map(Some),
            _ => Ok(None),
        };
        Ok(Listeners {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            _file_size: signal(SignalKind::from_raw(FILE_SIZE_SIGNAL))?,
        })
    }

    async fn run(mut self, received: &watch::Sender<Received>, printer: &Printer, drains: bool) {
        let mut last: Option<Instant> = None;
        loop {
            let reason = tokio::select! {
                () = next(&mut self.interrupt) => StopReason::Interrupted,
                () = next(&mut self.terminate) => StopReason::Terminated,
                () = next(&mut self.hangup) => StopReason::Terminated,
            };
            let nothing_drains = !drains && received.receiver_count() == 0;
            if printer.is_asking() || nothing_drains {
                end();
            }
            if last.is_some_and(|last| last.elapsed() < ONE_GESTURE) {
                continue;
            }
            last = Some(Instant::now());
            let count = received.borrow().count + 1;
            if count > 2 {
                end();
            }
            received.send_replace(Received { count, reason });
        }
    }
}

fn end() -> ! {
    std::process::exit(Outcome::Cancelled.exit_code().into())
}

async fn next(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

/// The signals that are ignored, one bit each, the lowest for signal 1.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Takes the first two signals, as long as it lives; without one, a signal ends the process.
pub(crate) struct Signals {
    received: Option<watch::Receiver<Received>>,
}

impl Signals {
    /// From now on signals are waited for.
    pub(crate) fn take() -> Self {
        Signals { received: RECEIVED.get().map(watch::Sender::subscribe) }
    }

    /// Returns when a first signal was received: why.
    pub(crate) async fn first(&mut self) -> StopReason {
        self.wait_for(1).await
    }

    /// Returns when a second signal was received.
    pub(crate) async fn second(&mut self) {
        self.wait_for(2).await;
    }

    async fn wait_for(&mut self, count: u32) -> StopReason {
        if let Some(received) = &mut self.received
            && let Ok(received) = received.wait_for(|received| received.count >= count).await
        {
            return received.reason;
        }
        std::future::pending().await
    }
}

/// Returns at the first SIGINT, SIGTERM or SIGHUP.
pub(crate) async fn first() {
    Signals::take().first().await;
}

/// Lets the first signal cancel and the second abort, from now on.
pub(crate) fn stop_at_signals(stop: Stop, printer: Printer) {
    let mut signals = Signals::take();
    tokio::spawn(async move {
        let reason = signals.first().await;
        printer.inform("cancelling: what was read is still sent and recorded; once more to drop it");
        stop.request_stop(reason);
        signals.second().await;
        printer.inform("aborting: requests are dropped, and the store is asked what it holds");
        stop.request_stop(StopReason::SecondSignal);
        // The third is the end of the process.
        std::future::pending::<()>().await;
    });
}
