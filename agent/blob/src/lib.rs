//! Reach blob storage: Azure block and page blobs, objects of S3 and of Google Cloud Storage, and a directory.
//!
//! # What is here
//! | module | what it holds |
//! |---|---|
//! | [`contract`] | the traits [`Blob`] and [`Upload`], and what each operation promises |
//! | [`facts`] | what is known of a blob that exists, and what a store can take |
//! | [`account`] | the containers of an account, and what is in them |
//! | [`address`] | how a BLOB is written on the command line, and how it is shown without secrets |
//! | `staging_address` | how a place for pieces of unfinished objects is written |
//! | [`azure`] | block and page blobs on the official SDK, whose own retries are switched off |
//! | [`s3`] | objects of S3 and of compatible servers |
//! | [`gcs`] | objects of Google Cloud Storage, and of emulators |
//! | [`directory`] | a plain file in a directory, byte for byte the drive |
//! | [`http`] | HTTP and TLS, proxies, and which host may be given which credential: for every store across a network |
//! | `environment`, `credential_error` | what the environment says of credentials, and why there are none |
//! | [`properties`] | what a blob is given beside its bytes: tier, metadata, content type |
//! | `memory` | a store for tests, with the feature `testing` |
//! | `conformance` | what every store promises, tried on each; with the same feature |
//! | [`stated`] | the checksum of a whole blob that its store states |
//! | [`checksum`] | CRC-64 and MD5 of a body, as they go over the wire |
//! | [`block_id`] | a block is named by its content |
//! | [`vhd`] | the footer of a disk image, as Azure's disks have it |
//! | [`retry`] | when to try again: a pure function of attempt, error and time |
//! | [`error`] | failures, named by what the caller can do |
//! | `fuzzing` | parsers that only the fuzz targets of the tests call from outside |
//!
//! # What an operation is
//! One attempt. Nothing here repeats a request: attempts are counted, delayed, cancelled and timed
//! by the copy engine, which owns the one visible budget. Dropping a future drops its request.
//!
//! # What is atomic
//! [`Upload::commit`]: before it nothing under the blob's name looks complete, after it everything
//! does. A block blob appears with its block list, a directory's file is renamed after a sync. A page
//! blob cannot appear at once, so it carries the mark `incomplete` in its metadata until then.
//!
//! # Secrets
//! Keys, tokens and signatures live in types that do not print them; addresses are shown without
//! their query.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

pub mod account;
pub mod address;
pub mod azure;
pub mod block_id;
pub mod checksum;
pub mod conformance;
pub mod contract;
mod credential_error;
pub mod directory;
mod environment;
pub mod error;
pub mod facts;
#[doc(hidden)]
pub mod fuzzing;
mod gathered;
pub mod gcs;
pub mod http;
pub mod memory;
pub mod properties;
pub mod retry;
pub mod s3;
mod staging_address;
pub mod stated;
pub mod vhd;

pub use account::{Account, AccountAddress, BlobItem};
pub use address::BlobAddress;
pub use contract::{
    Access, Blob, BlocksHeld, ChunkBody, CommitFacts, Discarded, Holding, LeftBy, LocalBlob, NamedChunks, RangeBody,
    RecordedChunks, Replaces, Upload, UploadCapabilities, UploadPlan, UploadRequest, WrittenRanges,
};
pub use credential_error::CredentialError;
pub use environment::Environment;
pub use error::{BlobError, BlobErrorKind};
pub use facts::{BlobFacts, ChunkLimits, Obstacles};
pub use properties::{BlobProperties, ContentType, Metadatum, PropertyError, Tier};
pub use staging_address::StagingAddress;
pub use stated::{RunningChecksum, StatedChecksum};
