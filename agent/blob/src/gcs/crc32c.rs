//! CRC32C, the one checksum that every object of Google Cloud Storage has, and that can be computed from those of its pieces.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, checksum, checksum_combine};

use crate::stated::StatedChecksum;

/// A CRC32C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crc32c(u32);

impl Crc32c {
    /// Of nothing.
    pub(super) const EMPTY: Crc32c = Crc32c(0);

    pub(super) fn of(bytes: &[u8]) -> Self {
        Crc32c(narrow(checksum(CrcAlgorithm::Crc32Iscsi, bytes)))
    }

    /// Of what this one is of, followed by so many bytes with that one.
    pub(super) fn followed_by(self, next: Crc32c, next_bytes: u64) -> Self {
        let combined = checksum_combine(CrcAlgorithm::Crc32Iscsi, u64::from(self.0), u64::from(next.0), next_bytes);
        Crc32c(narrow(combined))
    }

    /// As `x-goog-hash` has it: base64 of four bytes, the highest first ("x-goog-hash" of the XML API's headers).
    pub(super) fn header(self) -> String {
        format!("crc32c={}", STANDARD.encode(self.0.to_be_bytes()))
    }

    /// As what an object states of itself.
    pub(super) fn stated(self) -> StatedChecksum {
        StatedChecksum::Crc32c(self.0)
    }

    /// From the value of `x-goog-hash`, which may name other checksums as well.
    pub(super) fn of_header(text: &str) -> Option<Self> {
        let encoded = text.split(',').find_map(|one| one.trim().strip_prefix("crc32c="))?;
        let bytes: [u8; 4] = STANDARD.decode(encoded).ok()?.try_into().ok()?;
        Some(Crc32c(u32::from_be_bytes(bytes)))
    }
}

/// The library gives checksums of every width as numbers of 64 bits.
fn narrow(checksum: u64) -> u32 {
    u32::try_from(checksum).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(Crc32c::of(b"123456789"), Crc32c(0xe306_9283));
        assert_eq!(Crc32c::of(b"123456789").header(), "crc32c=4waSgw==");
        assert_eq!(Crc32c::of(b""), Crc32c::EMPTY);
    }

    #[test]
    fn the_checksum_of_the_whole_follows_from_its_pieces() {
        let whole: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        for cut in [0, 1, 4096, 99_999, 100_000] {
            let (first, second) = whole.split_at(cut);
            let combined = Crc32c::of(first).followed_by(Crc32c::of(second), second.len() as u64);
            assert_eq!(combined, Crc32c::of(&whole), "{cut}");
        }
        let zeros = Crc32c::of(&[0; 1000]);
        assert_eq!(zeros.followed_by(zeros, 1000), Crc32c::of(&[0; 2000]));
    }

    #[test]
    fn it_is_found_among_other_checksums() {
        let found = Some(Crc32c(0xe306_9283));
        assert_eq!(Crc32c::of_header("crc32c=4waSgw==, md5=Ojk9c3dhfxgoKVVHYwFbHQ=="), found);
        assert_eq!(Crc32c::of_header("md5=Ojk9c3dhfxgoKVVHYwFbHQ==,crc32c=4waSgw=="), found);
        for bad in ["", "md5=Ojk9c3dhfxgoKVVHYwFbHQ==", "crc32c=", "crc32c=4waS", "crc32c=4waSg4waSgw=="] {
            assert_eq!(Crc32c::of_header(bad), None, "{bad}");
        }
    }
}
