//! Blob → [`FetchedChunk`]. The only stage of an export that looks at the token, and only between
//! chunks. Each request first gets a buffer, so the pool bounds what is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use blob::Blob;
use crossbeam_channel::Sender;
use protocol::manifest::ChunkContent;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};

use crate::call::stop::Stop;
use crate::chunk::{FetchedChunk, Place};
use crate::error::{CopyError, Stage};
use crate::flow::attempts::{Attempts, Failed};
use crate::flow::concurrency::{Concurrency, Ended};
use crate::flow::failure::Failure;
use crate::flow::pool::{BufferPool, FilledBuffer, PooledBuffer};
use crate::flow::rate::RateLimit;
use crate::limits::BODILESS_CHUNKS_MAX;
use crate::source::blob_range::{Fetch, Filled};
use crate::source::holes::Holes;

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
    /// Where the blob has holes, when it is a file.
    pub(crate) holes: Option<Holes>,
    /// The manifest is of this very version of the blob: what it calls zeros is not fetched.
    pub(crate) trusts_zeros: bool,
    /// Becomes false when a range came without a checksum of the store.
    pub(crate) all_checked: Arc<AtomicBool>,
}

enum Event {
    /// There is room for one more chunk. Room comes before chunks, so the earliest chunk under way always has a buffer,
    /// and a stage that needs chunks in order never waits for one that cannot come.
    Room(Room),
    Stop,
    /// A request, with the bytes that it moved.
    Ended(Result<u64, Failed>),
    Lost(JoinError),
    Abort,
}

/// What a chunk needs.
struct Room {
    slot: OwnedSemaphorePermit,
    buffer: PooledBuffer,
}

impl FetchStage {
    /// Fetches the chunks that `next` names until there are none, a stop is asked for, or the store
    /// fails. Chunks that are known to be zeros are not fetched.
    pub(crate) async fn run(
        mut self,
        mut next: impl FnMut() -> Result<Option<(Place, Option<ChunkContent>)>, CopyError>,
        mut concurrency: Concurrency,
        output: Sender<FetchedChunk>,
    ) {
        // Half of them move on while the other half is recorded.
        let slots = Arc::new(Semaphore::new(2 * BODILESS_CHUNKS_MAX));
        let mut holes = self.holes.take();
        let stage = Arc::new(self);
        let mut requests: JoinSet<Result<u64, Failed>> = JoinSet::new();
        let mut input_ended = false;
        let mut waiting_since = Instant::now();
        let mut spare = None;
        while !(input_ended && requests.is_empty()) {
            let has_room = !input_ended && requests.len() < concurrency.now();
            let event = tokio::select! {
                biased;
                () = stage.stop.aborting() => Event::Abort,
                () = stage.stop.stopping(), if !input_ended => Event::Stop,
                Some(ended) = requests.join_next(), if !requests.is_empty() => ended.map_or_else(Event::Lost, Event::Ended),
                Some(room) = stage.room(&slots, &mut spare), if has_room => Event::Room(room),
            };
            match event {
                Event::Abort => {
                    requests.shutdown().await;
                    return;
                }
                Event::Stop => input_ended = true,
                Event::Room(Room { slot, buffer }) => {
                    stage.attempts.handle.counters.wait_time.add(waiting_since.elapsed());
                    let planned = if stage.stop.is_stopping() { Ok(None) } else { next() };
                    match planned {
                        Ok(Some((place, content))) if stage.is_zero(place, content, &mut holes).await => {
                            spare = Some(buffer);
                            // The channel is unbounded: buffers and slots bound what is in it.
                            let _ = output.send(FetchedChunk { place, buffer: None, attempts: 0, slot });
                        }
                        Ok(Some((place, _))) => {
                            let (stage, output) = (stage.clone(), output.clone());
                            requests.spawn(async move { stage.fetch(place, Room { slot, buffer }, output).await });
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
                    stage.attempts.handle.counters.set_readers(concurrency.now());
                    if let Some(failed) = ended.err().filter(|failed| !failed.gave_up_for_stop) {
                        stage.failure.fail(failed.error);
                    }
                    waiting_since = Instant::now();
                }
                Event::Lost(error) => stage.failure.fail(CopyError::of_task(Stage::Fetch, error)),
            }
        }
    }

    /// Whether a chunk is known to be zeros: the file system says so, or a manifest that is of this very version.
    async fn is_zero(&self, place: Place, content: Option<ChunkContent>, holes: &mut Option<Holes>) -> bool {
        let is_hole = match holes {
            Some(holes) => holes.is_hole(place.range).await,
            None => false,
        };
        if is_hole && content.is_none() {
            // No checksum of a store says so.
            self.all_checked.store(false, Ordering::Relaxed);
        }
        is_hole || self.trusts_zeros && content == Some(ChunkContent::Zero)
    }

    /// Waits for a slot, and for a buffer where none is spare.
    async fn room(&self, slots: &Arc<Semaphore>, spare: &mut Option<PooledBuffer>) -> Option<Room> {
        let slot = slots.clone().acquire_owned().await.ok()?;
        let buffer = match spare.take() {
            Some(buffer) => buffer,
            None => match self.pool.take().await {
                Ok(buffer) => buffer,
                Err(error) => {
                    self.failure.fail(error.into());
                    return None;
                }
            },
        };
        Some(Room { slot, buffer })
    }

    /// Fetches one chunk; gives how many bytes came.
    async fn fetch(&self, place: Place, Room { slot, buffer }: Room, output: Sender<FetchedChunk>) -> Result<u64, Failed> {
        let (asked, length) = (Instant::now(), place.range.length);
        if self.stop.or_stopping(self.rate.wait(length)).await.is_none() {
            return Ok(0);
        }
        self.attempts.handle.counters.rate_time.add(asked.elapsed());
        let Filled { buffer, attempts, .. } = self.fill(place, buffer).await?;
        let buffer = Some(FilledBuffer::new(buffer, length as usize));
        let _ = output.send(FetchedChunk { place, buffer, attempts, slot });
        Ok(length)
    }

    async fn fill(&self, place: Place, buffer: PooledBuffer) -> Result<Filled<PooledBuffer>, Failed> {
        let started = Instant::now();
        let fetch = Fetch {
            blob: &*self.blob,
            version: &self.version,
            checked: self.checked,
            silence_max: self.silence_max,
            attempts: &self.attempts,
        };
        let filled = fetch.fill(place.range, buffer).await;
        self.attempts.handle.counters.read_time.add(started.elapsed());
        let filled = filled?;
        if !filled.was_checked {
            self.all_checked.store(false, Ordering::Relaxed);
        }
        Ok(filled)
    }
}
