//! What is known of a transfer when it is decided whether it may begin.

use std::sync::Arc;

use blob::Blob;
use drive::Drive;
use protocol::identity::DriveIdentity;
use protocol::manifest::{Header, MANIFEST_SUFFIX};
use protocol::result::{Direction, PlannedAction, TransferPlan};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::flow::attempts::Attempts;
use crate::record::journal::Journal;

/// The two ends of a transfer, what was asked for, and the journal.
pub(crate) struct Scene {
    pub(crate) drive: Arc<dyn Drive>,
    pub(crate) blob: Arc<dyn Blob>,
    pub(crate) options: TransferOptions,
    pub(crate) handle: TransferHandle,
    pub(crate) attempts: Attempts,
    pub(crate) identity: DriveIdentity,
    pub(crate) journal: Journal,
    /// The transfer that is started over with `--restart`.
    pub(crate) replaces: Option<Box<Header>>,
}

/// What would be moved, and how much of it has landed.
pub(crate) struct Moves {
    pub(crate) action: PlannedAction,
    pub(crate) bytes_total: u64,
    pub(crate) chunk_size: u64,
    pub(crate) chunks_landed: u64,
}

impl Scene {
    /// What would be done.
    pub(crate) fn plan(self, direction: Direction, moves: Moves, warnings: Vec<String>) -> TransferPlan {
        let Moves { action, bytes_total, chunk_size, chunks_landed } = moves;
        TransferPlan {
            direction,
            // The samples are for the journal.
            drive: DriveIdentity { content_sample: None, ..self.identity },
            blob: self.blob.address(),
            action,
            bytes_total,
            chunk_size,
            chunks: bytes_total.div_ceil(chunk_size),
            chunks_landed,
            manifest: self.blob.sibling(MANIFEST_SUFFIX).address(),
            properties: None,
            staging: self.blob.staging().filter(|_| direction == Direction::Import),
            warnings,
        }
    }
}
