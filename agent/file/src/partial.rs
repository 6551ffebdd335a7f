//! What a file is called until it is whole: `NAME.ID.partial`, where ID begins the id of the transfer that writes it. So two
//! transfers never share one, and a file of that name that exists is always the work of the transfer that it names.

use std::io;
use std::path::{Path, PathBuf};

use crate::crash;
use crate::locked::{LockError, Which, open_locked};
use crate::replace::{folder_of, sync_folder, with_suffix};

/// What the name of every unfinished file ends with.
pub const SUFFIX: &str = ".partial";

/// Why no other file may have such a name.
pub const RESERVED: &str = "names that end with `.ID.partial` are for unfinished files: choose another name";

/// How much of a transfer's id is in the name.
const ID_DIGITS: usize = 16;

/// How many bytes a name grows by, in bytes.
pub const SUFFIX_BYTES: usize = 1 + ID_DIGITS + SUFFIX.len();

/// The unfinished file of a transfer. Its id is a hexadecimal number of at least 64 bits.
///
/// # Errors
/// Where the id is something else: it may come from a file that was edited.
pub fn path_of(path: &Path, transfer_id: &str) -> io::Result<PathBuf> {
    match transfer_id.get(..ID_DIGITS).filter(|id| id.bytes().all(is_digit)) {
        Some(id) => Ok(with_suffix(path, &format!(".{id}{SUFFIX}"))),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "the id of the transfer is not a number of ours")),
    }
}

/// Removes the unfinished file that a transfer of ours left, unless it is being written. Returns whether there was one.
///
/// # Errors
/// [`LockError`]: where another process has it, or it is not ours to remove.
pub fn remove(path: &Path, transfer_id: &str) -> Result<bool, LockError> {
    let partial = path_of(path, transfer_id)?;
    match open_locked(&partial, Which::Existing) {
        Ok(_file) => {
            std::fs::remove_file(&partial).and_then(|()| sync_folder(&partial))?;
            crash::point("leftover-removed");
            Ok(true)
        }
        Err(LockError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// Whether a name is one of an unfinished file.
pub fn is_partial(name: &str) -> bool {
    let id = name.strip_suffix(SUFFIX).and_then(|rest| rest.rsplit_once('.')).filter(|(name, _)| !name.is_empty());
    id.is_some_and(|(_, id)| id.len() == ID_DIGITS && id.bytes().all(is_digit))
}

/// The unfinished files beside `path` that are of its name, whichever transfers they are of.
///
/// # Errors
/// What the kernel says of the folder.
pub fn beside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder_of(path))? {
        let entry = entry?;
        let other = entry.file_name();
        let other = other.to_string_lossy();
        if other.len() == name.len() + SUFFIX_BYTES && other.starts_with(name) && is_partial(&other) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_transfer_and_no_other_name_looks_like_it() {
        let path = path_of(Path::new("s/x.img"), "0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(path, Path::new("s/x.img.0123456789abcdef.partial"));
        assert!(is_partial("x.img.0123456789abcdef.partial"));
        for name in ["x.partial", "x.0123456789abcde.partial", "x.0123456789ABCDEF.partial", ".0123456789abcdef.partial", "x"] {
            assert!(!is_partial(name), "{name}");
        }
        for id in ["", "../../../../../../etc", "0123", "0123456789ABCDEF"] {
            assert!(path_of(Path::new("x"), id).is_err(), "{id}");
        }
    }

    #[test]
    fn unfinished_files_of_a_name_are_found_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for name in
            ["x", "x.0123456789abcdef.partial", "xy.0123456789abcdef.partial", "x.manifest.jsonl.0123456789abcdef.partial"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(beside(&path).unwrap(), [folder.path().join("x.0123456789abcdef.partial")]);
    }
}
