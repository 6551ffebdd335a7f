//! The copy of one drive of a job: what is remembered of it, and how it moves.
//!
//! | file | responsibility |
//! |---|---|
//! | `record` | what the job remembers of a copy |
//! | `state` | where a copy stands, and the one function that moves it |

mod record;
mod state;

pub use record::{BlobName, CopyRecord, LogAddresses, RetryOptions, percent};
pub use state::{CopyEvent, CopyRefusal, CopyState, CopyStep, Hold, RunEnd, decide_copy};
