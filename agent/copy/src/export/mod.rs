//! `export`: a blob onto a drive.

mod complete;
mod pipeline;
mod same;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use blob::{Blob, BlobFacts};
use drive::{Drive, DriveError, TargetContent};
use protocol::digest::Sha256Digest;
use protocol::identity::DriveIdentity;
use protocol::manifest::Header;
use protocol::result::{Direction, TransferResult};
use protocol::units::{ByteSize, ChunkGeometry};

use crate::attempts::Attempts;
use crate::error::{CopyError, state_error};
use crate::failure::Failure;
use crate::finish;
use crate::hashing::ZeroDigests;
use crate::journal::Journal;
use crate::manifest::{LoadedManifest, manifest_beside, not_found};
use crate::options::{Link, TransferOptions};
use crate::plan::{MemoryPlan, chunk_size, memory_plan};
use crate::prepare::{attempts, count_recorded, new_header, recover};
use crate::table::{ChunkTable, SharedTable};
use same::{drive_key, probe_landed, require_same};

/// Writes a blob onto the drive that `open_drive` opens, given how many bytes it must take.
///
/// # Errors
/// When nothing could be begun. A transfer that was begun always has a result, with its receipt where
/// it is not complete.
pub async fn export(
    open_drive: impl FnOnce(u64) -> Result<Arc<dyn Drive>, DriveError>,
    blob: Arc<dyn Blob>,
    options: TransferOptions,
    link: Link,
) -> Result<TransferResult, CopyError> {
    let stop = link.stop.clone();
    let mut export = tokio::select! {
        prepared = Export::prepare(open_drive, blob, options, link) => prepared?,
        () = stop.stopping() => return Err(CopyError::Cancelled),
    };
    export.run_pipeline().await?;
    export.finish().await
}

/// An export that may begin, or go on.
struct Export {
    drive: Arc<dyn Drive>,
    blob: Arc<dyn Blob>,
    facts: BlobFacts,
    manifest: Option<LoadedManifest>,
    options: TransferOptions,
    link: Link,
    attempts: Attempts,
    failure: Failure,
    identity: DriveIdentity,
    header: Header,
    table: SharedTable,
    zeros: ZeroDigests,
    memory: MemoryPlan,
    /// Away with the recorder while the pipeline runs, and for good where that hangs.
    journal: Option<Journal>,
    journal_path: PathBuf,
    is_resumed: bool,
    all_checked: Arc<AtomicBool>,
    stream_sha256: Option<Sha256Digest>,
    bytes_cleared: u64,
}

impl Export {
    async fn prepare(
        open_drive: impl FnOnce(u64) -> Result<Arc<dyn Drive>, DriveError>,
        blob: Arc<dyn Blob>,
        options: TransferOptions,
        link: Link,
    ) -> Result<Self, CopyError> {
        let attempts = attempts(&options, &link, blob.address());
        finish::require_manifest_place(&options, &blob.address())?;
        let facts = attempts.for_first_contact().run("look at", 0, || blob.head()).await?.0;
        let facts = facts.ok_or_else(|| not_found(&*blob))?;
        if facts.is_incomplete {
            return Err(CopyError::Refused(format!(
                "the blob `{}` is marked incomplete: its import was not finished; finish it first",
                blob.address()
            )));
        }
        let folder = options.state_dir.join("journals");
        std::fs::create_dir_all(&folder).map_err(|source| state_error("create", &folder, source))?;
        let manifest = manifest_beside(&blob, &facts, &options, &attempts, &folder).await?;
        if manifest.is_none() {
            link.warn("there is no manifest beside the blob: only the transport can be checked".to_owned());
        }
        let drive = tokio::task::block_in_place(|| open_drive(facts.size_bytes))?;
        let identity = drive.identity().clone();
        let planned = plan_chunks(&manifest, &options, &facts, &*drive, &*blob)?;
        memory_plan(options.memory, planned)?;

        // By the drive: two exports onto one drive must not forget each other.
        let what = drive_key(&identity);
        let mut journal = Journal::open(&options.state_dir, Direction::Export, &what)?;
        let recovered = recover(&mut journal, planned, &options, &link)?.filter(|recovered| {
            let is_lost = recovered.table.landed() > 0 && drive.target_content() == TargetContent::KnownZero;
            if is_lost {
                link.warn("the image that was begun is gone: it is written from the start".to_owned());
            }
            !is_lost
        });
        let (header, table) = match recovered {
            Some(recovered) => {
                require_same(&recovered.header, planned, &identity, (&blob.address(), &facts), &journal)?;
                probe_landed(&drive, &recovered.table, &options, &link).await?;
                (*recovered.header, recovered.table)
            }
            None => {
                let mut header = new_header(Direction::Export, identity.clone(), blob.address(), planned, None);
                header.blob_version = Some(facts.version.clone());
                journal.begin(&header)?;
                let table =
                    ChunkTable::new(&folder, planned).map_err(|source| state_error("make a table in", &folder, source))?;
                (header, table)
            }
        };
        let geometry = table.geometry();
        link.counters.set_total(geometry.total_bytes());
        count_recorded(&table, &link).map_err(|source| state_error("read the table in", &folder, source))?;
        Ok(Export {
            failure: Failure::new(link.stop.clone()),
            memory: memory_plan(options.memory, geometry)?,
            zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
            is_resumed: table.landed() > 0,
            table: SharedTable::new(table),
            journal_path: journal.path().to_owned(),
            journal: Some(journal),
            all_checked: Arc::new(AtomicBool::new(true)),
            stream_sha256: None,
            bytes_cleared: 0,
            drive,
            blob,
            facts,
            manifest,
            options,
            link,
            attempts,
            identity,
            header,
        })
    }
}

/// The chunks of an export: the manifest's where there is one.
fn plan_chunks(
    manifest: &Option<LoadedManifest>,
    options: &TransferOptions,
    facts: &BlobFacts,
    drive: &dyn Drive,
    blob: &dyn Blob,
) -> Result<ChunkGeometry, CopyError> {
    let Some(manifest) = manifest else {
        return chunk_size(options.chunk_size, facts.size_bytes, drive.sector_size_bytes(), &blob.limits());
    };
    let stated = ByteSize(manifest.geometry.chunk_size_bytes());
    if let Some(asked) = options.chunk_size.filter(|asked| *asked != stated) {
        return Err(CopyError::Usage(format!(
            "the blob's manifest has a chunk size of {stated}, and {asked} is asked for: leave out `--chunk-size`"
        )));
    }
    Ok(ChunkGeometry::for_drive(facts.size_bytes, stated.0, drive.sector_size_bytes())?)
}
