//! The pipeline of an import: read, hash, send, record.

use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use crossbeam_channel::bounded;
use protocol::progress::Phase;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::Import;
use crate::concurrency::Concurrency;
use crate::crew::Crew;
use crate::drain::{enforce_drain_timeout, wait_for_recorder};
use crate::error::CopyError;
use crate::hashing::ZeroDigests;
use crate::limits::{BODILESS_CHUNKS_MAX, READERS_MAX};
use crate::plan::ReadPlan;
use crate::pool::BufferPool;
use crate::rate::RateLimit;
use crate::readers::Readers;
use crate::stage::hash::HashStage;
use crate::stage::read::ReadStage;
use crate::stage::record::{Durability, RecordStage};
use crate::stage::send::SendStage;
use crate::stage::stream;
use crate::threads;
use crate::watch::{self, CallWatch};

impl Import {
    /// Whether chunks come in another order than that of the drive.
    fn is_out_of_order(&self) -> impl Fn() -> bool + Send + use<> {
        let rescue = self.rescue.clone();
        move || rescue.as_ref().is_some_and(|rescue| rescue.has_begun())
    }

    /// Joins the stages, and returns when the last of them has ended.
    pub(super) async fn run_pipeline(&mut self) -> Result<(), CopyError> {
        let upload = self.upload.clone().ok_or(CopyError::Internal("the upload"))?;
        let journal = self.journal.take().ok_or(CopyError::Internal("the journal"))?;
        self.link.counters.set_phase(Phase::Copying);
        let geometry = self.table.with(|table| Ok(table.geometry()))?;
        let (read_output, hash_input) = bounded(BODILESS_CHUNKS_MAX);
        let (abandon, abandoned) = bounded::<Infallible>(0);
        let (hash_output, send_input) = mpsc::channel(BODILESS_CHUNKS_MAX);
        let (send_output, record_input) = mpsc::channel(BODILESS_CHUNKS_MAX);

        // Only where every chunk passes here; else the blob is hashed at the end.
        let passes_whole = self.with_recorded || self.table.with(|table| Ok(table.landed() == 0))?;
        let is_wanted = self.options.stream_sha256 && passes_whole;
        let (stream_output, stream_end) = stream::spawn(is_wanted, geometry, self.is_out_of_order())?;
        let (counters, station) = (self.link.counters.clone(), self.options.station.clone());
        let hash = Arc::new(HashStage {
            upload: upload.clone(),
            zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
            crew: Crew::new(hash_input, abandoned, upload.wants_md5(), counters, station),
            stream: stream_output,
        });
        let failure = self.failure.clone();
        threads::spawn("hash", threads::hash_threads(), move |_| failure.check(hash.run(&hash_output)))?;

        let concurrency =
            Concurrency::new(self.options.concurrency, upload.capabilities().preferred_concurrency, self.memory.buffers);
        let pool = BufferPool::new(self.memory.buffers, self.memory.buffer_bytes);
        let counters = &self.link.counters;
        counters.set_workers([1, threads::hash_threads(), concurrency.now(), 1]);
        counters.watch_buffers(&pool);
        if let Some(rescue) = &self.rescue {
            counters.watch_rescue(rescue);
        }
        let watches = watch::watches(READERS_MAX);
        let read = Arc::new(ReadStage {
            drive: self.drive.clone(),
            plan: Mutex::new(ReadPlan::new(geometry, self.table.clone(), self.with_recorded)),
            pool,
            rate: RateLimit::new(self.options.rate, self.options.station.clone()),
            geometry,
            table: self.table.clone(),
            rescue: self.rescue.clone(),
            read_timeout: self.options.read_timeout,
            readers: Readers::new(watches.clone(), self.link.counters.clone()),
            readers_left: AtomicUsize::new(READERS_MAX),
            stop: self.link.stop.clone(),
            counters: self.link.counters.clone(),
            runtime: Handle::current(),
        });
        let (failure, reader_watches) = (self.failure.clone(), watches.clone());
        let readers = threads::spawn("read", READERS_MAX, move |number| {
            failure.check(read.run(&reader_watches[number], &read_output));
        })?;

        let recorder = RecordStage {
            journal,
            table: self.table.clone(),
            durability: if upload.capabilities().durable_when_acknowledged {
                Durability::WhenAcknowledged
            } else {
                Durability::StoreSync(upload.clone())
            },
            rescue: self.rescue.clone(),
            batch_bytes: self.memory.batch_bytes,
            sync_timeout: self.options.request_timeout,
            stop: self.link.stop.clone(),
            failure: self.failure.clone(),
            counters: self.link.counters.clone(),
        };
        let recorder_end = recorder.start(record_input)?;

        let sender = SendStage {
            upload: upload.clone(),
            attempts: self.attempts.clone(),
            stop: self.link.stop.clone(),
            failure: self.failure.clone(),
            table: self.table.clone(),
            held: std::mem::take(&mut self.held),
            resumed: self.resumed,
            concurrency,
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
}
