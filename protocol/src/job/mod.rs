//! The job: what the customer asked for, and how it moves.
//!
//! [`decide`] is the only thing that moves a job. It is pure: the job as it stands, what happened, and the
//! time go in; the job as it is then, and what is to be done about it, come out. Storing the one and doing
//! the other is left to the service.
//!
//! ```text
//!                      ship                  all drives in             first drive starts
//!   (put) ──▶ Creating ────▶ Shipping ───────────────────▶ Received ───────────────────▶ Transferring
//!                │              │                             │                               │
//!                │              │ 30 silent days              │ nothing to copy               │ all drives done,
//!                │              │                             ▼                               ▼ skipped or drained
//!                │ cancel       │                          Packaging ◀────────────────────────┘
//!                │              │                             │ all shipped back
//!                ▼              ▼                             ▼
//!            Completed       Closed              Completed (no error, or cancelled) or Closed (some error)
//! ```
//! A cancelled job always ends `Completed`. After 90 days Completed and Closed jobs are removed, Creating ones
//! after 14 days without a change.
//!
//! A drive goes `Specified → Received → Transferring → Completed | CompletedMoreInfo → ShippedBack`. One that does
//! not come in time is `NeverReceived`, and `Received` when it comes after all. One that ended without being complete
//! is copied again, until it is shipped back, when an operator wants that; then a job in Packaging is Transferring again.
//!
//! Where an operator says that the drive which was checked in was another one, it is `Received` once more, however far its
//! copy was, until the drives are shipped back.
//!
//! An export waits until each of its blobs has a drive, or every drive that was announced has come. A drive that is not
//! needed, or is unsuitable, is a spare: it goes back unused.

mod copy;
mod decide;
mod edit;
mod end;
mod refusal;
mod state;
mod take_back;
mod timers;

#[cfg(test)]
mod tests;

pub use copy::{
    BlobName, CopyEvent, CopyRecord, CopyRefusal, CopyState, CopyStep, DockedTime, Hold, LogAddresses, Mistake, RetryOptions,
    RunEnd, TargetSeen, decide_copy, is_ended_by_cancel, percent,
};
pub use decide::{Decision, Effect, Event, Notice, decide};
pub use edit::{Field, correct_drives, may_correct, may_edit};
pub use end::CopyEnd;
pub use refusal::Refusal;
pub use state::{DriveState, Job, JobDrive, JobKind, JobState, UnknownJobState};
pub use timers::{CREATING_KEPT, FINISHED_KEPT, NEVER_RECEIVED_AFTER, SILENT_SHIPPING_CLOSED_AFTER, Timer, next_timer};
