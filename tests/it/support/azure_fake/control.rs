//! What the histories need besides: everything below a prefix, and faults that end. The tests of `it` use little of it.
#![allow(dead_code)]

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{AzureFake, On};

/// Where a page blob says whether it is whole, and what it says where it is not.
const STATE: (&str, &str) = ("driveagentstate", "incomplete");

/// No request takes longer, whatever its fault.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest time that a request takes from the client's socket to the server.
const ON_THE_WAY: Duration = Duration::from_millis(4);

/// Where it says how long the drive is.
const BYTES: &str = "driveagentbytes";

/// Where it says whose it is.
const TRANSFER: &str = "driveagenttransfer";

impl AzureFake {
    /// Name without the prefix, and content, of every blob that a list shows; and which transfer it is of where it is
    /// marked incomplete.
    pub fn all(&self, prefix: &str) -> Vec<(String, Bytes, Option<String>)> {
        let store = self.store();
        let mut all: Vec<(String, Bytes, Option<String>)> = store
            .blobs
            .iter()
            .filter_map(|(name, blob)| {
                let is_incomplete = blob.metadata.get(STATE.0).is_some_and(|state| state == STATE.1);
                let transfer = is_incomplete.then(|| blob.metadata.get(TRANSFER).cloned().unwrap_or_default());
                let content = blob.content.clone()?;
                // A page blob is padded with zeros, and says how long the drive is.
                let length = blob.metadata.get(BYTES).and_then(|text| text.parse().ok()).unwrap_or(content.len());
                let is_padded = length < content.len() && content[length..].iter().all(|byte| *byte == 0);
                let content = if is_padded { content.slice(..length) } else { content };
                Some((name.strip_prefix(prefix)?.to_owned(), content, transfer))
            })
            .collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    /// Forgets everything below a prefix.
    pub fn forget(&self, prefix: &str) {
        self.store().blobs.retain(|name, _| !name.starts_with(prefix));
    }

    /// Gives a blob another name, with everything that is held for it.
    pub fn rename(&self, from: &str, to: &str) {
        let mut store = self.store();
        if let Some(blob) = store.blobs.remove(from) {
            store.blobs.insert(to.to_owned(), blob);
        }
    }

    /// How many requests came whole, where all of them are answered: each is done, even if its client went away.
    fn idle_after(&self) -> Option<u64> {
        let store = self.store();
        (store.in_flight == 0).then(|| store.seen.values().sum())
    }

    /// Returns when everything that was asked for is done.
    pub fn settle(&self) {
        let end = Instant::now() + SETTLE_TIMEOUT;
        let mut before = None;
        while Instant::now() < end {
            let now = self.idle_after();
            if now.is_some() && now == before {
                return;
            }
            before = now;
            std::thread::sleep(ON_THE_WAY);
        }
    }

    /// Requests that wrote blocks or pages, whether or not they were stored.
    pub fn writes_seen(&self) -> u64 {
        self.seen(On::PutBlock) + self.seen(On::PutPage)
    }

    /// From now on everything works, at once.
    pub fn work_well(&self) {
        let mut store = self.store();
        store.faults.clear();
        store.always.clear();
        store.put_delay = Duration::ZERO;
    }
}
