//! Where an unfinished transfer keeps what is not the object yet: below `KEY.part/<transfer>/`, so that everything there says
//! whose it is. That is beside the object, or in a place of its own, below the name of the bucket.
//!
//! | name | what it is |
//! |---|---|
//! | `upload` | the id of the upload of the final object: a list of uploads does not say which transfer began one |
//! | `0`, `1`, … | a segment |
//! | `zero` | a chunk of zeros, which is copied at the store |
//! | `zeros` | a segment of zeros, the same |
//! | `probe` | what shows whether the store refuses a wrong checksum |

use std::sync::Arc;

use super::bucket::S3Bucket;
use crate::address::S3Address;
use crate::staging_address::StagingAddress;

/// Where pieces are put, where that is not beside their object.
#[derive(Clone)]
pub(crate) struct StagingPlace {
    pub(super) bucket: Arc<S3Bucket>,
    /// The key is that of a folder.
    pub(super) address: S3Address,
}

impl StagingPlace {
    /// The place that a text names, on the server of this bucket.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub(crate) fn of(text: &str, bucket: &S3Bucket) -> Result<Self, String> {
        let address = match StagingAddress::parse(text).map_err(|error| error.to_string())? {
            StagingAddress::S3(address) => address,
            other => return Err(format!("`{other}` is of another store than the object: write s3://BUCKET/FOLDER")),
        };
        if address.endpoint.as_ref().unwrap_or(&bucket.place.own_endpoint) != &bucket.place.endpoint {
            return Err(format!(
                "`{address}` is on another server than the object, and pieces are put together on one: name a bucket of the same server"
            ));
        }
        let address = S3Address { endpoint: bucket.shown_endpoint(), ..address };
        Ok(StagingPlace { bucket: bucket.beside(&address.bucket), address })
    }

    /// What the names of the pieces of a bucket's objects begin with.
    pub(super) fn folder_of(&self, bucket: &str) -> String {
        format!("{}{bucket}/", self.address.key)
    }
}

/// What follows the key, before the id of a transfer.
const PART: &str = ".part/";

/// Characters of the id of a transfer.
const ID_CHARACTERS: usize = 32;

/// The longest name of a segment: there are at most 10,000.
const NAME_CHARACTERS_MAX: usize = 6;

/// The names of one transfer beside one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staging {
    prefix: String,
}

impl Staging {
    /// Below a folder, which ends with `/`, or is empty.
    pub(super) fn of(folder: &str, key: &str, transfer_id: &str) -> Self {
        Staging { prefix: format!("{folder}{key}{PART}{transfer_id}/") }
    }

    /// What all of them begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What the names of all transfers beside a key begin with.
    pub(super) fn of_all(folder: &str, key: &str) -> String {
        format!("{folder}{key}{PART}")
    }

    pub(super) fn marker(&self) -> String {
        format!("{}upload", self.prefix)
    }

    pub(super) fn segment(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    pub(super) fn zero_chunk(&self) -> String {
        format!("{}zero", self.prefix)
    }

    pub(super) fn zero_segment(&self) -> String {
        format!("{}zeros", self.prefix)
    }

    pub(super) fn probe(&self) -> String {
        format!("{}probe", self.prefix)
    }

    /// How much longer than its key the names beside an object are, in bytes.
    pub(super) fn longest_suffix_bytes() -> usize {
        PART.len() + ID_CHARACTERS + 1 + NAME_CHARACTERS_MAX
    }
}

/// Whether a key is one that an unfinished transfer of ours uses.
pub(crate) fn named_by_staging(key: &str) -> bool {
    let Some((before, name)) = key.rsplit_once('/') else { return false };
    let Some((_, id)) = before.rsplit_once(PART) else { return false };
    let is_id = id.len() == ID_CHARACTERS && id.bytes().all(|letter| letter.is_ascii_digit() || (b'a'..=b'f').contains(&letter));
    let is_segment = !name.is_empty() && name.len() <= NAME_CHARACTERS_MAX && name.bytes().all(|letter| letter.is_ascii_digit());
    is_id && (is_segment || matches!(name, "upload" | "zero" | "zeros" | "probe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_unfinished_transfers_are_known() {
        let staging = Staging::of("", "a/b.img", "0123456789abcdef0123456789abcdef");
        let names = [staging.marker(), staging.segment(9_999), staging.zero_chunk(), staging.zero_segment(), staging.probe()];
        for name in names {
            assert!(named_by_staging(&name) && name.starts_with(staging.prefix()), "{name}");
            assert!(name.len() <= "a/b.img".len() + Staging::longest_suffix_bytes(), "{name}");
        }
        for name in ["a.part/x/0", "a.part/0123456789abcdef0123456789abcdef/other", "a", "0123456789abcdef0123456789abcdef/0"] {
            assert!(!named_by_staging(name), "{name}");
        }
    }
}
