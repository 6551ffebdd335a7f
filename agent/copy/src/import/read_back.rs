//! Reading the blob again: where that was asked for, or where it takes that to believe it.

use std::sync::Arc;

use blob::Blob;
use protocol::units::ByteRange;

use crate::call::options::Verify;
use crate::error::CopyError;
use crate::import::completion::Completion;
use crate::import::copied::Completing;
use crate::record::journal::Journal;
use crate::record::manifest;
use crate::transfer::reuse::take_back;
use crate::verify::{Scope, Side};

impl Completing {
    /// Reads the blob again where that was asked for, is needed to believe it, or to hash the whole: its chunks did not all
    /// pass in their order. Returns whether it was compared.
    pub(super) async fn prove(&mut self, journal: &mut Journal, view: Arc<dyn Blob>) -> Result<bool, CopyError> {
        let is_doubtful = self.target.is_doubtful() && !self.is_proved_by_names(&*view).await?;
        let wants_stream = self.context.options.stream_sha256 && self.stream_sha256.is_none();
        let is_compared = self.context.options.verify == Verify::ReadBack || is_doubtful || wants_stream;
        if is_compared {
            self.read_back(journal, &view, wants_stream).await?;
        }
        match self.context.handle.stop.is_stopping() {
            true => Err(CopyError::Cancelled),
            false => Ok(is_compared),
        }
    }

    /// Whether the blob is put together from exactly the chunks that were read, as the store names them.
    async fn is_proved_by_names(&self, view: &dyn Blob) -> Result<bool, CopyError> {
        let Some(named) = self.context.attempts.run("look at", 0, || view.named_chunks()).await?.0 else { return Ok(false) };
        let (_, list) = manifest::root(&self.context.table, &self.context.zeros, true)?;
        Ok(named.chunks.iter().map(|(digest, _)| digest).eq(list.iter().map(|(digest, _)| digest)))
    }

    /// What was compared must be what is there when the comparison ends: another program may have written to it behind.
    async fn require_unchanged(&self, view: &Arc<dyn Blob>, version: &str) -> Result<(), CopyError> {
        let facts = self.context.attempts.run("look at", 0, || view.head()).await?.0;
        match facts.is_some_and(|facts| facts.version == version) {
            true => Ok(()),
            false => Err(CopyError::Mismatch(format!(
                "another program changed `{}` while it was read again: repeat the command",
                view.address()
            ))),
        }
    }

    /// Reads the whole blob again and compares it with what was read from the drive.
    async fn read_back(&mut self, journal: &mut Journal, view: &Arc<dyn Blob>, wants_stream: bool) -> Result<(), CopyError> {
        let facts = self.context.attempts.run("look at", 0, || view.head()).await?.0;
        let version = facts.as_ref().map(|facts| facts.version.clone()).unwrap_or_default();
        let side = Side::blob(view.clone(), facts);
        let compared = self.context.compare(side, Scope::All, wants_stream).await?;
        let differences = compared.differences;
        let Some(first) = differences.first() else {
            self.stream_sha256 = compared.stream_sha256.or(self.stream_sha256);
            return self.require_unchanged(view, &version).await;
        };
        let (place, count) = (first.range, differences.len());
        let blob = self.context.blob.address();
        if self.completion != Completion::Unfinished {
            self.completion = Completion::Differs;
            journal.remove()?;
            let ranges: Vec<ByteRange> = differences.iter().map(|difference| difference.range).collect();
            self.doubt(&ranges)?;
            return Err(CopyError::Mismatch(format!(
                "the blob `{blob}` holds other bytes than were sent, at {count} places, the first at {place} (offset+length in bytes): import again with `--restart --overwrite`"
            )));
        }
        let ranges: Vec<ByteRange> = differences.into_iter().map(|difference| difference.range).collect();
        take_back(&self.context.table, &ranges)?;
        journal.rewrite(&self.context.header, &self.context.table)?;
        Err(CopyError::Mismatch(format!(
            "the unfinished blob `{blob}` holds other bytes than were sent, at {count} places, the first at {place} (offset+length in bytes): nothing was put under its name; repeat the command to send them again"
        )))
    }
}
