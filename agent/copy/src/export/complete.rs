//! The end of an export: zeros behind the blob, read-back, the drive's name; or the receipt.

use std::sync::atomic::Ordering;

use drive::TargetContent;
use protocol::digest::Sha256Digest;
use protocol::fill::Fill;
use protocol::identity::DriveIdentity;
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::receipt::Residue;
use protocol::result::{Evidence, TransferResult};
use protocol::units::ByteRange;

use super::Export;
use crate::error::CopyError;
use crate::finish;
use crate::journal::Journal;
use crate::limits::{CLEAR_PIECE_BYTES, DRIVE_SYNC_TIMEOUT};
use crate::options::Verify;
use crate::prepare::with_drive;
use crate::verify::{Expected, Side, compare};
use crate::whole_hash::stream_of_drive;

impl Export {
    /// Clears what lies behind the blob, verifies, finishes the drive; or accounts for what was and was
    /// not done.
    pub(super) async fn finish(mut self) -> Result<TransferResult, CopyError> {
        let mut evidence = match self.manifest.is_some() || self.all_checked.load(Ordering::Relaxed) {
            true => Evidence::Transport,
            false => Evidence::Read,
        };
        let completed = match self.failure.has_failed() || self.link.stop.is_stopping() {
            true => Ok(None),
            false => self.complete(&mut evidence).await,
        };
        let done = finish::unless_failed(completed, &self.failure);
        self.link.counters.set_phase(Phase::Done);
        let error = self.failure.take();
        let mut result = finish::result(Outcome::Complete, &self.header, self.identity.clone(), &self.table, &self.link)?;
        result.evidence = evidence;
        result.checked_against_manifest = Some(self.manifest.is_some());
        result.bytes_cleared = self.bytes_cleared;
        result.error = error.as_ref().map(ToString::to_string);
        match done {
            Some((root, manifest)) if error.is_none() => {
                result.root_sha256 = Some(root);
                result.stream_sha256 = self.stream_sha256;
                result.manifest = manifest;
                result.unreadable = self.filled()?;
                if !result.unreadable.is_empty() {
                    self.link
                        .warn("the import could not read parts of the drive: these ranges are filling, and no data".to_owned());
                    result.outcome = Outcome::CompleteWithUnreadable;
                }
            }
            _ => {
                result.outcome = error.as_ref().map_or(Some(Outcome::Cancelled), CopyError::outcome).unwrap_or(Outcome::Failed);
                result.manifest = Some(self.journal_path.display().to_string());
                let residue = |landed| residue(&self.identity, landed);
                result.receipt = Some(finish::receipt(&self.table, &self.link, &self.options, residue)?);
            }
        }
        Ok(result)
    }

    /// Ranges that the manifest says could not be read when the blob was made.
    fn filled(&self) -> Result<Vec<ByteRange>, CopyError> {
        let Some(manifest) = &self.manifest else { return Ok(Vec::new()) };
        manifest.table.with(|table| Ok(table.unreadable().collect()))
    }

    /// The steps after the last chunk, each repeatable. `None` when a stop came first.
    async fn complete(&mut self, evidence: &mut Evidence) -> Result<Option<(Sha256Digest, Option<String>)>, CopyError> {
        self.link.counters.set_phase(Phase::Committing);
        if !self.table.with(|table| Ok(table.is_complete()))? {
            return Err(CopyError::Internal("the pipeline"));
        }
        if !self.clear_behind().await? {
            return Ok(None);
        }
        self.link.counters.set_phase(Phase::Committing);
        let (root, _) = finish::root(&self.table, &self.zeros, false)?;
        if self.manifest.as_ref().is_some_and(|manifest| manifest.root != root) {
            self.forget()?;
            return Err(CopyError::Mismatch(format!(
                "what is on the drive `{}` is not what the blob's manifest states: begin anew with `--restart`",
                self.identity.path
            )));
        }
        with_drive(&self.drive, DRIVE_SYNC_TIMEOUT, &self.link, |drive| drive.sync()).await?;
        if self.options.verify == Verify::ReadBack {
            self.read_back().await?;
        }
        if self.options.stream_sha256 && self.stream_sha256.is_none() {
            let geometry = self.table.with(|table| Ok(table.geometry()))?;
            self.stream_sha256 = stream_of_drive(&self.drive, geometry, &self.options, &self.link).await?;
        }
        if self.link.stop.is_stopping() {
            return Ok(None);
        }
        if self.options.verify == Verify::ReadBack {
            *evidence = Evidence::ReadBack;
        }
        // Only now the drive has the name, and looks like what it is.
        with_drive(&self.drive, DRIVE_SYNC_TIMEOUT, &self.link, |drive| drive.finish()).await?;
        let folder = self.options.state_dir.join("journals");
        if let Some(path) = &self.options.manifest {
            let file = finish::manifest_file(
                &folder,
                &self.header,
                &self.table,
                root,
                self.stream_sha256,
                *evidence,
                self.options.names.as_ref(),
            )?;
            finish::copy_manifest(file.path(), path)?;
        }
        if let Some(journal) = self.journal.take().filter(|_| !self.options.keep_journal) {
            journal.remove()?;
        }
        let written = self.options.manifest.as_ref().map(|path| path.display().to_string());
        let beside = self.manifest.as_ref().map(|_| self.blob.sibling(MANIFEST_SUFFIX).address());
        Ok(Some((root, written.or(beside))))
    }

    /// Makes the drive behind the blob's end zero: no byte of its last owner stays. False when a stop
    /// came first.
    async fn clear_behind(&mut self) -> Result<bool, CopyError> {
        let size = self.drive.size_bytes();
        let start = self.header.total_bytes.next_multiple_of(self.drive.sector_size_bytes()).min(size);
        if self.drive.target_content() == TargetContent::KnownZero {
            return Ok(true);
        }
        self.link.counters.begin_part(Phase::Clearing, size - start);
        let mut offset = start;
        while offset < size {
            if self.link.stop.is_stopping() {
                return Ok(false);
            }
            // Every piece but the first is aligned to the largest blocks that drives erase at once.
            let end = (offset / CLEAR_PIECE_BYTES + 1) * CLEAR_PIECE_BYTES;
            let range = ByteRange::new(offset, end.min(size) - offset);
            with_drive(&self.drive, self.options.read_timeout, &self.link, move |drive| drive.zero_range(range)).await?;
            offset = range.end();
            self.bytes_cleared = offset - start;
            self.link.counters.add_to_part(range.length);
        }
        Ok(true)
    }

    /// Reads the whole drive again and compares it with what came from the blob.
    async fn read_back(&mut self) -> Result<(), CopyError> {
        let side = Side::Drive(self.drive.clone());
        // What was written is what is compared: this drive has no unreadable places to leave out.
        let expected = Expected { table: &self.table, fill: Fill::default() };
        let differences = compare(side, expected, &self.options, &self.attempts, &self.link, self.memory).await?;
        let Some(first) = differences.first() else { return Ok(()) };
        self.forget()?;
        Err(CopyError::Mismatch(format!(
            "the drive `{}` holds other bytes than were written to it, at {} places, the first at {} (offset+length in bytes): do not use this drive",
            self.identity.path,
            differences.len(),
            first.range
        )))
    }

    /// Removes the journal: nothing that was recorded may be believed again.
    fn forget(&mut self) -> Result<(), CopyError> {
        self.journal.take().map_or(Ok(()), Journal::remove)
    }
}

fn residue(identity: &DriveIdentity, landed: u64) -> Option<Residue> {
    let description = format!("what was written to `{}`, which a resume goes on with", identity.path);
    (landed > 0).then_some(Residue { description, bytes: landed, lives_days: None })
}
