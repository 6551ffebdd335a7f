//! Why a use case was refused or failed.

use protocol::arm::FieldProblem;

use crate::scheduler::worker::WorkError;
use crate::store::{Actor, Role, StoreError};

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
    /// A drive or a store failed. The sentence may have paths and addresses of the station in it: it is for operators.
    #[error("{0}")]
    Failed(String),
    /// The same, as a customer is told.
    #[error("the station could not use the storage account: try again in a while, and ask its operators if that does not help")]
    Unavailable,
    /// The store failed, or the table of jobs does not allow it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl JobError {
    /// What the data plane said, for this actor: operators read all of it, and for customers it is in the log.
    pub(crate) fn of_work(error: WorkError, actor: &Actor) -> Self {
        match (error, &actor.role) {
            (WorkError::Failed(message), Role::Customer(_)) => {
                tracing::error!(error = message, actor = actor.name, "what a customer asked for failed");
                JobError::Unavailable
            }
            (error, _) => error.into(),
        }
    }
}

/// What the data plane said, for operators.
impl From<WorkError> for JobError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Refused(message) => JobError::Refused(message),
            WorkError::Failed(message) => JobError::Failed(message),
        }
    }
}
