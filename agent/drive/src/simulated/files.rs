//! Opening the files that a profile names. A pipe in their place would hang its reader for good.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a plain file, and nothing else; a pipe is opened without waiting for its other end.
pub(super) fn open_plain(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file")),
    }
}

/// The text of a plain file.
pub(super) fn read_plain(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_plain(path, OpenOptions::new().read(true))?.read_to_string(&mut text)?;
    Ok(text)
}
