//! The bytes that a fake holds, of objects and parts: shared, so that copies cost nothing and a drive of many terabytes of zeros fits.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// Bytes, or several of them in a row.
#[derive(Clone)]
pub struct Content(Arc<Node>);

struct Node {
    kind: Kind,
    length: u64,
    sha256: OnceLock<[u8; 32]>,
}

enum Kind {
    Bytes(Bytes),
    Row(Vec<Content>),
    Range(Content, u64),
}

impl Content {
    pub fn of(bytes: Bytes) -> Self {
        Self::node(bytes.len() as u64, Kind::Bytes(bytes))
    }

    pub fn row(parts: Vec<Content>) -> Self {
        Self::node(parts.iter().map(Content::length).sum(), Kind::Row(parts))
    }

    /// The bytes from `start` to before `end`.
    pub fn range(&self, start: u64, end: u64) -> Self {
        if (start, end) == (0, self.length()) { self.clone() } else { Self::node(end - start, Kind::Range(self.clone(), start)) }
    }

    fn node(length: u64, kind: Kind) -> Self {
        Content(Arc::new(Node { kind, length, sha256: OnceLock::new() }))
    }

    pub fn length(&self) -> u64 {
        self.0.length
    }

    pub fn sha256(&self) -> [u8; 32] {
        *self.0.sha256.get_or_init(|| {
            let mut hasher = Sha256::new();
            self.each(0, self.length(), &mut |piece| hasher.update(piece));
            hasher.finalize().into()
        })
    }

    /// The bytes from `start` to before `end`, in memory.
    pub fn bytes(&self, start: u64, end: u64) -> Bytes {
        let mut bytes = BytesMut::new();
        self.each(start, end, &mut |piece| bytes.extend_from_slice(piece));
        bytes.freeze()
    }

    /// The pieces of the bytes from `start` to before `end`, in order.
    pub fn each(&self, start: u64, end: u64, work: &mut dyn FnMut(&[u8])) {
        match &self.0.kind {
            Kind::Bytes(bytes) => work(&bytes[start as usize..end as usize]),
            Kind::Range(whole, first) => whole.each(first + start, first + end, work),
            Kind::Row(parts) => {
                let mut offset = 0;
                for part in parts {
                    let (from, to) = (start.max(offset), end.min(offset + part.length()));
                    if from < to {
                        part.each(from - offset, to - offset, work);
                    }
                    offset += part.length();
                    if offset >= end {
                        break;
                    }
                }
            }
        }
    }
}
