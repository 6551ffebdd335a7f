//! Objects of S3 and of Google Cloud Storage: a bucket and a name, at the service's own endpoint or at another one.

use std::fmt;

use percent_encoding::{percent_decode_str, utf8_percent_encode};
use url::Url;

use super::text::{AddressError, NAME_ENCODING, check_name, without_secrets};

/// Where an object of S3 is.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Address {
    /// The endpoint, without a slash at its end; `None` for the one of the environment, or AWS's.
    pub endpoint: Option<Url>,
    /// The bucket.
    pub bucket: String,
    /// The object's key, not encoded.
    pub key: String,
}

/// Where an object of Google Cloud Storage is.
#[derive(Clone, PartialEq, Eq)]
pub struct GcsAddress {
    /// The endpoint, without a slash at its end; `None` for the one of the environment, or Google's.
    pub endpoint: Option<Url>,
    /// The bucket.
    pub bucket: String,
    /// The object's name, not encoded.
    pub name: String,
}

impl S3Address {
    /// `BUCKET/KEY`, as it stands.
    pub(super) fn of_path(path: &str, text: &str) -> Result<Self, AddressError> {
        let (bucket, key) = of_path(path, text, "s3://BUCKET/KEY")?;
        Ok(S3Address { endpoint: None, bucket, key })
    }

    /// `s3+https://HOST/BUCKET/KEY`, with the key percent-encoded.
    pub(super) fn of_url(text: &str) -> Result<Self, AddressError> {
        let (endpoint, bucket, key) = of_url(text, "s3+https://HOST/BUCKET/KEY")?;
        Ok(S3Address { endpoint: Some(endpoint), bucket, key })
    }

    /// The same bucket with another key.
    pub fn with_key(&self, key: String) -> Self {
        S3Address { key, ..self.clone() }
    }
}

impl GcsAddress {
    /// `BUCKET/NAME`, as it stands.
    pub(super) fn of_path(path: &str, text: &str) -> Result<Self, AddressError> {
        let (bucket, name) = of_path(path, text, "gs://BUCKET/NAME")?;
        Ok(GcsAddress { endpoint: None, bucket, name })
    }

    /// `gs+https://HOST/BUCKET/NAME`, with the name percent-encoded.
    pub(super) fn of_url(text: &str) -> Result<Self, AddressError> {
        let (endpoint, bucket, name) = of_url(text, "gs+https://HOST/BUCKET/NAME")?;
        Ok(GcsAddress { endpoint: Some(endpoint), bucket, name })
    }

    /// The same bucket with another name.
    pub fn with_name(&self, name: String) -> Self {
        GcsAddress { name, ..self.clone() }
    }
}

fn of_path(path: &str, text: &str, form: &'static str) -> Result<(String, String), AddressError> {
    let (bucket, name) = path.split_once('/').ok_or(AddressError::Incomplete(text.to_owned(), form))?;
    checked(bucket, name, text, form)
}

fn of_url(text: &str, form: &'static str) -> Result<(Url, String, String), AddressError> {
    let shown = without_secrets(text);
    let rest = text.split_once('+').map_or(text, |(_, rest)| rest);
    let (scheme, rest) = rest.split_once("://").unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let endpoint = Url::parse(&format!("{scheme}://{authority}"));
    let endpoint = endpoint.map_err(|error| AddressError::NotAUrl(shown.clone(), error.to_string()))?;
    if !endpoint.username().is_empty() || endpoint.password().is_some() {
        return Err(AddressError::Credentials);
    }
    if !matches!(endpoint.path(), "" | "/") {
        // A parser takes `\` for `/`: what follows would be shown as a bucket.
        let message = "what stands before the first `/` is a server: HOST or HOST:PORT".to_owned();
        return Err(AddressError::NotAUrl(shown, message));
    }
    if path.contains('#') || authority.contains('#') {
        return Err(AddressError::Fragment);
    }
    if path.contains('?') || authority.contains('?') {
        let message = "it has no query: write `?` in a name as %3F".to_owned();
        return Err(AddressError::NotAUrl(shown, message));
    }
    let (bucket, name) = path.split_once('/').ok_or(AddressError::Incomplete(shown.clone(), form))?;
    let name = percent_decode_str(name).decode_utf8();
    let name = name.map_err(|error| AddressError::NotAUrl(shown.clone(), error.to_string()))?;
    let (bucket, name) = checked(bucket, &name, &shown, form)?;
    Ok((endpoint, bucket, name))
}

fn checked(bucket: &str, name: &str, text: &str, form: &'static str) -> Result<(String, String), AddressError> {
    check_name(bucket, name, text, form)?;
    let is_bucket = |letter: u8| letter.is_ascii_alphanumeric() || b".-_".contains(&letter);
    match bucket.bytes().all(is_bucket) {
        true => Ok((bucket.to_owned(), name.to_owned())),
        false => {
            let message = "a bucket's name has letters, digits, `.`, `-` and `_` alone".to_owned();
            Err(AddressError::NotAUrl(text.to_owned(), message))
        }
    }
}

/// An address as it is written: with the endpoint where that is not the service's own.
fn write(formatter: &mut fmt::Formatter<'_>, scheme: &str, endpoint: Option<&Url>, bucket: &str, name: &str) -> fmt::Result {
    match endpoint {
        None => write!(formatter, "{scheme}://{bucket}/{name}"),
        Some(url) => {
            let name = utf8_percent_encode(name, NAME_ENCODING);
            write!(formatter, "{scheme}+{}/{bucket}/{name}", url.as_str().trim_end_matches('/'))
        }
    }
}

impl fmt::Display for S3Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(formatter, "s3", self.endpoint.as_ref(), &self.bucket, &self.key)
    }
}

impl fmt::Debug for S3Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl fmt::Display for GcsAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(formatter, "gs", self.endpoint.as_ref(), &self.bucket, &self.name)
    }
}

impl fmt::Debug for GcsAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}
