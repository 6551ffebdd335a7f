//! A bay as the page of the bays shows it, as a card or as a row.

use protocol::result::Direction;
use protocol::station::{Bay, WeakIdentity};
use protocol::units::ByteSize;

use super::copy_card::CopyCard;
use super::links::{drive_link, job_link, key_of_path};
use super::offers::{self, Offer};
use crate::state::ServiceState;

/// A bay.
pub(super) struct BayCard {
    pub(super) name: String,
    /// Its name in the address of a part of a page.
    pub(super) anchor: String,
    pub(super) state: &'static str,
    pub(super) drive: Option<String>,
    /// The bridge's serial number, and why the drive's cannot be relied on.
    pub(super) identity: Option<String>,
    pub(super) model: Option<String>,
    pub(super) size: String,
    pub(super) job_link: Option<String>,
    pub(super) job_name: String,
    pub(super) drive_link: String,
    pub(super) direction: &'static str,
    pub(super) copy: Option<CopyCard>,
    pub(super) note: Option<String>,
    pub(super) offer: Option<Offer>,
}

/// How a bay is shown.
pub(super) fn card(state: &ServiceState, bay: Bay) -> BayCard {
    let work = bay.work.as_ref();
    let key = work.and_then(|work| key_of_path(&work.job));
    let progress = work.and_then(|work| work.progress.as_ref());
    let copy = progress.map(|progress| {
        CopyCard::new(progress, &state.scheduler.rates(&bay.name), &state.scheduler.unreadable_so_far(&bay.name))
    });
    let direction = match work.map(|work| work.direction) {
        Some(Direction::Export) => "export",
        _ => "import",
    };
    let drive = bay.drive.as_ref();
    let drive_id = work.map(|work| work.drive_id.as_str()).unwrap_or_default();
    BayCard {
        state: bay.state.name(),
        drive: drive.map(|drive| drive.drive_id.clone().unwrap_or_else(|| "a drive without a serial number".to_owned())),
        identity: drive.and_then(|drive| WeakIdentity::note(drive.bridge_serial.as_deref(), &drive.weak_identity)),
        model: drive.and_then(|drive| drive.model.clone()),
        size: drive.map(|drive| ByteSize(drive.size_bytes).to_string()).unwrap_or_default(),
        drive_link: key.as_ref().map(|key| drive_link(key, drive_id)).unwrap_or_default(),
        job_link: key.as_ref().map(job_link),
        job_name: key.map(|key| key.name).unwrap_or_default(),
        direction,
        copy,
        offer: offers::of_bay(&bay),
        anchor: bay.name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"),
        name: bay.name,
        note: bay.note,
    }
}
