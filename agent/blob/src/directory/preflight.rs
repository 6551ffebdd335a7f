//! What a directory can say before the first byte: names, links, the file system's limits, room, and what other transfers
//! left under the same name.

use std::os::unix::fs::MetadataExt;

use file::capacity::{self, CapacityError};
use file::replace::folder_of;
use file::{locked, partial};
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::units::ByteSize;

use super::place::DirectoryBlob;
use crate::contract::UploadPlan;
use crate::error::{BlobError, BlobErrorKind};

/// What is appended to a blob's name at most: its manifest has a temporary name too.
const LONGEST_SUFFIX_BYTES: usize = MANIFEST_SUFFIX.len() + partial::SUFFIX_BYTES;

impl DirectoryBlob {
    pub(super) fn check_before_upload(&self, plan: &UploadPlan) -> Result<Vec<String>, BlobError> {
        self.require_directory()?;
        self.require_name_of_its_own()?;
        let free = capacity::require(&self.path, LONGEST_SUFFIX_BYTES, plan.total_bytes).map_err(|error| match error {
            CapacityError::Io(error) => self.error("make a file in the folder of", error),
            error => self.refusal(error.to_string()),
        })?;
        let mut warnings = Vec::new();
        if free < plan.data_bytes_max {
            let (folder, free, needed) = (folder_of(&self.path).display(), ByteSize(free), ByteSize(plan.data_bytes_max));
            warnings.push(format!(
                "the file system of `{folder}` has {free} free, and up to {needed} are to come: where it runs full, free some space and repeat the command"
            ));
        }
        warnings.extend(self.others(plan)?);
        Ok(warnings)
    }

    /// No name that unfinished files have, and no symbolic link: it may lead to a file of another owner.
    fn require_name_of_its_own(&self) -> Result<(), BlobError> {
        if self.path.file_name().is_some_and(|name| partial::is_partial(&name.to_string_lossy())) {
            return Err(self.refusal(partial::RESERVED.to_owned()));
        }
        match std::fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.is_symlink() => Err(self.refusal(
                "it is a symbolic link, and it is not written through: name the file itself, or remove the link".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Unfinished files of the same name are the work of other transfers: they are left alone, and named. One that is being
    /// written would be in the way when this one is finished.
    fn others(&self, plan: &UploadPlan) -> Result<Vec<String>, BlobError> {
        let own = plan.own_transfer_ids.iter().filter_map(|id| partial::path_of(&self.path, id).ok()).collect::<Vec<_>>();
        let found = partial::beside(&self.path).unwrap_or_default().into_iter().filter(|path| !own.contains(path));
        let found = found.collect::<Vec<_>>();
        if let Some(busy) = found.iter().find(|path| locked::is_busy(path)) {
            let message = format!("another transfer is writing it (`{}`): wait for it, or cancel it first", busy.display());
            return Err(self.refusal(message));
        }
        let texts = found.into_iter()
            .map(|path| {
                let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.blocks() * 512);
                format!(
                    "`{}` ({}) is the unfinished file of another transfer, of which this state directory has no journal: it is left alone; resume that transfer where it was begun, or remove the file",
                    path.display(),
                    ByteSize(bytes)
                )
            });
        Ok(texts.collect())
    }

    fn refusal(&self, message: String) -> BlobError {
        BlobError::new(BlobErrorKind::Refused, "write", self.path.display().to_string(), message)
    }
}
