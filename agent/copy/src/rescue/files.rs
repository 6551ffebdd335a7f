//! The files beside a journal that remember a rescue.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use protocol::rescue::{ReadMap, ReadStatus, mapfile};

use crate::error::{CopyError, state_error};
use crate::limits::MAPFILE_BYTES_MAX;

/// Names of the files beside a journal.
pub(super) fn beside(journal: &Path, extension: &str) -> PathBuf {
    journal.with_extension(extension)
}

/// Removes what a rescue left beside a journal.
pub(crate) fn forget_beside(journal: &Path) -> Result<(), CopyError> {
    ["map", "image", "scratch"].iter().try_for_each(|extension| remove_if_there(&beside(journal, extension)))
}

fn remove_if_there(path: &Path) -> Result<(), CopyError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(state_error("remove", path, source)),
        _ => Ok(()),
    }
}

/// What of the scratch file came from an image: an earlier run wrote down what its image had.
pub(super) fn kept_from_image(journal: &Path, in_scratch: &ReadMap) -> Result<ReadMap, CopyError> {
    let size = in_scratch.size_bytes();
    let mut kept = ReadMap::new(size, ReadStatus::NonTried);
    if in_scratch.bytes(ReadStatus::Finished) > 0
        && let Some(image) = read_map(&beside(journal, "image"), size)?
    {
        for range in in_scratch.ranges(ReadStatus::Finished).as_slice() {
            let parts = image.runs_in(*range).filter(|(_, status)| *status == ReadStatus::Finished);
            parts.for_each(|(part, _)| kept.set(part, ReadStatus::Finished));
        }
    }
    Ok(kept)
}

/// The map at `path`; `None` where there is none yet.
pub(super) fn read_map(path: &Path, size_bytes: u64) -> Result<Option<ReadMap>, CopyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(state_error("read", path, source)),
    };
    let unusable = |why: String| CopyError::Usage(format!("the mapfile `{}` cannot be used: {why}", path.display()));
    let mut bytes = Vec::new();
    let read = file.take(MAPFILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|source| state_error("read", path, source))?;
    if bytes.len() as u64 > MAPFILE_BYTES_MAX {
        return Err(unusable(format!("it is longer than {} bytes", MAPFILE_BYTES_MAX)));
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("it is not text".to_owned()))?;
    if text.is_empty() {
        return Ok(None);
    }
    mapfile::read(&text, size_bytes).map(Some).map_err(|error| unusable(error.to_string()))
}
