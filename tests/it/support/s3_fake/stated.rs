//! The checksum that an object states of itself, where a look at it asks: as S3 keeps it of what was sent, or computes it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::support::content::Content;

/// Of longer objects it is not told: nobody waits for it here.
const SUMMED_BYTES_MAX: u64 = 64 << 20;

/// What an object states.
#[derive(Clone)]
pub(super) enum Stated {
    Nothing,
    /// SHA-256 over that of its parts, and their lengths.
    OfParts(String, Vec<u64>),
    /// CRC-64/NVME of the whole, where its parts had no checksum.
    Crc64Nvme,
}

impl Stated {
    /// Of parts that are put together.
    pub(super) fn of_parts(parts: &[Content], has_digests: bool) -> Self {
        if !has_digests {
            return Stated::Crc64Nvme;
        }
        let mut all = Sha256::new();
        parts.iter().for_each(|part| all.update(part.sha256()));
        let lengths = parts.iter().map(Content::length).collect();
        Stated::OfParts(format!("{}-{}", STANDARD.encode(all.finalize()), parts.len()), lengths)
    }

    /// The header that states it, as the bytes are.
    pub(super) fn header(&self, content: &Content) -> Option<(&'static str, String)> {
        match self {
            Stated::OfParts(value, _) => Some(("x-amz-checksum-sha256", value.clone())),
            Stated::Crc64Nvme if content.length() <= SUMMED_BYTES_MAX => {
                let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
                content.each(0, content.length(), &mut |piece| digest.update(piece));
                Some(("x-amz-checksum-crc64nvme", STANDARD.encode(digest.finalize().to_be_bytes())))
            }
            _ => None,
        }
    }
}
