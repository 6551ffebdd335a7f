//! Before anything moves: may this import begin, or be resumed, and from where?

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::{Blob, BlobFacts, UploadPlan};
use drive::identify::Identified;
use drive::{Drive, DriveError};
use file::crash;
use file::replace::folder_of;
use protocol::identity::{DriveIdentity, Sameness};
use protocol::manifest::{Header, MANIFEST_SUFFIX};
use protocol::result::{Direction, PlannedAction, TransferPlan};
use protocol::units::{ByteRange, ByteSize, ChunkGeometry};

use super::completion::Completion;
use super::standing::{Standing, is_own_manifest, standing};
use super::{Import, Trust};
use crate::attempts::Attempts;
use crate::early::Known;
use crate::error::{CopyError, state_error};
use crate::failure::Failure;
use crate::finish;
use crate::hashing::ZeroDigests;
use crate::identified::identified;
use crate::journal::{Journal, Recovered};
use crate::limits::HOLES_COUNTED_MAX;
use crate::manifest::header_of_manifest;
use crate::options::{Link, OnUnreadable, TransferOptions};
use crate::plan::{chunk_size, memory_plan};
use crate::prepare::{attempts, count_recorded, new_header, recover, require_same_drive, with_drive};
use crate::rescue::{Rescue, RescueScene};
use crate::table::{ChunkTable, SharedTable};

/// What is known when it is decided whether the import may begin.
struct Scene {
    drive: Arc<dyn Drive>,
    blob: Arc<dyn Blob>,
    options: TransferOptions,
    link: Link,
    attempts: Attempts,
    identity: DriveIdentity,
    /// Places of the drive that hang.
    hanging: Vec<ByteRange>,
    journal: Journal,
    /// The transfer that is started over with `--restart`.
    replaces: Option<String>,
}

/// An import that nothing forbids; nothing was changed for it.
pub(super) struct Allowed {
    scene: Scene,
    recovered: Option<Recovered>,
    standing: Standing,
    planned: ChunkGeometry,
    trust: Trust,
    warnings: Vec<String>,
}

impl Allowed {
    /// Goes through everything that can be refused. `known` learns what an earlier run moved.
    pub(super) async fn examine(
        drive: Arc<dyn Drive>,
        blob: Arc<dyn Blob>,
        options: TransferOptions,
        link: Link,
        known: &Known,
    ) -> Result<Self, CopyError> {
        let attempts = attempts(&options, &link, blob.address());
        // What can be refused without touching anything is refused first.
        require_name_of_no_manifest(&blob.address())?;
        finish::require_manifest_place(&options, &blob.address())?;
        let planned = chunk_size(options.chunk_size, drive.size_bytes(), drive.sector_size_bytes(), &blob.limits())?;
        memory_plan(options.memory, planned)?;
        let mut journal = Journal::open(&options.state_dir, Direction::Import, &blob.address())?;
        let replaces = options.restart.then(|| journal.transfer_id()).flatten();
        let recovered = recover(&mut journal, planned, &options, &link)?;
        tell(known, recovered.as_ref(), &drive, &blob, planned, &journal)?;
        let Identified { identity, hanging } = identified(&drive, &options, &link).await?;
        let scene = Scene { drive, blob, options, link, attempts, identity, hanging, journal, replaces };
        let facts = scene.attempts.for_first_contact().run("look at", 0, || scene.blob.head()).await?.0;
        let standing = scene.decide(recovered.as_ref(), facts.as_ref()).await?;
        let trust = scene.trust(recovered.as_ref(), &standing);
        let mut warnings = match standing {
            Standing::Committed { .. } => Vec::new(),
            _ => scene.preflight(recovered.as_ref(), facts.as_ref()).await?,
        };
        if scene.identity.size == 0 {
            warnings.push(format!("the drive `{}` is empty: the blob will have 0 bytes", scene.identity.path));
        }
        if trust.source_changed && matches!(standing, Standing::Committed { .. }) {
            let path = &scene.identity.path;
            warnings.push(format!("`{path}` was written to since it was copied: the blob holds what was read before"));
        }
        Ok(Allowed { scene, recovered, standing, planned, trust, warnings })
    }

    /// What would be done.
    pub(super) fn plan(self) -> Result<TransferPlan, CopyError> {
        let Allowed { scene, recovered, standing, planned, warnings, .. } = self;
        let action = match (&standing, &recovered) {
            (Standing::Committed { .. }, _) => PlannedAction::StoreManifest,
            (_, Some(_)) => PlannedAction::Resume,
            (_, None) => PlannedAction::Begin,
        };
        let chunk_size = recovered.as_ref().map_or(planned.chunk_size_bytes(), |recovered| recovered.header.chunk_size_bytes);
        Ok(TransferPlan {
            direction: Direction::Import,
            drive: DriveIdentity { content_sample: None, ..scene.identity },
            blob: scene.blob.address(),
            action,
            bytes_total: planned.total_bytes(),
            chunk_size,
            chunks: planned.total_bytes().div_ceil(chunk_size),
            chunks_landed: recovered.map_or(0, |recovered| recovered.landed),
            manifest: scene.blob.sibling(MANIFEST_SUFFIX).address(),
            warnings,
        })
    }
}

impl Import {
    /// Begins the upload of an import that nothing forbids, or takes up what an earlier run left.
    pub(super) async fn prepare(allowed: Allowed) -> Result<Self, CopyError> {
        crash::point("examined");
        let Allowed { scene, recovered, standing, planned, trust, warnings } = allowed;
        warnings.into_iter().for_each(|warning| scene.link.warn(warning));
        let left = recovered.as_ref().and_then(|recovered| recovered.left.clone());
        let latest = recovered.as_ref().map(|recovered| recovered.latest.clone()).unwrap_or_default();
        let with_recorded = scene.is_touched(recovered.as_ref()) && standing == Standing::Resumed;
        if with_recorded {
            scene.link.inform("the image was written to since: what had landed is read again and compared".to_owned());
        }
        let (header, table) = scene.header_and_table(recovered, planned)?;
        let mut import = scene.into_import(header, table, &standing, with_recorded)?;
        import.trust = trust;
        match standing {
            Standing::Committed { version, is_doubtful } => {
                import.trust.committed_is_doubtful = is_doubtful;
                import.completion = Completion::Committed { version };
            }
            _ => {
                import.note_sampled_source()?;
                import.begin(standing == Standing::Resumed, left, &latest).await?;
            }
        }
        import.table.with(|table| count_recorded(table, &import.link))?;
        import.begin_rescue()?;
        Ok(import)
    }

    /// Every later run has to know it too.
    fn note_sampled_source(&mut self) -> Result<(), CopyError> {
        if !self.trust.source_is_sampled || self.header.source_is_sampled {
            return Ok(());
        }
        self.header.source_is_sampled = true;
        let (header, table) = (self.header.clone(), self.table.clone());
        self.journal_mut()?.rewrite(&header, &table)
    }

    /// From here on the user's map says what is in this blob, and nothing else.
    fn begin_rescue(&self) -> Result<(), CopyError> {
        let Some(rescue) = &self.rescue else { return Ok(()) };
        let in_vain = rescue.bytes_claimed_in_vain(&self.table)?;
        if in_vain > 0 {
            self.link.warn(format!(
                "the mapfile calls {} rescued that are not in this blob: they are read from the drive again, unless `--rescued` names their image (the map as it was: `.bak`)",
                ByteSize(in_vain)
            ));
        }
        if self.options.rescue.rescued.is_some() {
            self.link.inform("what the mapfile calls rescued is taken from the image, and not read from the drive".to_owned());
        }
        rescue.save(&self.table)
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
            require_same_drive(&recovered.header.drive, &self.identity, &self.journal, &self.link)?;
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

    /// A file beside the blob that has the manifest's name may be the proof of another blob, or no manifest at all.
    async fn require_free_manifest(&self, recovered: Option<&Recovered>) -> Result<(), CopyError> {
        let beside = self.blob.sibling(MANIFEST_SUFFIX);
        let found = self.attempts.run("look at", 0, || beside.head()).await?.0;
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

    /// Whether the image was written to since its transfer was begun.
    fn is_touched(&self, recovered: Option<&Recovered>) -> bool {
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
        let data = with_drive(&self.drive, self.options.read_timeout, &self.link, data_bytes).await?;
        let landed = recovered.map_or(0, |recovered| recovered.landed * recovered.header.chunk_size_bytes);
        let own = recovered.iter().flat_map(|recovered| {
            let header = &recovered.header;
            [Some(header.transfer_id.clone()), header.replaces.clone()].into_iter().flatten()
        });
        let plan = UploadPlan {
            total_bytes: self.identity.size,
            data_bytes_max: data.saturating_sub(landed),
            overwrite: self.options.overwrite,
            own_transfer_ids: own.chain(self.replaces.clone()).collect(),
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

    fn header_and_table(&self, recovered: Option<Recovered>, planned: ChunkGeometry) -> Result<(Header, SharedTable), CopyError> {
        let (header, table) = match recovered {
            Some(recovered) => (*recovered.header, recovered.table),
            None => {
                let (address, scheme) = (self.blob.address(), self.blob.chunk_scheme());
                let mut header = new_header(Direction::Import, self.identity.clone(), address, planned, scheme);
                header.unreadable_fill = self.options.fill.unwrap_or_default();
                header.replaces.clone_from(&self.replaces);
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
            self.link.inform(format!(
                "a chunk size of {} is used: the store takes a limited number of chunks, and the drive is large",
                ByteSize(stated)
            ));
        }
        Ok((header, table))
    }

    fn into_import(
        self,
        header: Header,
        table: SharedTable,
        standing: &Standing,
        with_recorded: bool,
    ) -> Result<Import, CopyError> {
        let Scene { drive, blob, options, link, attempts, identity, hanging, journal, .. } = self;
        let geometry = table.with(|table| Ok(table.geometry()))?;
        let journal_path = journal.path().to_owned();
        let rescue = Rescue::open(RescueScene {
            policy: options.on_unreadable,
            options: options.rescue.clone(),
            fill: header.unreadable_fill,
            geometry,
            drive: &*drive,
            identity: &identity,
            blob_address: &blob.address(),
            transfer_id: &header.transfer_id,
            journal: &journal_path,
            is_new: *standing == Standing::Fresh,
        })?;
        rescue.iter().for_each(|rescue| rescue.expect_hangs(&hanging));
        link.counters.set_total(geometry.total_bytes());
        Ok(Import {
            failure: Failure::new(link.stop.clone()),
            zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
            memory: memory_plan(options.memory, geometry)?,
            table,
            rescue,
            journal_path,
            journal: Some(journal),
            upload: None,
            held: HashSet::new(),
            resumed: false,
            with_recorded: with_recorded || reads_again_to_hash(&options, &*blob),
            completion: Completion::Unfinished,
            trust: Trust::default(),
            stream_sha256: None,
            drive,
            blob,
            options,
            link,
            attempts,
            identity,
            header,
        })
    }
}

/// Refuses the name that the manifest of another blob has: that import would replace it.
fn require_name_of_no_manifest(blob: &str) -> Result<(), CopyError> {
    match blob.ends_with(MANIFEST_SUFFIX) {
        true => Err(CopyError::Usage(format!("`{blob}` is the name of a manifest: choose another name for the blob"))),
        false => Ok(()),
    }
}

/// Whether a resumed import reads what had landed again, so that the SHA-256 of the whole can be computed on the way. A blob
/// that is a file is hashed at the end; and a drive that may be failing is not read twice.
fn reads_again_to_hash(options: &TransferOptions, blob: &dyn Blob) -> bool {
    options.stream_sha256 && blob.local().is_none() && options.on_unreadable == OnUnreadable::Stop
}

/// How many bytes of a drive may be something else than zeros, as far as it tells.
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
