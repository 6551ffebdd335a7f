//! Why a line of a manifest cannot be read, or must not be written.

use crate::limits::{MANIFEST_LINE_MAX_BYTES, UNREADABLE_RANGES_MAX};

/// Why a line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than any honest line.
    #[error("the line is longer than {MANIFEST_LINE_MAX_BYTES} bytes")]
    TooLong,
    /// The end of the line is not a checksum.
    #[error("the line has no checksum at its end")]
    NoChecksum,
    /// The checksum is of other bytes.
    #[error("the line's checksum does not fit its content")]
    WrongChecksum,
    /// The checksum fits, but this is not a line that we know.
    #[error("the line is not understood: {0}")]
    NotUnderstood(String),
    /// Lines of one record that do not fit together.
    #[error("the line does not continue the record before it")]
    NotContinued,
    /// More than any drive needs.
    #[error("the chunk has more than {UNREADABLE_RANGES_MAX} unreadable ranges")]
    TooManyRanges,
}

/// Why a line cannot be written: it could not be read again.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The serializer failed.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// [`decode`] would refuse it.
    #[error("a record cannot be written: {0}")]
    Unreadable(LineError),
}

impl From<EncodeError> for std::io::Error {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Json(error) => error.into(),
            EncodeError::Unreadable(_) => std::io::Error::new(std::io::ErrorKind::InvalidData, error),
        }
    }
}
