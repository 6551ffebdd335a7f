//! What a text is refused for that should be an address, and what of it can be shown.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// Everything but unreserved characters (RFC 3986) and the separator of virtual folders.
pub(super) const NAME_ENCODING: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Why a text is not a BLOB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A scheme that is none of ours.
    #[error("`{0}://` is not a scheme of a blob: use a path, file://, https://, http:// (emulators), az://, s3:// or gs://")]
    UnknownScheme(String),
    /// Not a URL at all.
    #[error("`{0}` is not a blob address: {1}")]
    NotAUrl(String, String),
    /// Container or name are missing.
    #[error("`{0}` does not name a blob: write {1}")]
    Incomplete(String, &'static str),
    /// A name that would be rewritten on its way.
    #[error("the blob name `{0}` cannot be used: it has a `.` or `..` part, or ends with `/`")]
    BadName(String),
    /// A text that should be a place for pieces.
    #[error("`{0}` is not a place for pieces: write s3://BUCKET/FOLDER or gs://BUCKET/FOLDER")]
    Staging(String),
    /// A user name or password in a URL.
    #[error("a blob address must not carry a user name or password")]
    Credentials,
    /// `#` in a URL.
    #[error("`#` begins a fragment in a URL: write it as %23 in a blob's name")]
    Fragment,
}

/// Where no SAS can be, there is none: what a URL whose scheme was forgotten, or is another one, has for a name would be
/// shown with its secret.
pub(crate) fn require_no_signature(text: &str) -> Result<(), AddressError> {
    match text.split_once('?').filter(|(_, query)| query.contains("sig=")) {
        Some((before, _)) => {
            let why = "a SAS belongs to a URL that begins with https://, or into AZURE_STORAGE_SAS_TOKEN".to_owned();
            Err(AddressError::NotAUrl(before.to_owned(), why))
        }
        None => Ok(()),
    }
}

/// What may be shown of a URL that may be broken: no query, and nothing before an `@` in its authority.
pub(crate) fn without_secrets(text: &str) -> String {
    let shown = text.split_once('?').map_or(text, |(before, _)| before);
    let Some((scheme, rest)) = shown.split_once("://") else { return shown.to_owned() };
    let (authority, path) = rest.find(['/', '\\']).map_or((rest, ""), |slash| rest.split_at(slash));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

pub(super) fn check_name(container: &str, name: &str, text: &str, form: &'static str) -> Result<(), AddressError> {
    let shown = text.split_once('?').map_or(text, |(before, _)| before);
    if container.is_empty() || name.is_empty() {
        return Err(AddressError::Incomplete(shown.to_owned(), form));
    }
    if container.contains('/') {
        return Err(AddressError::NotAUrl(shown.to_owned(), "the name of a container has no `/`".to_owned()));
    }
    let rewritten = |part: &str| part == "." || part == "..";
    if name.split('/').any(rewritten) || name.ends_with('/') || rewritten(container) {
        return Err(AddressError::BadName(name.to_owned()));
    }
    Ok(())
}
