//! `export`: a blob onto a drive.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use blob::{Blob, BlobFacts};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use drive::{AlignedBuffer, Drive, DriveError, TargetContent};
use protocol::digest::Sha256Digest;
use protocol::fill::Fill;
use protocol::identity::DriveIdentity;
use protocol::manifest::{ChunkContent, Header, MANIFEST_SUFFIX};
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::receipt::Residue;
use protocol::result::{Direction, Evidence, TransferResult};
use protocol::units::{ByteRange, ByteSize, ChunkGeometry, ChunkIndex};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::attempts::Attempts;
use crate::chunk::{CheckedChunk, FetchedChunk, LandedChunk, Place};
use crate::drain::{enforce_drain_timeout, wait_for_recorder};
use crate::error::{CopyError, state_error};
use crate::failure::Failure;
use crate::fetch::Fetch;
use crate::finish;
use crate::journal::Journal;
use crate::limits::{BODILESS_CHUNKS_MAX, CLEAR_PIECE_BYTES, DRIVE_SYNC_TIMEOUT, RESUME_PROBES};
use crate::manifest::{LoadedManifest, manifest_beside, not_found};
use crate::options::{Link, TransferOptions, Verify};
use crate::plan::{MemoryPlan, ReadPlan, chunk_size, memory_plan};
use crate::pool::BufferPool;
use crate::prepare::{attempts, count_recorded, new_header, recover, with_drive};
use crate::rate::RateLimit;
use crate::stage::fetch::FetchStage;
use crate::stage::hash::ZeroDigests;
use crate::stage::record::{Durability, RecordStage};
use crate::stage::send::Concurrency;
use crate::stage::stream;
use crate::stage::write::{FetchAgain, WriteStage};
use crate::table::{ChunkTable, SharedTable};
use crate::threads;
use crate::verify::{Expected, Side, compare, read_sectors, stream_of_drive};
use crate::watch::{self, CallWatch};

/// Requests at once where nobody chose.
const CONCURRENCY: usize = 8;

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

    /// Joins the stages, and returns when the last of them has ended.
    async fn run_pipeline(&mut self) -> Result<(), CopyError> {
        let journal = self.journal.take().ok_or(CopyError::Internal("the journal"))?;
        let geometry = self.table.with(|table| Ok(table.geometry()))?;
        self.link.counters.set_phase(Phase::Copying);
        // Buffers and slots bound what is in these.
        let (fetch_output, check_input) = unbounded();
        let (check_output, write_input) = unbounded();
        let (write_output, record_input) = mpsc::channel(BODILESS_CHUNKS_MAX);
        let pool = BufferPool::new(self.memory.buffers, self.memory.buffer_bytes);

        let (stream_output, stream_end) = stream::spawn(self.options.stream_sha256 && !self.is_resumed, geometry)?;
        let write = Arc::new(WriteStage {
            drive: self.drive.clone(),
            expected: self.manifest.as_ref().map(|manifest| manifest.table.clone()),
            zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
            table: self.table.clone(),
            counters: self.link.counters.clone(),
            stop: self.link.stop.clone(),
            stream: stream_output,
            fetch_again: self.fetch_again(),
        });
        self.spawn_check(write.clone(), check_input, check_output)?;
        let (write_watches, sync_watch) = (watch::watches(self.drive.preferred_readers()), watch::watches(1));
        self.spawn_write(write, write_watches.clone(), write_input, write_output)?;

        let recorder = RecordStage {
            journal,
            table: self.table.clone(),
            durability: Durability::DriveSync(self.drive.clone(), sync_watch[0].clone()),
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

        let fetching = self.fetch_stage(pool).run(self.next_chunk(geometry), self.concurrency(), fetch_output);
        let draining = enforce_drain_timeout(&self.options, &self.link);
        let ending = async {
            fetching.await;
            wait_for_recorder(recorder_end, &self.link, &self.failure).await
        };
        let watching = async {
            let (path, stop, failure) = (&self.identity.path, &self.link.stop, &self.failure);
            tokio::select! {
                () = watch::hanging(&write_watches, path, self.options.read_timeout, stop, failure) => {}
                () = watch::hanging(&sync_watch, path, DRIVE_SYNC_TIMEOUT, stop, failure) => {}
            }
            // Reported; what else is in flight has the drain timeout to land.
            std::future::pending::<()>().await;
        };
        self.journal = tokio::select! {
            journal = ending => journal,
            () = draining => None,
            () = watching => None,
        };
        self.stream_sha256 = stream::result(stream_end, &self.link.stop).await;
        Ok(())
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::new(self.options.concurrency, CONCURRENCY.min(self.memory.buffers))
    }

    fn fetch_stage(&self, pool: BufferPool) -> FetchStage {
        FetchStage {
            blob: self.blob.clone(),
            version: self.facts.version.clone(),
            checked: self.manifest.is_none(),
            attempts: self.attempts.clone(),
            pool,
            rate: RateLimit::new(self.options.rate),
            stop: self.link.stop.clone(),
            failure: self.failure.clone(),
            silence_max: self.options.request_timeout,
            all_checked: self.all_checked.clone(),
        }
    }

    /// The chunks that are still to be fetched, with what the manifest says they are.
    fn next_chunk(
        &self,
        geometry: ChunkGeometry,
    ) -> impl FnMut() -> Result<Option<(Place, Option<ChunkContent>)>, CopyError> + use<> {
        let mut plan = ReadPlan::new(geometry, self.table.clone(), false);
        let expected = self.manifest.as_ref().map(|manifest| manifest.table.clone());
        move || {
            let Some((place, _)) = plan.next()? else { return Ok(None) };
            let content = match &expected {
                Some(expected) => expected.get(place.index)?.landed.map(|(content, ..)| content),
                None => None,
            };
            Ok(Some((place, content)))
        }
    }

    fn fetch_again(&self) -> FetchAgain {
        let (blob, version, silence_max) = (self.blob.clone(), self.facts.version.clone(), self.options.request_timeout);
        let runtime = Handle::current();
        Box::new(move |place| {
            let mut buffer = AlignedBuffer::new(place.range.length as usize);
            let length = place.range.length as usize;
            let fetch = Fetch { blob: &*blob, version: &version, checked: false, silence_max };
            let fetched = runtime.block_on(fetch.fill(place.range, &mut buffer[..length]));
            fetched.ok().map(|_| Bytes::from_owner(buffer).slice(..length))
        })
    }

    fn spawn_check(
        &self,
        write: Arc<WriteStage>,
        input: Receiver<FetchedChunk>,
        output: Sender<CheckedChunk>,
    ) -> Result<(), CopyError> {
        let failure = self.failure.clone();
        threads::spawn("hash", threads::hash_threads(), move |_| failure.check(write.run_check(&input, &output)))?;
        Ok(())
    }

    fn spawn_write(
        &self,
        write: Arc<WriteStage>,
        watches: Arc<[Arc<CallWatch>]>,
        input: Receiver<CheckedChunk>,
        output: mpsc::Sender<LandedChunk>,
    ) -> Result<(), CopyError> {
        let failure = self.failure.clone();
        threads::spawn("write", watches.len(), move |number| failure.check(write.run_write(&watches[number], &input, &output)))?;
        Ok(())
    }

    /// Clears what lies behind the blob, verifies, finishes the drive; or accounts for what was and was
    /// not done.
    async fn finish(mut self) -> Result<TransferResult, CopyError> {
        let mut evidence = match self.manifest.is_some() || self.all_checked.load(Ordering::Relaxed) {
            true => Evidence::Transport,
            false => Evidence::Read,
        };
        let completed = match self.failure.has_failed() || self.link.stop.is_stopping() {
            true => Ok(None),
            false => self.complete(&mut evidence).await,
        };
        let done = finish::unless_failed(completed, &self.failure);
        self.link.counters.set_phase(Phase::Done);
        let error = self.failure.take();
        let workers = [self.concurrency().now(), threads::hash_threads(), 1, self.drive.preferred_readers()];
        let mut result =
            finish::result(Outcome::Complete, &self.header, self.identity.clone(), &self.table, &self.link, workers)?;
        result.evidence = evidence;
        result.checked_against_manifest = Some(self.manifest.is_some());
        result.bytes_cleared = self.bytes_cleared;
        result.error = error.as_ref().map(ToString::to_string);
        match done {
            Some((root, manifest)) if error.is_none() => {
                result.root_sha256 = Some(root);
                result.stream_sha256 = self.stream_sha256;
                result.manifest = manifest;
                result.unreadable = self.filled()?;
                if !result.unreadable.is_empty() {
                    self.link
                        .warn("the import could not read parts of the drive: these ranges are filling, and no data".to_owned());
                    result.outcome = Outcome::CompleteWithUnreadable;
                }
            }
            _ => {
                result.outcome = error.as_ref().map_or(Some(Outcome::Cancelled), CopyError::outcome).unwrap_or(Outcome::Failed);
                result.manifest = Some(self.journal_path.display().to_string());
                let residue = |landed| residue(&self.identity, landed);
                result.receipt = Some(finish::receipt(&self.table, &self.link, &self.options, residue)?);
            }
        }
        Ok(result)
    }

    /// Ranges that the manifest says could not be read when the blob was made.
    fn filled(&self) -> Result<Vec<ByteRange>, CopyError> {
        let Some(manifest) = &self.manifest else { return Ok(Vec::new()) };
        manifest.table.with(|table| Ok(table.unreadable().collect()))
    }

    /// The steps after the last chunk, each repeatable. `None` when a stop came first.
    async fn complete(&mut self, evidence: &mut Evidence) -> Result<Option<(Sha256Digest, Option<String>)>, CopyError> {
        self.link.counters.set_phase(Phase::Committing);
        if !self.table.with(|table| Ok(table.is_complete()))? {
            return Err(CopyError::Internal("the pipeline"));
        }
        if !self.clear_behind().await? {
            return Ok(None);
        }
        self.link.counters.set_phase(Phase::Committing);
        let (root, _) = finish::root(&self.table, &self.zeros, false)?;
        if self.manifest.as_ref().is_some_and(|manifest| manifest.root != root) {
            self.forget()?;
            return Err(CopyError::Mismatch(format!(
                "what is on the drive `{}` is not what the blob's manifest states: begin anew with `--restart`",
                self.identity.path
            )));
        }
        with_drive(&self.drive, DRIVE_SYNC_TIMEOUT, &self.link, |drive| drive.sync()).await?;
        if self.options.verify == Verify::ReadBack {
            self.read_back().await?;
        }
        if self.options.stream_sha256 && self.stream_sha256.is_none() {
            let geometry = self.table.with(|table| Ok(table.geometry()))?;
            self.stream_sha256 = stream_of_drive(&self.drive, geometry, &self.options, &self.link).await?;
        }
        if self.link.stop.is_stopping() {
            return Ok(None);
        }
        if self.options.verify == Verify::ReadBack {
            *evidence = Evidence::ReadBack;
        }
        // Only now the drive has the name, and looks like what it is.
        with_drive(&self.drive, DRIVE_SYNC_TIMEOUT, &self.link, |drive| drive.finish()).await?;
        let folder = self.options.state_dir.join("journals");
        if let Some(path) = &self.options.manifest {
            let file = finish::manifest_file(&folder, &self.header, &self.table, root, self.stream_sha256, *evidence)?;
            finish::copy_manifest(file.path(), path)?;
        }
        if let Some(journal) = self.journal.take() {
            journal.remove()?;
        }
        let written = self.options.manifest.as_ref().map(|path| path.display().to_string());
        let beside = self.manifest.as_ref().map(|_| self.blob.sibling(MANIFEST_SUFFIX).address());
        Ok(Some((root, written.or(beside))))
    }

    /// Makes the drive behind the blob's end zero: no byte of its last owner stays. False when a stop
    /// came first.
    async fn clear_behind(&mut self) -> Result<bool, CopyError> {
        let size = self.drive.size_bytes();
        let start = self.header.total_bytes.next_multiple_of(self.drive.sector_size_bytes()).min(size);
        if self.drive.target_content() == TargetContent::KnownZero {
            return Ok(true);
        }
        self.link.counters.begin_part(Phase::Clearing, size - start);
        let mut offset = start;
        while offset < size {
            if self.link.stop.is_stopping() {
                return Ok(false);
            }
            // Every piece but the first is aligned to the largest blocks that drives erase at once.
            let end = (offset / CLEAR_PIECE_BYTES + 1) * CLEAR_PIECE_BYTES;
            let range = ByteRange::new(offset, end.min(size) - offset);
            with_drive(&self.drive, self.options.read_timeout, &self.link, move |drive| drive.zero_range(range)).await?;
            offset = range.end();
            self.bytes_cleared = offset - start;
            self.link.counters.add_to_part(range.length);
        }
        Ok(true)
    }

    /// Reads the whole drive again and compares it with what came from the blob.
    async fn read_back(&mut self) -> Result<(), CopyError> {
        let side = Side::Drive(self.drive.clone());
        // What was written is what is compared: this drive has no unreadable places to leave out.
        let expected = Expected { table: &self.table, fill: Fill::default() };
        let differences = compare(side, expected, &self.options, &self.attempts, &self.link, self.memory).await?;
        let Some(first) = differences.first() else { return Ok(()) };
        self.forget()?;
        Err(CopyError::Mismatch(format!(
            "the drive `{}` holds other bytes than were written to it, at {} places, the first at {} (offset+length in bytes): do not use this drive",
            self.identity.path,
            differences.len(),
            first.range
        )))
    }

    /// Removes the journal: nothing that was recorded may be believed again.
    fn forget(&mut self) -> Result<(), CopyError> {
        self.journal.take().map_or(Ok(()), Journal::remove)
    }
}

fn residue(identity: &DriveIdentity, landed: u64) -> Option<Residue> {
    let description = format!("what was written to `{}`, which a resume goes on with", identity.path);
    (landed > 0).then_some(Residue { description, bytes: landed, lives_days: None })
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

/// What names the drive of an export: its serial number, or where it is.
fn drive_key(identity: &DriveIdentity) -> String {
    let path = Path::new(&identity.path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = folder.canonicalize().ok().zip(path.file_name()).map(|(folder, name)| folder.join(name).display().to_string());
    identity.serial.clone().or(place).unwrap_or_else(|| identity.path.clone())
}

/// Refuses to go on with another drive, another blob, or another version of it.
fn require_same(
    header: &Header,
    planned: ChunkGeometry,
    now: &DriveIdentity,
    (address, facts): (&str, &BlobFacts),
    journal: &Journal,
) -> Result<(), CopyError> {
    let recorded = &header.drive;
    let journal = journal.path().display();
    if header.blob != address {
        return Err(CopyError::Refused(format!(
            "an export of `{}` onto `{}` was begun and not finished: finish it, or begin anew with `--restart` (journal: `{journal}`)",
            header.blob, now.path
        )));
    }
    if (recorded.size, recorded.sector_size, &recorded.serial) != (now.size, now.sector_size, &now.serial) {
        return Err(CopyError::Refused(format!(
            "`{}` is not the drive that this export was begun with (`{}`): dock the right drive, or begin anew with `--restart` (journal: `{journal}`)",
            now.path,
            recorded.label()
        )));
    }
    if header.blob_version.as_ref() != Some(&facts.version) || header.chunk_size_bytes != planned.chunk_size_bytes() {
        return Err(CopyError::Refused(format!(
            "the blob `{}`, or its manifest, was changed since its export was begun: begin anew with `--restart` (journal: `{journal}`)",
            header.blob
        )));
    }
    Ok(())
}

/// Reads some of the chunks that the journal says were written: the drive must still hold them.
async fn probe_landed(
    drive: &Arc<dyn Drive>,
    table: &ChunkTable,
    options: &TransferOptions,
    link: &Link,
) -> Result<(), CopyError> {
    let failed = |source| state_error("read the table of", Path::new("the transfer"), source);
    let step = (table.landed() / RESUME_PROBES).max(1);
    let mut seen = 0;
    for index in 0..table.geometry().chunk_count() {
        let Some(record) = table.record(ChunkIndex(index)).map_err(failed)? else {
            continue;
        };
        seen += 1;
        if seen % step != 0 {
            continue;
        }
        let range = record.range;
        let digest = with_drive(drive, options.read_timeout, link, move |drive| {
            let mut buffer = AlignedBuffer::new(range.length as usize);
            read_sectors(drive, &mut buffer, range)?;
            Ok(Sha256Digest::of(&buffer[..range.length as usize]))
        });
        if digest.await? != record.content.digest(range.length) {
            return Err(CopyError::Refused(format!(
                "the drive `{}` does not hold at {range} (offset+length in bytes) what was written there before: it is another drive, or was changed; dock the right one, or begin anew with `--restart`",
                drive.identity().path
            )));
        }
    }
    Ok(())
}
