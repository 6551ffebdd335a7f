//! A fake of Azure's block blobs that *checks*: CRC-64 and MD5 of every body, block lists, conditions.
//! It counts what it is sent, and fails when and how a test wants it to.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use protocol::digest::Sha256Digest;

/// A fault, used up by the request that it meets.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An answer with this status and code, without doing anything.
    Answer(u16, &'static str),
    /// 503 with a wish to wait so many seconds.
    Throttle(u64),
    /// The connection is reset before an answer, and nothing was done.
    Reset,
    /// It was done, and the answer gets lost.
    LostAnswer,
    /// No answer ever.
    Silence,
    /// A byte of the body is changed on the way.
    CorruptBody,
    /// Bodies of answers come a little at a time, with this pause between pieces.
    SlowBody(Duration),
    /// Bodies of answers end early.
    ShortBody,
}

/// Which requests a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    PutBlock,
    PutBlockList,
    GetBlockList,
    Get,
    Head,
}

#[derive(Default)]
struct StoredBlob {
    committed: Option<Bytes>,
    committed_blocks: Vec<(Vec<u8>, Bytes)>,
    uncommitted: BTreeMap<Vec<u8>, Bytes>,
    metadata: HashMap<String, String>,
    version: u64,
}

#[derive(Default)]
struct Store {
    blobs: HashMap<String, StoredBlob>,
    faults: HashMap<On, VecDeque<Fault>>,
    always: HashMap<On, Fault>,
    put_delay: Duration,
    knows_crc64: bool,
    puts_seen: u64,
    puts_landed: u64,
    bytes_received: u64,
    checksums: HashMap<&'static str, u64>,
    versions: u64,
}

type Shared = Arc<Mutex<Store>>;

/// The running fake; its thread ends with the process.
pub struct AzureFake {
    store: Shared,
    port: u16,
}

const CONTAINER: &str = "drives";

impl AzureFake {
    /// Starts it with one empty container, `drives`.
    pub fn start() -> Self {
        let store: Shared = Arc::new(Mutex::new(Store { knows_crc64: true, ..Store::default() }));
        let (sender, receiver) = std::sync::mpsc::channel();
        let shared = store.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap().port()).unwrap();
                let limit = axum::extract::DefaultBodyLimit::disable();
                axum::serve(listener, Router::new().fallback(answer).layer(limit).with_state(shared)).await.unwrap();
            });
        });
        AzureFake { store, port: receiver.recv().unwrap() }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
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

    /// Each block takes this long.
    pub fn set_put_delay(&self, delay: Duration) {
        self.store().put_delay = delay;
    }

    /// Whether it knows CRC-64, or refuses it as emulators do.
    pub fn set_knows_crc64(&self, knows: bool) {
        self.store().knows_crc64 = knows;
    }

    /// Block requests that came, and that were stored.
    pub fn puts(&self) -> (u64, u64) {
        let store = self.store();
        (store.puts_seen, store.puts_landed)
    }

    /// Bytes of block bodies that came whole.
    pub fn bytes_received(&self) -> u64 {
        self.store().bytes_received
    }

    /// How many bodies came with this kind of checksum: `crc64` or `md5`.
    pub fn bodies_with(&self, kind: &'static str) -> u64 {
        self.store().checksums.get(kind).copied().unwrap_or(0)
    }

    /// The committed bytes of a blob.
    pub fn content(&self, name: &str) -> Option<Bytes> {
        self.store().blobs.get(name).and_then(|blob| blob.committed.clone())
    }

    /// What a committed blob says about itself.
    pub fn metadata(&self, name: &str, key: &str) -> Option<String> {
        self.store().blobs.get(name).and_then(|blob| blob.metadata.get(key).cloned())
    }

    /// The digests of all blocks that are held for a blob, committed or not.
    pub fn held(&self, name: &str) -> Vec<Sha256Digest> {
        let store = self.store();
        let Some(blob) = store.blobs.get(name) else {
            return Vec::new();
        };
        let committed = blob.committed_blocks.iter().map(|(_, bytes)| bytes);
        committed.chain(blob.uncommitted.values()).map(|bytes| Sha256Digest::of(bytes)).collect()
    }

    /// Puts an uncommitted block of another program into a blob.
    pub fn add_foreign_block(&self, name: &str, id: &[u8]) {
        self.store().blobs.entry(name.to_owned()).or_default().uncommitted.insert(id.to_vec(), Bytes::from_static(b"foreign"));
    }

    /// Forgets the uncommitted blocks of a blob, as Azure does after a week.
    pub fn forget_blocks(&self, name: &str) {
        if let Some(blob) = self.store().blobs.get_mut(name) {
            blob.uncommitted.clear();
        }
    }
}

fn parameters(uri: &Uri) -> HashMap<String, String> {
    let decode = |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').map_or((decode(pair), String::new()), |(name, value)| (decode(name), decode(value))))
        .collect()
}

fn refuse(status: u16, code: &str) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>");
    let builder = Response::builder().status(status).header("x-ms-error-code", code).header("content-type", "application/xml");
    builder.body(Body::from(body)).unwrap()
}

fn broken() -> Body {
    Body::from_stream(futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]))
}

async fn answer(State(store): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let parameters = parameters(&head.uri);
    let path = percent_encoding::percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
    let mut parts = path.trim_start_matches('/').splitn(3, '/');
    let (account, container, name) =
        (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or("").to_owned());
    let body = axum::body::to_bytes(body, usize::MAX).await;
    if account != "account" {
        return refuse(404, "ResourceNotFound");
    }
    if parameters.get("sig").map(String::as_str) != Some("good") {
        return refuse(403, "AuthenticationFailed");
    }
    if container != CONTAINER {
        return refuse(404, "ContainerNotFound");
    }
    if head.method == Method::PUT && parameters.get("restype").is_some_and(|kind| kind == "container") {
        return refuse(409, "ContainerAlreadyExists");
    }
    // A client that went away in the middle of a body has sent nothing.
    let Ok(body) = body else {
        return refuse(400, "IncompleteBody");
    };
    let on = match (&head.method, parameters.get("comp").map(String::as_str)) {
        (&Method::PUT, Some("block")) => On::PutBlock,
        (&Method::PUT, Some("blocklist")) => On::PutBlockList,
        (&Method::GET, Some("blocklist")) => On::GetBlockList,
        (&Method::HEAD, None) => On::Head,
        (&Method::GET, None) => On::Get,
        _ => return refuse(400, "UnsupportedQueryParameter"),
    };
    let (fault, delay) = {
        let mut store = store.lock().unwrap();
        if on == On::PutBlock {
            store.puts_seen += 1;
            store.bytes_received += body.len() as u64;
        }
        let next = store.faults.get_mut(&on).and_then(VecDeque::pop_front);
        (next.or_else(|| store.always.get(&on).cloned()), if on == On::PutBlock { store.put_delay } else { Duration::ZERO })
    };
    tokio::time::sleep(delay).await;
    let mut body = body;
    match &fault {
        Some(Fault::Answer(status, code)) => return refuse(*status, code),
        Some(Fault::Throttle(seconds)) => {
            let mut response = refuse(503, "ServerBusy");
            response.headers_mut().insert("retry-after", seconds.to_string().parse().unwrap());
            return response;
        }
        Some(Fault::Reset) => return Response::new(broken()),
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::CorruptBody) if !body.is_empty() => {
            let mut changed = body.to_vec();
            changed[0] ^= 1;
            body = changed.into();
        }
        _ => {}
    }
    let response = perform(&store, on, &name, &parameters, &head.headers, &body);
    match fault {
        Some(Fault::LostAnswer) => Response::new(broken()),
        Some(fault) if on == On::Get && response.status().is_success() => spoil(response, fault).await,
        _ => response,
    }
}

/// Gives the body of an answer in the way that a fault wants.
async fn spoil(response: Response, fault: Fault) -> Response {
    let (head, body) = response.into_parts();
    let mut bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let body = match fault {
        Fault::CorruptBody => {
            bytes[0] ^= 1;
            Body::from(bytes)
        }
        Fault::SlowBody(pause) => {
            let pieces: Vec<Bytes> = bytes.chunks(bytes.len().div_ceil(4).max(1)).map(Bytes::copy_from_slice).collect();
            Body::from_stream(futures::stream::unfold(pieces.into_iter(), move |mut pieces| async move {
                tokio::time::sleep(pause).await;
                pieces.next().map(|piece| (Ok::<_, std::io::Error>(piece), pieces))
            }))
        }
        Fault::ShortBody => {
            bytes.truncate(bytes.len() / 2);
            let pieces = [Ok(Bytes::from(bytes)), Err(std::io::Error::other("reset"))];
            Body::from_stream(futures::stream::iter(pieces))
        }
        _ => Body::from(bytes),
    };
    Response::from_parts(head, body)
}

fn perform(
    store: &Shared,
    on: On,
    name: &str,
    parameters: &HashMap<String, String>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let mut store = store.lock().unwrap();
    match on {
        On::PutBlock => put_block(&mut store, name, parameters, headers, body),
        On::PutBlockList => put_block_list(&mut store, name, headers, body),
        On::GetBlockList => get_block_list(&store, name),
        On::Head => describe(&store, name, headers, false),
        On::Get => describe(&store, name, headers, true),
    }
}

fn text<'headers>(headers: &'headers HeaderMap, name: &str) -> Option<&'headers str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn put_block(store: &mut Store, name: &str, parameters: &HashMap<String, String>, headers: &HeaderMap, body: &Bytes) -> Response {
    if let Some(sum) = text(headers, "x-ms-content-crc64") {
        if !store.knows_crc64 {
            return refuse(500, "FeatureNotSupported");
        }
        *store.checksums.entry("crc64").or_default() += 1;
        if BASE64.decode(sum).unwrap() != blob::checksum::crc64(body) {
            return refuse(400, "Crc64Mismatch");
        }
    } else if let Some(sum) = text(headers, "content-md5") {
        *store.checksums.entry("md5").or_default() += 1;
        if BASE64.decode(sum).unwrap() != blob::checksum::md5(body) {
            return refuse(400, "Md5Mismatch");
        }
    }
    let id = BASE64.decode(&parameters["blockid"]).unwrap();
    let blob = store.blobs.entry(name.to_owned()).or_default();
    if blob.uncommitted.keys().any(|other| other.len() != id.len()) {
        return refuse(400, "InvalidBlobOrBlock");
    }
    blob.uncommitted.insert(id, body.clone());
    store.puts_landed += 1;
    Response::builder().status(StatusCode::CREATED).body(Body::empty()).unwrap()
}

fn put_block_list(store: &mut Store, name: &str, headers: &HeaderMap, body: &Bytes) -> Response {
    let body = String::from_utf8_lossy(body);
    let ids = body.split("<Latest>").skip(1).filter_map(|rest| rest.split_once("</Latest>"));
    let ids: Vec<Vec<u8>> = ids.map(|(id, _)| BASE64.decode(id).unwrap()).collect();
    store.versions += 1;
    let version = store.versions;
    let blob = store.blobs.entry(name.to_owned()).or_default();
    if text(headers, "if-none-match") == Some("*") && blob.committed.is_some() {
        return refuse(409, "BlobAlreadyExists");
    }
    let mut blocks = Vec::new();
    for id in ids {
        let committed = blob.committed_blocks.iter().find(|(other, _)| *other == id).map(|(_, bytes)| bytes.clone());
        match blob.uncommitted.get(&id).cloned().or(committed) {
            Some(bytes) => blocks.push((id, bytes)),
            None => return refuse(400, "InvalidBlockList"),
        }
    }
    blob.committed = Some(blocks.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect());
    blob.committed_blocks = blocks;
    blob.uncommitted.clear();
    blob.version = version;
    let own = headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("x-ms-meta-")?, value)));
    blob.metadata = own.map(|(name, value)| (name.to_owned(), value.to_str().unwrap().to_owned())).collect();
    Response::builder().status(StatusCode::CREATED).body(Body::empty()).unwrap()
}

fn get_block_list(store: &Store, name: &str) -> Response {
    let Some(blob) = store.blobs.get(name) else {
        return refuse(404, "BlobNotFound");
    };
    let block = |(id, bytes): (&Vec<u8>, &Bytes)| {
        format!("<Block><Name>{}</Name><Size>{}</Size></Block>", BASE64.encode(id), bytes.len())
    };
    let committed: String = blob.committed_blocks.iter().map(|(id, bytes)| block((id, bytes))).collect();
    let uncommitted: String = blob.uncommitted.iter().map(block).collect();
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList><CommittedBlocks>{committed}</CommittedBlocks><UncommittedBlocks>{uncommitted}</UncommittedBlocks></BlockList>"
    );
    Response::builder().header("content-type", "application/xml").body(Body::from(xml)).unwrap()
}

fn describe(store: &Store, name: &str, headers: &HeaderMap, with_body: bool) -> Response {
    let Some((blob, bytes)) = store.blobs.get(name).and_then(|blob| Some((blob, blob.committed.as_ref()?))) else {
        return refuse(404, "BlobNotFound");
    };
    let version = format!("\"{:#x}\"", blob.version);
    if text(headers, "if-match").is_some_and(|wanted| wanted != version) {
        return refuse(412, "ConditionNotMet");
    }
    let mut builder = Response::builder().header("etag", version).header("x-ms-blob-type", "BlockBlob");
    for (name, value) in &blob.metadata {
        builder = builder.header(format!("x-ms-meta-{name}"), value);
    }
    if !with_body {
        return builder.header("content-length", bytes.len()).body(Body::empty()).unwrap();
    }
    let range = text(headers, "range").or_else(|| text(headers, "x-ms-range")).and_then(|range| range.strip_prefix("bytes="));
    let Some((start, end)) = range.and_then(|range| range.split_once('-')) else {
        return builder.body(Body::from(bytes.clone())).unwrap();
    };
    let start: usize = start.parse().unwrap();
    let end = end.parse::<usize>().map_or(bytes.len(), |end| (end + 1).min(bytes.len()));
    if start >= bytes.len() {
        return refuse(416, "InvalidRange");
    }
    let piece = bytes.slice(start..end);
    if text(headers, "x-ms-range-get-content-crc64").is_some() {
        if !store.knows_crc64 {
            return refuse(500, "FeatureNotSupported");
        }
        builder = builder.header("x-ms-content-crc64", BASE64.encode(blob::checksum::crc64(&piece)));
    } else if text(headers, "x-ms-range-get-content-md5").is_some() {
        builder = builder.header("content-md5", BASE64.encode(blob::checksum::md5(&piece)));
    }
    let content_range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
    builder.status(StatusCode::PARTIAL_CONTENT).header("content-range", content_range).body(Body::from(piece)).unwrap()
}
