//! Before anything moves: may this import begin, or be resumed, and from where?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::{Access, Blob, BlobFacts, UploadPlan};
use drive::identify::Identified;
use drive::{Drive, DriveError};
use file::replace::folder_of;
use protocol::identity::Sameness;
use protocol::manifest::{Header, MANIFEST_SUFFIX, MadeAs};
use protocol::result::{Direction, PlannedAction, TransferPlan};
use protocol::units::{ByteRange, ByteSize, ChunkGeometry};

use crate::call::handle::TransferHandle;
use crate::call::options::{TransferOptions, Verify};
use crate::error::{CopyError, state_error};
use crate::flow::attempts::Attempts;
use crate::flow::drive_call::with_drive;
use crate::import::standing::{Standing, is_own_manifest, standing};
use crate::import::trust::Trust;
use crate::limits::HOLES_COUNTED_MAX;
use crate::plan::{chunk_size, memory_plan};
use crate::record::journal::{Journal, Recovered};
use crate::record::manifest_place;
use crate::record::table::{ChunkTable, SharedTable};
use crate::source::manifest::header_of_manifest;
use crate::transfer::begin::{begun_by, new_header, recover, require_same_drive};
use crate::transfer::identify::identified;
use crate::transfer::look::look_if_permitted;
use crate::transfer::scene::{Moves, Scene};
use crate::transfer::staging;
use crate::transfer::unopened::Known;

/// An import that nothing forbids; nothing was changed for it.
pub(super) struct Examined {
    pub(super) scene: Scene,
    /// Places of the drive that hang.
    pub(super) hanging: Vec<ByteRange>,
    pub(super) recovered: Option<Recovered>,
    pub(super) standing: Standing,
    pub(super) planned: ChunkGeometry,
    pub(super) trust: Trust,
    pub(super) warnings: Vec<String>,
}

impl Examined {
    /// Goes through everything that can be refused. `known` learns what an earlier run moved.
    pub(super) async fn new(
        drive: Arc<dyn Drive>,
        blob: Arc<dyn Blob>,
        options: TransferOptions,
        handle: TransferHandle,
        known: &Known,
    ) -> Result<Self, CopyError> {
        // What can be refused without touching anything is refused first.
        let blob = staging::as_asked(blob, &options)?;
        let attempts = Attempts::new(&options, &handle, blob.address(), Some(&*blob));
        require_name_of_no_manifest(&blob.address())?;
        blob.require_permitted(if options.verify == Verify::ReadBack { Access::WriteAndRead } else { Access::Write })?;
        manifest_place::require_manifest_place(&options, &blob.address())?;
        let planned = chunk_size(options.chunk_size, drive.size_bytes(), drive.sector_size_bytes(), &blob.limits())?;
        memory_plan(options.memory, planned)?;
        let mut journal = Journal::open(&options.state_dir, Direction::Import, &blob.address())?;
        let replaces = options.restart.then(|| journal.header()).flatten();
        let recovered = recover(&mut journal, planned, &options, &handle)?;
        let blob = match &recovered {
            Some(recovered) => staging::as_begun(blob, &recovered.header, &options)?,
            None => blob,
        };
        tell(known, recovered.as_ref(), &drive, &blob, planned, &journal)?;
        let Identified { identity, hanging } = identified(&drive, &options, &handle).await?;
        let scene = Scene { drive, blob, options, handle, attempts, identity, journal, replaces };
        let seen = look_if_permitted(&*scene.blob, &scene.attempts.for_first_contact()).await?;
        let is_unseen = seen.is_none();
        let facts = seen.flatten();
        let standing = scene.decide(recovered.as_ref(), facts.as_ref()).await?;
        let trust = scene.trust(recovered.as_ref(), &standing);
        let mut warnings = match standing {
            Standing::Committed { .. } => scene.undescribed(facts.as_ref()),
            _ => scene.preflight(recovered.as_ref(), facts.as_ref()).await?,
        };
        warnings.extend(is_unseen.then(|| scene.unseen()));
        warnings.extend(scene.kept_manifest().map(|(path, reason)| {
            format!("the manifest cannot be stored beside the blob, and is kept as `{}`: {reason}", path.display())
        }));
        if scene.identity.size == 0 {
            warnings.push(format!("the drive `{}` is empty: the blob will have 0 bytes", scene.identity.path));
        }
        if trust.source_changed && matches!(standing, Standing::Committed { .. }) {
            let path = &scene.identity.path;
            warnings.push(format!("`{path}` was written to since it was copied: the blob holds what was read before"));
        }
        Ok(Examined { scene, hanging, recovered, standing, planned, trust, warnings })
    }

    /// What would be done.
    pub(super) fn plan(self) -> TransferPlan {
        let Examined { scene, recovered, standing, planned, warnings, .. } = self;
        let action = match (&standing, &recovered) {
            (Standing::Committed { .. }, _) => PlannedAction::StoreManifest,
            (_, Some(_)) => PlannedAction::Resume,
            (_, None) => PlannedAction::Begin,
        };
        let chunk_size = recovered.as_ref().map_or(planned.chunk_size_bytes(), |recovered| recovered.header.chunk_size_bytes);
        let chunks_landed = recovered.map_or(0, |recovered| recovered.landed);
        let moves = Moves { action, bytes_total: planned.total_bytes(), chunk_size, chunks_landed };
        let kept = scene.kept_manifest().map(|(path, _)| path.display().to_string());
        let plan = scene.plan(Direction::Import, moves, warnings);
        TransferPlan { manifest: kept.unwrap_or(plan.manifest), ..plan }
    }
}

/// Lets a receipt be made from here on: of what the journal says, or of nothing.
fn tell(
    known: &Known,
    recovered: Option<&Recovered>,
    drive: &Arc<dyn Drive>,
    blob: &Arc<dyn Blob>,
    planned: ChunkGeometry,
    journal: &Journal,
) -> Result<(), CopyError> {
    match recovered {
        Some(recovered) => known.set((*recovered.header).clone(), recovered.table.clone()),
        None => {
            let header = new_header(Direction::Import, drive.identity().clone(), blob.address(), planned, None);
            known.set(header, new_table(journal, planned)?);
        }
    }
    Ok(())
}

fn new_table(journal: &Journal, planned: ChunkGeometry) -> Result<SharedTable, CopyError> {
    let folder = folder_of(journal.path());
    let table = ChunkTable::new(folder, planned).map_err(|source| state_error("make a table in", folder, source))?;
    Ok(SharedTable::new(table))
}

impl Scene {
    /// Where this import stands, with everything that may not be replaced in view.
    async fn decide(&self, recovered: Option<&Recovered>, facts: Option<&BlobFacts>) -> Result<Standing, CopyError> {
        if let Some(recovered) = recovered {
            require_same_drive(&recovered.header.drive, &self.identity, &self.journal, &self.handle)?;
        }
        let standing = standing(recovered, facts, self.options.overwrite);
        if standing == Standing::Taken {
            return Err(CopyError::Refused(format!(
                "the blob `{}` exists already: choose another name, or replace it with `--overwrite`",
                self.blob.address()
            )));
        }
        self.require_free_manifest(recovered).await?;
        Ok(standing)
    }

    /// What a blob that is complete was to be given, and has not.
    fn undescribed(&self, facts: Option<&BlobFacts>) -> Vec<String> {
        let missing = facts.and_then(|facts| facts.obstacles.to_describing.as_ref());
        missing.map(|what| format!("`{}`: {what}", self.blob.address())).into_iter().collect()
    }

    /// A file beside the blob that has the manifest's name may be the proof of another blob, or no manifest at all.
    async fn require_free_manifest(&self, recovered: Option<&Recovered>) -> Result<(), CopyError> {
        let beside = self.blob.sibling(MANIFEST_SUFFIX);
        let found = look_if_permitted(&*beside, &self.attempts).await?.flatten();
        if let Some(found) = &found {
            found.require_replaceable(&beside.address())?;
        }
        if self.options.overwrite {
            return Ok(());
        }
        let Some(facts) = found else { return Ok(()) };
        let header = header_of_manifest(&*beside, &facts, &self.options, &self.attempts).await?;
        match header.is_some_and(|header| is_own_manifest(&header, recovered)) {
            true => Ok(()),
            false => Err(CopyError::Refused(format!(
                "`{}` exists already, and the manifest of the blob would replace it: choose another name for the blob, move that file away, or replace it with `--overwrite`",
                beside.address()
            ))),
        }
    }

    /// What follows from credentials that permit to write the blob and not to look at it.
    fn unseen(&self) -> String {
        let (blob, overwrite) = (self.blob.address(), self.options.overwrite);
        let exists = match overwrite {
            true => "a blob of this name is replaced, whatever it is",
            false => "whether a blob of this name exists shows at the end alone, and then it stays",
        };
        format!("the credentials do not permit to look at `{blob}`: {exists}; and the store cannot be asked what it holds")
    }

    /// Where the manifest is kept that may not be stored beside the blob, and why, as far as that is known before.
    fn kept_manifest(&self) -> Option<(PathBuf, String)> {
        let refused = self.blob.sibling(MANIFEST_SUFFIX).require_permitted(Access::Write).err()?;
        Some((manifest_place::kept(&self.options, &self.blob.address())?, refused.message))
    }

    /// Whether the image was written to since its transfer was begun.
    pub(super) fn is_touched(&self, recovered: Option<&Recovered>) -> bool {
        recovered
            .is_some_and(|recovered| recovered.header.drive.modified_unix_nanoseconds != self.identity.modified_unix_nanoseconds)
    }

    /// What cannot be said for certain about the source.
    fn trust(&self, recovered: Option<&Recovered>, standing: &Standing) -> Trust {
        let Some(recovered) = recovered else { return Trust::default() };
        let is_other_name = recovered.header.drive.compare(&self.identity) == Sameness::SameContentOtherName;
        let is_touched = matches!(standing, Standing::Committed { .. }) && self.is_touched(Some(recovered));
        Trust {
            source_is_sampled: recovered.header.source_is_sampled || is_other_name && recovered.landed > 0,
            source_changed: is_touched || recovered.commit.as_ref().is_some_and(|commit| commit.source_changed),
            ..Trust::default()
        }
    }

    /// Everything that the store can say before the first byte.
    async fn preflight(&self, recovered: Option<&Recovered>, facts: Option<&BlobFacts>) -> Result<Vec<String>, CopyError> {
        self.blob.require_uploadable(facts)?;
        require_image_stays(&self.options, &self.blob.address(), recovered)?;
        let data = with_drive(&self.drive, self.options.read_timeout, &self.handle, data_bytes).await?;
        let landed = recovered.map_or(0, |recovered| recovered.landed * recovered.header.chunk_size_bytes);
        let own = recovered.iter().flat_map(|recovered| {
            let header = &recovered.header;
            [Some(header.transfer_id.clone()), header.replaces.clone()].into_iter().flatten()
        });
        let plan = UploadPlan {
            total_bytes: self.identity.size,
            data_bytes_max: data.saturating_sub(landed),
            overwrite: self.options.overwrite,
            own_transfer_ids: own.chain(self.replaces.iter().map(|replaced| replaced.transfer_id.clone())).collect(),
        };
        let mut warnings = self.attempts.for_first_contact().run("examine", 0, || self.blob.preflight(&plan)).await?.0;
        if self.blob.destroys_at_begin() && facts.is_some_and(|facts| !facts.is_incomplete) {
            warnings.push(format!(
                "the page blob `{}` is destroyed at the beginning: until this import is complete there is neither the old one nor the new one",
                self.blob.address()
            ));
        }
        Ok(warnings)
    }

    pub(super) fn header_and_table(
        &self,
        recovered: Option<Recovered>,
        planned: ChunkGeometry,
    ) -> Result<(Header, SharedTable), CopyError> {
        let (header, table) = match recovered {
            Some(recovered) => (*recovered.header, recovered.table),
            None => {
                let (address, scheme) = (self.blob.address(), self.blob.chunk_scheme());
                let mut header = new_header(Direction::Import, self.identity.clone(), address, planned, scheme);
                header.unreadable_fill = self.options.fill.unwrap_or_default();
                header.replaces = self.replaces.as_ref().map(|replaced| replaced.transfer_id.clone());
                header.made_as =
                    MadeAs { overwrite: self.options.overwrite, staging: self.blob.staging(), ..self.options.made_as.clone() };
                header.begun_by = begun_by(&self.options);
                (header, new_table(&self.journal, planned)?)
            }
        };
        let fill = header.unreadable_fill;
        if let Some(asked) = self.options.fill.filter(|asked| *asked != fill) {
            return Err(CopyError::Usage(format!(
                "the transfer was begun with `--fill {fill}`, and {asked} is asked for now: leave out `--fill` to resume it, or start over with `--restart`"
            )));
        }
        let stated = table.with(|table| Ok(table.geometry().chunk_size_bytes()))?;
        if self.options.chunk_size.is_some_and(|asked| asked.0 < stated) {
            self.handle.inform(format!(
                "a chunk size of {} is used: the store takes no smaller chunks, or not so many of them",
                ByteSize(stated)
            ));
        }
        Ok((header, table))
    }
}

/// Refuses the name that the manifest of another blob has: that import would replace it.
fn require_name_of_no_manifest(blob: &str) -> Result<(), CopyError> {
    match blob.ends_with(MANIFEST_SUFFIX) {
        true => Err(CopyError::Usage(format!("`{blob}` is the name of a manifest: choose another name for the blob"))),
        false => Ok(()),
    }
}

/// How many bytes of a drive may be something else than zeros, as far as is known.
fn data_bytes(drive: &dyn Drive) -> Result<u64, DriveError> {
    let (mut bytes, mut offset) = (0, 0);
    for _ in 0..HOLES_COUNTED_MAX {
        let Some(data) = drive.next_data(offset)? else { return Ok(bytes) };
        bytes += data.length;
        offset = data.end();
    }
    Ok(bytes + drive.size_bytes().saturating_sub(offset))
}

/// Refuses an image that is the store's own unfinished file, where that would be started over: it may be the only
/// copy of what was rescued.
fn require_image_stays(options: &TransferOptions, blob: &str, recovered: Option<&Recovered>) -> Result<(), CopyError> {
    let Some(image) = &options.rescue.rescued else { return Ok(()) };
    let image_path = Path::new(&image.identity().path);
    let is_same = |path: &PathBuf| drive::open::is_same_storage(path, image_path);
    let own = recovered.and_then(|recovered| blob::directory::unfinished_file(blob, &recovered.header.transfer_id));
    let is_resumed = own.as_ref().is_some_and(is_same)
        && recovered.is_some_and(|recovered| recovered.header.total_bytes == image.size_bytes());
    let is_unfinished = blob::directory::unfinished_files(blob).iter().any(is_same);
    match is_unfinished && !is_resumed {
        true => Err(CopyError::Refused(format!(
            "`--rescued {}` is the unfinished file of the blob, and this import does not resume it: rename the image, and name it by its new name; nothing was begun",
            image.identity().path
        ))),
        false => Ok(()),
    }
}
