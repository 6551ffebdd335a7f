//! Before anything moves: what an earlier run left, and whether it may be resumed.

use std::io;
use std::path::Path;

use protocol::fill::Fill;
use protocol::identity::{DriveIdentity, Sameness};
use protocol::manifest::{BegunBy, ChunkState, DigestAlgorithm, FORMAT, Header, MadeAs, VERSION};
use protocol::result::{Direction, TransferPlan};
use protocol::units::{ByteSize, ChunkGeometry};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::limits::COMMAND_BYTES_MAX;
use crate::record::dry_run::PlanState;
use crate::record::journal::{Journal, Recovered};
use crate::record::table::ChunkTable;

/// A header for a transfer that begins now.
pub(crate) fn new_header(
    direction: Direction,
    drive: DriveIdentity,
    blob: String,
    geometry: ChunkGeometry,
    block_id_scheme: Option<&str>,
) -> Header {
    let is_relative = Path::new(&drive.path).is_relative();
    let folder = std::env::current_dir().ok().filter(|_| is_relative);
    Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        transfer_id: format!("{:032x}", rand::random::<u128>()),
        direction,
        drive,
        blob,
        blob_version: None,
        replaces: None,
        drive_folder: folder.and_then(|folder| folder.into_os_string().into_string().ok()),
        made_as: MadeAs::default(),
        begun_by: None,
        source_is_sampled: false,
        total_bytes: geometry.total_bytes(),
        chunk_size_bytes: geometry.chunk_size_bytes(),
        digest: DigestAlgorithm::Sha256,
        unreadable_fill: Fill::default(),
        block_id_scheme: block_id_scheme.map(str::to_owned),
        created_at: OffsetDateTime::now_utc(),
    }
}

/// The command of this run, for the journal; `None` for a copy of a job service, which no command line began.
pub(crate) fn begun_by(options: &TransferOptions) -> Option<BegunBy> {
    let command = &options.resume_command;
    if command.is_empty() || command.len() > COMMAND_BYTES_MAX || options.names.is_some() {
        return None;
    }
    let folder = std::env::current_dir().ok()?.into_os_string().into_string().ok()?;
    Some(BegunBy { folder, command: command.clone() })
}

/// Prepares a transfer, unless a stop is asked for. It learns first what an earlier run moved, whatever was asked for
/// meanwhile.
pub(crate) async fn prepared<T>(
    preparing: impl Future<Output = Result<T, CopyError>>,
    handle: &TransferHandle,
) -> Result<T, CopyError> {
    tokio::select! {
        biased;
        prepared = preparing => prepared,
        () = handle.stop.stopping() => Err(CopyError::Cancelled),
    }
}

/// Examines a transfer on copies of the journals, so that nothing is changed, and says what it would do.
pub(crate) async fn dry_run<F: Future<Output = Result<TransferPlan, CopyError>>>(
    direction: Direction,
    mut options: TransferOptions,
    handle: TransferHandle,
    examine: impl FnOnce(TransferOptions, TransferHandle) -> F,
) -> Result<TransferPlan, CopyError> {
    let state = PlanState::new(&mut options, direction)?;
    let stop = handle.stop.clone();
    let plan = stop.or_stopping(examine(options, handle)).await.ok_or(CopyError::Cancelled)?;
    plan.map(|plan| state.restate_plan(plan)).map_err(|error| state.restate(error))
}

/// What the journal has, unless it is to be forgotten.
pub(crate) fn recover(
    journal: &mut Journal,
    planned: ChunkGeometry,
    options: &TransferOptions,
    handle: &TransferHandle,
) -> Result<Option<Recovered>, CopyError> {
    if options.restart {
        return Ok(None);
    }
    let Some(recovered) = journal.recover()? else {
        return Ok(None);
    };
    let recorded = ByteSize(recovered.header.chunk_size_bytes);
    if let Some(asked) = options
        .chunk_size
        .filter(|_| ByteSize(planned.chunk_size_bytes()) != recorded && planned.total_bytes() == recovered.header.total_bytes)
    {
        return Err(CopyError::Usage(format!(
            "the transfer was begun with a chunk size of {recorded}, and {asked} is asked for now: leave out `--chunk-size` to resume it, or start over with `--restart`"
        )));
    }
    tracing::debug!(journal = %journal.path().display(), "resuming from a journal");
    if recovered.landed > 0 {
        let at = recovered.header.created_at.truncate_to_second().format(&Rfc3339).unwrap_or_default();
        handle.inform(format!(
            "resuming a transfer begun at {}: {} of {} chunks had landed",
            at,
            recovered.landed,
            recovered.table.with(|table| Ok(table.geometry().chunk_count()))?
        ));
    }
    Ok(Some(recovered))
}

/// Refuses to resume with a journal of another drive.
pub(crate) fn require_same_drive(
    recorded: &DriveIdentity,
    now: &DriveIdentity,
    journal: &Journal,
    handle: &TransferHandle,
) -> Result<(), CopyError> {
    match recorded.compare(now) {
        Sameness::Same => Ok(()),
        Sameness::SameContentOtherName => {
            handle.warn(format!(
                "the drive calls itself `{}` now and was `{}` when the transfer was begun; its content is the same, so the transfer is resumed",
                now.label(),
                recorded.label()
            ));
            Ok(())
        }
        Sameness::Different(why) => Err(CopyError::Refused(format!(
            "`{}` is not the drive that this transfer was begun with (`{}`): {why}; dock the right drive, or start over with `--restart` (journal: `{}`)",
            now.path,
            recorded.label(),
            journal.path().display()
        ))),
    }
}

/// What an earlier run moved, this one need not: it counts as reused.
pub(crate) fn count_recorded(table: &ChunkTable, handle: &TransferHandle) -> io::Result<()> {
    if table.landed() == 0 {
        return Ok(());
    }
    for entry in table.entries() {
        let (index, range, entry) = entry?;
        let Some((_, state, _)) = entry.landed else { continue };
        let state = if state == ChunkState::Sent { ChunkState::Reused } else { state };
        let unreadable = table.unreadable_of(index).iter().map(|range| range.length).sum();
        handle.counters.add_recorded(state, range.length, unreadable);
    }
    Ok(())
}
