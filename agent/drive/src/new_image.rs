//! An image that an export is about to make. Until the export is known, with its transfer's id, there is no file.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use file::partial;
use protocol::identity::{DriveIdentity, DriveKind};
use protocol::units::ByteRange;

use crate::contract::{Drive, TargetContent};
use crate::error::DriveError;
use crate::image::ImageDrive;

/// An image that does not exist under its name yet.
pub(crate) struct NewImage {
    path: PathBuf,
    identity: DriveIdentity,
    image: OnceLock<ImageDrive>,
}

impl NewImage {
    /// An image of that size, to be made at `path`.
    pub(crate) fn new(path: &Path, size_bytes: u64) -> Self {
        let identity = DriveIdentity {
            path: path.display().to_string(),
            kind: DriveKind::Image,
            serial: None,
            model: None,
            size: size_bytes,
            sector_size: 512,
            partition_table_id: None,
            content_sample: None,
            modified_unix_nanoseconds: None,
        };
        NewImage { path: path.to_owned(), identity, image: OnceLock::new() }
    }

    fn image(&self) -> Result<&ImageDrive, DriveError> {
        let missing = || DriveError::NotFound { path: self.path.clone() };
        self.image.get().ok_or_else(missing)
    }
}

impl Drive for NewImage {
    fn identity(&self) -> &DriveIdentity {
        &self.identity
    }

    fn preferred_readers(&self) -> usize {
        2
    }

    fn begin(&self, transfer_id: &str) -> Result<(), DriveError> {
        let failed = |source| DriveError::Io { operation: "create", path: self.path.clone(), source };
        let partial = partial::path_of(&self.path, transfer_id).map_err(failed)?;
        let image = ImageDrive::begin_target(&self.path, &partial, self.identity.size)?;
        self.image.set(image).map_err(|_| DriveError::Refused(format!("`{}` is being written already", self.path.display())))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DriveError> {
        self.image()?.read_at(buffer, offset)
    }

    fn next_data(&self, offset: u64) -> Result<Option<ByteRange>, DriveError> {
        self.image()?.next_data(offset)
    }

    fn target_content(&self) -> TargetContent {
        self.image.get().map_or(TargetContent::KnownZero, Drive::target_content)
    }

    fn state(&self) -> Result<Option<String>, DriveError> {
        self.image()?.state()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DriveError> {
        self.image()?.write_at(bytes, offset)
    }

    fn zero_range(&self, range: ByteRange) -> Result<(), DriveError> {
        self.image()?.zero_range(range)
    }

    fn sync(&self) -> Result<(), DriveError> {
        self.image()?.sync()
    }

    fn finish(&self) -> Result<(), DriveError> {
        self.image()?.finish()
    }
}
