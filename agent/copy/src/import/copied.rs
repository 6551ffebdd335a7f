//! An import whose pipeline has ended: what there is to complete, or to account for.

use std::sync::Arc;

use blob::Upload;
use protocol::digest::Sha256Digest;

use crate::import::completion::Completion;
use crate::import::trust::Trust;
use crate::record::journal::Journal;
use crate::rescue::Rescue;
use crate::transfer::context::Context;

/// An import after its pipeline, however that ended.
pub(super) struct Copied {
    pub(super) completing: Completing,
    /// Absent where the recorder hangs with it.
    pub(super) journal: Option<Journal>,
}

/// An import on its way from the last chunk to its result.
pub(super) struct Completing {
    pub(super) context: Context,
    /// What is done about places that cannot be read.
    pub(super) rescue: Option<Arc<Rescue>>,
    pub(super) trust: Trust,
    pub(super) target: CopiedTarget,
    pub(super) completion: Completion,
    /// Where every chunk passed the pipeline in drive order.
    pub(super) stream_sha256: Option<Sha256Digest>,
}

/// Where the bytes are now.
pub(super) enum CopiedTarget {
    /// In an upload that is not committed.
    Uploaded(Arc<dyn Upload>),
    /// In the blob that an earlier run committed.
    Committed {
        /// It was touched since.
        is_doubtful: bool,
    },
}

impl CopiedTarget {
    /// The upload that is to be committed.
    pub(super) fn upload(&self) -> Option<&Arc<dyn Upload>> {
        match self {
            CopiedTarget::Uploaded(upload) => Some(upload),
            CopiedTarget::Committed { .. } => None,
        }
    }

    /// Whether the blob has to be read again before anything is said of it.
    pub(super) fn is_doubtful(&self) -> bool {
        matches!(self, CopiedTarget::Committed { is_doubtful: true })
    }
}
