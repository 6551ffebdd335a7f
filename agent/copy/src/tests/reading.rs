//! The contract of cancel, at the stage that keeps it: the token is looked at between chunks, never
//! inside one, and no new chunk is read after it fell.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crossbeam_channel::unbounded;
use drive::{Drive, DriveError};
use protocol::identity::{DriveIdentity, DriveKind};
use protocol::stop::StopReason;
use protocol::units::{ByteRange, ByteRate, ChunkGeometry};
use tokio::runtime::Runtime;

use crate::call::live_rate::LiveRate;
use crate::call::stop::Stop;
use crate::chunk::{Body, ReadChunk};
use crate::flow::pool::BufferPool;
use crate::flow::rate::RateLimit;
use crate::flow::readers::Readers;
use crate::flow::watchdog::{self, CallWatch};
use crate::plan::ReadPlan;
use crate::record::table::{ChunkTable, SharedTable};
use crate::stage::read::ReadStage;

const CHUNK_BYTES: u64 = 4096;
const PIECE_BYTES: usize = 512;

/// A drive that asks for a stop in the middle of its `stop_at`-th read, counted from one.
struct StoppingDrive {
    identity: DriveIdentity,
    stop: Stop,
    stop_at: usize,
    reads: AtomicUsize,
}

impl Drive for StoppingDrive {
    fn identity(&self) -> &DriveIdentity {
        &self.identity
    }

    fn preferred_read_bytes(&self) -> usize {
        PIECE_BYTES
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DriveError> {
        buffer.fill((offset / CHUNK_BYTES) as u8 + 1);
        if self.reads.fetch_add(1, Ordering::SeqCst) + 1 == self.stop_at {
            self.stop.request_stop(StopReason::Interrupted);
        }
        Ok(())
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> Result<(), DriveError> {
        panic!("a source is never written")
    }

    fn zero_range(&self, _range: ByteRange) -> Result<(), DriveError> {
        panic!("a source is never written")
    }

    fn sync(&self) -> Result<(), DriveError> {
        panic!("a source is never synced")
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

/// A stage that reads from such a drive, with so many buffers.
fn stage(stop_at: usize, chunks: u64, buffers: usize, runtime: &Runtime) -> (ReadStage, Arc<StoppingDrive>) {
    let stop = Stop::new();
    let size = CHUNK_BYTES * chunks;
    let identity = DriveIdentity {
        path: "test".into(),
        kind: DriveKind::Simulated,
        serial: None,
        model: None,
        size,
        sector_size: 512,
        partition_table_id: None,
        content_sample: None,
        modified_unix_nanoseconds: None,
    };
    if stop_at == 0 {
        stop.request_stop(StopReason::Terminated);
    }
    let drive = Arc::new(StoppingDrive { identity, stop: stop.clone(), stop_at, reads: AtomicUsize::new(0) });
    let geometry = ChunkGeometry::new(size, CHUNK_BYTES).unwrap();
    let table = SharedTable::new(ChunkTable::new(&std::env::temp_dir(), geometry).unwrap());
    let stage = ReadStage {
        drive: drive.clone(),
        plan: Mutex::new(ReadPlan::new(geometry, table.clone(), false)),
        pool: BufferPool::new(buffers, CHUNK_BYTES as usize),
        rate: RateLimit::new(LiveRate::new(Some(ByteRate { bytes_per_second: 1 << 40 })), None),
        geometry,
        table,
        rescue: None,
        rescue_watch: Arc::default(),
        read_timeout: std::time::Duration::from_secs(60),
        readers: Readers::new(watchdog::watches(1), Arc::default()),
        readers_left: AtomicUsize::new(1),
        stop,
        counters: Arc::default(),
        runtime: runtime.handle().clone(),
    };
    (stage, drive)
}

fn read_with_stop_at(stop_at: usize, chunks: u64) -> (Vec<ReadChunk>, usize) {
    let runtime = runtime();
    let (stage, drive) = stage(stop_at, chunks, chunks as usize + 1, &runtime);
    let (output, input) = unbounded();
    stage.run(&CallWatch::default(), &output).unwrap();
    drop(output);
    (input.iter().collect(), drive.reads.load(Ordering::SeqCst))
}

#[test]
fn the_token_is_never_looked_at_inside_a_chunk() {
    let pieces = CHUNK_BYTES as usize / PIECE_BYTES;
    for stop_at in 1..=3 * pieces {
        let (chunks, reads) = read_with_stop_at(stop_at, 10);
        // The chunk in which the stop came was read to its end, and handed on whole.
        assert_eq!(chunks.len(), stop_at.div_ceil(pieces), "stopped at read {stop_at}");
        assert_eq!(reads, chunks.len() * pieces, "stopped at read {stop_at}");
        for (index, chunk) in chunks.iter().enumerate() {
            let Body::Bytes(bytes) = &chunk.body else { panic!("{chunk:?}") };
            assert!(bytes.len() as u64 == CHUNK_BYTES && bytes.iter().all(|byte| *byte == index as u8 + 1));
        }
    }
}

#[test]
fn no_chunk_is_read_when_the_stop_came_first() {
    let (chunks, reads) = read_with_stop_at(usize::MAX, 3);
    assert_eq!((chunks.len(), reads), (3, 24));
    let (chunks, reads) = read_with_stop_at(0, 3);
    assert_eq!((chunks.len(), reads), (0, 0));
}

#[test]
fn waits_give_up_at_a_stop() {
    let runtime = runtime();
    let (stage, _) = stage(usize::MAX, 1, 1, &runtime);
    let held = stage.take_buffer();
    assert!(stage.wait_for_rate(1 << 60), "the first bytes go at once");
    std::thread::scope(|scope| {
        let (buffer, rate) = (scope.spawn(|| stage.take_buffer().unwrap().is_none()), scope.spawn(|| stage.wait_for_rate(1)));
        stage.stop.request_stop(StopReason::Interrupted);
        assert_eq!((buffer.join().unwrap(), rate.join().unwrap()), (true, false));
    });
    drop(held);
    assert!(stage.take_buffer().unwrap().is_none(), "after a stop nothing is given out any more");
}

#[test]
fn a_waiting_thread_gets_the_buffer_that_comes_back() {
    let runtime = runtime();
    let (stage, _) = stage(usize::MAX, 1, 1, &runtime);
    let held = stage.take_buffer();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| stage.take_buffer().unwrap().is_some());
        drop(held);
        assert!(waiting.join().unwrap());
    });
}
