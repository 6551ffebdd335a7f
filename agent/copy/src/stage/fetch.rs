//! Blob → [`FetchedChunk`]. The only stage of an export that looks at the token, and only between
//! chunks. Each request first gets a buffer, so the pool bounds what is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use blob::Blob;
use crossbeam_channel::Sender;
use protocol::manifest::ChunkContent;
use protocol::units::ByteRange;
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
use crate::plan::Planned;
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

/// The loop's state.
struct Loop<N> {
    stage: Arc<FetchStage>,
    /// Names the next chunk.
    next: N,
    holes: Option<Holes>,
    concurrency: Concurrency,
    output: Sender<FetchedChunk>,
    slots: Arc<Semaphore>,
    /// A buffer that the chunk before did not need.
    spare: Option<PooledBuffer>,
    requests: JoinSet<Result<u64, Failed>>,
    input_ended: bool,
    waiting_since: Instant,
}

/// What a chunk needs.
struct Room {
    slot: OwnedSemaphorePermit,
    buffer: PooledBuffer,
}

impl<N: FnMut() -> Result<Option<Planned>, CopyError>> Loop<N> {
    async fn select(&mut self) -> Event {
        let has_room = !self.input_ended && self.requests.len() < self.concurrency.now();
        tokio::select! {
            biased;
            () = self.stage.stop.aborting() => Event::Abort,
            () = self.stage.stop.stopping(), if !self.input_ended => Event::Stop,
            Some(ended) = self.requests.join_next(), if !self.requests.is_empty() => ended.map_or_else(Event::Lost, Event::Ended),
            Some(room) = self.stage.room(&self.slots, &mut self.spare), if has_room => Event::Room(room),
        }
    }

    async fn apply(&mut self, event: Event) {
        match event {
            Event::Stop => self.input_ended = true,
            Event::Room(room) => self.begin(room).await,
            Event::Ended(ended) => self.ended(ended),
            Event::Lost(error) => self.stage.failure.fail(CopyError::of_task(Stage::Fetch, error)),
            Event::Abort => {}
        }
    }

    /// Begins the next chunk: it is fetched, or known to be zeros.
    async fn begin(&mut self, room: Room) {
        self.stage.attempts.handle.counters.wait_time.add(self.waiting_since.elapsed());
        let planned = if self.stage.stop.is_stopping() { Ok(None) } else { (self.next)() };
        match planned {
            Ok(Some((place, content))) => match self.stage.data_of(place, content, &mut self.holes).await {
                Some(data) => {
                    let (stage, output) = (self.stage.clone(), self.output.clone());
                    self.requests.spawn(async move { stage.fetch(place, data, room, output).await });
                }
                None => {
                    let Room { slot, buffer } = room;
                    self.spare = Some(buffer);
                    // The channel is unbounded: buffers and slots bound what is in it.
                    let _ = self.output.send(FetchedChunk { place, buffer: None, attempts: 0, slot });
                }
            },
            Ok(None) => self.input_ended = true,
            Err(error) => {
                self.stage.failure.fail(error);
                self.input_ended = true;
            }
        }
        self.waiting_since = Instant::now();
    }

    fn ended(&mut self, ended: Result<u64, Failed>) {
        self.concurrency.ended(Ended {
            bytes: *ended.as_ref().unwrap_or(&0),
            was_full: self.requests.len() + 1 >= self.concurrency.now(),
            throttled: self.stage.attempts.throttled.load(Ordering::Relaxed),
            at: Instant::now(),
        });
        self.stage.attempts.handle.counters.set_readers(self.concurrency.now());
        if let Some(failed) = ended.err().filter(|failed| !failed.gave_up_for_stop) {
            self.stage.failure.fail(failed.error);
        }
        self.waiting_since = Instant::now();
    }
}

impl FetchStage {
    /// Fetches the chunks that `next` names until there are none, a stop is asked for, or the store
    /// fails. Chunks that are known to be zeros are not fetched.
    pub(crate) async fn run(
        mut self,
        next: impl FnMut() -> Result<Option<Planned>, CopyError>,
        concurrency: Concurrency,
        output: Sender<FetchedChunk>,
    ) {
        let mut state = Loop {
            next,
            holes: self.holes.take(),
            stage: Arc::new(self),
            concurrency,
            output,
            // Half of them move on while the other half is recorded.
            slots: Arc::new(Semaphore::new(2 * BODILESS_CHUNKS_MAX)),
            spare: None,
            requests: JoinSet::new(),
            input_ended: false,
            waiting_since: Instant::now(),
        };
        while !(state.input_ended && state.requests.is_empty()) {
            let event = state.select().await;
            if matches!(event, Event::Abort) {
                state.requests.shutdown().await;
                return;
            }
            state.apply(event).await;
        }
    }

    /// The part of a chunk that has to be fetched; `None` where it is known to be zeros: the file system or the store says so,
    /// or a manifest that is of this very version.
    async fn data_of(&self, place: Place, content: Option<ChunkContent>, holes: &mut Option<Holes>) -> Option<ByteRange> {
        let data = match holes {
            Some(holes) => holes.data_in(place.range).await,
            None => Some(place.range),
        };
        if data.is_none() && content.is_none() {
            // No checksum of a store says so.
            self.all_checked.store(false, Ordering::Relaxed);
        }
        data.filter(|_| !(self.trusts_zeros && content == Some(ChunkContent::Zero)))
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

    /// Fetches one chunk, of which only `data` is not known to be zeros; gives how many bytes came.
    async fn fetch(
        &self,
        place: Place,
        data: ByteRange,
        Room { slot, buffer }: Room,
        output: Sender<FetchedChunk>,
    ) -> Result<u64, Failed> {
        let asked = Instant::now();
        if self.stop.or_stopping(self.rate.wait(data.length)).await.is_none() {
            return Ok(0);
        }
        self.attempts.handle.counters.rate_time.add(asked.elapsed());
        let Filled { buffer, attempts, .. } = self.fill(place, data, buffer).await?;
        let buffer = Some(FilledBuffer::new(buffer, place.range.length as usize));
        let _ = output.send(FetchedChunk { place, buffer, attempts, slot });
        Ok(data.length)
    }

    async fn fill(&self, place: Place, data: ByteRange, buffer: PooledBuffer) -> Result<Filled<PooledBuffer>, Failed> {
        let started = Instant::now();
        let fetch = Fetch {
            blob: &*self.blob,
            version: &self.version,
            checked: self.checked,
            silence_max: self.silence_max,
            attempts: &self.attempts,
        };
        let filled = self.attempts.metered(data.length, fetch.fill_sparse(place.range, data, buffer)).await;
        self.attempts.handle.counters.read_time.add(started.elapsed());
        let filled = filled?;
        if !filled.was_checked {
            self.all_checked.store(false, Ordering::Relaxed);
        }
        Ok(filled)
    }
}
