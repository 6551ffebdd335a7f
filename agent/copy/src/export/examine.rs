//! Before anything is written: may this export begin, or be resumed, and from where?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::{Blob, BlobFacts};
use drive::{Drive, DriveError};
use protocol::identity::{DriveIdentity, DriveKind};
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::result::{Direction, PlannedAction, TransferPlan};
use protocol::units::{ByteRange, ByteSize, ChunkGeometry};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::export::resume::{drive_key, require_same, state_of};
use crate::flow::attempts::Attempts;
use crate::flow::drive_call::with_drive;
use crate::limits::DRIVE_SYNC_TIMEOUT;
use crate::plan::{MemoryPlan, chunk_size, memory_plan};
use crate::record::journal::{Journal, Recovered, journals_folder};
use crate::record::manifest_place;
use crate::source::manifest::{LoadedManifest, manifest_beside, not_found, require_whole};
use crate::transfer::begin::recover;
use crate::transfer::unopened::Known;

/// An export that nothing forbids; nothing was changed for it.
pub(super) struct Examined {
    pub(super) drive: Arc<dyn Drive>,
    pub(super) blob: Arc<dyn Blob>,
    pub(super) facts: BlobFacts,
    pub(super) manifest: Option<LoadedManifest>,
    pub(super) options: TransferOptions,
    pub(super) handle: TransferHandle,
    pub(super) attempts: Attempts,
    pub(super) identity: DriveIdentity,
    pub(super) planned: ChunkGeometry,
    pub(super) memory: MemoryPlan,
    pub(super) journal: Journal,
    pub(super) recovered: Option<Recovered>,
    /// The transfer that is started over with `--restart`.
    pub(super) replaces: Option<String>,
    pub(super) warnings: Vec<String>,
}

impl Examined {
    /// Goes through everything that can be refused. `known` learns what an earlier run wrote.
    pub(super) async fn new(
        open_drive: impl FnOnce(u64) -> Result<Arc<dyn Drive>, DriveError>,
        blob: Arc<dyn Blob>,
        options: TransferOptions,
        handle: TransferHandle,
        known: &Known,
    ) -> Result<Self, CopyError> {
        let attempts = Attempts::new(&options, &handle, blob.address());
        manifest_place::require_manifest_place(&options, &blob.address())?;
        let (facts, manifest) = look_at_blob(&blob, &options, &attempts).await?;
        let mut warnings = Vec::new();
        if manifest.is_none() {
            warnings.push("there is no manifest beside the blob: only the transport can be checked".to_owned());
        }
        let drive = tokio::task::block_in_place(|| open_drive(facts.size_bytes))?;
        let identity = drive.identity().clone();
        manifest_place::require_manifest_off_drive(&options, Path::new(&identity.path))?;
        let planned = plan_chunks(&manifest, &options, &facts, &*drive, &*blob)?;
        let memory = memory_plan(options.memory, planned)?;

        // By the drive: two exports onto one drive must not forget each other.
        let mut journal = Journal::open(&options.state_dir, Direction::Export, &drive_key(&identity)?)?;
        let replaces = options.restart.then(|| journal.transfer_id()).flatten();
        let recovered = recover(&mut journal, planned, &options, &handle)?;
        if let Some(recovered) = &recovered {
            known.set((*recovered.header).clone(), recovered.table.clone());
            require_same(&recovered.header, planned, &identity, (&blob.address(), &facts, manifest.is_some()), &journal)?;
        }
        require_blank(&drive, recovered.as_ref(), &options, &handle).await?;
        let own_id = recovered.as_ref().map(|recovered| recovered.header.transfer_id.clone());
        warnings.extend(others_beside(&identity, own_id.or_else(|| replaces.clone()).as_deref())?);
        Ok(Examined {
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
            journal,
            recovered,
            replaces,
            warnings,
        })
    }

    /// What would be done.
    pub(super) fn plan(self) -> TransferPlan {
        let landed = self.recovered.as_ref().map_or(0, |recovered| recovered.landed);
        TransferPlan {
            direction: Direction::Export,
            drive: DriveIdentity { content_sample: None, ..self.identity },
            blob: self.blob.address(),
            action: if self.recovered.is_some() { PlannedAction::Resume } else { PlannedAction::Begin },
            bytes_total: self.planned.total_bytes(),
            chunk_size: self.planned.chunk_size_bytes(),
            chunks: self.planned.chunk_count(),
            chunks_landed: landed,
            manifest: self.blob.sibling(MANIFEST_SUFFIX).address(),
            warnings: self.warnings,
        }
    }
}

/// The blob, which must be whole, and its manifest.
async fn look_at_blob(
    blob: &Arc<dyn Blob>,
    options: &TransferOptions,
    attempts: &Attempts,
) -> Result<(BlobFacts, Option<LoadedManifest>), CopyError> {
    let facts = attempts.for_first_contact().run("look at", 0, || blob.head()).await?.0;
    let facts = facts.ok_or_else(|| not_found(&**blob))?;
    require_whole(&**blob, &facts)?;
    let folder = journals_folder(&options.state_dir)?;
    let manifest = manifest_beside(blob, &facts, options, attempts, &folder).await?;
    Ok((facts, manifest))
}

/// An image that holds data, and is not the work of an export that is resumed, is replaced only where that was asked for.
async fn require_blank(
    drive: &Arc<dyn Drive>,
    recovered: Option<&Recovered>,
    options: &TransferOptions,
    handle: &TransferHandle,
) -> Result<(), CopyError> {
    if options.overwrite {
        return Ok(());
    }
    let path = Path::new(&drive.identity().path);
    let is_image = drive.identity().kind == DriveKind::Image && path.exists();
    let unfinished = recovered.and_then(|recovered| file::partial::path_of(path, &recovered.header.transfer_id).ok());
    if let Some(unfinished) = unfinished.filter(|unfinished| is_image && unfinished.exists()) {
        return Err(CopyError::Refused(format!(
            "the image `{}` came to exist since its export was begun, which is unfinished in `{}`: move it away, or replace it with `--overwrite`",
            path.display(),
            unfinished.display()
        )));
    }
    let left = recovered.and_then(|recovered| recovered.left.as_ref());
    if left.is_some() && path.exists() && state_of(drive, handle).await?.as_ref() == left {
        return Ok(());
    }
    let refused = |what: &str| {
        Err(CopyError::Refused(format!(
            "the image `{}` {what}: choose another name, or replace what it holds with `--overwrite`",
            path.display()
        )))
    };
    let landed = recovered.filter(|recovered| recovered.landed > 0);
    let Some(recovered) = landed else {
        let looking = with_drive(drive, DRIVE_SYNC_TIMEOUT, handle, |drive| drive.holds_data());
        let looked = handle.stop.or_stopping(looking).await.ok_or(CopyError::Cancelled)??;
        return if looked { refused("exists and holds data") } else { Ok(()) };
    };
    // After a kill, chunks may have been written that were not recorded: nothing tells them from a user's.
    if left.is_none() || !is_image {
        return Ok(());
    }
    let places = recovered.table.with(|table| {
        let chunks = table.geometry().chunks();
        let mut places = Vec::new();
        for (index, range) in chunks {
            if table.get(index)?.landed.is_none() {
                places.push(range);
            }
        }
        Ok(places)
    })?;
    let looking = with_drive(drive, DRIVE_SYNC_TIMEOUT, handle, move |drive| first_data(drive, &places));
    match handle.stop.or_stopping(looking).await.ok_or(CopyError::Cancelled)?? {
        Some(offset) => {
            refused(&format!("was changed since its export was begun, and holds data at {offset} that the export did not write"))
        }
        None => Ok(()),
    }
}

/// Where in these ranges, ascending, a drive holds something else than zeros first, in bytes.
fn first_data(drive: &dyn Drive, places: &[ByteRange]) -> Result<Option<u64>, DriveError> {
    const PIECE_BYTES: u64 = 1 << 20;
    let mut buffer = vec![0; PIECE_BYTES as usize];
    for place in places {
        let end = place.end().min(drive.size_bytes());
        let mut offset = place.offset;
        while let Some(data) = drive.next_data(offset)?.filter(|data| data.offset < end) {
            let start = data.offset.max(offset);
            let piece = &mut buffer[..PIECE_BYTES.min(end - start) as usize];
            drive.read_at(piece, start)?;
            if let Some(at) = piece.iter().position(|byte| *byte != 0) {
                return Ok(Some(start + at as u64));
            }
            offset = start + piece.len() as u64;
        }
    }
    Ok(None)
}

/// Unfinished images of the same name are the work of other exports: they are left alone, and named.
fn others_beside(identity: &DriveIdentity, own_transfer_id: Option<&str>) -> Result<Vec<String>, CopyError> {
    let path = Path::new(&identity.path);
    if identity.kind != DriveKind::Image {
        return Ok(Vec::new());
    }
    let own = own_transfer_id.and_then(|id| file::partial::path_of(path, id).ok());
    let own = own.as_deref().and_then(Path::file_name);
    let others = file::partial::beside(path).unwrap_or_default().into_iter().filter(|other| other.file_name() != own);
    let others: Vec<PathBuf> = others.collect();
    if let Some(busy) = others.iter().find(|other| file::locked::is_busy(other)) {
        return Err(CopyError::Refused(format!(
            "another export is writing `{}` (`{}`): wait for it, or cancel it first",
            path.display(),
            busy.display()
        )));
    }
    let text = |other: PathBuf| {
        format!(
            "`{}` is the unfinished image of another export, of which this state directory has no journal: it is left alone; resume that export where it was begun, or remove the file",
            other.display()
        )
    };
    Ok(others.into_iter().map(text).collect())
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
