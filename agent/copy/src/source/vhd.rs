//! A blob that is a fixed VHD: the disk is what lies before its footer.

use blob::vhd::{FOOTER_BYTES, disk_bytes};
use blob::{Blob, BlobFacts};
use protocol::limits::MIB;
use protocol::units::ByteRange;

use crate::call::options::{Footer, TransferOptions};
use crate::error::CopyError;
use crate::flow::attempts::Attempts;
use crate::source::blob_range::Fetch;

/// The size of the disk in a blob, in bytes, where the blob has the footer of one. It is looked for only where the blob is as
/// long as such a file can be.
pub(crate) async fn disk_in(
    blob: &dyn Blob,
    facts: &BlobFacts,
    options: &TransferOptions,
    attempts: &Attempts,
) -> Result<Option<u64>, CopyError> {
    let Some(disk) = facts.size_bytes.checked_sub(FOOTER_BYTES).filter(|disk| disk.is_multiple_of(MIB) && *disk > 0) else {
        return Ok(None);
    };
    let fetch = Fetch { blob, version: &facts.version, checked: false, silence_max: options.request_timeout, attempts };
    let footer = fetch.fill(ByteRange::new(disk, FOOTER_BYTES), vec![0; FOOTER_BYTES as usize]).await?.buffer;
    Ok(disk_bytes(&footer).filter(|stated| *stated == disk))
}

/// What is known of a blob, with the size of what is to be written of it; and what is worth a word about that.
pub(crate) async fn without_footer(
    blob: &dyn Blob,
    facts: BlobFacts,
    options: &TransferOptions,
    attempts: &Attempts,
) -> Result<(BlobFacts, Option<String>), CopyError> {
    if options.footer == Footer::Written {
        return Ok((facts, None));
    }
    match disk_in(blob, &facts, options, attempts).await? {
        Some(disk) => {
            let note = format!(
                "the blob is a VHD: its disk of {disk} bytes is written, and not its footer (`--blob-format raw` writes both)"
            );
            Ok((BlobFacts { size_bytes: disk, ..facts }, Some(note)))
        }
        None if options.footer == Footer::Dropped && !facts.is_vhd => Err(CopyError::Refused(format!(
            "`{}` has not the footer of a fixed VHD: leave out `--blob-format vhd`",
            blob.address()
        ))),
        None => Ok((facts, None)),
    }
}
