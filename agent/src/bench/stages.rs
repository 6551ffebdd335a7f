//! What a stage alone can do, with the whole machine to itself. No transfer is faster than its slowest stage, nor than
//! the processors allow that all stages share.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use blob::contract::ChunkBody;
use blob::{Blob, CommitFacts, RecordedChunks, UploadRequest};
use bytes::Bytes;
use copy::hashing::{LANES, SideBySide};
use drive::{AlignedBuffer, Drive};
use futures::StreamExt;
use protocol::digest::Sha256Digest;
use protocol::manifest::ChunkContent;
use protocol::units::{ByteRange, ChunkIndex};
use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;

use super::error::BenchError;
use super::report::{Measure, Run};

/// The piece that everything is done with: a chunk of the default size.
const PIECE_BYTES: usize = 8 << 20;

/// Pieces that go round: more than a processor's cache holds.
const PIECES: usize = 8;

/// How long a stage in memory is measured each time.
const MEMORY_STAGE_TIME: Duration = Duration::from_millis(250);

/// Names of the stages, as limits say them.
pub(super) mod names {
    pub(crate) const HASH_ALL: &str = "SHA-256, all cores";
    pub(crate) const READ: &str = "drive read";
    pub(crate) const WRITE: &str = "drive write";
    pub(crate) const PUT: &str = "store put";
    pub(crate) const GET: &str = "store get";
    pub(crate) const PROCESSORS: &str = "processors";
}

/// Measures wall and processor time.
struct Stopwatch {
    started: Instant,
    cpu_seconds_before: f64,
}

impl Stopwatch {
    fn start() -> Self {
        Stopwatch { started: Instant::now(), cpu_seconds_before: own_cpu_seconds() }
    }

    fn stop(self) -> Run {
        let cpu_seconds = own_cpu_seconds() - self.cpu_seconds_before;
        Run { seconds: self.started.elapsed().as_secs_f64(), cpu_seconds, ..Run::default() }
    }
}

fn own_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn measure(name: &str, bytes: u64, runs: Vec<Run>) -> Measure {
    Measure { name: name.to_owned(), group: "limits".to_owned(), bytes, runs, case: None, limit: None }
}

/// A run over `bytes` as if it had been over [`PIECE_BYTES`], so that runs of different lengths can be compared.
fn per_piece(run: Run, bytes: u64) -> Run {
    let share = PIECE_BYTES as f64 / bytes.max(1) as f64;
    Run { seconds: run.seconds * share, cpu_seconds: run.cpu_seconds * share, ..run }
}

/// The stages that need neither drive nor store.
pub(super) fn in_memory(repeat: usize) -> Result<Vec<Measure>, BenchError> {
    let pieces = (0..PIECES as u64).map(|seed| random_piece(seed + 1)).collect::<Result<Vec<Bytes>, _>>()?;
    let zeros = Bytes::from(vec![0; PIECE_BYTES]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    type Stage<'stage> = (&'static str, usize, Box<dyn Fn(usize) -> u64 + Sync + 'stage>);
    let piece = |number: usize| &pieces[number % PIECES];
    let copy = |number: usize| {
        thread_local!(static TARGET: std::cell::RefCell<Option<AlignedBuffer>> = std::cell::RefCell::new(AlignedBuffer::new(PIECE_BYTES).ok()));
        // A thread without memory copies nothing.
        let copied = TARGET.with_borrow_mut(|target| target.as_deref_mut().map(|target| target.copy_from_slice(piece(number))));
        if copied.is_some() { PIECE_BYTES as u64 } else { 0 }
    };
    let side_by_side = |number: usize| {
        let mut hash = SideBySide::default();
        (0..LANES).for_each(|lane| hash.add(piece(number * LANES + lane).clone()));
        while !hash.is_empty() {
            hash.step(|_, digest| {
                std::hint::black_box(digest);
            });
        }
        (LANES * PIECE_BYTES) as u64
    };
    let plain = |number: usize| {
        std::hint::black_box(Sha256Digest::of(piece(number)));
        PIECE_BYTES as u64
    };
    let crc = |number: usize| {
        std::hint::black_box(blob::checksum::crc64(piece(number)));
        PIECE_BYTES as u64
    };
    let zero = |_| {
        std::hint::black_box(drive::zero::is_zero(&zeros));
        PIECE_BYTES as u64
    };
    let stages: Vec<Stage<'_>> = vec![
        ("memory copy, one core", 1, Box::new(copy)),
        ("memory copy, all cores", cores, Box::new(copy)),
        ("SHA-256, one chunk, one core", 1, Box::new(plain)),
        ("SHA-256, four chunks side by side, one core", 1, Box::new(side_by_side)),
        (names::HASH_ALL, cores, Box::new(side_by_side)),
        ("CRC-64, one core", 1, Box::new(crc)),
        ("zero test, one core", 1, Box::new(zero)),
    ];
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); stages.len()];
    for _ in 0..repeat {
        for ((_, threads, work), runs) in stages.iter().zip(&mut runs) {
            runs.push(in_threads(*threads, &**work));
        }
    }
    Ok(stages.iter().zip(runs).map(|((name, ..), runs)| measure(name, PIECE_BYTES as u64, runs)).collect())
}

/// Repeats work on some threads for a while.
fn in_threads(threads: usize, work: &(dyn Fn(usize) -> u64 + Sync)) -> Run {
    let bytes = AtomicU64::new(0);
    let stopwatch = Stopwatch::start();
    let end = Instant::now() + MEMORY_STAGE_TIME;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let bytes = &bytes;
            scope.spawn(move || {
                let mut number = thread;
                while Instant::now() < end {
                    bytes.fetch_add(work(number), Ordering::Relaxed);
                    number += threads;
                }
            });
        }
    });
    per_piece(stopwatch.stop(), bytes.into_inner())
}

fn random_piece(seed: u64) -> Result<Bytes, BenchError> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut buffer = AlignedBuffer::new(PIECE_BYTES)?;
    for word in buffer.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    Ok(Bytes::from_owner(buffer))
}

/// Reads a whole drive once, as the engine does.
pub(super) fn drive_read(drive: &Arc<dyn Drive>) -> Result<Run, BenchError> {
    let piece_bytes = drive.preferred_read_bytes();
    let stopwatch = Stopwatch::start();
    for_each_piece(drive.preferred_readers(), drive.size_bytes(), |buffer, offset| {
        let mut pieces = buffer.chunks_mut(piece_bytes).zip((offset..).step_by(piece_bytes));
        pieces.try_for_each(|(piece, offset)| drive.read_at(piece, offset))
    })?;
    Ok(stopwatch.stop())
}

/// Writes the first `size_bytes` of a drive once, and makes them durable.
pub(super) fn drive_write(drive: &Arc<dyn Drive>, size_bytes: u64) -> Result<Run, BenchError> {
    let piece = random_piece(77)?;
    let stopwatch = Stopwatch::start();
    for_each_piece(drive.preferred_readers(), size_bytes, |buffer, offset| drive.write_at(&piece[..buffer.len()], offset))?;
    drive.finish()?;
    Ok(stopwatch.stop())
}

/// Does something with every piece of `size_bytes`, on some threads that have a buffer each.
fn for_each_piece<E: Into<BenchError>>(
    threads: usize,
    size_bytes: u64,
    work: impl Fn(&mut [u8], u64) -> Result<(), E> + Sync,
) -> Result<(), BenchError> {
    let next = AtomicU64::new(0);
    on_threads(threads, || {
        let mut buffer = AlignedBuffer::new(PIECE_BYTES)?;
        loop {
            let offset = next.fetch_add(PIECE_BYTES as u64, Ordering::Relaxed);
            if offset >= size_bytes {
                return Ok(());
            }
            let length = (PIECE_BYTES as u64).min(size_bytes - offset) as usize;
            work(&mut buffer[..length], offset).map_err(Into::into)?;
        }
    })
}

fn on_threads<E: Send>(threads: usize, work: impl Fn() -> Result<(), E> + Sync) -> Result<(), E> {
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                if let Err(error) = work() {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            });
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Chunks of data, and no zeros.
struct Listed<'list>(&'list [(Sha256Digest, ByteRange)]);

impl RecordedChunks for Listed<'_> {
    fn content(&self, index: ChunkIndex) -> io::Result<Option<ChunkContent>> {
        Ok(self.0.get(index.0 as usize).map(|(digest, _)| ChunkContent::Data(*digest)))
    }
}

/// Puts `size_bytes` of data into a blob, and commits it.
pub(super) async fn store_put(blob: &Arc<dyn Blob>, size_bytes: u64) -> Result<Run, BenchError> {
    let request = UploadRequest {
        // No two of one time: an unfinished file is named after it.
        transfer_id: format!("{:032x}", OffsetDateTime::now_utc().unix_timestamp_nanos()),
        total_bytes: size_bytes,
        chunk_bytes: PIECE_BYTES as u64,
        overwrite: true,
        resume: false,
        replaces: None,
    };
    let pieces = (0..PIECES as u64).map(|seed| random_piece(seed + 100)).collect::<Result<Vec<Bytes>, _>>()?;
    let digests: Vec<Sha256Digest> = pieces.iter().map(|piece| Sha256Digest::of(piece)).collect();
    let is_named = blob.chunk_scheme().is_some();
    let chunk = |index: u64| {
        let offset = index * PIECE_BYTES as u64;
        let range = ByteRange::new(offset, (PIECE_BYTES as u64).min(size_bytes - offset));
        let digest = match is_named {
            // Another content each, without hashing: the store does not look.
            true => {
                let mut digest = [0; 32];
                digest[..8].copy_from_slice(&(index + 1).to_le_bytes());
                Sha256Digest(digest)
            }
            false if range.length == PIECE_BYTES as u64 => digests[index as usize % PIECES],
            false => Sha256Digest::of(&pieces[index as usize % PIECES][..range.length as usize]),
        };
        (digest, range)
    };
    let list: Vec<_> = (0..size_bytes.div_ceil(PIECE_BYTES as u64)).map(chunk).collect();
    let stopwatch = Stopwatch::start();
    let (upload, _) = blob.begin_upload(&request).await?;
    let puts = futures::stream::iter(list.iter().enumerate().map(|(index, (digest, range))| {
        let bytes = pieces[index % PIECES].slice(..range.length as usize);
        let md5 = upload.wants_md5().then(|| blob::checksum::md5(&bytes));
        let body = ChunkBody { range: *range, digest: *digest, bytes, md5 };
        let upload = upload.clone();
        async move { upload.put_chunk(&body).await }
    }));
    let mut puts = puts.buffer_unordered(upload.capabilities().preferred_concurrency);
    while let Some(put) = puts.next().await {
        put?;
    }
    upload.sync().await?;
    let root = Sha256Digest([0; 32]);
    upload.commit(&list, &CommitFacts { records: &Listed(&list), root: &root, unreadable: &[] }).await?;
    Ok(stopwatch.stop())
}

/// Gets a whole blob, as the engine does: one that lies on this machine is read into place.
pub(super) async fn store_get(blob: &Arc<dyn Blob>, concurrency: usize) -> Result<Run, BenchError> {
    let stopwatch = Stopwatch::start();
    let facts = blob.head().await?.ok_or_else(|| BenchError::Failed(format!("there is no blob `{}`", blob.address())))?;
    if let Some(local) = blob.local() {
        let get = |buffer: &mut [u8], offset| local.read_at(buffer, offset, &facts.version);
        tokio::task::block_in_place(|| for_each_piece(concurrency, facts.size_bytes, get))?;
        return Ok(stopwatch.stop());
    }
    let offsets = (0..facts.size_bytes).step_by(PIECE_BYTES);
    let gets = futures::stream::iter(offsets.map(|offset| {
        let range = ByteRange::new(offset, (PIECE_BYTES as u64).min(facts.size_bytes - offset));
        let (blob, version) = (blob.clone(), facts.version.clone());
        async move {
            let mut pieces = blob.read(range, &version, false).await?.pieces;
            while let Some(piece) = pieces.next().await {
                std::hint::black_box(piece?);
            }
            Ok::<(), blob::BlobError>(())
        }
    }));
    let mut gets = gets.buffer_unordered(concurrency);
    while let Some(got) = gets.next().await {
        got?;
    }
    Ok(stopwatch.stop())
}

/// A limit that was measured over `bytes`.
pub(super) fn limit(name: &str, of: &str, bytes: u64, runs: Vec<Run>) -> Measure {
    measure(&format!("{name}: {of}"), bytes, runs)
}
