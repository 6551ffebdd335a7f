//! `import`: a drive into a blob.

mod complete;
mod pipeline;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::{Blob, BlobErrorKind, BlobFacts, Held, Upload, UploadRequest};
use drive::Drive;
use drive::identify::identify;
use protocol::digest::Sha256Digest;
use protocol::identity::DriveIdentity;
use protocol::manifest::{Header, Line};
use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};
use protocol::units::ByteSize;

use crate::attempts::Attempts;
use crate::error::{CopyError, state_error};
use crate::failure::Failure;
use crate::finish;
use crate::hashing::ZeroDigests;
use crate::journal::Journal;
use crate::limits::{IDENTIFY_TIMEOUT, RECORDS_PER_BATCH_MAX};
use crate::options::{Link, TransferOptions};
use crate::plan::{MemoryPlan, chunk_size, memory_plan};
use crate::prepare::{attempts, count_recorded, new_header, recover, require_same_drive, with_drive};
use crate::rescue::{Rescue, RescueScene};
use crate::table::{ChunkTable, SharedTable};

/// Copies a drive into a blob.
///
/// # Errors
/// When nothing could be begun. A transfer that was begun always has a result, with its receipt where
/// it is not complete.
pub async fn import(
    drive: Arc<dyn Drive>,
    blob: Arc<dyn Blob>,
    options: TransferOptions,
    link: Link,
) -> Result<TransferResult, CopyError> {
    let mut import = tokio::select! {
        prepared = Import::prepare(drive.clone(), blob.clone(), options.clone(), link.clone()) => prepared?,
        () = link.stop.stopping() => return cancelled_early(&*drive, &*blob, &options, &link),
    };
    if !import.is_committed {
        import.run_pipeline().await?;
    }
    import.finish().await
}

/// An import that may begin, or go on.
struct Import {
    drive: Arc<dyn Drive>,
    blob: Arc<dyn Blob>,
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
    /// What is done about places that cannot be read.
    rescue: Option<Arc<Rescue>>,
    upload: Option<Arc<dyn Upload>>,
    held: HashSet<Sha256Digest>,
    /// The store goes on with what an earlier run left.
    resumed: bool,
    /// What was recorded is read again and compared.
    with_recorded: bool,
    /// An earlier run committed the blob and could not say so any more.
    is_committed: bool,
    stream_sha256: Option<Sha256Digest>,
}

impl Import {
    async fn prepare(
        drive: Arc<dyn Drive>,
        blob: Arc<dyn Blob>,
        options: TransferOptions,
        link: Link,
    ) -> Result<Self, CopyError> {
        let attempts = attempts(&options, &link, blob.address());
        // What can be refused without touching anything is refused first.
        finish::require_manifest_place(&options, &blob.address())?;
        let planned = chunk_size(options.chunk_size, drive.size_bytes(), drive.sector_size_bytes(), &blob.limits())?;
        memory_plan(options.memory, planned)?;
        let identity = with_drive(&drive, options.read_timeout.max(IDENTIFY_TIMEOUT), &link, identify).await?;
        if identity.size == 0 {
            link.warn(format!("the drive `{}` is empty: the blob will have 0 bytes", identity.path));
        }
        let facts = attempts.for_first_contact().run("look at", 0, || blob.head()).await?.0;
        let mut journal = Journal::open(&options.state_dir, Direction::Import, &blob.address())?;
        let replaces = options.restart.then(|| journal.transfer_id()).flatten();
        let recovered = recover(&mut journal, planned, &options, &link)?;
        if let Some(recovered) = &recovered {
            require_same_drive(&recovered.header.drive, &identity, &journal, &link)?;
        }
        let is_committed = recovered.as_ref().is_some_and(|recovered| {
            recovered.commit_begun && recovered.table.is_complete() && is_ours(facts.as_ref(), &recovered.header)
        });
        if facts.as_ref().is_some_and(|facts| !facts.is_incomplete) && !options.overwrite && !is_committed {
            return Err(CopyError::Refused(format!(
                "the blob `{}` exists already: choose another name, or replace it with `--overwrite`",
                blob.address()
            )));
        }
        let touched = recovered
            .as_ref()
            .is_some_and(|recovered| recovered.header.drive.modified_unix_nanoseconds != identity.modified_unix_nanoseconds);
        let resume = recovered.is_some();
        require_image_stays(&options, &blob.address(), resume, planned.total_bytes())?;
        let (header, table) = match recovered {
            Some(recovered) => (*recovered.header, recovered.table),
            None => {
                let scheme = blob.limits().chunks_max.le(&50_000).then_some(blob::block_id::SCHEME);
                let mut header = new_header(Direction::Import, identity.clone(), blob.address(), planned, scheme);
                header.unreadable_fill = options.fill.unwrap_or_default();
                let folder = journal.path().parent().map_or_else(PathBuf::new, PathBuf::from);
                let table =
                    ChunkTable::new(&folder, planned).map_err(|source| state_error("make a table in", &folder, source))?;
                (header, table)
            }
        };
        let geometry = table.geometry();
        let fill = header.unreadable_fill;
        if let Some(asked) = options.fill.filter(|asked| *asked != fill) {
            return Err(CopyError::Usage(format!(
                "the transfer was begun with `--fill {fill}`, and {asked} is asked for now: leave out `--fill` to go on, or begin anew with `--restart`"
            )));
        }
        let journal_path = journal.path().to_owned();
        let rescue = Rescue::open(RescueScene {
            policy: options.on_unreadable,
            options: options.rescue.clone(),
            fill,
            geometry,
            drive: &*drive,
            identity: &identity,
            blob_address: &blob.address(),
            journal: &journal_path,
            is_new: !resume,
        })?;
        if options.chunk_size.is_some_and(|asked| asked.0 < geometry.chunk_size_bytes()) {
            let size = ByteSize(geometry.chunk_size_bytes());
            link.inform(format!(
                "the chunk size is raised to {size}, since the store takes at most {} blocks",
                blob.limits().chunks_max
            ));
        }
        let mut import = Import {
            failure: Failure::new(link.stop.clone()),
            memory: memory_plan(options.memory, geometry)?,
            zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
            table: SharedTable::new(table),
            journal_path,
            rescue,
            journal: Some(journal),
            upload: None,
            held: HashSet::new(),
            resumed: false,
            with_recorded: touched || options.stream_sha256,
            stream_sha256: None,
            drive,
            blob,
            options,
            link,
            attempts,
            identity,
            header,
            is_committed,
        };
        if touched {
            import.link.inform("the image was written to since: what had landed is read again and compared".to_owned());
        }
        import.link.counters.set_total(geometry.total_bytes());
        if !is_committed {
            import.begin_upload(resume, replaces).await?;
        }
        if import.with_recorded {
            // What could not be read then may have healed: it is moved again, not compared.
            let had_unreadable = import.table.with(|table| Ok(table.unreadable().next().is_some()))?;
            import.table.with(ChunkTable::clear_unreadable)?;
            if had_unreadable && !import.is_committed {
                // What is about to be written over must not be believed after a crash.
                import.rewrite_journal()?;
            }
        }
        import.table.with(|table| count_recorded(table, &import.link))?;
        import.begin_rescue()?;
        Ok(import)
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

    /// Begins the upload, and takes back what the journal says and the store does not hold.
    async fn begin_upload(&mut self, resume: bool, replaces: Option<String>) -> Result<(), CopyError> {
        let request = UploadRequest {
            transfer_id: self.header.transfer_id.clone(),
            total_bytes: self.header.total_bytes,
            overwrite: self.options.overwrite,
            resume,
            replaces,
        };
        if !resume {
            // Before the store is touched: an older journal must not speak of a new upload.
            let header = self.header.clone();
            self.journal_mut()?.begin(&header)?;
        }
        let (upload, held) = match self.begin_once(&request).await {
            Err(CopyError::Store(error)) if resume && error.kind == BlobErrorKind::NotFound => {
                self.begin_once(&UploadRequest { resume: false, ..request }).await?
            }
            other => other?,
        };
        let landed_before = self.table.with(|table| Ok(table.landed()))?;
        match held {
            Held::Recorded => self.resumed = true,
            Held::Nothing => self.take_back(|_| false)?,
            Held::Blocks(blocks) if self.options.restart => drop(blocks),
            Held::Blocks(blocks) => {
                self.take_back(|digest| blocks.contains_key(&digest))?;
                self.held = blocks.into_keys().collect();
            }
        }
        self.upload = Some(upload);
        let landed = self.table.with(|table| Ok(table.landed()))?;
        if landed < landed_before {
            self.link
                .warn(format!("the store lost {} of the chunks that had landed: they are sent again", landed_before - landed));
        }
        if landed < landed_before {
            self.rewrite_journal()?;
        }
        Ok(())
    }

    async fn begin_once(&self, request: &UploadRequest) -> Result<(Arc<dyn Upload>, Held), CopyError> {
        let begun = self.attempts.for_first_contact().run("begin", 0, || self.blob.begin_upload(request)).await;
        Ok(begun.map_err(CopyError::from)?.0)
    }

    fn journal_mut(&mut self) -> Result<&mut Journal, CopyError> {
        self.journal.as_mut().ok_or(CopyError::Internal("the journal"))
    }

    /// Makes the journal say what is left of what it said: never more than the store holds.
    fn rewrite_journal(&mut self) -> Result<(), CopyError> {
        let (header, table) = (self.header.clone(), self.table.clone());
        let geometry = table.with(|table| Ok(table.geometry()))?;
        let journal = self.journal_mut()?;
        journal.begin(&header)?;
        let mut batch = Vec::new();
        for (index, _) in geometry.chunks() {
            batch.extend(table.with(|table| table.record(index))?.map(Line::Chunk));
            if batch.len() == RECORDS_PER_BATCH_MAX {
                journal.append(std::mem::take(&mut batch))?;
            }
        }
        journal.append(batch)
    }

    fn take_back(&self, is_held: impl Fn(Sha256Digest) -> bool) -> Result<(), CopyError> {
        let zeros = &self.zeros;
        self.table.with(|table| {
            if table.landed() == 0 {
                return Ok(());
            }
            for (index, range) in table.geometry().chunks() {
                let lost = table.get(index)?.landed.is_some_and(|(content, ..)| {
                    !is_held(match content {
                        protocol::manifest::ChunkContent::Data(digest) => digest,
                        protocol::manifest::ChunkContent::Zero => zeros.of(range.length),
                    })
                });
                if lost {
                    table.clear(index)?;
                }
            }
            Ok(())
        })
    }
}

/// The result of an import that was cancelled before it moved anything: what landed before is what the
/// journal says.
fn cancelled_early(
    drive: &dyn Drive,
    blob: &dyn Blob,
    options: &TransferOptions,
    link: &Link,
) -> Result<TransferResult, CopyError> {
    let planned = chunk_size(options.chunk_size, drive.size_bytes(), drive.sector_size_bytes(), &blob.limits())?;
    let mut journal = Journal::open(&options.state_dir, Direction::Import, &blob.address())?;
    let recovered = if options.restart { None } else { journal.recover()? };
    let identity = drive.identity().clone();
    let (header, table) = match recovered {
        Some(recovered) => (*recovered.header, recovered.table),
        None => {
            let folder = journal.path().parent().map_or_else(PathBuf::new, PathBuf::from);
            let table = ChunkTable::new(&folder, planned).map_err(|source| state_error("make a table in", &folder, source))?;
            (new_header(Direction::Import, identity.clone(), blob.address(), planned, None), table)
        }
    };
    let table = SharedTable::new(table);
    let mut result = finish::result(Outcome::Cancelled, &header, identity, &table, link)?;
    result.receipt = Some(finish::receipt(&table, link, options, |_| None)?);
    Ok(result)
}

/// Refuses an image that is the store's own unfinished file, where that would be begun anew: it may be the only
/// copy of what somebody rescued.
fn require_image_stays(options: &TransferOptions, blob: &str, resume: bool, total_bytes: u64) -> Result<(), CopyError> {
    let Some(image) = &options.rescue.rescued else { return Ok(()) };
    let partial = PathBuf::from(format!("{blob}.partial"));
    let is_gone_on_with = resume && image.size_bytes() == total_bytes;
    match !is_gone_on_with && drive::open::is_same_storage(&partial, Path::new(&image.identity().path)) {
        true => Err(CopyError::Refused(format!(
            "`--rescued {}` is the unfinished file of the blob, and this import would begin that anew: rename the image, and name it by its new name; nothing was begun",
            image.identity().path
        ))),
        false => Ok(()),
    }
}

/// Whether a blob that exists is what this very transfer committed.
fn is_ours(facts: Option<&BlobFacts>, header: &Header) -> bool {
    facts.is_some_and(|facts| match &facts.transfer_id {
        Some(id) => *id == header.transfer_id && !facts.is_incomplete,
        None => facts.size_bytes == header.total_bytes && !facts.is_being_replaced,
    })
}
