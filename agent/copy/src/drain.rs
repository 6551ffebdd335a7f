//! The end of a pipeline that was asked to stop.

use protocol::progress::Phase;
use protocol::stop::StopReason;
use tokio::sync::oneshot;

use crate::error::CopyError;
use crate::failure::Failure;
use crate::journal::Journal;
use crate::limits::ABORT_GRACE;
use crate::options::{Link, TransferOptions};

/// After a stop: aborts when what is in flight did not land in time. Never returns.
pub(crate) async fn enforce_drain_timeout(options: &TransferOptions, link: &Link) {
    link.stop.stopping().await;
    link.counters.set_phase(Phase::Draining);
    tokio::time::sleep(options.drain_timeout).await;
    link.stop.request_stop(StopReason::DrainTimeout);
    std::future::pending().await
}

/// The recorder ends when its channel closes. After an abort it gets a moment: a sync that hangs must
/// not hold up the receipt.
pub(crate) async fn wait_for_recorder(end: oneshot::Receiver<Journal>, link: &Link, failure: &Failure) -> Option<Journal> {
    let patience = async {
        link.stop.aborting().await;
        tokio::time::sleep(ABORT_GRACE).await;
    };
    tokio::select! {
        biased;
        ended = end => match ended {
            Ok(journal) => Some(journal),
            Err(_) => {
                failure.fail(CopyError::Internal("the recorder"));
                None
            }
        },
        () = patience => None,
    }
}
