//! Commands to a drive, past the driver that reads and writes it: they ask, or stop its motor. Nothing can be written this way.
//!
//! | file | responsibility |
//! |---|---|
//! | `reading` | a command that reads, and how it can end |
//! | `sg_io` | the ioctl that sends SCSI commands |
//! | `nvme_admin` | the ioctl that asks an NVMe controller |

pub(crate) mod nvme_admin;
mod reading;
mod sg_io;

pub(crate) use reading::{Ending, PassThrough, Refusal};
pub(crate) use sg_io::SgIo;
