//! What a failure of Google Cloud Storage means, and what to do next.

use std::time::Duration;

use azure_core::http::headers::Headers;

use crate::error::{BlobError, BlobErrorKind};
use crate::http::answers::{answer_text, header, retry_after};
use crate::http::failure::HttpFailure;
use crate::http::server_text::{is_code, plain};
use crate::http::xml::Element;

/// What a request to Google Cloud Storage ended with. Nothing in it can carry a token or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GcsFailure {
    /// The server refused, or failed.
    #[error("{}", answer_text(*status, code, text.as_deref(), request_id.as_deref()))]
    Answer {
        /// Of HTTP.
        status: u16,
        /// The store's code; empty where there was none.
        code: String,
        /// The first sentence of what the server said.
        text: Option<String>,
        /// The name of the request, as Google's support asks for it.
        request_id: Option<String>,
        /// What the request needed; empty where that is not known.
        permission: &'static str,
        /// How long the server asked to wait.
        retry_after: Option<Duration>,
    },
    /// Something else answered than the store.
    #[error("the answer is not from Google Cloud Storage ({status}{})", content_type.as_deref().map_or(String::new(), |kind| format!(", {kind}")))]
    NotFromStore {
        /// Of HTTP.
        status: u16,
        /// What it says that it is.
        content_type: Option<String>,
    },
    /// No token could be obtained.
    #[error("no token was obtained: {text}")]
    NoCredentials {
        /// What happened.
        text: String,
        /// Whether one may be obtained later: there were some before.
        is_transient: bool,
    },
    /// The answer has another form than the store's.
    #[error("the server's answer was not understood")]
    NotUnderstood,
    /// Nothing answered, or not to the end.
    #[error(transparent)]
    Unanswered(#[from] HttpFailure),
}

/// Whether an answer has what every one of Google Cloud Storage has.
pub(super) fn is_of_store(headers: &Headers) -> bool {
    headers.iter().any(|(name, _)| name.as_str().starts_with("x-goog-") || name.as_str() == "x-guploader-uploadid")
}

impl GcsFailure {
    /// What an answer means that is no success.
    pub(super) fn of_answer(status: u16, headers: &Headers, body: &[u8], permission: &'static str) -> Self {
        let error = Element::parse(body).ok().filter(|root| root.name == "Error");
        if error.is_none() && !is_of_store(headers) {
            let content_type = header(headers, "content-type").and_then(|kind| plain(kind.split(';').next()?));
            return GcsFailure::NotFromStore { status, content_type };
        }
        let of_error = |name: &'static str| error.as_ref().and_then(move |error| error.text_of(name));
        GcsFailure::Answer {
            status,
            code: of_error("Code").filter(|code| is_code(code)).unwrap_or_default().to_owned(),
            text: of_error("Message").and_then(|text| plain(text.split(". ").next()?.trim_end_matches('.'))),
            request_id: header(headers, "x-guploader-uploadid").and_then(shortened),
            permission,
            retry_after: retry_after(headers),
        }
    }

    /// What the caller can do.
    pub(super) fn kind(&self) -> BlobErrorKind {
        match self {
            GcsFailure::Answer { status, code, .. } => kind_of(*status, code),
            GcsFailure::NotFromStore { status: 413, .. } | GcsFailure::NotUnderstood => BlobErrorKind::Other,
            GcsFailure::NotFromStore { .. } => BlobErrorKind::Transport,
            GcsFailure::NoCredentials { is_transient: true, .. } => BlobErrorKind::Transport,
            GcsFailure::NoCredentials { .. } => BlobErrorKind::Denied,
            GcsFailure::Unanswered(failure) => failure.kind(),
        }
    }

    /// The status of the answer; 0 where there is none.
    pub(super) fn status(&self) -> u16 {
        match self {
            GcsFailure::Answer { status, .. } => *status,
            _ => 0,
        }
    }

    /// The code of the answer; empty where there is none.
    pub(super) fn code(&self) -> &str {
        match self {
            GcsFailure::Answer { code, .. } => code,
            _ => "",
        }
    }

    /// The failure of an operation on an object.
    pub(crate) fn into_error(self, operation: &'static str, address: String) -> BlobError {
        let kind = self.kind();
        let advice = self.advice(kind);
        let message = if advice.is_empty() { self.to_string() } else { format!("{self}; {advice}") };
        let retry_after = match &self {
            GcsFailure::Answer { retry_after, .. } => *retry_after,
            _ => None,
        };
        BlobError { retry_after, ..BlobError::new(kind, operation, address, message) }.caused_by(self)
    }

    fn advice(&self, kind: BlobErrorKind) -> String {
        match self {
            GcsFailure::Answer { status, code, permission, .. } => advice_of(*status, code, permission, kind),
            GcsFailure::NotFromStore { .. } => {
                "something on the way answers for it: sign in at the network's portal, check the proxy and the firewall, or correct the endpoint".to_owned()
            }
            GcsFailure::NoCredentials { .. } => {
                "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account's key, or sign in with `gcloud auth application-default login`".to_owned()
            }
            _ => String::new(),
        }
    }
}

/// Names of requests are long, and their beginning is what the support looks for; a long run of letters could be a secret.
fn shortened(id: &str) -> Option<String> {
    const SHOWN_CHARACTERS: usize = 32;
    plain(&id.chars().take(SHOWN_CHARACTERS).collect::<String>())
}

/// "HTTP status and error codes for XML" of Cloud Storage's reference.
fn kind_of(status: u16, code: &str) -> BlobErrorKind {
    match (status, code) {
        (_, "NoSuchBucket") => BlobErrorKind::ContainerNotFound,
        (_, "NoSuchKey" | "NoSuchObject" | "NoSuchVersion") => BlobErrorKind::NotFound,
        (_, "InvalidBucketName" | "KeyTooLong" | "KeyTooLongError" | "InvalidURI" | "InvalidObjectName") => {
            BlobErrorKind::InvalidName
        }
        (_, "BadDigest" | "CrcMismatch" | "IncompleteBody") => BlobErrorKind::Corrupted,
        (_, "SlowDown" | "RateLimitExceeded" | "TooManyRequests") => BlobErrorKind::Throttled,
        (_, "InternalError" | "ServiceUnavailable" | "BackendError") => BlobErrorKind::ServerFault,
        (_, "RequestTimeout") | (408, _) => BlobErrorKind::TimedOut,
        (_, "PreconditionFailed") | (412, _) => BlobErrorKind::Changed,
        (_, "NotImplemented" | "MethodNotAllowed") | (405 | 501, _) => BlobErrorKind::Unsupported,
        (_, "QuotaExceeded") | (507, _) => BlobErrorKind::NoSpace,
        // A rule of the bucket, and not of the credentials.
        (
            _,
            "RetentionPolicyNotMet"
            | "ObjectUnderActiveHold"
            | "ObjectLocked"
            | "UserProjectMissing"
            | "UserProjectAccessDenied"
            | "UserProjectInvalid"
            | "UserProjectAccountProblem",
        ) => BlobErrorKind::Refused,
        (_, "AccessDenied" | "InsufficientPermissions") => BlobErrorKind::NotPermitted,
        (404, _) => BlobErrorKind::NotFound,
        (401 | 403, _) => BlobErrorKind::Denied,
        (429 | 503, _) => BlobErrorKind::Throttled,
        (500..=599, _) => BlobErrorKind::ServerFault,
        _ => BlobErrorKind::Other,
    }
}

fn advice_of(status: u16, code: &str, permission: &str, kind: BlobErrorKind) -> String {
    let advice = match (code, kind) {
        ("NoSuchBucket", _) => "create the bucket, or correct its name",
        ("RetentionPolicyNotMet" | "ObjectUnderActiveHold" | "ObjectLocked", _) => {
            "a retention policy or a hold of the bucket forbids to replace or delete objects: use a bucket without one, or a lifecycle rule that deletes what is left when the policy permits it (google-cloud-storage.md)"
        }
        ("UserProjectMissing", _) => {
            "the requester pays for this bucket: set GOOGLE_CLOUD_QUOTA_PROJECT to the project that is billed, and repeat the command"
        }
        ("UserProjectAccessDenied" | "UserProjectInvalid" | "UserProjectAccountProblem", _) => {
            "the project in GOOGLE_CLOUD_QUOTA_PROJECT cannot be billed with these credentials: correct it, or have serviceusage.services.use granted"
        }
        (_, BlobErrorKind::NotPermitted) => {
            return match permission {
                "" => "the credentials do not permit it: the manual has the role that is needed (google-cloud-storage.md)"
                    .to_owned(),
                permission => format!(
                    "the credentials need {permission} on the bucket: the manual has the role that is needed (google-cloud-storage.md)"
                ),
            };
        }
        (_, BlobErrorKind::Denied) if status == 401 => {
            "the token was not accepted: check that the service account's key still exists (`gcloud auth application-default login` for a user), and this machine's clock"
        }
        (_, BlobErrorKind::Denied) => {
            "check that the account and the billing of its project are active, and that no organization policy or perimeter shuts this machine out"
        }
        ("EntityTooLarge", _) => "the store takes no objects of this size: an object has at most 5 TiB",
        (_, BlobErrorKind::Changed) => "another program changed it meanwhile: look at what it holds now, and repeat the command",
        (_, BlobErrorKind::Unsupported) => {
            "the server lacks a part of the XML API that is needed here: `compose`, and conditions"
        }
        _ => "",
    };
    advice.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, headers: &[(&'static str, &str)], body: &str) -> GcsFailure {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.insert(*name, (*value).to_owned());
        }
        GcsFailure::of_answer(status, &all, body.as_bytes(), "storage.objects.get")
    }

    #[test]
    fn codes_are_named_by_what_can_be_done() {
        for (status, code, kind) in [
            (404, "NoSuchBucket", BlobErrorKind::ContainerNotFound),
            (404, "NoSuchKey", BlobErrorKind::NotFound),
            (403, "AccessDenied", BlobErrorKind::NotPermitted),
            (403, "RetentionPolicyNotMet", BlobErrorKind::Refused),
            (400, "UserProjectMissing", BlobErrorKind::Refused),
            (401, "AuthenticationRequired", BlobErrorKind::Denied),
            (403, "AccountProblem", BlobErrorKind::Denied),
            (400, "BadDigest", BlobErrorKind::Corrupted),
            (412, "PreconditionFailed", BlobErrorKind::Changed),
            (412, "", BlobErrorKind::Changed),
            (429, "SlowDown", BlobErrorKind::Throttled),
            (429, "", BlobErrorKind::Throttled),
            (503, "ServiceUnavailable", BlobErrorKind::ServerFault),
            (408, "", BlobErrorKind::TimedOut),
            (501, "NotImplemented", BlobErrorKind::Unsupported),
            (400, "EntityTooLarge", BlobErrorKind::Other),
        ] {
            assert_eq!(kind_of(status, code), kind, "{status} {code}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let body = "<Error><Code>AccessDenied</Code><Message>Access denied. More.</Message></Error>";
        let error = failure(403, &[("x-guploader-uploadid", "AB-12")], body).into_error("look at", "gs://b/n".to_owned());
        assert!(error.message.contains("storage.objects.get") && error.message.contains("(request AB-12)"), "{error}");
    }

    #[test]
    fn what_is_not_from_the_store_is_not_believed() {
        let page = failure(403, &[("content-type", "text/html; charset=x")], "<html>sign in</html>");
        assert_eq!(page, GcsFailure::NotFromStore { status: 403, content_type: Some("text/html".to_owned()) });
        assert_eq!(page.kind(), BlobErrorKind::Transport);
        assert_eq!(failure(404, &[("x-guploader-uploadid", "1")], "").kind(), BlobErrorKind::NotFound);
    }

    #[test]
    fn no_error_shows_a_token() {
        let body = "<Error><Code>AuthenticationRequired</Code><Message>not Bearer ya29.Xk3vQ0b1c2d3e4f5</Message></Error>";
        let error = failure(401, &[], body).into_error("look at", "gs://b/n".to_owned());
        assert!(!format!("{error} {error:?}").contains("Xk3v"), "{error:?}");
    }
}
