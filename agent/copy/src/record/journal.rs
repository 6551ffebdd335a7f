//! The file behind the journal: where it is, its lock, appending, replay.
//!
//! Order of durability: the target is synced, then records are appended, then the journal is synced,
//! then progress is reported. A record is never ahead of its data.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf, absolute};

use file::crash;
use file::locked::{LockError, Which, is_at, open_locked};
use file::private::make_folder;
use file::replace::folder_of;
use protocol::digest::Sha256Digest;
use protocol::identity::DriveIdentity;
use protocol::manifest::{CommitNote, Header, JournalReplay, Line, Replay, encode};
use protocol::result::Direction;
use protocol::units::ChunkIndex;

use crate::error::{CopyError, state_error};
use crate::limits::{RECORDS_PER_BATCH_MAX, RESUME_PROBES};
use crate::record::table::{ChunkTable, SharedTable};

/// An open journal, locked against other processes until it is dropped.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl Drop for Journal {
    /// A transfer that was refused leaves no empty journal behind.
    fn drop(&mut self) {
        let is_empty = self.file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if is_empty && is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What a journal said when it was opened.
pub(crate) struct Recovered {
    pub(crate) header: Box<Header>,
    pub(crate) table: SharedTable,
    /// How many chunks have landed.
    pub(crate) landed: u64,
    /// Whether all have.
    pub(crate) is_complete: bool,
    /// What named the state of the target when the last run stopped; `None` where chunks were recorded since.
    pub(crate) left: Option<String>,
    /// All chunks had landed, and the blob may have appeared.
    pub(crate) commit: Option<CommitNote>,
    /// The version of the blob that had appeared.
    pub(crate) committed: Option<String>,
    /// The chunks that were recorded last.
    pub(crate) latest: VecDeque<ChunkIndex>,
}

impl Journal {
    /// Opens the journal of a transfer, making an empty one where there is none. `what` names the
    /// transfer: its blob, and for an export its drive too.
    pub(crate) fn open(state_dir: &Path, direction: Direction, what: &str) -> Result<Self, CopyError> {
        journals_folder(state_dir)?;
        Self::open_file(journal_path(state_dir, direction, what), what)
    }

    /// Opens the journal below a state directory that is of one transfer alone; `None` where there is none.
    pub(crate) fn only_one(state_dir: &Path) -> Result<Option<Self>, CopyError> {
        let Some(path) = only_journal(state_dir)? else { return Ok(None) };
        let what = path.display().to_string();
        Self::open_file(path, &what).map(Some)
    }

    /// Opens a journal that is there.
    pub(crate) fn existing(path: &Path, what: &str) -> Result<Self, CopyError> {
        Self::open_as(path.to_owned(), Which::Existing, what)
    }

    fn open_file(path: PathBuf, what: &str) -> Result<Self, CopyError> {
        Self::open_as(path, Which::Any, what)
    }

    fn open_as(path: PathBuf, which: Which, what: &str) -> Result<Self, CopyError> {
        match open_locked(&path, which) {
            Ok(file) => Ok(Journal { path, file, buffer: Vec::new() }),
            Err(LockError::Busy) => {
                Err(CopyError::Refused(format!("another transfer of `{what}` is under way: wait for it, or cancel it first")))
            }
            Err(LockError::Io(source)) => Err(state_error("open", &path, source)),
            Err(error) => Err(CopyError::Refused(format!("the journal `{}` is not used: {error}; remove it", path.display()))),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The unfinished export onto the drive at this path, where its journal has it. Journals of other transfers are not
    /// locked for it.
    ///
    /// # Errors
    /// Where that export is under way, or its journal cannot be read.
    pub(crate) fn of_export(state_dir: &Path, drive: &Path, blob: &str) -> Result<Option<(Self, Recovered)>, CopyError> {
        let Ok(entries) = std::fs::read_dir(state_dir.join(JOURNALS)) else { return Ok(None) };
        let Ok(drive) = absolute(drive) else { return Ok(None) };
        let is_it = |path: &PathBuf| {
            let is_export = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("export-"));
            let replay = || JournalReplay::new(BufReader::new(File::open(path).ok()?)).ok()?;
            is_export
                && replay().is_some_and(|replay| {
                    let header = replay.header();
                    header.blob == blob && header.drive_path().as_ref() == Some(&drive)
                })
        };
        let Some(path) = entries.filter_map(|entry| Some(entry.ok()?.path())).find(is_it) else { return Ok(None) };
        let mut journal = Self::open_file(path, blob)?;
        Ok(journal.recover()?.map(|recovered| (journal, recovered)))
    }

    /// Which transfer the journal is of, where that can be read at all.
    pub(crate) fn header(&mut self) -> Option<Box<Header>> {
        self.file.seek(SeekFrom::Start(0)).ok()?;
        let replay = JournalReplay::new(BufReader::new(&self.file)).ok()??;
        Some(Box::new(replay.header().clone()))
    }

    /// Reads what an earlier run left, and cuts off a torn last line. `None` where there is nothing.
    pub(crate) fn recover(&mut self) -> Result<Option<Recovered>, CopyError> {
        let unusable = |error| CopyError::Journal { path: self.path.clone(), error };
        let failed = |source| state_error("read", &self.path, source);
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let Some(mut replay) = JournalReplay::new(BufReader::new(&self.file)).map_err(unusable)? else {
            return Ok(None);
        };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut table = ChunkTable::new(folder, replay.geometry()).map_err(failed)?;
        let (mut left, mut commit, mut committed) = (None, None, None);
        let mut latest = VecDeque::new();
        while let Some(record) = replay.next_record().map_err(unusable)? {
            match record {
                Replay::Landed(index, record) => {
                    table.set_landed(index, &record, false).map_err(failed)?;
                    left = None;
                    if latest.len() as u64 == RESUME_PROBES {
                        latest.pop_front();
                    }
                    latest.push_back(index);
                }
                Replay::Left(target) => left = Some(target),
                Replay::CommitBegun(note) => commit = Some(note),
                Replay::Committed(version) => committed = Some(version),
            }
        }
        let header = Box::new(replay.header().clone());
        let end = replay.valid_bytes();
        drop(replay);
        self.file.set_len(end).map_err(failed)?;
        self.file.seek(SeekFrom::Start(end)).map_err(failed)?;
        let (landed, is_complete) = (table.landed(), table.is_complete());
        let table = SharedTable::new(table);
        Ok(Some(Recovered { header, table, landed, is_complete, left, commit, committed, latest }))
    }

    /// Forgets everything and starts over with this header.
    pub(crate) fn begin(&mut self, header: &Header) -> Result<(), CopyError> {
        let cut = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        cut.map_err(|source| state_error("begin", &self.path, source))?;
        self.append([Line::Header(Box::new(header.clone()))])?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| state_error("sync", folder, source))?;
        crash::point("journal-begun");
        Ok(())
    }

    /// Makes the journal say what the table says, and nothing that it said before.
    pub(crate) fn rewrite(&mut self, header: &Header, table: &SharedTable) -> Result<(), CopyError> {
        self.begin(header)?;
        let geometry = table.with(|table| Ok(table.geometry()))?;
        let mut batch = Vec::new();
        for (index, _) in geometry.chunks() {
            batch.extend(table.with(|table| table.record(index))?.map(Line::Chunk));
            if batch.len() == RECORDS_PER_BATCH_MAX {
                self.append(std::mem::take(&mut batch))?;
            }
        }
        self.append(batch)
    }

    /// Notes what names the state of the target that a run leaves.
    pub(crate) fn note_left(&mut self, target: String) -> Result<(), CopyError> {
        self.append([Line::Left { target }])?;
        crash::point("left-noted");
        Ok(())
    }

    /// Notes that the blob is about to appear.
    pub(crate) fn note_commit(&mut self, note: CommitNote) -> Result<(), CopyError> {
        self.append([Line::Commit(note)])?;
        crash::point("commit-noted");
        Ok(())
    }

    /// Notes that the blob appeared.
    pub(crate) fn note_committed(&mut self, version: String) -> Result<(), CopyError> {
        self.append([Line::Committed { version }])?;
        crash::point("committed-noted");
        Ok(())
    }

    /// Appends lines and returns when they are durable.
    pub(crate) fn append(&mut self, lines: impl IntoIterator<Item = Line>) -> Result<(), CopyError> {
        self.buffer.clear();
        for line in lines {
            encode(&line, &mut self.buffer).map_err(|error| state_error("write", &self.path, error.into()))?;
        }
        let written = self.file.write_all(&self.buffer).and_then(|()| self.file.sync_data());
        self.buffer.shrink_to(RECORDS_PER_BATCH_MAX * 256);
        written.map_err(|source| state_error("write", &self.path, source))?;
        crash::point("records-appended");
        Ok(())
    }

    /// Whether it is in its folder: it was not removed, by this program or another.
    pub(crate) fn is_kept(&self) -> bool {
        is_at(&self.file, &self.path).unwrap_or(false)
    }

    /// Removes the journal from its folder: its transfer is done and stated by a manifest, or nothing that it says may be believed.
    pub(crate) fn remove(&self) -> Result<(), CopyError> {
        let failed = |source| state_error("remove", &self.path, source);
        if is_at(&self.file, &self.path).map_err(failed)? {
            std::fs::remove_file(&self.path).map_err(failed)?;
        }
        crash::point("journal-removed");
        Ok(())
    }
}

/// The journal below a state directory that is of one transfer alone; `None` where there is none.
///
/// # Errors
/// When the directory cannot be listed.
pub fn only_journal(state_dir: &Path) -> Result<Option<PathBuf>, CopyError> {
    let folder = state_dir.join("journals");
    let failed = |source| state_error("list", &folder, source);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Where the journal of an import into a blob is kept.
pub fn journal_of_import(state_dir: &Path, blob: &str) -> PathBuf {
    journal_path(state_dir, Direction::Import, blob)
}

/// Where the journal of an export onto a drive is kept.
///
/// # Errors
/// When the name of the drive cannot be written down.
pub fn journal_of_export(state_dir: &Path, drive: &DriveIdentity) -> Result<PathBuf, CopyError> {
    Ok(journal_path(state_dir, Direction::Export, &drive_key(drive)?))
}

/// What names the drive of an export: its serial number, or where it is.
pub(crate) fn drive_key(identity: &DriveIdentity) -> Result<String, CopyError> {
    if let Some(serial) = &identity.serial {
        return Ok(serial.clone());
    }
    let path = Path::new(&identity.path);
    let Some((folder, name)) = folder_of(path).canonicalize().ok().zip(path.file_name()) else {
        return Ok(identity.path.clone());
    };
    // Two folders must not become one when their names are made text.
    let place = folder.join(name).into_os_string().into_string();
    place.map_err(|place| CopyError::Usage(format!("the name of `{}` is not UTF-8: rename it", place.display())))
}

fn journal_path(state_dir: &Path, direction: Direction, what: &str) -> PathBuf {
    let name = &Sha256Digest::of(what.as_bytes()).to_string()[..24];
    state_dir.join(JOURNALS).join(format!("{}-{name}.jsonl", prefix_of(direction)))
}

/// The folder of journals in a state directory.
const JOURNALS: &str = "journals";

/// What the name of a journal begins with.
pub(crate) fn prefix_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Import => "import",
        Direction::Export => "export",
    }
}

/// The folder of all journals, made where it is missing. What is in it describes customers' drives.
pub(crate) fn journals_folder(state_dir: &Path) -> Result<PathBuf, CopyError> {
    let folder = state_dir.join(JOURNALS);
    let made = make_folder(&folder);
    made.map_err(|source| state_error("create", &folder, source))?;
    Ok(folder)
}
