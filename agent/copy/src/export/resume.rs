//! Whether an export may be resumed: the same drive, the same blob, and what was written still there.

use std::path::Path;
use std::sync::Arc;

use drive::{Drive, TargetContent};
use protocol::identity::DriveKind;
use protocol::manifest::Header;
use protocol::units::{ByteRange, ByteSize, ChunkGeometry};

use crate::call::handle::TransferHandle;
use crate::error::CopyError;
use crate::export::origin::Origin;
use crate::flow::drive_call::with_drive;
use crate::limits::DRIVE_SYNC_TIMEOUT;
use crate::record::journal::Journal;
use crate::transfer::context::Context;
use crate::transfer::reuse::{Left, Look, take_back};
use crate::transfer::scene::Scene;
use crate::verify::Side;

/// Refuses to resume with another drive, another blob, or another version of it.
pub(super) fn require_same(header: &Header, planned: ChunkGeometry, scene: &Scene, origin: &Origin) -> Result<(), CopyError> {
    let (recorded, now) = (&header.drive, &scene.identity);
    let journal = scene.journal.path().display();
    if header.blob != scene.blob.address() {
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
    let is_same_version = header.blob_version.as_ref() == Some(&origin.facts.version);
    let recorded_size = ByteSize(header.chunk_size_bytes);
    if is_same_version && recorded_size.0 != planned.chunk_size_bytes() && origin.expected().is_none() {
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

/// Looks at what the journal says was written: the drive must still hold it. Returns whether that was looked at in some
/// places only.
pub(super) async fn look_at_written(context: &Context, left: &Left, journal: &mut Journal) -> Result<bool, CopyError> {
    if context.landed()? == 0 {
        return Ok(false);
    }
    if context.drive.target_content() == TargetContent::KnownZero {
        context.handle.warn("the image that was begun is gone: it is written from the start".to_owned());
        let whole = ByteRange::new(0, context.header.total_bytes);
        take_back(&context.table, &[whole])?;
        journal.rewrite(&context.header, &context.table)?;
        return Ok(false);
    }
    let now = state_of(&context.drive, &context.handle).await?;
    let is_image = context.drive.identity().kind == DriveKind::Image;
    let look = left.look(now.as_ref(), is_image || context.handle.has_journal_of_another_host());
    let lost = left.lost(context, Side::Drive(context.drive.clone()), look).await?;
    let Some(first) = lost.first() else { return Ok(look == Look::Sampled) };
    let path = &context.drive.identity().path;
    if !is_image || Path::new(path).exists() {
        return Err(CopyError::Refused(format!(
            "the drive `{path}` does not hold at {first} (offset+length in bytes) what was written there before: it is another drive, or was changed; dock the right one, or start over with `--restart`"
        )));
    }
    let taken = take_back(&context.table, &lost)?;
    context
        .handle
        .warn(format!("the unfinished image does not hold {taken} of the chunks that were written: they are written again"));
    journal.rewrite(&context.header, &context.table)?;
    Ok(false)
}

/// What names the state of the drive now.
pub(super) async fn state_of(drive: &Arc<dyn Drive>, handle: &TransferHandle) -> Result<Option<String>, CopyError> {
    with_drive(drive, DRIVE_SYNC_TIMEOUT, handle, |drive| drive.state()).await
}
