//! What is compared: a side, what it is expected to hold, and which of its chunks.

use std::collections::BTreeSet;
use std::sync::Arc;

use blob::{Blob, BlobFacts};
use drive::Drive;
use protocol::fill::Fill;
use protocol::result::VerifiedSide;
use protocol::units::ChunkIndex;

use crate::call::options::TransferOptions;
use crate::record::table::SharedTable;

/// What a manifest is held against.
#[derive(Clone)]
pub(crate) enum Side {
    Drive(Arc<dyn Drive>),
    Blob {
        blob: Arc<dyn Blob>,
        version: String,
        /// Up to where its store knows which of its bytes were ever written, in bytes: 0 where it does not know that.
        sparse_bytes: u64,
    },
}

impl Side {
    /// A blob as it was seen; one that was not there fails when it is read.
    pub(crate) fn blob(blob: Arc<dyn Blob>, facts: Option<BlobFacts>) -> Self {
        let sparse_bytes = facts.as_ref().filter(|facts| facts.is_sparse).map_or(0, |facts| facts.size_bytes);
        Side::Blob { blob, version: facts.map(|facts| facts.version).unwrap_or_default(), sparse_bytes }
    }

    pub(super) fn name(&self) -> VerifiedSide {
        match self {
            Side::Drive(_) => VerifiedSide::Drive,
            Side::Blob { .. } => VerifiedSide::Blob,
        }
    }

    /// Requests at once that serve it well.
    pub(super) fn concurrency(&self, options: &TransferOptions) -> usize {
        match self {
            Side::Drive(drive) => drive.preferred_readers(),
            Side::Blob { .. } => options.concurrency.unwrap_or(8),
        }
    }
}

/// What a manifest says.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'manifest> {
    pub(crate) table: &'manifest SharedTable,
    /// What stands where the drive could not be read.
    pub(crate) fill: Fill,
    /// Which chunks are compared.
    pub(crate) scope: Scope<'manifest>,
    /// Whether the SHA-256 of the whole side is wanted: it costs a thread, which a fast side would wait for.
    pub(crate) wants_stream: bool,
}

/// Which chunks are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'places> {
    /// All of them; one of which nothing is recorded differs.
    All,
    /// Those that landed.
    Landed,
    /// These.
    Only(&'places BTreeSet<ChunkIndex>),
}
