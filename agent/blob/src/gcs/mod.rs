//! How are objects of Google Cloud Storage reached?
//!
//! Over the XML API alone: PUT, PUT with `compose`, GET, HEAD, a list, DELETE. `object_store` obtains tokens; the requests are
//! ours, over the transport that every store's go over: one attempt each, counted, timed and cancelled by the copy engine. A
//! chunk is an object named by its content, sent with its CRC32C, which the server checks. At the end they are composed, up to
//! 32 at a time, until one object is left; its CRC32C follows from those of the chunks, and is compared.
//!
//! | file | responsibility |
//! |---|---|
//! | [`bucket`] | a bucket: tokens, sending |
//! | [`credentials`], [`place`] | who we are, and where the bucket is |
//! | [`requests`] | each request, and what its answer says |
//! | [`crc32c`] | checksums, and those of what was put together |
//! | [`object`], [`blob`], [`reading`] | an object and what a look at it says; what every store promises; ranges |
//! | [`upload`], [`commit`] | an object being written, and the object that appears |
//! | [`tree`], [`assembly`] | which objects are composed of which, and composing them |
//! | [`probe`] | whether the store refuses a wrong checksum |
//! | [`staging`], [`leftovers`] | what an unfinished transfer keeps, under which names, and its removal |
//! | [`whole_file`] | small files |
//! | [`error`] | what a failure of a server means |
//! | [`fuzzing`] | what fuzz targets try of answers |

mod assembly;
mod blob;
mod bucket;
mod commit;
mod crc32c;
mod credentials;
mod error;
pub(crate) mod fuzzing;
mod leftovers;
mod object;
mod place;
mod probe;
mod reading;
mod requests;
mod staging;
mod tree;
mod upload;
mod whole_file;

pub use bucket::GcsBucket;
pub use error::GcsFailure;
pub use object::GcsBlob;
pub(crate) use staging::{folder_of, named_by_staging};
