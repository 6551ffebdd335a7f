//! Which bridge is asked what.

use super::command::OwnName;
use super::{ata, nvme};
use crate::pass_through::{PassThrough, Refusal};

/// What became of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Told(OwnName),
    /// It does not report one.
    Nothing,
    /// It did not answer at all.
    Silent,
}

/// Asks the drive behind a bridge, known by its USB vendor and product id, for its own name. NVMe first: some bridges answer
/// the question for an ATA drive themselves, when an NVMe drive is behind them.
pub(super) fn ask(product: (u16, u16), pass_through: &dyn PassThrough) -> Asked {
    for command in nvme::command_for(product).into_iter().chain([ata::IDENTIFY]) {
        match pass_through.read(&command.bytes, command.length) {
            Ok(answer) => {
                if let Some(own) = (command.decode)(&answer) {
                    return Asked::Told(own);
                }
            }
            Err(Refusal::Refused) => {}
            Err(Refusal::Forbidden) => {
                tracing::info!("USB bridges cannot be asked for a drive's own serial number: that needs root, or CAP_SYS_RAWIO");
                return Asked::Nothing;
            }
            Err(Refusal::Silent) => return Asked::Silent,
        }
    }
    Asked::Nothing
}
