//! Who copies which drive when, and what follows from its end?
//!
//! # How it decides
//! By state, not by event: whenever something happened (a request, a drive, the end of a copy, a second), one *round*
//! looks at how things stand and does what is missing. So nothing depends on a message that was lost, and a start of the
//! service is a round like any other.
//!
//! # A round
//! 1. Effects from the outbox: stops first; documents are written beside the rounds and tried again.
//! 2. Timers that are due ([`protocol::job::Timer`]), at most fifty in a round.
//! 3. Bays: a docked drive is checked in where it is certain which job it is for; a drive that was received, or whose
//!    copy was interrupted, is copied.
//!
//! Only rounds start copies and only one round runs at a time, so that a drive is never copied twice at once.
//!
//! | file | responsibility |
//! |---|---|
//! | `handle` | [`Scheduler`]: what all files share, and the table of copies that run |
//! | `run` | the loop of rounds; timers and bays |
//! | `find` | what is known of the drives in the bays; what is done about them is [`protocol::station::next`] |
//! | `order` | what the data plane needs to know of a copy |
//! | `copies` | the beginning and the end of a copy |
//! | `granted` | copies that were granted before this service began |
//! | `effects` | carrying out what was decided |
//! | `drain` | the end: what is waited for |
//! | `pending` | attempts of effects that are carried out beside the rounds |
//! | `documents` | documents in the customer's account, and the list of what was not exported |
//! | `receipts` | what moved of each drive |
//! | `remove` | removing what a job left outside of the database |
//! | `view` | bays and copies as they are shown |
//! | `attention` | what waits for a person |
//! | `worker` | the data plane's interface |
//! | `simulation` | single rounds, for tests that lead the scheduler through virtual time |

mod attention;
mod copies;
mod documents;
mod drain;
mod effects;
#[cfg(test)]
pub(crate) mod fake;
mod find;
mod granted;
mod handle;
mod journals;
mod order;
mod pending;
mod receipts;
mod remove;
mod run;
#[cfg(feature = "simulation")]
mod simulation;
mod view;
pub mod worker;

pub(crate) use attention::{AttentionPage, AttentionPlace};
pub(crate) use documents::DriveDocument;
pub(crate) use find::claim_of;
pub use handle::{Clock, Scheduler};
pub(crate) use order::account_of;
pub(crate) use receipts::receipts;
#[cfg(feature = "simulation")]
pub use simulation::WorkBeside;
