//! Blob → [`FetchedChunk`]. The only stage of an export that looks at the token, and only between
//! chunks. Each request first gets a buffer, so the pool bounds what is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use blob::Blob;
use crossbeam_channel::Sender;
use protocol::manifest::ChunkContent;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::attempts::{Attempts, Failed};
use crate::chunk::{Body, FetchedChunk, Place};
use crate::concurrency::{Concurrency, Ended};
use crate::error::CopyError;
use crate::failure::Failure;
use crate::fetch::{Fetch, FetchBuffer};
use crate::limits::BODILESS_CHUNKS_MAX;
use crate::pool::{BufferPool, PooledBuffer};
use crate::rate::RateLimit;
use crate::stop::Stop;

/// Where the chunks of an export come from.
pub(crate) struct FetchStage {
    pub(crate) blob: Arc<dyn Blob>,
    pub(crate) version: String,
    /// Ask the store for checksums: there is no manifest.
    pub(crate) checked: bool,
    pub(crate) attempts: Attempts,
    pub(crate) pool: BufferPool,
    pub(crate) rate: RateLimit,
    pub(crate) stop: Stop,
    pub(crate) failure: Failure,
    pub(crate) silence_max: Duration,
    /// Becomes false when a range came without a checksum of the store.
    pub(crate) all_checked: Arc<AtomicBool>,
}

enum Event {
    /// A buffer is there. Buffers come before chunks, so the earliest chunk under way always has one,
    /// and whoever needs chunks in order never waits for one that cannot come.
    Buffer(PooledBuffer),
    Stop,
    /// A request, with the bytes that it moved.
    Ended(Result<u64, Failed>),
    Lost,
    Abort,
}

impl FetchStage {
    /// Fetches the chunks that `next` names until there are none, a stop is asked for, or the store
    /// fails. Chunks that a manifest says are zeros are not fetched.
    pub(crate) async fn run(
        self,
        mut next: impl FnMut() -> Result<Option<(Place, Option<ChunkContent>)>, CopyError>,
        mut concurrency: Concurrency,
        output: Sender<FetchedChunk>,
    ) {
        let slots = Arc::new(Semaphore::new(BODILESS_CHUNKS_MAX));
        let stage = Arc::new(self);
        let mut requests: JoinSet<Result<u64, Failed>> = JoinSet::new();
        let mut input_ended = false;
        let mut waiting_since = Instant::now();
        let mut spare = None;
        while !(input_ended && requests.is_empty()) {
            let has_room = !input_ended && requests.len() < concurrency.now();
            let event = match spare.take().filter(|_| has_room) {
                Some(buffer) => Event::Buffer(buffer),
                None => tokio::select! {
                    biased;
                    () = stage.stop.aborting() => Event::Abort,
                    () = stage.stop.stopping(), if !input_ended => Event::Stop,
                    Some(ended) = requests.join_next(), if !requests.is_empty() => ended.map_or(Event::Lost, Event::Ended),
                    buffer = stage.pool.take(), if has_room => Event::Buffer(buffer),
                },
            };
            match event {
                Event::Abort => {
                    requests.shutdown().await;
                    return;
                }
                Event::Stop => input_ended = true,
                Event::Buffer(buffer) => {
                    stage.attempts.link.counters.wait_time.add(waiting_since.elapsed());
                    let planned = if stage.stop.is_stopping() { Ok(None) } else { next() };
                    match planned {
                        Ok(Some((place, content))) => {
                            let is_zero = content == Some(ChunkContent::Zero);
                            let (buffer, kept) = if is_zero { (None, Some(buffer)) } else { (Some(buffer), None) };
                            spare = kept;
                            let (stage, slots, output) = (stage.clone(), slots.clone(), output.clone());
                            requests.spawn(async move { stage.fetch(place, buffer, slots, output).await });
                        }
                        Ok(None) => input_ended = true,
                        Err(error) => {
                            stage.failure.fail(error);
                            input_ended = true;
                        }
                    }
                    waiting_since = Instant::now();
                }
                Event::Ended(ended) => {
                    concurrency.ended(Ended {
                        bytes: *ended.as_ref().unwrap_or(&0),
                        was_full: requests.len() + 1 >= concurrency.now(),
                        throttled: stage.attempts.throttled.load(Ordering::Relaxed),
                        at: Instant::now(),
                    });
                    stage.attempts.link.counters.set_readers(concurrency.now());
                    if let Some(failed) = ended.err().filter(|failed| !failed.gave_up_for_stop) {
                        stage.failure.fail(failed.error);
                    }
                    waiting_since = Instant::now();
                }
                Event::Lost => stage.failure.fail(CopyError::Internal("a request")),
            }
        }
    }

    /// Fetches one chunk; gives how many bytes came.
    async fn fetch(
        &self,
        place: Place,
        buffer: Option<PooledBuffer>,
        slots: Arc<Semaphore>,
        output: Sender<FetchedChunk>,
    ) -> Result<u64, Failed> {
        let Some(slot) = self.unless_stopped(slots.acquire_owned()).await.and_then(Result::ok) else {
            return Ok(0);
        };
        let (mut attempts, mut bytes) = (0, 0);
        let body = match buffer {
            // The manifest says that it is zeros.
            None => Body::Hole,
            Some(buffer) => {
                let asked = Instant::now();
                if self.unless_stopped(self.rate.wait(place.range.length)).await.is_none() {
                    return Ok(0);
                }
                self.attempts.link.counters.rate_time.add(asked.elapsed());
                let (filled, tries) = self.fill(place, buffer).await?;
                (attempts, bytes) = (tries, place.range.length);
                Body::Bytes(filled.freeze(place.range.length as usize))
            }
        };
        // The channel is unbounded: buffers and slots bound what is in it.
        let _ = output.send(FetchedChunk { place, body, attempts, slot });
        Ok(bytes)
    }

    /// A wait that gives up at a stop.
    async fn unless_stopped<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stop.stopping() => None,
            value = wait => Some(value),
        }
    }

    async fn fill(&self, place: Place, buffer: PooledBuffer) -> Result<(PooledBuffer, u32), Failed> {
        let buffer = FetchBuffer::new(buffer);
        let started = Instant::now();
        let result = self.attempts.run_self_timed(|| async {
            let fetch = Fetch { blob: &*self.blob, version: &self.version, checked: self.checked, silence_max: self.silence_max };
            fetch.fill(place.range, &buffer).await
        });
        let result = result.await;
        self.attempts.link.counters.read_time.add(started.elapsed());
        let (was_checked, attempts) = result?;
        if !was_checked {
            self.all_checked.store(false, Ordering::Relaxed);
        }
        let lost = || Failed { error: CopyError::Internal("a buffer"), gave_up_for_stop: false, is_ambiguous: false };
        Ok((buffer.take().await.ok_or_else(lost)?, attempts))
    }
}
