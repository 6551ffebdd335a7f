//! Why an event cannot happen to a job.

use super::state::{DriveState, JobState};

/// A refusal. Each is one sentence for the customer or the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The table does not allow it in this state.
    #[error("a job in the state {state} cannot be {action}; {}", allowed(*.state))]
    NotInThisState {
        /// What was asked for.
        action: &'static str,
        /// Where the job stands.
        state: JobState,
    },
    /// A field cannot be changed in this state.
    #[error("`{field}` cannot be changed in the state {state}")]
    FieldNotInThisState {
        /// Its name in the REST API.
        field: &'static str,
        /// Where the job stands.
        state: JobState,
    },
    /// A job is shipped with all that is needed to send its drives back.
    #[error("a job is shipped with `{missing}`: set it in this request or before")]
    ShippingNeeds {
        /// The field that is missing.
        missing: &'static str,
    },
    /// The job has no such drive.
    #[error("the job has no drive `{id}`")]
    NoSuchDrive {
        /// The serial number.
        id: String,
    },
    /// The drive stands elsewhere.
    #[error("the drive `{id}` is {state}, and cannot be {action}")]
    DriveNotInThisState {
        /// The serial number.
        id: String,
        /// What was asked for.
        action: &'static str,
        /// Where the drive stands.
        state: DriveState,
    },
    /// A parcel that is on its way has the drives that it has.
    #[error("a job that was shipped keeps its number of drives: it has {has}, and {given} were given; list all of them")]
    DriveCount {
        /// Drives of the job.
        has: usize,
        /// Drives of the request.
        given: usize,
    },
    /// A drive is not waited for any more: the others are copied, or it did not come for too long.
    #[error("the job does not wait for drives any more: check one in when it comes after all")]
    WaitIsOver,
    /// Nothing is copied for a job that was cancelled.
    #[error("the job was cancelled: nothing more of it is copied")]
    Cancelled,
}

/// What a customer may do instead.
fn allowed(state: JobState) -> &'static str {
    match state {
        JobState::Creating => "it can be changed, shipped, cancelled or deleted",
        JobState::Shipping => {
            "its delivery and the serial numbers of drives that have not come can be changed, and it can be cancelled"
        }
        JobState::Received | JobState::Transferring => "it can be cancelled",
        JobState::Packaging => "its drives are being sent back, and nothing can be done until that has ended",
        JobState::Completed | JobState::Closed => "it can be deleted",
    }
}

impl Refusal {
    /// The code of the REST error.
    pub const fn code(&self) -> &'static str {
        match self {
            Refusal::NotInThisState { .. } => "JobStateConflict",
            Refusal::FieldNotInThisState { .. } => "FieldNotEditable",
            Refusal::ShippingNeeds { .. } => "ShippingInformationMissing",
            Refusal::NoSuchDrive { .. } => "DriveNotFound",
            Refusal::DriveNotInThisState { .. } => "DriveStateConflict",
            Refusal::DriveCount { .. } => "DriveCountConflict",
            Refusal::WaitIsOver => "DriveStateConflict",
            Refusal::Cancelled => "JobCancelled",
        }
    }

    /// The status of the REST error.
    pub const fn status(&self) -> u16 {
        match self {
            Refusal::ShippingNeeds { .. } => 400,
            Refusal::NoSuchDrive { .. } => 404,
            _ => 409,
        }
    }
}
