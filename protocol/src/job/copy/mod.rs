//! The copy of one drive of a job: what is remembered of it, and how it moves.
//!
//! | file | responsibility |
//! |---|---|
//! | `record` | what the job remembers of a copy, and where it stands |
//! | `state` | the one function that moves it |

mod record;
mod state;

pub use record::{BlobName, CopyRecord, CopyState, DockedTime, Hold, LogAddresses, Mistake, RetryOptions, TargetSeen, percent};
pub use state::{CopyEvent, CopyRefusal, CopyStep, RunEnd, decide_copy, is_ended_by_cancel};
