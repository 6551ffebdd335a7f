//! How a BLOB is written on the command line.
//!
//! | written | meant |
//! |---|---|
//! | `PATH`, `file:///PATH` | a plain file in a directory store |
//! | `https://ACCOUNT.blob.core.windows.net/CONTAINER/NAME[?SAS]` | an Azure blob |
//! | `http://HOST:PORT/ACCOUNT/CONTAINER/NAME[?SAS]` | a blob of an emulator |
//! | `az://CONTAINER/NAME` | an Azure blob, the account from the environment |
//! | `s3://BUCKET/KEY` | an object of S3, the endpoint from the environment or AWS's |
//! | `s3+https://HOST[:PORT]/BUCKET/KEY`, `s3+http://…` | an object of a server that is compatible with S3 |
//! | `gs://BUCKET/NAME` | an object of Google Cloud Storage, the endpoint from the environment or Google's |
//! | `gs+https://HOST[:PORT]/BUCKET/NAME`, `gs+http://…` | an object of an emulator of it, or behind another endpoint |
//!
//! In URLs a name is percent-encoded, in a path and after `az://`, `s3://` and `gs://` it is taken as it stands. `?snapshot=TIME` or
//! `?versionid=TIME` at the end names the blob as it was then; in a URL a SAS may stand beside it.

mod object;
mod text;

use std::fmt;
use std::path::PathBuf;

use percent_encoding::{percent_decode_str, utf8_percent_encode};
use url::{Host, Url};

pub use object::{GcsAddress, S3Address};
pub use text::AddressError;
use text::{NAME_ENCODING, check_name};
pub(crate) use text::{require_no_signature, without_secrets};

/// A parsed BLOB.
#[derive(Clone, PartialEq, Eq)]
pub enum BlobAddress {
    /// A file.
    File(PathBuf),
    /// A blob of Azure or of an emulator.
    Azure(AzureAddress),
    /// A blob of the account that the environment names.
    AzureOfEnvironment {
        /// The container.
        container: String,
        /// The blob's name, not encoded.
        name: String,
        /// The blob as it was.
        past: Option<PastState>,
    },
    /// An object of S3 or of a compatible server.
    S3(S3Address),
    /// An object of Google Cloud Storage or of an emulator.
    Gcs(GcsAddress),
}

/// A snapshot or an older version of a blob: a time, as the store gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastState {
    /// The parameter of a URL that names it.
    pub(crate) parameter: &'static str,
    /// Digits, `T`, `Z` and the punctuation of a time alone.
    time: String,
}

impl PastState {
    /// From one parameter of a query.
    fn of(pair: &str) -> Option<Self> {
        let (name, value) = pair.split_once('=')?;
        let parameter = ["snapshot", "versionid"].into_iter().find(|known| name.eq_ignore_ascii_case(known))?;
        let time = percent_decode_str(value).decode_utf8().ok()?.into_owned();
        let is_time = time.len() <= 40 && time.starts_with(|first: char| first.is_ascii_digit());
        let is_plain = time.chars().all(|letter| letter.is_ascii_digit() || "TZ:.-".contains(letter));
        (is_time && is_plain).then_some(PastState { parameter, time })
    }
}

impl fmt::Display for PastState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.parameter, self.time)
    }
}

/// Where an Azure blob is.
#[derive(Clone, PartialEq, Eq)]
pub struct AzureAddress {
    /// The account's endpoint, without a slash at its end.
    pub endpoint: Url,
    /// The account's name.
    pub account: String,
    /// The container.
    pub container: String,
    /// The blob's name, not encoded.
    pub name: String,
    /// The blob as it was, where that is what the address names.
    pub past: Option<PastState>,
    /// The rest of the query of the address: a shared access signature.
    pub sas: Option<String>,
}

impl BlobAddress {
    /// Understands what was written on the command line. Messages never repeat a query.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            require_no_signature(text)?;
            return file(PathBuf::from(text), text);
        };
        if !matches!(scheme, "https" | "http") {
            require_no_signature(text)?;
        }
        match scheme {
            "file" => {
                let path = rest.strip_prefix("localhost").unwrap_or(rest);
                if !path.starts_with('/') {
                    return Err(AddressError::NotAUrl(text.to_owned(), "a file URL has no host: write file:///PATH".to_owned()));
                }
                let decoded = percent_decode_str(path).decode_utf8();
                let decoded = decoded.map_err(|error| AddressError::NotAUrl(text.to_owned(), error.to_string()))?;
                file(PathBuf::from(decoded.into_owned()), text)
            }
            "az" => {
                let form = "az://CONTAINER/NAME";
                let (container, name) = rest.split_once('/').ok_or(AddressError::Incomplete(text.to_owned(), form))?;
                let past = name.rsplit_once('?').and_then(|(name, query)| Some((name, PastState::of(query)?)));
                let (name, past) = past.map_or((name, None), |(name, past)| (name, Some(past)));
                let (container, name) = (container.to_owned(), name.to_owned());
                check_name(&container, &name, text, form)?;
                Ok(BlobAddress::AzureOfEnvironment { container, name, past })
            }
            "https" | "http" => AzureAddress::parse(text).map(BlobAddress::Azure),
            "s3" => S3Address::of_path(rest, text).map(BlobAddress::S3),
            "s3+https" | "s3+http" => S3Address::of_url(text).map(BlobAddress::S3),
            "gs" => GcsAddress::of_path(rest, text).map(BlobAddress::Gcs),
            "gs+https" | "gs+http" => GcsAddress::of_url(text).map(BlobAddress::Gcs),
            other => Err(AddressError::UnknownScheme(other.to_owned())),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
}

fn file(path: PathBuf, text: &str) -> Result<BlobAddress, AddressError> {
    match path.file_name() {
        Some(_) if !text.ends_with('/') => Ok(BlobAddress::File(path)),
        _ => Err(AddressError::Incomplete(text.to_owned(), "the path of a file")),
    }
}

impl AzureAddress {
    fn parse(text: &str) -> Result<Self, AddressError> {
        let shown = without_secrets(text);
        let url = Url::parse(text).map_err(|error| AddressError::NotAUrl(shown.clone(), error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(AddressError::Fragment);
        }
        // The path before the parser resolves dots: a name with `..` must be refused, not moved.
        let raw_name = shown.rsplit_once("://").map_or("", |(_, rest)| rest);
        if raw_name
            .split('/')
            .skip(1)
            .any(|part| matches!(&*part.to_lowercase(), "." | ".." | "%2e" | "%2e%2e" | ".%2e" | "%2e."))
        {
            return Err(AddressError::BadName(shown));
        }
        let decode = |part: &str| percent_decode_str(part).decode_utf8().map(|part| part.into_owned());
        let undecodable = |error: std::str::Utf8Error| AddressError::NotAUrl(shown.clone(), error.to_string());
        let path = url.path().trim_start_matches('/');
        let (form, account, path) = match url.host() {
            Some(Host::Domain(domain)) if domain != "localhost" => {
                let account = domain.split('.').next().unwrap_or(domain).to_owned();
                ("https://ACCOUNT.blob.core.windows.net/CONTAINER/NAME", account, path)
            }
            _ => {
                let form = "http://HOST:PORT/ACCOUNT/CONTAINER/NAME";
                let (account, path) = path.split_once('/').unwrap_or((path, ""));
                let account = decode(account).map_err(undecodable)?;
                if account.contains('/') {
                    return Err(AddressError::NotAUrl(shown.clone(), "the name of an account has no `/`".to_owned()));
                }
                (form, account, path)
            }
        };
        let (container, name) = path.split_once('/').unwrap_or((path, ""));
        let (container, name) = (decode(container).map_err(undecodable)?, decode(name).map_err(undecodable)?);
        check_name(&container, &name, &shown, form)?;
        let mut endpoint = url.clone();
        endpoint.set_query(None);
        endpoint.set_path(if form.starts_with("http:") { &account } else { "" });
        let mut past = None;
        let mut rest = Vec::new();
        for pair in url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            match PastState::of(pair).filter(|_| past.is_none()) {
                Some(found) => past = Some(found),
                None => rest.push(pair),
            }
        }
        let sas = (!rest.is_empty()).then(|| rest.join("&"));
        Ok(AzureAddress { endpoint, account, container, name, past, sas })
    }

    /// The same account and container with another name, as it is now.
    pub fn with_name(&self, name: String) -> Self {
        AzureAddress { name, past: None, ..self.clone() }
    }

    /// The blob's URL without its shared access signature.
    pub fn url(&self) -> Url {
        let mut url = self.endpoint.clone();
        let encode = |part: &str| utf8_percent_encode(part, NAME_ENCODING).to_string();
        let path = format!("{}/{}/{}", url.path().trim_end_matches('/'), encode(&self.container), encode(&self.name));
        url.set_path(&path);
        url.set_query(self.past.as_ref().map(PastState::to_string).as_deref());
        url
    }
}

impl fmt::Debug for AzureAddress {
    /// Without the signature.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.url())
    }
}

impl fmt::Debug for BlobAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlobAddress::File(path) => write!(formatter, "{}", path.display()),
            BlobAddress::Azure(address) => write!(formatter, "{address:?}"),
            BlobAddress::AzureOfEnvironment { container, name, past } => {
                write!(formatter, "az://{container}/{name}")?;
                past.as_ref().map_or(Ok(()), |past| write!(formatter, "?{past}"))
            }
            BlobAddress::S3(address) => write!(formatter, "{address}"),
            BlobAddress::Gcs(address) => write!(formatter, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn azure(text: &str) -> AzureAddress {
        match BlobAddress::parse(text) {
            Ok(BlobAddress::Azure(address)) => address,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_are_taken_as_they_stand() {
        for path in ["a b%20?#ü.img", "/store/50%/x", "./c:/d"] {
            assert_eq!(BlobAddress::parse(path).unwrap(), BlobAddress::File(path.into()));
        }
        assert_eq!(BlobAddress::parse("file:///a%20b/c%25").unwrap(), BlobAddress::File("/a b/c%".into()));
        assert!(matches!(BlobAddress::parse("/store/"), Err(AddressError::Incomplete(..))));
    }

    #[test]
    fn azure_addresses_are_taken_apart_and_put_together() {
        let address = azure("https://acme.blob.core.windows.net/c/folder/a%20b%23%3F%25.img?sv=1&sig=a%2Bb");
        assert_eq!((&*address.account, &*address.container, &*address.name), ("acme", "c", "folder/a b#?%.img"));
        assert_eq!(address.sas.as_deref(), Some("sv=1&sig=a%2Bb"));
        assert_eq!(address.url().as_str(), "https://acme.blob.core.windows.net/c/folder/a%20b%23%3F%25.img");
        let emulator = azure("http://127.0.0.1:10000/devstoreaccount1/c/n ü");
        assert_eq!((&*emulator.account, &*emulator.container, &*emulator.name), ("devstoreaccount1", "c", "n ü"));
        assert_eq!(emulator.url().as_str(), "http://127.0.0.1:10000/devstoreaccount1/c/n%20%C3%BC");
    }

    #[test]
    fn a_snapshot_is_a_part_of_the_address_and_no_secret() {
        let time = "2026-01-02T03:04:05.0000000Z";
        for (query, sas) in [
            (format!("snapshot={time}"), None),
            (format!("sv=1&Snapshot={}&sig=S", time.replace(':', "%3A")), Some("sv=1&sig=S")),
        ] {
            let address = azure(&format!("https://acme.blob.core.windows.net/c/n?{query}"));
            assert_eq!(address.url().as_str(), format!("https://acme.blob.core.windows.net/c/n?snapshot={time}"));
            assert_eq!(address.sas.as_deref(), sas);
            assert_eq!(address.with_name("m".to_owned()).url().as_str(), "https://acme.blob.core.windows.net/c/m");
        }
        let named = BlobAddress::parse(&format!("az://c/n?versionid={time}")).unwrap();
        assert_eq!(format!("{named:?}"), format!("az://c/n?versionid={time}"));
        // What only looks like one is a name, or a part of the signature.
        for text in ["az://c/n?snapshot=SECRET", "az://c/n?snapshot=", "az://c/n?x=2026"] {
            assert!(matches!(BlobAddress::parse(text).unwrap(), BlobAddress::AzureOfEnvironment { past: None, .. }), "{text}");
        }
        let odd = azure("https://acme.blob.core.windows.net/c/n?snapshot=SECRET");
        assert_eq!((odd.past, odd.sas.as_deref()), (None, Some("snapshot=SECRET")));
    }

    #[test]
    fn objects_of_s3_are_taken_apart_and_put_together() {
        let s3 = |text: &str| match BlobAddress::parse(text) {
            Ok(BlobAddress::S3(address)) => address,
            other => panic!("{other:?}"),
        };
        let plain = s3("s3://acme/folder/a b#?%.img");
        assert_eq!((&plain.endpoint, &*plain.bucket, &*plain.key), (&None, "acme", "folder/a b#?%.img"));
        assert_eq!(plain.to_string(), "s3://acme/folder/a b#?%.img");
        let own = s3("s3+http://127.0.0.1:8333/acme/folder/a%20b%23%3F%25.img");
        assert_eq!((&*own.bucket, &*own.key), ("acme", "folder/a b#?%.img"));
        assert_eq!(own.endpoint.as_ref().map(Url::as_str), Some("http://127.0.0.1:8333/"));
        assert_eq!(own.to_string(), "s3+http://127.0.0.1:8333/acme/folder/a%20b%23%3F%25.img");
        for bad in
            ["s3://acme", "s3://acme/", "s3://a b/c", "s3://acme/../c", "s3+https://host/acme", "s3+https://u:SECRET@host/a/b"]
                .into_iter()
                .chain([
                    "s3+https://host\\a/b/c",
                    "s3+https://host/a/b?sig=SECRET",
                    "s3+https://host/a/b#c",
                    "s3+https://[bad/a/b",
                ])
        {
            let error = BlobAddress::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn objects_of_gcs_are_taken_apart_and_put_together() {
        let gcs = |text: &str| match BlobAddress::parse(text) {
            Ok(BlobAddress::Gcs(address)) => address,
            other => panic!("{other:?}"),
        };
        let plain = gcs("gs://ac.me_1/folder/a b#?%.img");
        assert_eq!((&plain.endpoint, &*plain.bucket, &*plain.name), (&None, "ac.me_1", "folder/a b#?%.img"));
        assert_eq!(plain.to_string(), "gs://ac.me_1/folder/a b#?%.img");
        let own = gcs("gs+http://127.0.0.1:4443/acme/folder/a%20b%23%3F%25.img");
        assert_eq!((&*own.bucket, &*own.name), ("acme", "folder/a b#?%.img"));
        assert_eq!(own.to_string(), "gs+http://127.0.0.1:4443/acme/folder/a%20b%23%3F%25.img");
        for bad in ["gs://acme", "gs://acme/", "gs://a b/c", "gs+https://u:SECRET@host/a/b", "gs+https://host/a/b?sig=SECRET"] {
            let error = BlobAddress::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn what_is_no_blob_is_refused_without_its_secret() {
        let refused = |text: &str| BlobAddress::parse(text).unwrap_err().to_string();
        assert!(refused("ftp://bucket/key").contains("`ftp://` is not a scheme"));
        assert!(refused("https://acme.blob.core.windows.net/c?sig=SECRET").contains("does not name a blob"));
        assert!(refused("http://127.0.0.1:1/account/c?sig=SECRET").contains("does not name a blob"));
        assert!(refused("https://u:p@acme.blob.core.windows.net/c/n").contains("user name"));
        assert!(refused("https://acme.blob.core.windows.net/c/../n").contains("cannot be used"));
        assert!(refused("az://container").contains("az://CONTAINER/NAME"));
        for text in [
            "https://acme.blob.core.windows.net/c?sig=SECRET",
            "https://[bad/c/n?sig=SECRET",
            "acme.blob.core.windows.net/c/n?sv=1&sig=SECRET",
            "az://container/name?sv=1&sig=SECRET",
            "az://container?sig=SECRET",
            "file:///srv/x.img?sig=SECRET",
            "file://host/x.img?sig=SECRET",
            "https://SECRET@[/c/n",
            "https://u:SECRET@[bad/c/n",
            "https://u:SECRET@acme.blob.core.windows.net/c",
            "http://u:SECRET@127.0.0.1:1/account/c",
        ] {
            assert!(!refused(text).contains("SECRET"), "{text}");
        }
        assert!(!format!("{:?}", azure("https://a.blob.core.windows.net/c/n?sig=SECRET")).contains("SECRET"));
    }
}
