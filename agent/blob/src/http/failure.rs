//! A request that was not answered, or not to the end. The library's own texts are used only where they cannot carry a URL,
//! since a URL may carry a signature.

use azure_core::error::ErrorKind;

use super::bounded::AnswerTooLong;
use super::causes::{find, innermost};
use super::connect_failure::ConnectFailure;
use super::server_text::may_have_secret;
use super::transport::Silence;
use crate::error::BlobErrorKind;

/// Why a request was not answered, or not to the end. Nothing in it can carry a signature or a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpFailure {
    /// Nothing answered.
    #[error("no connection to the server: {0}")]
    NoConnection(String),
    /// The connection ended within a request or an answer.
    #[error("the connection broke: {0}")]
    BrokenConnection(String),
    /// The answer has another form than it should.
    #[error("the server's answer was not understood")]
    NotUnderstood,
    /// The answer did not end where it had to.
    #[error(transparent)]
    TooLong(AnswerTooLong),
    /// Nothing moved on the connection.
    #[error(transparent)]
    Silent(Silence),
    /// A proxy did not lead to the host, or the host's certificate is not trusted.
    #[error(transparent)]
    Connect(ConnectFailure),
    /// Anything else: the text of the library may have a URL.
    #[error("the request could not be made")]
    NotMade,
}

impl HttpFailure {
    pub(crate) fn of(error: &azure_core::Error) -> Self {
        if let Some(failure) = find::<ConnectFailure>(error) {
            return HttpFailure::Connect(failure.clone());
        }
        match error.kind() {
            ErrorKind::Connection => HttpFailure::NoConnection(detail(error)),
            ErrorKind::Io => HttpFailure::BrokenConnection(detail(error)),
            ErrorKind::DataConversion => HttpFailure::NotUnderstood,
            _ => {
                let source = std::error::Error::source(error);
                let too_long = source.and_then(|source| source.downcast_ref::<AnswerTooLong>());
                let silence = source.and_then(|source| source.downcast_ref::<Silence>());
                match (too_long, silence) {
                    (Some(too_long), _) => HttpFailure::TooLong(too_long.clone()),
                    (None, Some(silence)) => HttpFailure::Silent(silence.clone()),
                    (None, None) => HttpFailure::NotMade,
                }
            }
        }
    }

    pub(crate) fn kind(&self) -> BlobErrorKind {
        match self {
            HttpFailure::NoConnection(_) | HttpFailure::BrokenConnection(_) => BlobErrorKind::Transport,
            HttpFailure::Silent(_) => BlobErrorKind::TimedOut,
            HttpFailure::Connect(failure) => failure.kind(),
            HttpFailure::NotUnderstood | HttpFailure::TooLong(_) | HttpFailure::NotMade => BlobErrorKind::Other,
        }
    }
}

/// What happened, but for a text that may repeat a secret: outer causes name the URL, and an inner one could.
pub(crate) fn detail(error: &azure_core::Error) -> String {
    let text = innermost(error);
    if may_have_secret(&text) { "no further detail".to_owned() } else { text }
}
