//! What is in an account of blob storage? The copy engine knows one blob at a time; jobs, which choose blobs and make places
//! for them, ask here.
//!
//! | file | responsibility |
//! |---|---|
//! | [`contract`] | what every account promises |
//! | [`address`] | how an account is written, and which kind of store that is |
//! | [`azure`], [`s3`], [`gcs`], [`directory`] | the containers of each |
//! | [`buckets`] | what accounts of buckets have in common |
//! | `fuzzing` | what fuzz targets try of lists |

mod address;
mod azure;
mod buckets;
mod contract;
mod directory;
pub(crate) mod fuzzing;
mod gcs;
mod s3;

pub use address::AccountAddress;
pub use contract::{Account, BlobItem};
