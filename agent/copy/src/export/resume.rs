//! Whether an export may be resumed: the same drive, the same blob, and what was written still there.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use blob::BlobFacts;
use drive::{Drive, TargetContent};
use file::replace::folder_of;
use protocol::fill::Fill;
use protocol::identity::{DriveIdentity, DriveKind};
use protocol::manifest::Header;
use protocol::units::{ByteRange, ByteSize, ChunkGeometry, ChunkIndex};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::flow::attempts::Attempts;
use crate::flow::drive_call::with_drive;
use crate::limits::DRIVE_SYNC_TIMEOUT;
use crate::plan::MemoryPlan;
use crate::record::journal::Journal;
use crate::record::table::SharedTable;
use crate::transfer::reuse::{Look, Resumed, look, take_back};
use crate::verify::Side;

/// What names the drive of an export: its serial number, or where it is.
pub(super) fn drive_key(identity: &DriveIdentity) -> Result<String, CopyError> {
    if let Some(serial) = &identity.serial {
        return Ok(serial.clone());
    }
    let path = Path::new(&identity.path);
    let Some((folder, name)) = folder_of(path).canonicalize().ok().zip(path.file_name()) else {
        return Ok(identity.path.clone());
    };
    // Two folders must not become one when their names are made text.
    let place = folder.join(name).into_os_string().into_string();
    place.map_err(|place| CopyError::Usage(format!("the name of `{}` is not UTF-8: rename it", place.display())))
}

/// Refuses to resume with another drive, another blob, or another version of it.
pub(super) fn require_same(
    header: &Header,
    planned: ChunkGeometry,
    now: &DriveIdentity,
    (address, facts, has_manifest): (&str, &BlobFacts, bool),
    journal: &Journal,
) -> Result<(), CopyError> {
    let recorded = &header.drive;
    let journal = journal.path().display();
    if header.blob != address {
        return Err(CopyError::Refused(format!(
            "an export of `{}` onto `{}` was begun and not finished: finish it, or start over with `--restart` (journal: `{journal}`)",
            header.blob, now.path
        )));
    }
    if (recorded.size, recorded.sector_size, &recorded.serial) != (now.size, now.sector_size, &now.serial) {
        return Err(CopyError::Refused(format!(
            "`{}` is not the drive that this export was begun with (`{}`): dock the right drive, or start over with `--restart` (journal: `{journal}`)",
            now.path,
            recorded.label()
        )));
    }
    let is_same_version = header.blob_version.as_ref() == Some(&facts.version);
    let recorded_size = ByteSize(header.chunk_size_bytes);
    if is_same_version && recorded_size.0 != planned.chunk_size_bytes() && !has_manifest {
        let option = recorded_size.to_string().replace(' ', "");
        return Err(CopyError::Refused(format!(
            "the export of `{}` was begun with a chunk size of {recorded_size}: repeat it with `--chunk-size {option}`, or start over with `--restart` (journal: `{journal}`)",
            header.blob
        )));
    }
    if !is_same_version || recorded_size.0 != planned.chunk_size_bytes() {
        return Err(CopyError::Refused(format!(
            "the blob `{}`, or its manifest, was changed since its export was begun: start over with `--restart` (journal: `{journal}`)",
            header.blob
        )));
    }
    Ok(())
}

/// What an export is about to write on.
pub(super) struct Target<'export> {
    pub(super) drive: &'export Arc<dyn Drive>,
    pub(super) header: &'export Header,
    pub(super) table: &'export SharedTable,
    pub(super) options: &'export TransferOptions,
    pub(super) attempts: &'export Attempts,
    pub(super) handle: &'export TransferHandle,
    pub(super) memory: MemoryPlan,
}

impl Target<'_> {
    /// Looks at what the journal says was written: the drive must still hold it. Tells whether that was looked at in some
    /// places only. `left` named the state of the target when the last run stopped.
    pub(super) async fn look_at_written(
        &self,
        left: Option<&String>,
        latest: &VecDeque<ChunkIndex>,
        journal: &mut Journal,
    ) -> Result<bool, CopyError> {
        if self.table.with(|table| Ok(table.landed()))? == 0 {
            return Ok(false);
        }
        if self.drive.target_content() == TargetContent::KnownZero {
            self.handle.warn("the image that was begun is gone: it is written from the start".to_owned());
            let whole = ByteRange::new(0, self.header.total_bytes);
            take_back(self.table, &[whole])?;
            journal.rewrite(self.header, self.table)?;
            return Ok(false);
        }
        let now = state_of(self.drive, self.handle).await?;
        let is_image = self.drive.identity().kind == DriveKind::Image;
        let look = look(left, now.as_ref(), is_image);
        let resumed = Resumed {
            side: Side::Drive(self.drive.clone()),
            table: self.table,
            fill: Fill::default(),
            latest,
            options: self.options,
            attempts: self.attempts,
            handle: self.handle,
            memory: self.memory,
        };
        let lost = resumed.lost(look).await?;
        let Some(first) = lost.first() else { return Ok(look == Look::Sampled) };
        let path = &self.drive.identity().path;
        if !is_image || Path::new(path).exists() {
            return Err(CopyError::Refused(format!(
                "the drive `{path}` does not hold at {first} (offset+length in bytes) what was written there before: it is another drive, or was changed; dock the right one, or start over with `--restart`"
            )));
        }
        let taken = take_back(self.table, &lost)?;
        self.handle
            .warn(format!("the unfinished image does not hold {taken} of the chunks that were written: they are written again"));
        journal.rewrite(self.header, self.table)?;
        Ok(false)
    }
}

/// What names the state of the drive now.
pub(super) async fn state_of(drive: &Arc<dyn Drive>, handle: &TransferHandle) -> Result<Option<String>, CopyError> {
    with_drive(drive, DRIVE_SYNC_TIMEOUT, handle, |drive| drive.state()).await
}
