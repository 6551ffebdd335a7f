//! Why nothing was measured.

use std::path::Path;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// A file could not be used.
    #[error("`{path}` cannot be used: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Something that was to be measured failed: one sentence.
    #[error("{0}")]
    Failed(String),
}

impl BenchError {
    pub(super) fn file(path: &Path, source: std::io::Error) -> Self {
        BenchError::File { path: path.display().to_string(), source }
    }
}

impl From<copy::CopyError> for BenchError {
    fn from(error: copy::CopyError) -> Self {
        BenchError::Failed(error.to_string())
    }
}

impl From<drive::DriveError> for BenchError {
    fn from(error: drive::DriveError) -> Self {
        BenchError::Failed(error.to_string())
    }
}

impl From<blob::BlobError> for BenchError {
    fn from(error: blob::BlobError) -> Self {
        BenchError::Failed(error.to_string())
    }
}
