//! Opening a profile, and the files that it names. A pipe in their place would hang its reader for good.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::rule::ProfileRule;

/// Longest profile: one with thousands of faults has a tenth of it.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Who named a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedFile {
    /// The caller: it is a profile.
    ByCaller,
    /// A profile: it is what the rule for profiles allows.
    InProfile,
}

/// Opens a plain file that a profile names, and nothing else; a pipe is opened without waiting for its other end.
pub(super) fn open_plain(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = open_any_plain(path, options)?;
    ProfileRule::of_process().require_inside(&file)?;
    Ok(file)
}

fn open_any_plain(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file")),
    }
}

/// A plain file that is a text, and the text.
pub(super) fn read_file(path: &Path, named: NamedFile) -> io::Result<(File, String)> {
    let mut text = String::new();
    let file = match named {
        NamedFile::ByCaller => open_any_plain(path, OpenOptions::new().read(true)),
        NamedFile::InProfile => open_plain(path, OpenOptions::new().read(true)),
    }?;
    (&file).take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 > TEXT_BYTES_MAX {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {TEXT_BYTES_MAX} bytes"))),
        false => Ok((file, text)),
    }
}

/// The text of a plain file.
pub(super) fn read_plain(path: &Path, named: NamedFile) -> io::Result<String> {
    read_file(path, named).map(|(_, text)| text)
}
