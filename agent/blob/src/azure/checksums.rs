//! Which checksum goes with a body: CRC-64, or MD5 where the server does not know that.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio::task::JoinError;

use crate::checksum::{crc64, md5};
use crate::error::{BlobError, BlobErrorKind};

/// Puts the right checksum on a body: CRC-64 until the server refused it, MD5 from then on.
#[derive(Debug, Default)]
pub(super) struct ChecksumChoice {
    crc64_is_unknown: AtomicBool,
    /// Set when the first request that asked for the CRC-64 of a range was answered, or failed.
    was_asked: OnceCell<()>,
}

impl ChecksumChoice {
    pub(super) fn wants_md5(&self) -> bool {
        self.crc64_is_unknown.load(Ordering::Relaxed)
    }

    /// The server refused CRC-64.
    fn note_unknown_crc64(&self) {
        self.crc64_is_unknown.store(true, Ordering::Relaxed);
    }

    /// Asks for a range with its CRC-64: the first request alone, and the others when that one is answered, so that a server
    /// without CRC-64 refuses one. `None` where the server does not know it. An upload does not wait like that: its first
    /// answer comes when a whole body was sent.
    pub(super) async fn ask_crc64<T>(&self, asking: impl Future<Output = Result<T, BlobError>>) -> Option<Result<T, BlobError>> {
        if self.wants_md5() {
            return None;
        }
        let mut asking = std::pin::pin!(asking);
        let mut first = None;
        let ask_first = async { first = Some(self.answered(asking.as_mut().await)) };
        self.was_asked.get_or_init(|| ask_first).await;
        match first {
            Some(answer) => answer,
            None if self.wants_md5() => None,
            None => self.answered(asking.await),
        }
    }

    /// Notes what an answer says about CRC-64; `None` where the server does not know it.
    fn answered<T>(&self, answer: Result<T, BlobError>) -> Option<Result<T, BlobError>> {
        match answer {
            Err(error) if error.kind == BlobErrorKind::Unsupported => {
                self.note_unknown_crc64();
                None
            }
            answer => Some(answer),
        }
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
