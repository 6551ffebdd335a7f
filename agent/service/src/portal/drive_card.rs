//! A drive as the pages of its job and of itself show it.

use protocol::arm::DriveStatus;

use super::bars::{Bar, receipt_bar, strip_of_result};
use super::links::drive_link;
use super::offers::{self, Offer};
use super::viewer::Viewer;
use crate::state::ServiceState;
use crate::store::StoredJob;

/// A drive as its job's page shows it too.
pub(super) struct DriveCard {
    pub(super) id: String,
    pub(super) link: String,
    pub(super) state: String,
    pub(super) percent: Option<i64>,
    pub(super) status: String,
    pub(super) receipt: Option<Bar>,
    pub(super) strip: Option<Bar>,
    pub(super) operator_note: Option<String>,
    pub(super) offers: Vec<Offer>,
}

/// The drives of a job.
pub(super) fn cards(state: &ServiceState, viewer: &Viewer, job: &StoredJob) -> Vec<DriveCard> {
    let answer = state.jobs.response(job);
    let drives = answer.properties.drive_list.unwrap_or_default().into_iter();
    let card = |drive: DriveStatus| {
        let id = drive.drive_id.unwrap_or_default();
        let record = job.copies.get(&id);
        let result = record.and_then(|record| record.result.as_ref());
        DriveCard {
            link: drive_link(&job.key, &id),
            state: drive.state.map(|state| state.to_string()).unwrap_or_default(),
            percent: drive.percent_complete,
            status: drive.copy_status.unwrap_or_default(),
            receipt: result.and_then(|result| Some(receipt_bar(result.receipt.as_ref()?, result.bytes_total))),
            strip: result.and_then(strip_of_result),
            // It names bays and paths, which are not for customers.
            operator_note: record.filter(|_| viewer.is_operator).and_then(|record| Some(record.hold()?.message.clone())),
            offers: offers::of_drive(state, viewer, job, &id),
            id,
        }
    };
    drives.map(card).collect()
}
