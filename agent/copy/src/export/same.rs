//! Whether an export may be gone on with: the same drive, the same blob, and what was written still there.

use std::path::Path;
use std::sync::Arc;

use blob::BlobFacts;
use drive::{AlignedBuffer, Drive};
use protocol::digest::Sha256Digest;
use protocol::identity::DriveIdentity;
use protocol::manifest::Header;
use protocol::units::{ChunkGeometry, ChunkIndex};

use crate::error::{CopyError, state_error};
use crate::journal::Journal;
use crate::limits::{RESUME_PROBES, slowest_read};
use crate::options::{Link, TransferOptions};
use crate::prepare::with_drive;
use crate::sectors::read_sectors;
use crate::table::ChunkTable;

/// What names the drive of an export: its serial number, or where it is.
pub(super) fn drive_key(identity: &DriveIdentity) -> String {
    let path = Path::new(&identity.path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = folder.canonicalize().ok().zip(path.file_name()).map(|(folder, name)| folder.join(name).display().to_string());
    identity.serial.clone().or(place).unwrap_or_else(|| identity.path.clone())
}

/// Refuses to go on with another drive, another blob, or another version of it.
pub(super) fn require_same(
    header: &Header,
    planned: ChunkGeometry,
    now: &DriveIdentity,
    (address, facts): (&str, &BlobFacts),
    journal: &Journal,
) -> Result<(), CopyError> {
    let recorded = &header.drive;
    let journal = journal.path().display();
    if header.blob != address {
        return Err(CopyError::Refused(format!(
            "an export of `{}` onto `{}` was begun and not finished: finish it, or begin anew with `--restart` (journal: `{journal}`)",
            header.blob, now.path
        )));
    }
    if (recorded.size, recorded.sector_size, &recorded.serial) != (now.size, now.sector_size, &now.serial) {
        return Err(CopyError::Refused(format!(
            "`{}` is not the drive that this export was begun with (`{}`): dock the right drive, or begin anew with `--restart` (journal: `{journal}`)",
            now.path,
            recorded.label()
        )));
    }
    if header.blob_version.as_ref() != Some(&facts.version) || header.chunk_size_bytes != planned.chunk_size_bytes() {
        return Err(CopyError::Refused(format!(
            "the blob `{}`, or its manifest, was changed since its export was begun: begin anew with `--restart` (journal: `{journal}`)",
            header.blob
        )));
    }
    Ok(())
}

/// Reads some of the chunks that the journal says were written: the drive must still hold them.
pub(super) async fn probe_landed(
    drive: &Arc<dyn Drive>,
    table: &ChunkTable,
    options: &TransferOptions,
    link: &Link,
) -> Result<(), CopyError> {
    let failed = |source| state_error("read the table of", Path::new("the transfer"), source);
    let step = (table.landed() / RESUME_PROBES).max(1);
    let mut seen = 0;
    for index in 0..table.geometry().chunk_count() {
        let Some(record) = table.record(ChunkIndex(index)).map_err(failed)? else {
            continue;
        };
        seen += 1;
        if seen % step != 0 {
            continue;
        }
        let range = record.range;
        let digest = with_drive(drive, options.read_timeout + slowest_read(range.length), link, move |drive| {
            let mut buffer = AlignedBuffer::new(range.length as usize);
            read_sectors(drive, &mut buffer, range)?;
            Ok(Sha256Digest::of(&buffer[..range.length as usize]))
        });
        if digest.await? != record.content.digest(range.length) {
            return Err(CopyError::Refused(format!(
                "the drive `{}` does not hold at {range} (offset+length in bytes) what was written there before: it is another drive, or was changed; dock the right one, or begin anew with `--restart`",
                drive.identity().path
            )));
        }
    }
    Ok(())
}
