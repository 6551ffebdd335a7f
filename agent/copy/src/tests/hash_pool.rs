//! The hash threads: lanes are filled before another thread begins, and all of them see the end.

use std::collections::HashSet;
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, unbounded};
use protocol::digest::Sha256Digest;

use crate::error::CopyError;
use crate::hashing::hash_pool::{HasBody, HashPool};
use crate::hashing::side_by_side::lanes;

/// Two threads, on any machine.
const THREADS: usize = 2;

struct Piece(Vec<u8>);

impl HasBody for Piece {
    fn body(&self) -> Option<&[u8]> {
        Some(&self.0)
    }
}

fn piece(fill: u8) -> Piece {
    Piece(vec![fill; 512])
}

/// A hash_pool whose threads do `done`; the receiver gets which of them have ended, and how.
fn start(
    input: Receiver<Piece>,
    done: impl Fn(Sha256Digest) -> Result<bool, CopyError> + Send + Sync + 'static,
) -> Receiver<Result<(), CopyError>> {
    let hash_pool = Arc::new(HashPool::new(input, never(), false, Arc::default(), None).with_threads(THREADS));
    let done = Arc::new(done);
    let (ended, end) = unbounded();
    for _ in 0..THREADS {
        let (hash_pool, done, ended) = (hash_pool.clone(), done.clone(), ended.clone());
        thread::spawn(move || {
            ended.send(hash_pool.run(|_| Ok(true), |_, digest| digest.map_or(Ok(true), |digest| done(digest))))
        });
    }
    end
}

/// Ends of all threads, none of which may hang.
fn ends(end: &Receiver<Result<(), CopyError>>) -> Vec<Result<(), CopyError>> {
    (0..THREADS).map(|_| end.recv_timeout(Duration::from_secs(60)).expect("a thread hangs")).collect()
}

#[test]
fn chunks_that_come_one_by_one_keep_one_thread_at_work() {
    let (input, received) = unbounded();
    let (report, reports): (Sender<ThreadId>, _) = bounded(0);
    let end = start(received, move |_| Ok(report.send(thread::current().id()).is_ok()));
    let threads: HashSet<ThreadId> = (0..200)
        .map(|number| {
            input.send(piece(number as u8 + 1)).unwrap();
            reports.recv().unwrap()
        })
        .collect();
    assert_eq!(threads.len(), 1);
    drop(input);
    assert!(ends(&end).iter().all(Result::is_ok));
}

#[test]
fn more_chunks_than_one_core_has_lanes_for_call_the_next_thread() {
    let (input, received) = unbounded();
    (0..2 * lanes() + 1).for_each(|number| input.send(piece(number as u8 + 1)).unwrap());
    // No thread gets on until both have hashed something.
    let (first, barrier) = (Mutex::new(HashSet::new()), Barrier::new(THREADS));
    let end = start(received, move |_| {
        let is_first = first.lock().unwrap().insert(thread::current().id());
        if is_first {
            barrier.wait();
        }
        Ok(true)
    });
    drop(input);
    assert!(ends(&end).iter().all(Result::is_ok));
}

#[test]
fn every_digest_is_told_once_and_all_threads_end() {
    let (input, received) = unbounded();
    let (report, reports) = unbounded();
    let end = start(received, move |digest| Ok(report.send(digest).is_ok()));
    (0..=255).for_each(|fill| input.send(piece(fill)).unwrap());
    drop(input);
    assert!(ends(&end).iter().all(Result::is_ok));
    let mut digests: Vec<_> = reports.try_iter().collect();
    let mut expected: Vec<_> = (1..=255).map(|fill| Sha256Digest::of(&[fill; 512])).collect();
    digests.sort();
    expected.sort();
    assert_eq!(digests, expected, "zeros have none");
}

#[test]
fn a_thread_that_fails_is_replaced_and_no_other_waits_for_ever() {
    let (input, received) = unbounded();
    let failed = Mutex::new(false);
    let end = start(received, move |_| match std::mem::replace(&mut *failed.lock().unwrap(), true) {
        false => Err(CopyError::Cancelled),
        true => Ok(true),
    });
    input.send(piece(1)).unwrap();
    let first = end.recv_timeout(Duration::from_secs(60)).expect("a thread hangs");
    assert!(first.is_err());
    // The other is at work in its place.
    (0..20).for_each(|number| input.send(piece(number + 2)).unwrap());
    drop(input);
    assert!(end.recv_timeout(Duration::from_secs(60)).expect("a thread hangs").is_ok());
}
