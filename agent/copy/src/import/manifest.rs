//! Storing the manifest: first where the user wants a copy, then beside the blob; then the journal can go.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use blob::{Access, Blob, BlobError, BlobErrorKind, BlobFacts, Replaces};
use file::crash;
use file::private::make_folder;
use file::replace::folder_of;
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::units::ByteRange;

use crate::error::{CopyError, state_error};
use crate::import::completion::Completion;
use crate::import::copied::Completing;
use crate::record::journal::Journal;
use crate::record::manifest::{self, Proof};
use crate::record::manifest_place;
use crate::source::manifest::header_of_manifest;
use crate::transfer::look::look_if_permitted;

/// How often the manifest's name is looked at when something else came between the look and the manifest.
const LOOKS_MAX: u32 = 5;

impl Completing {
    /// Stores the manifest: first where the user wants a copy, then beside the blob; then the journal can go.
    pub(super) async fn store_manifest(&mut self, journal: &mut Journal, proof: Proof) -> Result<(), CopyError> {
        if let Completion::Committed { version } = &self.completion {
            self.context.header.blob_version = Some(version.clone());
        }
        let file = Arc::new(manifest::manifest_file(&self.context.options, &self.context.header, &self.context.table, &proof)?);
        crash::point("manifest-written");
        let beside = self.context.blob.sibling(MANIFEST_SUFFIX);
        if let Some(path) = &self.context.options.manifest {
            manifest::copy_manifest(&file, path, &self.context.header.transfer_id)?;
        }
        let kept = match self.store_beside(journal, &beside, file.clone()).await {
            Ok(()) => None,
            Err(error) => Some(self.keep(&file, error)?),
        };
        crash::point("manifest-stored");
        let at_path = kept.as_ref().or(self.context.options.manifest.as_ref()).map(|path| path.display().to_string());
        let manifest = at_path.unwrap_or_else(|| beside.address());
        self.completion = Completion::ManifestStored { manifest: manifest.clone() };
        if !self.context.options.keep_journal {
            journal.remove()?;
        }
        self.completion = Completion::Done { manifest };
        Ok(())
    }

    /// Keeps a manifest here that the store does not take beside its blob: the blob is complete, and repeating the command
    /// would not change that.
    fn keep(&self, file: &File, error: CopyError) -> Result<PathBuf, CopyError> {
        use BlobErrorKind::{NotPermitted, Unsupported};
        // What else is denied may be permitted to the command that is repeated: an expired SAS, a firewall.
        let is_final = matches!(error.store_kind(), Some(NotPermitted | Unsupported));
        let path = manifest_place::kept(&self.context.options, &self.context.blob.address()).filter(|_| is_final);
        let Some(path) = path else { return Err(error) };
        if self.context.options.manifest.is_none() {
            let folder = folder_of(&path);
            make_folder(folder).map_err(|source| state_error("create", folder, source))?;
            manifest::copy_manifest(file, &path, &self.context.header.transfer_id)?;
        }
        // What the credentials say themselves was told before the first byte.
        if self.context.blob.sibling(MANIFEST_SUFFIX).require_permitted(Access::Write).is_ok() {
            self.context.handle.warn(format!(
                "the blob is complete, and its manifest is kept as `{}`, since the store does not take it beside the blob: {error}",
                path.display()
            ));
        }
        Ok(path)
    }

    /// Stores the manifest where nothing else came since the blob was seen to be there: two imports that replace each
    /// other leave the blob and the manifest of one of them.
    async fn store_beside(&mut self, journal: &Journal, beside: &Arc<dyn Blob>, file: Arc<File>) -> Result<(), CopyError> {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let mut looks = 1;
        loop {
            let found = look_if_permitted(&**beside, &self.context.attempts).await?;
            let (is_unseen, found) = (found.is_none(), found.flatten());
            self.require_still_there(journal).await?;
            let may_replace = self.context.options.overwrite || self.is_own_manifest(beside, found.as_ref()).await?;
            let seen = found.map(|facts| facts.version);
            let replaces = match seen.clone().filter(|_| may_replace) {
                // One of an earlier run too: nothing says that it is still what that run stored.
                Some(version) => Replaces::Version(version),
                None if is_unseen && may_replace => Replaces::Anything,
                None => Replaces::Nothing,
            };
            crash::point("manifest-allowed");
            let transfer_id = &self.context.header.transfer_id;
            let stored =
                self.context.attempts.run("write", length, || beside.put_file(file.clone(), transfer_id, &replaces)).await;
            match stored.map_err(CopyError::from) {
                Ok(_) => return Ok(()),
                Err(CopyError::Store(error) | CopyError::StoreGaveUp { error, .. })
                    if error.kind == BlobErrorKind::AlreadyExists =>
                {
                    if is_unseen {
                        return Err(BlobError { kind: BlobErrorKind::NotPermitted, ..error }.into());
                    }
                    // An earlier try of this request stored it, and its answer was lost.
                    let now = self.context.attempts.run("look at", 0, || beside.head()).await?.0;
                    let is_new = now.as_ref().is_some_and(|facts| seen.as_ref() != Some(&facts.version));
                    if is_new && self.is_own_manifest(beside, now.as_ref()).await? {
                        return Ok(());
                    }
                    if !self.context.options.overwrite || looks == LOOKS_MAX {
                        return Err(error.into());
                    }
                    looks += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Another import with `--overwrite` may have replaced the blob since it was committed.
    async fn require_still_there(&mut self, journal: &Journal) -> Result<(), CopyError> {
        let Completion::Committed { version } = &self.completion else { return Ok(()) };
        if version.is_empty() {
            // A store that has no versions.
            return Ok(());
        }
        let Some(facts) = look_if_permitted(&*self.context.blob, &self.context.attempts).await? else { return Ok(()) };
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
        journal.remove()?;
        self.doubt(&[ByteRange::new(0, self.context.header.total_bytes)])?;
        Err(BlobError::new(BlobErrorKind::Changed, "finish", self.context.blob.address(), message).into())
    }

    /// Whether the manifest that was found beside the blob is this transfer's.
    async fn is_own_manifest(&self, beside: &Arc<dyn Blob>, found: Option<&BlobFacts>) -> Result<bool, CopyError> {
        let Some(facts) = found else { return Ok(false) };
        let header = header_of_manifest(&**beside, facts, &self.context.options, &self.context.attempts).await?;
        Ok(header.is_some_and(|header| header.transfer_id == self.context.header.transfer_id))
    }
}
