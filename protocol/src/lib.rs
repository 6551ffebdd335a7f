//! The words of drive-agent: what its parts say to each other, and to the people who run it.
//!
//! Everything here is a value or a pure function. There is no I/O, no clock, no lock and no
//! `async`; time comes in as an argument. So every rule can be tested by calling it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`arm`] | the REST API on the wire: bodies, what they may hold, errors |
//! | [`text`] | text that others wrote, and that people will read |
//! | [`units`] | bytes, ranges, rates, and the cutting of a drive into chunks |
//! | [`digest`] | SHA-256 of a chunk, and the root over all of them |
//! | [`manifest`] | the one format of manifests and journals: lines, records, replay |
//! | [`identity`] | the identity of a drive: a set of facts, and when two sets mean one drive |
//! | [`stop`] | why a transfer was stopped, in order of severity |
//! | [`outcome`] | how a transfer ended, and its exit code |
//! | [`receipt`] | what a stopped transfer did and did not do, by byte range |
//! | [`rescue`] | getting everything off a drive that fails: the map, ddrescue's mapfile, the order of reads |
//! | [`result`] | the document that `import`, `export` and `verify` print |
//! | [`progress`] | what the copy engine reports while it works |
//! | [`copy_log`] | copy logs in the published XML |
//! | [`drives`] | what is attached, which drive it is, and whether it may be touched |
//! | [`fill`] | what stands where a drive could not be read |
//! | [`job`] | what the customer asked for: its states, and the one function that moves it |
//! | [`image_format`] | whether the first bytes of a blob are those of a disk |
//! | [`station`] | what a station shows of itself: bays, and what needs a person |
//! | [`station_rate`] | what all copies of a station may move together, by the week and by order |
//! | [`operator`] | bodies and answers of the operator API |
//! | [`host`] | which hosts are this machine |
//! | [`limits`] | every limit of the formats, with the sums behind it |
//!
//! The glossary of the project: a *drive* is a block source or target; a *blob* is one object in a
//! *store*; a *chunk* is the unit of copying, hashing, journalling and cancelling; the *manifest*
//! lists all chunks of a transfer; the *journal* is a manifest being written; the *receipt* is what
//! a transfer leaves that did not complete.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

pub mod arm;
pub mod copy_log;
pub mod digest;
pub mod drives;
pub mod fill;
pub mod host;
pub mod identity;
pub mod image_format;
pub mod job;
pub mod limits;
pub mod manifest;
pub mod operator;
pub mod outcome;
pub mod progress;
pub mod receipt;
pub mod rescue;
pub mod result;
pub mod station;
pub mod station_rate;
pub mod stop;
pub mod text;
pub mod transfers;
pub mod units;
