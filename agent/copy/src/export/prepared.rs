//! The drive is taken, and what an earlier run wrote there is looked at before any of it is believed.

use std::path::Path;

use drive::Drive;
use drive::blank::holds_only_zeros;
use file::crash;
use protocol::identity::DriveKind;
use protocol::manifest::Header;
use protocol::result::Direction;
use protocol::units::ChunkGeometry;

use crate::error::{CopyError, state_error};
use crate::export::examine::Examined;
use crate::export::origin::Origin;
use crate::export::resume::{look_at_written, state_of};
use crate::flow::drive_call::with_drive;
use crate::limits::BLANK_LOOK_TIMEOUT;
use crate::record::journal::{Journal, journals_folder};
use crate::record::table::{ChunkTable, SharedTable};
use crate::transfer::begin::{begun_by, new_header};
use crate::transfer::context::Context;
use crate::transfer::reuse::{Left, Look, holds_data};
use crate::transfer::scene::Scene;

/// An export whose drive and journal are ready: its next step is the pipeline.
pub(super) struct Prepared {
    pub(super) context: Context,
    pub(super) origin: Origin,
    pub(super) journal: Journal,
    pub(super) is_resumed: bool,
    /// What an earlier run wrote was looked at in some places only.
    pub(super) target_is_sampled: bool,
}

impl Prepared {
    /// Takes the drive of an export that nothing forbids, and looks at what an earlier run wrote there.
    pub(super) async fn begin(examined: Examined) -> Result<Self, CopyError> {
        crash::point("examined");
        let Examined { mut scene, origin, planned, recovered, warnings } = examined;
        warnings.into_iter().for_each(|warning| scene.handle.warn(warning));
        let (is_fresh, left) = (recovered.is_none(), Left::of(recovered.as_ref()));
        let is_told_apart = match &recovered {
            Some(recovered) => recovered.table.with(|table| holds_data(table))?,
            None => false,
        };
        // Where no data landed, what is on the drive cannot show that it is the one of the earlier run.
        if !is_told_apart && scene.options.blank_target_only && !is_as_left(&scene, &left).await? {
            require_blank(&scene).await?;
        }
        let (header, table) = match recovered {
            Some(recovered) => (*recovered.header, recovered.table),
            None => begin_journal(&mut scene, &origin, planned)?,
        };
        let (context, mut journal) = Context::new(scene, header, table)?;
        context.handle.journal_published().await;
        let transfer_id = context.header.transfer_id.clone();
        let begin = move |drive: &dyn Drive| drive.begin(&transfer_id);
        with_drive(&context.drive, context.options.read_timeout, &context.handle, begin).await?;
        let target_is_sampled = look_at_written(&context, &left, &mut journal).await?;
        if is_fresh && let Some(state) = state_of(&context.drive, &context.handle).await? {
            journal.note_left(state)?;
        }
        context.handle.counters.set_total(context.header.total_bytes);
        context.count_recorded()?;
        let is_resumed = context.landed()? > 0;
        Ok(Prepared { context, origin, journal, is_resumed, target_is_sampled })
    }
}

/// Whether nothing wrote to the drive since an earlier run noted its state.
async fn is_as_left(scene: &Scene, left: &Left) -> Result<bool, CopyError> {
    let now = state_of(&scene.drive, &scene.handle).await?;
    Ok(left.look(now.as_ref(), false) == Look::NotNeeded)
}

/// Refuses a drive that something is on: it may be another than the one that an operator looked at.
async fn require_blank(scene: &Scene) -> Result<(), CopyError> {
    let timeout = scene.options.read_timeout.max(BLANK_LOOK_TIMEOUT);
    match with_drive(&scene.drive, timeout, &scene.handle, |drive| holds_only_zeros(drive)).await? {
        true => Ok(()),
        false => Err(CopyError::Refused(format!(
            "the drive `{}` is not empty, and it was not said that what is on it may go: take it out, or say so with `{}`; nothing was written",
            scene.identity.path,
            // Without it the next run would resume what this one was not to.
            if scene.options.restart { "--restart --erase" } else { "--erase" }
        ))),
    }
}

/// A new journal, and an empty table.
fn begin_journal(scene: &mut Scene, origin: &Origin, planned: ChunkGeometry) -> Result<(Header, SharedTable), CopyError> {
    let mut header = new_header(Direction::Export, scene.identity.clone(), scene.blob.address(), planned, None);
    header.replaces = scene.replaces.as_ref().map(|replaced| replaced.transfer_id.clone());
    header.begun_by = begun_by(&scene.options);
    header.blob_version = Some(origin.facts.version.clone());
    let folder = journals_folder(&scene.options.state_dir)?;
    let table = ChunkTable::new(&folder, planned).map_err(|source| state_error("make a table in", &folder, source))?;
    scene.journal.begin(&header)?;
    if let (Some(id), DriveKind::Image) = (&header.replaces, scene.identity.kind)
        && let Err(error) = file::partial::remove(Path::new(&scene.identity.path), id)
    {
        scene.handle.warn(format!("the unfinished image of the export that is started over stays: {error}"));
    }
    Ok((header, SharedTable::new(table)))
}
