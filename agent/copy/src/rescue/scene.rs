//! What a rescue is about.

use std::path::Path;

use drive::Drive;
use protocol::fill::Fill;
use protocol::identity::DriveIdentity;
use protocol::units::ChunkGeometry;

use crate::call::options::{OnUnreadable, RescueOptions};

/// The transfer, the drive and the options that a rescue begins with.
pub(crate) struct RescueScene<'scene> {
    pub(crate) policy: OnUnreadable,
    pub(crate) options: RescueOptions,
    pub(crate) fill: Fill,
    pub(crate) geometry: ChunkGeometry,
    pub(crate) drive: &'scene dyn Drive,
    pub(crate) identity: &'scene DriveIdentity,
    pub(crate) blob_address: &'scene str,
    pub(crate) transfer_id: &'scene str,
    pub(crate) journal: &'scene Path,
    /// Nothing of an earlier run is to be taken up.
    pub(crate) is_new: bool,
}
