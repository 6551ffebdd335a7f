//! The upload begins, and what an earlier run left is looked at before any of it is believed.

use std::collections::VecDeque;
use std::sync::Arc;

use blob::{BlobErrorKind, BlocksHeld, Upload, UploadRequest};
use protocol::digest::Sha256Digest;
use protocol::manifest::ChunkContent;
use protocol::units::ChunkIndex;

use super::Import;
use crate::error::CopyError;
use crate::journal::Journal;
use crate::reuse::{Look, Resumed, look, take_back};
use crate::table::ChunkTable;
use crate::verify::Side;

impl Import {
    /// Begins or resumes the upload, and takes back what the journal says and the store does not hold. `left` named the
    /// state of the target when the last run stopped.
    pub(super) async fn begin(
        &mut self,
        resume: bool,
        left: Option<String>,
        latest: &VecDeque<ChunkIndex>,
    ) -> Result<(), CopyError> {
        let held = self.begin_upload(resume).await?;
        let landed_before = self.landed()?;
        match held {
            BlocksHeld::Recorded { state } => {
                self.resumed = true;
                self.look_at_recorded(left, state, latest).await?;
            }
            BlocksHeld::Nothing => self.with_not_held(|_| false, ChunkTable::clear)?,
            BlocksHeld::Blocks(blocks) if self.options.restart => drop(blocks),
            BlocksHeld::Blocks(blocks) => {
                self.with_not_held(|digest| blocks.contains_key(&digest), ChunkTable::clear)?;
                self.held = blocks.into_keys().collect();
            }
        }
        let lost = landed_before - self.landed()?;
        if lost > 0 {
            self.link.warn(format!("the store does not hold {lost} of the chunks that had landed: they are sent again"));
        }
        let had_unreadable = self.with_recorded && self.table.with(|table| Ok(table.unreadable().next().is_some()))?;
        if had_unreadable {
            // What could not be read then may have healed: it is moved again, not compared.
            self.table.with(ChunkTable::clear_unreadable)?;
        }
        if lost > 0 || had_unreadable {
            // What is about to be written over must not be believed after a crash.
            let (header, table) = (self.header.clone(), self.table.clone());
            self.journal_mut()?.rewrite(&header, &table)?;
        }
        Ok(())
    }

    fn landed(&self) -> Result<u64, CopyError> {
        self.table.with(|table| Ok(table.landed()))
    }

    async fn begin_upload(&mut self, resume: bool) -> Result<BlocksHeld, CopyError> {
        let request = UploadRequest {
            transfer_id: self.header.transfer_id.clone(),
            total_bytes: self.header.total_bytes,
            overwrite: self.options.overwrite,
            resume,
            replaces: self.header.replaces.clone(),
        };
        if !resume {
            // Before the store is touched: an older journal must not speak of a new upload.
            let header = self.header.clone();
            self.journal_mut()?.begin(&header)?;
        }
        let (upload, held) = match self.begin_once(&request).await {
            Err(CopyError::Store(error)) if resume && error.kind == BlobErrorKind::NotFound => {
                self.begin_once(&UploadRequest { resume: false, ..request }).await?
            }
            other => other?,
        };
        self.upload = Some(upload);
        Ok(held)
    }

    async fn begin_once(&self, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), CopyError> {
        let begun = self.attempts.for_first_contact().run("begin", 0, || self.blob.begin_upload(request)).await;
        Ok(begun.map_err(CopyError::from)?.0)
    }

    pub(super) fn journal_mut(&mut self) -> Result<&mut Journal, CopyError> {
        self.journal.as_mut().ok_or(CopyError::Internal("the journal"))
    }

    /// Looks at what an earlier run left, as closely as it takes to believe it.
    async fn look_at_recorded(
        &mut self,
        left: Option<String>,
        state: Option<String>,
        latest: &VecDeque<ChunkIndex>,
    ) -> Result<(), CopyError> {
        let view = self.upload.as_ref().and_then(|upload| upload.uncommitted());
        let Some(view) = view.filter(|_| self.table.with(|table| Ok(table.landed() > 0)).unwrap_or(true)) else {
            return Ok(());
        };
        let look = look(left.as_ref(), state.as_ref(), view.local().is_some());
        if look == Look::NotNeeded {
            return Ok(());
        }
        let version = self.attempts.run("look at", 0, || view.head()).await?.0.map(|facts| facts.version).unwrap_or_default();
        let resumed = Resumed {
            side: Side::Blob { blob: view, version },
            table: &self.table,
            fill: self.header.unreadable_fill,
            latest,
            options: &self.options,
            attempts: &self.attempts,
            link: &self.link,
            memory: self.memory,
        };
        let lost = resumed.lost(look).await?;
        self.trust.target_is_sampled = look == Look::Sampled && lost.is_empty();
        take_back(&self.table, &lost)?;
        self.link.counters.set_total(self.header.total_bytes);
        Ok(())
    }

    /// Does something with every chunk that landed and is not held.
    pub(super) fn with_not_held(
        &self,
        is_held: impl Fn(Sha256Digest) -> bool,
        work: impl Fn(&mut ChunkTable, ChunkIndex) -> std::io::Result<()>,
    ) -> Result<(), CopyError> {
        let zeros = &self.zeros;
        self.table.with(|table| {
            if table.landed() == 0 {
                return Ok(());
            }
            for (index, range) in table.geometry().chunks() {
                let digest = table.get(index)?.landed.map(|(content, ..)| match content {
                    ChunkContent::Data(digest) => digest,
                    ChunkContent::Zero => zeros.of(range.length),
                });
                if digest.is_some_and(|digest| !is_held(digest)) {
                    work(table, index)?;
                }
            }
            Ok(())
        })
    }
}
