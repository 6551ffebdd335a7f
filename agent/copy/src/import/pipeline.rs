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
use crate::flow::readers::Readers;
use crate::flow::threads;
use crate::flow::watchdog::{self, CallWatch};
use crate::hashing::ZeroDigests;
use crate::hashing::hash_pool::HashPool;
use crate::hashing::whole::{self, PieceSender, Wanted};
use crate::import::completion::Completion;
use crate::import::copied::{Completing, Copied, CopiedTarget};
use crate::import::prepared::{Prepared, Target, Uploading};
use crate::limits::{BODILESS_CHUNKS_MAX, READERS_MAX};
use crate::plan::ReadPlan;
use crate::record::journal::Journal;
use crate::rescue::Rescue;
use crate::stage::hash::HashStage;
use crate::stage::read::ReadStage;
use crate::stage::record::{Durability, RecordStage};
use crate::stage::send::SendStage;
use crate::transfer::context::Context;

impl Prepared {
    /// Copies what is missing, and returns when the last stage has ended.
    pub(super) async fn copy(self) -> Result<Copied, CopyError> {
        let Prepared { context, rescue, trust, journal, target } = self;
        let (target, completion, ended) = match target {
            Target::Uploading(uploading) => {
                let target = CopiedTarget::Uploaded(uploading.upload.clone());
                (target, Completion::Unfinished, run(&context, rescue.as_ref(), journal, uploading).await?)
            }
            Target::Committed { version, is_doubtful } => {
                let ended = Ended { journal: Some(journal), stream_sha256: None };
                (CopiedTarget::Committed { is_doubtful }, Completion::Committed { version }, ended)
            }
        };
        let Ended { journal, stream_sha256 } = ended;
        Ok(Copied { completing: Completing { context, rescue, trust, target, completion, stream_sha256 }, journal })
    }
}

/// What the pipeline gives when the last of its stages has ended.
struct Ended {
    /// Absent where the recorder hangs with it.
    journal: Option<Journal>,
    /// Where every chunk passed in drive order.
    stream_sha256: Option<Sha256Digest>,
}

/// Joins the stages, and returns when the last of them has ended.
async fn run(
    context: &Context,
    rescue: Option<&Arc<Rescue>>,
    journal: Journal,
    uploading: Uploading,
) -> Result<Ended, CopyError> {
    let Uploading { upload, held, is_resumed, with_recorded, .. } = uploading;
    context.handle.counters.set_phase(Phase::Copying);
    let stages = Stages { context, rescue, upload, geometry: context.geometry()? };
    let (read_output, hash_input) = bounded(BODILESS_CHUNKS_MAX);
    let (abandon, abandoned) = bounded::<Infallible>(0);
    let (hash_output, send_input) = mpsc::channel(BODILESS_CHUNKS_MAX);
    let (send_output, record_input) = mpsc::channel(BODILESS_CHUNKS_MAX);
    let concurrency = stages.concurrency();
    let pool = context.pool([1, threads::hash_threads(), concurrency.now(), 1]);
    stages.tell_unreadable();

    // Only where every chunk passes here; else the blob is hashed at the end.
    let passes_whole = with_recorded || context.landed()? == 0;
    let wanted = Wanted { sha256: context.options.stream_sha256 && passes_whole, stated: None };
    let (stream_output, stream_end) = whole::spawn(wanted, stages.geometry, stages.is_out_of_order())?;
    let hash = Arc::new(stages.hash(hash_input, abandoned, stream_output));
    threads::spawn(Stage::Hash, threads::hash_threads(), &context.failure, move |_| hash.run(&hash_output))?;

    let watches = watchdog::watches(READERS_MAX);
    let read = Arc::new(stages.read(pool, watches.clone(), with_recorded));
    let (calls, rescue_call) = (watches.clone(), read.rescue_watch.clone());
    let longest = move || watchdog::longest_call(&calls).max(watchdog::longest_call(std::slice::from_ref(&rescue_call)));
    context.handle.counters.set_drive_call(longest);
    let reader_watches = watches.clone();
    let reading = move |number: usize| read.run(&reader_watches[number], &read_output);
    let readers = threads::spawn(Stage::Read, READERS_MAX, &context.failure, reading)?;

    let recorder = stages.record(journal).start(record_input)?;
    let sending = stages.send(held, is_resumed, concurrency).run(send_input, send_output);
    let watching = wait_for_readers(context, &watches, readers, abandon);
    let ending = async {
        futures::future::join(sending, watching).await;
        wait_for_recorder(recorder, &context.handle, &context.failure).await
    };
    let journal = tokio::select! {
        journal = ending => journal,
        () = enforce_drain_timeout(&context.options, &context.handle) => None,
    };
    let stream_sha256 = whole::result(stream_end, &context.handle.stop).await.sha256;
    Ok(Ended { journal, stream_sha256 })
}

/// Builds the stages.
struct Stages<'import> {
    context: &'import Context,
    rescue: Option<&'import Arc<Rescue>>,
    upload: Arc<dyn Upload>,
    geometry: ChunkGeometry,
}

impl Stages<'_> {
    fn concurrency(&self) -> Concurrency {
        let preferred = self.upload.capabilities().preferred_concurrency;
        Concurrency::new(self.context.options.concurrency, preferred, self.context.memory.buffers)
    }

    fn hash(&self, input: Receiver<ReadChunk>, abandoned: Receiver<Infallible>, stream: Option<PieceSender>) -> HashStage {
        let (counters, shared_budget) = (self.context.handle.counters.clone(), self.context.options.shared_budget.clone());
        HashStage {
            upload: self.upload.clone(),
            zeros: ZeroDigests::new(self.geometry.chunk_size_bytes()),
            hash_pool: HashPool::new(input, abandoned, self.upload.wants_md5(), counters, shared_budget),
            stream,
        }
    }

    fn read(&self, pool: BufferPool, watches: Arc<[Arc<CallWatch>]>, with_recorded: bool) -> ReadStage {
        ReadStage {
            drive: self.context.drive.clone(),
            plan: Mutex::new(ReadPlan::new(self.geometry, self.context.table.clone(), with_recorded)),
            pool,
            rate: self.context.rate(),
            geometry: self.geometry,
            table: self.context.table.clone(),
            rescue: self.rescue.cloned(),
            rescue_watch: Arc::default(),
            read_timeout: self.context.options.read_timeout,
            readers: Readers::new(watches, self.context.handle.counters.clone()),
            readers_left: AtomicUsize::new(READERS_MAX),
            stop: self.context.handle.stop.clone(),
            counters: self.context.handle.counters.clone(),
            runtime: Handle::current(),
        }
    }

    fn send(&self, held: HashSet<Sha256Digest>, resumed: bool, concurrency: Concurrency) -> SendStage {
        SendStage {
            upload: self.upload.clone(),
            attempts: self.context.attempts.clone(),
            stop: self.context.handle.stop.clone(),
            failure: self.context.failure.clone(),
            table: self.context.table.clone(),
            held,
            resumed,
            concurrency,
        }
    }

    fn record(&self, journal: Journal) -> RecordStage {
        let durability = match self.upload.capabilities().durable_when_acknowledged {
            true => Durability::WhenAcknowledged,
            false => Durability::StoreSync(self.upload.clone()),
        };
        self.context.record_stage(journal, durability, self.rescue.cloned())
    }

    /// Whether chunks come in another order than that of the drive.
    fn is_out_of_order(&self) -> impl Fn() -> bool + Send + use<> {
        let rescue = self.rescue.cloned();
        move || rescue.as_ref().is_some_and(|rescue| rescue.has_begun())
    }

    /// Gives the counters the list of what a failing drive has not given.
    fn tell_unreadable(&self) {
        if let Some(rescue) = self.rescue {
            let known = Arc::downgrade(rescue);
            self.context.handle.counters.set_unreadable_so_far(move || {
                let rescue = known.upgrade().filter(|rescue| rescue.has_begun());
                rescue.map(|rescue| rescue.unreadable_so_far()).unwrap_or_default()
            });
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
