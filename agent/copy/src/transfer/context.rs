//! What all steps of a transfer need that may begin, and what the steps of imports and exports have in common.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use blob::Blob;
use drive::Drive;
use protocol::digest::Sha256Digest;
use protocol::identity::DriveIdentity;
use protocol::manifest::{ChunkContent, Header};
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::receipt::Receipt;
use protocol::result::TransferResult;
use protocol::units::{ChunkGeometry, ChunkIndex};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::flow::attempts::Attempts;
use crate::flow::failure::Failure;
use crate::flow::pool::BufferPool;
use crate::flow::rate::RateLimit;
use crate::hashing::ZeroDigests;
use crate::limits::{ABORT_GRACE, INQUIRY_TIMEOUT};
use crate::plan::{MemoryPlan, memory_plan};
use crate::record::journal::Journal;
use crate::record::table::{ChunkTable, SharedTable};
use crate::rescue::Rescue;
use crate::stage::record::{Durability, RecordStage};
use crate::transfer::begin::count_recorded;
use crate::transfer::result;
use crate::transfer::scene::Scene;
use crate::verify::{Compared, Expected, Scope, Side, compare};

/// A transfer that is under way.
pub(crate) struct Context {
    pub(crate) drive: Arc<dyn Drive>,
    pub(crate) blob: Arc<dyn Blob>,
    pub(crate) options: TransferOptions,
    pub(crate) handle: TransferHandle,
    pub(crate) attempts: Attempts,
    pub(crate) failure: Failure,
    pub(crate) identity: DriveIdentity,
    pub(crate) header: Header,
    pub(crate) table: SharedTable,
    pub(crate) zeros: ZeroDigests,
    pub(crate) memory: MemoryPlan,
    pub(crate) journal_path: PathBuf,
}

impl Context {
    /// A transfer that nothing forbids; its journal goes with it, and apart from it.
    pub(crate) fn new(scene: Scene, header: Header, table: SharedTable) -> Result<(Self, Journal), CopyError> {
        let Scene { drive, blob, options, handle, attempts, identity, journal, .. } = scene;
        let geometry = table.with(|table| Ok(table.geometry()))?;
        let context = Context {
            failure: Failure::new(handle.stop.clone()),
            zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
            memory: memory_plan(options.memory, geometry)?,
            journal_path: journal.path().to_owned(),
            drive,
            blob,
            options,
            handle,
            attempts,
            identity,
            header,
            table,
        };
        Ok((context, journal))
    }

    pub(crate) fn geometry(&self) -> Result<ChunkGeometry, CopyError> {
        self.table.with(|table| Ok(table.geometry()))
    }

    /// How many chunks have landed.
    pub(crate) fn landed(&self) -> Result<u64, CopyError> {
        self.table.with(|table| Ok(table.landed()))
    }

    /// Counts what an earlier run moved.
    pub(crate) fn count_recorded(&self) -> Result<(), CopyError> {
        self.table.with(|table| count_recorded(table, &self.handle))
    }

    /// Does something with every chunk that landed and is not held.
    pub(crate) fn with_not_held(
        &self,
        is_held: impl Fn(Sha256Digest) -> bool,
        work: impl Fn(&mut ChunkTable, ChunkIndex) -> std::io::Result<()>,
    ) -> Result<(), CopyError> {
        let zeros = &self.zeros;
        self.table.with(|table| {
            if table.landed() == 0 {
                return Ok(());
            }
            for (index, range) in table.geometry().chunks() {
                let digest = table.get(index)?.landed.map(|(content, ..)| match content {
                    ChunkContent::Data(digest) => digest,
                    ChunkContent::Zero => zeros.of(range.length),
                });
                if digest.is_some_and(|digest| !is_held(digest)) {
                    work(table, index)?;
                }
            }
            Ok(())
        })
    }

    /// Compares a side with what was recorded.
    pub(crate) async fn compare(&self, side: Side, scope: Scope<'_>, wants_stream: bool) -> Result<Compared, CopyError> {
        let expected = Expected { table: &self.table, fill: self.header.unreadable_fill, scope, wants_stream };
        compare(side, expected, &self.options, &self.attempts, &self.handle, self.memory).await
    }

    /// The buffers of the pipeline; the counters show what is in flight, and how many work at each stage.
    pub(crate) fn pool(&self, workers: [usize; 4]) -> BufferPool {
        let pool = BufferPool::new(self.memory.buffers, self.memory.buffer_bytes);
        self.handle.counters.set_workers(workers);
        let watch = pool.watch();
        self.handle.counters.set_bytes_in_flight(move || watch.bytes_taken());
        pool
    }

    pub(crate) fn rate(&self) -> RateLimit {
        RateLimit::new(self.options.rate.clone(), self.options.shared_budget.clone())
    }

    /// The last stage of the pipeline.
    pub(crate) fn record_stage(&self, journal: Journal, durability: Durability, rescue: Option<Arc<Rescue>>) -> RecordStage {
        RecordStage {
            journal,
            table: self.table.clone(),
            durability,
            rescue,
            batch_bytes: self.memory.batch_bytes,
            sync_timeout: self.options.request_timeout,
            stop: self.handle.stop.clone(),
            failure: self.failure.clone(),
            counters: self.handle.counters.clone(),
        }
    }

    /// The journal, where the steps after the last chunk may be taken: nothing failed, and no stop was asked for.
    pub(crate) fn to_complete<'journal>(&self, journal: Option<&'journal mut Journal>) -> Option<&'journal mut Journal> {
        journal.filter(|_| !self.failure.has_failed() && !self.handle.stop.is_stopping())
    }

    /// What the steps after the last chunk gave; a failure of theirs is reported, and a cancel is not one.
    pub(crate) fn completed_or_failure<T>(&self, completed: Result<Option<T>, CopyError>) -> Option<T> {
        completed.unwrap_or_else(|error| {
            if !matches!(error, CopyError::Cancelled) {
                self.failure.fail(error);
            }
            None
        })
    }

    /// The end: the result as of a transfer that is complete, and what failed, if anything did.
    pub(crate) fn end(&self) -> Result<(TransferResult, Option<CopyError>), CopyError> {
        self.handle.counters.set_phase(Phase::Done);
        let error = self.failure.take();
        let result = result::result(Outcome::Complete, &self.header, self.identity.clone(), &self.table, &self.handle)?;
        Ok((result, error))
    }

    /// Says of the result that the transfer did not complete, and where its journal is.
    pub(crate) fn set_incomplete(&self, result: &mut TransferResult, error: Option<&CopyError>) {
        result.outcome = error.map_or(Some(Outcome::Cancelled), CopyError::outcome_once_begun).unwrap_or(Outcome::Failed);
        result.manifest = Some(self.journal_path.display().to_string());
    }

    /// The receipt: each byte in exactly one class.
    pub(crate) fn receipt(&self) -> Result<Receipt, CopyError> {
        result::receipt(&self.table, &self.handle, &self.options)
    }

    /// How long a target may take to say what it holds, when the transfer ends.
    pub(crate) fn grace(&self) -> Duration {
        if self.handle.stop.is_aborting() { ABORT_GRACE } else { INQUIRY_TIMEOUT }
    }
}
