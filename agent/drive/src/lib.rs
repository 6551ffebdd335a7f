//! Reach a drive: a block device, a loop device, a raw image, or a simulated drive.
//!
//! # What is here
//! | module | what it holds |
//! |---|---|
//! | [`contract`] | the trait [`Drive`] and what each operation promises |
//! | [`mod@open`] | from a path to a drive: as a source, or as a target with its safety rules |
//! | `opened_as` | which file or device a path led to |
//! | `confirm` | whether an operator's word says which drive is to be written |
//! | [`image`] | a plain file, byte for byte a drive |
//! | [`device`] | a block device of the kernel, loop devices among them |
//! | [`simulated`] | a drive that is computed from a profile: content, time, faults |
//! | [`discovery`] | what is attached, what uses it, and when it comes and goes |
//! | `naming` | who a drive says it is, and whether that can be relied on |
//! | `health` | what a drive says of its own condition |
//! | `release` | whether a drive may be taken out, and stopping its motor |
//! | `pass_through` | commands to a drive past its driver, which only read or stop it |
//! | [`identify`] | content samples and the identity of a partition table |
//! | [`TimedReader`] | reads with a time limit, for drives that may hang |
//! | [`loop_device`] | images that the kernel shows as block devices |
//! | [`aligned`] | memory that the kernel can read into directly |
//! | [`blank`] | is anything on a drive? |
//! | [`zero`] | is this all zeros? |
//! | `fuzzing` | parsers that only the fuzz targets of the tests call from outside |
//! | `zeroing` | making a range of a device zero, the cheapest way that is certain |
//!
//! # How it fails
//! Every operation returns a [`DriveError`], named by what the caller can do about it. A read is
//! whole or it failed: a short read is never data.
//!
//! # What may block
//! Everything: this is plain positional blocking I/O, made for threads of their own. Nothing here
//! can be interrupted; a caller that must not hang watches from outside (the copy engine does).
//!
//! # What is written
//! A source is opened read-only and nothing is ever set on it. A target is opened exclusively. What
//! was written is durable when [`Drive::sync`] returned, not before: a dead drive still says Ok to a
//! write.

pub mod aligned;
pub mod blank;
mod confirm;
pub mod contract;
pub mod device;
mod devtmpfs;
pub mod discovery;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
mod health;
pub mod identify;
pub mod image;
mod ioctl;
pub mod loop_device;
mod naming;
mod new_image;
pub mod open;
mod opened_as;
mod pass_through;
mod release;
pub mod simulated;
mod timed_reader;
pub mod zero;
mod zeroing;

#[cfg(test)]
mod conformance;

pub use aligned::AlignedBuffer;
pub use confirm::Confirmation;
pub use contract::{Drive, TargetContent};
pub use error::DriveError;
pub use health::health_at;
pub use naming::use_list as use_weak_serials;
pub use open::{TargetRequest, look_at_source, open_source, open_target};
pub use opened_as::OpenedAs;
pub use release::{AttachedDisk, NotReleased};
pub use simulated::{Pace, ProfileRule, limit_profiles};
pub use timed_reader::TimedReader;
