//! The blob of an export, and what its manifest says of it.

use std::sync::Arc;

use blob::{Access, Blob, BlobErrorKind, BlobFacts, StatedChecksum};
use drive::Drive;
use protocol::units::{ByteRange, ByteSize, ChunkGeometry};

use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::flow::attempts::Attempts;
use crate::plan::chunk_size;
use crate::record::journal::journals_folder;
use crate::record::table::SharedTable;
use crate::source::manifest::{LoadedManifest, manifest_beside, not_found, require_whole};
use crate::source::named::NamedContent;
use crate::source::vhd::without_footer;

/// Why the manifest beside a blob is not used for a snapshot of it.
const OF_ANOTHER_TIME: &str = "the manifest beside the blob is of another state of it than was asked for";

/// The blob as it was found, and its manifest.
pub(super) struct Origin {
    pub(super) facts: BlobFacts,
    pub(super) manifest: Option<LoadedManifest>,
    /// What the names of its blocks say, where there is no manifest.
    pub(super) named: Option<NamedContent>,
    /// The checksum that everything has to have together: where nothing else is known.
    pub(super) stated: Option<StatedChecksum>,
    /// That the blob is a VHD, where that was found.
    pub(super) vhd: Option<String>,
    /// Why there is no manifest, as a warning.
    pub(super) without_manifest: Option<String>,
}

impl Origin {
    /// Looks at the blob, which must be whole.
    pub(super) async fn new(blob: &Arc<dyn Blob>, options: &TransferOptions, attempts: &Attempts) -> Result<Self, CopyError> {
        blob.require_permitted(Access::Read)?;
        let facts = attempts.for_first_contact().run("look at", 0, || blob.head()).await?.0;
        let facts = facts.ok_or_else(|| not_found(&**blob))?;
        require_whole(&**blob, &facts)?;
        let (facts, vhd) = without_footer(&**blob, facts, options, attempts).await?;
        let folder = journals_folder(&options.state_dir)?;
        let (manifest, reason) = match manifest_beside(blob, &facts, options, attempts, &folder).await {
            // The manifest of the blob as it is now says nothing of what it was, unless it was stored for that very version.
            Ok(Some(manifest)) if blob.is_past() && manifest.header.blob_version.as_ref() != Some(&facts.version) => {
                (None, OF_ANOTHER_TIME.to_owned())
            }
            Err(CopyError::Mismatch(_) | CopyError::Manifest { .. }) if blob.is_past() => (None, OF_ANOTHER_TIME.to_owned()),
            Ok(manifest) => (manifest, "there is no manifest beside the blob".to_owned()),
            // The blob itself was just looked at with the same credentials.
            Err(error) if matches!(error.store_kind(), Some(BlobErrorKind::NotPermitted | BlobErrorKind::Denied)) => {
                (None, format!("the manifest beside the blob may not be read ({error})"))
            }
            Err(error) => return Err(error),
        };
        let named = match manifest {
            Some(_) => None,
            None => NamedContent::of(&**blob, &facts, options, attempts, &folder).await?,
        };
        // Of a VHD it is of the footer too, which is not written.
        let stated = match manifest.is_none() && named.is_none() && vhd.is_none() {
            true => attempts.run("look at", 0, || blob.stated(&facts)).await?.0,
            false => None,
        };
        let checked = match (&named, stated) {
            (Some(_), _) => "what arrives is checked against the SHA-256 in the names of its blocks".to_owned(),
            (None, Some(stated)) => {
                format!("what arrives is checked against the {} that the blob states, unless it is resumed", stated.name())
            }
            (None, None) => "only the transport can be checked".to_owned(),
        };
        let without_manifest = manifest.is_none().then(|| format!("{reason}: {checked}"));
        Ok(Origin { facts, manifest, named, stated, without_manifest, vhd })
    }

    /// The chunks of an export: the manifest's where there is one.
    pub(super) fn plan_chunks(
        &self,
        options: &TransferOptions,
        drive: &dyn Drive,
        blob: &dyn Blob,
    ) -> Result<ChunkGeometry, CopyError> {
        if let Some(named) = &self.named {
            return Ok(named.geometry);
        }
        let Some(manifest) = &self.manifest else {
            return chunk_size(options.chunk_size, self.facts.size_bytes, drive.sector_size_bytes(), &blob.limits());
        };
        let stated = ByteSize(manifest.geometry.chunk_size_bytes());
        // What was asked for at the import, too, may have been raised by the store's limits.
        let raised = |asked| chunk_size(Some(asked), self.facts.size_bytes, drive.sector_size_bytes(), &blob.limits());
        let is_stated = |asked: ByteSize| raised(asked).is_ok_and(|geometry| geometry.chunk_size_bytes() == stated.0);
        if let Some(asked) = options.chunk_size.filter(|asked| *asked != stated && !is_stated(*asked)) {
            return Err(CopyError::Usage(format!(
                "the blob's manifest has a chunk size of {stated}, and {asked} is asked for: leave out `--chunk-size`"
            )));
        }
        Ok(ChunkGeometry::for_drive(self.facts.size_bytes, stated.0, drive.sector_size_bytes())?)
    }

    /// Whether the manifest is of the very version of the blob that is read: then its zeros need not be fetched.
    pub(super) fn trusts_zeros(&self, blob: &dyn Blob) -> bool {
        let stated = self.manifest.as_ref().and_then(|manifest| manifest.header.blob_version.as_ref());
        self.named.is_some() || stated == Some(&self.facts.version) && blob.local().is_none()
    }

    /// The digests of all chunks, where they are known.
    pub(super) fn expected(&self) -> Option<&SharedTable> {
        let of_manifest = self.manifest.as_ref().map(|manifest| &manifest.table);
        of_manifest.or(self.named.as_ref().map(|named| &named.table))
    }

    /// Ranges that the manifest says could not be read when the blob was made.
    pub(super) fn filled(&self) -> Result<Vec<ByteRange>, CopyError> {
        let Some(manifest) = &self.manifest else { return Ok(Vec::new()) };
        manifest.table.with(|table| Ok(table.unreadable().collect()))
    }
}
