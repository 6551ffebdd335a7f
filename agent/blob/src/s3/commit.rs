//! From parts to the object: zeros are copied at the store, segments become objects, and the final object appears at once.
//!
//! Each step looks at what is there already, so that a commit that failed half-way is repeated and goes on.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use file::crash;

use super::error::{S3Failure, code_of};
use super::leftovers;
use super::multipart::OpenUpload;
use super::requests::Condition;
use super::upload::S3Upload;
use crate::contract::{Blob, RecordedChunks};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::BlobFacts;

impl S3Upload {
    /// Makes the object appear; gives its version.
    pub(super) async fn publish(&self, records: &dyn RecordedChunks) -> Result<String, BlobError> {
        if let Some(version) = self.published().await? {
            return Ok(version);
        }
        let sent = match self.request.total_bytes {
            0 => self.put_empty().await,
            _ => self.put_together(records).await,
        };
        crash::point("target-published");
        let version = self.judge(sent).await?;
        self.clean().await?;
        Ok(version)
    }

    /// The version of the object, where an earlier try made it and its answer was lost.
    async fn published(&self) -> Result<Option<String>, BlobError> {
        if self.is_unseen || !self.was_sent.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Some(found) = self.blob.look().await?.filter(|facts| self.is_ours(facts)) else { return Ok(None) };
        self.require_length(&found)?;
        self.clean().await?;
        Ok(Some(found.version))
    }

    /// Whether what is there is of this transfer, and was not there before.
    fn is_ours(&self, facts: &BlobFacts) -> bool {
        let is_new = !self.replaces_own || Some(&facts.version) != self.replaced_version.as_ref();
        facts.transfer_id.as_ref() == Some(&self.request.transfer_id) && is_new
    }

    fn require_length(&self, facts: &BlobFacts) -> Result<(), BlobError> {
        let (found, wanted) = (facts.size_bytes, self.request.total_bytes);
        if found == wanted {
            return Ok(());
        }
        let message = format!(
            "the store holds {found} bytes of it after the commit, and not the {wanted} that were sent: repeat the command with `--restart --overwrite`"
        );
        Err(BlobError::new(BlobErrorKind::Other, "commit", self.blob.address(), message))
    }

    /// What the final object may replace.
    fn condition(&self) -> Condition {
        match &self.replaced_version {
            Some(version) => Condition::Version(version.clone()),
            None if self.is_unseen && self.request.overwrite => Condition::Anything,
            None => Condition::Nothing,
        }
    }

    pub(super) fn failed(&self, failure: S3Failure) -> BlobError {
        self.blob.error("commit", failure)
    }

    /// A drive without bytes has no part.
    async fn put_empty(&self) -> Result<Option<String>, BlobError> {
        self.require_replaceable().await?;
        self.was_sent.store(true, Ordering::Relaxed);
        let headers = self.blob.described(&self.request.transfer_id, 0);
        let put = self.blob.bucket.put(self.blob.key(), Default::default(), headers, &self.condition()).await;
        put.map(Some).map_err(|failure| self.failed(failure))
    }

    async fn put_together(&self, records: &dyn RecordedChunks) -> Result<Option<String>, BlobError> {
        let (upload, parts) = match self.layout.is_direct() {
            true => {
                let upload = self.begin_final().await?;
                let chunks = self.chunks_of(0, records)?;
                // What this process put there is kept between tries.
                let piece = self.piece(0);
                let mut state = piece.state.lock().await;
                let parts = self.fill(&upload, &piece.key, &mut state, &chunks).await?;
                (upload, parts)
            }
            false => {
                self.finish_segments(records).await?;
                let upload = self.begin_final().await?;
                let parts = self.assemble(&upload).await?;
                (upload, parts)
            }
        };
        crash::point("target-assembled");
        self.require_replaceable().await?;
        self.was_sent.store(true, Ordering::Relaxed);
        let sent = upload.complete(&parts, &self.condition()).await;
        sent.map_err(|failure| self.failed(failure))
    }

    /// Not every server looks at the condition of a commit.
    async fn require_replaceable(&self) -> Result<(), BlobError> {
        if self.is_unseen {
            return Ok(());
        }
        match self.blob.look().await?.map(|facts| facts.version) == self.replaced_version {
            true => Ok(()),
            false => Err(self.lost_its_place()),
        }
    }

    fn lost_its_place(&self) -> BlobError {
        let message = "another program made, replaced or deleted it meanwhile: look at what is there, and choose another name, or repeat the command with `--overwrite`";
        BlobError::new(BlobErrorKind::AlreadyExists, "commit", self.blob.address(), message)
    }

    /// What a commit came to, with the store's own word for it.
    async fn judge(&self, sent: Result<Option<String>, BlobError>) -> Result<String, BlobError> {
        if let (true, Ok(version)) = (self.is_unseen, &sent) {
            return Ok(version.clone().unwrap_or_default());
        }
        let found = match &sent {
            Err(error) if error.is_transient() => return sent.map(Option::unwrap_or_default),
            _ => self.blob.look().await,
        };
        match (sent, found) {
            // The one thing that makes this fail for good and still be done is our own earlier try, whose answer was lost.
            (sent, Ok(Some(found)))
                if self.is_ours(&found) || sent.is_ok() && found.transfer_id.as_ref() == Some(&self.request.transfer_id) =>
            {
                self.require_length(&found)?;
                *self.of_final.lock().await = None;
                Ok(found.version)
            }
            (Ok(_), Err(error)) => Err(error),
            (Ok(_), Ok(_)) => {
                let message = "it was committed, and another program replaced or deleted it right after";
                Err(BlobError::new(BlobErrorKind::Changed, "commit", self.blob.address(), message))
            }
            (Err(error), found) => Err(self.judge_failure(error, found.ok().flatten()).await),
        }
    }

    /// What a failed commit means, with what is there instead.
    async fn judge_failure(&self, error: BlobError, found: Option<BlobFacts>) -> BlobError {
        let is_taken = found.map(|facts| facts.version) != self.replaced_version;
        match (code_of(&error), is_taken) {
            ("PreconditionFailed" | "ConditionalRequestConflict" | "NoSuchUpload", true) => self.lost_its_place(),
            // The other request came to nothing. Segments are there, and are put together again; parts of the object itself
            // may be of use still.
            ("ConditionalRequestConflict", false) if self.layout.is_direct() => {
                let upload = self.of_final.lock().await.clone();
                let is_open = match &upload {
                    Some(upload) => self.is_open(upload).await,
                    None => Ok(false),
                };
                match is_open {
                    Ok(true) => BlobError { kind: BlobErrorKind::ServerFault, ..error },
                    Ok(false) => self.gone(self.layout.chunks_of(0).count()),
                    Err(error) => error,
                }
            }
            ("ConditionalRequestConflict" | "NoSuchUpload", false) if !self.layout.is_direct() => {
                let spent = self.of_final.lock().await.take();
                self.assembled.lock().await.clear();
                if let Some(upload) = spent
                    && let Err(failure) = upload.abort().await
                {
                    return self.failed(failure);
                }
                BlobError { kind: BlobErrorKind::ServerFault, ..error }
            }
            _ if error.kind == BlobErrorKind::Changed => BlobError { kind: BlobErrorKind::AlreadyExists, ..error },
            _ => error,
        }
    }

    pub(super) async fn is_open(&self, upload: &OpenUpload) -> Result<bool, BlobError> {
        Ok(upload.all_parts().await.map_err(|failure| self.failed(failure))?.is_some())
    }

    /// Removes what was put beside the object while it was sent. Where that is not permitted it stays, and is reported.
    async fn clean(&self) -> Result<(), BlobError> {
        match leftovers::clean(&self.blob, &self.request.transfer_id).await {
            Err(error) if matches!(error.kind, BlobErrorKind::NotPermitted | BlobErrorKind::Refused) => {
                let message = format!("the object is complete, and what was put beside it while it was sent stays: {error}");
                self.told.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                Ok(())
            }
            other => other,
        }
    }
}
