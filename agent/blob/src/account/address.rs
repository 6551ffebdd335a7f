//! How an account is written, and which kind of store that is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::azure::AzureContainers;
use super::contract::Account;
use super::directory::DirectoryAccount;
use super::gcs::GcsBuckets;
use super::s3::S3Buckets;
use crate::address::{AddressError, AzureAddress, BlobAddress, GcsAddress, S3Address, require_no_signature};
use crate::credential_error::CredentialError;
use crate::environment::Environment;
use crate::http::network::Network;

/// Where an account is.
#[derive(Clone, PartialEq, Eq)]
pub enum AccountAddress {
    /// A directory: containers are its folders.
    Directory(PathBuf),
    /// An account of Azure, or of an emulator; container and name of the address mean nothing.
    Azure(AzureAddress),
    /// An account of S3, or a compatible server; bucket and key of the address mean nothing.
    S3(S3Address),
    /// A project of Google Cloud Storage, or an emulator; bucket and name of the address mean nothing.
    Gcs(GcsAddress),
}

/// A name that stands where an account's address has none.
const ANY: &str = "any";

impl AccountAddress {
    /// Understands a path, `file:///PATH`, `https://ACCOUNT.blob.core.windows.net[?SAS]`,
    /// `http://HOST:PORT/ACCOUNT[?SAS]`, `s3://` (AWS, or the endpoint of the environment), `s3+https://HOST`, `gs://`
    /// (Google, or the endpoint of the environment) or `gs+https://HOST`.
    ///
    /// # Errors
    /// When it is none of these. Messages never repeat a query.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("file://") {
            require_no_signature(text)?;
            let decoded = percent_decode_str(path.strip_prefix("localhost").unwrap_or(path)).decode_utf8();
            let decoded = decoded.map_err(|error| AddressError::NotAUrl(text.to_owned(), error.to_string()))?;
            return Ok(AccountAddress::Directory(PathBuf::from(decoded.into_owned())));
        }
        if !text.contains("://") {
            require_no_signature(text)?;
            return Ok(AccountAddress::Directory(PathBuf::from(text)));
        }
        if text == "s3://" {
            return Ok(AccountAddress::S3(S3Address { endpoint: None, bucket: ANY.to_owned(), key: ANY.to_owned() }));
        }
        if text == "gs://" {
            return Ok(AccountAddress::Gcs(GcsAddress { endpoint: None, bucket: ANY.to_owned(), name: ANY.to_owned() }));
        }
        let (place, query) = text.split_once('?').map_or((text, None), |(place, query)| (place, Some(query)));
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        match BlobAddress::parse(&format!("{}/{ANY}/{ANY}{query}", place.trim_end_matches('/')))? {
            BlobAddress::Azure(address) => match address.container == ANY && address.name == ANY {
                true => Ok(AccountAddress::Azure(address)),
                false => {
                    let form = "an account: https://ACCOUNT.blob.core.windows.net, or http://HOST:PORT/ACCOUNT";
                    Err(AddressError::Incomplete(place.to_owned(), form))
                }
            },
            BlobAddress::S3(address) if address.bucket == ANY && address.key == ANY && address.endpoint.is_some() => {
                Ok(AccountAddress::S3(address))
            }
            BlobAddress::S3(_) => {
                let form = "an account: s3:// for AWS, or s3+https://HOST for a server that is compatible with S3";
                Err(AddressError::Incomplete(place.to_owned(), form))
            }
            BlobAddress::Gcs(address) if address.bucket == ANY && address.name == ANY && address.endpoint.is_some() => {
                Ok(AccountAddress::Gcs(address))
            }
            BlobAddress::Gcs(_) => {
                let form = "an account: gs:// for Google Cloud Storage, or gs+https://HOST for another endpoint of it";
                Err(AddressError::Incomplete(place.to_owned(), form))
            }
            _ => Err(AddressError::NotAUrl(place.to_owned(), "it is not the address of an account".to_owned())),
        }
    }

    /// The same, where a connection string of the environment may name the very account: which part of a URL is the
    /// account cannot be distinguished from a host of the user's own.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse).
    pub fn parse_for(text: &str, environment: &Environment) -> Result<Self, AddressError> {
        let (place, query) = text.split_once('?').map_or((text, None), |(place, query)| (place, Some(query)));
        match environment.account_at(place) {
            Some((endpoint, account)) => {
                let sas = query.filter(|query| !query.is_empty()).map(str::to_owned);
                let (container, name) = (ANY.to_owned(), ANY.to_owned());
                Ok(AccountAddress::Azure(AzureAddress { endpoint, account, container, name, past: None, sas }))
            }
            None => Self::parse(text),
        }
    }

    /// Prepares to reach the account. Nothing is sent yet.
    ///
    /// # Errors
    /// When there are no credentials.
    pub fn reach(self, environment: &Environment, network: &Network) -> Result<Arc<dyn Account>, CredentialError> {
        Ok(match self {
            AccountAddress::Directory(root) => Arc::new(DirectoryAccount { root }),
            AccountAddress::Azure(address) => Arc::new(AzureContainers::new(address, environment, network)?),
            AccountAddress::S3(address) => Arc::new(S3Buckets::new(address, environment, network)?),
            AccountAddress::Gcs(address) => Arc::new(GcsBuckets::new(address, environment, network)?),
        })
    }
}

impl fmt::Debug for AccountAddress {
    /// Without the signature.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountAddress::Directory(root) => write!(formatter, "{}", root.display()),
            AccountAddress::Azure(address) => write!(formatter, "{}", address.endpoint),
            AccountAddress::S3(S3Address { endpoint: Some(endpoint), .. }) => write!(formatter, "s3+{endpoint}"),
            AccountAddress::S3(_) => write!(formatter, "s3://"),
            AccountAddress::Gcs(GcsAddress { endpoint: Some(endpoint), .. }) => write!(formatter, "gs+{endpoint}"),
            AccountAddress::Gcs(_) => write!(formatter, "gs://"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::BlobItem;
    use super::*;
    use crate::http::transport::SILENCE_MAX;

    #[test]
    fn accounts_are_understood() {
        assert_eq!(AccountAddress::parse("/srv/a b").unwrap(), AccountAddress::Directory("/srv/a b".into()));
        assert_eq!(AccountAddress::parse("file:///srv/a%20b").unwrap(), AccountAddress::Directory("/srv/a b".into()));
        let AccountAddress::Azure(cloud) = AccountAddress::parse("https://acme.blob.core.windows.net/?sig=S").unwrap() else {
            panic!()
        };
        assert_eq!((&*cloud.account, cloud.sas.as_deref()), ("acme", Some("sig=S")));
        let AccountAddress::Azure(emulator) = AccountAddress::parse("http://127.0.0.1:10000/devstoreaccount1").unwrap() else {
            panic!()
        };
        assert_eq!((&*emulator.account, emulator.endpoint.path()), ("devstoreaccount1", "/devstoreaccount1"));
        let AccountAddress::S3(aws) = AccountAddress::parse("s3://").unwrap() else { panic!() };
        let AccountAddress::S3(own) = AccountAddress::parse("s3+http://127.0.0.1:8333/").unwrap() else { panic!() };
        assert_eq!((aws.endpoint, own.endpoint.unwrap().as_str()), (None, "http://127.0.0.1:8333/"));
        let AccountAddress::Gcs(google) = AccountAddress::parse("gs://").unwrap() else { panic!() };
        let AccountAddress::Gcs(emulator) = AccountAddress::parse("gs+http://127.0.0.1:4443").unwrap() else { panic!() };
        assert_eq!((google.endpoint, emulator.endpoint.unwrap().as_str()), (None, "http://127.0.0.1:4443/"));
        assert!(AccountAddress::parse("gs://bucket").is_err() && AccountAddress::parse("gs+http://127.0.0.1:1/bucket").is_err());
        assert!(AccountAddress::parse("s3://bucket").is_err() && AccountAddress::parse("s3+http://127.0.0.1:1/bucket").is_err());
        for bad in ["https://acme.blob.core.windows.net/c?sig=SECRET", "s3://acme?sig=SECRET", "http://127.0.0.1:1?sig=SECRET"]
            .into_iter()
            .chain(["acme.blob.core.windows.net?sig=SECRET", "file:///srv?sig=SECRET"])
        {
            let error = AccountAddress::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("SECRET"), "{error}");
        }
        let shown = format!("{:?}", AccountAddress::parse("https://acme.blob.core.windows.net/?sig=SECRET").unwrap());
        assert!(!shown.contains("SECRET"), "{shown}");
    }

    #[test]
    fn a_connection_string_says_what_of_a_url_is_the_account() {
        let text = "AZURE_STORAGE_CONNECTION_STRING=AccountName=acme;AccountKey=a2V5;BlobEndpoint=http://azurite:10000/acme";
        let environment = Environment::from_text(text).unwrap();
        let parsed = |text: &str| AccountAddress::parse_for(text, &environment);
        let AccountAddress::Azure(own) = parsed("http://azurite:10000/acme/").unwrap() else { panic!() };
        assert_eq!((&*own.account, own.endpoint.as_str(), own.sas), ("acme", "http://azurite:10000/acme", None));
        assert!(parsed("http://azurite:10001/acme").is_err() && parsed("http://azurite:10000/other").is_err());
        assert_eq!(parsed("/srv").unwrap(), AccountAddress::Directory("/srv".into()));
    }

    #[tokio::test]
    async fn a_directory_is_an_account() {
        let folder = tempfile::tempdir().unwrap();
        let account = AccountAddress::Directory(folder.path().to_owned())
            .reach(&Environment::default(), &Network::direct(SILENCE_MAX))
            .unwrap();
        account.make_place("one", "deep/er/a.img").await.unwrap();
        account.make_place("only", "b.img").await.unwrap();
        std::fs::write(folder.path().join("one/deep/er/a.img"), "12345").unwrap();
        std::fs::write(folder.path().join("one/deep/b.img.0123456789abcdef.partial"), "").unwrap();
        assert_eq!(account.containers("on").await.unwrap(), ["one", "only"]);
        let item = BlobItem { container: "one".into(), name: "deep/er/a.img".into(), size_bytes: 5 };
        assert_eq!(account.blobs("one", "deep/").await.unwrap(), std::slice::from_ref(&item));
        assert_eq!(account.blobs("one", "").await.unwrap(), [item]);
        assert!(account.blobs("one", "e").await.unwrap().is_empty() && account.blobs("none", "").await.unwrap().is_empty());
        let blob = account.blob("one", "deep/er/a.img").unwrap();
        assert_eq!(blob.head().await.unwrap().unwrap().size_bytes, 5);
        for (container, name) in
            [("..", "a"), ("one", "../../a"), ("one", "/etc/passwd"), ("", "a"), ("a/b", "c"), ("one", "a//b")]
        {
            assert!(account.blob(container, name).is_err(), "{container}/{name}");
            assert!(account.make_place(container, name).await.is_err(), "{container}/{name}");
        }
    }
}
