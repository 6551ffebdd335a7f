//! The sending stage: drains after a stop, sends a content once, and is never better than the truth.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use blob::memory::MemoryBlob;
use blob::retry::RetryPolicy;
use blob::{Blob, UploadRequest};
use bytes::Bytes;
use protocol::digest::Sha256Digest;
use protocol::manifest::ChunkState;
use protocol::receipt::ByteClass;
use protocol::stop::StopReason;
use protocol::units::{ChunkGeometry, ChunkIndex};
use tokio::sync::mpsc;

use crate::call::handle::TransferHandle;
use crate::call::stop::Stop;
use crate::chunk::{HashedChunk, LandedChunk, Place};
use crate::flow::attempts::Attempts;
use crate::flow::concurrency::Concurrency;
use crate::flow::failure::Failure;
use crate::flow::pool::BufferPool;
use crate::record::table::{ChunkTable, SharedTable};
use crate::stage::send::SendStage;

const CHUNKS: u64 = 6;

struct Scene {
    blob: MemoryBlob,
    stop: Stop,
    failure: Failure,
    table: SharedTable,
    input: mpsc::Sender<HashedChunk>,
    landed: mpsc::Receiver<LandedChunk>,
    stage: tokio::task::JoinHandle<()>,
}

async fn scene() -> Scene {
    let blob = MemoryBlob::new("b");
    let request = UploadRequest {
        transfer_id: "t".into(),
        total_bytes: 512 * CHUNKS,
        chunk_bytes: 512,
        overwrite: false,
        resume: false,
        replaces: None,
    };
    let (upload, _) = blob.begin_upload(&request).await.unwrap();
    let geometry = ChunkGeometry::new(512 * CHUNKS, 512).unwrap();
    let table = SharedTable::new(ChunkTable::new(&std::env::temp_dir(), geometry).unwrap());
    let stop = Stop::new();
    let failure = Failure::new(stop.clone());
    let attempts = Attempts {
        address: "b".into(),
        policy: RetryPolicy { first_delay: Duration::from_millis(1), ..RetryPolicy::default() },
        notices_silence: false,
        request_timeout: Duration::from_secs(5),
        first_contact_budget: Duration::ZERO,
        is_first_contact: false,
        handle: TransferHandle::new(stop.clone(), |_| ()),
        throttled: Arc::default(),
        told_at: Arc::default(),
    };
    let (input, received) = mpsc::channel(16);
    let (output, landed) = mpsc::channel(16);
    let stage = SendStage {
        upload,
        attempts,
        stop: stop.clone(),
        failure: failure.clone(),
        table: table.clone(),
        held: HashSet::new(),
        resumed: false,
        concurrency: Concurrency::new(Some(2), 2, 2),
    };
    let stage = tokio::spawn(stage.run(received, output));
    Scene { blob, stop, failure, table, input, landed, stage }
}

fn hashed(index: u64, fill: u8) -> HashedChunk {
    let range = ChunkGeometry::new(512 * CHUNKS, 512).unwrap().range(ChunkIndex(index)).unwrap();
    let place = Place { index: ChunkIndex(index), range };
    let bytes = (fill != 0).then(|| Bytes::from(vec![fill; 512]).into());
    HashedChunk { place, bytes, digest: Sha256Digest::of(&[fill; 512]), md5: None, unreadable: Vec::new() }
}

impl Scene {
    async fn finish(mut self) -> (Vec<LandedChunk>, MemoryBlob, SharedTable, Failure) {
        drop(self.input);
        let mut all = Vec::new();
        while let Some(landed) = self.landed.recv().await {
            all.push(landed);
        }
        self.stage.await.unwrap();
        (all, self.blob, self.table, self.failure)
    }
}

#[tokio::test]
async fn after_a_stop_what_was_read_is_still_sent() {
    let scene = scene().await;
    scene.blob.behaviour.put_milliseconds.store(20, Ordering::SeqCst);
    scene.stop.request_stop(StopReason::Interrupted);
    for index in 0..CHUNKS {
        scene.input.send(hashed(index, index as u8 + 1)).await.unwrap();
    }
    let (landed, blob, ..) = scene.finish().await;
    assert_eq!((landed.len(), blob.blocks().len()), (CHUNKS as usize, CHUNKS as usize));
}

#[tokio::test]
async fn each_content_is_sent_once() {
    let scene = scene().await;
    scene.blob.behaviour.put_milliseconds.store(20, Ordering::SeqCst);
    for (index, fill) in [5, 0, 5, 0, 5, 7].into_iter().enumerate() {
        scene.input.send(hashed(index as u64, fill)).await.unwrap();
    }
    let (mut landed, blob, ..) = scene.finish().await;
    landed.sort_by_key(|landed| landed.index);
    let states: Vec<_> = landed.iter().map(|landed| landed.record.state).collect();
    assert_eq!(blob.behaviour.puts_landed.load(Ordering::SeqCst), 3);
    use ChunkState::{Reused, Sent, Zero};
    assert_eq!(states, [Sent, Sent, Reused, Zero, Reused, Sent]);
}

#[tokio::test]
async fn after_a_final_refusal_nothing_new_is_sent_and_nothing_is_said_to_have_landed() {
    let scene = scene().await;
    scene.blob.behaviour.failures_are_final.store(true, Ordering::SeqCst);
    scene.blob.behaviour.failures_left.store(100, Ordering::SeqCst);
    for index in 0..CHUNKS {
        scene.input.send(hashed(index, index as u8 + 1)).await.unwrap();
    }
    let (landed, blob, table, failure) = scene.finish().await;
    assert!(landed.is_empty() && failure.has_failed() && blob.blocks().is_empty());
    assert!(blob.behaviour.puts_begun.load(Ordering::SeqCst) < CHUNKS);
    for index in 0..CHUNKS {
        assert_eq!(table.get(ChunkIndex(index)).unwrap().class, ByteClass::NeverSent);
    }
}

#[tokio::test]
async fn a_chunk_under_way_is_unknown_until_it_landed() {
    let scene = scene().await;
    scene.blob.behaviour.put_milliseconds.store(60_000, Ordering::SeqCst);
    scene.input.send(hashed(0, 1)).await.unwrap();
    while scene.blob.behaviour.puts_begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(scene.table.get(ChunkIndex(0)).unwrap().class, ByteClass::OutcomeUnknown);
    scene.stop.request_stop(StopReason::SecondSignal);
    let (landed, _, table, _) = scene.finish().await;
    assert!(landed.is_empty());
    assert_eq!(table.get(ChunkIndex(0)).unwrap().class, ByteClass::OutcomeUnknown);
}

#[tokio::test]
async fn what_landed_takes_of_the_budget_and_not_of_the_memory() {
    let scene = scene().await;
    let pool = BufferPool::new(2, 512);
    let mut buffer = pool.take().await.unwrap();
    buffer[..512].fill(1);
    let address = buffer.as_ptr().addr();
    scene.input.send(HashedChunk { bytes: Some(buffer.freeze(512)), ..hashed(0, 1) }).await.unwrap();
    let (landed, blob, ..) = scene.finish().await;
    // This store keeps the bytes themselves.
    drop(blob);
    assert_eq!((landed.len(), pool.watch().bytes_taken()), (1, 512));
    assert_eq!(pool.take().await.unwrap().as_ptr().addr(), address);
    drop(landed);
    assert_eq!(pool.watch().bytes_taken(), 0);
}
