//! The end of an import: read-back, commit, manifest; or the receipt.

use std::fs::File;
use std::sync::Arc;

use blob::{Blob, BlobError, BlobErrorKind, BlocksHeld, CommitFacts, Replaces, Upload};
use file::crash;
use protocol::digest::Sha256Digest;
use protocol::manifest::{CommitNote, MANIFEST_SUFFIX};
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::receipt::{Receipt, Residue};
use protocol::result::{Evidence, TransferResult};
use protocol::units::{ByteRange, ChunkIndex};
use tokio::time::timeout;

use super::Import;
use super::completion::Completion;
use crate::error::CopyError;
use crate::finish::{self, Proof};
use crate::journal::Journal;
use crate::limits::{ABORT_GRACE, INQUIRY_TIMEOUT};
use crate::manifest::header_of_manifest;
use crate::options::Verify;
use crate::rescue::forget_beside;
use crate::reuse::take_back;
use crate::table::ChunkTable;
use crate::verify::{Expected, Scope, Side, compare};

/// How often the manifest's name is looked at when something else came between the look and the manifest.
const LOOKS_MAX: u32 = 5;

impl Import {
    /// Commits, verifies, writes the manifest; or accounts for what was and was not done.
    pub(super) async fn finish(mut self) -> Result<TransferResult, CopyError> {
        let mut evidence = if self.blob.checks_arrival() { Evidence::Transport } else { Evidence::Read };
        let completed = match self.failure.has_failed() || self.link.stop.is_stopping() {
            true => Ok(None),
            false => self.complete(&mut evidence).await.map(Some),
        };
        let root = finish::completed_or_failure(completed, &self.failure);
        let saved = self.save_rescue();
        self.failure.check(saved);
        self.link.counters.set_phase(Phase::Done);
        let error = self.failure.take();
        let mut result = finish::result(Outcome::Complete, &self.header, self.identity.clone(), &self.table, &self.link)?;
        result.evidence = evidence;
        result.source_changed = self.trust.source_changed;
        if let Some(rescue) = &self.rescue {
            result.failed_reads = rescue.failed_reads();
        }
        match (&self.completion, root) {
            (Completion::Done { manifest }, Some(root)) if error.is_none() => {
                result.root_sha256 = Some(root);
                result.stream_sha256 = self.stream_sha256;
                result.manifest = Some(manifest.clone());
                if !result.unreadable.is_empty() {
                    result.outcome = Outcome::CompleteWithUnreadable;
                }
            }
            _ => self.account(&mut result, error).await?,
        }
        Ok(result)
    }

    /// Says of an import that did not complete what was and was not done.
    async fn account(&mut self, result: &mut TransferResult, error: Option<CopyError>) -> Result<(), CopyError> {
        let blob = self.blob.address();
        result.outcome =
            error.as_ref().map_or(Some(Outcome::Cancelled), CopyError::outcome_once_begun).unwrap_or(Outcome::Failed);
        result.error = error.map(|error| match self.completion.note(&blob) {
            Some(note) => format!("{error}; {note}"),
            None => error.to_string(),
        });
        result.manifest = Some(self.journal_path.display().to_string());
        if let Some(rescue) = self.rescue.as_ref().filter(|_| result.unreadable.is_empty()) {
            result.unreadable = rescue.bad_ranges().as_slice().to_vec();
        }
        result.receipt = Some(match self.upload.clone().filter(|_| self.completion == Completion::Unfinished) {
            Some(upload) => self.reconciled_receipt(&*upload).await?,
            None => {
                let receipt = finish::receipt(&self.table, &self.link, &self.options)?;
                Receipt { residue: self.completion.residue(&blob), ..receipt }
            }
        });
        Ok(())
    }

    /// The receipt, after the store was asked whether it holds what landed; and a note in the journal of what the target
    /// is now, so that the next run sees whether anything wrote to it meanwhile.
    async fn reconciled_receipt(&mut self, upload: &dyn Upload) -> Result<Receipt, CopyError> {
        let grace = if self.link.stop.is_aborting() { ABORT_GRACE } else { INQUIRY_TIMEOUT };
        let held = timeout(grace, upload.held()).await.ok().and_then(Result::ok);
        if let Some(BlocksHeld::Blocks(blocks)) = &held {
            self.with_not_held(|digest| blocks.contains_key(&digest), ChunkTable::set_unknown)?;
        }
        let receipt = finish::receipt(&self.table, &self.link, &self.options)?;
        let receipt = match held {
            // It is empty, though chunks had landed: something removed it.
            Some(BlocksHeld::Nothing) if receipt.landed_bytes() > 0 => receipt.doubted(),
            Some(_) => receipt,
            None if upload.uncommitted().is_some_and(|view| view.local().is_some()) => receipt.doubted(),
            None => receipt,
        };
        if let (Ok(Ok(Some(state))), Some(journal)) = (timeout(grace, upload.state()).await, self.journal.as_mut()) {
            journal.note_left(state)?;
        }
        let residue = timeout(grace, upload.residue(receipt.landed_bytes())).await.ok().flatten();
        Ok(Receipt { residue: residue.map(|residue| self.with_scratch(residue)), ..receipt })
    }

    fn with_scratch(&self, mut residue: Residue) -> Residue {
        if let Some(scratch) = self.rescue.as_ref().and_then(|rescue| rescue.scratch_path()) {
            residue.description += &format!(", and what was rescued of unfinished chunks in `{}`", scratch.display());
        }
        residue
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

    /// The steps after the last chunk, each repeatable. Gives the root.
    async fn complete(&mut self, evidence: &mut Evidence) -> Result<Sha256Digest, CopyError> {
        self.link.counters.set_phase(Phase::Committing);
        if !self.table.with(|table| Ok(table.is_complete()))? {
            return Err(CopyError::Internal("the pipeline"));
        }
        if matches!(self.completion, Completion::Unfinished) {
            self.note_source()?;
        }
        let content_named = self.upload.as_ref().is_some_and(|upload| upload.capabilities().content_named);
        let (root, list) = finish::root(&self.table, &self.zeros, content_named)?;
        let mut is_read_back = false;
        if let Some(upload) = self.upload.clone() {
            // Before anything looks complete, where the store allows it.
            if let Some(view) = upload.uncommitted() {
                is_read_back = self.prove(view).await?;
            }
            self.commit(&*upload, &root, &list).await?;
        }
        drop(list);
        if !is_read_back {
            is_read_back = self.prove(self.blob.clone()).await?;
        }
        *evidence = self.evidence(*evidence, is_read_back)?;
        self.store_manifest(Proof { root, stream_sha256: self.stream_sha256, evidence: *evidence }).await?;
        Ok(root)
    }

    fn note_source(&mut self) -> Result<(), CopyError> {
        if self.drive.was_modified()? {
            self.trust.source_changed = true;
            self.link.warn(format!("`{}` was written to while it was read: the blob may hold a mixture", self.identity.path));
        }
        Ok(())
    }

    /// The grade of the weakest chunk.
    fn evidence(&self, of_chunks: Evidence, is_read_back: bool) -> Result<Evidence, CopyError> {
        // An image of the drive was compared with it at a few places only.
        let has_image = self.table.with(|table| Ok(!table.image_ranges().is_empty()))?;
        let is_sampled = self.trust.target_is_sampled && !is_read_back || self.trust.source_is_sampled || has_image;
        Ok(match is_sampled {
            true => Evidence::Sampled,
            false if is_read_back => Evidence::ReadBack,
            false => of_chunks,
        })
    }

    /// Reads the blob again where that was asked for, is needed to believe it, or to hash the whole: its chunks did not all
    /// pass in their order. Tells whether it was compared.
    async fn prove(&mut self, view: Arc<dyn Blob>) -> Result<bool, CopyError> {
        let is_doubtful = self.trust.committed_is_doubtful && self.upload.is_none() && !self.is_proved_by_names(&*view).await?;
        let wants_stream = self.options.stream_sha256 && self.stream_sha256.is_none();
        let is_compared = self.options.verify == Verify::ReadBack || is_doubtful || wants_stream;
        if is_compared {
            self.read_back(&view, wants_stream).await?;
        }
        match self.link.stop.is_stopping() {
            true => Err(CopyError::Cancelled),
            false => Ok(is_compared),
        }
    }

    /// Whether the blob is put together from exactly the chunks that were read, as the store names them.
    async fn is_proved_by_names(&self, view: &dyn Blob) -> Result<bool, CopyError> {
        let Some(named) = self.attempts.run("look at", 0, || view.named_chunks()).await?.0 else { return Ok(false) };
        let (_, list) = finish::root(&self.table, &self.zeros, true)?;
        Ok(named.iter().eq(list.iter().map(|(digest, _)| digest)))
    }

    async fn commit(
        &mut self,
        upload: &dyn Upload,
        root: &Sha256Digest,
        list: &[(Sha256Digest, ByteRange)],
    ) -> Result<(), CopyError> {
        let source_changed = self.trust.source_changed;
        let target = self.attempts.run("sync", 0, || upload.content_mark()).await?.0;
        self.journal_mut()?.note_commit(CommitNote { target, source_changed })?;
        let unreadable: Vec<ByteRange> = self.table.with(|table| Ok(table.unreadable().collect()))?;
        let facts = CommitFacts { root, unreadable: &unreadable };
        let (version, _) = self.attempts.run("commit", 0, || upload.commit(list, &facts)).await?;
        self.completion = Completion::Committed { version: version.clone() };
        self.journal_mut()?.note_committed(version)
    }

    /// Stores the manifest: first where the user wants a copy, then beside the blob; then the journal can go.
    async fn store_manifest(&mut self, proof: Proof) -> Result<(), CopyError> {
        if let Completion::Committed { version } = &self.completion {
            self.header.blob_version = Some(version.clone());
        }
        let file = Arc::new(finish::manifest_file(&self.options, &self.header, &self.table, &proof)?);
        crash::point("manifest-written");
        let beside = self.blob.sibling(MANIFEST_SUFFIX);
        if let Some(path) = &self.options.manifest {
            finish::copy_manifest(&file, path, &self.header.transfer_id)?;
        }
        self.store_beside(&beside, file).await?;
        crash::point("manifest-stored");
        let manifest = self.options.manifest.as_ref().map_or_else(|| beside.address(), |path| path.display().to_string());
        self.completion = Completion::ManifestStored { manifest: manifest.clone() };
        if let Some(journal) = self.journal.take().filter(|_| !self.options.keep_journal) {
            journal.remove()?;
        }
        self.completion = Completion::Done { manifest };
        Ok(())
    }

    /// Stores the manifest where nothing else came since the blob was seen to be there: two imports that replace each
    /// other leave the blob and the manifest of one of them.
    async fn store_beside(&mut self, beside: &Arc<dyn Blob>, file: Arc<File>) -> Result<(), CopyError> {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let mut looks = 1;
        loop {
            let found = self.attempts.run("look at", 0, || beside.head()).await?.0;
            self.require_still_there().await?;
            let replaces = match found.filter(|_| self.options.overwrite) {
                Some(facts) => Replaces::Version(facts.version),
                None => Replaces::Nothing,
            };
            crash::point("manifest-allowed");
            let transfer_id = &self.header.transfer_id;
            let stored = self.attempts.run("write", length, || beside.put_file(file.clone(), transfer_id, &replaces)).await;
            match stored.map_err(CopyError::from) {
                Ok(_) => return Ok(()),
                Err(CopyError::Store(error) | CopyError::StoreGaveUp { error, .. })
                    if error.kind == BlobErrorKind::AlreadyExists =>
                {
                    // An earlier run, or an earlier try, stored it.
                    if self.is_stored(beside).await? {
                        return Ok(());
                    }
                    if !self.options.overwrite || looks == LOOKS_MAX {
                        return Err(error.into());
                    }
                    looks += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Another import with `--overwrite` may have replaced the blob since it was committed.
    async fn require_still_there(&mut self) -> Result<(), CopyError> {
        let Completion::Committed { version } = &self.completion else { return Ok(()) };
        if version.is_empty() {
            // A store that has no versions.
            return Ok(());
        }
        let facts = self.attempts.run("look at", 0, || self.blob.head()).await?.0;
        let is_it = facts.as_ref().map(|facts| match &facts.content_mark {
            Some(mark) => version.starts_with(mark.as_str()),
            None => facts.version == *version,
        });
        let message = match is_it {
            Some(true) => return Ok(()),
            Some(false) => "another program replaced or changed it right after it was committed: look at what it holds now",
            None => "another program removed it right after it was committed: repeat the command to import it again",
        };
        self.completion = if is_it.is_some() { Completion::Differs } else { Completion::Removed };
        self.forget()?;
        self.doubt(&[ByteRange::new(0, self.header.total_bytes)])?;
        Err(BlobError::new(BlobErrorKind::Changed, "finish", self.blob.address(), message).into())
    }

    /// Nothing that was recorded may be believed again.
    fn forget(&mut self) -> Result<(), CopyError> {
        self.journal.take().map_or(Ok(()), Journal::remove)
    }

    /// What the blob holds in these ranges is unknown.
    fn doubt(&self, ranges: &[ByteRange]) -> Result<(), CopyError> {
        let size = self.header.chunk_size_bytes;
        self.table.with(|table| {
            for range in ranges.iter().filter(|range| range.length > 0) {
                for index in range.offset / size..range.end().div_ceil(size) {
                    table.set_unknown(ChunkIndex(index))?;
                }
            }
            Ok(())
        })
    }

    /// Whether the manifest that lies beside the blob is this transfer's.
    async fn is_stored(&self, beside: &Arc<dyn Blob>) -> Result<bool, CopyError> {
        let Some(facts) = self.attempts.run("look at", 0, || beside.head()).await?.0 else { return Ok(false) };
        let found = header_of_manifest(&**beside, &facts, &self.options, &self.attempts).await?;
        Ok(found.is_some_and(|found| found.transfer_id == self.header.transfer_id))
    }

    /// What was compared must be what is there when the comparison ends: another program may have written to it behind.
    async fn require_unchanged(&self, view: &Arc<dyn Blob>, version: &str) -> Result<(), CopyError> {
        let facts = self.attempts.run("look at", 0, || view.head()).await?.0;
        match facts.is_some_and(|facts| facts.version == version) {
            true => Ok(()),
            false => Err(CopyError::Mismatch(format!(
                "another program changed `{}` while it was read again: repeat the command",
                view.address()
            ))),
        }
    }

    /// Reads the whole blob again and compares it with what was read from the drive.
    async fn read_back(&mut self, view: &Arc<dyn Blob>, wants_stream: bool) -> Result<(), CopyError> {
        let facts = self.attempts.run("look at", 0, || view.head()).await?.0;
        let version = facts.map(|facts| facts.version).unwrap_or_default();
        let side = Side::Blob { blob: view.clone(), version: version.clone() };
        let expected = Expected { table: &self.table, fill: self.header.unreadable_fill, scope: Scope::All, wants_stream };
        let compared = compare(side, expected, &self.options, &self.attempts, &self.link, self.memory).await?;
        let differences = compared.differences;
        let Some(first) = differences.first() else {
            self.stream_sha256 = compared.stream_sha256.or(self.stream_sha256);
            return self.require_unchanged(view, &version).await;
        };
        let (place, count) = (first.range, differences.len());
        let blob = self.blob.address();
        if self.completion != Completion::Unfinished {
            self.completion = Completion::Differs;
            self.forget()?;
            let ranges: Vec<ByteRange> = differences.iter().map(|difference| difference.range).collect();
            self.doubt(&ranges)?;
            return Err(CopyError::Mismatch(format!(
                "the blob `{blob}` holds other bytes than were sent, at {count} places, the first at {place} (offset+length in bytes): import again with `--restart --overwrite`"
            )));
        }
        let ranges: Vec<ByteRange> = differences.into_iter().map(|difference| difference.range).collect();
        take_back(&self.table, &ranges)?;
        let (header, table) = (self.header.clone(), self.table.clone());
        self.journal_mut()?.rewrite(&header, &table)?;
        Err(CopyError::Mismatch(format!(
            "the unfinished blob `{blob}` holds other bytes than were sent, at {count} places, the first at {place} (offset+length in bytes): nothing was put under its name; repeat the command to send them again"
        )))
    }
}
