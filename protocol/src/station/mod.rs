//! What a station shows of itself: its bays, and what waits for a person. The rules about them are pure functions.
//!
//! | file | responsibility |
//! |---|---|
//! | `identity` | whether a drive's name says whose it is |
//! | `bay` | the bays and what is in them |
//! | `order` | what the data plane is ordered to do |
//! | `report_check` | whether what a station tells can be true |
//! | `state_id` | whose journals are where |
//! | `call` | the call between a station and the service |
//! | `job` | a job as these rules see it |
//! | `next` | which job gets a docked drive, and what is to be done about it |
//! | `action` | what a person can do, and the command that does it |
//! | `attention` | what waits for a person |
//! | `waiting_bay`, `waiting_job` | what waits at a bay, and about a job |
//! | `audit` | who did what |

mod action;
mod attention;
mod audit;
mod bay;
mod call;
mod identity;
mod job;
mod next;
mod order;
mod report_check;
mod state_id;
mod waiting_bay;
mod waiting_job;

#[cfg(test)]
mod next_tests;
#[cfg(test)]
mod waiting_tests;

pub use action::{Action, OfferedAction};
pub use attention::{Attention, AttentionKind};
pub use audit::AuditEntry;
pub use bay::{Bay, BayState, BayWork, DockedDrive};
pub use call::{
    CALL_VERSION, CopyReport, Grant, STOP_MARGIN, StationOrders, StationReport, Task, TaskResult, bay_of_station, station_and_bay,
};
pub use identity::WeakIdentity;
pub use job::{Candidate, JobInHand, short_job_name};
pub use next::{Binding, Decided, DockedHere, Doubt, Next, Twin, next, weak_identity};
pub use order::{BayContent, CopyOrder, JournalKey, JournalOrder, LogOrder};
pub use report_check::ReportProblem;
pub use state_id::{has_same_journals, is_same_host, state_id};
pub use waiting_bay::{attention_of_bay, may_be_given};
pub use waiting_job::{attention_of_job, waits_from};
