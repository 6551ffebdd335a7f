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
            moving: state.scheduler.progress(job, &id).map(|progress| moving(&[progress], AtRest::default())).unwrap_or_default(),
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

/// What belongs to the same whole as the copies that run, and does not move now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AtRest {
    pub(super) done_bytes: u64,
    pub(super) total_bytes: u64,
}

impl AtRest {
    /// Of the drives of a job which are not copied now.
    pub(super) fn of(job: &StoredJob, is_moving: impl Fn(&str) -> bool) -> Self {
        let mut at_rest = AtRest::default();
        for record in job.copies.iter().filter(|(id, _)| !is_moving(id)).map(|(_, record)| record) {
            let known = record.result.as_ref().map(|result| result.bytes_total).filter(|total| *total > 0);
            at_rest.total_bytes += known.or(record.size_bytes).unwrap_or_default();
            at_rest.done_bytes += record.bytes_landed().unwrap_or_default();
        }
        at_rest
    }
}

/// How these copies run together: how much is done, how fast, and how long the longest still takes.
pub(super) fn moving(copies: &[Progress], at_rest: AtRest) -> Vec<String> {
    if copies.is_empty() {
        return Vec::new();
    }
    let sum = |bytes: fn(&Progress) -> u64| ByteSize(copies.iter().map(bytes).sum());
    let rate: f64 = copies.iter().map(|copy| copy.bytes_per_second).sum();
    let left = copies.iter().map(|copy| copy.eta_seconds).reduce(|one, other| Some(one?.max(other?))).flatten();
    let ByteSize(done) = sum(|copy| copy.bytes_done);
    let ByteSize(total) = sum(|copy| copy.bytes_total);
    let done = format!("{} of {}", ByteSize(done + at_rest.done_bytes), ByteSize(total + at_rest.total_bytes));
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
        assert_eq!(moving(&both, AtRest::default()), ["3 GiB of 8 GiB", "2 KiB/s", "10 min left"]);
        let unknown = [copy(0, Some(60.0)), copy(0, None)];
        assert_eq!(moving(&unknown, AtRest::default()), ["0 B of 8 GiB", "2 KiB/s"], "the other may take longer");
        let at_rest = AtRest { done_bytes: 5 << 30, total_bytes: 6 << 30 };
        assert_eq!(moving(&both, at_rest)[0], "8 GiB of 14 GiB", "a drive that is done is a part of the whole");
        assert!(moving(&[], at_rest).is_empty());
    }
}
