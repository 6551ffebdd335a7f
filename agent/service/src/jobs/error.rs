//! Why a use case was refused or failed.

use protocol::arm::FieldProblem;

use crate::scheduler::worker::WorkError;
use crate::store::StoreError;

/// A refusal, or a failure of something that the use case needs. Each is one sentence for the caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// Fields of the request are wrong: all of them at once.
    #[error("some fields of the request are wrong")]
    Fields(Vec<FieldProblem>),
    /// A job cannot have this name.
    #[error("`{0}` is not a name for a job: 2 to 64 letters, digits, hyphens and underscores")]
    InvalidName(String),
    /// There is no such datacenter.
    #[error("there is no location `{name}`: it is one of `{}`", known.join("`, `"))]
    UnknownLocation {
        /// What was asked for.
        name: String,
        /// The locations that there are.
        known: Vec<String>,
    },
    /// The storage account does not exist, or is not reachable for the subscription: which of both is not said.
    #[error("this station cannot reach a storage account `{0}` for this subscription")]
    UnreachableAccount(String),
    /// As things stand it cannot be done.
    #[error("{0}")]
    Refused(String),
    /// A drive or a store failed.
    #[error("{0}")]
    Failed(String),
    /// The store failed, or the table of jobs does not allow it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WorkError> for JobError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Refused(message) => JobError::Refused(message),
            WorkError::Failed(message) => JobError::Failed(message),
        }
    }
}
