//! A drive that is computed: its content follows from a seed, its time from a model, its faults from a plan.
//! It costs neither disk nor memory, whatever its size.
//!
//! | module | what it holds |
//! |---|---|
//! | `profile` | what a `*.toml` says, checked |
//! | `content` | what lies where |
//! | `writes` | what was written over it |
//! | `timing`, `clock` | how long a physical drive would take, and what waits for that |
//! | `faults` | what is wrong with it |
//! | `files` | opening the files that it names |
//! | `rule` | which files it may name |
//! | `describe` | the figures of a profile, beside the published ones |

mod clock;
mod content;
mod describe;
mod faults;
mod files;
mod profile;
mod rule;
mod text;
mod timing;
mod writes;

#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::identity::{DriveIdentity, DriveKind};
use protocol::units::ByteRange;

pub use clock::Pace;
pub use describe::{Description, Measured, describe};
pub use profile::Profile;
pub use rule::{ProfileRule, limit_profiles};
pub use timing::Published;

use crate::confirm::Target;
use crate::contract::{Drive, TargetContent, read_whole};
use crate::error::DriveError;
use crate::naming::Naming;
use crate::opened_as::OpenedAs;
use clock::Clock;
use content::Content;
use faults::{Fault, FaultPlan};
use file::replace::{folder_of, write_bytes};
use files::{NamedFile, open_plain, read_plain};
use profile::Backing;
use writes::{VolatileCache, Written};

/// What a simulated drive is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To see which drive it is: nothing is written, not even by its faults.
    Look,
    /// To copy from it or to it.
    Copy,
}

/// A drive computed from a [`Profile`].
pub struct SimulatedDrive {
    path: PathBuf,
    opened_as: Option<OpenedAs>,
    identity: DriveIdentity,
    naming: Naming,
    /// Where it really ends.
    real_size: u64,
    content: Content,
    /// The drive whose content and writes these are, in place of computed ones.
    base: Option<Arc<dyn Drive>>,
    overlays: Vec<(ByteRange, File)>,
    written: Option<Written>,
    backing_file: Option<PathBuf>,
    volatile: Option<VolatileCache>,
    plan: FaultPlan,
    clock: Clock,
    readers: usize,
    bytes_moved: AtomicU64,
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

    fn new(
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
        let written = match &profile.backing {
            None => None,
            Some(Backing::Memory) => Some(Written::in_memory(real_size)),
            Some(Backing::File(file)) => {
                let opened = Written::in_file(file, real_size);
                Some(opened.map_err(|error| unusable(format!("the backing file `{}` cannot be used: {error}", file.display())))?)
            }
        };
        let overlays = profile.overlays.iter().map(|overlay| {
            let file = open_plain(&overlay.image, OpenOptions::new().read(true))?;
            let length = file.metadata()?.len();
            Ok((ByteRange::new(overlay.offset, length), file))
        });
        let overlays =
            overlays.collect::<io::Result<_>>().map_err(|error| unusable(format!("an overlay cannot be read: {error}")))?;
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
        let is_named = profile.serial.is_some() || profile.bridge.is_some() || identity.serial.is_some();
        let naming = match is_named {
            true => Naming::simulated(identity.serial.clone(), identity.model.clone(), profile.bridge.as_ref()),
            false => Naming { model: identity.model.clone(), ..Naming::default() },
        };
        identity.serial = naming.serial.clone();
        let readers = match (&profile.timing, &base) {
            (Some(timing), _) if timing.is_rotational() => 1,
            (Some(timing), _) => timing.queue_depth.clamp(1, 4) as usize,
            (None, Some(base)) => base.preferred_readers(),
            (None, None) => 2,
        };
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

    /// Whether it can be written to.
    pub fn is_writable(&self) -> bool {
        self.written.is_some() || self.base.is_some()
    }

    /// Who it says it is, and whether that can be relied on.
    pub(crate) fn naming(&self) -> &Naming {
        &self.naming
    }

    /// The drive as something that is to be written, and confirmed.
    pub(crate) fn as_target(&self) -> Target<'_> {
        let place = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Target { path: &self.path, identity: &self.identity, naming: &self.naming, place }
    }

    /// The file that keeps what is written.
    pub(crate) fn backing_file(&self) -> Option<&Path> {
        self.backing_file.as_deref()
    }

    /// What a call about `range` meets; returns when the drive would answer, and how much a read may give.
    fn meet(&self, range: ByteRange, is_read: bool) -> Result<u64, DriveError> {
        let moved = self.bytes_moved.load(Ordering::Relaxed);
        let verdict = self.plan.verdict(range, is_read, moved, self.clock.age());
        if verdict.is_removed {
            return Err(DriveError::Removed { path: self.path.clone() });
        }
        if verdict.is_stuck {
            hang();
        }
        self.clock.pass(verdict.delay, |model, now| if is_read { model.read(now, range) } else { model.write(now, range) });
        if verdict.is_unreadable {
            let source = io::Error::from(rustix::io::Errno::IO);
            return Err(DriveError::Unreadable { path: self.path.clone(), range, source });
        }
        let length = verdict.bytes_max.map_or(range.length, |most| most.min(range.length));
        self.bytes_moved.fetch_add(length, Ordering::Relaxed);
        Ok(length)
    }

    /// What lies at a place that was not written to.
    fn below(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.base {
            Some(base) => base.read_at(bytes, offset).map_err(io::Error::other)?,
            None => self.content.fill(bytes, offset),
        }
        let range = ByteRange::new(offset, bytes.len() as u64);
        for (place, file) in &self.overlays {
            let (start, end) = (place.offset.max(range.offset), place.end().min(range.end()));
            if start < end {
                let piece = &mut bytes[(start - offset) as usize..(end - offset) as usize];
                file.read_exact_at(piece, start - place.offset)?;
            }
        }
        Ok(())
    }

    /// Reads within the real size.
    fn read_real(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.written {
            Some(written) => written.read(bytes, offset, &|bytes, offset| self.below(bytes, offset))?,
            None => self.below(bytes, offset)?,
        }
        if let Some(volatile) = &self.volatile {
            volatile.lay_over(bytes, offset);
        }
        Ok(())
    }

    fn write_medium(&self, bytes: &[u8], offset: u64) -> Result<(), DriveError> {
        match (&self.written, &self.base) {
            (Some(written), _) => {
                let below = |bytes: &mut [u8], offset| self.below(bytes, offset);
                written.write(bytes, offset, self.real_size, &below).map_err(|source| self.failed("write", source))
            }
            (None, Some(base)) => base.write_at(bytes, offset),
            (None, None) => Err(self.read_only()),
        }
    }

    /// The real drive that takes what is written, where there is one.
    fn written_base(&self) -> Option<&Arc<dyn Drive>> {
        self.base.as_ref().filter(|_| self.written.is_none())
    }

    /// Where a range lies in truth: a drive that claims too much starts over behind its end.
    fn real_pieces(&self, range: ByteRange) -> impl Iterator<Item = (u64, ByteRange)> {
        let size = self.real_size.max(1);
        let mut position = range.offset;
        std::iter::from_fn(move || {
            (position < range.end()).then(|| {
                let real = position % size;
                let length = (size - real).min(range.end() - position);
                let piece = (position - range.offset, ByteRange::new(real, length));
                position += length;
                piece
            })
        })
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> DriveError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DriveError::NoSpace { path: self.path.clone() },
            _ => DriveError::Io { operation, path: self.path.clone(), source },
        }
    }

    fn read_only(&self) -> DriveError {
        DriveError::ReadOnly { path: self.path.clone(), reason: "its profile has no `backing` to write to" }
    }
}

/// Never comes back.
fn hang() -> ! {
    loop {
        std::thread::park();
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

impl Drive for SimulatedDrive {
    fn opened_as(&self) -> Option<OpenedAs> {
        self.opened_as
    }

    fn identity(&self) -> &DriveIdentity {
        &self.identity
    }

    fn preferred_readers(&self) -> usize {
        self.readers
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DriveError> {
        let size = self.identity.size;
        read_whole(buffer, offset, |piece, position| {
            if position >= size {
                return Ok(0);
            }
            let asked = ByteRange::new(position, (piece.len() as u64).min(size - position));
            let length = self.meet(asked, true)?;
            let piece = &mut piece[..length as usize];
            for (place, real) in self.real_pieces(ByteRange::new(position, length)) {
                let part = &mut piece[place as usize..(place + real.length) as usize];
                self.read_real(part, real.offset).map_err(|source| self.failed("read", source))?;
            }
            self.plan.rot(piece, position);
            Ok(length as usize)
        })?
        .map_err(|position| DriveError::Shrunk { path: self.path.clone(), end: position.min(size), size })
    }

    fn next_data(&self, offset: u64) -> Result<Option<ByteRange>, DriveError> {
        let size = self.identity.size;
        let is_plain = self.base.is_none() && self.written.is_none() && self.overlays.is_empty() && size == self.real_size;
        if !(self.content.reports_holes && is_plain) {
            return Ok((offset < size).then(|| ByteRange::new(offset, size - offset)));
        }
        Ok(self.content.next_data(offset, size))
    }

    fn begin(&self, transfer_id: &str) -> Result<(), DriveError> {
        self.written_base().map_or(Ok(()), |base| base.begin(transfer_id))
    }

    fn holds_data(&self) -> Result<bool, DriveError> {
        self.written_base().map_or(Ok(false), |base| base.holds_data())
    }

    fn finish(&self) -> Result<(), DriveError> {
        self.sync()?;
        self.written_base().map_or(Ok(()), |base| base.finish())
    }

    fn target_content(&self) -> TargetContent {
        TargetContent::Unknown
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DriveError> {
        let range = ByteRange::new(offset, bytes.len() as u64);
        self.meet(range, false)?;
        for (place, real) in self.real_pieces(range) {
            let piece = &bytes[place as usize..(place + real.length) as usize];
            match &self.volatile {
                Some(volatile) => {
                    for (offset, bytes) in volatile.write(piece, real.offset) {
                        self.write_medium(&bytes, offset)?;
                    }
                }
                None => self.write_medium(piece, real.offset)?,
            }
        }
        Ok(())
    }

    fn zero_range(&self, range: ByteRange) -> Result<(), DriveError> {
        let blocks = writes::whole_blocks(range);
        let is_plain = self.volatile.is_none() && range.end() <= self.real_size && blocks.length > 0;
        if !(is_plain && self.written.as_ref().is_some_and(|written| written.zero_blocks(blocks))) {
            return crate::contract::write_zeros(self, range);
        }
        self.meet(blocks, false)?;
        crate::contract::write_zeros(self, ByteRange::new(range.offset, blocks.offset - range.offset))?;
        crate::contract::write_zeros(self, ByteRange::new(blocks.end(), range.end() - blocks.end()))
    }

    fn sync(&self) -> Result<(), DriveError> {
        self.meet(ByteRange::new(0, 0), false)?;
        self.clock.pass(std::time::Duration::ZERO, |model, now| model.sync(now));
        if self.volatile.is_some() {
            return Ok(());
        }
        match (&self.written, &self.base) {
            (Some(written), _) => written.sync().map_err(|source| self.failed("sync", source)),
            (None, Some(base)) => base.sync(),
            (None, None) => Err(self.read_only()),
        }
    }
}
