//! The pipeline of an export: fetch, check, write, record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, never, unbounded};
use protocol::progress::Phase;
use protocol::units::ChunkGeometry;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::chunk::{CheckedChunk, FetchedChunk, LandedChunk};
use crate::error::{CopyError, Stage};
use crate::export::copied::{Completing, Copied};
use crate::export::origin::Origin;
use crate::export::prepared::Prepared;
use crate::flow::concurrency::Concurrency;
use crate::flow::drain::{enforce_drain_timeout, wait_for_recorder};
use crate::flow::pool::BufferPool;
use crate::flow::threads;
use crate::flow::watchdog::{self, CallWatch};
use crate::hashing::ZeroDigests;
use crate::hashing::hash_pool::HashPool;
use crate::hashing::whole::{self, PieceSender, Wanted, WholeDigests};
use crate::limits::{BODILESS_CHUNKS_MAX, DRIVE_SYNC_TIMEOUT};
use crate::plan::{Planned, ReadPlan};
use crate::source::blob_range::Fetch;
use crate::source::holes::{Holes, Source};
use crate::stage::fetch::FetchStage;
use crate::stage::record::Durability;
use crate::stage::write::{FetchAgain, WriteStage};
use crate::transfer::context::Context;

/// Requests at once where no number was chosen.
const CONCURRENCY: usize = 8;

/// The same for a blob on this machine: more readers only stand in each other's way.
const CONCURRENCY_LOCAL: usize = 4;

impl Prepared {
    /// Joins the stages, and returns when the last of them has ended.
    pub(super) async fn copy(self) -> Result<Copied, CopyError> {
        let Prepared { context, origin, journal, is_resumed, target_is_sampled } = self;
        let stages = Stages { context: &context, origin: &origin, geometry: context.geometry()? };
        // What an earlier run fetched may not have been checked: nothing recorded that.
        let all_checked = Arc::new(AtomicBool::new(!is_resumed));
        context.handle.counters.set_phase(Phase::Copying);
        // Buffers and slots bound what is in these.
        let (fetch_output, check_input) = unbounded();
        let (check_output, write_input) = unbounded();
        let (write_output, record_input) = mpsc::channel(BODILESS_CHUNKS_MAX);
        let (concurrency, writers) = (stages.concurrency(), context.drive.preferred_readers());
        let pool = context.pool([concurrency.now(), threads::hash_threads(), 1, writers]);

        let wanted = Wanted { sha256: context.options.stream_sha256, stated: origin.stated };
        let wanted = if is_resumed { Wanted::default() } else { wanted };
        let (stream_output, stream_end) = whole::spawn(wanted, stages.geometry, || false)?;
        let write = Arc::new(stages.write(check_input, stream_output));
        stages.spawn_check(write.clone(), check_output)?;
        let (write_watches, sync_watch) = (watchdog::watches(writers), watchdog::watches(1));
        let calls = write_watches.clone();
        context.handle.counters.set_drive_call(move || watchdog::longest_call(&calls));
        stages.spawn_write(write, write_watches.clone(), write_input, write_output)?;
        let durability = Durability::DriveSync(context.drive.clone(), sync_watch[0].clone());
        let recorder = context.record_stage(journal, durability, None).start(record_input)?;

        let fetching = stages.fetch(pool, all_checked.clone()).run(stages.next_chunk(), concurrency, fetch_output);
        let ending = async {
            fetching.await;
            wait_for_recorder(recorder, &context.handle, &context.failure).await
        };
        let journal = tokio::select! {
            journal = ending => journal,
            () = enforce_drain_timeout(&context.options, &context.handle) => None,
            () = wait_for_hang(&context, &write_watches, &sync_watch) => None,
        };
        let WholeDigests { sha256: stream_sha256, computed: stream_checksum } =
            whole::result(stream_end, &context.handle.stop).await;
        let all_checked = all_checked.load(Ordering::Relaxed);
        let (bytes_cleared, is_published) = (0, false);
        let completing = Completing {
            context,
            origin,
            target_is_sampled,
            all_checked,
            stream_sha256,
            stream_checksum,
            bytes_cleared,
            is_published,
        };
        Ok(Copied { completing, journal })
    }
}

/// Reports a call into the drive that hangs. Never returns: what else is in flight has the drain timeout to land.
async fn wait_for_hang(context: &Context, writing: &[Arc<CallWatch>], syncing: &[Arc<CallWatch>]) {
    let (path, stop, failure) = (&context.identity.path, &context.handle.stop, &context.failure);
    tokio::select! {
        () = watchdog::hanging(writing, path, context.options.read_timeout, stop, failure) => {}
        () = watchdog::hanging(syncing, path, DRIVE_SYNC_TIMEOUT, stop, failure) => {}
    }
    std::future::pending().await
}

/// Builds the stages.
struct Stages<'export> {
    context: &'export Context,
    origin: &'export Origin,
    geometry: ChunkGeometry,
}

impl Stages<'_> {
    fn write(&self, input: Receiver<FetchedChunk>, stream: Option<PieceSender>) -> WriteStage {
        let (counters, shared_budget) = (self.context.handle.counters.clone(), self.context.options.shared_budget.clone());
        WriteStage {
            drive: self.context.drive.clone(),
            expected: self.origin.expected().cloned(),
            zeros: ZeroDigests::new(self.geometry.chunk_size_bytes()),
            table: self.context.table.clone(),
            hash_pool: HashPool::new(input, never(), false, counters, shared_budget),
            counters: self.context.handle.counters.clone(),
            stop: self.context.handle.stop.clone(),
            stream,
            fetch_again: self.fetch_again(),
        }
    }

    fn concurrency(&self) -> Concurrency {
        let preferred = if self.context.blob.local().is_some() { CONCURRENCY_LOCAL } else { CONCURRENCY };
        Concurrency::new(self.context.options.concurrency, preferred, self.context.memory.buffers)
    }

    fn fetch(&self, pool: BufferPool, all_checked: Arc<AtomicBool>) -> FetchStage {
        FetchStage {
            blob: self.context.blob.clone(),
            version: self.origin.facts.version.clone(),
            checked: self.origin.expected().is_none(),
            attempts: self.context.attempts.clone(),
            pool,
            rate: self.context.rate(),
            stop: self.context.handle.stop.clone(),
            failure: self.context.failure.clone(),
            silence_max: self.context.options.request_timeout,
            holes: self.holes(),
            trusts_zeros: self.origin.trusts_zeros(&*self.context.blob),
            all_checked,
        }
    }

    fn holes(&self) -> Option<Holes> {
        let (blob, version, stop) = (&self.context.blob, self.origin.facts.version.clone(), self.context.handle.stop.clone());
        let Some(local) = blob.local() else {
            let at_store = || Holes::at_store(blob.clone(), version, self.context.attempts.clone(), stop);
            return self.origin.facts.is_sparse.then(at_store);
        };
        let source = Source::Blob(local, version);
        Some(Holes::new(source, self.context.options.request_timeout, stop))
    }

    /// The chunks that are still to be fetched, with what the manifest says they are.
    fn next_chunk(&self) -> impl FnMut() -> Result<Option<Planned>, CopyError> + use<> {
        let mut plan = ReadPlan::new(self.geometry, self.context.table.clone(), false);
        let expected = self.origin.expected().cloned();
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
        let (blob, version, silence_max) =
            (self.context.blob.clone(), self.origin.facts.version.clone(), self.context.options.request_timeout);
        let (attempts, runtime) = (self.context.attempts.clone(), Handle::current());
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
        threads::spawn(Stage::Hash, threads::hash_threads(), &self.context.failure, move |_| write.run_check(&output))?;
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
        threads::spawn(Stage::Write, count, &self.context.failure, work)?;
        Ok(())
    }
}
