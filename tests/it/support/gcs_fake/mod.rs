//! A fake of Google Cloud Storage's XML API that *checks*: CRC32C of every body, generations, who asks. It composes at most 32
//! objects, gives checksums in lines of their own and no MD5 of what was composed, counts what it is sent, and fails when and
//! how a test wants it to.
#![allow(dead_code, reason = "the histories use another part of it than the tests")]

mod answers;
mod control;
mod faults;
mod identity;
mod request;
mod store;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;

pub use faults::Fault;
pub use request::On;

use identity::Identity;
use request::RequestParts;
use store::Store;

/// The store, and where its changes are announced to tests that wait for one.
struct SharedStore {
    store: Mutex<Store>,
    identity: &'static Identity,
    changed: Condvar,
}

impl SharedStore {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }
}

type Shared = Arc<SharedStore>;

/// The running fake; its thread ends with the process.
pub struct GcsFake {
    shared: Shared,
    port: u16,
    /// Where the key of its service account is.
    folder: tempfile::TempDir,
}

/// The bucket that is there.
pub const BUCKET: &str = "drives";

/// How long a test waits for a request at most.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

impl GcsFake {
    /// Starts it with one empty bucket, `drives`, and a service account that may do everything.
    pub fn start() -> Self {
        let identity = Identity::shared();
        let shared = Arc::new(SharedStore { store: Mutex::new(Store::new()), identity, changed: Condvar::new() });
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
        let folder = tempfile::Builder::new().prefix("drive-agent-gcs").tempdir().unwrap();
        std::fs::write(folder.path().join("key.json"), identity.key_file()).unwrap();
        GcsFake { shared, port: receiver.recv().unwrap(), folder }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.lock()
    }
}

async fn take(State(shared): State<Shared>, request: Request) -> Response {
    let wants_token = shared.lock().wants_token;
    let (on, request) = match RequestParts::take(request, shared.identity, wants_token).await {
        Ok(taken) => taken,
        Err(refusal) => return refusal,
    };
    let (fault, delay) = {
        let mut store = shared.lock();
        let seen = store.seen.entry(on).or_default();
        *seen += 1;
        let number = *seen;
        store.in_flight += 1;
        if on == On::PutChunk {
            store.bytes_received += request.body.len() as u64;
        }
        let is_corrupted = store.corrupts_every > 0 && number.is_multiple_of(store.corrupts_every);
        let corruption = match on {
            On::PutChunk | On::Put if is_corrupted => Some(Fault::CorruptBody),
            On::Get if is_corrupted && request.header("range").is_some() => Some(Fault::CorruptAnswer),
            _ => None,
        };
        let next = store.faults.get_mut(&on).and_then(VecDeque::pop_front);
        let fault = next.or_else(|| store.always.get(&on).cloned()).or(corruption);
        (fault, if on == On::PutChunk { store.put_delay } else { Duration::ZERO })
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
        _ if store.requester_pays && request.header("x-goog-user-project").is_none() => {
            answers::refuse(400, "UserProjectMissing")
        }
        _ if is_missing => answers::refuse(404, "NoSuchBucket"),
        On::PutChunk | On::Put | On::Probe => store.put(request),
        On::ComposePiece | On::Compose => store.compose(request),
        On::Get => store.get(request, true),
        On::Head => store.get(request, false),
        On::Delete => store.delete(request),
        On::List => store.list(request),
        On::ListBuckets => store.list_buckets(request),
        On::CreateBucket => store.create_bucket(request),
    };
    *store.done.entry(on).or_default() += 1;
    shared.changed.notify_all();
    response
}
