//! The end of an export: zeros behind the blob, read-back, the drive's name; or the receipt.

use std::path::{Path, PathBuf};

use blob::StatedChecksum;
use drive::{DriveError, TargetContent};
use protocol::digest::Sha256Digest;
use protocol::identity::{DriveIdentity, DriveKind};
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::receipt::{Receipt, Residue};
use protocol::result::{Difference, DifferenceReason, Evidence, TransferResult};
use protocol::units::ByteRange;

use crate::call::options::Verify;
use crate::error::CopyError;
use crate::export::copied::{Completing, Copied};
use crate::export::resume::state_of;
use crate::flow::drive_call::with_drive;
use crate::limits::{CLEAR_PIECE_BYTES, DRIVE_SYNC_TIMEOUT};
use crate::record::journal::Journal;
use crate::record::manifest::{self, Proof};
use crate::verify::{Scope, Side};

impl Copied {
    /// Clears what lies behind the blob, verifies, finishes the drive; or accounts for what was and was
    /// not done.
    pub(super) async fn finish(self) -> Result<TransferResult, CopyError> {
        let Copied { mut completing, mut journal } = self;
        completing.finish(journal.as_mut()).await
    }
}

impl Completing {
    async fn finish(&mut self, mut journal: Option<&mut Journal>) -> Result<TransferResult, CopyError> {
        let mut evidence = match self.origin.expected().is_some() || self.all_checked {
            true => Evidence::Transport,
            false => Evidence::Read,
        };
        let completed = match self.context.to_complete(journal.as_deref_mut()) {
            Some(journal) => self.complete(journal, &mut evidence).await,
            None => Ok(None),
        };
        let done = self.context.completed_or_failure(completed);
        let (mut result, error) = self.context.end()?;
        result.evidence = evidence;
        result.checked_against_manifest = Some(self.origin.manifest.is_some());
        result.bytes_cleared = self.bytes_cleared;
        result.error = error.as_ref().map(ToString::to_string);
        match done {
            Some((root, manifest)) if error.is_none() => {
                result.root_sha256 = Some(root);
                result.stream_sha256 = self.stream_sha256;
                result.manifest = manifest;
                result.unreadable = self.origin.filled()?;
                if !result.unreadable.is_empty() {
                    self.context
                        .handle
                        .warn("the import could not read parts of the drive: these ranges are filling, and no data".to_owned());
                    result.outcome = Outcome::CompleteWithUnreadable;
                }
            }
            _ => {
                self.context.set_incomplete(&mut result, error.as_ref());
                if let Some(error) = result.error.as_mut().filter(|_| self.is_published) {
                    *error +=
                        &format!("; the drive `{}` is complete: repeat the command for the rest", self.context.identity.path);
                }
                result.receipt = Some(self.reconciled_receipt(journal).await?);
            }
        }
        Ok(result)
    }

    /// The receipt, and a note in the journal of what the target is now, so that the next run sees whether anything wrote
    /// to it meanwhile.
    async fn reconciled_receipt(&self, journal: Option<&mut Journal>) -> Result<Receipt, CopyError> {
        let receipt = self.context.receipt()?;
        if self.is_published {
            return Ok(receipt);
        }
        // After an abort, or where it failed, the drive may not answer.
        let receipt = match tokio::time::timeout(self.context.grace(), state_of(&self.context.drive, &self.context.handle)).await
        {
            Ok(Ok(Some(state))) => {
                if let Some(journal) = journal.filter(|journal| journal.is_kept()) {
                    journal.note_left(state)?;
                }
                receipt
            }
            Ok(Err(error)) if self.context.identity.kind == DriveKind::Image => {
                tracing::debug!(%error, "the image cannot be looked at");
                receipt.doubted()
            }
            _ => receipt,
        };
        let landed = receipt.landed_bytes();
        Ok(Receipt { residue: residue(&self.context.identity, &self.context.header.transfer_id, landed), ..receipt })
    }

    /// The steps after the last chunk, each repeatable. `None` when a stop came first.
    async fn complete(
        &mut self,
        journal: &mut Journal,
        evidence: &mut Evidence,
    ) -> Result<Option<(Sha256Digest, Option<String>)>, CopyError> {
        self.context.handle.counters.set_phase(Phase::Committing);
        self.context.table.require_complete()?;
        if !self.clear_behind().await? {
            return Ok(None);
        }
        self.context.handle.counters.set_phase(Phase::Committing);
        let (root, _) = manifest::root(&self.context.table, &self.context.zeros, false)?;
        if self.origin.manifest.as_ref().is_some_and(|manifest| manifest.root != root) {
            journal.remove()?;
            return Err(CopyError::Mismatch(format!(
                "what is on the drive `{}` is not what the blob's manifest states: start over with `--restart`",
                self.context.identity.path
            )));
        }
        if let (Some(stated), Some(found)) = (self.origin.stated, self.stream_checksum)
            && stated != found
        {
            journal.remove()?;
            let way_out = match stated {
                StatedChecksum::Md5(_) => {
                    "; a blob of Azure is exported all the same after `az storage blob update --content-md5 \"\"`"
                }
                _ => "",
            };
            return Err(CopyError::Mismatch(format!(
                "what came from `{}` has another {} than the blob states: it was damaged on its way, at the store or before: start over with `--restart`, or look for another copy{way_out}",
                self.context.blob.address(),
                stated.name()
            )));
        }
        with_drive(&self.context.drive, DRIVE_SYNC_TIMEOUT, &self.context.handle, |drive| drive.sync()).await?;
        let wants_stream = self.context.options.stream_sha256 && self.stream_sha256.is_none();
        let is_read_back = self.context.options.verify == Verify::ReadBack || wants_stream;
        if is_read_back {
            self.read_back(journal, wants_stream).await?;
        }
        if self.context.handle.stop.is_stopping() {
            return Ok(None);
        }
        *evidence = match (is_read_back, self.target_is_sampled) {
            (true, _) => Evidence::ReadBack,
            (false, true) => Evidence::Sampled,
            (false, false) => *evidence,
        };
        // Only now the drive has the name, and looks like what it is.
        with_drive(&self.context.drive, DRIVE_SYNC_TIMEOUT, &self.context.handle, |drive| drive.finish()).await?;
        self.is_published = true;
        self.remove_left();
        if let Some(path) = &self.context.options.manifest {
            let proof = Proof { root, stream_sha256: self.stream_sha256, evidence: *evidence };
            let file = manifest::manifest_file(&self.context.options, &self.context.header, &self.context.table, &proof)?;
            manifest::copy_manifest(&file, path, &self.context.header.transfer_id)?;
        }
        if !self.context.options.keep_journal {
            journal.remove()?;
        }
        let written = self.context.options.manifest.as_ref().map(|path| path.display().to_string());
        let beside = self.origin.manifest.as_ref().map(|_| self.context.blob.sibling(MANIFEST_SUFFIX).address());
        Ok(Some((root, written.or(beside))))
    }

    /// An image of that name came to exist while this transfer wrote to a file of its own, and was finished instead: that
    /// file is not needed any more.
    fn remove_left(&self) {
        let path = Path::new(&self.context.identity.path);
        let is_image = self.context.identity.kind == DriveKind::Image;
        if let Some(Err(error)) = is_image.then(|| file::partial::remove(path, &self.context.header.transfer_id)) {
            self.context.handle.warn(format!("the unfinished image beside `{}` stays: {error}", path.display()));
        }
    }

    /// Makes the drive behind the blob's end zero: no byte of its last owner stays. False when a stop
    /// came first.
    async fn clear_behind(&mut self) -> Result<bool, CopyError> {
        let size = self.context.drive.size_bytes();
        let start = self.context.header.total_bytes.next_multiple_of(self.context.drive.sector_size_bytes()).min(size);
        if self.context.drive.target_content() == TargetContent::KnownZero {
            return Ok(true);
        }
        self.context.handle.counters.begin_part(Phase::Clearing, size - start);
        let mut offset = start;
        while offset < size {
            if self.context.handle.stop.is_stopping() {
                return Ok(false);
            }
            // Every piece but the first is aligned to the largest blocks that drives erase at once.
            let end = (offset / CLEAR_PIECE_BYTES + 1) * CLEAR_PIECE_BYTES;
            let range = ByteRange::new(offset, end.min(size) - offset);
            with_drive(&self.context.drive, self.context.options.read_timeout, &self.context.handle, move |drive| {
                drive.zero_range(range)
            })
            .await?;
            offset = range.end();
            self.bytes_cleared = offset - start;
            self.context.handle.counters.add_to_part(range.length);
        }
        Ok(true)
    }

    /// Reads the whole drive again and compares it with what came from the blob.
    async fn read_back(&mut self, journal: &Journal, wants_stream: bool) -> Result<(), CopyError> {
        let side = Side::Drive(self.context.drive.clone());
        // What was written is what is compared: this drive has no unreadable places to leave out.
        let compared = self.context.compare(side, Scope::All, wants_stream).await?;
        self.stream_sha256 = compared.stream_sha256.or(self.stream_sha256);
        let differences = compared.differences;
        let is_other = |difference: &&Difference| difference.reason != DifferenceReason::Unreadable;
        let Some(first) = differences.iter().find(is_other) else {
            // A drive that cannot be read says nothing about what it holds.
            let unreadable = differences.first().map(|first| DriveError::Unreadable {
                path: PathBuf::from(&self.context.identity.path),
                range: first.range,
                source: std::io::ErrorKind::Other.into(),
            });
            return unreadable.map_or(Ok(()), |error| Err(error.into()));
        };
        journal.remove()?;
        Err(CopyError::Mismatch(format!(
            "the drive `{}` holds other bytes than were written to it, at {} places, the first at {} (offset+length in bytes): do not use this drive",
            self.context.identity.path,
            differences.len(),
            first.range
        )))
    }
}

/// What an unfinished export leaves: an image under a name of its own, or what was written in place.
fn residue(identity: &DriveIdentity, transfer_id: &str, landed: u64) -> Option<Residue> {
    let unfinished = file::partial::path_of(Path::new(&identity.path), transfer_id).ok().filter(|path| path.exists());
    let path = unfinished.map(|path| path.display().to_string());
    let description = match &path {
        Some(path) => format!("the file `{path}`, kept for a resume"),
        None => format!("what was written to `{}`, kept for a resume", identity.path),
    };
    (landed > 0 || path.is_some()).then_some(Residue { description, path, bytes: landed, lives_days: None })
}
