//! The end of an import: commit, read-back, manifest; or the receipt.

use blob::CommitFacts;
use protocol::digest::Sha256Digest;
use protocol::manifest::{Line, MANIFEST_SUFFIX};
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::result::{Evidence, TransferResult};
use protocol::units::ByteRange;

use super::Import;
use crate::error::CopyError;
use crate::finish;
use crate::options::Verify;
use crate::rescue::forget_beside;
use crate::verify::{Expected, Side, compare};
use crate::whole_hash::{stream_of_blob, stream_of_drive};

impl Import {
    /// Commits, verifies, writes the manifest; or accounts for what was and was not done.
    pub(super) async fn finish(mut self) -> Result<TransferResult, CopyError> {
        let mut evidence = if self.blob.checks_arrival() { Evidence::Transport } else { Evidence::Read };
        let completed = match self.failure.has_failed() || self.link.stop.is_stopping() {
            true => Ok(None),
            false => self.complete(&mut evidence).await,
        };
        let done = finish::unless_failed(completed, &self.failure);
        let saved = self.save_rescue();
        self.failure.check(saved);
        self.link.counters.set_phase(Phase::Done);
        let error = self.failure.take();
        let mut result = finish::result(Outcome::Complete, &self.header, self.identity.clone(), &self.table, &self.link)?;
        result.evidence = evidence;
        if let Some(rescue) = &self.rescue {
            result.failed_reads = rescue.failed_reads();
            result.bytes_from_image = rescue.bytes_from_image();
        }
        result.error = error.as_ref().map(ToString::to_string);
        match done {
            Some((root, manifest)) if error.is_none() => {
                result.root_sha256 = Some(root);
                result.stream_sha256 = self.stream_sha256;
                result.manifest = Some(manifest);
                if !result.unreadable.is_empty() {
                    result.outcome = Outcome::CompleteWithUnreadable;
                }
            }
            _ => {
                result.outcome = error.as_ref().map_or(Some(Outcome::Cancelled), CopyError::outcome).unwrap_or(Outcome::Failed);
                result.manifest = Some(self.journal_path.display().to_string());
                if let Some(rescue) = self.rescue.as_ref().filter(|_| result.unreadable.is_empty()) {
                    result.unreadable = rescue.bad_ranges().as_slice().to_vec();
                }
                let scratch = self.rescue.as_ref().and_then(|rescue| rescue.scratch_path());
                let residue = |landed| {
                    let mut residue = self.upload.as_ref().and_then(|upload| upload.residue(landed))?;
                    if let Some(scratch) = scratch {
                        residue.description += &format!(", and what was rescued of unfinished chunks in `{}`", scratch.display());
                    }
                    Some(residue)
                };
                result.receipt = Some(finish::receipt(&self.table, &self.link, &self.options, residue)?);
            }
        }
        Ok(result)
    }

    /// Saves what is known of a failing drive, or removes it where nothing is left to do.
    fn save_rescue(&self) -> Result<(), CopyError> {
        if !self.journal_path.exists() {
            // The blob is whole, whatever becomes of its map.
            if let Some(Err(error)) = self.rescue.as_ref().map(|rescue| rescue.save_users(&self.table)) {
                self.link.warn(error.to_string());
            }
            return forget_beside(&self.journal_path);
        }
        let Some(rescue) = &self.rescue else { return Ok(()) };
        // A read of a chunk; what else may hang says nothing about a place.
        let of_chunk = |range: &ByteRange| range.length <= self.header.chunk_size_bytes;
        if let Some(range) = self.failure.hanging_range().filter(of_chunk) {
            rescue.note_hang(range, &self.table)?;
        }
        rescue.save(&self.table)
    }

    /// The steps after the last chunk, each repeatable. Gives the root and where the manifest is, or
    /// `None` when a stop came first.
    async fn complete(&mut self, evidence: &mut Evidence) -> Result<Option<(Sha256Digest, String)>, CopyError> {
        self.link.counters.set_phase(Phase::Committing);
        let (geometry, is_complete) = self.table.with(|table| Ok((table.geometry(), table.is_complete())))?;
        if !is_complete {
            return Err(CopyError::Internal("the pipeline"));
        }
        if self.drive.was_modified()? {
            self.link.warn(format!("`{}` was written to while it was read: the blob may hold a mixture", self.identity.path));
        }
        let is_rescued = self.rescue.as_ref().is_some_and(|rescue| rescue.has_begun());
        if self.options.stream_sha256 && self.stream_sha256.is_none() && !self.is_committed && !is_rescued {
            self.link
                .warn("the SHA-256 of the whole is missing: a part that an earlier run read cannot be read any more".to_owned());
        }
        let content_named = self.upload.as_ref().is_some_and(|upload| upload.traits().content_named);
        let (root, list) = finish::root(&self.table, &self.zeros, content_named)?;
        if self.is_committed && self.options.stream_sha256 {
            self.stream_sha256 = stream_of_drive(&self.drive, geometry, &self.options, &self.link).await?;
        }
        if let Some(upload) = &self.upload {
            let journal = self.journal.as_mut().ok_or(CopyError::Internal("the journal"))?;
            journal.append([Line::Commit])?;
            let unreadable: Vec<ByteRange> = self.table.with(|table| Ok(table.unreadable().collect()))?;
            let facts = CommitFacts { root: &root, unreadable: &unreadable };
            let committed = self.attempts.run("commit", 0, || upload.commit(&list, &facts)).await;
            committed?;
        }
        drop(list);
        if is_rescued && self.options.stream_sha256 {
            // The chunks did not pass in their order: the blob is asked.
            let (attempts, options) = (&self.attempts, &self.options);
            self.stream_sha256 = stream_of_blob(&*self.blob, geometry, attempts, options, &self.link).await?;
            if self.link.stop.is_stopping() {
                return Ok(None);
            }
        }
        if self.options.verify == Verify::ReadBack {
            self.read_back().await?;
            if self.link.stop.is_stopping() {
                return Ok(None);
            }
            *evidence = Evidence::ReadBack;
        }
        let folder = self.options.state_dir.join("journals");
        let file = finish::manifest_file(
            &folder,
            &self.header,
            &self.table,
            root,
            self.stream_sha256,
            *evidence,
            self.options.names.as_ref(),
        )?;
        let beside = self.blob.sibling(MANIFEST_SUFFIX);
        let length = file.as_file().metadata().map_or(0, |metadata| metadata.len());
        let stored = self.attempts.run("write", length, || beside.put_file(file.path())).await;
        stored?;
        if let Some(path) = &self.options.manifest {
            finish::copy_manifest(file.path(), path)?;
        }
        if let Some(journal) = self.journal.take().filter(|_| !self.options.keep_journal) {
            journal.remove()?;
        }
        let manifest = self.options.manifest.as_ref().map(|path| path.display().to_string());
        Ok(Some((root, manifest.unwrap_or_else(|| beside.address()))))
    }

    /// Reads the whole blob again and compares it with what was read from the drive.
    async fn read_back(&mut self) -> Result<(), CopyError> {
        let facts = self.attempts.run("look at", 0, || self.blob.head()).await?.0;
        let version = facts.map(|facts| facts.version).unwrap_or_default();
        let side = Side::Blob { blob: self.blob.clone(), version };
        let expected = Expected { table: &self.table, fill: self.header.unreadable_fill };
        let differences = compare(side, expected, &self.options, &self.attempts, &self.link, self.memory).await?;
        let Some(first) = differences.first() else { return Ok(()) };
        // Nothing that was recorded may be believed again.
        if let Some(journal) = self.journal.take() {
            journal.remove()?;
        }
        Err(CopyError::Mismatch(format!(
            "the blob `{}` holds other bytes than were sent, at {} places, the first at {} (offset+length in bytes): import again with `--restart --overwrite`",
            self.blob.address(),
            differences.len(),
            first.range
        )))
    }
}
