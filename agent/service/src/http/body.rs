//! Reading the body of a request, with limits of length and time.

use std::time::Duration;

use axum::body::{Body, to_bytes};

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
    /// It is too long, or the connection broke.
    #[error("the body is longer than {BODY_BYTES_MAX} bytes")]
    TooLarge,
}

/// The bytes of a body.
pub(crate) async fn read(body: Body) -> Result<Vec<u8>, BodyReadError> {
    let bytes = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES_MAX)).await;
    let bytes = bytes.map_err(|_| BodyReadError::Timeout)?.map_err(|_| BodyReadError::TooLarge)?;
    Ok(bytes.to_vec())
}
