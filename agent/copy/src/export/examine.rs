//! Before anything is written: may this export begin, or be resumed, and from where?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::Blob;
use drive::{Drive, DriveError};
use protocol::identity::{DriveIdentity, DriveKind};
use protocol::result::{Direction, PlannedAction, TransferPlan};
use protocol::units::{ByteRange, ChunkGeometry};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::export::format;
use crate::export::origin::Origin;
use crate::export::resume::{require_same, state_of};
use crate::export::target::Target;
use crate::flow::attempts::Attempts;
use crate::flow::drive_call::with_drive;
use crate::limits::DRIVE_SYNC_TIMEOUT;
use crate::plan::memory_plan;
use crate::record::journal::{Journal, Recovered, drive_key};
use crate::record::manifest_place;
use crate::record::table::SharedTable;
use crate::transfer::begin::recover;
use crate::transfer::scene::{Moves, Scene};
use crate::transfer::unopened::Known;

/// An export that nothing forbids; nothing was changed for it.
pub(super) struct Examined {
    pub(super) scene: Scene,
    pub(super) origin: Origin,
    pub(super) planned: ChunkGeometry,
    pub(super) recovered: Option<Recovered>,
    pub(super) warnings: Vec<String>,
}

impl Examined {
    /// Goes through everything that can be refused. `known` learns what an earlier run wrote.
    pub(super) async fn new(
        open_drive: impl FnOnce(Target) -> Result<Arc<dyn Drive>, DriveError>,
        blob: Arc<dyn Blob>,
        options: TransferOptions,
        handle: TransferHandle,
        known: &Known,
    ) -> Result<Self, CopyError> {
        let attempts = Attempts::new(&options, &handle, blob.address(), Some(&*blob));
        manifest_place::require_manifest_place(&options, &blob.address())?;
        let origin = Origin::new(&blob, &options, &attempts).await?;
        let mut warnings = Vec::from_iter(origin.without_manifest.clone());
        warnings.extend(origin.vhd.clone());
        let format = format::warning(&*blob, &origin.facts).await;
        warnings.extend(format.clone());
        let target = Target { needed_bytes: origin.facts.size_bytes, warning: format };
        let drive = tokio::task::block_in_place(|| open_drive(target))?;
        let identity = drive.identity().clone();
        manifest_place::require_manifest_off_drive(&options, Path::new(&identity.path))?;
        let planned = origin.plan_chunks(&options, &*drive, &*blob)?;
        memory_plan(options.memory, planned)?;

        // By the drive: two exports onto one drive must not forget each other.
        let mut journal = Journal::open(&options.state_dir, Direction::Export, &drive_key(&identity)?)?;
        let replaces = options.restart.then(|| journal.header()).flatten();
        let recovered = recover(&mut journal, planned, &options, &handle)?;
        let scene = Scene { drive, blob, options, handle, attempts, identity, journal, replaces };
        if let Some(recovered) = &recovered {
            known.set((*recovered.header).clone(), recovered.table.clone());
            require_same(&recovered.header, planned, &scene, &origin)?;
        }
        require_blank(&scene, recovered.as_ref()).await?;
        let own_id = recovered.as_ref().map(|recovered| &recovered.header.transfer_id);
        warnings
            .extend(others_beside(&scene.identity, own_id.or(scene.replaces.as_ref().map(|replaced| &replaced.transfer_id)))?);
        Ok(Examined { scene, origin, planned, recovered, warnings })
    }

    /// What would be done.
    pub(super) fn plan(self) -> TransferPlan {
        let moves = Moves {
            action: if self.recovered.is_some() { PlannedAction::Resume } else { PlannedAction::Begin },
            bytes_total: self.planned.total_bytes(),
            chunk_size: self.planned.chunk_size_bytes(),
            chunks_landed: self.recovered.map_or(0, |recovered| recovered.landed),
        };
        self.scene.plan(Direction::Export, moves, self.warnings)
    }
}

/// An image that holds data, and is not the work of an export that is resumed, is replaced only where that was asked for.
async fn require_blank(scene: &Scene, recovered: Option<&Recovered>) -> Result<(), CopyError> {
    let Scene { drive, handle, .. } = scene;
    if scene.options.overwrite {
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
    let Some(recovered) = recovered.filter(|recovered| recovered.landed > 0) else {
        let holds_data = look_at_drive(scene, |drive| drive.holds_data()).await?;
        return if holds_data { refused("exists and holds data") } else { Ok(()) };
    };
    // After a kill, chunks may have been written that were not recorded: nothing distinguishes them from a user's.
    if left.is_none() || !is_image {
        return Ok(());
    }
    let places = not_landed(&recovered.table)?;
    match look_at_drive(scene, move |drive| first_data(drive, &places)).await? {
        Some(offset) => {
            refused(&format!("was changed since its export was begun, and holds data at {offset} that the export did not write"))
        }
        None => Ok(()),
    }
}

/// Looks at the drive, unless a stop is asked for.
async fn look_at_drive<T: Send + 'static>(
    scene: &Scene,
    look: impl FnOnce(&dyn Drive) -> Result<T, DriveError> + Send + 'static,
) -> Result<T, CopyError> {
    let looking = with_drive(&scene.drive, DRIVE_SYNC_TIMEOUT, &scene.handle, look);
    scene.handle.stop.or_stopping(looking).await.ok_or(CopyError::Cancelled)?
}

/// The chunks that have not landed, in drive order.
fn not_landed(table: &SharedTable) -> Result<Vec<ByteRange>, CopyError> {
    table.with(|table| {
        let mut places = Vec::new();
        for (index, range) in table.geometry().chunks() {
            if table.get(index)?.landed.is_none() {
                places.push(range);
            }
        }
        Ok(places)
    })
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
fn others_beside(identity: &DriveIdentity, own_transfer_id: Option<&String>) -> Result<Vec<String>, CopyError> {
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
