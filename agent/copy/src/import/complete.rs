//! The end of an import: read-back, commit, manifest; or the receipt.

use std::collections::HashSet;

use blob::{BlocksHeld, CommitFacts, LeftBy, Upload};
use protocol::digest::Sha256Digest;
use protocol::manifest::CommitNote;
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::receipt::{Receipt, Residue};
use protocol::result::{Evidence, TransferResult};
use protocol::units::{ByteRange, ChunkIndex};
use tokio::time::timeout;

use crate::error::CopyError;
use crate::import::completion::Completion;
use crate::import::copied::{Completing, Copied};
use crate::record::journal::Journal;
use crate::record::manifest::{self, Proof};
use crate::record::table::ChunkTable;
use crate::rescue::forget_beside;

impl Copied {
    /// Commits, verifies, writes the manifest; or accounts for what was and was not done.
    pub(super) async fn finish(self) -> Result<TransferResult, CopyError> {
        let Copied { mut completing, mut journal } = self;
        completing.finish(journal.as_mut()).await
    }
}

impl Completing {
    async fn finish(&mut self, mut journal: Option<&mut Journal>) -> Result<TransferResult, CopyError> {
        let mut evidence = if self.context.blob.checks_arrival() { Evidence::Transport } else { Evidence::Read };
        let completed = match self.context.to_complete(journal.as_deref_mut()) {
            Some(journal) => self.complete(journal, &mut evidence).await.map(Some),
            None => Ok(None),
        };
        let root = self.context.completed_or_failure(completed);
        let saved = self.save_rescue();
        self.context.failure.check(saved);
        let (mut result, error) = self.context.end()?;
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
            _ => self.account(journal, &mut result, error).await?,
        }
        Ok(result)
    }

    /// Says of an import that did not complete what was and was not done.
    async fn account(
        &mut self,
        journal: Option<&mut Journal>,
        result: &mut TransferResult,
        error: Option<CopyError>,
    ) -> Result<(), CopyError> {
        let blob = self.context.blob.address();
        self.context.set_incomplete(result, error.as_ref());
        result.error = error.map(|error| match self.completion.note(&blob) {
            Some(note) => format!("{error}; {note}"),
            None => error.to_string(),
        });
        if let Some(rescue) = self.rescue.as_ref().filter(|_| result.unreadable.is_empty()) {
            result.unreadable = rescue.bad_ranges().as_slice().to_vec();
        }
        result.receipt = Some(match self.target.upload().cloned().filter(|_| self.completion == Completion::Unfinished) {
            Some(upload) => self.reconciled_receipt(journal, &*upload).await?,
            None => {
                let receipt = self.context.receipt()?;
                Receipt { residue: self.completion.residue(&blob), ..receipt }
            }
        });
        Ok(())
    }

    /// The receipt, after the store was asked whether it holds what landed; and a note in the journal of what the target
    /// is now, so that the next run sees whether anything wrote to it meanwhile.
    async fn reconciled_receipt(&self, journal: Option<&mut Journal>, upload: &dyn Upload) -> Result<Receipt, CopyError> {
        let grace = self.context.grace();
        let held = timeout(grace, upload.held()).await.ok().and_then(Result::ok);
        if let Some(BlocksHeld::Blocks(blocks)) = &held {
            self.context.with_not_held(|digest| blocks.contains_key(&digest), ChunkTable::set_unknown)?;
        }
        if let Ok(Ok(lost)) = timeout(grace, upload.lost(&self.context.table)).await {
            self.doubt(&lost)?;
        }
        let receipt = self.context.receipt()?;
        let receipt = match held {
            // It is empty, though chunks had landed: something removed it.
            Some(BlocksHeld::Nothing) if receipt.landed_bytes() > 0 => receipt.doubted(),
            Some(_) => receipt,
            None if upload.uncommitted().is_some_and(|view| view.local().is_some()) => receipt.doubted(),
            None => receipt,
        };
        if let (Ok(Ok(Some(state))), Some(journal)) = (timeout(grace, upload.state()).await, journal) {
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
        if !self.context.journal_path.exists() {
            // The blob is whole, whatever becomes of its map.
            if let Some(Err(error)) = self.rescue.as_ref().map(|rescue| rescue.save_users(&self.context.table)) {
                self.context.handle.warn(error.to_string());
            }
            return forget_beside(&self.context.journal_path);
        }
        let Some(rescue) = &self.rescue else { return Ok(()) };
        // A read of a chunk; what else may hang says nothing about a place.
        let of_chunk = |range: &ByteRange| range.length <= self.context.header.chunk_size_bytes;
        if let Some(range) = self.context.failure.hanging_range().filter(of_chunk) {
            rescue.note_hang(range, &self.context.table)?;
        }
        rescue.save(&self.context.table)
    }

    /// The steps after the last chunk, each repeatable. Gives the root.
    async fn complete(&mut self, journal: &mut Journal, evidence: &mut Evidence) -> Result<Sha256Digest, CopyError> {
        self.context.handle.counters.set_phase(Phase::Committing);
        self.context.table.require_complete()?;
        if matches!(self.completion, Completion::Unfinished) {
            self.note_source()?;
        }
        let content_named = self.target.upload().is_some_and(|upload| upload.capabilities().content_named);
        let (root, list) = manifest::root(&self.context.table, &self.context.zeros, content_named)?;
        let mut is_read_back = false;
        if let Some(upload) = self.target.upload().cloned() {
            // Before anything looks complete, where the store allows it.
            if let Some(view) = upload.uncommitted() {
                is_read_back = self.prove(journal, view).await?;
            }
            self.commit(journal, &*upload, &root, &list).await?;
        }
        drop(list);
        if !is_read_back {
            is_read_back = self.prove(journal, self.context.blob.clone()).await?;
        }
        *evidence = self.evidence(*evidence, is_read_back)?;
        if self.target.upload().is_none() {
            self.discard_left().await?;
        }
        self.store_manifest(journal, Proof { root, stream_sha256: self.stream_sha256, evidence: *evidence }).await?;
        Ok(root)
    }

    /// Removes what the run that committed the blob had put beside it, and was cut off before it removed it.
    async fn discard_left(&self) -> Result<(), CopyError> {
        let (transfer_id, recorded) = (&*self.context.header.transfer_id, HashSet::new());
        let left = LeftBy { transfer_id, landed_bytes: self.context.header.total_bytes, recorded: &recorded };
        let discard = || self.context.blob.discard(left);
        self.context.attempts.run("remove what is left of", 0, discard).await?;
        Ok(())
    }

    fn note_source(&mut self) -> Result<(), CopyError> {
        if self.context.drive.was_modified()? {
            self.trust.source_changed = true;
            self.context
                .handle
                .warn(format!("`{}` was written to while it was read: the blob may hold a mixture", self.context.identity.path));
        }
        Ok(())
    }

    /// The grade of the weakest chunk.
    fn evidence(&self, of_chunks: Evidence, is_read_back: bool) -> Result<Evidence, CopyError> {
        // An image of the drive was compared with it at a few places only.
        let has_image = self.context.table.with(|table| Ok(!table.image_ranges().is_empty()))?;
        let is_sampled = self.trust.target_is_sampled && !is_read_back || self.trust.source_is_sampled || has_image;
        Ok(match is_sampled {
            true => Evidence::Sampled,
            false if is_read_back => Evidence::ReadBack,
            false => of_chunks,
        })
    }

    async fn commit(
        &mut self,
        journal: &mut Journal,
        upload: &dyn Upload,
        root: &Sha256Digest,
        list: &[(Sha256Digest, ByteRange)],
    ) -> Result<(), CopyError> {
        let source_changed = self.trust.source_changed;
        let target = self.context.attempts.run("sync", 0, || upload.content_mark()).await?.0;
        journal.note_commit(CommitNote { target, source_changed })?;
        self.context.handle.journal_published().await;
        let unreadable: Vec<ByteRange> = self.context.table.with(|table| Ok(table.unreadable().collect()))?;
        let facts = CommitFacts { records: &self.context.table, root, unreadable: &unreadable };
        let (version, _) = self.context.attempts.run("commit", 0, || upload.commit(list, &facts)).await?;
        upload.warnings().into_iter().for_each(|warning| self.context.handle.warn(warning));
        self.completion = Completion::Committed { version: version.clone() };
        journal.note_committed(version)
    }

    /// What the blob holds in these ranges is unknown.
    pub(super) fn doubt(&self, ranges: &[ByteRange]) -> Result<(), CopyError> {
        let size = self.context.header.chunk_size_bytes;
        self.context.table.with(|table| {
            for range in ranges.iter().filter(|range| range.length > 0) {
                for index in range.offset / size..range.end().div_ceil(size) {
                    table.set_unknown(ChunkIndex(index))?;
                }
            }
            Ok(())
        })
    }
}
