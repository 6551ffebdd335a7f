//! Requests that are sent side by side, for one step of a commit.

use futures::{Stream, StreamExt};

use crate::error::BlobError;

/// So many failures end a step: the others would fail as well.
const FAILURES_MAX: usize = 8;

/// What succeeded, and the first failure: others go on, so that a repetition has less to do, unless many fail.
pub(crate) async fn gathered<T>(mut work: impl Stream<Item = Result<T, BlobError>> + Unpin) -> (Vec<T>, Option<BlobError>) {
    let (mut done, mut first, mut failures) = (Vec::new(), None, 0);
    while let Some(result) = work.next().await {
        match result {
            Ok(one) => done.push(one),
            Err(error) => {
                // One that is final says more than one that would pass.
                if first.as_ref().is_none_or(|first: &BlobError| first.is_transient() && !error.is_transient()) {
                    first = Some(error);
                }
                failures += 1;
                if failures == FAILURES_MAX {
                    break;
                }
            }
        }
    }
    (done, first)
}
