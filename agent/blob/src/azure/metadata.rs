//! Metadata of every blob that we make. Azure wants the names of C# identifiers; only lower-case
//! letters, since emulators sort others in another order when they check signatures.

/// Name of the transfer.
pub(super) const TRANSFER: &str = "driveagenttransfer";
/// The root over all chunk digests.
pub(super) const ROOT: &str = "driveagentroot";
/// Size of the drive in bytes: a page blob is padded to whole pages.
pub(super) const BYTES: &str = "driveagentbytes";
/// The format of what a page blob holds, where it is not the drive's bytes alone.
pub(super) const FORMAT: &str = "driveagentformat";
/// Value of [`FORMAT`].
pub(super) const VHD: &str = "vhd";
/// `incomplete` while a page blob is being written.
pub(super) const STATE: &str = "driveagentstate";
/// Value of [`STATE`].
pub(super) const INCOMPLETE: &str = "incomplete";
/// What could not be read, as `offset+length` joined by commas.
pub(super) const UNREADABLE: &str = "unreadableranges";
/// Azure takes 8 KiB of metadata in all; the manifest has every range.
pub(super) const UNREADABLE_TEXT_BYTES_MAX: usize = 4 << 10;
