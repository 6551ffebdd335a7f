//! Opening a simulated drive: from a profile to all that it names.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use file::replace::{folder_of, write_bytes};
use protocol::identity::{DriveIdentity, DriveKind};
use protocol::units::ByteRange;

use super::clock::{Clock, Pace};
use super::drive::SimulatedDrive;
use super::faults::{Fault, FaultPlan};
use super::files::{NamedFile, open_plain, read_plain};
use super::profile::{Backing, Profile};
use super::rule::ProfileRule;
use super::text;
use super::writes::{VolatileCache, Written};
use crate::contract::Drive;
use crate::error::DriveError;
use crate::naming::Naming;

/// What a simulated drive is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To see which drive it is: nothing is written, not even by its faults.
    Look,
    /// To copy from it or to it.
    Copy,
}

impl SimulatedDrive {
    /// Opens the profile at `path`. `open_base` opens the drive that it names, if it names one.
    ///
    /// # Errors
    /// When the profile, or what it names, cannot be used.
    pub fn open(
        path: &Path,
        pace: Pace,
        purpose: Purpose,
        open_base: impl FnOnce(&Path) -> Result<Arc<dyn Drive>, DriveError>,
    ) -> Result<Self, DriveError> {
        let (profile, opened_as) = Profile::load_opened(path)?;
        let base = profile.drive.as_deref().map(|drive| base_of(path, drive, open_base)).transpose()?;
        Ok(SimulatedDrive { opened_as: Some(opened_as), ..Self::new(path, profile, pace, purpose, base)? })
    }

    /// The drive that a text describes, in its own time; nothing where it needs files, or hangs.
    pub(crate) fn of_text(text: &str) -> Result<Option<Self>, text::Mistake> {
        let path = Path::new("profile.toml");
        let profile = Profile::parse(text, Path::new(""))?;
        let needs_files = profile.drive.is_some() || !profile.overlays.is_empty();
        let has_file = matches!(profile.backing, Some(Backing::File(_)));
        let waits = |fault: &Fault| matches!(fault, Fault::Stuck(_) | Fault::ChangingSerial { .. });
        if needs_files || has_file || profile.faults.iter().any(waits) {
            return Ok(None);
        }
        let opened = Self::new(path, profile, Pace::Unlimited, Purpose::Look, None);
        opened.map(Some).map_err(|error| text::Mistake { place: None, expected: error.to_string() })
    }

    /// The drive that a profile describes; `base` is the drive that it names.
    pub(super) fn new(
        path: &Path,
        profile: Profile,
        pace: Pace,
        purpose: Purpose,
        base: Option<Arc<dyn Drive>>,
    ) -> Result<Self, DriveError> {
        let unusable = |reason: String| DriveError::Profile { path: path.to_owned(), line: None, reason };
        let real_size = match (profile.size, base.as_ref().map(|base| base.size_bytes())) {
            (Some(size), Some(base)) if size > base => {
                return Err(unusable(format!("`size` is {size} bytes, and the drive that it names has {base}")));
            }
            (size, base) => size.or(base).unwrap_or(0),
        };
        let sector_size = base.as_ref().map_or(profile.sector_size, |base| base.sector_size_bytes());
        let written = written_of(&profile, real_size).map_err(unusable)?;
        let overlays = overlays_of(&profile).map_err(|error| unusable(format!("an overlay cannot be read: {error}")))?;
        let backing_file = match &profile.backing {
            Some(Backing::File(file)) => Some(file.clone()),
            _ => None,
        };
        let mut identity = DriveIdentity {
            path: path.display().to_string(),
            kind: DriveKind::Simulated,
            serial: profile.serial.clone().or_else(|| base.as_ref()?.identity().serial.clone()),
            model: Some(profile.model.clone()),
            size: real_size,
            sector_size,
            partition_table_id: None,
            content_sample: None,
            modified_unix_nanoseconds: None,
        };
        let mut volatile = None;
        for fault in &profile.faults {
            match fault {
                Fault::WrongCapacity { size } => identity.size = *size,
                Fault::LyingCache { loses } => volatile = Some(VolatileCache::new(*loses)),
                Fault::ChangingSerial { serials, counter } => {
                    let counter = path.parent().unwrap_or(Path::new("")).join(counter);
                    let openings = count_opening(&counter, purpose)
                        .map_err(|error| unusable(format!("`{}`: {error}", counter.display())))?;
                    identity.serial = serials.get(openings % serials.len()).cloned();
                }
                _ => {}
            }
        }
        let naming = naming_of(&profile, &identity);
        identity.serial = naming.serial.clone();
        let readers = readers_of(&profile, base.as_deref());
        Ok(SimulatedDrive {
            path: path.to_owned(),
            opened_as: None,
            identity,
            naming,
            real_size,
            content: profile.content,
            base,
            overlays,
            written,
            backing_file,
            volatile,
            plan: FaultPlan::new(profile.faults),
            clock: Clock::new(pace, profile.timing, real_size),
            readers,
            bytes_moved: AtomicU64::new(0),
        })
    }
}

/// What keeps what is written to the drive; the error is one sentence.
fn written_of(profile: &Profile, real_size: u64) -> Result<Option<Written>, String> {
    match &profile.backing {
        None => Ok(None),
        Some(Backing::Memory) => Ok(Some(Written::in_memory(real_size))),
        Some(Backing::File(file)) => {
            let opened = Written::in_file(file, real_size);
            opened.map(Some).map_err(|error| format!("the backing file `{}` cannot be used: {error}", file.display()))
        }
    }
}

/// The real images that lie on the drive.
fn overlays_of(profile: &Profile) -> io::Result<Vec<(ByteRange, File)>> {
    let overlays = profile.overlays.iter().map(|overlay| {
        let file = open_plain(&overlay.image, OpenOptions::new().read(true))?;
        let length = file.metadata()?.len();
        Ok((ByteRange::new(overlay.offset, length), file))
    });
    overlays.collect()
}

/// What the drive is called, and by whom.
fn naming_of(profile: &Profile, identity: &DriveIdentity) -> Naming {
    let is_named = profile.serial.is_some() || profile.bridge.is_some() || identity.serial.is_some();
    match is_named {
        true => Naming::simulated(identity.serial.clone(), identity.model.clone(), profile.bridge.as_ref()),
        false => Naming { model: identity.model.clone(), ..Naming::default() },
    }
}

/// How many read the drive at once.
fn readers_of(profile: &Profile, base: Option<&dyn Drive>) -> usize {
    match (&profile.timing, base) {
        (Some(timing), _) if timing.is_rotational() => 1,
        (Some(timing), _) => timing.queue_depth.clamp(1, 4) as usize,
        (None, Some(base)) => base.preferred_readers(),
        (None, None) => 2,
    }
}

/// Opens the drive that a profile names.
fn base_of(
    path: &Path,
    drive: &Path,
    open_base: impl FnOnce(&Path) -> Result<Arc<dyn Drive>, DriveError>,
) -> Result<Arc<dyn Drive>, DriveError> {
    let unusable = |reason: String| DriveError::Profile { path: path.to_owned(), line: None, reason };
    let shown = drive.display();
    let (real, expected) = ProfileRule::of_process()
        .drive(drive)
        .map_err(|error| unusable(format!("the drive `{shown}` cannot be used: {error}")))?;
    let base = open_base(&real)?;
    match expected.is_none() || base.opened_as() == expected {
        true => Ok(base),
        false => Err(unusable(format!("the drive `{shown}` was replaced while it was opened"))),
    }
}

/// How often the drive was opened before, which the file remembers. A look is not counted.
fn count_opening(counter: &Path, purpose: Purpose) -> io::Result<usize> {
    let openings = match read_plain(counter, NamedFile::InProfile) {
        Ok(text) => text.trim().parse().map_err(io::Error::other)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if purpose == Purpose::Copy {
        ProfileRule::of_process().require_place(folder_of(counter))?;
        write_bytes(counter, format!("{}\n", openings + 1).as_bytes())?;
    }
    Ok(openings)
}
