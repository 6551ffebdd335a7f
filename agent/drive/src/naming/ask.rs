//! Which bridge is asked what.

use super::pass_through::{PassThrough, Refusal};
use super::{ata, nvme};

/// What a drive calls itself, told by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnName {
    pub(super) serial: String,
    pub(super) model: Option<String>,
    /// Who answered.
    pub(super) source: Source,
}

/// Who can tell a drive's name, past its bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A translator of ATA commands, which may be one that makes the answer up.
    AtaTranslator,
    /// The controller of an NVMe drive.
    NvmeController,
}

/// A command, and what its answer means.
pub(super) struct Command {
    pub(super) bytes: [u8; 16],
    pub(super) length: usize,
    pub(super) decode: fn(&[u8]) -> Option<OwnName>,
}

/// What became of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Told(OwnName),
    /// It does not tell.
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
                tracing::info!("USB bridges cannot be asked for a drive's own serial number: it takes root, or CAP_SYS_RAWIO");
                return Asked::Nothing;
            }
            Err(Refusal::Silent) => return Asked::Silent,
        }
    }
    Asked::Nothing
}

/// A name from an answer, without the blanks around it. `None` where it is empty, or not printable ASCII.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim_matches([' ', '\0']);
    let is_printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    (is_printable && !text.is_empty()).then(|| text.to_owned())
}
