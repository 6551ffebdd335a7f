//! How does a directory become a store? A blob is a plain file, byte for byte the drive.
//!
//! | file | responsibility |
//! |---|---|
//! | [`place`] | the file of a blob: looking at it, and storing a small one whole |
//! | [`blob`] | what every store promises |
//! | [`preflight`] | what can be known before the first byte |
//! | [`upload`] | a blob being written, called `NAME.ID.partial` until it is synced and renamed |

mod blob;
mod place;
mod preflight;
mod upload;

pub use place::{DirectoryBlob, unfinished_file, unfinished_files};
pub(crate) use place::{error_at, lock_error};
