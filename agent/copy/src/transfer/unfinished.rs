//! Transfers that were begun and not finished, as the journals in a state directory have them; and forgetting one.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::{Blob, LeftBy};
use file::locked::is_busy;
use file::partial;
use protocol::digest::Sha256Digest;
use protocol::identity::DriveKind;
use protocol::manifest::{ChunkContent, Header, JournalReplay, Replay};
use protocol::receipt::Residue;
use protocol::result::Direction;

use crate::error::{CopyError, state_error};
use crate::hashing::ZeroDigests;
use crate::record::journal::Journal;
use crate::rescue::forget_beside;
use crate::transfer::staging::elsewhere;

/// A transfer that was begun and not finished.
pub struct Unfinished {
    /// What it is.
    pub header: Header,
    /// Where its journal is.
    pub journal: PathBuf,
    /// What it recorded as landed, in bytes.
    pub landed_bytes: u64,
    /// Whether a process is at it now.
    pub is_running: bool,
    /// The blob is whole: what is missing is its manifest, or the rest of the bookkeeping.
    pub is_committed: bool,
    /// The chunks that it recorded, by their content.
    recorded: HashSet<Sha256Digest>,
}

/// What a state directory has.
#[derive(Default)]
pub struct UnfinishedTransfers {
    /// The transfers, the oldest first.
    pub transfers: Vec<Unfinished>,
    /// Journals that cannot be read, each with the reason.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Reads all journals of a state directory. Nothing is changed, and what another process writes is left to it.
///
/// # Errors
/// When the folder cannot be listed.
pub fn unfinished(state_dir: &Path) -> Result<UnfinishedTransfers, CopyError> {
    let folder = state_dir.join("journals");
    let failed = |source| state_error("list", &folder, source);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(UnfinishedTransfers::default()),
        other => other.map_err(failed)?,
    };
    let mut found = UnfinishedTransfers::default();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        match read(&path) {
            Ok(transfer) => found.transfers.extend(transfer),
            Err(error) => found.unreadable.push((path, error)),
        }
    }
    found.transfers.sort_by_key(|transfer| transfer.header.created_at);
    Ok(found)
}

/// What a journal says; `None` where it was removed meanwhile, or nothing was begun.
fn read(path: &Path) -> Result<Option<Unfinished>, String> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| error.to_string())?,
    };
    let Some(mut replay) = JournalReplay::new(BufReader::new(file)).map_err(|error| error.to_string())? else { return Ok(None) };
    let header = replay.header().clone();
    let zeros = ZeroDigests::new(header.chunk_size_bytes);
    let is_named = header.block_id_scheme.is_some();
    let mut landed = vec![0_u64; usize::try_from(replay.geometry().chunk_count() / 64 + 1).unwrap_or(0)];
    let mut recorded = HashSet::new();
    let (mut landed_bytes, mut is_committed) = (0, false);
    while let Some(record) = replay.next_record().map_err(|error| error.to_string())? {
        match record {
            Replay::Landed(index, record) => {
                if is_named {
                    recorded.insert(match record.content {
                        ChunkContent::Data(digest) => digest,
                        ChunkContent::Zero => zeros.of(record.range.length),
                    });
                }
                // A chunk may be recorded twice.
                if let Some(word) = landed.get_mut((index.0 / 64) as usize)
                    && *word & 1 << (index.0 % 64) == 0
                {
                    *word |= 1 << (index.0 % 64);
                    landed_bytes += record.range.length;
                }
            }
            Replay::Committed(_) => is_committed = true,
            Replay::Left(_) | Replay::CommitBegun(_) => {}
        }
    }
    Ok(Some(Unfinished { header, journal: path.to_owned(), landed_bytes, is_running: is_busy(path), is_committed, recorded }))
}

impl Unfinished {
    /// The blob, whose pieces are where the transfer put them.
    ///
    /// # Errors
    /// Where its journal names a place that cannot be one.
    pub fn at_its_staging(&self, blob: Arc<dyn Blob>) -> Result<Arc<dyn Blob>, CopyError> {
        Ok(elsewhere(&*blob, &self.header)?.unwrap_or(blob))
    }

    /// What is asked of the store about it.
    pub fn left(&self) -> LeftBy<'_> {
        LeftBy { transfer_id: &self.header.transfer_id, landed_bytes: self.landed_bytes, recorded: &self.recorded }
    }

    /// What an export left on this machine: the unfinished image, or what was written in place.
    pub fn left_on_drive(&self) -> Option<Residue> {
        if self.header.direction != Direction::Export {
            return None;
        }
        let path = self.header.drive_path()?;
        let own = partial::path_of(&path, &self.header.transfer_id).ok().filter(|own| own.exists());
        match own.map(|own| own.display().to_string()) {
            Some(own) => Some(Residue {
                description: format!("the file `{own}`"),
                path: Some(own),
                bytes: self.landed_bytes,
                lives_days: None,
            }),
            None if self.header.drive.kind != DriveKind::Image && self.landed_bytes > 0 => Some(Residue {
                description: format!("what was written to `{}`", path.display()),
                path: None,
                bytes: self.landed_bytes,
                lives_days: None,
            }),
            None => None,
        }
    }

    /// Takes the transfer, so that no other process is at it from here on.
    ///
    /// # Errors
    /// Where one is, or where the journal is another transfer's by now.
    pub fn take(&self) -> Result<Taken, CopyError> {
        let mut journal = Journal::existing(&self.journal, &self.header.blob)?;
        match journal.header() {
            Some(header) if header.transfer_id == self.header.transfer_id => Ok(Taken { journal }),
            _ => Err(CopyError::Refused(format!(
                "the journal `{}` is of another transfer by now: look again with `drive-agent transfers`",
                self.journal.display()
            ))),
        }
    }
}

/// A transfer that is about to be forgotten.
pub struct Taken {
    journal: Journal,
}

impl Taken {
    /// Removes the unfinished image of an export; false where it is not known where that is.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn remove_image(&self, transfer: &Unfinished) -> Result<bool, CopyError> {
        if transfer.header.direction != Direction::Export || transfer.header.drive.kind != DriveKind::Image {
            return Ok(true);
        }
        let Some(path) = transfer.header.drive_path() else { return Ok(false) };
        partial::remove(&path, &transfer.header.transfer_id)
            .map_err(|error| CopyError::Refused(format!("the unfinished image of `{}` stays: {error}", path.display())))?;
        Ok(true)
    }

    /// Removes the journal and what a rescue kept beside it: the last step, so that a discard that was cut off is repeated.
    ///
    /// # Errors
    /// Where they cannot be removed.
    pub fn forget(self) -> Result<(), CopyError> {
        forget_beside(self.journal.path())?;
        self.journal.remove()
    }
}
