//! The checksum of a whole blob that its store states: what was read of it in its order is held against it.

use crc_fast::CrcAlgorithm;
use md5::Md5;
use protocol::digest::Sha256Digest;
use sha2::{Digest, Sha256};

/// A checksum of a whole blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatedChecksum {
    /// The MD5 that its uploader left with it, or the store computed.
    Md5([u8; 16]),
    /// CRC32C, which stores compute from those of pieces.
    Crc32c(u32),
    /// CRC-64/NVME, the same.
    Crc64Nvme(u64),
    /// SHA-256 of the bytes.
    Sha256(Sha256Digest),
    /// SHA-256 over the SHA-256 of its parts.
    Sha256OfParts {
        /// Size of each part but the last, in bytes.
        part_bytes: u64,
        /// Of all their digests in a row.
        digest: Sha256Digest,
    },
}

impl StatedChecksum {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            StatedChecksum::Md5(_) => "MD5",
            StatedChecksum::Crc32c(_) => "CRC32C",
            StatedChecksum::Crc64Nvme(_) => "CRC-64",
            StatedChecksum::Sha256(_) | StatedChecksum::Sha256OfParts { .. } => "SHA-256",
        }
    }

    /// Begins to compute one of the same kind.
    pub fn running(self) -> RunningChecksum {
        match self {
            StatedChecksum::Md5(_) => RunningChecksum::Md5(Md5::new()),
            StatedChecksum::Crc32c(_) => RunningChecksum::Crc32c(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
            StatedChecksum::Crc64Nvme(_) => RunningChecksum::Crc64Nvme(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)),
            StatedChecksum::Sha256(_) => RunningChecksum::Sha256(Sha256::new()),
            StatedChecksum::Sha256OfParts { part_bytes, .. } => RunningChecksum::Sha256OfParts(OfParts {
                part_bytes: part_bytes.max(1),
                in_part_bytes: 0,
                part: Sha256::new(),
                all: Sha256::new(),
            }),
        }
    }
}

/// A checksum of a whole that is being read, in its order.
pub enum RunningChecksum {
    /// MD5.
    Md5(Md5),
    /// CRC32C.
    Crc32c(crc_fast::Digest),
    /// CRC-64/NVME.
    Crc64Nvme(crc_fast::Digest),
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-256 over that of parts.
    Sha256OfParts(OfParts),
}

/// SHA-256 over the SHA-256 of parts of one size.
pub struct OfParts {
    part_bytes: u64,
    /// How much of the part under way there was, in bytes.
    in_part_bytes: u64,
    part: Sha256,
    all: Sha256,
}

impl OfParts {
    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let left = usize::try_from(self.part_bytes - self.in_part_bytes).unwrap_or(usize::MAX);
            let (here, rest) = bytes.split_at(left.min(bytes.len()));
            self.part.update(here);
            self.in_part_bytes += here.len() as u64;
            if self.in_part_bytes == self.part_bytes {
                self.end_part();
            }
            bytes = rest;
        }
    }

    fn end_part(&mut self) {
        self.all.update(self.part.finalize_reset());
        self.in_part_bytes = 0;
    }
}

impl RunningChecksum {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            RunningChecksum::Md5(hasher) => hasher.update(bytes),
            RunningChecksum::Crc32c(digest) | RunningChecksum::Crc64Nvme(digest) => digest.update(bytes),
            RunningChecksum::Sha256(hasher) => hasher.update(bytes),
            RunningChecksum::Sha256OfParts(of_parts) => of_parts.update(bytes),
        }
    }

    /// The checksum of everything that there was.
    pub fn finish(self) -> StatedChecksum {
        let digest = |hasher: Sha256| Sha256Digest(hasher.finalize().into());
        match self {
            RunningChecksum::Md5(hasher) => StatedChecksum::Md5(hasher.finalize().into()),
            // The library gives checksums of every width as numbers of 64 bits.
            RunningChecksum::Crc32c(digest) => StatedChecksum::Crc32c(u32::try_from(digest.finalize()).unwrap_or(u32::MAX)),
            RunningChecksum::Crc64Nvme(digest) => StatedChecksum::Crc64Nvme(digest.finalize()),
            RunningChecksum::Sha256(hasher) => StatedChecksum::Sha256(digest(hasher)),
            RunningChecksum::Sha256OfParts(mut of_parts) => {
                if of_parts.in_part_bytes > 0 {
                    of_parts.end_part();
                }
                StatedChecksum::Sha256OfParts { part_bytes: of_parts.part_bytes, digest: digest(of_parts.all) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn computed(kind: StatedChecksum, pieces: &[&[u8]]) -> StatedChecksum {
        let mut running = kind.running();
        pieces.iter().for_each(|piece| running.update(piece));
        running.finish()
    }

    #[test]
    fn known_answers_whatever_the_pieces() {
        let nothing = Sha256Digest([0; 32]);
        let [first, second, last] = [&b"1234"[..], b"5678", b"9"].map(Sha256Digest::of);
        let of_parts = Sha256Digest::of(&[first.0, second.0, last.0].concat());
        for stated in [
            StatedChecksum::Md5(crate::checksum::md5(b"123456789")),
            StatedChecksum::Crc32c(0xe306_9283),
            StatedChecksum::Crc64Nvme(0xae8b_1486_0a79_9888),
            StatedChecksum::Sha256(Sha256Digest::of(b"123456789")),
            StatedChecksum::Sha256OfParts { part_bytes: 4, digest: of_parts },
        ] {
            for pieces in [&[&b"123456789"[..]][..], &[b"1", b"2345678", b"9"], &[b"1234", b"", b"56789"]] {
                assert_eq!(computed(stated, pieces), stated, "{}", stated.name());
            }
            assert_ne!(computed(stated, &[b"123456780"]), stated);
        }
        let whole = StatedChecksum::Sha256OfParts { part_bytes: 3, digest: nothing };
        let expected = Sha256Digest::of(&[Sha256Digest::of(b"123").0, Sha256Digest::of(b"456").0].concat());
        assert_eq!(computed(whole, &[b"12", b"3456"]), StatedChecksum::Sha256OfParts { part_bytes: 3, digest: expected });
    }
}
