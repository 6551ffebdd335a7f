//! What a failure of S3 or of a compatible server means, and what to do next.

use std::time::Duration;

use azure_core::http::headers::Headers;

use crate::error::{BlobError, BlobErrorKind};
use crate::http::answers::{answer_text, header, retry_after};
use crate::http::failure::HttpFailure;
use crate::http::server_text::{is_code, plain};
use crate::http::xml::Element;

/// What a request to S3 ended with. Nothing in it can carry a signature or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum S3Failure {
    /// The server refused, or failed.
    #[error("{}", answer_text(*status, code, text.as_deref(), request_id.as_deref()))]
    Answer {
        /// Of HTTP.
        status: u16,
        /// S3's code; empty where there was none.
        code: String,
        /// The first sentence of what the server said.
        text: Option<String>,
        /// The name of the request, as AWS's support asks for it.
        request_id: Option<String>,
        /// The region that the bucket is in, where the answer says that it is another one.
        region: Option<String>,
        /// How long the server asked to wait.
        retry_after: Option<Duration>,
    },
    /// Something else answered than the store.
    #[error("the answer is not from an S3 server ({status}{})", content_type.as_deref().map_or(String::new(), |kind| format!(", {kind}")))]
    NotFromStore {
        /// Of HTTP.
        status: u16,
        /// What it says that it is.
        content_type: Option<String>,
    },
    /// No credentials could be obtained.
    #[error("no credentials were obtained: {text}")]
    NoCredentials {
        /// What happened.
        text: String,
        /// Whether they may be obtained later: there were some before.
        is_transient: bool,
    },
    /// The answer has another form than S3's.
    #[error("the server's answer was not understood")]
    NotUnderstood,
    /// Nothing answered, or not to the end.
    #[error(transparent)]
    Unanswered(#[from] HttpFailure),
}

impl S3Failure {
    /// What an answer means that is no success, or whose body says that it is none.
    pub(super) fn of_answer(status: u16, headers: &Headers, body: &[u8]) -> Self {
        let error = Element::parse(body).ok().filter(|root| root.name == "Error");
        let is_of_store = error.is_some() || headers.iter().any(|(name, _)| name.as_str().starts_with("x-amz-"));
        if !is_of_store && !matches!(status, 300..=399) {
            let content_type = header(headers, "content-type").and_then(|kind| plain(kind.split(';').next()?));
            return S3Failure::NotFromStore { status, content_type };
        }
        let of_error = |name: &'static str| error.as_ref().and_then(move |error| error.text_of(name));
        let region = header(headers, "x-amz-bucket-region").or_else(|| of_error("Region"));
        let is_region = |region: &&str| region.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-');
        S3Failure::Answer {
            status,
            code: of_error("Code").filter(|code| is_code(code)).unwrap_or_default().to_owned(),
            text: of_error("Message").and_then(|text| plain(text.split(". ").next()?.trim_end_matches('.'))),
            request_id: header(headers, "x-amz-request-id").and_then(plain),
            region: region.filter(is_region).filter(|region| region.len() < 40).map(str::to_owned),
            retry_after: retry_after(headers),
        }
    }

    /// What the caller can do.
    pub(super) fn kind(&self) -> BlobErrorKind {
        match self {
            S3Failure::Answer { status, code, .. } => kind_of(*status, code),
            S3Failure::NotFromStore { status: 413, .. } | S3Failure::NotUnderstood => BlobErrorKind::Other,
            S3Failure::NotFromStore { .. } => BlobErrorKind::Transport,
            S3Failure::NoCredentials { is_transient: true, .. } => BlobErrorKind::Transport,
            S3Failure::NoCredentials { .. } => BlobErrorKind::Denied,
            S3Failure::Unanswered(failure) => failure.kind(),
        }
    }

    /// The code of the answer; empty where there is none.
    pub(super) fn code(&self) -> &str {
        match self {
            S3Failure::Answer { code, .. } => code,
            _ => "",
        }
    }

    /// The failure of an operation on an object.
    pub(crate) fn into_error(self, operation: &'static str, address: String) -> BlobError {
        let kind = self.kind();
        let advice = self.advice(kind);
        let message = if advice.is_empty() { self.to_string() } else { format!("{self}; {advice}") };
        let retry_after = match &self {
            S3Failure::Answer { retry_after, .. } => *retry_after,
            _ => None,
        };
        BlobError { retry_after, ..BlobError::new(kind, operation, address, message) }.caused_by(self)
    }

    fn advice(&self, kind: BlobErrorKind) -> String {
        match self {
            S3Failure::Answer { status, code, region, .. } => advice_of(*status, code, region.as_deref(), kind),
            S3Failure::NotFromStore { .. } => {
                "something on the way answers for it: sign in at the network's portal, check the proxy and the firewall, or correct the endpoint".to_owned()
            }
            S3Failure::NoCredentials { .. } => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (`aws configure export-credentials --format env` prints them)".to_owned()
            }
            _ => String::new(),
        }
    }
}

/// The code of S3 that an error was caused by; empty where there is none.
pub(super) fn code_of(error: &BlobError) -> &str {
    let failure = error.source.as_ref().and_then(|source| source.downcast_ref::<S3Failure>());
    failure.map_or("", S3Failure::code)
}

fn kind_of(status: u16, code: &str) -> BlobErrorKind {
    match (status, code) {
        (_, "NoSuchBucket") => BlobErrorKind::ContainerNotFound,
        (_, "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion") => BlobErrorKind::NotFound,
        (_, "InvalidBucketName" | "KeyTooLongError" | "InvalidURI") => BlobErrorKind::InvalidName,
        (_, "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "IncompleteBody") => {
            BlobErrorKind::Corrupted
        }
        (_, "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequests") => {
            BlobErrorKind::Throttled
        }
        (_, "InternalError" | "OperationAborted" | "ServiceUnavailable") => BlobErrorKind::ServerFault,
        (_, "RequestTimeout") => BlobErrorKind::TimedOut,
        (_, "ConditionalRequestConflict" | "PreconditionFailed") | (412, _) => BlobErrorKind::Changed,
        (_, "NotImplemented" | "MethodNotAllowed" | "XNotImplemented") | (405 | 501, _) => BlobErrorKind::Unsupported,
        (_, "QuotaExceeded" | "XMinioStorageFull" | "InsufficientCapacity" | "TooManyBuckets") | (507, _) => {
            BlobErrorKind::NoSpace
        }
        (_, "InvalidObjectState" | "ObjectLocked" | "InvalidRetentionPeriod") => BlobErrorKind::Refused,
        (_, "AccessDenied" | "AllAccessDisabled" | "AccountProblem") => BlobErrorKind::NotPermitted,
        (404, _) => BlobErrorKind::NotFound,
        (401 | 403, _) | (400, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "RequestTimeTooSkewed") => {
            BlobErrorKind::Denied
        }
        (408, _) => BlobErrorKind::TimedOut,
        (429 | 503, _) => BlobErrorKind::Throttled,
        // The body of a success that says that it is none.
        (500..=599 | 200, _) => BlobErrorKind::ServerFault,
        _ => BlobErrorKind::Other,
    }
}

fn advice_of(status: u16, code: &str, region: Option<&str>, kind: BlobErrorKind) -> String {
    let is_other_region = matches!(status, 301 | 302 | 307 | 308)
        || matches!(
            code,
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect" | "IllegalLocationConstraintException"
        );
    if is_other_region {
        return match region {
            Some(region) => format!("the bucket is in the region {region}: set AWS_REGION={region}"),
            None => "the bucket is in another region, or the endpoint is not the bucket's: correct AWS_REGION or the endpoint"
                .to_owned(),
        };
    }
    let advice = match code {
        "NoSuchBucket" => "create the bucket, or correct its name",
        "NoSuchUpload" => {
            "what was sent is gone: something aborted the upload (a lifecycle rule does that after some days); repeat the command, and what is missing is sent again"
        }
        "InvalidPart" | "InvalidPartOrder" => {
            "parts that were sent are gone or changed: repeat the command, and what is missing is sent again"
        }
        "RequestTimeTooSkewed" => {
            "this machine's clock is more than 15 minutes off: set it (`timedatectl set-ntp true`), and repeat the command"
        }
        "SignatureDoesNotMatch" => {
            "the secret key is not that of the access key, or something on the way changes requests: correct AWS_SECRET_ACCESS_KEY"
        }
        "InvalidAccessKeyId" => "the server does not know this access key: correct AWS_ACCESS_KEY_ID, or the endpoint",
        "ExpiredToken" | "TokenRefreshRequired" => "the session's credentials have expired: get new ones, and repeat the command",
        "AccessDenied" => "the credentials do not permit it: the manual has the policy that is needed (object-stores.md)",
        "EntityTooSmall" => "parts below 5 MiB are taken only at the end of an object: use a `--chunk-size` of 5MiB or more",
        "EntityTooLarge" | "MaxPostPreDataLengthExceeded" => {
            "the store takes no objects or parts of this size: use a smaller `--chunk-size`, or another store for a drive of this size"
        }
        "InvalidObjectState" => {
            "it is in an archive class, where no bytes can be read: restore it (`aws s3api restore-object`), and repeat this when that is done"
        }
        "ConditionalRequestConflict" => {
            "another program wrote under this name at the same moment: look at what it holds now, and repeat the command"
        }
        "PreconditionFailed" => "another program changed it meanwhile: look at what it holds now, and repeat the command",
        "NotImplemented" | "XNotImplemented" | "MethodNotAllowed" => {
            "the server lacks a part of S3 that is needed here: multipart uploads and copies of parts"
        }
        _ if kind == BlobErrorKind::Changed => {
            "another program changed it meanwhile: look at what it holds now, and repeat the command"
        }
        _ => "",
    };
    advice.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, headers: &[(&'static str, &str)], body: &str) -> S3Failure {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.insert(*name, (*value).to_owned());
        }
        S3Failure::of_answer(status, &all, body.as_bytes())
    }

    #[test]
    fn codes_are_named_by_what_can_be_done() {
        for (status, code, kind) in [
            (404, "NoSuchBucket", BlobErrorKind::ContainerNotFound),
            (404, "NoSuchKey", BlobErrorKind::NotFound),
            (404, "NoSuchUpload", BlobErrorKind::NotFound),
            (403, "AccessDenied", BlobErrorKind::NotPermitted),
            (403, "SignatureDoesNotMatch", BlobErrorKind::Denied),
            (403, "RequestTimeTooSkewed", BlobErrorKind::Denied),
            (400, "ExpiredToken", BlobErrorKind::Denied),
            (400, "BadDigest", BlobErrorKind::Corrupted),
            (400, "RequestTimeout", BlobErrorKind::TimedOut),
            (409, "OperationAborted", BlobErrorKind::ServerFault),
            (409, "ConditionalRequestConflict", BlobErrorKind::Changed),
            (412, "PreconditionFailed", BlobErrorKind::Changed),
            (503, "SlowDown", BlobErrorKind::Throttled),
            (200, "InternalError", BlobErrorKind::ServerFault),
            (200, "SlowDown", BlobErrorKind::Throttled),
            (501, "NotImplemented", BlobErrorKind::Unsupported),
            (400, "EntityTooSmall", BlobErrorKind::Other),
            (301, "PermanentRedirect", BlobErrorKind::Other),
        ] {
            assert_eq!(kind_of(status, code), kind, "{status} {code}");
        }
    }

    #[test]
    fn a_bucket_of_another_region_is_named() {
        let body = "<Error><Code>PermanentRedirect</Code><Message>Use another endpoint. Please.</Message></Error>";
        let error = failure(301, &[("x-amz-bucket-region", "eu-west-3")], body).into_error("look at", "s3://b/k".to_owned());
        assert!(error.message.contains("set AWS_REGION=eu-west-3"), "{error}");
        let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-north-1</Region></Error>";
        let error = failure(400, &[], body).into_error("look at", "s3://b/k".to_owned());
        assert!(error.message.contains("set AWS_REGION=eu-north-1"), "{error}");
        let odd = failure(301, &[("x-amz-bucket-region", "a\u{1b}[31m")], "").into_error("look at", String::new());
        assert!(!odd.message.contains('\u{1b}') && odd.message.contains("another region"), "{odd}");
    }

    #[test]
    fn what_is_not_from_the_store_is_not_believed() {
        let page = failure(403, &[("content-type", "text/html; charset=x")], "<html>sign in</html>");
        assert_eq!(page, S3Failure::NotFromStore { status: 403, content_type: Some("text/html".to_owned()) });
        assert_eq!(page.kind(), BlobErrorKind::Transport);
        assert_eq!(failure(404, &[("x-amz-request-id", "1")], "").kind(), BlobErrorKind::NotFound);
    }

    #[test]
    fn no_error_shows_a_signature() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>AWS4-HMAC Xk3vQ0b1c2d3e4f5g6h7i8j9k0l1m2n3o4p5q6r7s8t</Message></Error>";
        let error = failure(403, &[], body).into_error("look at", "s3://b/k".to_owned());
        assert!(!format!("{error} {error:?}").contains("Xk3v"), "{error:?}");
    }
}
