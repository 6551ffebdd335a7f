//! What tests say to the fake, and what they ask of it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::store::{Object, Store, crc32c_of};
use super::{BUCKET, Fault, GcsFake, On, WAIT_TIMEOUT};
use crate::support::content::Content;

/// No request takes longer, whatever its fault.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest time that a request takes from the client's socket to the server.
const ON_THE_WAY: Duration = Duration::from_millis(4);

impl GcsFake {
    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The address of an object.
    pub fn blob(&self, name: &str) -> String {
        format!("gs+{}/{BUCKET}/{name}", self.endpoint())
    }

    /// The file with the key of its service account.
    pub fn key_file(&self) -> String {
        self.folder.path().join("key.json").display().to_string()
    }

    /// The variables of the environment with which it is reached.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("GOOGLE_APPLICATION_CREDENTIALS", self.key_file()),
            ("STORAGE_EMULATOR_HOST", self.endpoint()),
            ("GOOGLE_CLOUD_PROJECT", "project".to_owned()),
            ("NO_GCE_CHECK", "true".to_owned()),
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

    /// Whether requests need a token; else none may have one.
    pub fn set_wants_token(&self, wants: bool) {
        self.store().wants_token = wants;
    }

    /// Whether a retention policy forbids to replace and delete.
    pub fn set_retains(&self, retains: bool) {
        self.store().retains = retains;
    }

    /// Whether whoever asks has to name a project that pays.
    pub fn set_requester_pays(&self, pays: bool) {
        self.store().requester_pays = pays;
    }

    /// The class of every object.
    pub fn set_class(&self, class: &'static str) {
        self.store().class = class;
    }

    /// How many names a page of a list has at most.
    pub fn set_page(&self, names: usize) {
        self.store().page = names;
    }

    /// Each body and answer of this number is changed on the way.
    pub fn corrupt_every(&self, number: u64) {
        self.store().corrupts_every = number;
    }

    /// Each chunk takes this long.
    pub fn set_put_delay(&self, delay: Duration) {
        self.store().put_delay = delay;
    }

    /// Requests of this kind that came whole.
    pub fn seen(&self, on: On) -> u64 {
        self.store().seen.get(&on).copied().unwrap_or(0)
    }

    /// Most objects that were composed at once.
    pub fn sources_max(&self) -> usize {
        self.store().sources_max
    }

    /// Bytes of chunks that came whole.
    pub fn bytes_received(&self) -> u64 {
        self.store().bytes_received
    }

    /// Returns when so many requests of this kind have come in whole.
    #[track_caller]
    pub fn wait_seen(&self, on: On, count: u64) {
        self.wait_until(|store| store.seen.get(&on).copied().unwrap_or(0) >= count);
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
    pub fn object(&self, name: &str) -> Option<Bytes> {
        self.store().objects.get(name).map(|object| object.content.bytes(0, object.content.length()))
    }

    /// The length of an object.
    pub fn object_bytes(&self, name: &str) -> Option<u64> {
        self.store().objects.get(name).map(|object| object.content.length())
    }

    /// Names of all objects below a prefix.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.store().objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    /// Bytes of all objects below a prefix.
    pub fn bytes_below(&self, prefix: &str) -> u64 {
        let store = self.store();
        store.objects.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, object)| object.content.length()).sum()
    }

    /// What an object says of itself.
    pub fn headers(&self, name: &str) -> Vec<(String, String)> {
        self.store().objects.get(name).map(|object| object.headers.clone()).unwrap_or_default()
    }

    /// Makes an object say something of itself.
    pub fn set_header(&self, name: &str, header: &str, value: &str) {
        if let Some(object) = self.store().objects.get_mut(name) {
            object.headers.push((header.to_owned(), value.to_owned()));
        }
    }

    /// Forgets everything below a prefix; gives how much that was.
    pub fn forget(&self, prefix: &str) -> usize {
        let mut store = self.store();
        let before = store.objects.len();
        store.objects.retain(|name, _| !name.starts_with(prefix));
        before - store.objects.len()
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

/// What the histories need besides.
impl GcsFake {
    /// Name without the prefix, and content, of every object below a prefix.
    pub fn all(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let store = self.store();
        let found = store.objects.iter().filter_map(|(name, object)| Some((name.strip_prefix(prefix)?, object)));
        found.map(|(name, object)| (name.to_owned(), object.content.bytes(0, object.content.length()))).collect()
    }

    /// Gives an object another name.
    pub fn rename(&self, from: &str, to: &str) {
        let mut store = self.store();
        if let Some(object) = store.objects.remove(from) {
            store.objects.insert(to.to_owned(), object);
        }
    }

    /// Changes a byte of an object.
    pub fn flip_byte(&self, name: &str, offset: usize) {
        let Some(mut bytes) = self.object(name).map(|bytes| bytes.to_vec()) else { return };
        bytes[offset] ^= 0x55;
        self.replace(name, bytes);
    }

    fn replace(&self, name: &str, bytes: Vec<u8>) {
        let mut store = self.store();
        let (generation, content) = (store.new_generation(), Content::of(bytes.into()));
        let headers = store.objects.get(name).map(|object| object.headers.clone()).unwrap_or_default();
        let object = Object { crc32c: crc32c_of(&content), content, generation, is_composed: false, headers };
        store.objects.insert(name.to_owned(), object);
    }

    /// An object of another program.
    pub fn put_plain(&self, name: &str, bytes: Vec<u8>) {
        self.remove(name);
        self.replace(name, bytes);
    }

    /// Removes an object.
    pub fn remove(&self, name: &str) {
        self.store().objects.remove(name);
    }

    /// SHA-256 of everything that is held beside an object.
    pub fn held(&self, name: &str) -> Vec<[u8; 32]> {
        let (store, staged) = (self.store(), format!("{name}.part/"));
        store.objects.iter().filter(|(name, _)| name.starts_with(&staged)).map(|(_, object)| object.content.sha256()).collect()
    }
}
