use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::*;
use crate::job::{CopyRecord, CopyState, DriveState, Hold, Job, JobKind, JobState, Mistake, RetryOptions};
use crate::outcome::Outcome;
use crate::result::Direction;

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap()
}

/// An import of the drive `A-1`.
struct Import {
    name: &'static str,
    machine: Job,
    copies: BTreeMap<String, CopyRecord>,
}

impl Import {
    fn new(name: &'static str, state: JobState, drive: DriveState) -> Self {
        let mut machine = Job::new(JobKind::Import, ["A-1".to_owned()], at(0));
        machine.state = state;
        machine.drives[0].state = drive;
        Import { name, machine, copies: BTreeMap::new() }
    }

    fn copy(mut self, state: CopyState, runs: u32) -> Self {
        let record = CopyRecord { state, runs, run_started_at: Some(at(10)), ..CopyRecord::default() };
        self.copies.insert("A-1".to_owned(), record);
        self
    }

    fn in_hand(&self) -> JobInHand<'_> {
        JobInHand {
            uid: self.name,
            subscription: "customer",
            resource_group: "group",
            name: self.name,
            delivery: Some(("carrier", "T-1")),
            machine: &self.machine,
            copies: &self.copies,
        }
    }
}

pub(super) fn drive(id: Option<&str>) -> DockedDrive {
    DockedDrive {
        path: "/dev/sdb".to_owned(),
        drive_id: id.map(str::to_owned),
        bridge_serial: None,
        weak_identity: Vec::new(),
        model: None,
        size_bytes: 1 << 20,
    }
}

fn docked(drive: &DockedDrive) -> DockedHere<'_> {
    let (binding, twins, running_jobs) = (None, Vec::new(), Vec::new());
    DockedHere { bay: "1", is_watched: true, drive, docked_at: None, binding, twins, running_jobs }
}

fn decide_with(docked: &DockedHere<'_>, jobs: &[&Import]) -> (Next, Option<&'static str>) {
    let in_hand: Vec<JobInHand<'_>> = jobs.iter().map(|job| job.in_hand()).collect();
    let decided = next(docked, &in_hand, at(100));
    (decided.next, decided.job.map(|(index, _)| jobs[index].name))
}

fn decided(jobs: &[&Import]) -> (Next, Option<&'static str>) {
    decide_with(&docked(&drive(Some("a-1"))), jobs)
}

#[test]
fn a_drive_goes_to_the_one_job_that_names_it() {
    use DriveState::{CompletedMoreInfo, NeverReceived, Received, Specified, Transferring};
    let wait = |text: &str| Next::Wait(text.to_owned());
    for (state, drive, expected) in [
        (JobState::Creating, Specified, Next::NotShipped),
        (JobState::Shipping, Specified, Next::CheckIn),
        (JobState::Shipping, NeverReceived, Next::CheckIn),
        (JobState::Shipping, Received, Next::WaitForOthers),
        (JobState::Received, Received, Next::Copy),
        (JobState::Transferring, Transferring, Next::Copy),
        (JobState::Transferring, CompletedMoreInfo, wait("the drive is done")),
        (JobState::Packaging, Specified, Next::CameTooLate),
        (JobState::Packaging, CompletedMoreInfo, wait("the drive is done, and waits to be sent back")),
    ] {
        assert_eq!(decided(&[&Import::new("one", state, drive)]), (expected, Some("one")), "{state} {drive}");
    }
    assert_eq!(decided(&[]), (Next::Unknown, None));
    let over = Import::new("over", JobState::Completed, DriveState::ShippedBack);
    assert_eq!(decided(&[&over]), (Next::Unknown, None), "its drive went back, and may come again");
}

#[test]
fn an_operator_decides_between_jobs_in_whatever_state() {
    use DriveState::{Completed, Received, Specified, Transferring};
    let several = (Next::Undecided(Doubt::Several), None);
    let shipped = Import::new("shipped", JobState::Shipping, Specified);
    for other in [
        Import::new("other", JobState::Creating, Specified),
        Import::new("other", JobState::Shipping, Specified),
        Import::new("other", JobState::Received, Received),
        Import::new("other", JobState::Packaging, Completed),
    ] {
        assert_eq!(decided(&[&other, &shipped]), several, "{}", other.machine.state);
        assert_eq!(decided(&[&shipped, &other]), several, "{}", other.machine.state);
    }
    // Another customer who names the drive afterwards does not stop a copy that was begun.
    let begun = Import::new("begun", JobState::Transferring, Transferring).copy(CopyState::Open, 1);
    assert_eq!(decided(&[&shipped, &begun]), (Next::Copy, Some("begun")));
}

#[test]
fn a_weak_identity_is_for_an_operator() {
    let shipped = Import::new("one", JobState::Shipping, DriveState::Specified);
    let weak = DockedDrive { weak_identity: vec![WeakIdentity::BridgeConstant], ..drive(Some("A-1")) };
    let expected = Next::Undecided(Doubt::Weak(vec![WeakIdentity::BridgeConstant]));
    assert_eq!(decide_with(&docked(&weak), &[&shipped]).0, expected);
    let strong = drive(Some("A-1"));
    let twin = |is_bound| DockedHere { twins: vec![Twin { bay: "2".to_owned(), is_bound }], ..docked(&strong) };
    let duplicated = Next::Undecided(Doubt::Weak(vec![WeakIdentity::Duplicated]));
    assert_eq!(decide_with(&twin(false), &[&shipped]).0, duplicated);
    assert_eq!(decide_with(&twin(true), &[&shipped]).0, Next::Undecided(Doubt::TwinIsBound("2".to_owned())));
    assert_eq!(decide_with(&docked(&drive(None)), &[&shipped]).0, Next::Unknown);
}

#[test]
fn what_an_operator_bound_stays_bound() {
    let one = Import::new("one", JobState::Received, DriveState::Received);
    let two = Import::new("two", JobState::Shipping, DriveState::Specified);
    let weak = DockedDrive { weak_identity: vec![WeakIdentity::Placeholder], ..drive(Some("0000")) };
    let bound = |drive_id: Option<&str>| DockedHere {
        binding: Some(Binding { job_uid: "one".to_owned(), drive_id: drive_id.map(str::to_owned) }),
        ..docked(&weak)
    };
    assert_eq!(decide_with(&bound(Some("A-1")), &[&two, &one]), (Next::Copy, Some("one")));
    assert_eq!(decide_with(&bound(None), &[&two]).0, Next::Undecided(Doubt::DoneBefore), "the job is gone");
    let over = Import::new("one", JobState::Completed, DriveState::ShippedBack);
    assert_eq!(decide_with(&bound(Some("A-1")), &[&over, &two]).0, Next::Undecided(Doubt::DoneBefore));
    // A serial number that was bound by an operator is that drive when it is docked again; one of the job's name is not.
    let mut rebound = Import::new("one", JobState::Received, DriveState::Received);
    rebound.machine.drives[0].bound_serial = Some("OTHER".to_owned());
    assert_eq!(decide_with(&docked(&drive(Some("other"))), &[&rebound]), (Next::Copy, Some("one")));
    assert_eq!(decided(&[&rebound]), (Next::Unknown, None));
    // The operator may have taken the wrong drive: who else names it does not get it without being asked about.
    assert_eq!(decided(&[&rebound, &two]), (Next::Undecided(Doubt::Several), None));
}

#[test]
fn a_copy_waits_while_it_is_paused_held_cancelled_or_running() {
    let receiving = |state| Import::new("one", JobState::Transferring, DriveState::Transferring).copy(state, 1);
    let waits = |docked: &DockedHere<'_>, job: &Import| matches!(decide_with(docked, &[job]).0, Next::Wait(_));
    let a = drive(Some("A-1"));
    let here = docked(&a);
    let running = DockedHere { running_jobs: vec!["one".to_owned()], ..here.clone() };
    assert!(waits(&running, &receiving(CopyState::Open)));
    let mut cancelled = receiving(CopyState::Open);
    cancelled.machine.cancel_requested = true;
    assert!(waits(&here, &cancelled));
    assert!(waits(&here, &receiving(CopyState::Paused)) && waits(&here, &receiving(CopyState::Ended)));
    let held = |outcome, retry_at| {
        let message = "it failed".to_owned();
        receiving(CopyState::Held(Hold { outcome, message, since: at(20), retry_at, fix: RetryOptions::default() }))
    };
    assert_eq!(decide_with(&here, &[&held(Outcome::DriveFailed, None)]).0, Next::Wait("it failed".to_owned()));
    assert!(waits(&here, &held(Outcome::StoreFailed, Some(at(101)))));
    assert_eq!(decide_with(&here, &[&held(Outcome::StoreFailed, Some(at(100)))]).0, Next::Copy, "its time has come");
    let docked_at = |seconds| DockedHere { docked_at: Some(at(seconds)), ..here.clone() };
    assert_eq!(decide_with(&docked_at(11), &[&held(Outcome::DriveFailed, None)]).0, Next::Copy, "it was docked again");
    assert!(waits(&docked_at(9), &held(Outcome::DriveFailed, None)));
    assert!(waits(&docked_at(11), &held(Outcome::Refused, None)));
}

#[test]
fn a_drive_that_was_the_wrong_one_before_is_asked_about() {
    let mut import = Import::new("one", JobState::Transferring, DriveState::Received);
    assert_eq!(decided(&[&import]).0, Next::Copy);
    import.machine.drives[0].wrong_serials = vec!["A-1".to_owned()];
    assert_eq!(decided(&[&import]).0, Next::Undecided(Doubt::WrongBefore), "a twin reported this number");
    // What an operator said of another drive does not make this one doubtful.
    import.machine.drives[0].wrong_serials = vec!["X-9".to_owned()];
    assert_eq!(decided(&[&import]).0, Next::Copy);
    // One that was bound in this docking, and is not any more.
    let drive = drive(Some("X-9"));
    let binding = Some(Binding { job_uid: "one".to_owned(), drive_id: None });
    let unbound = DockedHere { binding, ..docked(&drive) };
    assert_eq!(decide_with(&unbound, &[&import]).0, Next::Undecided(Doubt::WrongBefore));
    // A wrong drive that was only read is free for its own job; one that was written is not, in whatever bay.
    let own = Import::new("two", JobState::Shipping, DriveState::Specified);
    let own = {
        let mut own = own;
        own.machine.drives[0].id = "X-9".to_owned();
        own
    };
    let again = docked(&drive);
    assert_eq!(decide_with(&again, &[&import, &own]), (Next::CheckIn, Some("two")));
    let mistake = Mistake {
        serial: "x-9".to_owned(),
        direction: Direction::Export,
        bay: None,
        blob: None,
        has_blob: false,
        transfer_id: None,
    };
    import.copies.insert("A-1".to_owned(), CopyRecord { mistakes: vec![mistake], ..CopyRecord::default() });
    assert_eq!(decide_with(&again, &[&import, &own]).0, Next::Undecided(Doubt::WrongBefore));
}
