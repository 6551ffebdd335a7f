use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::units::ByteRange;

const SECTOR: u64 = 512;

fn rules(retry_passes: u32, scrapes: bool) -> RescueRules {
    RescueRules {
        sector_bytes: SECTOR,
        read_bytes_min: 64 << 10,
        read_bytes_max: 1 << 20,
        chunk_bytes: 4 << 20,
        scrapes,
        retry_passes,
    }
}

/// Runs a plan over a drive with bad sectors; gives the plan and how many reads hit one.
fn run(size: u64, bad: &[ByteRange], rules: RescueRules) -> (RescuePlan, u64) {
    let mut plan = RescuePlan::new(ReadMap::new(size, ReadStatus::NonTried), rules);
    let mut failed = 0;
    let mut steps = 0;
    while let Some(range) = plan.next_read() {
        assert!(range.length > 0 && range.end() <= size, "{range}");
        assert_eq!(range.offset / rules.chunk_bytes, (range.end() - 1) / rules.chunk_bytes, "a read crosses chunks");
        assert!(range.offset.is_multiple_of(SECTOR), "{range}");
        let hits = bad.iter().any(|bad| bad.offset < range.end() && range.offset < bad.end());
        failed += u64::from(hits);
        plan.done(range, if hits { ReadOutcome::Failed } else { ReadOutcome::Read });
        steps += 1;
        assert!(steps < 4 * size / SECTOR + 100, "it does not end");
    }
    (plan, failed)
}

#[test]
fn a_good_drive_is_read_once() {
    let (plan, failed) = run(10 << 20, &[], rules(1, true));
    assert_eq!((plan.map().bytes(ReadStatus::Finished), failed), (10 << 20, 0));
    assert_eq!(plan.phase(), RescuePhase::Finished);
}

#[test]
fn only_bad_sectors_stay_bad() {
    let bad = [ByteRange::new(3 << 20, 512), ByteRange::new((5 << 20) + 1024, 2048)];
    let (plan, failed) = run(16 << 20, &bad, rules(0, true));
    assert_eq!(plan.map().ranges(ReadStatus::Bad).as_slice(), bad);
    assert_eq!(plan.map().bytes(ReadStatus::Finished) + 2560, 16 << 20);
    assert!(failed <= 8, "{failed} reads hit a bad sector");
}

#[test]
fn skipping_leaves_the_failed_place_untouched() {
    let (plan, failed) =
        run(1 << 20, &[ByteRange::new(300 << 10, 512)], RescueRules { read_bytes_max: 64 << 10, ..rules(0, false) });
    assert_eq!(plan.map().ranges(ReadStatus::NonTrimmed).as_slice(), [ByteRange::new(256 << 10, 64 << 10)]);
    assert_eq!(failed, 1);
}

#[test]
fn a_slow_place_is_left_for_later() {
    let mut plan = RescuePlan::new(ReadMap::new(64 << 20, ReadStatus::NonTried), rules(0, true));
    let first = plan.next_read().unwrap();
    plan.done(first, ReadOutcome::Slow);
    assert!(plan.next_read().unwrap().offset >= first.end() + (64 << 10));
    assert_eq!(plan.map().bytes(ReadStatus::Finished), first.length);
}

#[test]
fn sectors_known_in_parts_are_as_little_known_as_their_least_known_part() {
    let mut map = ReadMap::new(16_384, ReadStatus::NonTried);
    map.set(ByteRange::new(0, 512), ReadStatus::Finished);
    map.set(ByteRange::new(4096, 8192), ReadStatus::Finished);
    map.set(ByteRange::new(8192 + 512, 512), ReadStatus::Bad);
    let sectors = map.in_sectors(4096);
    let expected =
        [(0, ReadStatus::NonTried), (4096, ReadStatus::Finished), (8192, ReadStatus::Bad), (12_288, ReadStatus::NonTried)];
    let found: Vec<_> = sectors.runs().map(|(range, status)| (range.offset, status)).collect();
    assert_eq!(found, expected);
}

#[test]
fn retries_come_from_both_sides() {
    let bad = [ByteRange::new(0, 1024)];
    let mut plan = RescuePlan::new(ReadMap::new(1024, ReadStatus::Bad), rules(2, true));
    let order: Vec<u64> = std::iter::from_fn(|| {
        let range = plan.next_read()?;
        plan.done(range, ReadOutcome::Failed);
        Some(range.offset)
    })
    .collect();
    assert_eq!(order, [0, 512, 512, 0]);
    assert_eq!(plan.map().ranges(ReadStatus::Bad).as_slice(), bad);
}

#[test]
fn a_mapfile_is_what_ddrescue_writes() {
    let mut map = ReadMap::new(0x0012_0200, ReadStatus::Finished);
    map.set(ByteRange::new(0x0011_7000, 512), ReadStatus::Bad);
    let text = mapfile::write(&map, RescuePhase::Retrying(2), 0x0011_7000);
    assert!(text.contains("\n0x00117000     -               2\n"), "{text}");
    assert!(text.contains("\n0x00000000  0x00117000  +\n0x00117000  0x00000200  -\n0x00117200  0x00009000  +\n"), "{text}");
    assert_eq!(mapfile::read(&text, map.size_bytes()).unwrap(), map);
}

#[test]
fn comments_stand_wherever_ddrescue_takes_them() {
    let text = "# before\n  # indented\n0x0 ? 1 # behind the status\n\n# between\n0x0 0x200 + # behind a block\n0x200 0x200 -#at once\n# after";
    let map = mapfile::read(text, 1024).unwrap();
    assert_eq!((map.bytes(ReadStatus::Finished), map.bytes(ReadStatus::Bad)), (512, 512));
    assert!(mapfile::read("0x0 ? 1\n0x0 # 0x200 +\n", 1024).is_err(), "a comment is not a part of a block");
}

#[test]
fn mapfiles_with_mistakes_are_refused_with_their_line() {
    let head = "# Mapfile\n0x0 ? 1\n";
    let refused = |text: &str| mapfile::read(text, 1024).unwrap_err();
    assert_eq!(refused("# only a comment").line, 1);
    assert_eq!(refused("# x\n0x0 Q 1\n").line, 2);
    assert!(refused(&format!("{head}0x0 0x200")).expected.contains("a position, a size and a status"));
    assert!(refused(&format!("{head}0x0 0x200 +\n0x100 0x200 -")).expected.contains("without gap or overlap"));
    assert!(refused(&format!("{head}0x0 0x200 +\n0x400 0x200 -")).expected.contains("without gap or overlap"));
    assert!(refused(&format!("{head}0x0 0x800 +")).expected.contains("the drive has 1024"));
    assert!(refused(&format!("{head}0xffffffffffffffff 0x800 +")).expected.contains("a position"));
    let short = mapfile::read(&format!("{head}0 0x200 +"), 1024).unwrap();
    assert_eq!(short.bytes(ReadStatus::NonTried), 512, "what it does not speak of was not tried");
    assert_eq!(mapfile::read(&format!("{head}0 01000 -"), 1024).unwrap().bytes(ReadStatus::Bad), 512, "octal");
}

proptest! {
    /// Whichever sectors are bad: every other one is read, no readable one is abandoned, and none is tried more
    /// often than the rules allow.
    #[test]
    fn every_readable_sector_is_recovered(
        sectors in 1_u64..3000,
        bad in proptest::collection::vec((0_u64..3000, 1_u64..40), 0..12),
        retry_passes in 0_u32..3,
        tail in 0_u64..SECTOR,
    ) {
        let size = sectors * SECTOR + tail;
        let bad: Vec<ByteRange> = bad
            .into_iter()
            .filter(|(start, length)| (start + length) * SECTOR <= size)
            .map(|(start, length)| ByteRange::new(start * SECTOR, length * SECTOR))
            .collect();
        let (plan, failed) = run(size, &bad, rules(retry_passes, true));
        let mut expected = ReadMap::new(size, ReadStatus::Finished);
        bad.iter().for_each(|range| expected.set(*range, ReadStatus::Bad));
        prop_assert_eq!(plan.map(), &expected);
        let bad_sectors = expected.bytes(ReadStatus::Bad) / SECTOR;
        prop_assert!(failed <= bad_sectors * (2 + u64::from(retry_passes)), "{} of {}", failed, bad_sectors);
    }

    /// A map is what a plain list of bytes would be.
    #[test]
    fn a_map_agrees_with_a_list(changes in proptest::collection::vec((0_u64..100, 0_u64..40, 0_usize..5), 0..40)) {
        let mut map = ReadMap::new(100, ReadStatus::NonTried);
        let mut list = [ReadStatus::NonTried; 100];
        for (start, length, status) in changes {
            let status = ReadStatus::ALL[status];
            map.set(ByteRange::new(start, length), status);
            let is_in = |index: usize| (start..start + length).contains(&(index as u64));
            list.iter_mut().enumerate().filter(|(index, _)| is_in(*index)).for_each(|(_, old)| *old = status);
        }
        for (index, status) in list.iter().enumerate() {
            prop_assert_eq!(map.status_at(index as u64), *status);
        }
        for status in ReadStatus::ALL {
            let count = list.iter().filter(|found| **found == status).count() as u64;
            prop_assert_eq!(map.bytes(status), count);
            prop_assert_eq!(map.ranges(status).as_slice().iter().map(|range| range.length).sum::<u64>(), count);
            let last = (0..60).rev().find(|index| list[*index] == status).map(|index| index as u64 + 1);
            prop_assert_eq!(map.last_before(60, status).map(|range| range.end()), last);
            let first = (60..100).find(|index| list[*index] == status).map(|index| index as u64);
            prop_assert_eq!(map.first_from(60, status).map(|range| range.offset), first);
        }
        let runs: Vec<_> = map.runs().collect();
        prop_assert!(runs.windows(2).all(|pair| pair[0].1 != pair[1].1 && pair[0].0.end() == pair[1].0.offset));
        let text = mapfile::write(&map, RescuePhase::Copying(1), 0);
        prop_assert_eq!(mapfile::read(&text, 100).unwrap(), map);
    }
}

#[test]
fn a_result_is_told_as_a_map() {
    let result = json!({
        "outcome": "cancelled", "direction": "import", "blob": "c/a.img", "bytes_total": 100, "bytes_sent": 40, "bytes_reused": 0,
        "bytes_zero": 0, "bytes_unreadable": 10, "chunk_size": 10, "chunks": 10, "evidence": "read", "elapsed_seconds": 1.0,
        "stages": { "read": 0.0, "hash": 0.0, "wait": 0.0, "send": 0.0, "write": 0.0, "sync": 0.0 }, "limited_by": "read", "retries": 0,
        "unreadable": [{ "offset": 10, "length": 10 }],
        "receipt": {
            "requested_at": "2026-01-01T00:00:00Z", "drained_at": "2026-01-01T00:00:01Z", "reason": "interrupted", "resume": "x",
            "landed_before_request": { "bytes": 40, "ranges": [{ "offset": 0, "length": 10 }, { "offset": 20, "length": 30 }] },
            "landed_after_request": { "bytes": 0, "ranges": [] },
            "outcome_unknown": { "bytes": 10, "ranges": [{ "offset": 50, "length": 10 }] },
            "never_sent": { "bytes": 50, "ranges": [{ "offset": 10, "length": 10 }, { "offset": 60, "length": 40 }] }
        }
    });
    let mut result: crate::result::TransferResult = serde_json::from_value(result).unwrap();
    let (map, phase) = map_of_result(&result);
    let bytes = [ReadStatus::Finished, ReadStatus::Bad, ReadStatus::NonTried].map(|status| map.bytes(status));
    assert_eq!((bytes, phase), ([40, 10, 50], RescuePhase::Copying(1)));
    assert_eq!(mapfile::read(&mapfile::write(&map, phase, 0), 100).unwrap(), map);
    result.receipt = None;
    let (map, phase) = map_of_result(&result);
    assert_eq!((map.bytes(ReadStatus::Finished), phase), (90, RescuePhase::Finished));
}
