//! How does a chunk get its SHA-256, at the speed of the processor?
//!
//! | file | responsibility |
//! |---|---|
//! | [`hash_pool`] | the hash threads of a transfer: as few as keep up, each filling the lanes of its core |
//! | [`side_by_side`] | several messages on one core |
//! | `lane` | one message on its way: its blocks, and its padded end |
//! | `extension` | the instructions; the only unsafe code |
//! | [`zeros`] | digests of zeros, which need no bytes |
//! | [`whole`] | the plain SHA-256 of the whole drive, in drive order |

#[cfg(target_arch = "x86_64")]
mod extension;
pub(crate) mod hash_pool;
#[cfg(target_arch = "x86_64")]
mod lane;
pub(crate) mod side_by_side;
#[cfg(test)]
mod tests;
pub(crate) mod whole;
mod zeros;

pub use side_by_side::{LANES, SideBySide};
pub(crate) use zeros::ZeroDigests;
