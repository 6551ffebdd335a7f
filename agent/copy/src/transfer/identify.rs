//! Who the drive is, found out within bounds, whatever places of it hang.

use std::sync::Arc;
use std::time::Duration;

use drive::Drive;
use drive::identify::{Identified, SampleRules, identify};

use crate::call::handle::TransferHandle;
use crate::call::options::{OnUnreadable, TransferOptions};
use crate::error::CopyError;
use crate::flow::drive_call::with_drive;
use crate::limits::IDENTIFY_TIMEOUT;

/// The drive's identity, and the sampled places that hang. Where the policy is to stop, such a place is an error.
pub(crate) async fn identified(
    drive: &Arc<dyn Drive>,
    options: &TransferOptions,
    handle: &TransferHandle,
) -> Result<Identified, CopyError> {
    let all = options.read_timeout.max(IDENTIFY_TIMEOUT);
    let goes_on = options.on_unreadable != OnUnreadable::Stop;
    let rules = SampleRules { each: options.read_timeout, all, goes_on };
    let read = drive.clone();
    // The sampling keeps its own bound; this one is for what else may hang.
    with_drive(drive, all + Duration::from_secs(1), handle, move |_| identify(&read, rules)).await
}
