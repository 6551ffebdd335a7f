//! The pipeline of an import: read, hash, send, record.

use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use crossbeam_channel::bounded;
use protocol::progress::Phase;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::error::CopyError;
use crate::flow::concurrency::Concurrency;
use crate::flow::drain::{enforce_drain_timeout, wait_for_recorder};
use crate::flow::pool::BufferPool;
use crate::flow::rate::RateLimit;
use crate::flow::readers::Readers;
use crate::flow::threads;
use crate::flow::watchdog::{self, CallWatch};
use crate::hashing::ZeroDigests;
use crate::hashing::hash_pool::HashPool;
use crate::hashing::whole;
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
    let upload = uploading.upload;
    context.handle.counters.set_phase(Phase::Copying);
    let geometry = context.table.with(|table| Ok(table.geometry()))?;
    let (read_output, hash_input) = bounded(BODILESS_CHUNKS_MAX);
    let (abandon, abandoned) = bounded::<Infallible>(0);
    let (hash_output, send_input) = mpsc::channel(BODILESS_CHUNKS_MAX);
    let (send_output, record_input) = mpsc::channel(BODILESS_CHUNKS_MAX);

    // Only where every chunk passes here; else the blob is hashed at the end.
    let passes_whole = uploading.with_recorded || context.table.with(|table| Ok(table.landed() == 0))?;
    let is_wanted = context.options.stream_sha256 && passes_whole;
    let (stream_output, stream_end) = whole::spawn(is_wanted, geometry, is_out_of_order(&context))?;
    let (counters, shared_budget) = (context.handle.counters.clone(), context.options.shared_budget.clone());
    let hash = Arc::new(HashStage {
        upload: upload.clone(),
        zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
        hash_pool: HashPool::new(hash_input, abandoned, upload.wants_md5(), counters, shared_budget),
        stream: stream_output,
    });
    let failure = context.failure.clone();
    threads::spawn("hash", threads::hash_threads(), move |_| failure.check(hash.run(&hash_output)))?;

    let concurrency =
        Concurrency::new(context.options.concurrency, upload.capabilities().preferred_concurrency, context.memory.buffers);
    let pool = BufferPool::new(context.memory.buffers, context.memory.buffer_bytes);
    let counters = &context.handle.counters;
    counters.set_workers([1, threads::hash_threads(), concurrency.now(), 1]);
    let watch = pool.watch();
    counters.set_bytes_in_flight(move || watch.bytes_taken());
    if let Some(rescue) = &context.rescue {
        let known = Arc::downgrade(rescue);
        counters.set_unreadable_so_far(move || {
            let rescue = known.upgrade().filter(|rescue| rescue.has_begun());
            rescue.map(|rescue| rescue.unreadable_so_far()).unwrap_or_default()
        });
    }
    let watches = watchdog::watches(READERS_MAX);
    let read = Arc::new(ReadStage {
        drive: context.drive.clone(),
        plan: Mutex::new(ReadPlan::new(geometry, context.table.clone(), uploading.with_recorded)),
        pool,
        rate: RateLimit::new(context.options.rate, context.options.shared_budget.clone()),
        geometry,
        table: context.table.clone(),
        rescue: context.rescue.clone(),
        read_timeout: context.options.read_timeout,
        readers: Readers::new(watches.clone(), context.handle.counters.clone()),
        readers_left: AtomicUsize::new(READERS_MAX),
        stop: context.handle.stop.clone(),
        counters: context.handle.counters.clone(),
        runtime: Handle::current(),
    });
    let (failure, reader_watches) = (context.failure.clone(), watches.clone());
    let readers = threads::spawn("read", READERS_MAX, move |number| {
        failure.check(read.run(&reader_watches[number], &read_output));
    })?;

    let recorder = RecordStage {
        journal,
        table: context.table.clone(),
        durability: if upload.capabilities().durable_when_acknowledged {
            Durability::WhenAcknowledged
        } else {
            Durability::StoreSync(upload.clone())
        },
        rescue: context.rescue.clone(),
        batch_bytes: context.memory.batch_bytes,
        sync_timeout: context.options.request_timeout,
        stop: context.handle.stop.clone(),
        failure: context.failure.clone(),
        counters: context.handle.counters.clone(),
    };
    let recorder_end = recorder.start(record_input)?;

    let sender = SendStage {
        upload: upload.clone(),
        attempts: context.attempts.clone(),
        stop: context.handle.stop.clone(),
        failure: context.failure.clone(),
        table: context.table.clone(),
        held: uploading.held,
        resumed: uploading.is_resumed,
        concurrency,
    };
    let sending = sender.run(send_input, send_output);
    let watching = wait_for_readers(&context, &watches, readers, abandon);
    let draining = enforce_drain_timeout(&context.options, &context.handle);
    let ending = async {
        futures::future::join(sending, watching).await;
        wait_for_recorder(recorder_end, &context.handle, &context.failure).await
    };
    let journal = tokio::select! {
        journal = ending => journal,
        () = draining => None,
    };
    let stream_sha256 = whole::result(stream_end, &context.handle.stop).await;
    let target = CopiedTarget::Uploaded(upload);
    let completing = Completing { context, target, completion: Completion::Unfinished, stream_sha256 };
    Ok(Copied { completing, journal })
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
