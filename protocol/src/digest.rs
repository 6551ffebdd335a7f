//! SHA-256 of a chunk, and the root over all chunks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The SHA-256 of some bytes. Written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Digest(pub [u8; 32]);

impl Sha256Digest {
    /// Hashes `bytes` in one go.
    pub fn of(bytes: &[u8]) -> Self {
        Sha256Digest(Sha256::digest(bytes).into())
    }

    /// The digest of `length` zero bytes, computed without having them.
    pub fn of_zeros(length: u64) -> Self {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let mut hasher = Sha256::new();
        let mut left = length;
        while left > 0 {
            let step = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            hasher.update(&ZEROS[..step]);
            left -= step as u64;
        }
        Sha256Digest(hasher.finalize().into())
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 lower-case hexadecimal digits")]
pub struct DigestParseError;

impl FromStr for Sha256Digest {
    type Err = DigestParseError;

    fn from_str(text: &str) -> Result<Self, DigestParseError> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(DigestParseError);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestParseError)?;
        Ok(Sha256Digest(bytes))
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Computes the root: SHA-256 over the 32-byte chunk digests in drive order.
///
/// The same as the LINEAR aggregation of EBS snapshots; it lets chunks be hashed in parallel.
#[derive(Debug, Clone, Default)]
pub struct RootHasher {
    hasher: Sha256,
}

impl RootHasher {
    /// Adds the digest of the next chunk in drive order.
    pub fn add(&mut self, digest: &Sha256Digest) {
        self.hasher.update(digest.0);
    }

    /// The root over all digests added.
    pub fn finish(self) -> Sha256Digest {
        Sha256Digest(self.hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_zeros_is_the_digest_of_that_many_zeros() {
        for length in [0_usize, 1, 512, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 1 << 20] {
            assert_eq!(Sha256Digest::of_zeros(length as u64), Sha256Digest::of(&vec![0; length]), "{length}");
        }
    }

    #[test]
    fn text_form_is_what_sha256sum_prints() {
        let digest = Sha256Digest::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(text.to_uppercase().parse::<Sha256Digest>(), Err(DigestParseError));
    }

    #[test]
    fn the_root_depends_on_the_order() {
        let (first, second) = (Sha256Digest::of(b"1"), Sha256Digest::of(b"2"));
        let root = |digests: [&Sha256Digest; 2]| {
            let mut hasher = RootHasher::default();
            digests.into_iter().for_each(|digest| hasher.add(digest));
            hasher.finish()
        };
        assert_eq!(root([&first, &second]), Sha256Digest::of(&[first.0, second.0].concat()));
        assert_ne!(root([&first, &second]), root([&second, &first]));
    }
}
