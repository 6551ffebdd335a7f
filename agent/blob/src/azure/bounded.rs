//! The transport, with a bound on every answer that is taken into memory whole: lists, errors, tokens. Only the bytes of
//! a blob have none here, since they are handed on as they come and counted by the reader.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, HttpClient, Method, Request};
use futures::StreamExt;

/// Longest error that is read: Azure's are a few hundred bytes. What is longer is cut off.
const ERROR_BYTES_MAX: u64 = 64 << 10;

/// Longest answer that is read otherwise: a list of 150,000 blocks has about 20 MiB, one of 5,000 blobs with names and
/// metadata of the greatest length 50 MiB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// An answer that was longer than any that is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is longer than {} MiB", ANSWER_BYTES_MAX >> 20)]
pub struct AnswerTooLong;

/// A client whose answers end.
#[derive(Debug)]
pub(super) struct BoundedClient(pub(super) Arc<dyn HttpClient>);

#[async_trait]
impl HttpClient for BoundedClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let response = self.0.execute_request(request).await?;
        let has_range =
            ["range", "x-ms-range"].into_iter().any(|name| request.headers().get_optional_str(&name.into()).is_some());
        let is_error = !response.status().is_success();
        if request.method() == Method::Get && has_range && !is_error {
            return Ok(response);
        }
        let limit = if is_error { ERROR_BYTES_MAX } else { ANSWER_BYTES_MAX };
        let (status, headers, body) = response.deconstruct();
        let bounded = futures::stream::try_unfold((body, limit), move |(mut body, left)| async move {
            let Some(piece) = body.next().await.transpose()? else { return Ok(None) };
            match left.checked_sub(piece.len() as u64) {
                Some(left) => Ok(Some((piece, (body, left)))),
                None if is_error => Ok(None),
                None => Err(azure_core::Error::new(ErrorKind::Other, AnswerTooLong)),
            }
        });
        Ok(AsyncRawResponse::new(status, headers, Box::pin(bounded)))
    }
}
