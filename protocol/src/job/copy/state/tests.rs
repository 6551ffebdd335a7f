//! How a copy moves, and what is kept of it.

use super::*;
use crate::job::copy::{LogAddresses, TargetSeen};
use crate::receipt::ByteClass;
use crate::units::ByteRange;

const ALL_OUTCOMES: [Outcome; 8] = [
    Outcome::Complete,
    Outcome::Failed,
    Outcome::Refused,
    Outcome::CompleteWithUnreadable,
    Outcome::Mismatch,
    Outcome::DriveFailed,
    Outcome::StoreFailed,
    Outcome::Cancelled,
];

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH
}

fn begin() -> CopyEvent {
    let blob = BlobName { container: "c".to_owned(), name: "n".to_owned() };
    CopyEvent::Begin { bay: "1".to_owned(), blob, size_bytes: Some(9) }
}

fn ended(outcome: Outcome, cancel_requested: bool) -> CopyEvent {
    let receipt = (!outcome.is_complete()).then(|| Receipt::new(StopReason::Failed, now(), now(), String::new()));
    let result = TransferResult { receipt, ..TransferResult::not_begun(outcome, Direction::Import, "c/n") };
    let end = RunEnd { bay: "1".to_owned(), result, is_account_only: false, cancel_requested };
    CopyEvent::RunEnded(Box::new(end))
}

fn held() -> CopyState {
    let hold =
        Hold { outcome: Outcome::Failed, message: String::new(), since: now(), retry_at: None, fix: RetryOptions::default() };
    CopyState::Held(hold)
}

/// Every pair of state and event: the name of the state that follows, or `-` where it is refused.
#[test]
fn every_pair_of_state_and_event_is_decided() {
    let states = [CopyState::Waiting, CopyState::Open, CopyState::Paused, held(), CopyState::Ended];
    let table = [
        (begin(), ["open", "open", "-", "open", "-"]),
        (ended(Outcome::Complete, false), ["ended"; 5]),
        (ended(Outcome::CompleteWithUnreadable, false), ["ended"; 5]),
        (ended(Outcome::Failed, true), ["ended"; 5]),
        (ended(Outcome::Cancelled, true), ["ended"; 5]),
        (ended(Outcome::Cancelled, false), ["waiting", "waiting", "paused", "waiting", "ended"]),
        (ended(Outcome::Refused, false), ["held", "held", "held", "held", "ended"]),
        (CopyEvent::Pause, ["paused", "paused", "paused", "paused", "-"]),
        (CopyEvent::Allow(RetryOptions::default()), ["waiting", "open", "waiting", "waiting", "waiting"]),
        (CopyEvent::Abandon, ["ended", "ended", "ended", "ended", "-"]),
        (CopyEvent::EndWithoutRun { direction: Direction::Import }, ["ended"; 5]),
        (CopyEvent::Release, ["ended"; 5]),
        (CopyEvent::CheckedIn { blob: None, size_bytes: Some(9) }, ["waiting", "open", "paused", "held", "ended"]),
        (CopyEvent::UndoCheckIn { serial: "S".to_owned(), direction: Direction::Import }, ["waiting"; 5]),
    ];
    for (event, expected) in table {
        for (state, expected) in states.iter().zip(expected) {
            let record = CopyRecord { state: state.clone(), is_unaccounted: *state == CopyState::Open, ..CopyRecord::default() };
            let decided = decide_copy(&record, event.clone(), now());
            let found = decided.as_ref().map_or("-", |(record, _)| record.state.name());
            assert_eq!(found, expected, "{} {event:?}", state.name());
        }
    }
}

#[test]
fn nothing_of_a_cancelled_job_waits() {
    for outcome in ALL_OUTCOMES {
        let (record, step) = decide_copy(&CopyRecord::default(), ended(outcome, true), now()).unwrap();
        assert!(record.state == CopyState::Ended && matches!(step, CopyStep::End(_)), "{outcome:?}");
        let (record, _) = decide_copy(&CopyRecord::default(), ended(outcome, false), now()).unwrap();
        assert_eq!(record.state == CopyState::Ended, outcome.is_complete(), "{outcome:?}");
    }
}

#[test]
fn a_run_that_was_cut_off_is_told_to_the_next() {
    let (open, step) = decide_copy(&CopyRecord::default(), begin(), now()).unwrap();
    assert_eq!(step, CopyStep::Begin { was_cut_off: false, retry: RetryOptions::default() });
    let (_, step) = decide_copy(&open, begin(), now()).unwrap();
    assert!(matches!(step, CopyStep::Begin { was_cut_off: true, .. }));
    // A run that could not even be begun says nothing of what the one before moved.
    let CopyEvent::RunEnded(mut end) = ended(Outcome::Refused, false) else { unreachable!() };
    end.result.receipt = None;
    let (held, _) = decide_copy(&open, CopyEvent::RunEnded(end), now()).unwrap();
    assert!(held.is_unaccounted);
    let (allowed, _) = decide_copy(&held, CopyEvent::Allow(RetryOptions::default()), now()).unwrap();
    assert_eq!(allowed.state, CopyState::Open);
}

#[test]
fn a_cancelled_copy_is_over_when_it_is_told_what_it_moved() {
    let CopyEvent::RunEnded(mut end) = ended(Outcome::DriveFailed, true) else { unreachable!() };
    end.result.receipt = None;
    let running = CopyRecord { state: CopyState::Open, is_unaccounted: true, runs: 1, ..CopyRecord::default() };
    let (open, step) = decide_copy(&running, CopyEvent::RunEnded(end.clone()), now()).unwrap();
    assert_eq!((open.state.name(), step), ("open", CopyStep::Nothing), "its drive failed before it could tell");
    end.is_account_only = true;
    let (over, step) = decide_copy(&open, CopyEvent::RunEnded(end), now()).unwrap();
    assert_eq!((over.state.name(), step), ("ended", CopyStep::End(CopyEnd::Cancelled)));
}

#[test]
fn where_it_will_never_be_told_what_a_run_moved_all_of_it_counts_as_unknown() {
    let CopyEvent::RunEnded(mut end) = ended(Outcome::Failed, true) else { unreachable!() };
    (end.is_account_only, end.result.receipt) = (true, None);
    let earlier = Receipt::of_nothing(4096, StopReason::Paused, now(), String::new());
    let earlier = TransferResult { receipt: Some(earlier), ..end.result.clone() };
    let running = CopyRecord {
        state: CopyState::Open,
        is_unaccounted: true,
        runs: 2,
        size_bytes: Some(4096),
        result: Some(earlier),
        ..CopyRecord::default()
    };
    let (over, _) = decide_copy(&running, CopyEvent::RunEnded(end), now()).unwrap();
    let receipt = over.result.unwrap().receipt.unwrap();
    assert_eq!((receipt.outcome_unknown.bytes, receipt.never_sent.bytes), (4096, 0), "the earlier run's is not of this one");
}

#[test]
fn a_held_copy_knows_what_fixes_it() {
    let message = "the drive `/dev/sdb` cannot read 0+4096; `--on-unreadable rescue` copies all that can be read";
    let CopyEvent::RunEnded(mut end) = ended(Outcome::DriveFailed, false) else { unreachable!() };
    end.result.error = Some(message.to_owned());
    let (held, _) = decide_copy(&CopyRecord::default(), CopyEvent::RunEnded(end), now()).unwrap();
    assert_eq!(held.hold().unwrap().fix, RetryOptions { rescue: true, ..RetryOptions::default() });
    let told = &held.hold().unwrap().message;
    assert_eq!(told, "the drive `/dev/sdb` cannot read 0+4096: what can be read can be rescued", "staff have no such option");
}

#[test]
fn what_a_run_needed_is_kept_until_the_copy_ends() {
    let step = |record: &CopyRecord, event| decide_copy(record, event, now()).unwrap();
    let options = RetryOptions { overwrite: true, restart: true, ..RetryOptions::default() };
    let (allowed, _) = step(&CopyRecord::default(), CopyEvent::Allow(options));
    let (open, begun) = step(&allowed, begin());
    assert_eq!(begun, CopyStep::Begin { was_cut_off: false, retry: options });
    // A run after a kill, one after a failure of the store and one after a pause replace the blob too; they start over no more.
    let again = RetryOptions { restart: false, ..options };
    let next = |record: &CopyRecord| match step(record, begin()) {
        (_, CopyStep::Begin { retry, .. }) => retry,
        other => panic!("{other:?}"),
    };
    assert_eq!(next(&open), again);
    assert_eq!(next(&step(&open, ended(Outcome::StoreFailed, false)).0), again);
    let (paused, _) = step(&open, CopyEvent::Pause);
    let (paused, _) = step(&paused, ended(Outcome::Cancelled, false));
    assert_eq!(next(&step(&paused, CopyEvent::Allow(RetryOptions::default())).0), again);
    // What the next run needs besides is added to it, and an operator who does not say so takes it back.
    let CopyEvent::RunEnded(mut end) = ended(Outcome::DriveFailed, false) else { unreachable!() };
    end.result.error = Some("it cannot be read; `--on-unreadable rescue` copies all that can".to_owned());
    let (held, _) = step(&open, CopyEvent::RunEnded(end));
    assert_eq!(held.hold().unwrap().fix, RetryOptions { rescue: true, ..again });
    assert_eq!(next(&step(&held, CopyEvent::Allow(RetryOptions::default())).0), RetryOptions::default());
    // One that is copied again after its end begins as any.
    let (given_up, _) = step(&held, CopyEvent::Abandon);
    assert_eq!(next(&step(&given_up, CopyEvent::Allow(RetryOptions::default())).0), RetryOptions::default());
}

#[test]
fn the_logs_of_a_drive_that_gets_another_blob_stay_known() {
    let logs = |name: &str| LogAddresses { error: Some(name.to_owned()), ..LogAddresses::default() };
    let record = CopyRecord { logs: logs("second"), earlier_logs: vec![logs("first")], runs: 2, ..CopyRecord::default() };
    let (released, _) = decide_copy(&record, CopyEvent::Release, now()).unwrap();
    let blob = BlobName { container: "c".to_owned(), name: "other".to_owned() };
    let target = TargetSeen { mark: "m".to_owned(), at: now(), docked_at: None };
    let next = released.for_blob(blob.clone(), Some(9), target);
    assert_eq!((next.earlier_logs, next.logs), (vec![logs("first"), logs("second")], LogAddresses::default()));
    assert_eq!((next.state, next.runs, next.blob), (CopyState::Waiting, 0, Some(blob)));
}

#[test]
fn only_a_store_is_tried_again_without_a_person() {
    assert_eq!(retry_at(Outcome::DriveFailed, 1, now()), None);
    assert_eq!(retry_at(Outcome::StoreFailed, 1, now()), Some(now() + Duration::minutes(1)));
    assert_eq!(retry_at(Outcome::StoreFailed, 3, now()), Some(now() + Duration::minutes(4)));
    assert_eq!(retry_at(Outcome::StoreFailed, 4_000_000, now()), Some(now() + Duration::hours(1)));
}

#[test]
fn a_copy_with_unreadable_places_replaces_its_own_blob() {
    let (done, _) = decide_copy(&CopyRecord::default(), ended(Outcome::CompleteWithUnreadable, false), now()).unwrap();
    let (again, _) = decide_copy(&done, CopyEvent::Allow(RetryOptions::default()), now()).unwrap();
    assert!(again.retry.restart && again.retry.overwrite && !again.retry.rescue);
    let (abandoned, _) = decide_copy(&CopyRecord::default(), CopyEvent::Abandon, now()).unwrap();
    let (again, _) = decide_copy(&abandoned, CopyEvent::Allow(RetryOptions::default()), now()).unwrap();
    assert_eq!((again.retry, again.is_abandoned), (RetryOptions::default(), false));
}

fn with_size() -> CopyRecord {
    let blob = BlobName { container: "c".to_owned(), name: "n".to_owned() };
    CopyRecord { blob: Some(blob), size_bytes: Some(1000), runs: 1, ..CopyRecord::default() }
}

/// A result that says that nothing of a thousand bytes moved.
fn of_nothing() -> TransferResult {
    let receipt = Receipt::of_nothing(1000, StopReason::JobCancelled, now(), String::new());
    TransferResult::cancelled_before_its_first_byte(Direction::Import, "c/n", 1000, receipt)
}

#[test]
fn a_copy_that_is_cancelled_without_a_run_accounts_for_every_byte() {
    let refused = TransferResult::not_begun(Outcome::Refused, Direction::Import, "c/n");
    for record in [with_size(), CopyRecord { result: Some(refused), ..with_size() }] {
        let (record, _) = decide_copy(&record, CopyEvent::EndWithoutRun { direction: Direction::Import }, now()).unwrap();
        let result = record.result.as_ref().unwrap();
        assert_eq!((result.outcome, result.bytes_total), (Outcome::Cancelled, 1000));
        assert_eq!(result.receipt.as_ref().unwrap().never_sent.bytes, 1000);
        assert!(record.status(false, true).starts_with("Cancelled: 0 bytes landed"), "{}", record.status(false, true));
    }
}

#[test]
fn what_an_earlier_run_completed_stays_told() {
    let complete = TransferResult { receipt: None, outcome: Outcome::CompleteWithUnreadable, ..of_nothing() };
    let record = CopyRecord { result: Some(complete.clone()), ..with_size() };
    let end = RunEnd { bay: "bay-1".to_owned(), result: of_nothing(), is_account_only: false, cancel_requested: true };
    for event in [CopyEvent::EndWithoutRun { direction: Direction::Import }, CopyEvent::RunEnded(Box::new(end))] {
        let (record, _) = decide_copy(&record, event, now()).unwrap();
        assert_eq!((record.result.as_ref(), record.is_unaccounted), (Some(&complete), false));
    }
}

#[test]
fn a_record_keeps_the_first_of_very_many_ranges_and_counts_all() {
    const PLACES: u64 = 100_000;
    let unreadable: Vec<ByteRange> = (0..PLACES).map(|index| ByteRange::new(index * 1024, 512)).collect();
    let mut receipt = Receipt::new(StopReason::DriveFailed, now(), now(), String::new());
    for range in &unreadable {
        receipt.add(ByteClass::NeverSent, *range);
        receipt.add(ByteClass::LandedBeforeRequest, ByteRange::new(range.end(), 512));
    }
    let failed = TransferResult::not_begun(Outcome::DriveFailed, Direction::Import, "c/n");
    let result = TransferResult { bytes_unreadable: PLACES * 512, unreadable, receipt: Some(receipt), ..failed };
    let end = RunEnd { bay: "bay-1".to_owned(), result, is_account_only: false, cancel_requested: false };
    let (record, _) = decide_copy(&with_size(), CopyEvent::RunEnded(Box::new(end)), now()).unwrap();
    assert!(serde_json::to_string(&record).unwrap().len() < 200_000);
    assert_eq!(record.result.as_ref().unwrap().unreadable_ranges_total, Some(PLACES));
    // Bytes stay exact when it is cancelled later.
    let (record, _) = decide_copy(&record, CopyEvent::EndWithoutRun { direction: Direction::Import }, now()).unwrap();
    let landed = record.result.unwrap().receipt.unwrap().landed_before_request;
    assert_eq!((landed.bytes, landed.ranges_total), (PLACES * 512, Some(PLACES)));
}

/// A copy of the wrong drive, ended with this outcome.
fn of_wrong_drive(outcome: Outcome) -> CopyRecord {
    let (open, _) = decide_copy(&CopyRecord::default(), begin(), now()).unwrap();
    let CopyEvent::RunEnded(mut end) = ended(outcome, false) else { unreachable!() };
    end.result.transfer_id = Some("t".to_owned());
    let (done, _) = decide_copy(&open, CopyEvent::RunEnded(end), now()).unwrap();
    CopyRecord { logs: LogAddresses { error: Some("log".to_owned()), ..LogAddresses::default() }, ..done }
}

#[test]
fn a_copy_of_the_wrong_drive_is_as_if_it_had_not_begun_and_what_it_left_is_known() {
    let undo = |record: &CopyRecord, direction| {
        decide_copy(record, CopyEvent::UndoCheckIn { serial: "S".to_owned(), direction }, now()).unwrap().0
    };
    let next = undo(&of_wrong_drive(Outcome::Complete), Direction::Import);
    assert_eq!((next.runs, &next.result, next.size_bytes), (0, &None, None));
    assert_eq!(next.retry, RetryOptions { restart: true, ..RetryOptions::default() }, "nothing is replaced by itself");
    let (allowed, _) = decide_copy(&next, CopyEvent::Allow(RetryOptions::default()), now()).unwrap();
    assert!(allowed.retry.restart && !allowed.retry.overwrite, "also where it is paused and resumed first");
    assert!(next.mistakes[0].has_blob && next.mistakes[0].sentence().is_some());
    assert_eq!((next.mistakes[0].bay.as_deref(), next.earlier_logs.len()), (Some("1"), 1));
    // What was cut short left no blob, and something that its transfer knows.
    let next = undo(&of_wrong_drive(Outcome::Refused), Direction::Import);
    assert_eq!((next.mistakes[0].has_blob, next.mistakes[0].transfer_id.as_deref()), (false, Some("t")));
    assert_eq!(next.mistakes[0].sentence(), None);
    let next = undo(&of_wrong_drive(Outcome::Complete), Direction::Export);
    assert!(next.mistakes[0].has_written("s") && next.mistakes[0].sentence().is_some());
    assert_eq!(next.size_bytes, Some(9), "the blob has its size");
    // One that was never begun left nothing.
    assert_eq!(undo(&CopyRecord::default(), Direction::Import), CopyRecord::default());
}

#[test]
fn a_blob_of_the_wrong_drive_is_told_until_it_is_replaced() {
    let undone = CopyEvent::UndoCheckIn { serial: "S".to_owned(), direction: Direction::Import };
    let (waiting, _) = decide_copy(&of_wrong_drive(Outcome::Complete), undone, now()).unwrap();
    let (open, _) = decide_copy(&waiting, begin(), now()).unwrap();
    let CopyEvent::RunEnded(mut end) = ended(Outcome::Refused, false) else { unreachable!() };
    end.result.receipt = None;
    let (held, _) = decide_copy(&open, CopyEvent::RunEnded(end), now()).unwrap();
    assert!(held.mistakes[0].has_blob, "it was not replaced");
    let (done, _) = decide_copy(&held, ended(Outcome::Complete, false), now()).unwrap();
    assert!(!done.mistakes[0].has_blob);
}

#[test]
fn a_copy_that_was_never_begun_tells_what_is_known_of_it() {
    let blob = BlobName { container: "c".to_owned(), name: "n".to_owned() };
    let cancelled = |size_bytes| {
        let event = CopyEvent::CheckedIn { blob: Some(blob.clone()), size_bytes };
        let (record, _) = decide_copy(&CopyRecord::default(), event, now()).unwrap();
        decide_copy(&record, CopyEvent::EndWithoutRun { direction: Direction::Import }, now()).unwrap().0
    };
    let known = cancelled(Some(9));
    let result = known.result.clone().unwrap();
    assert_eq!((result.bytes_total, result.receipt.unwrap().never_sent.bytes), (9, 9));
    assert!(known.status(false, true).ends_with("9 never sent"), "{}", known.status(false, true));
    let unknown = cancelled(None);
    assert_eq!(unknown.result, None, "a receipt over no bytes would say something else");
    assert_eq!(unknown.status(false, true), "Cancelled: nothing was copied, and the size of the drive is not known");
    // The size of a drive that is docked later counts; that of a run does not change.
    let event = |size_bytes| CopyEvent::CheckedIn { blob: None, size_bytes };
    let (open, _) = decide_copy(&CopyRecord::default(), begin(), now()).unwrap();
    assert_eq!(decide_copy(&open, event(Some(10)), now()).unwrap().0.size_bytes, Some(9));
}
