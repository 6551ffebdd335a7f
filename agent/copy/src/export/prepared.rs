//! The drive is taken, and what an earlier run wrote there is looked at before any of it is believed.

use std::path::Path;

use file::crash;
use protocol::identity::DriveKind;
use protocol::manifest::Header;
use protocol::result::Direction;

use crate::error::{CopyError, state_error};
use crate::export::context::Context;
use crate::export::examine::Examined;
use crate::export::resume::{Target, state_of};
use crate::flow::drive_call::with_drive;
use crate::flow::failure::Failure;
use crate::hashing::ZeroDigests;
use crate::record::journal::{Journal, journals_folder};
use crate::record::table::{ChunkTable, SharedTable};
use crate::transfer::begin::{count_recorded, new_header};

/// An export whose drive and journal are ready: its next step is the pipeline.
pub(super) struct Prepared {
    pub(super) context: Context,
    pub(super) journal: Journal,
}

impl Prepared {
    /// Takes the drive of an export that nothing forbids, and looks at what an earlier run wrote there.
    pub(super) async fn begin(mut examined: Examined) -> Result<Self, CopyError> {
        crash::point("examined");
        let warnings = std::mem::take(&mut examined.warnings);
        warnings.into_iter().for_each(|warning| examined.handle.warn(warning));
        let (header, table) = header_and_table(&mut examined)?;
        let Examined {
            drive,
            blob,
            facts,
            manifest,
            options,
            handle,
            attempts,
            identity,
            planned,
            memory,
            mut journal,
            recovered,
            ..
        } = examined;
        let transfer_id = header.transfer_id.clone();
        with_drive(&drive, options.read_timeout, &handle, move |drive| drive.begin(&transfer_id)).await?;
        let (left, latest) = recovered.map(|recovered| (recovered.left, recovered.latest)).unzip();
        let is_fresh = latest.is_none();
        let target = Target {
            drive: &drive,
            header: &header,
            table: &table,
            options: &options,
            attempts: &attempts,
            handle: &handle,
            memory,
        };
        let (left, latest) = (left.flatten(), latest.unwrap_or_default());
        let target_is_sampled = target.look_at_written(left.as_ref(), &latest, &mut journal).await?;
        if is_fresh && let Some(state) = state_of(&drive, &handle).await? {
            journal.note_left(state)?;
        }
        handle.counters.set_total(planned.total_bytes());
        table.with(|table| count_recorded(table, &handle))?;
        let is_resumed = table.with(|table| Ok(table.landed() > 0))?;
        let context = Context {
            failure: Failure::new(handle.stop.clone()),
            zeros: ZeroDigests::new(planned.chunk_size_bytes()),
            is_resumed,
            target_is_sampled,
            journal_path: journal.path().to_owned(),
            memory,
            table,
            drive,
            blob,
            facts,
            manifest,
            options,
            handle,
            attempts,
            identity,
            header,
        };
        Ok(Prepared { context, journal })
    }
}

/// A journal that is resumed, or a new one.
fn header_and_table(examined: &mut Examined) -> Result<(Header, SharedTable), CopyError> {
    if let Some(recovered) = &examined.recovered {
        return Ok(((*recovered.header).clone(), recovered.table.clone()));
    }
    let mut header = new_header(Direction::Export, examined.identity.clone(), examined.blob.address(), examined.planned, None);
    header.replaces.clone_from(&examined.replaces);
    header.blob_version = Some(examined.facts.version.clone());
    let folder = journals_folder(&examined.options.state_dir)?;
    let table = ChunkTable::new(&folder, examined.planned).map_err(|source| state_error("make a table in", &folder, source))?;
    examined.journal.begin(&header)?;
    if let (Some(id), DriveKind::Image) = (&examined.replaces, examined.identity.kind)
        && let Err(error) = file::partial::remove(Path::new(&examined.identity.path), id)
    {
        examined.handle.warn(format!("the unfinished image of the export that is started over stays: {error}"));
    }
    Ok((header, SharedTable::new(table)))
}
