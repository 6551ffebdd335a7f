//! The pipeline of an export: fetch, check, write, record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, never, unbounded};
use protocol::manifest::ChunkContent;
use protocol::progress::Phase;
use protocol::units::ChunkGeometry;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::chunk::{CheckedChunk, FetchedChunk, LandedChunk, Place};
use crate::error::{CopyError, Stage};
use crate::export::context::Context;
use crate::export::copied::{Completing, Copied};
use crate::export::prepared::Prepared;
use crate::flow::concurrency::Concurrency;
use crate::flow::drain::{enforce_drain_timeout, wait_for_recorder};
use crate::flow::pool::BufferPool;
use crate::flow::rate::RateLimit;
use crate::flow::threads;
use crate::flow::watchdog::{self, CallWatch};
use crate::hashing::ZeroDigests;
use crate::hashing::hash_pool::HashPool;
use crate::hashing::whole::{self, PieceSender};
use crate::limits::{BODILESS_CHUNKS_MAX, DRIVE_SYNC_TIMEOUT};
use crate::plan::ReadPlan;
use crate::record::journal::Journal;
use crate::source::blob_range::Fetch;
use crate::source::holes::{Holes, Source};
use crate::stage::fetch::FetchStage;
use crate::stage::record::{Durability, RecordStage};
use crate::stage::write::{FetchAgain, WriteStage};

/// Requests at once where no number was chosen.
const CONCURRENCY: usize = 8;

/// The same for a blob on this machine: more readers only stand in each other's way.
const CONCURRENCY_LOCAL: usize = 4;

impl Prepared {
    /// Joins the stages, and returns when the last of them has ended.
    pub(super) async fn copy(self) -> Result<Copied, CopyError> {
        let Prepared { context, journal } = self;
        // What an earlier run fetched may not have been checked: nothing recorded that.
        let all_checked = Arc::new(AtomicBool::new(!context.is_resumed));
        let geometry = context.table.with(|table| Ok(table.geometry()))?;
        context.handle.counters.set_phase(Phase::Copying);
        // Buffers and slots bound what is in these.
        let (fetch_output, check_input) = unbounded();
        let (check_output, write_input) = unbounded();
        let (write_output, record_input) = mpsc::channel(BODILESS_CHUNKS_MAX);
        let pool = BufferPool::new(context.memory.buffers, context.memory.buffer_bytes);
        let workers = [context.concurrency().now(), threads::hash_threads(), 1, context.drive.preferred_readers()];
        context.handle.counters.set_workers(workers);
        let watch = pool.watch();
        context.handle.counters.set_bytes_in_flight(move || watch.bytes_taken());

        let (stream_output, stream_end) = whole::spawn(context.options.stream_sha256 && !context.is_resumed, geometry, || false)?;
        let write = Arc::new(context.write_stage(geometry, check_input, stream_output));
        context.spawn_check(write.clone(), check_output)?;
        let (write_watches, sync_watch) = (watchdog::watches(context.drive.preferred_readers()), watchdog::watches(1));
        context.spawn_write(write, write_watches.clone(), write_input, write_output)?;

        let recorder_end = context.record_stage(journal, sync_watch[0].clone()).start(record_input)?;

        let fetching =
            context.fetch_stage(pool, all_checked.clone()).run(context.next_chunk(geometry), context.concurrency(), fetch_output);
        let draining = enforce_drain_timeout(&context.options, &context.handle);
        let ending = async {
            fetching.await;
            wait_for_recorder(recorder_end, &context.handle, &context.failure).await
        };
        let journal = tokio::select! {
            journal = ending => journal,
            () = draining => None,
            () = context.wait_for_hang(&write_watches, &sync_watch) => None,
        };
        let stream_sha256 = whole::result(stream_end, &context.handle.stop).await;
        let all_checked = all_checked.load(Ordering::Relaxed);
        let completing = Completing { context, all_checked, stream_sha256, bytes_cleared: 0, is_published: false };
        Ok(Copied { completing, journal })
    }
}

impl Context {
    fn write_stage(&self, geometry: ChunkGeometry, input: Receiver<FetchedChunk>, stream: Option<PieceSender>) -> WriteStage {
        let (counters, shared_budget) = (self.handle.counters.clone(), self.options.shared_budget.clone());
        WriteStage {
            drive: self.drive.clone(),
            expected: self.manifest.as_ref().map(|manifest| manifest.table.clone()),
            zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
            table: self.table.clone(),
            hash_pool: HashPool::new(input, never(), false, counters, shared_budget),
            counters: self.handle.counters.clone(),
            stop: self.handle.stop.clone(),
            stream,
            fetch_again: self.fetch_again(),
        }
    }

    fn record_stage(&self, journal: Journal, watch: Arc<CallWatch>) -> RecordStage {
        RecordStage {
            journal,
            table: self.table.clone(),
            durability: Durability::DriveSync(self.drive.clone(), watch),
            rescue: None,
            batch_bytes: self.memory.batch_bytes,
            sync_timeout: self.options.request_timeout,
            stop: self.handle.stop.clone(),
            failure: self.failure.clone(),
            counters: self.handle.counters.clone(),
        }
    }

    /// Reports a call into the drive that hangs. Never returns: what else is in flight has the drain timeout to land.
    async fn wait_for_hang(&self, writing: &[Arc<CallWatch>], syncing: &[Arc<CallWatch>]) {
        let (path, stop, failure) = (&self.identity.path, &self.handle.stop, &self.failure);
        tokio::select! {
            () = watchdog::hanging(writing, path, self.options.read_timeout, stop, failure) => {}
            () = watchdog::hanging(syncing, path, DRIVE_SYNC_TIMEOUT, stop, failure) => {}
        }
        std::future::pending().await
    }

    fn concurrency(&self) -> Concurrency {
        let preferred = if self.blob.local().is_some() { CONCURRENCY_LOCAL } else { CONCURRENCY };
        Concurrency::new(self.options.concurrency, preferred, self.memory.buffers)
    }

    fn fetch_stage(&self, pool: BufferPool, all_checked: Arc<AtomicBool>) -> FetchStage {
        FetchStage {
            blob: self.blob.clone(),
            version: self.facts.version.clone(),
            checked: self.manifest.is_none(),
            attempts: self.attempts.clone(),
            pool,
            rate: RateLimit::new(self.options.rate, self.options.shared_budget.clone()),
            stop: self.handle.stop.clone(),
            failure: self.failure.clone(),
            silence_max: self.options.request_timeout,
            holes: self.holes(),
            trusts_zeros: self.trusts_zeros(),
            all_checked,
        }
    }

    fn holes(&self) -> Option<Holes> {
        let local = self.blob.local()?;
        let source = Source::Blob(local, self.facts.version.clone());
        Some(Holes::new(source, self.options.request_timeout, self.handle.stop.clone()))
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
        let (attempts, runtime) = (self.attempts.clone(), Handle::current());
        Box::new(move |place, filled| {
            let (blob, version, attempts) = (blob.clone(), version.clone(), attempts.clone());
            let fetching = async move {
                let fetch = Fetch { blob: &*blob, version: &version, checked: false, silence_max, attempts: &attempts };
                Ok(fetch.fill_again(place.range, filled).await?)
            };
            threads::wait_for(&runtime, fetching).unwrap_or(Err(CopyError::Cancelled))
        })
    }

    fn spawn_check(&self, write: Arc<WriteStage>, output: Sender<CheckedChunk>) -> Result<(), CopyError> {
        threads::spawn(Stage::Hash, threads::hash_threads(), &self.failure, move |_| write.run_check(&output))?;
        Ok(())
    }

    fn spawn_write(
        &self,
        write: Arc<WriteStage>,
        watches: Arc<[Arc<CallWatch>]>,
        input: Receiver<CheckedChunk>,
        output: mpsc::Sender<LandedChunk>,
    ) -> Result<(), CopyError> {
        let count = watches.len();
        let work = move |number: usize| write.run_write(&watches[number], &input, &output);
        threads::spawn(Stage::Write, count, &self.failure, work)?;
        Ok(())
    }
}
