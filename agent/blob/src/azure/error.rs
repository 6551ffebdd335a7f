//! From the SDK's errors to ours. The SDK's own texts are used only where they cannot carry a URL,
//! since a URL may carry a signature.

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{ERROR_CODE, RETRY_AFTER};

use crate::error::{BlobError, BlobErrorKind};

/// Names a failed request by what the caller can do.
pub(crate) fn from_sdk(operation: &'static str, address: &str, error: &azure_core::Error) -> BlobError {
    match error.kind() {
        ErrorKind::HttpResponse { status, raw_response, .. } => {
            let status = u16::from(*status);
            let headers = raw_response.as_ref().map(|response| response.headers());
            let code = headers.and_then(|headers| headers.get_optional_str(&ERROR_CODE)).unwrap_or("");
            let retry_after = headers
                .and_then(|headers| headers.get_optional_str(&RETRY_AFTER))
                .and_then(|text| text.trim().parse().ok())
                .map(Duration::from_secs);
            let kind = kind_of(status, code);
            BlobError { retry_after, ..BlobError::new(kind, operation, address, message_of(kind, status, code)) }
        }
        ErrorKind::Connection => {
            let message = format!("no connection to the server: {}", innermost(error));
            BlobError::new(BlobErrorKind::Transport, operation, address, message)
        }
        ErrorKind::Io => {
            let message = format!("the connection broke: {}", innermost(error));
            BlobError::new(BlobErrorKind::Transport, operation, address, message)
        }
        ErrorKind::Credential => {
            let message = format!("no access token could be had from Entra ID: {}", innermost(error));
            BlobError::new(BlobErrorKind::Denied, operation, address, message)
        }
        ErrorKind::DataConversion => {
            BlobError::new(BlobErrorKind::Other, operation, address, "the server's answer was not understood")
        }
        _ => BlobError::new(BlobErrorKind::Other, operation, address, "the request could not be made"),
    }
}

/// The text of the innermost cause: it names what happened ("connection refused"), while the outer
/// ones may name the URL. Anything that looks like a URL is left out all the same.
fn innermost(error: &azure_core::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    if text.contains("://") || text.contains("sig=") { "no further detail".to_owned() } else { text }
}

/// Azure's codes: "Status and error codes" and "Blob service error codes" of its REST reference.
fn kind_of(status: u16, code: &str) -> BlobErrorKind {
    match (status, code) {
        (_, "ContainerNotFound" | "ContainerBeingDeleted" | "ContainerDisabled") => BlobErrorKind::ContainerNotFound,
        (_, "BlobAlreadyExists" | "UnauthorizedBlobOverwrite") => BlobErrorKind::AlreadyExists,
        (_, "InvalidBlobOrBlock") => BlobErrorKind::ForeignBlocks,
        (_, "Md5Mismatch" | "Crc64Mismatch") => BlobErrorKind::Corrupted,
        (_, "FeatureNotSupported" | "NotImplemented" | "UnsupportedHeader") | (501, _) => BlobErrorKind::Unsupported,
        (404, _) => BlobErrorKind::NotFound,
        (401 | 403, _) => BlobErrorKind::Denied,
        (412, _) => BlobErrorKind::Changed,
        (408, _) => BlobErrorKind::TimedOut,
        (429, _) | (503, _) => BlobErrorKind::Throttled,
        (500..=599, _) => BlobErrorKind::ServerFault,
        _ => BlobErrorKind::Other,
    }
}

fn message_of(kind: BlobErrorKind, status: u16, code: &str) -> String {
    let code = if code.is_empty() { "no code" } else { code };
    let advice = match kind {
        BlobErrorKind::ContainerNotFound => "; create the container, or correct its name",
        BlobErrorKind::Denied => {
            "; check that the key or SAS is whole, not expired, of this account, and that it permits this operation"
        }
        BlobErrorKind::ForeignBlocks => {
            "; uncommitted blocks of another program, with names of another length, are in the way: they vanish after a week, or at once when \
             anything is committed under this name (`az storage blob upload --overwrite` of an empty file, then delete it)"
        }
        BlobErrorKind::Changed => "; it was changed by somebody else meanwhile",
        _ => "",
    };
    format!("the server answered {status} {code}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_named_by_what_can_be_done() {
        assert_eq!(kind_of(404, "ContainerNotFound"), BlobErrorKind::ContainerNotFound);
        assert_eq!(kind_of(404, "BlobNotFound"), BlobErrorKind::NotFound);
        assert_eq!(kind_of(403, "AuthenticationFailed"), BlobErrorKind::Denied);
        assert_eq!(kind_of(409, "BlobAlreadyExists"), BlobErrorKind::AlreadyExists);
        assert_eq!(kind_of(412, "ConditionNotMet"), BlobErrorKind::Changed);
        assert_eq!(kind_of(400, "Crc64Mismatch"), BlobErrorKind::Corrupted);
        assert_eq!(kind_of(400, "InvalidBlockList"), BlobErrorKind::Other);
        assert_eq!(kind_of(500, "FeatureNotSupported"), BlobErrorKind::Unsupported);
        for (status, passing) in
            [(500, true), (503, true), (429, true), (408, true), (400, false), (403, false), (404, false), (409, false)]
        {
            assert_eq!(kind_of(status, "").is_passing(), passing, "{status}");
        }
    }
}
