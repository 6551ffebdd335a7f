//! What follows from the order of a copy alone.

use copy::{CopyError, OnUnreadable, PublicNames, TransferOptions};
use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};
use protocol::station::CopyOrder;

use super::accounts::ReachedAccount;
use super::host::StationWorker;
use super::log_manifest::MANIFEST_FILE;
use crate::commands::not_begun;

/// How the copy is made.
pub(super) fn options(worker: &StationWorker, order: &CopyOrder) -> TransferOptions {
    let state_dir = worker.state_dir(&order.job_uid, &order.drive_id);
    let public =
        |reached: &ReachedAccount| PublicNames { drive: order.drive_id.clone(), blob: reached.public_address(&order.blob) };
    TransferOptions {
        manifest: Some(state_dir.join(MANIFEST_FILE)),
        state_dir,
        shared_budget: Some(worker.budget.clone()),
        keep_journal: true,
        restart: order.retry.restart,
        overwrite: order.retry.overwrite || order.direction == Direction::Export,
        blank_target_only: !order.may_erase,
        on_unreadable: if order.retry.rescue { OnUnreadable::Rescue } else { worker.options.on_unreadable },
        names: worker.account(&order.account).ok().map(public),
        resume_command: format!("drive-agent jobs retry --drive {}", order.drive_id),
        ..worker.options.clone()
    }
}

/// The blob as `CONTAINER/NAME`.
pub(super) fn blob_of(order: &CopyOrder) -> String {
    format!("{}/{}", order.blob.container, order.blob.name)
}

/// The result of a copy that failed before it was begun.
pub(super) fn failed(order: &CopyOrder, error: &CopyError) -> TransferResult {
    let outcome = error.outcome().unwrap_or(Outcome::Failed);
    // A receipt would say that nothing moved, of which it knows nothing.
    TransferResult { receipt: None, ..not_begun(outcome, order.direction, &blob_of(order), error) }
}
