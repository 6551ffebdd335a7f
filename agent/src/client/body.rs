//! Answers of bounded length: a service that is not what it seems must not fill the memory.

use reqwest::Response;

use super::error::ClientError;

/// Longest answer: a page of a hundred jobs, each with ten drives and their thousand ranges, has about 25 MB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Longest error that is read: one of ours has at most fifty details. What is longer is cut off.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// All of an answer.
pub(super) async fn whole(mut answer: Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    let failed =
        |error: reqwest::Error| ClientError::Failed(format!("the job service's answer broke off: {}", error.without_url()));
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(ClientError::Failed(format!("the job service's answer is longer than {} MiB", ANSWER_BYTES_MAX >> 20)));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The beginning of an error; what broke off says as much as it did.
pub(super) async fn of_error(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > ERROR_BYTES_MAX {
            break;
        }
    }
    body
}
