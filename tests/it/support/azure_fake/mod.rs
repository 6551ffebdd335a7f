//! A fake of Azure's block and page blobs that *checks*: CRC-64 and MD5 of every body, block lists, pages, conditions,
//! sequence numbers. It counts what it is sent, and fails when and how a test wants it to.

mod block;
mod control;
mod edits;
mod faults;
mod page;
mod request;
mod store;
mod xml;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::Response;

pub use faults::Fault;
pub use request::On;
pub use xml::REQUEST_ID;

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
pub struct AzureFake {
    shared: Shared,
    port: u16,
}

const CONTAINER: &str = "drives";

/// How long a test waits for a request at most.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

impl AzureFake {
    /// Starts it with one empty container, `drives`.
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
                axum::serve(listener, Router::new().fallback(answer).layer(limit).with_state(state)).await.unwrap();
            });
        });
        AzureFake { shared, port: receiver.recv().unwrap() }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.lock()
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a blob with a signature that it takes.
    pub fn blob(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/account/{CONTAINER}/{name}?sv=2022&sig=good", self.port)
    }

    /// The address of the account, with the same signature.
    pub fn account(&self) -> String {
        format!("http://127.0.0.1:{}/account?sv=2022&sig=good", self.port)
    }

    /// The next requests of this kind meet these faults, one each.
    pub fn fail(&self, on: On, faults: impl IntoIterator<Item = Fault>) {
        self.store().faults.entry(on).or_default().extend(faults);
    }

    /// Every request of this kind meets this fault.
    pub fn always_fail(&self, on: On, fault: Option<Fault>) {
        let mut store = self.store();
        match fault {
            Some(fault) => store.always.insert(on, fault),
            None => store.always.remove(&on),
        };
    }

    /// Lets every request go on that [`Fault::Hold`] holds now, and does once more what [`Fault::DoneAgainLater`] kept.
    pub fn release(&self) {
        self.store().releases.send_replace(());
    }

    /// Returns when so many requests of this kind have come in whole.
    #[track_caller]
    pub fn wait_seen(&self, on: On, count: u64) {
        self.wait_until(|store| store.seen.get(&on).copied().unwrap_or(0) >= count);
    }

    /// Requests of this kind that were carried out or refused by the store itself, those without a waiting client too.
    pub fn done(&self, on: On) -> u64 {
        self.store().done.get(&on).copied().unwrap_or(0)
    }

    /// Returns when so many requests of this kind were carried out or refused.
    #[track_caller]
    pub fn wait_done(&self, on: On, count: u64) {
        self.wait_until(|store| store.done.get(&on).copied().unwrap_or(0) >= count);
    }

    /// Returns when so many requests wait for a release.
    #[track_caller]
    pub fn wait_held(&self, count: u64) {
        self.wait_until(|store| store.held_now >= count);
    }

    /// Returns when a blob has another version than this one.
    #[track_caller]
    pub fn wait_until_changed(&self, name: &str, etag: &Option<String>) {
        self.wait_until(|store| store.etag(name) != *etag);
    }

    #[track_caller]
    fn wait_until(&self, is_so: impl Fn(&Store) -> bool) {
        let changed = &self.shared.changed;
        let (store, timeout) = changed.wait_timeout_while(self.store(), WAIT_TIMEOUT, |store| !is_so(store)).unwrap();
        drop(store);
        assert!(!timeout.timed_out(), "the requests that were waited for did not come");
    }

    /// Each block and each run of pages takes this long.
    pub fn set_put_delay(&self, delay: Duration) {
        self.store().put_delay = delay;
    }

    /// Whether it knows CRC-64, or refuses it as emulators do.
    pub fn set_knows_crc64(&self, knows: bool) {
        self.store().knows_crc64 = knows;
    }

    /// How many blobs, or ranges of a page blob, a page of a list has at most.
    pub fn set_list_page(&self, blobs: usize) {
        self.store().list_page_blobs = blobs;
    }

    /// Requests of this kind that came whole.
    pub fn seen(&self, on: On) -> u64 {
        self.store().seen.get(&on).copied().unwrap_or(0)
    }

    /// Block requests that came, and that were stored.
    pub fn puts(&self) -> (u64, u64) {
        (self.seen(On::PutBlock), self.store().puts_landed)
    }

    /// Bytes of block and page bodies that came whole.
    pub fn bytes_received(&self) -> u64 {
        self.store().bytes_received
    }

    /// How many bodies came with this kind of checksum: `crc64` or `md5`.
    pub fn bodies_with(&self, kind: &'static str) -> u64 {
        self.store().checksums.get(kind).copied().unwrap_or(0)
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (on, request) = match RequestParts::take(request).await {
        Ok(taken) => taken,
        Err(refusal) => return refusal,
    };
    let (fault, delay) = {
        let mut store = shared.lock();
        *store.seen.entry(on).or_default() += 1;
        store.in_flight += 1;
        let is_put = matches!(on, On::PutBlock | On::PutPage);
        if is_put {
            store.bytes_received += request.body.len() as u64;
        }
        let next = store.faults.get_mut(&on).and_then(VecDeque::pop_front);
        (next.or_else(|| store.always.get(&on).cloned()), if is_put { store.put_delay } else { Duration::ZERO })
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
    let answer = match on {
        On::PutBlock => block::put_block(&mut store, request),
        On::PutBlockList => block::put_block_list(&mut store, request),
        On::GetBlockList => xml::get_block_list(&store, &request.name),
        On::PutBlob => page::put_blob(&mut store, request),
        On::PutPage => page::put_page(&mut store, request),
        On::GetPageRanges => xml::get_page_ranges(&store, request),
        On::SetMetadata => page::set_metadata(&mut store, request),
        On::SetProperties => page::set_properties(&mut store, request),
        On::Head => store::describe(&store, request, false),
        On::Get => store::describe(&store, request, true),
        On::Delete => store::delete(&mut store, request),
        On::ListBlobs => xml::list_blobs(&store, request),
        On::ListContainers => xml::list_containers(request),
    };
    *store.done.entry(on).or_default() += 1;
    shared.changed.notify_all();
    of_store(answer)
}

/// An answer with what every one of the store has.
fn of_store(mut answer: Response) -> Response {
    answer.headers_mut().insert("x-ms-request-id", HeaderValue::from_static(REQUEST_ID));
    answer
}
