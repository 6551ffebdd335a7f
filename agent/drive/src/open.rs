//! From a path to a drive.
//!
//! | path | as a source | as a target |
//! |---|---|---|
//! | `*.toml` | simulated drive | refused: it is computed |
//! | block device | read-only, exclusive | exclusive, after confirmation |
//! | file | image | image, written in place |
//! | nothing | not found | a new image, but never among the device nodes in /dev |

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use file::capacity::{self, CapacityError};
use file::partial;
use file::replace::folder_of;
use protocol::manifest::MANIFEST_SUFFIX;
use rustix::io::Errno;

use crate::confirm::Confirmation;
use crate::contract::Drive;
use crate::device::{Access, BlockDevice};
use crate::devtmpfs::is_on_devtmpfs;
use crate::discovery::attached::attached_image;
use crate::error::DriveError;
use crate::image::{ImageDrive, open_error};
use crate::new_image::NewImage;
use crate::simulated::{Pace, Purpose, SimulatedDrive};

/// What there is at a path.
pub(crate) enum Place {
    Profile,
    Device,
    File,
}

fn examine(path: &Path) -> Result<Option<Place>, DriveError> {
    metadata_of(path)?.map(|metadata| place_of(path, &metadata)).transpose()
}

/// What the kernel tells of a path; `None` where there is nothing.
pub(crate) fn metadata_of(path: &Path) -> Result<Option<Metadata>, DriveError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            Err(DriveError::NotADrive { path: path.to_owned(), what: "a symbolic link that leads back to itself" })
        }
        other => other.map(Some).map_err(|error| open_error(path, error)),
    }
}

/// What is at a path, by what the kernel tells of it.
///
/// # Errors
/// When it cannot be a drive.
pub(crate) fn place_of(path: &Path, metadata: &Metadata) -> Result<Place, DriveError> {
    let kind = metadata.file_type();
    let not_a_drive = |what| Err(DriveError::NotADrive { path: path.to_owned(), what });
    if kind.is_block_device() {
        Ok(Place::Device)
    } else if kind.is_dir() {
        not_a_drive("a directory")
    } else if !kind.is_file() {
        not_a_drive(if kind.is_char_device() { "a character device" } else { "a pipe or socket" })
    } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        Ok(Place::Profile)
    } else {
        Ok(Place::File)
    }
}

/// Opens a drive to read from. Nothing is written to it, and nothing is set on it. `pace` is the time of a
/// simulated one.
pub fn open_source(path: &Path, pace: Pace) -> Result<Arc<dyn Drive>, DriveError> {
    open_source_within(path, pace, Purpose::Copy, PROFILES_NESTED_MAX)
}

/// Whether a drive could be opened to read from, without a trace: a fault that counts how often a simulated drive is opened
/// does not count this.
///
/// # Errors
/// Why it could not be.
pub fn look_at_source(path: &Path) -> Result<(), DriveError> {
    open_source_within(path, Pace::Unlimited, Purpose::Look, PROFILES_NESTED_MAX).map(|_| ())
}

/// Profiles that name one another: a drive, and what is wrong with it in two layers. One that names itself would never end.
const PROFILES_NESTED_MAX: u32 = 4;

fn too_nested(path: &Path) -> DriveError {
    let reason = format!("it names itself, or more than {PROFILES_NESTED_MAX} profiles name one another");
    DriveError::Profile { path: path.to_owned(), line: None, reason }
}

/// Opens a source below which there may be so many profiles.
pub(crate) fn open_source_within(
    path: &Path,
    pace: Pace,
    purpose: Purpose,
    profiles_max: u32,
) -> Result<Arc<dyn Drive>, DriveError> {
    Ok(match examine(path)? {
        Some(Place::Profile) => Arc::new(simulated_source(path, pace, purpose, profiles_max)?),
        Some(Place::Device) => Arc::new(BlockDevice::open(path, Access::ReadOnly)?),
        Some(Place::File) => {
            require_unused_image(path, false)?;
            let image = ImageDrive::open_source(path)?;
            require_size_of_its_own(path, &image)?;
            Arc::new(image)
        }
        None => return Err(DriveError::NotFound { path: path.to_owned() }),
    })
}

/// Opens a profile as a source.
pub(crate) fn simulated_source(
    path: &Path,
    pace: Pace,
    purpose: Purpose,
    profiles_max: u32,
) -> Result<SimulatedDrive, DriveError> {
    let below = profiles_max.checked_sub(1).ok_or_else(|| too_nested(path))?;
    SimulatedDrive::open(path, pace, purpose, |base| open_source_within(base, pace, purpose, below))
}

/// Which drive a profile describes, without a trace.
pub(crate) fn look_at_profile(path: &Path) -> Result<SimulatedDrive, DriveError> {
    simulated_source(path, Pace::Unlimited, Purpose::Look, PROFILES_NESTED_MAX)
}

/// A file of the kernel (`/proc/version`) has no size, and content that is made when it is read: not an image.
fn require_size_of_its_own(path: &Path, image: &ImageDrive) -> Result<(), DriveError> {
    match image.size_bytes() == 0 && image.read_at(&mut [0], 0).is_ok() {
        true => Err(DriveError::NotADrive { path: path.to_owned(), what: "a file of size 0 that has content all the same" }),
        false => Ok(()),
    }
}

/// What an export asks of its target.
pub struct TargetRequest<'ask> {
    /// Bytes that will be written.
    pub needed_bytes: u64,
    /// How a device is confirmed.
    pub confirmation: Confirmation<'ask>,
    /// The time of a simulated drive.
    pub pace: Pace,
}

/// Opens a drive to write on, when every safety rule allows it; else nothing was touched.
pub fn open_target(path: &Path, request: &TargetRequest<'_>) -> Result<Arc<dyn Drive>, DriveError> {
    open_target_within(path, request, PROFILES_NESTED_MAX)
}

/// Opens a target below which there may be so many profiles.
fn open_target_within(path: &Path, request: &TargetRequest<'_>, profiles_max: u32) -> Result<Arc<dyn Drive>, DriveError> {
    if path.to_str().is_none() {
        let why = format!("the name of `{}` is not UTF-8, and could not be distinguished from others: rename it", path.display());
        return Err(DriveError::Refused(why));
    }
    let drive: Arc<dyn Drive> = match examine(path)? {
        Some(Place::Profile) => Arc::new(open_simulated_target(path, request, profiles_max)?),
        Some(Place::Device) => {
            let device = BlockDevice::open(path, Access::ReadWrite)?;
            require_size(path, &device, request.needed_bytes)?;
            device.as_target().require(&request.confirmation).map_err(DriveError::Refused)?;
            Arc::new(device)
        }
        Some(Place::File) | None if matches!(request.confirmation, Confirmation::Word(_)) && !is_on_devtmpfs(path) => {
            return Err(DriveError::Refused(format!(
                "`{}` is not a device but an image, which has no serial number to confirm: check the path, or leave out `--confirm`",
                path.display()
            )));
        }
        Some(Place::File) => {
            require_unused_image(path, true)?;
            require_no_blob(path)?;
            require_no_unfinished(path)?;
            Arc::new(ImageDrive::open_target(path)?)
        }
        None if is_on_devtmpfs(path) => return Err(DriveError::NotFound { path: path.to_owned() }),
        None => {
            require_room(path, request.needed_bytes)?;
            Arc::new(NewImage::new(path, request.needed_bytes))
        }
    };
    require_size(path, &*drive, request.needed_bytes)?;
    if let Confirmation::Check(check) = &request.confirmation {
        check(&*drive).map_err(DriveError::Refused)?;
    }
    Ok(drive)
}

/// An image that the kernel shows as a block device belongs to the users of that; to write to it beside the
/// device is a mistake even while there are none.
fn require_unused_image(path: &Path, for_writing: bool) -> Result<(), DriveError> {
    let Some(device) = attached_image(path) else { return Ok(()) };
    let (image, device_path) = (path.display(), &device.path);
    if !device.in_use_by.is_empty() {
        let users = device.in_use_by.join("; ");
        return Err(DriveError::Refused(format!(
            "the image `{image}` is in use: it is attached as `{device_path}`, and {users}; release it and repeat the command"
        )));
    }
    match for_writing {
        true => Err(DriveError::Refused(format!(
            "the image `{image}` is attached as `{device_path}`: export onto that, or detach it first (`drive-agent drives detach {device_path}`)"
        ))),
        false => Ok(()),
    }
}

/// An image of that size must be possible at `path`.
fn require_room(path: &Path, needed_bytes: u64) -> Result<(), DriveError> {
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(DriveError::NotFound { path: folder.to_owned() });
    }
    let refused = |why: String| DriveError::Refused(format!("the image `{}` cannot be made: {why}", path.display()));
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(refused("it is a symbolic link that leads nowhere; remove it, or name another image".to_owned()));
    }
    require_no_unfinished(path)?;
    capacity::require(path, partial::SUFFIX_BYTES, needed_bytes).map(|_| ()).map_err(|error| match error {
        CapacityError::Io(source) => DriveError::Io { operation: "create", path: path.to_owned(), source },
        error => refused(error.to_string()),
    })
}

/// The unfinished file of a transfer is written by that transfer alone.
fn require_no_unfinished(path: &Path) -> Result<(), DriveError> {
    match path.file_name().is_some_and(|name| partial::is_partial(&name.to_string_lossy())) {
        true => Err(DriveError::Refused(format!("the image `{}` cannot be written: {}", path.display(), partial::RESERVED))),
        false => Ok(()),
    }
}

/// A file with a manifest beside it is a blob of a store, and not a drive.
fn require_no_blob(path: &Path) -> Result<(), DriveError> {
    let mut manifest = path.as_os_str().to_owned();
    manifest.push(MANIFEST_SUFFIX);
    match Path::new(&manifest).exists() {
        true => Err(DriveError::Refused(format!(
            "`{}` is a blob: its manifest is beside it (`{}`); choose another name, or remove both",
            path.display(),
            Path::new(&manifest).display()
        ))),
        false => Ok(()),
    }
}

/// A simulated drive is confirmed only where a word was given: no customer's data is on it. The real drive that
/// it may name has rules of its own.
fn open_simulated_target(path: &Path, request: &TargetRequest<'_>, profiles_max: u32) -> Result<SimulatedDrive, DriveError> {
    let below = profiles_max.checked_sub(1).ok_or_else(|| too_nested(path))?;
    let drive = SimulatedDrive::open(path, request.pace, Purpose::Copy, |base| open_target_within(base, request, below))?;
    drive.backing_file().map_or(Ok(()), require_no_blob)?;
    if !drive.is_writable() {
        return Err(DriveError::ReadOnly { path: path.to_owned(), reason: "its profile has no `backing` to write to" });
    }
    // One without a name of its own is confirmed by the real drive below it.
    if let Confirmation::Word(word) = &request.confirmation
        && drive.naming().is_told()
    {
        drive.as_target().judge(word.trim()).map_err(DriveError::Refused)?;
    }
    Ok(drive)
}

fn require_size(path: &Path, drive: &dyn Drive, needed: u64) -> Result<(), DriveError> {
    let size = drive.size_bytes();
    if size < needed { Err(DriveError::TooSmall { path: path.to_owned(), size, needed }) } else { Ok(()) }
}

/// Whether two paths lead to the same bytes: one file, one device, or a loop device and its file.
/// The names of begun images count too.
pub fn is_same_storage(first: &Path, second: &Path) -> bool {
    let names = |path: &Path| {
        let backing = BlockDevice::loop_backing_file(path);
        let unfinished = partial::beside(path).unwrap_or_default();
        [Some(path.to_owned()), backing].into_iter().flatten().chain(unfinished).filter_map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            let device = metadata.file_type().is_block_device().then(|| metadata.rdev());
            Some(device.map_or((metadata.dev(), metadata.ino()), |device| (device, 0)))
        })
    };
    let first: Vec<_> = names(first).collect();
    names(second).any(|name| first.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(needed_bytes: u64) -> TargetRequest<'static> {
        TargetRequest { needed_bytes, confirmation: Confirmation::None, pace: Pace::Unlimited }
    }

    #[test]
    fn what_is_no_drive_is_said_by_name() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(open_source(folder.path(), Pace::Unlimited), Err(DriveError::NotADrive { what: "a directory", .. })));
        assert!(matches!(
            open_source(Path::new("/dev/null"), Pace::Unlimited),
            Err(DriveError::NotADrive { what: "a character device", .. })
        ));
        assert!(matches!(open_source(&folder.path().join("missing"), Pace::Unlimited), Err(DriveError::NotFound { .. })));
    }

    #[test]
    fn a_file_is_never_made_where_a_device_was_meant() {
        let missing = Path::new("/dev/no-such-drive-here");
        assert!(matches!(open_target(missing, &request(512)), Err(DriveError::NotFound { .. })));
        assert!(!missing.exists());
    }

    #[test]
    fn a_target_that_is_too_small_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.img");
        std::fs::write(&path, [7; 512]).unwrap();
        assert!(matches!(open_target(&path, &request(513)), Err(DriveError::TooSmall { size: 512, needed: 513, .. })));
        assert_eq!(std::fs::read(&path).unwrap(), [7; 512]);
    }

    #[test]
    fn a_new_image_has_its_name_only_when_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.img");
        let drive = open_target(&path, &request(1024)).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made before the export is known");
        drive.begin("0123456789abcdef0123456789abcdef").unwrap();
        drive.write_at(&[1; 512], 512).unwrap();
        assert!(!path.exists());
        drive.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [[0; 512], [1; 512]].concat());
    }

    #[test]
    fn the_same_file_under_two_names_is_the_same_storage() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::write(&one, "x").unwrap();
        std::os::unix::fs::symlink(&one, &two).unwrap();
        assert!(is_same_storage(&one, &two));
        assert!(!is_same_storage(&one, folder.path()));
    }
}
