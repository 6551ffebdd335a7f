//! A piece of an object: the segment that chunks are parts of, from its first part until it is an object itself.

use std::collections::{HashMap, HashSet};

use protocol::digest::Sha256Digest;
use tokio::sync::Mutex;

use super::answers::Part;
use super::multipart::OpenUpload;
use super::object::S3Blob;
use crate::error::BlobError;

/// What is known of a piece.
#[derive(Debug, Default)]
pub(super) struct PieceState {
    /// The upload that its chunks are parts of.
    pub(super) upload: Option<OpenUpload>,
    /// The length of the object that it is, as far as the store has one.
    pub(super) object_bytes: Option<u64>,
    /// The ETag of that object, where it was completed by this process, or looked at.
    pub(super) etag: Option<String>,
    /// The store was asked to make the object.
    pub(super) was_sent: bool,
    /// Parts of zeros that this process put into the upload, by their numbers: their ETags.
    pub(super) zeroed: HashMap<u32, String>,
    /// The parts that there were when a resumed upload was first used. `None` where it was not, or it is a new one.
    pub(super) before: Option<HashSet<u32>>,
    /// Parts that this process sent where there were others: their ETags.
    pub(super) sent: HashMap<u32, String>,
}

/// The parts of an upload, by their numbers. A server may keep, and list, every part that was ever sent under a number.
pub(super) struct Parts(HashMap<u32, Vec<Part>>);

impl Parts {
    pub(super) fn new(parts: Vec<Part>) -> Self {
        let mut all: HashMap<u32, Vec<Part>> = HashMap::new();
        for part in parts {
            let same = all.entry(part.number).or_default();
            if !same.iter().any(|other| other.etag == part.etag) {
                same.push(part);
            }
        }
        Parts(all)
    }

    pub(super) fn numbers(&self) -> HashSet<u32> {
        self.0.keys().copied().collect()
    }

    pub(super) fn is_there(&self, number: u32) -> bool {
        self.0.contains_key(&number)
    }

    /// Whether there are parts of this number of which it is not told what they are.
    pub(super) fn is_untold(&self, number: u32) -> bool {
        self.0.get(&number).is_some_and(|parts| parts.iter().any(|part| part.digest.is_none()))
    }

    /// The part that holds this chunk: by its digest where the store tells digests, and else by its ETag where that is known;
    /// where neither is, the only one that there is.
    pub(super) fn holding(&self, number: u32, length: u64, digest: &Sha256Digest, etag: Option<&String>) -> Option<&Part> {
        let found: Vec<&Part> = self.0.get(&number)?.iter().filter(|part| part.size_bytes == length).collect();
        let proved = found.iter().find(|part| part.digest.as_ref() == Some(digest));
        let known = found.iter().find(|part| part.digest.is_none() && etag == Some(&part.etag));
        let only = match *found {
            [one] if etag.is_none() && one.digest.is_none() => Some(one),
            _ => None,
        };
        proved.or(known).copied().or(only)
    }
}

/// A piece.
pub(super) struct Piece {
    /// The key that it has as an object.
    pub(super) key: String,
    pub(super) state: Mutex<PieceState>,
}

impl Piece {
    pub(super) fn new(key: String, state: PieceState) -> Self {
        Piece { key, state: Mutex::new(state) }
    }

    /// Its upload, begun where there is none.
    pub(super) async fn open(&self, blob: &S3Blob) -> Result<OpenUpload, BlobError> {
        let mut state = self.state.lock().await;
        if let Some(upload) = &state.upload {
            return Ok(upload.clone());
        }
        let created = blob.staging_bucket().create_upload(&self.key, Vec::new(), true).await;
        let upload = created.map_err(|failure| blob.error("begin", failure))?;
        state.upload = Some(upload.clone());
        // Nothing is in it yet.
        state.before = Some(HashSet::new());
        state.etag = None;
        Ok(upload)
    }

    /// Its upload, and whether it is an object of this length besides.
    pub(super) async fn known(&self, length: u64) -> (Option<OpenUpload>, bool) {
        let state = self.state.lock().await;
        (state.upload.clone(), state.object_bytes == Some(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_chosen_by_digest_or_by_etag_or_as_the_only_one() {
        let (right, wrong) = (Sha256Digest::of(b"right"), Sha256Digest::of(b"wrong"));
        let part = |etag: &str, digest: Option<Sha256Digest>| Part { number: 1, etag: etag.to_owned(), size_bytes: 5, digest };
        let chosen = |parts: Vec<Part>, etag: Option<&str>| {
            let parts = Parts::new(parts);
            parts.holding(1, 5, &right, etag.map(str::to_owned).as_ref()).map(|part| part.etag.clone())
        };
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        assert_eq!(chosen(vec![part("a", Some(wrong)), part("b", Some(right))], None), b);
        assert_eq!(chosen(vec![part("a", Some(wrong))], Some("a")), None);
        assert_eq!(chosen(vec![part("a", None), part("a", None)], None), a, "sent twice, as a retry does");
        assert_eq!(chosen(vec![part("a", None), part("b", None)], None), None);
        assert_eq!(chosen(vec![part("a", None), part("b", None)], Some("b")), b);
        assert_eq!(chosen(vec![part("a", None)], Some("b")), None);
        assert_eq!(Parts::new(vec![part("a", None)]).holding(1, 6, &right, None), None);
        assert_eq!(Parts::new(vec![part("a", None)]).holding(2, 5, &right, None), None);
    }
}
