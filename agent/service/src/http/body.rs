//! Reading the body of a request, with limits of length and time.

use std::error::Error;
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use http_body_util::LengthLimitError;

/// Longest body of a request: a job of ten drives with long lists is a tenth of it.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyReadError {
    /// It took too long.
    #[error("the body did not come in time")]
    Timeout,
    /// It is longer than this many bytes.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    /// The connection broke, or the body is not what its head announced.
    #[error("the body ended too early, or is not well-formed")]
    Broken,
}

/// The bytes of a body.
pub(crate) async fn read(body: Body) -> Result<Vec<u8>, BodyReadError> {
    read_at_most(body, BODY_BYTES_MAX).await
}

/// The bytes of a body of no more than `bytes_max`. One that announces more is refused before any of it is read.
pub(crate) async fn read_at_most(body: Body, bytes_max: usize) -> Result<Vec<u8>, BodyReadError> {
    if usize::try_from(body.size_hint().lower()).map_or(true, |announced| announced > bytes_max) {
        return Err(BodyReadError::TooLarge(bytes_max));
    }
    let bytes = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, bytes_max)).await.map_err(|_| BodyReadError::Timeout)?;
    let bytes = bytes.map_err(|error| match error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
        true => BodyReadError::TooLarge(bytes_max),
        false => BodyReadError::Broken,
    })?;
    Ok(bytes.to_vec())
}
