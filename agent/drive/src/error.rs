//! What can go wrong with a drive, named by what the caller can do.

use std::io;
use std::path::PathBuf;

use protocol::units::{ByteRange, sizes_apart};
use rustix::io::Errno;

/// A failure of a drive. Each is one sentence: what failed, on what, what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError {
    /// There is nothing at that path.
    #[error("there is no drive or image at `{path}`: check the path, or whether the drive is docked")]
    NotFound {
        /// What was asked for.
        path: PathBuf,
    },
    /// There is something, and it is not a drive.
    #[error("`{path}` is {what}, not a drive: give a block device, a raw image or a profile (*.toml)")]
    NotADrive {
        /// What was asked for.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The user may not open it.
    #[error("`{path}` may not be opened: run as root, or as a member of the group that owns it")]
    Permission {
        /// What was asked for.
        path: PathBuf,
    },
    /// A safety rule forbids it.
    #[error("{0}")]
    Refused(String),
    /// A profile that cannot be used.
    #[error("the drive profile `{path}{}` cannot be used: {reason}", Line(*.line), path = .path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where there is one to blame.
        line: Option<usize>,
        /// Why.
        reason: String,
    },
    /// A reader without a medium.
    #[error("`{path}` has no medium: its size is 0")]
    NoMedium {
        /// The device.
        path: PathBuf,
    },
    /// Bytes that cannot be read; the drive is still there.
    #[error(
        "the drive `{path}` cannot read {range} (offset+length in bytes): {source}; `--on-unreadable rescue` copies all that can be read"
    )]
    Unreadable {
        /// The drive.
        path: PathBuf,
        /// At least one byte of it is bad.
        range: ByteRange,
        /// What the kernel said.
        source: io::Error,
    },
    /// The drive ends before its size.
    #[error(
        "the drive `{path}` ends at byte {end}, and it had {size} bytes when it was opened: it is being changed, or it is failing"
    )]
    Shrunk {
        /// The drive.
        path: PathBuf,
        /// Where it ends now.
        end: u64,
        /// Where it ended.
        size: u64,
    },
    /// The drive was pulled, or has died.
    #[error("the drive `{path}` is gone: dock it again, at any port, and repeat the command")]
    Removed {
        /// The drive.
        path: PathBuf,
    },
    /// The user's limit is reached.
    #[error(
        "the drive `{path}` has {bytes} bytes that cannot be read, and `--max-unreadable` allows {limit}: raise it to resume",
        path = .path.display()
    )]
    TooMuchUnreadable {
        /// The drive.
        path: PathBuf,
        /// What cannot be read, in bytes.
        bytes: u64,
        /// What was allowed, in bytes.
        limit: u64,
    },
    /// A call did not come back.
    #[error(
        "the drive `{path}` did not answer within {seconds} s (at {range}, offset+length in bytes): check its cable and power, dock it again, and repeat the command"
    )]
    TimedOut {
        /// The drive.
        path: PathBuf,
        /// What was asked for.
        range: ByteRange,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Opening it did not come back.
    #[error(
        "the drive `{path}` could not be opened within {seconds} s: check its cable and power, dock it again, and repeat the command"
    )]
    NotOpened {
        /// The drive.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Nothing is left on the file system of an image.
    #[error("no space is left for the image `{path}`: free some, and repeat the command to resume")]
    NoSpace {
        /// The image.
        path: PathBuf,
    },
    /// The target is smaller than what is to be written.
    #[error("the drive `{path}` has {}, and {} are to be written: use a larger drive", sizes_apart(*.size, *.needed).0, sizes_apart(*.size, *.needed).1)]
    TooSmall {
        /// The drive.
        path: PathBuf,
        /// What it has, in bytes.
        size: u64,
        /// What is needed, in bytes.
        needed: u64,
    },
    /// This kind of drive cannot be written.
    #[error("`{path}` is read-only: {reason}")]
    ReadOnly {
        /// The drive.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The machine, or a limit of this process, has no memory left.
    #[error("there is no memory for a buffer of {bytes} bytes: lower `--memory` or `--chunk-size`")]
    NoMemory {
        /// What was asked for, in bytes.
        bytes: u64,
    },
    /// Anything else.
    #[error("cannot {operation} the drive `{path}`: {source}")]
    Io {
        /// A verb phrase.
        operation: &'static str,
        /// The drive.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A line number behind a file's name.
struct Line(Option<usize>);

impl std::fmt::Display for Line {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |line| write!(formatter, ":{line}"))
    }
}

impl DriveError {
    /// Whether a safety rule, and no fault, is the reason.
    pub fn is_refusal(&self) -> bool {
        matches!(self, DriveError::Refused(_) | DriveError::TooSmall { .. } | DriveError::ReadOnly { .. })
    }

    /// Whether smaller reads around the place may succeed.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, DriveError::Unreadable { .. })
    }

    /// Names an error of the kernel by what it means for the drive.
    pub(crate) fn from_io(operation: &'static str, path: &std::path::Path, range: ByteRange, errno: Errno) -> Self {
        let path = path.to_owned();
        let source = io::Error::from(errno);
        match errno {
            Errno::NXIO | Errno::NODEV | Errno::NOMEDIUM => DriveError::Removed { path },
            Errno::NOSPC | Errno::DQUOT => DriveError::NoSpace { path },
            Errno::IO | Errno::NODATA | Errno::ILSEQ | Errno::BADMSG if operation == "read" => {
                DriveError::Unreadable { path, range, source }
            }
            _ => DriveError::Io { operation, path, source },
        }
    }
}
