//! A wait for the database that ends: a server that vanished says nothing, and the network tells it much later.

use std::time::Duration;

use super::dialect::STATEMENT_TIMEOUT;

/// Longer than any statement takes that the server itself ends.
const ANSWER_TIMEOUT: Duration = STATEMENT_TIMEOUT.saturating_add(Duration::from_secs(5));

/// A question to the database.
pub(super) trait Answered<T>: Future<Output = Result<T, sqlx::Error>> + Send + Sized {
    /// The answer, or an error where none comes.
    fn answered(self) -> impl Future<Output = Result<T, sqlx::Error>> + Send {
        async move {
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, self).await;
            answer.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
        }
    }
}

impl<T, F: Future<Output = Result<T, sqlx::Error>> + Send> Answered<T> for F {}
