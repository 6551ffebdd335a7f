//! The transport, with a bound on every answer that is taken into memory whole: lists, errors, tokens. Only the bytes of
//! a blob have none here, since they are handed on as they come and counted by the reader.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, HttpClient, Method, Request};
use futures::StreamExt;
use tokio::time::Instant;

/// Longest error that is read: Azure's are a few hundred bytes. What is longer is cut off.
const ERROR_BYTES_MAX: u64 = 64 << 10;

/// Longest answer that is read otherwise: a list of 150,000 blocks has about 20 MiB, one of 5,000 blobs with names and
/// metadata of the greatest length 50 MiB.
pub(crate) const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Longest answer about a token: Entra ID's have a few thousand bytes.
pub(crate) const TOKEN_ANSWER_BYTES_MAX: u64 = 256 << 10;

/// Longest silence within an answer that is taken into memory. What was said of an error until then is shown.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long an error may take: it is worth no more.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);

/// An answer that was longer than any that is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is longer than {} KiB", .limit_bytes >> 10)]
pub struct AnswerTooLong {
    /// What it may have had, in bytes.
    pub limit_bytes: u64,
}

/// A client whose answers end.
#[derive(Debug)]
pub(crate) struct BoundedClient {
    pub(crate) inner: Arc<dyn HttpClient>,
    /// Longest answer that is not an error, in bytes.
    pub(crate) limit_bytes: u64,
}

#[async_trait]
impl HttpClient for BoundedClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let response = self.inner.execute_request(request).await?;
        let has_range =
            ["range", "x-ms-range"].into_iter().any(|name| request.headers().get_optional_str(&name.into()).is_some());
        let is_error = !response.status().is_success();
        if request.method() == Method::Get && has_range && !is_error {
            return Ok(response);
        }
        let limit_bytes = if is_error { ERROR_BYTES_MAX } else { self.limit_bytes };
        let (status, headers, body) = response.deconstruct();
        let end = Instant::now() + ERROR_TIMEOUT;
        let bounded = futures::stream::try_unfold((body, limit_bytes), move |(mut body, left)| async move {
            let timeout = if is_error { end.saturating_duration_since(Instant::now()) } else { SILENCE_MAX };
            let piece = match tokio::time::timeout(timeout, body.next()).await {
                Ok(piece) => piece.transpose()?,
                Err(_) if is_error => None,
                Err(_) => return Err(azure_core::Error::with_message(ErrorKind::Io, "the answer stopped in its middle")),
            };
            let Some(piece) = piece else { return Ok(None) };
            match left.checked_sub(piece.len() as u64) {
                Some(left) => Ok(Some((piece, (body, left)))),
                None if is_error => Ok(None),
                None => Err(azure_core::Error::new(ErrorKind::Other, AnswerTooLong { limit_bytes })),
            }
        });
        Ok(AsyncRawResponse::new(status, headers, Box::pin(bounded)))
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::StatusCode;
    use azure_core::http::headers::Headers;
    use bytes::Bytes;
    use futures::stream;

    use super::*;

    /// Answers with a status, some pieces, and then silence.
    #[derive(Debug)]
    struct Silent(StatusCode, usize);

    #[async_trait]
    impl HttpClient for Silent {
        async fn execute_request(&self, _: &Request) -> azure_core::Result<AsyncRawResponse> {
            let pieces = stream::iter((0..self.1).map(|_| Ok(Bytes::from(vec![b'x'; 1 << 10])))).chain(stream::pending());
            Ok(AsyncRawResponse::new(self.0, Headers::new(), Box::pin(pieces)))
        }
    }

    async fn answered(status: StatusCode, pieces: usize) -> azure_core::Result<usize> {
        let client = BoundedClient { inner: Arc::new(Silent(status, pieces)), limit_bytes: 2 << 10 };
        let request = Request::new("https://acme.example".parse().unwrap(), Method::Get);
        let response = client.execute_request(&request).await?.try_into_raw_response().await?;
        Ok(response.body().as_ref().len())
    }

    #[tokio::test(start_paused = true)]
    async fn answers_end_in_length_and_in_time() {
        let begun = Instant::now();
        assert_eq!(answered(StatusCode::Forbidden, 1).await.unwrap(), 1 << 10, "what came of an error is enough");
        assert_eq!(begun.elapsed(), ERROR_TIMEOUT);
        assert_eq!(answered(StatusCode::Forbidden, 1000).await.unwrap(), usize::try_from(ERROR_BYTES_MAX).unwrap());
        let begun = Instant::now();
        assert_eq!(*answered(StatusCode::Ok, 1).await.unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(begun.elapsed(), SILENCE_MAX);
        let too_long = answered(StatusCode::Ok, 3).await.unwrap_err();
        let source = std::error::Error::source(&too_long).unwrap();
        assert_eq!(source.downcast_ref(), Some(&AnswerTooLong { limit_bytes: 2 << 10 }));
    }
}
