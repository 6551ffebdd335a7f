use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use super::next_tests::drive;
use super::waiting_bay::is_similar;
use super::*;
use crate::job::{CopyRecord, CopyState, DriveState, Hold, Job, JobKind, JobState, Mistake, RetryOptions};
use crate::outcome::Outcome;
use crate::result::Direction;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

struct Known {
    machine: Job,
    copies: BTreeMap<String, CopyRecord>,
}

impl Known {
    fn new(kind: JobKind, state: JobState, drives: &[(&str, DriveState)]) -> Self {
        let mut machine = Job::new(kind, drives.iter().map(|(id, _)| (*id).to_owned()), now());
        machine.state = state;
        machine.drives.iter_mut().zip(drives).for_each(|(drive, (_, state))| drive.state = *state);
        Known { machine, copies: BTreeMap::new() }
    }

    fn copy(mut self, id: &str, state: CopyState) -> Self {
        self.copies.insert(id.to_owned(), CopyRecord { state, ..CopyRecord::default() });
        self
    }

    fn in_hand(&self) -> JobInHand<'_> {
        let (subscription, resource_group, name) = ("s", "g", "j");
        let delivery = Some(("carrier", "T-1"));
        JobInHand { uid: "u", subscription, resource_group, name, delivery, machine: &self.machine, copies: &self.copies }
    }

    /// Kinds with their commands; drives in `docked` are in the bay `1`.
    fn waits(&self, docked: &[&str], days: i64) -> Vec<(&'static str, Vec<String>)> {
        let bay_of = |id: &str| docked.contains(&id).then(|| "1".to_owned());
        let list = attention_of_job(&self.in_hand(), bay_of, now() + Duration::days(days));
        list.into_iter().map(|one| (one.kind.name(), commands(&one))).collect()
    }
}

fn commands(one: &Attention) -> Vec<String> {
    let text = |offered: &OfferedAction| offered.command.clone().unwrap_or_else(|| offered.action.label().to_owned());
    one.actions.iter().map(text).map(|command| command.replace("drive-agent ", "")).collect()
}

fn held(fix: RetryOptions) -> CopyState {
    let message = "it failed".to_owned();
    CopyState::Held(Hold { outcome: Outcome::DriveFailed, message, since: now(), retry_at: None, fix })
}

#[test]
fn a_held_copy_offers_the_options_that_fix_it() {
    let known = Known::new(JobKind::Import, JobState::Transferring, &[("D", DriveState::Transferring)]);
    let known = known.copy("D", held(RetryOptions { rescue: true, ..RetryOptions::default() }));
    let give_up = "jobs give-up s/g/j --drive D --yes".to_owned();
    assert_eq!(known.waits(&["D"], 0), [("copy-held", vec!["jobs retry s/g/j --drive D --rescue".to_owned(), give_up.clone()])]);
    assert_eq!(known.waits(&[], 0), [("copy-held", vec!["Dock it".to_owned(), give_up])], "a retry needs it docked");
}

#[test]
fn every_drive_that_is_here_and_does_nothing_is_told() {
    let received = |state| Known::new(JobKind::Import, state, &[("D", DriveState::Received)]);
    assert_eq!(received(JobState::Received).waits(&[], 0)[0].0, "not-docked");
    assert_eq!(received(JobState::Received).waits(&["D"], 0), []);
    let paused = received(JobState::Received).copy("D", CopyState::Paused);
    assert_eq!(paused.waits(&["D"], 0)[0].1[0], "jobs resume s/g/j --drive D");
    let mut back = Known::new(JobKind::Import, JobState::Packaging, &[("D", DriveState::CompletedMoreInfo)]);
    let ship = "jobs ship-back s/g/j --carrier CARRIER --tracking NUMBER".to_owned();
    assert_eq!(back.waits(&["D"], 0), [("ship-back", vec![ship.clone()])]);
    back.copies.insert("D".to_owned(), CopyRecord { is_abandoned: true, ..CopyRecord::default() });
    assert_eq!(back.waits(&[], 0), [("ship-back", vec![ship, "jobs undo-give-up s/g/j --drive D".to_owned()])]);
    let row = &attention_of_job(&back.in_hand(), |_| Some("7".to_owned()), now())[0];
    assert_eq!((row.bay.as_deref(), row.drive_id.as_deref()), (Some("7"), Some("D")));
}

#[test]
fn jobs_that_wait_for_drives_are_told() {
    let shipping = Known::new(JobKind::Import, JobState::Shipping, &[("D", DriveState::Specified)]);
    assert_eq!(shipping.waits(&[], 13), []);
    let came = ["jobs check-in s/g/j --drive D", "jobs never-received s/g/j --drive D"].map(str::to_owned).to_vec();
    assert_eq!(shipping.waits(&[], 14), [("drives-missing", came.clone())]);
    let mut cancelled = shipping;
    cancelled.machine.cancel_requested = true;
    assert_eq!(cancelled.waits(&[], 0), [("drives-missing", came)]);
    let mut export = Known::new(JobKind::Export, JobState::Shipping, &[]);
    let needs = vec!["Dock it".to_owned(), "jobs never-received s/g/j".to_owned()];
    assert_eq!(export.waits(&[], 0), [("needs-empty-drive", needs)]);
    export.machine.blobs = Some(0);
    assert_eq!(export.waits(&[], 0), []);
}

#[test]
fn what_is_told_without_the_bays_is_what_is_told_with_them() {
    let states = [DriveState::Specified, DriveState::Received, DriveState::Transferring, DriveState::CompletedMoreInfo];
    for kind in [JobKind::Import, JobKind::Export] {
        for (state, drive) in JobState::ALL.into_iter().flat_map(|state| states.map(|drive| (state, drive))) {
            for copy in [CopyState::Waiting, CopyState::Paused, held(RetryOptions::default())] {
                let known = Known::new(kind, state, &[("D", drive)]).copy("D", copy);
                for days in [0, 14] {
                    let at = now() + Duration::days(days);
                    let shown = attention_of_job(&known.in_hand(), |_| None, at);
                    let shown = shown.iter().map(|one| one.kind).min_by_key(|kind| kind.rank());
                    let from = waits_from(&known.in_hand()).filter(|(_, from)| *from <= at).map(|(kind, _)| kind);
                    assert_eq!(shown, from, "{kind} {state} {drive} {days}");
                }
            }
        }
    }
}

/// What waits at a bay with the drive `id`, for jobs that name it, and for others.
fn at_bay(id: Option<&str>, jobs: &[&Known], similar: &[&Known]) -> Option<(&'static str, Vec<String>, String)> {
    let drive = drive(id);
    let (binding, twins, running_jobs) = (None, Vec::new(), Vec::new());
    let docked = DockedHere { bay: "1", is_watched: false, drive: &drive, docked_at: None, binding, twins, running_jobs };
    let jobs: Vec<JobInHand<'_>> = jobs.iter().map(|job| job.in_hand()).collect();
    let similar: Vec<JobInHand<'_>> = similar.iter().map(|job| job.in_hand()).collect();
    let decided = next(&docked, &jobs, now());
    let one = attention_of_bay(&docked, &decided, &jobs, &similar)?;
    Some((one.kind.name(), commands(&one), one.message))
}

#[test]
fn a_docked_drive_that_waits_for_a_person_offers_what_helps() {
    let choose = "jobs list --all --filter \"state eq 'Shipping'\"".to_owned();
    let take_out = "bays undock 1".to_owned();
    let shipped = |id| Known::new(JobKind::Import, JobState::Shipping, &[(id, DriveState::Specified)]);
    let (one, two) = (shipped("WD-1234567"), shipped("WD-1234567"));
    let check_in = "jobs check-in s/g/j --drive WD-1234567 --bay 1".to_owned();
    let (kind, actions, message) = at_bay(Some("WD-1234567"), &[&one, &two], &[]).unwrap();
    assert_eq!(
        (kind, actions[..2].to_vec()),
        ("ambiguous-drive", vec![check_in.clone(), choose.clone()]),
        "the same command once"
    );
    assert!(message.contains("s/g/j (Shipping, parcel carrier T-1)"), "{message}");
    let (kind, actions, _) = at_bay(Some("WD-123457"), &[], &[&one]).unwrap();
    assert_eq!((kind, actions), ("unknown-drive", vec![check_in, choose.clone(), take_out.clone()]), "a typing error");
    let export = Known::new(JobKind::Export, JobState::Shipping, &[]);
    let (_, actions, _) = at_bay(Some("EMPTY"), &[], &[&export]).unwrap();
    assert_eq!(actions, ["jobs check-in s/g/j --bay 1".to_owned(), choose.clone(), take_out.clone()]);
    assert_eq!(at_bay(None, &[], &[]).unwrap().1, [choose, take_out.clone()]);
    let creating = Known::new(JobKind::Import, JobState::Creating, &[("WD-1", DriveState::Specified)]);
    assert_eq!(at_bay(Some("WD-1"), &[&creating], &[]).unwrap().1, ["jobs show s/g/j".to_owned(), take_out.clone()]);
    let others = Known::new(JobKind::Import, JobState::Shipping, &[("A", DriveState::Received), ("B", DriveState::Specified)]);
    let (kind, actions, _) = at_bay(Some("A"), &[&others], &[]).unwrap();
    assert_eq!((kind, actions), ("waits-for-others", vec!["jobs never-received s/g/j --drive B".to_owned(), take_out]));
}

#[test]
fn serial_numbers_are_similar_where_a_person_may_have_mistyped_one() {
    for (one, other) in
        [("WD-ABC123", "wd-abc124"), ("S/N:WD-ABC123", "WD-ABC123"), ("WDABC123", "WD-ABC123"), ("1234567", "1324567")]
    {
        assert!(is_similar(one, other) && is_similar(other, one), "{one} {other}");
    }
    for (one, other) in [("A1", "A2"), ("WD-ABC123", "WD-XYZ987"), ("", "")] {
        assert!(!is_similar(one, other), "{one} {other}");
    }
}

#[test]
fn the_wrong_drive_is_taken_back_where_an_operator_said_which_it_was() {
    let mut back = Known::new(JobKind::Import, JobState::Packaging, &[("D", DriveState::Completed)]);
    let record = CopyRecord { state: CopyState::Ended, runs: 1, ..CopyRecord::default() };
    back.copies.insert("D".to_owned(), record);
    let ship = "jobs ship-back s/g/j --carrier CARRIER --tracking NUMBER".to_owned();
    let undo = "jobs undo-check-in s/g/j --drive D --yes".to_owned();
    assert_eq!(back.waits(&["D"], 0), [("ship-back", vec![ship.clone()])]);
    back.machine.drives[0].bound_serial = Some("X".to_owned());
    assert_eq!(back.waits(&["D"], 0), [("ship-back", vec![ship.clone(), undo.clone()])]);
    back.machine.cancel_requested = true;
    assert_eq!(back.waits(&["D"], 0), [("ship-back", vec![ship])], "nothing more of it is copied");
    // At the bay of its twin.
    back.machine.cancel_requested = false;
    back.machine.drives[0].bound_serial = None;
    let drive = drive(Some("D"));
    let twins = vec![Twin { bay: "2".to_owned(), is_bound: true }];
    let (binding, running_jobs) = (None, Vec::new());
    let docked = DockedHere { bay: "1", is_watched: false, drive: &drive, docked_at: None, binding, twins, running_jobs };
    let jobs = [back.in_hand()];
    let one = attention_of_bay(&docked, &next(&docked, &jobs, now()), &jobs, &[]).unwrap();
    assert_eq!(commands(&one)[0], undo, "{one:?}");
}

#[test]
fn what_the_wrong_drive_left_is_told_when_drives_go_back() {
    let mut back = Known::new(JobKind::Export, JobState::Packaging, &[("D", DriveState::Completed)]);
    let mistake = Mistake {
        serial: "X".to_owned(),
        direction: Direction::Export,
        bay: Some("7".to_owned()),
        blob: None,
        has_blob: false,
        transfer_id: None,
    };
    back.copies.insert("D".to_owned(), CopyRecord { mistakes: vec![mistake], ..CopyRecord::default() });
    let row = &attention_of_job(&back.in_hand(), |_| None, now())[0];
    assert!(row.message.contains("`X`, then in `7`") && row.message.contains("erase it"), "{}", row.message);
}
