//! Where an unfinished transfer keeps what is not the object yet: below `NAME.part/<transfer>/`, so that everything there says
//! whose it is; in a folder of the bucket where one was named. The id of a transfer is random, and stands before the digests: the
//! load is spread.
//!
//! | name | what it is |
//! |---|---|
//! | 64 digits | a chunk, by its SHA-256 |
//! | `c` and 64 digits | an object that was composed, by the SHA-256 over the names of what it was composed of |
//! | `probe` | what shows whether the store refuses a wrong checksum |

use std::fmt;

use protocol::digest::Sha256Digest;
use sha2::{Digest, Sha256};

use super::bucket::GcsBucket;
use crate::address::GcsAddress;
use crate::staging_address::StagingAddress;

/// The folder that a text names, for the pieces of an object at this address: its name, with `/` at the end, or empty.
///
/// # Errors
/// With what is wrong with it.
pub(crate) fn folder_of(text: &str, object: &GcsAddress, bucket: &GcsBucket) -> Result<String, String> {
    let place = match StagingAddress::parse(text).map_err(|error| error.to_string())? {
        StagingAddress::Gcs(place) => place,
        other => return Err(format!("`{other}` is of another store than the object: write gs://{}/FOLDER", object.bucket)),
    };
    let endpoint = place.endpoint.as_ref().unwrap_or(&bucket.place.own_endpoint);
    match endpoint == &bucket.place.endpoint && place.bucket == object.bucket {
        true => Ok(place.name),
        false => Err(format!(
            "`{place}` is in another bucket than the object, and Google Cloud Storage puts together what is in one: write gs://{}/FOLDER",
            object.bucket
        )),
    }
}

/// Name of the scheme, as the manifest's header has it.
pub(super) const SCHEME: &str = "name+sha256";

/// What follows the name, before the id of a transfer.
const PART: &str = ".part/";

/// Characters of the id of a transfer.
const ID_CHARACTERS: usize = 32;

/// Digits of a digest.
const DIGEST_CHARACTERS: usize = 64;

/// What a name below the prefix of a transfer stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum PieceName {
    /// A chunk, or a piece of a file, with this SHA-256.
    Sent(Sha256Digest),
    /// What others were composed to.
    Composed(Sha256Digest),
}

impl PieceName {
    /// Of what these are composed to, in this order.
    pub(super) fn of_composed(sources: impl Iterator<Item = PieceName>) -> Self {
        let mut hasher = Sha256::new();
        for source in sources {
            let (kind, digest) = match source {
                PieceName::Sent(digest) => (b's', digest),
                PieceName::Composed(digest) => (b'c', digest),
            };
            hasher.update([kind]);
            hasher.update(digest.0);
        }
        PieceName::Composed(Sha256Digest(hasher.finalize().into()))
    }
}

impl fmt::Display for PieceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PieceName::Sent(digest) => write!(formatter, "{digest}"),
            PieceName::Composed(digest) => write!(formatter, "c{digest}"),
        }
    }
}

/// The names of one transfer beside one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staging {
    prefix: String,
}

impl Staging {
    /// Below a folder, which ends with `/`, or is empty.
    pub(super) fn of(folder: &str, name: &str, transfer_id: &str) -> Self {
        Staging { prefix: format!("{folder}{name}{PART}{transfer_id}/") }
    }

    /// What all of them begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What the names of all transfers beside an object begin with.
    pub(super) fn of_all(folder: &str, name: &str) -> String {
        format!("{folder}{name}{PART}")
    }

    pub(super) fn piece(&self, name: PieceName) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn probe(&self) -> String {
        format!("{}probe", self.prefix)
    }

    /// The chunk that a name stands for.
    pub(super) fn chunk_of(&self, name: &str) -> Option<Sha256Digest> {
        name.strip_prefix(&self.prefix).filter(|digits| is_digest(digits))?.parse().ok()
    }

    /// How much longer than its name the names beside an object are, in bytes.
    pub(super) fn longest_suffix_bytes() -> usize {
        PART.len() + ID_CHARACTERS + 1 + 1 + DIGEST_CHARACTERS
    }
}

/// Whether a name is one that an unfinished transfer of ours uses.
pub(crate) fn named_by_staging(name: &str) -> bool {
    let Some((before, last)) = name.rsplit_once('/') else { return false };
    let Some((_, id)) = before.rsplit_once(PART) else { return false };
    let is_id = id.len() == ID_CHARACTERS && is_hexadecimal(id);
    is_id && (last == "probe" || is_digest(last) || last.strip_prefix('c').is_some_and(is_digest))
}

fn is_digest(text: &str) -> bool {
    text.len() == DIGEST_CHARACTERS && is_hexadecimal(text)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|letter| letter.is_ascii_digit() || (b'a'..=b'f').contains(&letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_unfinished_transfers_are_known() {
        let staging = Staging::of("", "a/b.img", "0123456789abcdef0123456789abcdef");
        let chunk = Sha256Digest::of(b"chunk");
        let (sent, composed) = (PieceName::Sent(chunk), PieceName::of_composed([PieceName::Sent(chunk)].into_iter()));
        for name in [staging.piece(sent), staging.piece(composed), staging.probe()] {
            assert!(named_by_staging(&name) && name.starts_with(staging.prefix()), "{name}");
            assert!(name.len() <= "a/b.img".len() + Staging::longest_suffix_bytes(), "{name}");
        }
        assert_eq!(staging.chunk_of(&staging.piece(sent)), Some(chunk));
        assert_eq!(staging.chunk_of(&staging.piece(composed)), None);
        for name in ["a.part/x/0", "a.part/0123456789abcdef0123456789abcdef/other", "a", "0123456789abcdef0123456789abcdef/0"] {
            assert!(!named_by_staging(name) && staging.chunk_of(name).is_none(), "{name}");
        }
    }

    #[test]
    fn what_is_composed_is_named_by_kind_and_order() {
        let [one, two] = [b"1", b"2"].map(|bytes| Sha256Digest::of(bytes));
        let composed = |names: &[PieceName]| PieceName::of_composed(names.iter().copied());
        let (sent, made) = (PieceName::Sent, PieceName::Composed);
        assert_eq!(composed(&[sent(one), sent(two)]), composed(&[sent(one), sent(two)]));
        for other in [&[sent(two), sent(one)][..], &[sent(one)], &[made(one), sent(two)], &[sent(one), sent(two), sent(two)]] {
            assert_ne!(composed(&[sent(one), sent(two)]), composed(other));
        }
    }
}
