//! Before anything moves: what an earlier run left, and whether it may be gone on with.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drive::{Drive, DriveError};
use protocol::fill::Fill;
use protocol::identity::{DriveIdentity, Sameness};
use protocol::manifest::{ChunkState, DigestAlgorithm, FORMAT, Header, VERSION};
use protocol::result::Direction;
use protocol::units::{ByteRange, ByteSize, ChunkGeometry};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::attempts::Attempts;
use crate::error::CopyError;
use crate::journal::{Journal, Recovered};
use crate::options::{Link, TransferOptions};
use crate::table::ChunkTable;

/// How requests of this transfer are tried.
pub(crate) fn attempts(options: &TransferOptions, link: &Link, address: String) -> Attempts {
    Attempts {
        address,
        policy: options.retry,
        request_timeout: options.request_timeout,
        first_contact_budget: options.first_contact_budget,
        link: link.clone(),
        throttled: Arc::default(),
        told_at: Arc::default(),
    }
}

/// Runs blocking work on a drive; a drive that hangs is an error after `timeout`, and its thread
/// is left behind. A stop ends the wait too.
pub(crate) async fn with_drive<T: Send + 'static>(
    drive: &Arc<dyn Drive>,
    timeout: Duration,
    link: &Link,
    work: impl FnOnce(&dyn Drive) -> Result<T, DriveError> + Send + 'static,
) -> Result<T, CopyError> {
    let path = PathBuf::from(&drive.identity().path);
    let size = drive.size_bytes();
    let owned = drive.clone();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    crate::threads::spawn_once("drive", move || {
        let _ = sender.send(work(&*owned));
    })?;
    let seconds = timeout.as_secs();
    let timed_out = DriveError::TimedOut { path, range: ByteRange::new(0, size), seconds };
    tokio::select! {
        biased;
        result = receiver => Ok(result.map_err(|_| CopyError::Internal("a thread at the drive"))??),
        () = link.stop.aborting() => Err(CopyError::Cancelled),
        () = tokio::time::sleep(timeout.max(Duration::from_secs(1))) => Err(timed_out.into()),
    }
}

/// A header for a transfer that begins now.
pub(crate) fn new_header(
    direction: Direction,
    drive: DriveIdentity,
    blob: String,
    geometry: ChunkGeometry,
    block_id_scheme: Option<&str>,
) -> Header {
    Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        transfer_id: format!("{:032x}", rand::random::<u128>()),
        direction,
        drive,
        blob,
        blob_version: None,
        replaces: None,
        source_is_sampled: false,
        total_bytes: geometry.total_bytes(),
        chunk_size_bytes: geometry.chunk_size_bytes(),
        digest: DigestAlgorithm::Sha256,
        unreadable_fill: Fill::default(),
        block_id_scheme: block_id_scheme.map(str::to_owned),
        created_at: OffsetDateTime::now_utc(),
    }
}

/// What the journal has, unless it is to be forgotten.
pub(crate) fn recover(
    journal: &mut Journal,
    planned: ChunkGeometry,
    options: &TransferOptions,
    link: &Link,
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
    tracing::debug!(journal = %journal.path().display(), "going on with a journal");
    if recovered.landed > 0 {
        let at = recovered.header.created_at.truncate_to_second().format(&Rfc3339).unwrap_or_default();
        link.inform(format!(
            "resuming a transfer begun at {}: {} of {} chunks had landed",
            at,
            recovered.landed,
            recovered.table.with(|table| Ok(table.geometry().chunk_count()))?
        ));
    }
    Ok(Some(recovered))
}

/// Refuses to go on with a journal of another drive.
pub(crate) fn require_same_drive(
    recorded: &DriveIdentity,
    now: &DriveIdentity,
    journal: &Journal,
    link: &Link,
) -> Result<(), CopyError> {
    match recorded.compare(now) {
        Sameness::Same => Ok(()),
        Sameness::SameContentOtherName => {
            link.warn(format!(
                "the drive calls itself `{}` now and was `{}` when the transfer was begun; its content is the same, so it goes on",
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
pub(crate) fn count_recorded(table: &ChunkTable, link: &Link) -> io::Result<()> {
    if table.landed() == 0 {
        return Ok(());
    }
    for entry in table.entries() {
        let (index, range, entry) = entry?;
        let Some((_, state, _)) = entry.landed else { continue };
        let state = if state == ChunkState::Sent { ChunkState::Reused } else { state };
        let unreadable = table.unreadable_of(index).iter().map(|range| range.length).sum();
        link.counters.add_recorded(state, range.length, unreadable);
    }
    Ok(())
}
