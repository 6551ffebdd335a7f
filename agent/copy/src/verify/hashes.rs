//! The hashing of a comparison, several chunks side by side.

use std::sync::Arc;

use crossbeam_channel::{Sender, never, unbounded};
use protocol::manifest::ChunkContent;
use tokio::sync::oneshot;

use crate::call::counters::Counters;
use crate::call::shared_budget::SharedBudget;
use crate::error::{CopyError, Stage};
use crate::flow::pool::FilledBuffer;
use crate::flow::threads;
use crate::hashing::hash_pool::{HasBody, HashPool};

/// Hash threads, until this is dropped.
pub(super) struct Hashes {
    /// Bounded by the buffers that there are.
    output: Sender<ToHash>,
}

struct ToHash {
    filled: FilledBuffer,
    hashed: oneshot::Sender<(FilledBuffer, ChunkContent)>,
}

impl HasBody for ToHash {
    fn body(&self) -> Option<&[u8]> {
        Some(&self.filled)
    }
}

impl Hashes {
    /// Starts the threads.
    pub(super) fn start(counters: Arc<Counters>, shared_budget: Option<Arc<SharedBudget>>) -> Result<Self, CopyError> {
        let (output, input) = unbounded();
        let hash_pool = Arc::new(HashPool::new(input, never(), false, counters, shared_budget));
        for _ in 0..threads::hash_threads() {
            let hash_pool = hash_pool.clone();
            threads::spawn_once(Stage::Hash, move || {
                let done = |ToHash { filled, hashed }, digest: Option<_>| {
                    // The comparison may have ended meanwhile.
                    let _ = hashed.send((filled, digest.map_or(ChunkContent::Zero, ChunkContent::Data)));
                    Ok(true)
                };
                // Nothing in it can fail.
                let _ = hash_pool.run(|_| Ok(true), done);
            })?;
        }
        Ok(Hashes { output })
    }

    /// What the bytes are; they come back with the answer.
    pub(super) async fn content(&self, filled: FilledBuffer) -> Result<(FilledBuffer, ChunkContent), CopyError> {
        let lost = || CopyError::StageEnded { stage: Stage::Hash, panic: None };
        let (hashed, answer) = oneshot::channel();
        self.output.send(ToHash { filled, hashed }).map_err(|_| lost())?;
        answer.await.map_err(|_| lost())
    }
}
