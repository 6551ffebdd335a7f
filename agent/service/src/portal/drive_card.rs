//! A drive as the pages of its job and of itself show it.

use protocol::arm::DriveStatus;
use protocol::progress::Progress;
use protocol::units::ByteSize;

use super::bars::{Bar, receipt_bar, strip_of_result};
use super::copy_card::time_left;
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
    /// How its copy runs, in one line; empty where none does.
    pub(super) moving: Vec<String>,
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
            moving: state.scheduler.progress(&job.uid, &id).map(|progress| moving(&[progress])).unwrap_or_default(),
            status: drive.copy_status.map(in_words).unwrap_or_default(),
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

/// A status of the API as people say it.
fn in_words(status: String) -> String {
    match status.as_str() {
        "InProgress" => "It is being copied.".to_owned(),
        "NotStarted" => "It is not copied yet.".to_owned(),
        "Completed" => "It was copied.".to_owned(),
        _ => status.replacen("CompletedWithErrors:", "Copied, but", 1),
    }
}

/// How these copies run together: how much of them is done, how fast, and how long the longest still takes.
pub(super) fn moving(copies: &[Progress]) -> Vec<String> {
    if copies.is_empty() {
        return Vec::new();
    }
    let sum = |bytes: fn(&Progress) -> u64| ByteSize(copies.iter().map(bytes).sum());
    let rate: f64 = copies.iter().map(|copy| copy.bytes_per_second).sum();
    let left = copies.iter().map(|copy| copy.eta_seconds).reduce(|one, other| Some(one?.max(other?))).flatten();
    let done = format!("{} of {}", sum(|copy| copy.bytes_done), sum(|copy| copy.bytes_total));
    let left = left.map(time_left).filter(|left| !left.is_empty());
    [done, format!("{}/s", ByteSize(rate as u64))].into_iter().chain(left).collect()
}

#[cfg(test)]
mod tests {
    use protocol::progress::Phase;

    use super::*;

    #[test]
    fn copies_are_added_up_and_the_longest_says_when_all_are_done() {
        let copy = |bytes_done: u64, eta_seconds: Option<f64>| Progress {
            bytes_total: 4 << 30,
            bytes_done,
            bytes_per_second: 1024.0,
            eta_seconds,
            ..Progress::of_nothing(Phase::Copying)
        };
        let both = [copy(1 << 30, Some(60.0)), copy(2 << 30, Some(600.0))];
        assert_eq!(moving(&both), ["3 GiB of 8 GiB", "2 KiB/s", "10 min left"]);
        let unknown = [copy(0, Some(60.0)), copy(0, None)];
        assert_eq!(moving(&unknown), ["0 B of 8 GiB", "2 KiB/s"], "the other may take longer");
        assert!(moving(&[]).is_empty());
    }
}
