//! An export whose pipeline has ended: what there is to complete, or to account for.

use blob::StatedChecksum;
use protocol::digest::Sha256Digest;

use crate::export::origin::Origin;
use crate::record::journal::Journal;
use crate::transfer::context::Context;

/// An export after its pipeline, however that ended.
pub(super) struct Copied {
    pub(super) completing: Completing,
    /// Absent where the recorder hangs with it.
    pub(super) journal: Option<Journal>,
}

/// An export on its way from the last chunk to its result.
pub(super) struct Completing {
    pub(super) context: Context,
    pub(super) origin: Origin,
    /// What an earlier run wrote was looked at in some places only.
    pub(super) target_is_sampled: bool,
    /// Whether the store gave a checksum with everything that was fetched.
    pub(super) all_checked: bool,
    /// Where every chunk passed the pipeline in drive order.
    pub(super) stream_sha256: Option<Sha256Digest>,
    /// The same of the checksum that the blob states, where it states one.
    pub(super) stream_checksum: Option<StatedChecksum>,
    pub(super) bytes_cleared: u64,
    /// The drive is finished and has its name: what fails after this leaves it complete.
    pub(super) is_published: bool,
}
