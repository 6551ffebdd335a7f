//! The hot pieces, each alone on one core: `cargo bench -p tests --bench pieces`.
#![allow(missing_docs)]

use std::hint::black_box;

use copy::hashing::{LANES, SideBySide};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use drive::zero::is_zero;
use protocol::digest::Sha256Digest;

/// A chunk that the caches do not hold twice.
const CHUNK_BYTES: usize = 8 << 20;

fn bytes() -> Vec<u8> {
    (0..CHUNK_BYTES as u64).map(|index| (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn digests(criterion: &mut Criterion) {
    let bytes = bytes();
    let mut group = criterion.benchmark_group("SHA-256");
    group.throughput(Throughput::Bytes(CHUNK_BYTES as u64));
    group.bench_function("one chunk", |bench| bench.iter(|| Sha256Digest::of(black_box(&bytes))));
    group.throughput(Throughput::Bytes((LANES * CHUNK_BYTES) as u64));
    group.bench_function("chunks side by side", |bench| {
        bench.iter(|| {
            let mut hash = SideBySide::default();
            (0..LANES).for_each(|_| hash.add(black_box(&bytes)));
            while !hash.is_empty() {
                hash.step(|_, digest| {
                    black_box(digest);
                });
            }
        });
    });
    group.finish();
}

fn checks(criterion: &mut Criterion) {
    let (bytes, zeros) = (bytes(), vec![0; CHUNK_BYTES]);
    let mut group = criterion.benchmark_group("checks");
    group.throughput(Throughput::Bytes(CHUNK_BYTES as u64));
    group.bench_function("CRC-64", |bench| bench.iter(|| blob::checksum::crc64(black_box(&bytes))));
    group.bench_function("MD5", |bench| bench.iter(|| blob::checksum::md5(black_box(&bytes))));
    group.bench_function("zeros are found", |bench| bench.iter(|| is_zero(black_box(&zeros))));
    group.finish();
}

criterion_group!(pieces, digests, checks);
criterion_main!(pieces);
