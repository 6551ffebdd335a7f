//! `import`: a drive into a blob.

use std::collections::HashSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use blob::{Blob, BlobErrorKind, BlobFacts, CommitFacts, Held, Upload, UploadRequest};
use crossbeam_channel::bounded;
use drive::Drive;
use drive::identify::identify;
use protocol::digest::Sha256Digest;
use protocol::identity::DriveIdentity;
use protocol::manifest::{Header, Line, MANIFEST_SUFFIX};
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::result::{Direction, Evidence, TransferResult};
use protocol::units::ByteRange;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::attempts::Attempts;
use crate::drain::{enforce_drain_timeout, wait_for_recorder};
use crate::error::{CopyError, state_error};
use crate::failure::Failure;
use crate::finish;
use crate::journal::Journal;
use crate::limits::{BODILESS_CHUNKS_MAX, RECORDS_PER_BATCH_MAX};
use crate::options::{Link, TransferOptions, Verify};
use crate::plan::{MemoryPlan, ReadPlan, chunk_size, memory_plan};
use crate::pool::BufferPool;
use crate::prepare::{attempts, count_recorded, new_header, recover, require_same_drive, with_drive};
use crate::rate::RateLimit;
use crate::rescue::Rescue;
use crate::stage::hash::{HashStage, ZeroDigests};
use crate::stage::read::ReadStage;
use crate::stage::record::{Durability, RecordStage};
use crate::stage::send::{Concurrency, SendStage};
use crate::stage::stream;
use crate::table::{ChunkTable, SharedTable};
use crate::threads;
use crate::verify::{Expected, Side, compare, stream_of_drive};
use crate::watch::{self, CallWatch};

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
    readers: usize,
    concurrency: usize,
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
        let identity = with_drive(&drive, options.read_timeout, &link, identify).await?;
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
        let (policy, rescue) = (options.on_unreadable, options.rescue.clone());
        let rescue = Rescue::open(policy, rescue, fill, geometry, &*drive, &journal_path, !resume)?;
        if options.chunk_size.is_some_and(|asked| asked.0 < geometry.chunk_size_bytes()) {
            let size = protocol::units::ByteSize(geometry.chunk_size_bytes());
            link.inform(format!(
                "the chunk size is raised to {size}, since the store takes at most {} blocks",
                blob.limits().chunks_max
            ));
        }
        let mut import = Import {
            failure: Failure::new(link.stop.clone()),
            memory: memory_plan(options.memory, geometry)?,
            zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
            readers: drive.preferred_readers(),
            table: SharedTable::new(table),
            journal_path,
            rescue,
            journal: Some(journal),
            upload: None,
            held: HashSet::new(),
            resumed: false,
            with_recorded: touched || options.stream_sha256,
            stream_sha256: None,
            concurrency: 0,
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
            import.table.with(ChunkTable::clear_unreadable)?;
        }
        import.table.with(|table| count_recorded(table, &import.link))?;
        Ok(import)
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
        self.concurrency = self.options.concurrency.unwrap_or(upload.traits().concurrency);
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

    /// Joins the stages, and returns when the last of them has ended.
    async fn run_pipeline(&mut self) -> Result<(), CopyError> {
        let upload = self.upload.clone().ok_or(CopyError::Internal("the upload"))?;
        let journal = self.journal.take().ok_or(CopyError::Internal("the journal"))?;
        self.link.counters.set_phase(Phase::Copying);
        let geometry = self.table.with(|table| Ok(table.geometry()))?;
        let (read_output, hash_input) = bounded(BODILESS_CHUNKS_MAX);
        let (abandon, abandoned) = bounded::<Infallible>(0);
        let (hash_output, send_input) = mpsc::channel(BODILESS_CHUNKS_MAX);
        let (send_output, record_input) = mpsc::channel(BODILESS_CHUNKS_MAX);

        let (stream_output, stream_end) = stream::spawn(self.options.stream_sha256, geometry)?;
        let hash = Arc::new(HashStage {
            upload: upload.clone(),
            zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
            counters: self.link.counters.clone(),
            stream: stream_output,
        });
        let failure = self.failure.clone();
        threads::spawn("hash", threads::hash_threads(), move |_| {
            failure.check(hash.run(&hash_input, &abandoned, &hash_output));
        })?;

        let read = Arc::new(ReadStage {
            drive: self.drive.clone(),
            plan: Mutex::new(ReadPlan::new(geometry, self.table.clone(), self.with_recorded)),
            pool: BufferPool::new(self.memory.buffers, self.memory.buffer_bytes),
            rate: RateLimit::new(self.options.rate),
            geometry,
            table: self.table.clone(),
            rescue: self.rescue.clone(),
            readers_left: AtomicUsize::new(self.readers),
            stop: self.link.stop.clone(),
            counters: self.link.counters.clone(),
        });
        let watches = watch::watches(self.readers);
        let (failure, reader_watches) = (self.failure.clone(), watches.clone());
        let readers = threads::spawn("read", self.readers, move |number| {
            failure.check(read.run(&reader_watches[number], &read_output));
        })?;

        let recorder = RecordStage {
            journal,
            table: self.table.clone(),
            durability: if upload.traits().durable_when_acknowledged {
                Durability::WhenAcknowledged
            } else {
                Durability::StoreSync(upload.clone())
            },
            batch_bytes: self.memory.batch_bytes,
            sync_timeout: self.options.request_timeout,
            stop: self.link.stop.clone(),
            failure: self.failure.clone(),
            counters: self.link.counters.clone(),
            runtime: Handle::current(),
        };
        let (recorded, recorder_end) = oneshot::channel();
        threads::spawn_once("record", move || {
            let _ = recorded.send(recorder.run(record_input));
        })?;

        let sender = SendStage {
            upload: upload.clone(),
            attempts: self.attempts.clone(),
            stop: self.link.stop.clone(),
            failure: self.failure.clone(),
            table: self.table.clone(),
            held: std::mem::take(&mut self.held),
            resumed: self.resumed,
            concurrency: Concurrency::new(self.options.concurrency, upload.traits().concurrency),
        };
        let sending = sender.run(send_input, send_output);
        let watching = self.watch(&watches, readers, abandon);
        let draining = enforce_drain_timeout(&self.options, &self.link);
        let ending = async {
            futures::future::join(sending, watching).await;
            wait_for_recorder(recorder_end, &self.link, &self.failure).await
        };
        let journal = tokio::select! {
            journal = ending => journal,
            () = draining => None,
        };
        self.journal = journal;
        self.stream_sha256 = stream::result(stream_end, &self.link.stop).await;
        Ok(())
    }

    /// Waits until the readers have ended. One that hangs in the drive is given up on after the read
    /// timeout, or when requests are dropped; dropping `abandon` lets the later stages end.
    async fn watch(
        &self,
        watches: &[Arc<CallWatch>],
        readers: Vec<oneshot::Receiver<()>>,
        abandon: crossbeam_channel::Sender<Infallible>,
    ) {
        tokio::select! {
            biased;
            _ = futures::future::join_all(readers) => {}
            () = watch::hanging(watches, &self.identity.path, self.options.read_timeout, &self.link.stop, &self.failure) => {}
        }
        drop(abandon);
    }

    /// Commits, verifies, writes the manifest; or accounts for what was and was not done.
    async fn finish(mut self) -> Result<TransferResult, CopyError> {
        let mut evidence = if self.blob.checks_arrival() { Evidence::Transport } else { Evidence::Read };
        let completed = match self.failure.has_failed() || self.link.stop.is_stopping() {
            true => Ok(None),
            false => self.complete(&mut evidence).await,
        };
        let done = finish::unless_failed(completed, &self.failure);
        let saved = self.save_rescue();
        self.failure.check(saved);
        self.link.counters.set_phase(Phase::Done);
        let error = self.failure.take();
        let workers = [self.readers, threads::hash_threads(), self.concurrency, 1];
        let mut result =
            finish::result(Outcome::Complete, &self.header, self.identity.clone(), &self.table, &self.link, workers)?;
        result.evidence = evidence;
        result.failed_reads = self.rescue.as_ref().map_or(0, |rescue| rescue.failed_reads());
        result.error = error.as_ref().map(ToString::to_string);
        match done {
            Some((root, manifest)) if error.is_none() => {
                result.root_sha256 = Some(root);
                result.stream_sha256 = self.stream_sha256;
                result.manifest = Some(manifest);
                if !result.unreadable.is_empty() {
                    result.outcome = Outcome::CompleteWithUnreadable;
                }
            }
            _ => {
                result.outcome = error.as_ref().map_or(Some(Outcome::Cancelled), CopyError::outcome).unwrap_or(Outcome::Failed);
                result.manifest = Some(self.journal_path.display().to_string());
                let residue = |landed| self.upload.as_ref().and_then(|upload| upload.residue(landed));
                result.receipt = Some(finish::receipt(&self.table, &self.link, &self.options, residue)?);
            }
        }
        Ok(result)
    }

    /// Saves what is known of a failing drive, or removes it where nothing is left to do.
    fn save_rescue(&self) -> Result<(), CopyError> {
        let Some(rescue) = &self.rescue else { return Ok(()) };
        if let Some(range) = self.failure.hanging_range() {
            rescue.note_hang(range, &self.table)?;
        }
        rescue.save(&self.table)?;
        if self.journal_path.exists() { Ok(()) } else { rescue.forget() }
    }

    /// The steps after the last chunk, each repeatable. Gives the root and where the manifest is, or
    /// `None` when a stop came first.
    async fn complete(&mut self, evidence: &mut Evidence) -> Result<Option<(Sha256Digest, String)>, CopyError> {
        self.link.counters.set_phase(Phase::Committing);
        let (geometry, is_complete) = self.table.with(|table| Ok((table.geometry(), table.is_complete())))?;
        if !is_complete {
            return Err(CopyError::Internal("the pipeline"));
        }
        if self.drive.was_modified()? {
            self.link.warn(format!("`{}` was written to while it was read: the blob may hold a mixture", self.identity.path));
        }
        if self.options.stream_sha256 && self.stream_sha256.is_none() && !self.is_committed {
            self.link
                .warn("the SHA-256 of the whole is missing: a part that an earlier run read cannot be read any more".to_owned());
        }
        let content_named = self.upload.as_ref().is_some_and(|upload| upload.traits().content_named);
        let (root, list) = finish::root(&self.table, &self.zeros, content_named)?;
        if self.is_committed && self.options.stream_sha256 {
            self.stream_sha256 = stream_of_drive(&self.drive, geometry, &self.options, &self.link).await?;
        }
        if let Some(upload) = &self.upload {
            let journal = self.journal.as_mut().ok_or(CopyError::Internal("the journal"))?;
            journal.append([Line::Commit])?;
            let unreadable: Vec<ByteRange> = self.table.with(|table| Ok(table.unreadable().collect()))?;
            let facts = CommitFacts { root: &root, unreadable: &unreadable };
            let committed = self.attempts.run("commit", 0, || upload.commit(&list, &facts)).await;
            committed?;
        }
        drop(list);
        if self.options.verify == Verify::ReadBack {
            self.read_back().await?;
            if self.link.stop.is_stopping() {
                return Ok(None);
            }
            *evidence = Evidence::ReadBack;
        }
        let folder = self.options.state_dir.join("journals");
        let file = finish::manifest_file(&folder, &self.header, &self.table, root, self.stream_sha256, *evidence)?;
        let beside = self.blob.sibling(MANIFEST_SUFFIX);
        let length = file.as_file().metadata().map_or(0, |metadata| metadata.len());
        let stored = self.attempts.run("write", length, || beside.put_file(file.path())).await;
        stored?;
        if let Some(path) = &self.options.manifest {
            finish::copy_manifest(file.path(), path)?;
        }
        if let Some(journal) = self.journal.take() {
            journal.remove()?;
        }
        let manifest = self.options.manifest.as_ref().map(|path| path.display().to_string());
        Ok(Some((root, manifest.unwrap_or_else(|| beside.address()))))
    }

    /// Reads the whole blob again and compares it with what was read from the drive.
    async fn read_back(&mut self) -> Result<(), CopyError> {
        let facts = self.attempts.run("look at", 0, || self.blob.head()).await?.0;
        let version = facts.map(|facts| facts.version).unwrap_or_default();
        let side = Side::Blob { blob: self.blob.clone(), version };
        let expected = Expected { table: &self.table, fill: self.header.unreadable_fill };
        let differences = compare(side, expected, &self.options, &self.attempts, &self.link, self.memory).await?;
        let Some(first) = differences.first() else { return Ok(()) };
        // Nothing that was recorded may be believed again.
        if let Some(journal) = self.journal.take() {
            journal.remove()?;
        }
        Err(CopyError::Mismatch(format!(
            "the blob `{}` holds other bytes than were sent, at {} places, the first at {} (offset+length in bytes): import again with `--restart --overwrite`",
            self.blob.address(),
            differences.len(),
            first.range
        )))
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
    let mut result = finish::result(Outcome::Cancelled, &header, identity, &table, link, [1; 4])?;
    result.receipt = Some(finish::receipt(&table, link, options, |_| None)?);
    Ok(result)
}

/// Whether a blob that exists is what this very transfer committed.
fn is_ours(facts: Option<&BlobFacts>, header: &Header) -> bool {
    facts.is_some_and(|facts| match &facts.transfer_id {
        Some(id) => *id == header.transfer_id && !facts.is_incomplete,
        None => facts.size_bytes == header.total_bytes && !facts.is_being_replaced,
    })
}
