use proptest::prelude::*;
use time::{Duration, OffsetDateTime};

use super::*;

fn start() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn fields() -> Event {
    Event::Change(vec![Field::ReturnAddress, Field::DeliveryPackage])
}

/// Applies events one after another, each of which must be allowed.
fn run(kind: JobKind, drives: &[&str], events: &[Event]) -> Job {
    let mut job = Job::new(kind, drives.iter().map(|id| (*id).to_owned()), start());
    for event in events {
        job = decide(&job, event.clone(), start()).unwrap_or_else(|refusal| panic!("{event:?}: {refusal}")).job;
    }
    job
}

fn check_in(id: &str) -> Event {
    Event::CheckIn(id.into())
}

fn started(id: &str) -> Event {
    Event::CopyStarted(id.into())
}

fn ended(id: &str, end: CopyEnd) -> Event {
    Event::CopyEnded(id.into(), end)
}

/// A job with one drive in each of the states.
fn job_in(state: JobState) -> Job {
    let events = [fields(), Event::Ship, check_in("A"), started("A"), ended("A", CopyEnd::Complete), Event::ShippedBack];
    let failing = [fields(), Event::Ship, check_in("A"), started("A"), ended("A", CopyEnd::Failed), Event::ShippedBack];
    let job = match state {
        JobState::Creating => run(JobKind::Import, &["A"], &events[..1]),
        JobState::Shipping => run(JobKind::Import, &["A"], &events[..2]),
        JobState::Received => run(JobKind::Import, &["A"], &events[..3]),
        JobState::Transferring => run(JobKind::Import, &["A"], &events[..4]),
        JobState::Packaging => run(JobKind::Import, &["A"], &events[..5]),
        JobState::Completed => run(JobKind::Import, &["A"], &events),
        JobState::Closed => run(JobKind::Import, &["A"], &failing),
    };
    assert_eq!(job.state, state);
    job
}

/// Every pair of state and event: where the job goes, `=` where it stays, or `x` where it is refused; in the
/// order of [`JobState::ALL`].
#[test]
fn every_pair_of_state_and_event_is_decided() {
    use JobState::*;
    let stays = |state| Some(state);
    let all_stay = JobState::ALL.map(stays);
    let table = [
        (Event::Change(vec![Field::LogLevel]), [Some(Creating), None, None, None, None, None, None]),
        (Event::Change(vec![Field::DeliveryPackage]), [Some(Creating), Some(Shipping), None, None, None, None, None]),
        (Event::Change(vec![]), all_stay),
        (Event::Ship, [Some(Shipping), Some(Shipping), None, None, None, None, None]),
        (Event::Cancel, [Some(Completed), Some(Shipping), Some(Packaging), Some(Transferring), None, None, None]),
        (Event::Delete, [Some(Creating), None, None, None, None, Some(Completed), Some(Closed)]),
        (check_in("A"), [None, Some(Received), None, None, None, None, None]),
        (Event::NeverReceived(Some("A".into())), [None, Some(Shipping), None, None, None, None, None]),
        (Event::NeverReceived(None), [None; 7]),
        (Event::CheckInSpare("S".into()), [None; 7]),
        (Event::Abandon("A".into()), [None, None, Some(Packaging), Some(Packaging), None, None, None]),
        (Event::Release("A".into()), [None; 7]),
        (Event::Bind { id: "A".into(), serial: "S".into() }, [None, None, Some(Received), Some(Transferring), None, None, None]),
        (started("A"), [None, None, Some(Transferring), None, None, None, None]),
        (ended("A", CopyEnd::Complete), [None, None, None, Some(Packaging), None, None, None]),
        (ended("A", CopyEnd::WithErrors), [None, None, None, Some(Packaging), None, None, None]),
        (ended("A", CopyEnd::Failed), [None, None, None, Some(Packaging), None, None, None]),
        (ended("A", CopyEnd::Cancelled), [None, None, None, Some(Packaging), None, None, None]),
        (Event::Retry { id: "A".into(), was_begun: false }, [None; 7]),
        (Event::UndoCheckIn("A".into()), [None, None, Some(Received), Some(Transferring), Some(Transferring), None, None]),
        (Event::UndoNeverReceived { id: Some("A".into()), announced: 0 }, [None; 7]),
        (Event::ShippedBack, [None, None, None, None, Some(Completed), None, None]),
        (Event::Tick, all_stay),
    ];
    for (event, expected) in table {
        for (state, expected) in JobState::ALL.into_iter().zip(expected) {
            let decided = decide(&job_in(state), event.clone(), start()).ok().map(|decision| decision.job.state);
            assert_eq!(decided, expected, "{event:?} in {state:?}");
        }
    }
}

#[test]
fn fields_may_be_changed_as_the_table_says() {
    for state in JobState::ALL {
        for field in Field::ALL {
            let is_of_parcel = matches!(field, Field::DeliveryPackage | Field::DriveList);
            let expected = state == JobState::Creating || state == JobState::Shipping && is_of_parcel;
            assert_eq!(may_edit(state, field), expected, "{field:?} in {state:?}");
            assert_eq!(decide(&job_in(state), Event::Change(vec![field]), start()).is_ok(), expected, "{field:?} in {state:?}");
        }
    }
}

#[test]
fn serial_numbers_of_drives_that_have_not_come_can_be_corrected() {
    let events = [fields(), Event::Ship, check_in("A"), Event::NeverReceived(Some("B".into()))];
    let job = run(JobKind::Import, &["A", "B", "C"], &events);
    let correct = |ids: &[&str]| correct_drives(&job, ids.iter().map(|id| (*id).to_owned()));
    assert_eq!(correct(&["A", "B", "C"]).as_deref(), Ok(job.drives.as_slice()));
    let states = |ids| correct(ids).map(|drives| drives.into_iter().map(|drive| (drive.state, drive.had_error)).collect());
    let (came, waits, lost) = ((DriveState::Received, false), (DriveState::Specified, false), (DriveState::NeverReceived, true));
    assert_eq!(states(&["A", "B", "X"]), Ok(vec![came, lost, waits]));
    assert_eq!(states(&["X", "A", "C"]), Ok(vec![waits, came, waits]), "a lost drive is waited for again");
    let state = DriveState::Received;
    let came = Refusal::DriveNotInThisState { id: "A".into(), action: "corrected", state };
    assert_eq!(correct(&["X", "B", "C"]), Err(came));
    assert_eq!(correct(&["A", "B"]), Err(Refusal::DriveCount { has: 3, given: 2 }));
}

#[test]
fn a_job_is_shipped_with_its_delivery_and_its_way_back() {
    let job = Job::new(JobKind::Import, ["A".to_owned()], start());
    let refused = |job: &Job| decide(job, Event::Ship, start()).unwrap_err();
    assert_eq!(refused(&job), Refusal::ShippingNeeds { missing: "deliveryPackage" });
    let job = run(JobKind::Import, &["A"], &[Event::Change(vec![Field::DeliveryPackage])]);
    assert_eq!(refused(&job), Refusal::ShippingNeeds { missing: "returnAddress" });
    assert_eq!(refused(&job).status(), 400);
}

#[test]
fn a_job_waits_for_all_of_its_drives_and_closes_where_one_failed() {
    let until_in = [fields(), Event::Ship, check_in("A")];
    assert_eq!(run(JobKind::Import, &["A", "B"], &until_in).state, JobState::Shipping);
    let mut events = until_in.to_vec();
    events.extend([check_in("B"), started("A"), ended("A", CopyEnd::Complete)]);
    assert_eq!(run(JobKind::Import, &["A", "B"], &events).state, JobState::Transferring, "B waits for a bay");
    events.extend([started("B"), ended("B", CopyEnd::WithErrors)]);
    let job = run(JobKind::Import, &["A", "B"], &events);
    assert_eq!((job.state, job.drive("B").unwrap().state), (JobState::Packaging, DriveState::CompletedMoreInfo));
    events.push(Event::ShippedBack);
    let job = run(JobKind::Import, &["A", "B"], &events);
    assert_eq!(job.state, JobState::Closed);
    assert!(job.drives.iter().all(|drive| drive.state == DriveState::ShippedBack));
}

#[test]
fn a_drive_that_was_copied_again_leaves_no_error_behind() {
    let events = [
        fields(),
        Event::Ship,
        check_in("A"),
        check_in("B"),
        started("A"),
        ended("A", CopyEnd::Failed),
        Event::Retry { id: "A".into(), was_begun: false },
        started("A"),
        ended("A", CopyEnd::Complete),
        started("B"),
        ended("B", CopyEnd::Complete),
        Event::ShippedBack,
    ];
    assert_eq!(run(JobKind::Import, &["A", "B"], &events).state, JobState::Completed);
}

#[test]
fn a_copy_that_was_ended_is_taken_back_until_the_drive_is_shipped_back() {
    let mut events = vec![fields(), Event::Ship, check_in("A"), started("A"), Event::Abandon("A".into())];
    let given_up = run(JobKind::Import, &["A"], &events);
    assert_eq!((given_up.state, given_up.had_error()), (JobState::Packaging, true));
    events.push(Event::Retry { id: "A".into(), was_begun: false });
    let again = run(JobKind::Import, &["A"], &events);
    assert_eq!((again.state, again.had_error()), (JobState::Transferring, false));
    assert_eq!(again.drive("A").unwrap().state, DriveState::Received);
    // What a run of it moved is told at its end, also where the job is cancelled before another run begins.
    let begun = decide(&given_up, Event::Retry { id: "A".into(), was_begun: true }, start()).unwrap().job;
    assert_eq!((begun.state, begun.drive("A").unwrap().state), (JobState::Transferring, DriveState::Transferring));
    let cancelled = decide(&begun, Event::Cancel, start()).unwrap();
    assert_eq!((cancelled.job.state, cancelled.effects), (JobState::Transferring, vec![Effect::StopCopy("A".into())]));
    let sent = decide(&given_up, Event::ShippedBack, start()).unwrap().job;
    assert!(decide(&sent, Event::Retry { id: "A".into(), was_begun: false }, start()).is_err());
}

#[test]
fn the_wrong_drive_is_taken_back_until_the_drives_are_shipped_back() {
    let undo = || Event::UndoCheckIn("A".into());
    let events = |more: &[Event]| [&[fields(), Event::Ship], more].concat();
    let bound = Event::Bind { id: "A".into(), serial: "X".into() };
    let complete = [check_in("A"), bound, started("A"), ended("A", CopyEnd::Complete)];
    let packaging = run(JobKind::Import, &["A"], &events(&complete));
    let again = decide(&packaging, undo(), start()).unwrap().job;
    let drive = again.drive("A").unwrap();
    assert_eq!((again.state, drive.state, drive.bound_serial.as_ref()), (JobState::Transferring, DriveState::Received, None));
    assert!(drive.was_mistaken_for("x") && !drive.was_mistaken_for("A"));
    // Where it told the right number, that says nothing any more.
    let twin = run(JobKind::Import, &["A"], &events(&[check_in("A"), started("A"), ended("A", CopyEnd::WithErrors), undo()]));
    assert!(twin.drive("A").unwrap().was_mistaken_for("a") && !twin.had_error());
    // While others are on their way, this one may be too.
    let shipping = run(JobKind::Import, &["A", "B"], &events(&[check_in("A"), undo()]));
    assert_eq!((shipping.state, shipping.drive("A").unwrap().state), (JobState::Shipping, DriveState::Specified));
    let sent = decide(&packaging, Event::ShippedBack, start()).unwrap().job;
    assert_eq!(decide(&sent, undo(), start()).unwrap_err().code(), "DriveStateConflict");
    let cancelled = run(JobKind::Import, &["A"], &events(&[check_in("A"), started("A"), Event::Cancel]));
    assert_eq!(decide(&cancelled, undo(), start()).unwrap_err(), Refusal::Cancelled);
    let spare = export(1, 2, &[check_in("X"), Event::CheckInSpare("Y".into())]);
    assert!(decide(&spare, Event::UndoCheckIn("Y".into()), start()).is_err(), "it has no blob");
    let mut many = packaging;
    for number in 0..100 {
        many = decide(&many, Event::UndoCheckIn("A".into()), start()).unwrap().job;
        many = decide(&many, Event::Bind { id: "A".into(), serial: format!("S{number}") }, start()).unwrap().job;
    }
    assert_eq!(many.drive("A").unwrap().wrong_serials.len(), 32, "the newest are kept");
}

#[test]
fn that_a_drive_never_came_is_taken_back_while_it_is_waited_for() {
    let undo = |id: Option<&str>, announced| Event::UndoNeverReceived { id: id.map(str::to_owned), announced };
    let never = |id: &str| Event::NeverReceived(Some(id.into()));
    let job = run(JobKind::Import, &["A", "B"], &[fields(), Event::Ship, never("A")]);
    let again = decide(&job, undo(Some("A"), 0), start()).unwrap().job;
    assert_eq!((again.drive("A").unwrap().state, again.had_error()), (DriveState::Specified, false));
    assert_eq!(decide(&job, undo(Some("B"), 0), start()).unwrap_err().code(), "DriveStateConflict");
    let late = start() + Duration::days(14);
    assert_eq!(decide(&job, undo(Some("A"), 0), late).unwrap_err(), Refusal::WaitIsOver);
    // The others are being copied: it is checked in when it comes.
    let received = decide(&job, check_in("B"), start()).unwrap().job;
    assert_eq!(received.state, JobState::Received);
    assert_eq!(decide(&received, undo(Some("A"), 0), start()).unwrap_err(), Refusal::WaitIsOver);
    let mut waiting = export(2, 2, &[Event::NeverReceived(None)]);
    assert!(!waiting.awaits_drives());
    waiting = decide(&waiting, undo(None, 2), start()).unwrap().job;
    assert!(waiting.awaits_drives());
    assert_eq!(decide(&waiting, undo(None, 2), start()).unwrap_err().code(), "JobStateConflict", "nothing is left to take back");
}

/// An export of so many blobs, of which so many drives were announced.
fn export(blobs: usize, announced: usize, events: &[Event]) -> Job {
    let mut job = run(JobKind::Export, &[], &[fields(), Event::BlobsFound(blobs), Event::Ship]);
    job.expected_drives = announced;
    for event in events {
        job = decide(&job, event.clone(), start()).unwrap_or_else(|refusal| panic!("{event:?}: {refusal}")).job;
    }
    job
}

#[test]
fn an_export_begins_when_each_of_its_blobs_has_a_drive() {
    let spare = || Event::CheckInSpare("Y".into());
    assert_eq!(export(1, 2, &[check_in("X")]).state, JobState::Received, "the second drive is a spare");
    assert_eq!(export(2, 2, &[check_in("X")]).state, JobState::Shipping);
    assert_eq!(export(2, 1, &[check_in("X")]).state, JobState::Received, "all that was announced is here");
    assert_eq!(export(2, 2, &[check_in("X"), spare()]).state, JobState::Received, "no other drive comes");
    assert_eq!(export(2, 3, &[check_in("X"), Event::NeverReceived(None)]).state, JobState::Received);
    let done = [check_in("X"), spare(), started("X"), ended("X", CopyEnd::Complete)];
    let job = export(1, 2, &done);
    assert_eq!(job.state, JobState::Packaging);
    let job = decide(&job, Event::ShippedBack, start()).unwrap().job;
    assert_eq!((job.state, job.drive("Y").unwrap().state), (JobState::Completed, DriveState::ShippedBack));
    assert_eq!(export(1, 1, &[spare()]).state, JobState::Packaging, "nothing can be copied: what came goes back");
}

#[test]
fn a_released_blob_waits_for_another_drive() {
    let job = export(1, 1, &[check_in("X"), started("X"), Event::Release("X".into())]);
    assert_eq!((job.state, job.awaits_drives()), (JobState::Transferring, true));
    let replaced = decide(&job, check_in("Y"), start()).unwrap().job;
    assert!(!replaced.awaits_drives());
    let none = decide(&job, Event::NeverReceived(None), start()).unwrap().job;
    assert_eq!(none.state, JobState::Packaging, "no other drive comes");
    // Also after its copy was ended.
    let given_up = export(1, 1, &[check_in("X"), Event::Abandon("X".into()), Event::Release("X".into())]);
    assert_eq!((given_up.state, given_up.awaits_drives(), given_up.had_error()), (JobState::Transferring, true, false));
    let back = decide(&given_up, check_in("X"), start()).unwrap().job;
    assert_eq!((back.drive("X").unwrap().state, back.awaits_drives()), (DriveState::Received, false));
}

#[test]
fn every_announced_drive_of_a_cancelled_export_is_waited_for() {
    let job = export(1, 2, &[Event::Cancel, check_in("X")]);
    assert_eq!(job.state, JobState::Shipping, "the second is to be sent back too");
    assert_eq!(decide(&job, check_in("Y"), start()).unwrap().job.state, JobState::Packaging);
    assert_eq!(decide(&job, Event::NeverReceived(None), start()).unwrap().job.state, JobState::Packaging);
    assert_eq!(export(1, 1, &[Event::Cancel, Event::NeverReceived(None)]).state, JobState::Completed);
}

#[test]
fn the_drives_of_an_export_are_known_when_they_come() {
    let events = [fields(), Event::Ship, check_in("X")];
    let job = run(JobKind::Export, &[], &events);
    assert_eq!((job.state, job.drives.len()), (JobState::Received, 1));
    let import = run(JobKind::Import, &["A"], &events[..2]);
    assert_eq!(decide(&import, check_in("X"), start()).unwrap_err().code(), "DriveNotFound");
}

#[test]
fn a_cancel_stops_what_is_copied_and_begins_nothing_more() {
    let job = run(JobKind::Import, &["A", "B"], &[fields(), Event::Ship, check_in("A"), check_in("B"), started("A")]);
    let decision = decide(&job, Event::Cancel, start()).unwrap();
    assert_eq!(decision.effects, [Effect::StopCopy("A".into())]);
    assert_eq!(decision.job.state, JobState::Transferring, "A drains");
    assert_eq!(decide(&decision.job, started("B"), start()).unwrap_err(), Refusal::Cancelled);
    let again = decide(&decision.job, Event::Cancel, start() + Duration::hours(1)).unwrap();
    assert_eq!((again.job, again.effects), (decision.job.clone(), vec![]), "a second cancel changes nothing");
    // However it ends, it is not an error of a cancelled job.
    let drained = decide(&decision.job, ended("A", CopyEnd::Failed), start()).unwrap();
    assert_eq!(
        (drained.job.state, drained.effects),
        (JobState::Packaging, vec![Effect::PublishLogs("A".into()), Effect::PublishReceipts])
    );
    let over = decide(&drained.job, Event::ShippedBack, start()).unwrap().job;
    assert_eq!(over.state, JobState::Completed);
    assert_eq!(decide(&over, Event::Cancel, start()).unwrap().job, over, "a second cancel changes nothing, wherever it stands");
}

#[test]
fn a_job_cancelled_on_its_way_is_sent_back_when_it_comes() {
    let job = run(JobKind::Import, &["A"], &[fields(), Event::Ship, Event::Cancel]);
    assert_eq!(job.state, JobState::Shipping);
    let decision = decide(&job, check_in("A"), start()).unwrap();
    assert_eq!((decision.job.state, decision.effects), (JobState::Packaging, vec![Effect::PublishReceipts]));
}

fn after(job: &Job, days: i64) -> Decision {
    decide(job, Event::Tick, start() + Duration::days(days)).unwrap()
}

#[test]
fn time_does_what_the_table_says() {
    let creating = job_in(JobState::Creating);
    assert_eq!(after(&creating, 13).effects, []);
    assert_eq!(after(&creating, 14).effects, [Effect::Remove]);
    let touched = decide(&creating, Event::Change(vec![Field::LogLevel]), start() + Duration::days(10)).unwrap().job;
    assert_eq!(after(&touched, 23).effects, [], "a change starts the fourteen days again");

    let shipping = run(JobKind::Import, &["A", "B"], &[fields(), Event::Ship, check_in("A")]);
    let missing = after(&shipping, 14);
    assert_eq!(missing.job.drive("B").unwrap().state, DriveState::NeverReceived);
    assert_eq!((missing.job.state, missing.effects), (JobState::Received, vec![Effect::AlertOperators]));
    let late = decide(&missing.job, check_in("B"), start() + Duration::days(15)).unwrap().job;
    assert!(!late.had_error(), "a drive that came after all is none that is missing");

    let mut export = run(JobKind::Export, &[], &[fields(), Event::Ship]);
    export.expected_drives = 3;
    export = decide(&export, check_in("X"), start()).unwrap().job;
    assert_eq!(export.state, JobState::Shipping, "two more are to come");
    let missing = after(&export, 14);
    assert_eq!((missing.job.state, missing.effects), (JobState::Received, vec![Effect::AlertOperators]));

    let silent = after(&job_in(JobState::Shipping), 30);
    assert_eq!(silent.job.state, JobState::Closed);
    let cancelled = run(JobKind::Import, &["A"], &[fields(), Event::Ship, Event::Cancel]);
    assert_eq!(after(&cancelled, 30).job.state, JobState::Completed, "a cancelled job ends Completed, never Closed");
    assert_eq!(after(&run(JobKind::Export, &[], &[fields(), Event::Ship]), 30).job.state, JobState::Closed);

    for state in [JobState::Completed, JobState::Closed] {
        assert_eq!(after(&job_in(state), 89).effects, []);
        assert_eq!(after(&job_in(state), 90).effects, [Effect::Remove]);
    }
    for state in [JobState::Received, JobState::Transferring, JobState::Packaging] {
        assert_eq!(next_timer(&job_in(state)), None, "{state:?} waits for people");
    }
}

#[test]
fn refusals_say_what_is_allowed_instead() {
    let refusal = decide(&job_in(JobState::Packaging), Event::Cancel, start()).unwrap_err();
    assert_eq!(refusal.status(), 409);
    let text = refusal.to_string();
    assert!(text.contains("cannot be cancelled") && text.contains("sent back"), "{text}");
}

fn any_event() -> impl Strategy<Value = Event> {
    let id = prop_oneof![Just("A".to_owned()), Just("B".to_owned()), Just("C".to_owned())];
    let end = prop_oneof![Just(CopyEnd::Complete), Just(CopyEnd::WithErrors), Just(CopyEnd::Failed), Just(CopyEnd::Cancelled)];
    prop_oneof![
        Just(fields()),
        Just(Event::Ship),
        Just(Event::Cancel),
        Just(Event::Delete),
        id.clone().prop_map(Event::CheckIn),
        proptest::option::of(id.clone()).prop_map(Event::NeverReceived),
        id.clone().prop_map(Event::CheckInSpare),
        id.clone().prop_map(Event::Abandon),
        id.clone().prop_map(Event::Release),
        id.clone().prop_map(Event::UndoCheckIn),
        (proptest::option::of(id.clone()), 0_usize..4).prop_map(|(id, announced)| Event::UndoNeverReceived { id, announced }),
        (0_usize..4).prop_map(Event::BlobsFound),
        id.clone().prop_map(Event::CopyStarted),
        (id.clone(), end).prop_map(|(id, end)| Event::CopyEnded(id, end)),
        (id, any::<bool>()).prop_map(|(id, was_begun)| Event::Retry { id, was_begun }),
        Just(Event::ShippedBack),
        Just(Event::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Random histories, with time going on by days: the rules that no history may break.
    #[test]
    fn no_history_breaks_the_rules(
        kind in prop_oneof![Just(JobKind::Import), Just(JobKind::Export)],
        history in proptest::collection::vec((any_event(), 0_i64..9), 1..60),
    ) {
        let drives: &[&str] = if kind == JobKind::Import { &["A", "B"] } else { &[] };
        let mut job = Job::new(kind, drives.iter().map(|id| (*id).to_owned()), start());
        let mut now = start();
        let mut seen = vec![job.state];
        for (event, days) in history {
            now += Duration::days(days);
            let Ok(Decision { job: next, effects }) = decide(&job, event.clone(), now) else { continue };
            if job.state.is_final() {
                prop_assert_eq!(next.state, job.state, "a job never leaves a final state");
            }
            prop_assert!(next.cancel_requested || !job.cancel_requested, "a cancel is never taken back");
            for drive in &next.drives {
                let before = job.drive(&drive.id).map(|drive| drive.state);
                let begins = drive.state == DriveState::Transferring && before != Some(DriveState::Transferring);
                prop_assert!(!(begins && job.cancel_requested), "nothing is copied after a cancel");
                prop_assert!(drive.state != DriveState::Transferring || next.state == JobState::Transferring);
                if before.is_some_and(DriveState::is_final) {
                    let came_late = before == Some(DriveState::NeverReceived) && drive.state == DriveState::Received;
                    let is_undone = matches!(event, Event::UndoNeverReceived { .. }) && drive.state == DriveState::Specified;
                    prop_assert!(before == Some(drive.state) || came_late || is_undone, "{:?} became {:?}", before, drive.state);
                }
            }
            if effects.contains(&Effect::Remove) {
                let allowed = matches!(job.state, JobState::Creating | JobState::Completed | JobState::Closed);
                prop_assert!(allowed, "a job in {:?} was removed", job.state);
            }
            if next.cancel_requested {
                prop_assert_ne!(next.state, JobState::Closed, "a cancelled job ends Completed");
            }
            if next.state.is_final() {
                let over = next.drives.iter().all(|drive| drive.state.is_final());
                prop_assert!(over, "a drive has no end: {:?}", next.drives);
            }
            let is_reopened = matches!(event, Event::Retry { .. } | Event::Release(_) | Event::UndoCheckIn(_)) && job.state == JobState::Packaging;
            prop_assert!(next.state >= job.state || is_reopened, "a job goes forward: {:?} to {:?}", job.state, next.state);
            // What is due was done: another tick finds nothing more.
            let settled = decide(&next, Event::Tick, now).unwrap();
            if event == Event::Tick {
                prop_assert_eq!(&settled.job, &next);
            }
            if seen.last() != Some(&next.state) {
                seen.push(next.state);
            }
            job = next;
        }
    }
}
