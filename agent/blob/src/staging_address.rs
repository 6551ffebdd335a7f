//! Where the pieces of unfinished objects are put: a bucket, or a folder of one.

use crate::address::{AddressError, BlobAddress, GcsAddress, S3Address, without_secrets};

/// A name that stands where a place has none.
const ANY: &str = "any";

/// A place for pieces: an address whose name is that of a folder, with `/` at its end, or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StagingAddress {
    /// Of S3 or of a compatible server.
    S3(S3Address),
    /// Of Google Cloud Storage or of an emulator.
    Gcs(GcsAddress),
}

impl StagingAddress {
    /// Understands `s3://BUCKET[/FOLDER]`, `gs://BUCKET[/FOLDER]`, and both with an endpoint.
    ///
    /// # Errors
    /// When it is neither. Messages never repeat a query, a user name or a password.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let refused = || AddressError::Staging(without_secrets(text));
        let in_folder = format!("{}/{ANY}", text.trim_end_matches('/'));
        let folder = |name: &str| name.strip_suffix(ANY).map(str::to_owned).ok_or_else(refused);
        match BlobAddress::parse(&in_folder).map_err(|_| refused())? {
            BlobAddress::S3(address) => Ok(StagingAddress::S3(address.with_key(folder(&address.key)?))),
            BlobAddress::Gcs(address) => Ok(StagingAddress::Gcs(address.with_name(folder(&address.name)?))),
            _ => Err(refused()),
        }
    }
}

impl std::fmt::Display for StagingAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StagingAddress::S3(address) => write!(formatter, "{address}"),
            StagingAddress::Gcs(address) => write!(formatter, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_bucket_or_a_folder_of_one() {
        for (text, shown) in [
            ("s3://scratch", "s3://scratch/"),
            ("s3://scratch/", "s3://scratch/"),
            ("s3://scratch/pieces", "s3://scratch/pieces/"),
            ("s3://scratch/a b/c//", "s3://scratch/a b/c/"),
            ("s3+http://127.0.0.1:8333/scratch/a%20b", "s3+http://127.0.0.1:8333/scratch/a%20b/"),
            ("gs://scratch/pieces/", "gs://scratch/pieces/"),
            ("gs+https://host/scratch", "gs+https://host/scratch/"),
        ] {
            let place = StagingAddress::parse(text).unwrap();
            assert_eq!(place.to_string(), shown);
            assert_eq!(StagingAddress::parse(shown).as_ref(), Ok(&place), "{shown}");
        }
        for bad in
            ["", "s3://", "/srv/pieces", "file:///srv", "az://c/n", "https://a.blob.core.windows.net/c", "s3://a/../b", "s3:///x"]
        {
            assert!(StagingAddress::parse(bad).is_err(), "{bad}");
        }
        for bad in
            ["s3://b/f?sig=SECRET", "s3+https://me:SECRET@host/b", "gs+https://host/b?sig=SECRET", "https://h/b?sig=SECRET"]
        {
            let error = StagingAddress::parse(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
        }
    }
}
