//! The end of a pipeline that was asked to stop.

use protocol::progress::Phase;
use protocol::stop::StopReason;

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::flow::failure::Failure;
use crate::flow::threads::Running;
use crate::limits::ABORT_GRACE;

/// After a stop: aborts when what is in flight did not land in time. Never returns.
pub(crate) async fn enforce_drain_timeout(options: &TransferOptions, handle: &TransferHandle) {
    handle.stop.stopping().await;
    handle.counters.set_phase(Phase::Draining);
    tokio::time::sleep(options.drain_timeout).await;
    handle.stop.request_stop(StopReason::DrainTimeout);
    std::future::pending().await
}

/// The recorder ends when its channel closes. After an abort it gets a moment: a sync that hangs must
/// not hold up the receipt.
pub(crate) async fn wait_for_recorder<T: Send + 'static>(
    recorder: Running<T>,
    handle: &TransferHandle,
    failure: &Failure,
) -> Option<T> {
    let grace = async {
        handle.stop.aborting().await;
        tokio::time::sleep(ABORT_GRACE).await;
    };
    tokio::select! {
        biased;
        ended = recorder.ended() => ended.map_err(|error| failure.fail(error)).ok(),
        () = grace => None,
    }
}
