//! Does a drive or a blob hold what a manifest says? Asked by `verify`, and by imports and exports that read back.
//!
//! | file | responsibility |
//! |---|---|
//! | [`operation`] | `verify`: a manifest against a drive, a blob, or both |
//! | [`side`] | what is compared, with what, and which chunks of it |
//! | [`compare`] | one side, and what differs in one list |
//! | [`comparer`] | chunk by chunk |
//! | [`hashes`] | the hashing of it, several chunks side by side |

mod compare;
mod comparer;
mod hashes;
mod operation;
mod side;

pub(crate) use compare::compare;
pub(crate) use comparer::Compared;
pub use operation::{Sides, verify};
pub(crate) use side::{Expected, Scope, Side};
