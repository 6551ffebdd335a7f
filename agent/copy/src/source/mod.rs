//! Where do bytes and manifests come from?
//!
//! | file | responsibility |
//! |---|---|
//! | [`blob_range`] | one range of a blob into a buffer, whole and checked as far as the store can |
//! | [`holes`] | ranges that a file system says are zeros, which are not read |
//! | [`named`] | what the names of a blob's blocks say of it |
//! | [`vhd`] | a blob that is a disk image with a footer |
//! | [`sectors`] | reading a drive in whole sectors, around what a manifest says cannot be read |
//! | [`manifest`] | a manifest from a file, from beside a blob, or from a blob of its own |

pub(crate) mod blob_range;
pub(crate) mod holes;
pub(crate) mod manifest;
pub(crate) mod named;
pub(crate) mod sectors;
pub(crate) mod vhd;
