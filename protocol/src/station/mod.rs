//! What a station shows of itself: its bays, and what waits for a person.
//!
//! | file | responsibility |
//! |---|---|
//! | `identity` | whether a drive's name says whose it is |
//! | `bay` | the bays and what is in them |
//! | `attention` | what waits for a person |
//! | `audit` | who did what |

mod attention;
mod audit;
mod bay;
mod identity;

pub use attention::{Attention, AttentionKind};
pub use audit::AuditEntry;
pub use bay::{Bay, BayState, BayWork, DockedDrive};
pub use identity::WeakIdentity;
