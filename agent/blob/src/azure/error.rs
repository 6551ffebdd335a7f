//! From the SDK's errors to ours. The SDK's own texts are used only where they cannot carry a URL,
//! since a URL may carry a signature.

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{ERROR_CODE, HeaderName, RETRY_AFTER};

use super::bounded::AnswerTooLong;
use super::obstacles;
use crate::error::{BlobError, BlobErrorKind};

/// The name of a request, as Azure's support asks for it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

/// Longest text of a server that is repeated, in characters.
const SERVER_TEXT_CHARACTERS_MAX: usize = 200;

/// Names a failed request by what the caller can do.
pub(crate) fn from_sdk(operation: &'static str, address: &str, error: &azure_core::Error) -> BlobError {
    match error.kind() {
        ErrorKind::HttpResponse { status, raw_response, .. } => {
            let status = u16::from(*status);
            let header = |name| raw_response.as_ref().and_then(|response| response.headers().get_optional_str(&name));
            let code = header(ERROR_CODE).unwrap_or("");
            let retry_after = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
            let body = raw_response.as_ref().map(|response| response.body().as_ref());
            let said = Said { text: body.and_then(server_text), request_id: header(REQUEST_ID).and_then(plain) };
            let kind = kind_of(status, code);
            BlobError { retry_after, ..BlobError::new(kind, operation, address, message_of(kind, status, code, &said)) }
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
        _ => {
            let too_long = std::error::Error::source(error).and_then(|source| source.downcast_ref::<AnswerTooLong>());
            let message = too_long.map_or("the request could not be made".to_owned(), ToString::to_string);
            BlobError::new(BlobErrorKind::Other, operation, address, message)
        }
    }
}

/// Azure's code of a failed request; empty where there is none.
pub(super) fn code_of(error: &azure_core::Error) -> &str {
    match error.kind() {
        ErrorKind::HttpResponse { raw_response: Some(response), .. } => {
            response.headers().get_optional_str(&ERROR_CODE).unwrap_or("")
        }
        _ => "",
    }
}

/// What the server said beside status and code.
#[derive(Default)]
struct Said {
    text: Option<String>,
    request_id: Option<String>,
}

/// The first sentence of `<Message>`: what follows repeats the request and the time.
fn server_text(body: &[u8]) -> Option<String> {
    let body = String::from_utf8_lossy(body);
    let (_, rest) = body.split_once("<Message>")?;
    let line = rest.split(['\n', '<']).next()?;
    plain(line.split(". ").next()?.trim_end_matches('.'))
}

/// A server's text that can be shown: short, without control characters, and without anything that may be a secret.
fn plain(text: &str) -> Option<String> {
    let shown: String =
        text.trim().chars().filter(|character| !character.is_control()).take(SERVER_TEXT_CHARACTERS_MAX).collect();
    let may_be_secret = shown.contains("://") || shown.contains("sig=");
    (!shown.is_empty() && !may_be_secret).then_some(shown)
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
        (_, "ContainerNotFound" | "ContainerDisabled") => BlobErrorKind::ContainerNotFound,
        // Half a minute or more, until the name is free.
        (_, "ContainerBeingDeleted") => BlobErrorKind::Throttled,
        (_, "BlobAlreadyExists" | "UnauthorizedBlobOverwrite" | "ContainerAlreadyExists") => BlobErrorKind::AlreadyExists,
        (_, "InvalidBlobOrBlock") => BlobErrorKind::ForeignBlocks,
        (_, "InvalidResourceName" | "InvalidUri" | "RequestUrlFailedToParse") | (400, "OutOfRangeInput") => {
            BlobErrorKind::InvalidName
        }
        (_, "Md5Mismatch" | "Crc64Mismatch") => BlobErrorKind::Corrupted,
        (412, "LeaseIdMissing" | "LeaseLost") => BlobErrorKind::Other,
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

fn message_of(kind: BlobErrorKind, status: u16, code: &str, said: &Said) -> String {
    let advice = match kind {
        BlobErrorKind::ContainerNotFound => "create the container, or correct its name",
        BlobErrorKind::Denied => {
            "check that the key or SAS is whole, not expired, of this account, and that it permits this operation"
        }
        BlobErrorKind::ForeignBlocks => {
            "uncommitted blocks of another program, with names of another length, are in the way: they vanish after a week, or at once when \
             anything is committed under this name (`az storage blob upload --overwrite` of an empty file, then delete it)"
        }
        BlobErrorKind::Changed => "another program changed it meanwhile",
        // What was found too late, or came while the transfer ran.
        _ => match code {
            "BlobArchived" | "BlobBeingRehydrated" => obstacles::ARCHIVED,
            "BlobImmutableDueToPolicy" => obstacles::IMMUTABLE,
            "LeaseIdMissing" | "LeaseLost" => obstacles::LEASED,
            "InvalidBlobType" | "ResourceTypeMismatch" => obstacles::OTHER_TYPE,
            "InvalidBlockList" => {
                "blocks that were sent are gone, since another program committed under this name or a week has passed: repeat the command, and \
                 what is missing is sent again"
            }
            _ => "",
        },
    };
    let code = if code.is_empty() { "no code" } else { code };
    let text = said.text.as_ref().map_or(String::new(), |text| format!(" \"{text}\""));
    let request = said.request_id.as_ref().map_or(String::new(), |id| format!(" (request {id})"));
    let separator = if advice.is_empty() { "" } else { "; " };
    format!("the server answered {status} {code}{text}{request}{separator}{advice}")
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
        assert_eq!(kind_of(412, "LeaseIdMissing"), BlobErrorKind::Other);
        assert_eq!(kind_of(400, "Crc64Mismatch"), BlobErrorKind::Corrupted);
        assert_eq!(kind_of(400, "InvalidResourceName"), BlobErrorKind::InvalidName);
        assert_eq!(kind_of(400, "InvalidBlockList"), BlobErrorKind::Other);
        assert_eq!(kind_of(500, "FeatureNotSupported"), BlobErrorKind::Unsupported);
        assert!(kind_of(409, "ContainerBeingDeleted").is_passing());
        for (status, passing) in
            [(500, true), (503, true), (429, true), (408, true), (400, false), (403, false), (404, false), (409, false)]
        {
            assert_eq!(kind_of(status, "").is_passing(), passing, "{status}");
        }
    }

    #[test]
    fn the_servers_own_words_are_shown_without_secrets() {
        let body = b"<?xml version=\"1.0\"?><Error><Code>X</Code><Message>The lease is \x1b[31mthere. More of it.\nRequestId:1</Message></Error>";
        let said = Said { text: server_text(body), request_id: plain("6c3c-5e") };
        assert_eq!(
            message_of(BlobErrorKind::Other, 409, "X", &said),
            "the server answered 409 X \"The lease is [31mthere\" (request 6c3c-5e)"
        );
        assert_eq!(server_text(b"<Message>look at https://a.example/?sig=abc</Message>"), None);
        assert_eq!(server_text(b"<Message>sig=abc</Message>"), None);
        assert_eq!(server_text(b"no XML at all"), None);
        let long = format!("<Message>{}</Message>", "x".repeat(10_000));
        assert_eq!(server_text(long.as_bytes()).map(|text| text.len()), Some(SERVER_TEXT_CHARACTERS_MAX));
    }
}
