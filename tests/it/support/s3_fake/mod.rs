//! A fake of S3 that *checks*: SHA-256 of every body, parts of a commit, conditions. It counts what it is sent, and fails when
//! and how a test wants it to. Two uploads of one key live side by side, ETags are no digests, and small parts are refused at
//! the commit alone, as at AWS.
#![allow(dead_code, reason = "the histories use another part of it than the tests")]

mod control;
mod faults;
mod request;
mod stated;
mod store;
mod uploads;
mod xml;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;

pub use faults::Fault;
pub use request::On;

use request::RequestParts;
use store::Store;

/// The store, and where its changes are announced to tests that wait for one.
struct SharedStore {
    store: Mutex<Store>,
    changed: Condvar,
}

impl SharedStore {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }
}

type Shared = Arc<SharedStore>;

/// The running fake; its thread ends with the process.
pub struct S3Fake {
    shared: Shared,
    port: u16,
}

/// The bucket that is there.
pub const BUCKET: &str = "drives";

/// The key that is known.
pub const KEY_ID: &str = "AKIAFAKE";

/// How long a test waits for a request at most.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

impl S3Fake {
    /// Starts it with one empty bucket, `drives`.
    pub fn start() -> Self {
        let shared = Arc::new(SharedStore { store: Mutex::new(Store::new()), changed: Condvar::new() });
        let (sender, receiver) = std::sync::mpsc::channel();
        let state = shared.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap().port()).unwrap();
                let limit = axum::extract::DefaultBodyLimit::disable();
                axum::serve(listener, Router::new().fallback(take).layer(limit).with_state(state)).await.unwrap();
            });
        });
        S3Fake { shared, port: receiver.recv().unwrap() }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.lock()
    }
}

async fn take(State(shared): State<Shared>, request: Request) -> Response {
    let (on, request) = match RequestParts::take(request).await {
        Ok(taken) => taken,
        Err(refusal) => return refusal,
    };
    let (fault, delay) = {
        let mut store = shared.lock();
        let seen = store.seen.entry(on).or_default();
        *seen += 1;
        let number = *seen;
        store.in_flight += 1;
        if on == On::PutPart {
            store.bytes_received += request.body.len() as u64;
        }
        let is_corrupted = store.corrupts_every > 0 && number.is_multiple_of(store.corrupts_every);
        let corruption = match on {
            On::PutPart | On::Put if is_corrupted => Some(Fault::CorruptBody),
            On::Get if is_corrupted && request.header("range").is_some() => Some(Fault::CorruptAnswer),
            _ => None,
        };
        let next = store.faults.get_mut(&on).and_then(VecDeque::pop_front);
        let fault = next.or_else(|| store.always.get(&on).cloned()).or(corruption);
        (fault, if on == On::PutPart { store.put_delay } else { Duration::ZERO })
    };
    shared.changed.notify_all();
    // From here on it is done even if the client goes away, as at a server that has the whole request.
    let work = async move {
        tokio::time::sleep(delay).await;
        let response = faults::meet(shared.clone(), on, request, fault).await;
        shared.lock().in_flight -= 1;
        response
    };
    tokio::spawn(work).await.unwrap()
}

fn perform(shared: &Shared, on: On, request: &RequestParts) -> Response {
    let mut store = shared.lock();
    let is_missing = !matches!(on, On::CreateBucket | On::ListBuckets) && !store.has_bucket(request);
    let response = match on {
        _ if is_missing => xml::refuse(404, "NoSuchBucket"),
        On::CreateUpload => store.create_upload(request),
        On::PutPart => store.put_part(request),
        On::CopyPart => store.copy_part(request),
        On::ListParts => store.list_parts(request),
        On::CompleteUpload => store.complete_upload(request),
        On::AbortUpload => store.abort_upload(request),
        On::Put => store.put(request),
        On::Get => store.get(request, true),
        On::Head => store.get(request, false),
        On::Delete => store.delete(request),
        On::ListObjects => store.list(request),
        On::ListUploads => store.list_uploads(request),
        On::ListBuckets => store.list_buckets(),
        On::CreateBucket => store.create_bucket(request),
    };
    *store.done.entry(on).or_default() += 1;
    shared.changed.notify_all();
    response
}
