//! Checksums of a body, as they go over the wire.

use md5::{Digest, Md5};

/// A checksum that the receiving side compares with the bytes that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferChecksum {
    /// CRC-64 as Azure has it in `x-ms-content-crc64`: polynomial 0x9A6C9329AC4BC9B5 reflected, the
    /// same as CRC-64/NVME, eight bytes little-endian.
    Crc64([u8; 8]),
    /// `Content-MD5`.
    Md5([u8; 16]),
}

impl TransferChecksum {
    /// Whether `bytes` have this checksum.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        match self {
            TransferChecksum::Crc64(expected) => crc64(bytes) == *expected,
            TransferChecksum::Md5(expected) => md5(bytes) == *expected,
        }
    }
}

/// CRC-64 of `bytes` in the order of bytes that Azure uses.
pub fn crc64(bytes: &[u8]) -> [u8; 8] {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes).to_le_bytes()
}

/// MD5 of `bytes`. Three times as slow as SHA-256 on processors with SHA instructions: only where a
/// server knows no better one.
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(crc64(b"123456789"), 0xae8b_1486_0a79_9888_u64.to_le_bytes());
        assert_eq!(md5(b"abc"), [0x90, 1, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0, 0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f, 0x72]);
        assert!(TransferChecksum::Crc64(crc64(b"x")).fits(b"x") && !TransferChecksum::Md5(md5(b"x")).fits(b"y"));
    }
}
