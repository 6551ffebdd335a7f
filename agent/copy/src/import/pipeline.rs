//! The pipeline of an import: read, hash, send, record.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use blob::Upload;
use crossbeam_channel::{Receiver, bounded};
use protocol::digest::Sha256Digest;
use protocol::progress::Phase;
use protocol::units::ChunkGeometry;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::chunk::ReadChunk;
use crate::error::{CopyError, Stage};
use crate::flow::concurrency::Concurrency;
use crate::flow::drain::{enforce_drain_timeout, wait_for_recorder};
use crate::flow::pool::BufferPool;
use crate::flow::rate::RateLimit;
use crate::flow::readers::Readers;
use crate::flow::threads;
use crate::flow::watchdog::{self, CallWatch};
use crate::hashing::ZeroDigests;
use crate::hashing::hash_pool::HashPool;
use crate::hashing::whole::{self, PieceSender};
use crate::import::completion::Completion;
use crate::import::context::Context;
use crate::import::copied::{Completing, Copied, CopiedTarget};
use crate::import::prepared::{Prepared, Target, Uploading};
use crate::limits::{BODILESS_CHUNKS_MAX, READERS_MAX};
use crate::plan::ReadPlan;
use crate::record::journal::Journal;
use crate::stage::hash::HashStage;
use crate::stage::read::ReadStage;
use crate::stage::record::{Durability, RecordStage};
use crate::stage::send::SendStage;

impl Prepared {
    /// Copies what is missing, and returns when the last stage has ended.
    pub(super) async fn copy(self) -> Result<Copied, CopyError> {
        let Prepared { context, journal, target } = self;
        match target {
            Target::Uploading(uploading) => run(context, journal, uploading).await,
            Target::Committed { version, is_doubtful } => {
                let target = CopiedTarget::Committed { is_doubtful };
                let completion = Completion::Committed { version };
                Ok(Copied { completing: Completing { context, target, completion, stream_sha256: None }, journal: Some(journal) })
            }
        }
    }
}

/// Whether chunks come in another order than that of the drive.
fn is_out_of_order(context: &Context) -> impl Fn() -> bool + Send + use<> {
    let rescue = context.rescue.clone();
    move || rescue.as_ref().is_some_and(|rescue| rescue.has_begun())
}

/// Joins the stages, and returns when the last of them has ended.
async fn run(context: Context, journal: Journal, uploading: Uploading) -> Result<Copied, CopyError> {
    let Uploading { upload, held, is_resumed, with_recorded } = uploading;
    context.handle.counters.set_phase(Phase::Copying);
    let geometry = context.table.with(|table| Ok(table.geometry()))?;
    let (read_output, hash_input) = bounded(BODILESS_CHUNKS_MAX);
    let (abandon, abandoned) = bounded::<Infallible>(0);
    let (hash_output, send_input) = mpsc::channel(BODILESS_CHUNKS_MAX);
    let (send_output, record_input) = mpsc::channel(BODILESS_CHUNKS_MAX);
    let concurrency =
        Concurrency::new(context.options.concurrency, upload.capabilities().preferred_concurrency, context.memory.buffers);
    let pool = BufferPool::new(context.memory.buffers, context.memory.buffer_bytes);
    watch(&context, &pool, concurrency.now());

    // Only where every chunk passes here; else the blob is hashed at the end.
    let passes_whole = with_recorded || context.table.with(|table| Ok(table.landed() == 0))?;
    let is_wanted = context.options.stream_sha256 && passes_whole;
    let (stream_output, stream_end) = whole::spawn(is_wanted, geometry, is_out_of_order(&context))?;
    let hash = Arc::new(context.hash_stage(upload.clone(), hash_input, abandoned, stream_output));
    threads::spawn(Stage::Hash, threads::hash_threads(), &context.failure, move |_| hash.run(&hash_output))?;

    let watches = watchdog::watches(READERS_MAX);
    let read = Arc::new(context.read_stage(geometry, pool, watches.clone(), with_recorded));
    let reader_watches = watches.clone();
    let reading = move |number: usize| read.run(&reader_watches[number], &read_output);
    let readers = threads::spawn(Stage::Read, READERS_MAX, &context.failure, reading)?;

    let recorder_end = context.record_stage(journal, &upload).start(record_input)?;
    let sending = context.send_stage(upload.clone(), held, is_resumed, concurrency).run(send_input, send_output);
    let watching = wait_for_readers(&context, &watches, readers, abandon);
    let ending = async {
        futures::future::join(sending, watching).await;
        wait_for_recorder(recorder_end, &context.handle, &context.failure).await
    };
    let journal = tokio::select! {
        journal = ending => journal,
        () = enforce_drain_timeout(&context.options, &context.handle) => None,
    };
    let stream_sha256 = whole::result(stream_end, &context.handle.stop).await;
    let target = CopiedTarget::Uploaded(upload);
    let completing = Completing { context, target, completion: Completion::Unfinished, stream_sha256 };
    Ok(Copied { completing, journal })
}

/// Lets the counters tell what is in flight, and what a failing drive has not given.
fn watch(context: &Context, pool: &BufferPool, senders: usize) {
    let counters = &context.handle.counters;
    counters.set_workers([1, threads::hash_threads(), senders, 1]);
    let watch = pool.watch();
    counters.set_bytes_in_flight(move || watch.bytes_taken());
    if let Some(rescue) = &context.rescue {
        let known = Arc::downgrade(rescue);
        counters.set_unreadable_so_far(move || {
            let rescue = known.upgrade().filter(|rescue| rescue.has_begun());
            rescue.map(|rescue| rescue.unreadable_so_far()).unwrap_or_default()
        });
    }
}

impl Context {
    fn hash_stage(
        &self,
        upload: Arc<dyn Upload>,
        input: Receiver<ReadChunk>,
        abandoned: Receiver<Infallible>,
        stream: Option<PieceSender>,
    ) -> HashStage {
        let (counters, shared_budget) = (self.handle.counters.clone(), self.options.shared_budget.clone());
        HashStage {
            zeros: ZeroDigests::new(self.header.chunk_size_bytes),
            hash_pool: HashPool::new(input, abandoned, upload.wants_md5(), counters, shared_budget),
            upload,
            stream,
        }
    }

    fn read_stage(
        &self,
        geometry: ChunkGeometry,
        pool: BufferPool,
        watches: Arc<[Arc<CallWatch>]>,
        with_recorded: bool,
    ) -> ReadStage {
        ReadStage {
            drive: self.drive.clone(),
            plan: Mutex::new(ReadPlan::new(geometry, self.table.clone(), with_recorded)),
            pool,
            rate: RateLimit::new(self.options.rate, self.options.shared_budget.clone()),
            geometry,
            table: self.table.clone(),
            rescue: self.rescue.clone(),
            read_timeout: self.options.read_timeout,
            readers: Readers::new(watches, self.handle.counters.clone()),
            readers_left: AtomicUsize::new(READERS_MAX),
            stop: self.handle.stop.clone(),
            counters: self.handle.counters.clone(),
            runtime: Handle::current(),
        }
    }

    fn send_stage(
        &self,
        upload: Arc<dyn Upload>,
        held: HashSet<Sha256Digest>,
        resumed: bool,
        concurrency: Concurrency,
    ) -> SendStage {
        SendStage {
            upload,
            attempts: self.attempts.clone(),
            stop: self.handle.stop.clone(),
            failure: self.failure.clone(),
            table: self.table.clone(),
            held,
            resumed,
            concurrency,
        }
    }

    fn record_stage(&self, journal: Journal, upload: &Arc<dyn Upload>) -> RecordStage {
        RecordStage {
            journal,
            table: self.table.clone(),
            durability: match upload.capabilities().durable_when_acknowledged {
                true => Durability::WhenAcknowledged,
                false => Durability::StoreSync(upload.clone()),
            },
            rescue: self.rescue.clone(),
            batch_bytes: self.memory.batch_bytes,
            sync_timeout: self.options.request_timeout,
            stop: self.handle.stop.clone(),
            failure: self.failure.clone(),
            counters: self.handle.counters.clone(),
        }
    }
}

/// Waits until the readers have ended. One that hangs in the drive is abandoned after the read
/// timeout, or when requests are dropped; dropping `abandon` lets the later stages end.
async fn wait_for_readers(
    context: &Context,
    watches: &[Arc<CallWatch>],
    readers: Vec<oneshot::Receiver<()>>,
    abandon: crossbeam_channel::Sender<Infallible>,
) {
    tokio::select! {
        biased;
        _ = futures::future::join_all(readers) => {}
        () = watchdog::hanging(watches, &context.identity.path, context.options.read_timeout, &context.handle.stop, &context.failure) => {}
    }
    drop(abandon);
}
