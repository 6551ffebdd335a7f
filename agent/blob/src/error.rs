//! Failures of a store, named by what the caller can do, and split into transient and final.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// What the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobErrorKind {
    /// The container or directory is not there.
    ContainerNotFound,
    /// The blob is not there.
    NotFound,
    /// The blob is there, and may not be replaced.
    AlreadyExists,
    /// The blob changed since it was looked at.
    Changed,
    /// What is there rules it out, whatever is tried: the message names the way out.
    Refused,
    /// No store can have a container or a blob of that name.
    InvalidName,
    /// The credentials are missing, wrong or expired, or they are not let in from here.
    Denied,
    /// The credentials are good, and do not permit this.
    NotPermitted,
    /// Nothing is left on the store's disk, or of its quota.
    NoSpace,
    /// The store does not know what was asked for.
    Unsupported,
    /// Uncommitted blocks of another program are in the way.
    ForeignBlocks,
    /// The store asks to be asked less, or later.
    Throttled,
    /// The store failed.
    ServerFault,
    /// What arrived is not what was sent.
    Corrupted,
    /// No answer in time.
    TimedOut,
    /// The connection could not be made, or broke.
    Transport,
    /// Anything else.
    Other,
}

impl BlobErrorKind {
    /// Whether the same request may succeed later.
    pub fn is_transient(self) -> bool {
        use BlobErrorKind::*;
        matches!(self, Throttled | ServerFault | Corrupted | TimedOut | Transport)
    }
}

/// A failed request: what it was, on which blob, what the store said.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {operation} `{address}`: {message}")]
pub struct BlobError {
    /// What the caller can do.
    pub kind: BlobErrorKind,
    /// A verb phrase.
    pub operation: &'static str,
    /// The blob's address without secrets.
    pub address: String,
    /// What happened, with the server's status and code where there are any, and what to do next.
    pub message: String,
    /// How long the server asked to wait.
    pub retry_after: Option<Duration>,
    /// What caused it, for callers that look closer than the kind. The message says it already; it carries no secrets.
    #[source]
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

impl BlobError {
    /// An error that nothing else caused.
    pub fn new(kind: BlobErrorKind, operation: &'static str, address: impl Into<String>, message: impl Into<String>) -> Self {
        BlobError { kind, operation, address: address.into(), message: message.into(), retry_after: None, source: None }
    }

    /// The same error, with what caused it.
    #[must_use]
    pub fn caused_by(self, source: impl Error + Send + Sync + 'static) -> Self {
        BlobError { source: Some(Arc::new(source)), ..self }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_cause_is_kept_and_said_once() {
        let cause = io::Error::from(io::ErrorKind::StorageFull);
        let error = BlobError::new(BlobErrorKind::NoSpace, "write", "blob", cause.to_string()).caused_by(cause);
        let source = error.clone().source.and_then(|source| source.downcast_ref::<io::Error>().map(io::Error::kind));
        assert_eq!(source, Some(io::ErrorKind::StorageFull));
        assert!(Error::source(&error).is_some());
        assert_eq!(error.to_string(), "cannot write `blob`: no storage space");
    }
}
