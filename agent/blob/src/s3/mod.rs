//! How are objects of S3 and of compatible servers reached?
//!
//! `object_store` gives credentials and signs; the requests are ours, over the transport that Azure's go over: one attempt
//! each, counted, timed and cancelled by the copy engine alone. A chunk is a part of a multipart upload, sent with its SHA-256,
//! which the server checks and the signature covers.
//!
//! | file | responsibility |
//! |---|---|
//! | [`bucket`] | a bucket: credentials, signing, sending |
//! | [`credentials`], [`place`] | who we are, and where the bucket is |
//! | [`requests`], [`multipart`], [`answers`] | each request, and what its answer says |
//! | [`object`], [`blob`], [`reading`], [`stated`] | an object and what a look at it says; what every store promises; ranges; checksums of the whole |
//! | [`layout`] | which chunk is which part of which object |
//! | [`upload`], [`piece`] | an object being written, and the pieces that it is made of |
//! | [`fill`], [`segments`], [`commit`] | from parts to segments, and to the object that appears |
//! | [`probe`] | whether the store refuses a wrong checksum |
//! | [`staging`], [`leftovers`] | what an unfinished transfer keeps, under which names, and its removal |
//! | [`whole_file`] | small files |
//! | [`error`] | what a failure of a server means |
//! | [`fuzzing`] | what fuzz targets try of answers |

mod answers;
mod blob;
mod bucket;
mod commit;
mod credentials;
mod error;
mod fill;
pub(crate) mod fuzzing;
mod layout;
mod leftovers;
mod multipart;
mod object;
mod piece;
mod place;
mod probe;
mod reading;
mod requests;
mod segments;
mod staging;
mod stated;
mod upload;
mod whole_file;

pub use bucket::S3Bucket;
pub use error::S3Failure;
pub use layout::Sizes;
pub use object::S3Blob;
pub(crate) use staging::{StagingPlace, named_by_staging};
