//! From the SDK's errors to ours. The SDK's own texts are used only where they cannot carry a URL,
//! since a URL may carry a signature.

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{ERROR_CODE, HeaderName};
use azure_core::time::{OffsetDateTime, parse_rfc7231};

use super::denied::{self, Circumstances};
use super::foreign_answer::ForeignAnswer;
use super::obstacles;
use super::sas::Sas;
use crate::error::{BlobError, BlobErrorKind};
use crate::http::answers::{answer_text, retry_after};
use crate::http::causes::{causes, find};
use crate::http::connect_failure::ConnectFailure;
use crate::http::failure::{HttpFailure, detail};
use crate::http::server_text::{is_code, plain, server_text};
use crate::http::transport::Silence;

/// When the server answered.
const DATE: HeaderName = HeaderName::from_static("date");

/// The name of a request, as Azure's support asks for it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

/// What is known of the credentials that a request went with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    /// The shared access signature, where it is one.
    pub(super) sas: Option<Sas>,
    /// Where tokens are asked for, where that is known.
    pub(super) sign_in_host: Option<String>,
}

/// Names a failed request by what the caller can do.
pub(super) fn from_sdk(
    operation: &'static str,
    address: &str,
    error: &azure_core::Error,
    credentials: &Credentials,
) -> BlobError {
    let failure = AzureFailure::of(error, credentials);
    let kind = failure.kind();
    let advice = match kind {
        BlobErrorKind::Denied | BlobErrorKind::NotPermitted => failure.denied_advice(error, credentials),
        _ => failure.advice(kind),
    };
    let message = if advice.is_empty() { failure.to_string() } else { format!("{failure}; {advice}") };
    BlobError { retry_after: retry_after_of(error), ..BlobError::new(kind, operation, address, message) }.caused_by(failure)
}

/// What a request to Azure ended with. Nothing in it can carry a signature or a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AzureFailure {
    /// The server refused, or failed.
    #[error("{}", answer_text(*status, code, text.as_deref(), request_id.as_deref()))]
    Answer {
        /// Of HTTP.
        status: u16,
        /// Azure's code; empty where there was none.
        code: String,
        /// The first sentence of what the server said.
        text: Option<String>,
        /// The name of the request, as Azure's support asks for it.
        request_id: Option<String>,
    },
    /// Something else answered than the store.
    #[error(transparent)]
    NotFromStore(ForeignAnswer),
    /// Entra ID gave no access token.
    #[error("no access token was obtained from {}: {text}", host.as_deref().unwrap_or("Entra ID"))]
    NoToken {
        /// The host that was asked, where that is known.
        host: Option<String>,
        /// What it said, or what happened.
        text: String,
        /// Whether it may be obtained later: nothing answered, or the server failed.
        is_transient: bool,
    },
    /// Nothing answered, or not to the end.
    #[error(transparent)]
    Unanswered(HttpFailure),
}

impl AzureFailure {
    pub(crate) fn of(error: &azure_core::Error, credentials: &Credentials) -> Self {
        let unanswered = || AzureFailure::Unanswered(HttpFailure::of(error));
        if find::<ConnectFailure>(error).is_some() {
            return unanswered();
        }
        if let Some(foreign) = find::<ForeignAnswer>(error) {
            return AzureFailure::NotFromStore(foreign.clone());
        }
        match error.kind() {
            ErrorKind::HttpResponse { status, raw_response, .. } => AzureFailure::Answer {
                status: u16::from(*status),
                code: Some(code_of(error)).filter(|code| is_code(code)).unwrap_or_default().to_owned(),
                text: raw_response.as_ref().and_then(|response| server_text(response.body().as_ref())),
                request_id: header(error, &REQUEST_ID).and_then(plain),
            },
            ErrorKind::Credential => AzureFailure::NoToken {
                host: credentials.sign_in_host.clone(),
                text: detail(error),
                is_transient: may_be_had_later(error),
            },
            _ => unanswered(),
        }
    }

    pub(crate) fn kind(&self) -> BlobErrorKind {
        match self {
            AzureFailure::Answer { status, code, .. } => kind_of(*status, code),
            AzureFailure::NotFromStore(foreign) => foreign.kind(),
            AzureFailure::Unanswered(failure) => failure.kind(),
            AzureFailure::NoToken { is_transient: true, .. } => BlobErrorKind::Transport,
            AzureFailure::NoToken { .. } => BlobErrorKind::Denied,
        }
    }

    /// What to do next, where more can be said than the failure does.
    fn advice(&self, kind: BlobErrorKind) -> String {
        match self {
            AzureFailure::Answer { code, .. } => advice_of(kind, code).to_owned(),
            AzureFailure::NotFromStore(foreign) => foreign.advice(),
            _ => String::new(),
        }
    }

    /// The same for a request that was denied.
    fn denied_advice(&self, error: &azure_core::Error, credentials: &Credentials) -> String {
        let AzureFailure::Answer { code, .. } = self else {
            return match self {
                AzureFailure::NotFromStore(foreign) => foreign.advice(),
                AzureFailure::Unanswered(_) => String::new(),
                _ => "check the identity in the environment, or give a key or a SAS".to_owned(),
            };
        };
        let server_time = header(error, &DATE).and_then(|text| parse_rfc7231(text).ok());
        let sas = credentials.sas.as_ref();
        denied::advice(code, &Circumstances { sas, server_time, local_time: OffsetDateTime::now_utc() })
    }
}

/// Whether a token that was not obtained may be obtained later.
fn may_be_had_later(error: &azure_core::Error) -> bool {
    let later = |cause: &(dyn std::error::Error + 'static)| match cause
        .downcast_ref::<azure_core::Error>()
        .map(azure_core::Error::kind)
    {
        Some(ErrorKind::Connection | ErrorKind::Io) => Some(true),
        Some(ErrorKind::HttpResponse { status, .. }) => Some(kind_of(u16::from(*status), "").is_transient()),
        _ => cause.is::<Silence>().then_some(true),
    };
    causes(error).find_map(later).unwrap_or(false)
}

fn header<'error>(error: &'error azure_core::Error, name: &HeaderName) -> Option<&'error str> {
    match error.kind() {
        ErrorKind::HttpResponse { raw_response: Some(response), .. } => response.headers().get_optional_str(name),
        _ => None,
    }
}

fn retry_after_of(error: &azure_core::Error) -> Option<Duration> {
    match error.kind() {
        ErrorKind::HttpResponse { raw_response: Some(response), .. } => retry_after(response.headers()),
        _ => find::<ForeignAnswer>(error)?.retry_after,
    }
}

/// Status and code of the answer that an error came from, where the store answered.
pub(super) fn answer_of(error: &BlobError) -> Option<(u16, &str)> {
    match error.source.as_ref()?.downcast_ref::<AzureFailure>()? {
        AzureFailure::Answer { status, code, .. } => Some((*status, code)),
        _ => None,
    }
}

/// Azure's code of a failed request; empty where there is none.
fn code_of(error: &azure_core::Error) -> &str {
    header(error, &ERROR_CODE).unwrap_or("")
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
        (_, "FeatureNotSupported" | "NotImplemented" | "UnsupportedHeader" | "BlobTypeNotSupported") | (501, _) => {
            BlobErrorKind::Unsupported
        }
        (404, _) => BlobErrorKind::NotFound,
        (
            403,
            "AuthorizationPermissionMismatch"
            | "AuthorizationResourceTypeMismatch"
            | "AuthorizationServiceMismatch"
            | "InsufficientAccountPermissions",
        ) => BlobErrorKind::NotPermitted,
        (401 | 403, _) => BlobErrorKind::Denied,
        (412, _) => BlobErrorKind::Changed,
        (408, _) => BlobErrorKind::TimedOut,
        (429, _) | (503, _) => BlobErrorKind::Throttled,
        (500..=599, _) => BlobErrorKind::ServerFault,
        _ => BlobErrorKind::Other,
    }
}

fn advice_of(kind: BlobErrorKind, code: &str) -> &'static str {
    match kind {
        BlobErrorKind::ContainerNotFound => "create the container, or correct its name",
        BlobErrorKind::ForeignBlocks => {
            "uncommitted blocks of another program, with names of another length, are in the way: they vanish after a week, or at once when \
             anything is committed under this name (`az storage blob upload --overwrite` of an empty file, then delete it)"
        }
        BlobErrorKind::Changed => "another program changed it meanwhile: look at what it holds now, and repeat the command",
        BlobErrorKind::AlreadyExists if code == "UnauthorizedBlobOverwrite" => {
            "the credentials permit to make a blob and not to replace one: choose another name, or have the right to write (w) added"
        }
        BlobErrorKind::AlreadyExists => {
            "another program made it meanwhile: look at what it holds, and choose another name, or repeat the command with `--overwrite`"
        }
        // What was found too late, or came while the transfer ran.
        _ => match code {
            "BlobArchived" | "BlobBeingRehydrated" => obstacles::ARCHIVED,
            "BlobImmutableDueToPolicy" => obstacles::IMMUTABLE,
            "LeaseIdMissing" | "LeaseLost" => obstacles::LEASED,
            "InvalidBlobType" | "ResourceTypeMismatch" => obstacles::OTHER_TYPE,
            "BlobTypeNotSupported" => {
                "the account does not take blobs of this type: a premium account for page blobs takes `--blob-type page` alone, and one for block blobs `--blob-type block`"
            }
            "RequestBodyTooLarge" => "the store takes no bodies of this size: use a smaller `--chunk-size`",
            "BlockCountExceedsLimit" => {
                "100,000 uncommitted blocks, of other programs or of earlier transfers, are in the way: they vanish after a week, or at once \
                 when anything is committed under this name"
            }
            "InvalidBlockList" => {
                "blocks that were sent are gone, since another program committed under this name or a week has passed: repeat the command, and \
                 what is missing is sent again"
            }
            _ => "",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_named_by_what_can_be_done() {
        assert_eq!(kind_of(404, "ContainerNotFound"), BlobErrorKind::ContainerNotFound);
        assert_eq!(kind_of(404, "BlobNotFound"), BlobErrorKind::NotFound);
        assert_eq!(kind_of(403, "AuthenticationFailed"), BlobErrorKind::Denied);
        assert_eq!(kind_of(403, "AuthorizationPermissionMismatch"), BlobErrorKind::NotPermitted);
        assert_eq!(kind_of(409, "BlobAlreadyExists"), BlobErrorKind::AlreadyExists);
        assert_eq!(kind_of(412, "ConditionNotMet"), BlobErrorKind::Changed);
        assert_eq!(kind_of(412, "LeaseIdMissing"), BlobErrorKind::Other);
        assert_eq!(kind_of(400, "Crc64Mismatch"), BlobErrorKind::Corrupted);
        assert_eq!(kind_of(400, "InvalidResourceName"), BlobErrorKind::InvalidName);
        assert_eq!(kind_of(400, "InvalidBlockList"), BlobErrorKind::Other);
        assert_eq!(kind_of(500, "FeatureNotSupported"), BlobErrorKind::Unsupported);
        assert!(kind_of(409, "ContainerBeingDeleted").is_transient());
        for (status, transient) in
            [(500, true), (503, true), (429, true), (408, true), (400, false), (403, false), (404, false), (409, false)]
        {
            assert_eq!(kind_of(status, "").is_transient(), transient, "{status}");
        }
    }

    #[test]
    fn an_answer_is_repeated_with_its_code_and_the_name_of_the_request() {
        let text = server_text(b"<Error><Message>The lease is there. More.</Message></Error>");
        let failure = AzureFailure::Answer { status: 409, code: "X".to_owned(), text, request_id: plain("6c3c-5e") };
        assert_eq!(failure.to_string(), "the server answered 409 X \"The lease is there\" (request 6c3c-5e)");
    }

    #[test]
    fn neither_an_error_nor_its_cause_shows_a_signature() {
        for kind in [ErrorKind::Other, ErrorKind::Io, ErrorKind::Connection, ErrorKind::Credential, ErrorKind::DataConversion] {
            let error = azure_core::Error::with_message(kind, "https://acme.blob.core.windows.net/c/n?sig=SECRET");
            let error = from_sdk("read", "blob", &error, &Credentials::default());
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            assert!(!source.is_empty() && !source.contains("SECRET"), "{source}");
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
        }
    }
}
