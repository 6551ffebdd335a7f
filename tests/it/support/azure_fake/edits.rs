//! What a test reads of the store, and what others do to it: customers, other programs, time.

use std::collections::HashMap;

use bytes::Bytes;
use protocol::digest::Sha256Digest;

use super::AzureFake;
use super::page::Pages;
use super::store::StoredBlob;

impl AzureFake {
    /// The bytes of a blob that a reader would get: those of a page blob whether it is complete or not.
    pub fn content(&self, name: &str) -> Option<Bytes> {
        self.store().blobs.get(name).and_then(|blob| blob.content.clone())
    }

    /// What a blob says about itself.
    pub fn metadata(&self, name: &str, key: &str) -> Option<String> {
        self.store().blobs.get(name).and_then(|blob| blob.metadata.get(key).cloned())
    }

    /// The tier and the content type that uploads gave a blob.
    pub fn described(&self, name: &str) -> (Option<String>, Option<String>) {
        let store = self.store();
        store.blobs.get(name).map(|blob| (blob.tier.clone(), blob.content_type.clone())).unwrap_or_default()
    }

    /// The version of a blob, as HEAD gives it.
    pub fn etag(&self, name: &str) -> Option<String> {
        self.store().etag(name)
    }

    /// The sequence number of a page blob; `None` where it is not one.
    pub fn sequence_number(&self, name: &str) -> Option<i64> {
        self.store().blobs.get(name).and_then(|blob| blob.pages.as_ref()).map(|pages| pages.sequence_number)
    }

    /// Whether it is a page blob.
    pub fn is_page_blob(&self, name: &str) -> bool {
        self.sequence_number(name).is_some()
    }

    /// Names of all blobs that a list shows, ascending.
    pub fn names(&self) -> Vec<String> {
        let store = self.store();
        let mut names: Vec<_> =
            store.blobs.iter().filter(|(_, blob)| blob.content.is_some()).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
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

    /// The uncommitted blocks of a blob: identifier and size in bytes.
    pub fn uncommitted(&self, name: &str) -> Vec<(Vec<u8>, u64)> {
        let store = self.store();
        let blocks = store.blobs.get(name).into_iter().flat_map(|blob| &blob.uncommitted);
        blocks.map(|(id, bytes)| (id.clone(), bytes.len() as u64)).collect()
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

    /// Another program uploads a block blob, replacing what was there.
    pub fn put_plain(&self, name: &str, bytes: impl Into<Bytes>, metadata: &[(&str, &str)]) {
        let mut store = self.store();
        let metadata: HashMap<_, _> = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let blob = StoredBlob { content: Some(bytes.into()), metadata, version: store.next_version(), ..StoredBlob::default() };
        store.blobs.insert(name.to_owned(), blob);
    }

    /// Another program makes a page blob of zeros, replacing what was there.
    pub fn put_page_blob(&self, name: &str, length_bytes: usize) {
        self.put_plain(name, vec![0; length_bytes], &[]);
        if let Some(blob) = self.store().blobs.get_mut(name) {
            blob.pages = Some(Pages::default());
        }
    }

    /// Another program gives a page blob another sequence number.
    pub fn set_sequence_number(&self, name: &str, number: i64) {
        if let Some(pages) = self.store().blobs.get_mut(name).and_then(|blob| blob.pages.as_mut()) {
            pages.sequence_number = number;
        }
    }

    /// A blob that marks a folder, as tools for accounts without real folders leave it.
    pub fn put_folder_marker(&self, name: &str) {
        self.put_plain(name, Bytes::new(), &[("hdi_isfolder", "true")]);
    }

    /// A folder of a hierarchical account.
    pub fn put_directory(&self, name: &str) {
        self.put_plain(name, Bytes::new(), &[]);
        self.set_headers(name, &[("x-ms-resource-type", "directory")]);
    }

    /// What HEAD and GET say of a blob from now on, beside what it says itself: `x-ms-lease-state: leased`,
    /// `x-ms-legal-hold: true`, `x-ms-immutability-policy-mode` and `x-ms-access-tier: Archive` are also enforced.
    pub fn set_headers(&self, name: &str, headers: &[(&'static str, &'static str)]) {
        if let Some(blob) = self.store().blobs.get_mut(name) {
            blob.headers = headers.to_vec();
        }
    }

    /// Deletes a blob with everything that is held for it, as a customer does.
    pub fn delete(&self, name: &str) {
        self.store().blobs.remove(name);
    }

    /// Changes one byte of a blob, as a customer does: it has another ETag then, is not of our blocks, and its page is listed.
    pub fn flip_byte(&self, name: &str, offset: usize) {
        let mut store = self.store();
        let version = store.next_version();
        if let Some(blob) = store.blobs.get_mut(name) {
            blob.version = version;
            blob.committed_blocks.clear();
            if let Some(pages) = &mut blob.pages {
                pages.note_write(offset as u64);
            }
        }
        drop(store);
        self.rot_byte(name, offset);
    }

    /// Changes one byte of a blob without another ETag, as a broken store does.
    pub fn rot_byte(&self, name: &str, offset: usize) {
        if let Some(content) = self.store().blobs.get_mut(name).and_then(|blob| blob.content.as_mut()) {
            let mut bytes = content.to_vec();
            bytes[offset] ^= 1;
            *content = bytes.into();
        }
    }
}
