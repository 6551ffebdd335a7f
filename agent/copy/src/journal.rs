//! The file behind the journal: where it is, its lock, appending, replay.
//!
//! Order of durability: the target is synced, then records are appended, then the journal is synced,
//! then progress is told. A record is never ahead of its data.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use protocol::digest::Sha256Digest;
use protocol::manifest::{Header, JournalReplay, Line, Replay, encode};
use protocol::result::Direction;

use crate::error::{CopyError, state_error};
use crate::limits::RECORDS_PER_BATCH_MAX;
use crate::table::ChunkTable;

/// An open journal, locked against other processes until it is dropped.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl Drop for Journal {
    /// A transfer that was refused leaves no empty journal behind.
    fn drop(&mut self) {
        if self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What a journal said when it was opened.
pub(crate) struct Recovered {
    pub(crate) header: Box<Header>,
    pub(crate) table: ChunkTable,
    /// All chunks had landed, and the blob may have appeared.
    pub(crate) commit_begun: bool,
}

impl Journal {
    /// Opens the journal of a transfer, making an empty one where there is none. `what` names the
    /// transfer: its blob, and for an export its drive too.
    pub(crate) fn open(state_dir: &Path, direction: Direction, what: &str) -> Result<Self, CopyError> {
        let folder = state_dir.join("journals");
        std::fs::create_dir_all(&folder).map_err(|source| state_error("create", &folder, source))?;
        let prefix = match direction {
            Direction::Import => "import",
            Direction::Export => "export",
        };
        let name = &Sha256Digest::of(what.as_bytes()).to_string()[..24];
        Self::open_file(folder.join(format!("{prefix}-{name}.jsonl")), what)
    }

    /// Opens the journal in a folder that holds the state of one transfer alone; `None` where there is none.
    pub(crate) fn only_one(folder: &Path) -> Result<Option<Self>, CopyError> {
        let failed = |source| state_error("list", folder, source);
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                let what = path.display().to_string();
                return Self::open_file(path, &what).map(Some);
            }
        }
        Ok(None)
    }

    fn open_file(path: PathBuf, what: &str) -> Result<Self, CopyError> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|source| state_error("open", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Journal { path, file, buffer: Vec::new() }),
            Err(TryLockError::WouldBlock) => {
                Err(CopyError::Refused(format!("another transfer of `{what}` is under way: wait for it, or cancel it first")))
            }
            Err(TryLockError::Error(source)) => Err(state_error("lock", &path, source)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which transfer the journal is of, where that can be read at all.
    pub(crate) fn transfer_id(&mut self) -> Option<String> {
        self.file.seek(SeekFrom::Start(0)).ok()?;
        let replay = JournalReplay::new(BufReader::new(&self.file)).ok()??;
        Some(replay.header().transfer_id.clone())
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
        let mut commit_begun = false;
        while let Some(record) = replay.next_record().map_err(unusable)? {
            match record {
                Replay::Landed(index, record) => table.set_landed(index, &record, false).map_err(failed)?,
                Replay::CommitBegun => commit_begun = true,
            }
        }
        let header = Box::new(replay.header().clone());
        let end = replay.valid_bytes();
        drop(replay);
        self.file.set_len(end).map_err(failed)?;
        self.file.seek(SeekFrom::Start(end)).map_err(failed)?;
        Ok(Some(Recovered { header, table, commit_begun }))
    }

    /// Forgets everything and begins anew with this header.
    pub(crate) fn begin(&mut self, header: &Header) -> Result<(), CopyError> {
        let cut = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        cut.map_err(|source| state_error("begin", &self.path, source))?;
        self.append([Line::Header(Box::new(header.clone()))])?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| state_error("sync", folder, source))
    }

    /// Appends lines and returns when they are durable.
    pub(crate) fn append(&mut self, lines: impl IntoIterator<Item = Line>) -> Result<(), CopyError> {
        self.buffer.clear();
        for line in lines {
            encode(&line, &mut self.buffer).map_err(|error| state_error("write", &self.path, error.into()))?;
        }
        let written = self.file.write_all(&self.buffer).and_then(|()| self.file.sync_data());
        self.buffer.shrink_to(RECORDS_PER_BATCH_MAX * 256);
        written.map_err(|source| state_error("write", &self.path, source))
    }

    /// Removes the journal: its transfer is done and stated by a manifest.
    pub(crate) fn remove(self) -> Result<(), CopyError> {
        std::fs::remove_file(&self.path).map_err(|source| state_error("remove", &self.path, source))
    }
}
