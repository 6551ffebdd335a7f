//! A command that identifies a drive, and what is made of its answer.

/// What a drive calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnName {
    pub(super) serial: String,
    pub(super) model: Option<String>,
    /// Who answered.
    pub(super) source: Source,
}

/// Where a drive's name comes from, past its bridge.
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

/// A name from an answer, without the blanks around it. `None` where it is empty, or not printable ASCII.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim_matches([' ', '\0']);
    let is_printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    (is_printable && !text.is_empty()).then(|| text.to_owned())
}
