//! The map that the user keeps, and the image that belongs to it: checked before anything is begun, for they may
//! be all that is left of a week's work on a dying drive.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use drive::identify::sampled_places;
use drive::{AlignedBuffer, Drive};
use protocol::digest::Sha256Digest;
use protocol::rescue::{ReadMap, ReadStatus};
use protocol::units::RangeList;

use crate::error::{CopyError, state_error};
use crate::record::manifest_place::is_part_of_blob;
use crate::rescue::files::{beside, read_map};
use crate::rescue::scene::RescueScene;
use file::locked::{LockError, open_lock_file};
use file::replace::{folder_of, with_suffix, write_bytes};

/// What the user's map says.
pub(super) struct UsersMap {
    /// What is known of places that failed; everything else was not tried.
    pub(super) known: ReadMap,
    /// `+` where the user's image has the bytes.
    pub(super) in_image: ReadMap,
    /// Whether there was a map.
    pub(super) had_map: bool,
    /// What it called rescued.
    pub(super) claimed: RangeList,
    /// Held while the transfer runs.
    pub(super) lock: Option<File>,
}

/// Reads and checks the map and the image.
pub(super) fn take_up(scene: &RescueScene<'_>) -> Result<UsersMap, CopyError> {
    let size = scene.geometry.total_bytes();
    let nothing = || ReadMap::new(size, ReadStatus::NonTried);
    let Some(path) = &scene.options.mapfile else {
        return Ok(UsersMap { known: nothing(), in_image: nothing(), had_map: false, claimed: RangeList::default(), lock: None });
    };
    require_place(path, scene.blob_address)?;
    let lock = Some(lock(path, scene.journal)?);
    let Some(map) = read_map(path, size)? else {
        return Ok(UsersMap { known: nothing(), in_image: nothing(), had_map: false, claimed: RangeList::default(), lock });
    };
    let claimed = map.ranges(ReadStatus::Finished);
    let mut known = map;
    claimed.as_slice().iter().for_each(|range| known.set(*range, ReadStatus::NonTried));
    let in_image = match &scene.options.rescued {
        Some(image) => in_image(scene, &**image, path, &claimed)?,
        None => nothing(),
    };
    if scene.is_new || !is_there(&backup_of(path, 1)) {
        keep(path).map_err(|source| state_error("keep a copy of", path, source))?;
    }
    Ok(UsersMap { known, in_image, had_map: true, claimed, lock })
}

/// Keeps the map as it was before this transfer changed it, under the first name that is free: what was kept earlier, such as the
/// map that came with an image, stays.
fn keep(path: &Path) -> io::Result<()> {
    let map = std::fs::read(path)?;
    let taken = |backup: &PathBuf| is_there(backup) && !std::fs::read(backup).is_ok_and(|kept| kept == map);
    let backup = (1..).map(|number| backup_of(path, number)).find(|backup| !taken(backup));
    match backup.filter(|backup| !is_there(backup)) {
        Some(backup) => write_bytes(&backup, &map),
        // The same map is kept already.
        None => Ok(()),
    }
}

/// The name of a map that is kept: `map.bak`, `map.bak.2`, …
fn backup_of(path: &Path, number: u32) -> PathBuf {
    with_suffix(path, &if number == 1 { ".bak".to_owned() } else { format!(".bak.{number}") })
}

/// Something has this name, if only a link that leads nowhere.
fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// The newest map that is kept and was not written by us.
fn kept_foreign_map(path: &Path) -> Option<PathBuf> {
    let kept = (1..).map(|number| backup_of(path, number)).take_while(|backup| is_there(backup));
    kept.filter(|backup| backup.is_file() && !is_written_by_us(backup)).last()
}

/// Which bytes the image has: what an earlier run of this transfer wrote down, else what the map calls rescued.
fn in_image(scene: &RescueScene<'_>, image: &dyn Drive, map_path: &Path, claimed: &RangeList) -> Result<ReadMap, CopyError> {
    let size = scene.geometry.total_bytes();
    let remembered = if scene.is_new { None } else { read_map(&beside(scene.journal, "image"), size)? };
    let map = match remembered {
        Some(map) => map,
        None => {
            // A map of ours says what is in the blob; only of the blob's own file it says what is in the image.
            let unfinished = blob::directory::unfinished_file(scene.blob_address, scene.transfer_id);
            let is_own_file =
                unfinished.is_some_and(|path| drive::open::is_same_storage(&path, Path::new(&image.identity().path)));
            if !is_own_file && is_written_by_us(map_path) {
                let kept = kept_foreign_map(map_path).map(|kept| format!(" (perhaps `{}`)", kept.display()));
                return Err(CopyError::Refused(format!(
                    "the mapfile `{}` was written by drive-agent: its `+` are in a blob, and not in the image `{}`; name the map that came with the image{}; nothing was begun",
                    map_path.display(),
                    image.identity().path,
                    kept.unwrap_or_default()
                )));
            }
            let mut map = ReadMap::new(size, ReadStatus::NonTried);
            claimed.as_slice().iter().for_each(|range| map.set(*range, ReadStatus::Finished));
            map
        }
    };
    require_image(scene, image, &map)?;
    Ok(map)
}

fn is_written_by_us(map_path: &Path) -> bool {
    std::fs::read_to_string(map_path).is_ok_and(|text| text.starts_with(protocol::rescue::mapfile::HEADING))
}

/// A map is a plain file of its own, and can be written.
fn require_place(path: &Path, blob_address: &str) -> Result<(), CopyError> {
    let refused = |why: &str| Err(CopyError::Usage(format!("`--mapfile {}` {why}; nothing was begun", path.display())));
    if is_part_of_blob(path, blob_address) {
        return refused("is the blob, or belongs to it: name another file");
    }
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return refused("is not a plain file: name another one");
    }
    match tempfile::tempfile_in(folder_of(path)) {
        Ok(_) => Ok(()),
        Err(error) => refused(&format!("cannot be written: {error}")),
    }
}

/// Two transfers with one map would write each other's knowledge into it. The lock is beside the journals: the
/// map itself is replaced whenever it is saved.
fn lock(path: &Path, journal: &Path) -> Result<File, CopyError> {
    let place = std::fs::canonicalize(folder_of(path)).unwrap_or_default().join(path.file_name().unwrap_or_default());
    let name = &Sha256Digest::of(place.as_os_str().as_encoded_bytes()).to_string()[..24];
    let lock_path = folder_of(journal).join(format!("mapfile-{name}.lock"));
    open_lock_file(&lock_path).map_err(|error| match error {
        LockError::Busy => {
            CopyError::Refused(format!("another transfer is writing the mapfile `{}`: name another one", path.display()))
        }
        LockError::Io(source) => state_error("lock", &lock_path, source),
        error => CopyError::Refused(format!("the lock file `{}` is not used: {error}; remove it", lock_path.display())),
    })
}

/// The image is long enough for its map, and agrees with the drive wherever the drive can be read.
fn require_image(scene: &RescueScene<'_>, image: &dyn Drive, map: &ReadMap) -> Result<(), CopyError> {
    let shown = &image.identity().path;
    let end = map.ranges(ReadStatus::Finished).as_slice().last().map_or(0, |range| range.end());
    if image.size_bytes() < end {
        return Err(CopyError::Usage(format!(
            "the image `{shown}` has {} bytes, and its map calls bytes up to {end} rescued: it is another one, or was cut; nothing was begun",
            image.size_bytes()
        )));
    }
    let Some(sample) = &scene.identity.content_sample else { return Ok(()) };
    let sector = scene.drive.sector_size_bytes().max(image.sector_size_bytes());
    for (index, place) in sampled_places(scene.drive.size_bytes()).enumerate() {
        let is_rescued = map.runs_in(place).all(|(_, status)| status == ReadStatus::Finished);
        if !is_rescued {
            continue;
        }
        let mut buffer = AlignedBuffer::new(place.length.next_multiple_of(sector) as usize)?;
        let bytes = &mut buffer[..place.length as usize];
        image.read_at(bytes, place.offset)?;
        if sample.differs_at(index, bytes) {
            return Err(CopyError::Refused(format!(
                "the image `{shown}` is not of the drive `{}`: they differ at {place} (offset+length in bytes); nothing was begun",
                scene.identity.path
            )));
        }
    }
    Ok(())
}
