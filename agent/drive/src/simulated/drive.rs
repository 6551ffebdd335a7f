//! A simulated drive: what it answers.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::identity::DriveIdentity;
use protocol::units::ByteRange;

use super::clock::Clock;
use super::content::Content;
use super::faults::FaultPlan;
use super::writes::{VolatileCache, Written, whole_blocks};
use crate::confirm::Target;
use crate::contract::{Drive, TargetContent, read_whole};
use crate::error::DriveError;
use crate::naming::Naming;
use crate::opened_as::OpenedAs;

/// A drive computed from a [`Profile`](super::Profile).
pub struct SimulatedDrive {
    pub(super) path: PathBuf,
    pub(super) opened_as: Option<OpenedAs>,
    pub(super) identity: DriveIdentity,
    pub(super) naming: Naming,
    /// Where it really ends.
    pub(super) real_size: u64,
    pub(super) content: Content,
    /// The drive whose content and writes these are, in place of computed ones.
    pub(super) base: Option<Arc<dyn Drive>>,
    pub(super) overlays: Vec<(ByteRange, File)>,
    pub(super) written: Option<Written>,
    pub(super) backing_file: Option<PathBuf>,
    pub(super) volatile: Option<VolatileCache>,
    pub(super) plan: FaultPlan,
    pub(super) clock: Clock,
    pub(super) readers: usize,
    pub(super) bytes_moved: AtomicU64,
}

impl SimulatedDrive {
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
        Target { path: &self.path, identity: &self.identity, naming: &self.naming, place, holds: None }
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
        let blocks = whole_blocks(range);
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
