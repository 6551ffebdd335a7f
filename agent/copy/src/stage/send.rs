//! [`HashedChunk`] → [`LandedChunk`]: bodies go to the store, each digest once where chunks are named
//! by content.
//!
//! One loop: `select` gives an event, `apply` acts on it and never waits. A chunk is noted as
//! *unknown* before its body goes out, and as *landed* by the recorder; so whatever happens in between,
//! the table is never better than the truth.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use blob::{BlobError, ChunkBody, Holding, Upload};
use bytes::Bytes;
use protocol::digest::Sha256Digest;
use protocol::manifest::{ChunkContent, ChunkState};
use protocol::units::{ByteRange, ChunkIndex};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::call::stop::Stop;
use crate::chunk::{HashedChunk, Held, LandedChunk, Place};
use crate::error::{CopyError, Stage};
use crate::flow::attempts::{Attempts, Doubt, Failed};
use crate::flow::concurrency::{Concurrency, Ended};
use crate::flow::failure::Failure;
use crate::flow::pool::{PooledBytes, Share};
use crate::limits::{ABORT_GRACE, BODILESS_CHUNKS_MAX, INQUIRY_INTERVAL, INQUIRY_TIMEOUT};
use crate::record::table::SharedTable;

/// The sending stage of one import.
pub(crate) struct SendStage {
    pub(crate) upload: Arc<dyn Upload>,
    pub(crate) attempts: Attempts,
    pub(crate) stop: Stop,
    pub(crate) failure: Failure,
    pub(crate) table: SharedTable,
    /// What the store holds of this content already.
    pub(crate) held: HashSet<Sha256Digest>,
    /// Whether an earlier run may have left bytes where zeros belong.
    pub(crate) resumed: bool,
    pub(crate) concurrency: Concurrency,
}

/// What a request was about.
#[derive(Clone)]
struct Sent {
    place: Place,
    content: ChunkContent,
    digest: Sha256Digest,
    state: ChunkState,
    unreadable: Vec<ByteRange>,
}

struct PutEnd {
    sent: Sent,
    body_bytes: u64,
    share: Option<Share>,
    result: Result<u32, Failed>,
}

enum Event {
    Chunk(Option<HashedChunk>),
    Ended(Result<PutEnd, JoinError>),
    Delivered(bool),
    Abort,
}

/// The loop's state.
struct Loop {
    stage: SendStage,
    puts: JoinSet<PutEnd>,
    /// Chunks that wait for the body of the same content to land.
    waiting: HashMap<Sha256Digest, Vec<Sent>>,
    /// Begun and not known to have landed: asked about at the end.
    doubtful: HashMap<ChunkIndex, (Sent, Doubt)>,
    outbox: VecDeque<LandedChunk>,
    input_ended: bool,
    refusing: bool,
    zeros: Bytes,
}

impl SendStage {
    /// Sends until no more chunks come and all that was begun has ended, or an abort.
    pub(crate) async fn run(self, mut input: mpsc::Receiver<HashedChunk>, output: mpsc::Sender<LandedChunk>) {
        let mut state = Loop {
            stage: self,
            puts: JoinSet::new(),
            waiting: HashMap::new(),
            doubtful: HashMap::new(),
            outbox: VecDeque::new(),
            input_ended: false,
            refusing: false,
            zeros: Bytes::new(),
        };
        loop {
            let event = state.select(&mut input, &output).await;
            if matches!(event, Event::Abort) {
                state.abort(&mut input).await;
                break;
            }
            state.apply(event);
            if state.input_ended && state.puts.is_empty() && state.outbox.is_empty() {
                break;
            }
        }
        state.resolve_doubts().await;
        for landed in state.outbox.drain(..) {
            if output.send(landed).await.is_err() {
                break;
            }
        }
    }
}

impl Loop {
    async fn select(&mut self, input: &mut mpsc::Receiver<HashedChunk>, output: &mpsc::Sender<LandedChunk>) -> Event {
        let has_room = self.puts.len() < self.stage.concurrency.now() && self.outbox.len() < BODILESS_CHUNKS_MAX;
        tokio::select! {
            biased;
            () = self.stage.stop.aborting() => Event::Abort,
            Some(ended) = self.puts.join_next(), if !self.puts.is_empty() => Event::Ended(ended),
            permit = output.reserve(), if !self.outbox.is_empty() => match permit {
                Ok(permit) => {
                    if let Some(landed) = self.outbox.pop_front() {
                        permit.send(landed);
                    }
                    Event::Delivered(true)
                }
                Err(_) => Event::Delivered(false),
            },
            chunk = input.recv(), if !self.input_ended && has_room => Event::Chunk(chunk),
        }
    }

    fn apply(&mut self, event: Event) {
        let result = match event {
            Event::Chunk(Some(chunk)) => self.begin(chunk),
            Event::Chunk(None) => {
                self.input_ended = true;
                Ok(())
            }
            Event::Ended(Ok(end)) => self.ended(end),
            Event::Ended(Err(error)) if error.is_cancelled() => Ok(()),
            Event::Ended(Err(error)) => Err(CopyError::of_task(Stage::Send, error)),
            // The recorder has failed and said why; what landed stays in doubt here.
            Event::Delivered(false) => {
                self.outbox.clear();
                self.refusing = true;
                Ok(())
            }
            Event::Delivered(true) | Event::Abort => Ok(()),
        };
        if let Err(error) = result {
            self.refusing = true;
            self.stage.failure.fail(error);
        }
    }

    /// Decides what a chunk needs: nothing, a body, or the body of another chunk with its content.
    fn begin(&mut self, chunk: HashedChunk) -> Result<(), CopyError> {
        let content_named = self.stage.upload.capabilities().content_named;
        let content = chunk.content();
        let is_zero = content == ChunkContent::Zero;
        let HashedChunk { place, bytes, digest, md5, unreadable } = chunk;
        let free = if is_zero { ChunkState::Zero } else { ChunkState::Reused };
        let mut sent = Sent { place, content, digest, state: ChunkState::Sent, unreadable };
        if content_named && self.stage.held.contains(&digest) || is_zero && !content_named && !self.stage.resumed {
            sent.state = free;
            self.landed(sent, 0, None);
            return Ok(());
        }
        if content_named && let Some(waiting) = self.waiting.get_mut(&digest) {
            sent.state = free;
            self.doubtful.insert(place.index, (sent.clone(), Doubt::Lasting));
            waiting.push(sent);
            return self.stage.table.with(|table| table.set_unknown(place.index));
        }
        if self.refusing {
            return Ok(());
        }
        self.stage.table.with(|table| table.set_unknown(place.index))?;
        if content_named {
            self.waiting.insert(digest, Vec::new());
        } else if is_zero {
            sent.state = ChunkState::Zero;
        }
        let body = bytes.unwrap_or_else(|| {
            let zeros = if content_named { self.zero_bytes(place.range.length) } else { Bytes::new() };
            zeros.into()
        });
        self.spawn(sent, body, md5);
        Ok(())
    }

    fn zero_bytes(&mut self, length: u64) -> Bytes {
        if (self.zeros.len() as u64) < length {
            // Untouched zero pages: the kernel shares one page for all of them.
            self.zeros = vec![0; length as usize].into();
        }
        self.zeros.slice(..length as usize)
    }

    fn spawn(&mut self, sent: Sent, body: PooledBytes, md5: Option<[u8; 16]>) {
        self.doubtful.insert(sent.place.index, (sent.clone(), Doubt::Lasting));
        let (upload, attempts) = (self.stage.upload.clone(), self.stage.attempts.clone());
        self.puts.spawn(async move {
            let range = sent.place.range;
            let chunk = ChunkBody { range, digest: sent.digest, bytes: body.bytes().clone(), md5 };
            let started = std::time::Instant::now();
            let result = if chunk.bytes.is_empty() {
                attempts.run("clear a part of", 0, || upload.clear(range)).await
            } else {
                let sending = attempts.run("send a chunk to", range.length, || upload.put_chunk(&chunk));
                attempts.metered(range.length, sending).await
            };
            attempts.handle.counters.send_time.add(started.elapsed());
            PutEnd {
                sent,
                body_bytes: chunk.bytes.len() as u64,
                share: body.into_share(),
                result: result.map(|((), tries)| tries),
            }
        });
    }

    fn ended(&mut self, end: PutEnd) -> Result<(), CopyError> {
        let PutEnd { sent, body_bytes, share, result } = end;
        self.stage.concurrency.ended(Ended {
            bytes: body_bytes,
            was_full: self.puts.len() + 1 >= self.stage.concurrency.now(),
            throttled: self.stage.attempts.throttled.load(Ordering::Relaxed),
            at: std::time::Instant::now(),
        });
        self.stage.attempts.handle.counters.set_senders(self.stage.concurrency.now());
        let waiting = self.waiting.remove(&sent.digest).unwrap_or_default();
        match result {
            Ok(tries) => {
                if self.stage.upload.capabilities().content_named {
                    self.stage.held.insert(sent.digest);
                }
                self.landed(sent, tries, share);
                waiting.into_iter().for_each(|sent| self.landed(sent, 0, None));
                Ok(())
            }
            Err(failed) => {
                // A chunk that goes over in several parts may have landed in part.
                let doubt = if self.stage.upload.capabilities().tells_of_chunks { failed.doubt } else { Doubt::Lasting };
                for sent in std::iter::once(sent).chain(waiting) {
                    self.doubt(sent, doubt)?;
                }
                if failed.gave_up_for_stop { Ok(()) } else { Err(failed.error) }
            }
        }
    }

    fn landed(&mut self, sent: Sent, tries: u32, share: Option<Share>) {
        let held = Held { _share: share, _slot: None };
        self.doubtful.remove(&sent.place.index);
        self.outbox.push_back(LandedChunk::now(sent.place, sent.content, sent.state, tries, sent.unreadable, held));
    }

    /// A chunk whose request did not succeed: in doubt, or certainly not there.
    fn doubt(&mut self, sent: Sent, doubt: Doubt) -> Result<(), CopyError> {
        let index = sent.place.index;
        self.doubtful.insert(index, (sent, doubt));
        self.stage.table.with(|table| match doubt {
            Doubt::None => table.clear(index),
            Doubt::UntilAsked | Doubt::Lasting => table.set_unknown(index),
        })
    }

    /// Drops what is under way. Local writes cannot be dropped, so they get a moment to end.
    async fn abort(&mut self, input: &mut mpsc::Receiver<HashedChunk>) {
        self.refusing = true;
        if !self.stage.upload.capabilities().durable_when_acknowledged {
            let end = tokio::time::Instant::now() + ABORT_GRACE;
            while let Ok(Some(ended)) = tokio::time::timeout_at(end, self.puts.join_next()).await {
                self.apply(Event::Ended(ended));
            }
        }
        self.puts.shutdown().await;
        // What was read and not begun may still be held under its content.
        while let Ok(chunk) = input.try_recv() {
            self.apply(Event::Chunk(Some(chunk)));
        }
    }

    /// Asks a store that can list what it holds about chunks in doubt. Where it does not answer they stay unknown.
    async fn resolve_doubts(&mut self) {
        let unfinished = self.stage.stop.is_stopping();
        if !unfinished || self.doubtful.is_empty() || !self.stage.upload.capabilities().tells_of_chunks {
            return;
        }
        let limit = if self.stage.stop.is_aborting() { ABORT_GRACE } else { INQUIRY_TIMEOUT };
        let mut doubtful: Vec<(Sent, Doubt)> = std::mem::take(&mut self.doubtful).into_values().collect();
        doubtful.sort_by_key(|(sent, _)| sent.place.index);
        let chunks: Vec<_> = doubtful.iter().map(|(sent, _)| (sent.digest, sent.place.range)).collect();
        let Ok(Ok(holds)) = timeout(limit, self.ask(&chunks)).await else { return };
        for ((sent, doubt), holding) in doubtful.into_iter().zip(holds) {
            match holding {
                Holding::Held => self.landed(sent, 1, None),
                // A request that was not answered may be carried out even now.
                Holding::Absent if doubt != Doubt::Lasting => {
                    let cleared = self.stage.table.with(|table| table.clear(sent.place.index));
                    self.stage.failure.check(cleared);
                }
                Holding::Absent | Holding::Unknown => {}
            }
        }
    }

    /// What the store holds of these. A store that is busy is asked again: its answer decides what a receipt says.
    async fn ask(&self, chunks: &[(Sha256Digest, ByteRange)]) -> Result<Vec<Holding>, BlobError> {
        loop {
            match self.stage.upload.holds(chunks).await {
                Err(error) if error.is_transient() => tokio::time::sleep(error.retry_after.unwrap_or(INQUIRY_INTERVAL)).await,
                answer => return answer,
            }
        }
    }
}
