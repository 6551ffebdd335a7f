//! Writing pages into a page blob: whole pages, no long runs of zeros, none longer than a request takes.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use azure_storage_blob::clients::PageBlobClient;
use azure_storage_blob::models::{HttpRange, PageBlobClientClearPagesOptions, PageBlobClientUploadPagesOptions};
use bytes::Bytes;
use protocol::units::ByteRange;

use super::client::{AzureBlob, PAGE_BYTES};
use crate::contract::ChunkBody;
use crate::error::BlobError;

/// The unit of a page blob, of bytes in memory.
const PAGE: usize = 512;

/// Most that one Put Page takes.
const PUT_PAGE_BYTES_MAX: usize = 4 << 20;

/// Zero runs shorter than this are sent with the data around them: a request costs more.
const ZERO_RUN_BYTES: usize = 64 << 10;

/// Writes pages.
pub(super) struct PageWriter {
    blob: AzureBlob,
    pages: PageBlobClient,
    /// The sequence number that the blob must have for every write; `None` where it has none of ours.
    number: Option<AtomicI64>,
    /// Pages may hold bytes: zero runs have to be sent too.
    expects_bytes: AtomicBool,
}

impl PageWriter {
    /// Writes only while the blob has the number that is [set](Self::set_number).
    pub(super) fn numbered(blob: AzureBlob, pages: PageBlobClient) -> Self {
        PageWriter { blob, pages, number: Some(AtomicI64::new(0)), expects_bytes: AtomicBool::new(false) }
    }

    /// Writes whatever number the blob has.
    pub(super) fn unnumbered(blob: AzureBlob, pages: PageBlobClient) -> Self {
        PageWriter { blob, pages, number: None, expects_bytes: AtomicBool::new(false) }
    }

    pub(super) fn set_number(&self, number: i64) {
        if let Some(current) = &self.number {
            current.store(number, Ordering::Relaxed);
        }
    }

    pub(super) fn number(&self) -> Option<i64> {
        self.number.as_ref().map(|number| number.load(Ordering::Relaxed))
    }

    /// From now on pages may hold bytes of an earlier run.
    pub(super) fn expect_bytes(&self) {
        self.expects_bytes.store(true, Ordering::Relaxed);
    }

    /// Writes what of a chunk is not zero.
    pub(super) async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        let zero_run_bytes = if self.expects_bytes.load(Ordering::Relaxed) { usize::MAX } else { ZERO_RUN_BYTES };
        for run in data_runs(&chunk.bytes, zero_run_bytes) {
            let offset = chunk.range.offset + run.start as u64;
            let mut bytes = chunk.bytes.slice(run);
            if !bytes.len().is_multiple_of(PAGE) {
                // Only the tail of an odd image: it is padded to a whole page.
                let mut padded = bytes.to_vec();
                padded.resize(bytes.len().next_multiple_of(PAGE), 0);
                bytes = padded.into();
            }
            self.put(bytes, offset).await?;
        }
        Ok(())
    }

    /// Writes whole pages, no more than a request takes.
    pub(super) async fn put(&self, bytes: Bytes, offset: u64) -> Result<(), BlobError> {
        let put = |crc64, md5| {
            let options = PageBlobClientUploadPagesOptions {
                transactional_content_crc64: crc64,
                transactional_content_md5: md5,
                if_sequence_number_equal_to: self.number(),
                ..Default::default()
            };
            let (body, length) = (bytes.clone(), bytes.len() as u64);
            async move {
                let sent = self.pages.upload_pages(body.into(), length, HttpRange::new(offset, length), Some(options)).await;
                sent.map(drop).map_err(|error| self.blob.error("send pages of", error))
            }
        };
        self.blob.account.checksums.send(&bytes, None, put).await
    }

    /// Makes whole pages zero.
    pub(super) async fn clear(&self, range: ByteRange) -> Result<(), BlobError> {
        let length = range.length.next_multiple_of(PAGE_BYTES);
        let options = PageBlobClientClearPagesOptions { if_sequence_number_equal_to: self.number(), ..Default::default() };
        let cleared = self.pages.clear_pages(HttpRange::new(range.offset, length), Some(options)).await;
        cleared.map(drop).map_err(|error| self.blob.error("clear pages of", error))
    }
}

/// The runs of a chunk that have to be sent, as ranges of its bytes: whole pages, no zero runs of
/// `zero_run_bytes` or more, none longer than Put Page takes.
fn data_runs(bytes: &[u8], zero_run_bytes: usize) -> Vec<std::ops::Range<usize>> {
    let is_zero = |block: &[u8]| block.iter().fold(0, |all, byte| all | byte) == 0;
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    let block_bytes = zero_run_bytes.min(PUT_PAGE_BYTES_MAX);
    for (index, block) in bytes.chunks(block_bytes).enumerate() {
        if zero_run_bytes == block_bytes && is_zero(block) {
            continue;
        }
        let start = index * block_bytes;
        let end = start + block.len();
        match runs.last_mut() {
            Some(last) if last.end == start && end - last.start <= PUT_PAGE_BYTES_MAX => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_runs_are_left_out_and_long_runs_are_cut() {
        let mut bytes = vec![0; 9 << 20];
        assert!(data_runs(&bytes, ZERO_RUN_BYTES).is_empty());
        assert_eq!(data_runs(&bytes, usize::MAX).len(), 3);
        bytes[0] = 1;
        bytes[(1 << 20) + 5] = 1;
        bytes[(9 << 20) - 1] = 1;
        assert_eq!(data_runs(&bytes, ZERO_RUN_BYTES), [0..65_536, 1_048_576..1_114_112, (9 << 20) - 65_536..9 << 20]);
        let full = vec![1; (4 << 20) + 512];
        assert_eq!(data_runs(&full, ZERO_RUN_BYTES), [0..4 << 20, 4 << 20..(4 << 20) + 512]);
    }
}
