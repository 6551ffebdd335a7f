//! What tests say to the fake, and what they ask of it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::stated::Stated;
use super::store::Store;
use super::{BUCKET, Fault, KEY_ID, On, S3Fake, WAIT_TIMEOUT};

/// No request takes longer, whatever its fault.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest time that a request takes from the client's socket to the server.
const ON_THE_WAY: Duration = Duration::from_millis(4);

impl S3Fake {
    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The address of an object.
    pub fn blob(&self, key: &str) -> String {
        format!("s3+{}/{BUCKET}/{key}", self.endpoint())
    }

    /// The variables of the environment with which it is reached.
    pub fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "SECRETSECRET".to_owned()),
            ("AWS_ENDPOINT_URL_S3", self.endpoint()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
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

    /// Lets every request go on that [`Fault::Hold`] holds now.
    pub fn release(&self) {
        self.store().releases.send_replace(());
    }

    /// Whether it looks at checksums, or takes every one for good.
    pub fn set_checks(&self, checks: bool) {
        self.store().checks = checks;
    }

    /// Whether its lists of parts have digests.
    pub fn set_tells_digests(&self, tells: bool) {
        self.store().tells_digests = tells;
    }

    /// Whether it knows If-Match on a write.
    pub fn set_knows_if_match(&self, knows: bool) {
        self.store().knows_if_match = knows;
    }

    /// Makes a bucket, which is empty.
    pub fn add_bucket(&self, bucket: &str) {
        self.store().buckets.insert(super::request::scope_of(bucket));
    }

    /// Whether the objects of the bucket that is there are locked: none is deleted.
    pub fn set_locks(&self, locks: bool) {
        self.store().locks = locks;
    }

    /// The smallest part that is not the last one.
    pub fn set_part_bytes_min(&self, bytes: u64) {
        self.store().part_bytes_min = bytes;
    }

    /// How many names a page of a list has at most.
    pub fn set_page(&self, names: usize) {
        self.store().page = names;
    }

    /// Each body and answer of this number is changed on the way.
    pub fn corrupt_every(&self, number: u64) {
        self.store().corrupts_every = number;
    }

    /// Each part takes this long.
    pub fn set_put_delay(&self, delay: Duration) {
        self.store().put_delay = delay;
    }

    /// Requests of this kind that came whole.
    pub fn seen(&self, on: On) -> u64 {
        self.store().seen.get(&on).copied().unwrap_or(0)
    }

    /// Most parts that an object was made of.
    pub fn parts_max(&self) -> usize {
        self.store().parts_max
    }

    /// Bytes of parts that came whole.
    pub fn bytes_received(&self) -> u64 {
        self.store().bytes_received
    }

    /// Returns when so many requests of this kind have come in whole.
    #[track_caller]
    pub fn wait_seen(&self, on: On, count: u64) {
        self.wait_until(|store| store.seen.get(&on).copied().unwrap_or(0) >= count);
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

    #[track_caller]
    fn wait_until(&self, is_so: impl Fn(&Store) -> bool) {
        let changed = &self.shared.changed;
        let (store, timeout) = changed.wait_timeout_while(self.store(), WAIT_TIMEOUT, |store| !is_so(store)).unwrap();
        drop(store);
        assert!(!timeout.timed_out(), "the requests that were waited for did not come");
    }

    /// The bytes of an object.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.store().objects.get(key).map(|object| object.content.bytes(0, object.content.length()))
    }

    /// The length of an object, and how many parts it was made of is not told.
    pub fn object_bytes(&self, key: &str) -> Option<u64> {
        self.store().objects.get(key).map(|object| object.content.length())
    }

    /// Keys of all objects below a prefix.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.store().objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Key and number of parts of every open upload below a prefix, and the bytes of all of them.
    pub fn uploads(&self, prefix: &str) -> (Vec<(String, usize)>, u64) {
        let store = self.store();
        let open: Vec<_> = store.uploads.values().filter(|upload| upload.key.starts_with(prefix)).collect();
        let bytes = open.iter().flat_map(|upload| upload.parts.values()).map(|part| part.content.length()).sum();
        (open.iter().map(|upload| (upload.key.clone(), upload.parts.len())).collect(), bytes)
    }

    /// Bytes of all objects below a prefix.
    pub fn object_bytes_below(&self, prefix: &str) -> u64 {
        let store = self.store();
        store.objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, object)| object.content.length()).sum()
    }

    /// Aborts every upload, as a lifecycle rule does.
    pub fn abort_uploads(&self) {
        self.store().uploads.clear();
    }

    /// Begins an upload as another program does, with one part; gives its id.
    pub fn begin_foreign_upload(&self, key: &str) -> String {
        let mut store = self.store();
        let id = format!("foreign-{}", store.number());
        store.add_foreign(&id, key);
        id
    }

    /// Whether an upload is there, by its id.
    pub fn has_upload(&self, id: &str) -> bool {
        self.store().uploads.contains_key(id)
    }

    /// Forgets everything below a prefix.
    pub fn forget(&self, prefix: &str) {
        let mut store = self.store();
        store.objects.retain(|key, _| !key.starts_with(prefix));
        store.uploads.retain(|_, upload| !upload.key.starts_with(prefix));
    }

    /// Returns when everything that was asked for is done.
    pub fn settle(&self) {
        let end = Instant::now() + SETTLE_TIMEOUT;
        let mut before = None;
        while Instant::now() < end {
            let now = {
                let store = self.store();
                (store.in_flight == 0).then(|| store.seen.values().sum::<u64>())
            };
            if now.is_some() && now == before {
                return;
            }
            before = now;
            std::thread::sleep(ON_THE_WAY);
        }
    }

    /// From now on everything works, at once.
    pub fn work_well(&self) {
        let mut store = self.store();
        store.faults.clear();
        store.always.clear();
        store.put_delay = Duration::ZERO;
        store.corrupts_every = 0;
    }
}

impl S3Fake {
    /// Lets an object say that it was made of parts of these lengths.
    pub fn set_part_lengths(&self, key: &str, parts: &[u64]) {
        let mut store = self.store();
        if let Some(object) = store.objects.get_mut(key) {
            let mut start = 0;
            let cut = |length: &u64| {
                start += length;
                object.content.range(start - length, start)
            };
            object.stated = Stated::of_parts(&parts.iter().map(cut).collect::<Vec<_>>(), true);
        }
    }

    /// What an object says of itself.
    pub fn headers(&self, key: &str) -> Vec<(String, String)> {
        self.store().objects.get(key).map(|object| object.headers.clone()).unwrap_or_default()
    }

    /// Makes an object say something of itself.
    pub fn set_header(&self, key: &str, name: &str, value: &str) {
        if let Some(object) = self.store().objects.get_mut(key) {
            object.headers.push((name.to_owned(), value.to_owned()));
        }
    }
}

/// What the histories need besides.
impl S3Fake {
    /// Name without the prefix, and content, of every object below a prefix.
    pub fn all(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let store = self.store();
        let found = store.objects.iter().filter_map(|(key, object)| Some((key.strip_prefix(prefix)?, object)));
        found.map(|(name, object)| (name.to_owned(), object.content.bytes(0, object.content.length()))).collect()
    }

    /// Gives an object another name, with everything that is held for it.
    pub fn rename(&self, from: &str, to: &str) {
        let mut store = self.store();
        if let Some(object) = store.objects.remove(from) {
            store.objects.insert(to.to_owned(), object);
        }
    }

    /// Changes a byte of an object.
    pub fn flip_byte(&self, key: &str, offset: usize) {
        let Some(mut bytes) = self.object(key).map(|bytes| bytes.to_vec()) else { return };
        bytes[offset] ^= 0x55;
        self.replace(key, bytes);
    }

    fn replace(&self, key: &str, bytes: Vec<u8>) {
        let mut store = self.store();
        let etag = store.new_etag();
        let content = crate::support::content::Content::of(bytes.into());
        match store.objects.get_mut(key) {
            Some(object) => (object.content, object.etag, object.stated) = (content, etag, Stated::Nothing),
            None => {
                let object = super::store::Object { content, etag, headers: Vec::new(), stated: Stated::Nothing };
                store.objects.insert(key.to_owned(), object);
            }
        }
    }

    /// An object of another program.
    pub fn put_plain(&self, key: &str, bytes: Vec<u8>) {
        self.remove(key);
        self.replace(key, bytes);
    }

    /// Removes an object.
    pub fn remove(&self, key: &str) {
        self.store().objects.remove(key);
    }

    /// SHA-256 of every chunk that is held for an object: parts of its uploads, and the chunks of its segments.
    pub fn held(&self, key: &str, chunk_bytes: u64) -> Vec<[u8; 32]> {
        let store = self.store();
        let staged = format!("{key}.part/");
        let is_its = |name: &str| name == key || name.starts_with(&staged);
        let parts = store.uploads.values().filter(|upload| is_its(&upload.key)).flat_map(|upload| upload.parts.values());
        let mut all: Vec<[u8; 32]> = parts.map(|part| part.content.sha256()).collect();
        for (_, object) in store.objects.iter().filter(|(name, _)| name.starts_with(&staged)) {
            let length = object.content.length();
            let starts = (0..length).step_by(chunk_bytes.max(1) as usize);
            all.extend(starts.map(|start| object.content.range(start, (start + chunk_bytes).min(length)).sha256()));
        }
        all
    }

    /// Aborts the uploads of an object and beside it; gives how many there were.
    pub fn abort_uploads_below(&self, prefix: &str) -> usize {
        let mut store = self.store();
        let before = store.uploads.len();
        store.uploads.retain(|_, upload| !upload.key.starts_with(prefix));
        before - store.uploads.len()
    }
}
