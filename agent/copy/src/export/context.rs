//! What all steps of an export need.

use std::path::PathBuf;
use std::sync::Arc;

use blob::{Blob, BlobFacts};
use drive::Drive;
use protocol::identity::DriveIdentity;
use protocol::manifest::Header;

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::flow::attempts::Attempts;
use crate::flow::failure::Failure;
use crate::hashing::ZeroDigests;
use crate::plan::MemoryPlan;
use crate::record::table::SharedTable;
use crate::source::manifest::LoadedManifest;

/// An export that is under way.
pub(super) struct Context {
    pub(super) drive: Arc<dyn Drive>,
    pub(super) blob: Arc<dyn Blob>,
    pub(super) facts: BlobFacts,
    pub(super) manifest: Option<LoadedManifest>,
    pub(super) options: TransferOptions,
    pub(super) handle: TransferHandle,
    pub(super) attempts: Attempts,
    pub(super) failure: Failure,
    pub(super) identity: DriveIdentity,
    pub(super) header: Header,
    pub(super) table: SharedTable,
    pub(super) zeros: ZeroDigests,
    pub(super) memory: MemoryPlan,
    pub(super) journal_path: PathBuf,
    pub(super) is_resumed: bool,
    /// What an earlier run wrote was looked at in some places only.
    pub(super) target_is_sampled: bool,
}

impl Context {
    /// Whether the manifest is of the very version of the blob that is read: then its zeros need not be fetched.
    pub(super) fn trusts_zeros(&self) -> bool {
        let stated = self.manifest.as_ref().and_then(|manifest| manifest.header.blob_version.as_ref());
        stated == Some(&self.facts.version) && self.blob.local().is_none()
    }
}
