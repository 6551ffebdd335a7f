//! What every blob store promises, tried on each kind: the same functions for the store in memory, directories, and block
//! and page blobs of Azure. Where stores differ by nature, the suite asks [`UploadCapabilities`](crate::UploadCapabilities)
//! and [`Blob`] itself, and never which store it is.
//!
//! | module | what it holds |
//! |---|---|
//! | `test_store` | a store that is tried |
//! | `check` | everything that is tried |
//! | `content` | what is stored, and how it is sent and read back |
//! | `upload` | begin, put, commit, read |
//! | `ownership` | resumed, abandoned, replaced and lost uploads |
//! | `reading` | ranges, versions, what is not there |
//! | `files` | whole files, as manifests are stored |
//! | `listing` | containers, and what is in them |
#![cfg(any(test, feature = "testing"))]
#![allow(clippy::unwrap_used, reason = "a suite of tests: what fails here is a failed test")]

mod check;
mod content;
mod files;
mod listing;
mod ownership;
mod reading;
mod test_store;
#[cfg(test)]
mod tests;
mod upload;

pub use check::check;
pub use test_store::TestStore;
