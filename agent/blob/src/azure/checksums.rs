//! Which checksum goes with a body: CRC-64, or MD5 where the server does not know that.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::task::JoinError;

use crate::checksum::{crc64, md5};
use crate::error::{BlobError, BlobErrorKind};

/// Puts the right checksum on a body: CRC-64 until the server refused it, MD5 from then on.
#[derive(Debug, Default)]
pub(super) struct ChecksumChoice {
    crc64_is_unknown: AtomicBool,
}

impl ChecksumChoice {
    pub(super) fn wants_md5(&self) -> bool {
        self.crc64_is_unknown.load(Ordering::Relaxed)
    }

    /// The server refused CRC-64.
    pub(super) fn note_unknown_crc64(&self) {
        self.crc64_is_unknown.store(true, Ordering::Relaxed);
    }

    /// Sends a body by `send(crc64, md5)`, falling from CRC-64 to MD5 where the server does not know
    /// the first. Both are given as raw bytes; at most one of them is.
    pub(super) async fn send<F, T>(
        &self,
        bytes: &Bytes,
        known_md5: Option<[u8; 16]>,
        send: impl Fn(Option<Vec<u8>>, Option<Vec<u8>>) -> F,
    ) -> Result<T, BlobError>
    where
        F: Future<Output = Result<T, BlobError>>,
    {
        if !self.wants_md5() {
            match send(Some(crc64(bytes).to_vec()), None).await {
                Err(error) if error.kind == BlobErrorKind::Unsupported => self.note_unknown_crc64(),
                other => return other,
            }
        }
        let sum = match known_md5 {
            Some(sum) => sum,
            None => {
                let bytes = bytes.clone();
                let failed = |error: JoinError| {
                    BlobError::new(BlobErrorKind::Other, "hash a body for", "the store", error.to_string()).caused_by(error)
                };
                tokio::task::spawn_blocking(move || md5(&bytes)).await.map_err(failed)?
            }
        };
        send(None, Some(sum.to_vec())).await
    }
}
