//! What all steps of an import need.

use std::path::PathBuf;
use std::sync::Arc;

use blob::Blob;
use drive::Drive;
use protocol::digest::Sha256Digest;
use protocol::identity::DriveIdentity;
use protocol::manifest::{ChunkContent, Header};
use protocol::units::ChunkIndex;

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::flow::attempts::Attempts;
use crate::flow::failure::Failure;
use crate::hashing::ZeroDigests;
use crate::plan::MemoryPlan;
use crate::record::table::{ChunkTable, SharedTable};
use crate::rescue::Rescue;

/// An import that is under way.
pub(super) struct Context {
    pub(super) drive: Arc<dyn Drive>,
    pub(super) blob: Arc<dyn Blob>,
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
    /// What is done about places that cannot be read.
    pub(super) rescue: Option<Arc<Rescue>>,
    pub(super) trust: Trust,
}

/// What cannot be said for certain about the bytes of this import.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trust {
    /// What an earlier run left at the store was looked at in some places only.
    pub(super) target_is_sampled: bool,
    /// The drive is taken for the one of an earlier run by some places only.
    pub(super) source_is_sampled: bool,
    /// The drive was modified while it was read, or after it.
    pub(super) source_changed: bool,
}

impl Context {
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
