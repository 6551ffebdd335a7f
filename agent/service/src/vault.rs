//! The key that seals the customers' keys, and what is personal of jobs at a server: in a file of its own with mode 0600.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use file::replace::{IfExists, with_suffix, write_file};

/// Why the vault cannot be used, or something sealed cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file of the key.
    #[error("the key file `{path}` cannot be used: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Users other than its owner may read it.
    #[error("the key file `{path}` may be read by others: take the right away with `chmod 600`", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It does not hold a key.
    #[error("the key file `{path}` does not hold 64 hexadecimal digits", path = .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// What was sealed is damaged, or was sealed with another key.
    #[error("a sealed key cannot be opened: it is damaged, or was sealed with another key file")]
    Sealed,
}

/// A key that seals texts, each for one place: what was sealed for another cannot be opened there. AES-256-GCM.
pub struct SealingKey(RandomizedNonceKey);

/// Bytes of a sealing key.
pub(crate) const KEY_BYTES: usize = 32;

impl SealingKey {
    /// The key with these digits, as `Vault::derived_key` gives them.
    ///
    /// # Errors
    /// When they are not 64 hexadecimal ones.
    pub fn from_hex(digits: &str) -> Result<Self, VaultError> {
        let mut bytes = [0; KEY_BYTES];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| VaultError::Sealed)?;
        Self::new(&bytes)
    }

    pub(crate) fn new(bytes: &[u8; KEY_BYTES]) -> Result<Self, VaultError> {
        RandomizedNonceKey::new(&AES_256_GCM, bytes).map(SealingKey).map_err(|_| VaultError::Sealed)
    }

    /// Seals a text for a place.
    ///
    /// # Errors
    /// When it is too long.
    pub fn seal(&self, text: &str, place: &str) -> Result<Vec<u8>, VaultError> {
        let mut bytes = text.as_bytes().to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(place), &mut bytes).map_err(|_| VaultError::Sealed)?;
        bytes.extend_from_slice(nonce.as_ref());
        Ok(bytes)
    }

    /// Opens what was sealed for that place.
    ///
    /// # Errors
    /// When it is damaged, or was sealed for another place or with another key.
    pub fn open(&self, sealed: &[u8], place: &str) -> Result<String, VaultError> {
        let (bytes, nonce) = sealed.split_last_chunk::<NONCE_LEN>().ok_or(VaultError::Sealed)?;
        let mut bytes = bytes.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.0.open_in_place(nonce, Aad::from(place), &mut bytes).map_err(|_| VaultError::Sealed)?;
        String::from_utf8(plain.to_vec()).map_err(|_| VaultError::Sealed)
    }
}

/// Seals the customers' keys, and opens them.
pub struct Vault {
    key: SealingKey,
    /// Made from the key, for proofs: the services that have the same key believe each other.
    proofs: hmac::Key,
    /// Made from the key, for digests that sealed texts are found by.
    search: hmac::Key,
}

/// Bytes of a digest that a text is found by.
const SEARCH_BYTES: usize = 16;

impl Vault {
    /// Reads the key from a file; makes one where there is none.
    ///
    /// # Errors
    /// When the file cannot be used, or others may read it.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        let failed = |source| VaultError::File { path: path.to_owned(), source };
        let mut bytes = [0; KEY_BYTES];
        if !path.try_exists().map_err(failed)? {
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| failed(io::Error::other("no random numbers")))?;
            let line = hex::encode(bytes);
            match write_file(path, &with_suffix(path, ".tmp"), IfExists::Fail, |file| writeln!(file, "{line}")) {
                // Another process made it first; replacing it would lose what is sealed with it already.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                written => written.map_err(failed)?,
            }
        }
        // Read in any case: it may be the other process's.
        let mut file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(VaultError::Open { path: path.to_owned() });
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| VaultError::NoKey { path: path.to_owned() })?;
        let derived = |purpose: &[u8]| {
            let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), purpose);
            hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())
        };
        let key = SealingKey::new(&bytes).map_err(|_| VaultError::NoKey { path: path.to_owned() })?;
        Ok(Vault { key, proofs: derived(b"proofs between services"), search: derived(b"digests of a search") })
    }

    /// Seals a secret for one place: what was sealed for another cannot be opened there.
    pub(crate) fn seal(&self, secret: &str, place: &str) -> Result<Vec<u8>, VaultError> {
        self.key.seal(secret, place)
    }

    /// The digest that a sealed text is found by: hexadecimal digits, the same for the same text with this key alone.
    pub(crate) fn search_digest(&self, text: &str) -> String {
        hex::encode(&hmac::sign(&self.search, text.as_bytes()).as_ref()[..SEARCH_BYTES])
    }

    /// A key for one purpose, made from this one: always the same.
    pub(crate) fn derived_key(&self, purpose: &str) -> String {
        hex::encode(hmac::sign(&self.search, format!("key/{purpose}").as_bytes()))
    }

    /// Proves to another service with the same key that this one says so: hexadecimal digits.
    pub(crate) fn proof(&self, statement: &str) -> String {
        hex::encode(hmac::sign(&self.proofs, statement.as_bytes()))
    }

    /// Whether a service with the same key said so.
    pub(crate) fn is_proof(&self, statement: &str, proof: &str) -> bool {
        hex::decode(proof).is_ok_and(|proof| hmac::verify(&self.proofs, statement.as_bytes(), &proof).is_ok())
    }

    /// Opens what was sealed for that place.
    pub(crate) fn open_sealed(&self, sealed: &[u8], place: &str) -> Result<String, VaultError> {
        self.key.open(sealed, place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        let vault = Vault::open(&path).unwrap();
        let sealed = vault.seal("238810-662376", "job/A").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"238810"));
        assert_ne!(vault.seal("238810-662376", "job/A").unwrap(), sealed, "two sealings tell nothing about each other");
        let again = Vault::open(&path).unwrap();
        assert_eq!(again.open_sealed(&sealed, "job/A").unwrap(), "238810-662376");
        assert!(again.open_sealed(&sealed, "job/B").is_err());
        assert!(again.open_sealed(&sealed[1..], "job/A").is_err() && again.open_sealed(b"short", "job/A").is_err());
        let other = Vault::open(&folder.path().join("other.key")).unwrap();
        assert!(matches!(other.open_sealed(&sealed, "job/A"), Err(VaultError::Sealed)));
    }

    #[test]
    fn processes_that_open_it_at_once_have_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        let start = std::sync::Barrier::new(16);
        let open = || {
            start.wait();
            Vault::open(&path)
        };
        let vaults: Vec<Vault> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(open)).collect();
            // One that waited too long for the file of another fails, and can be started again.
            threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
        });
        let sealed = vaults[0].seal("238810-662376", "job/A").unwrap();
        assert!(vaults.iter().all(|vault| vault.open_sealed(&sealed, "job/A").is_ok()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        Vault::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Vault::open(&path), Err(VaultError::Open { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "no key").unwrap();
        assert!(matches!(Vault::open(&path), Err(VaultError::NoKey { .. })));
    }
}
