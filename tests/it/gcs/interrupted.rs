//! Kills, cancels, leftovers: nothing moved twice, nothing lost, nothing of another transfer touched.

use std::time::Duration;

use rustix::process::Signal;

use super::{CHUNK, assert_clean, import, residue_bytes, run, scene, stop_after};
use crate::support::Workbench;
use crate::support::agent::{check_receipt, number};
use crate::support::gcs_fake::{Fault, GcsFake, On};
use crate::support::images::{change_byte, patterned, random_bytes};

/// Chunks that a budget of 256 KiB has under way at most, in bytes.
const UNDER_WAY_BYTES: u64 = 8 * CHUNK as u64;

#[test]
fn killed_at_many_points_an_import_resumes_without_a_wrong_byte() {
    for seed in [0, 7] {
        let (fake, bench, bytes) = scene(20 * CHUNK + 100);
        let mut kills = 0;
        loop {
            fake.set_put_delay(Duration::from_millis(15));
            let mut running = import(&fake, &bench).with(&["--concurrency", "2"]).start();
            // Any moment is a good one for a kill: no event is waited for.
            std::thread::sleep(Duration::from_millis(35 + (seed + 17 * kills) % 120));
            if kills < 10 && !running.has_ended() {
                running.signal(Signal::KILL);
            }
            let ended = running.wait();
            fake.settle();
            if ended.code == Some(0) {
                break;
            }
            assert_eq!(ended.code, None, "{}", ended.stderr);
            kills += 1;
        }
        assert!(kills >= 5, "the kills came too late to mean anything: {kills}");
        assert!(fake.object("blob").unwrap() == bytes);
        let bound = bytes.len() as u64 + kills * UNDER_WAY_BYTES;
        assert!(fake.bytes_received() <= bound, "{} bytes in spite of {kills} kills", fake.bytes_received());
        assert_clean(&fake, "blob");
        assert!(bench.journals().is_empty());
    }
}

#[test]
fn killed_at_every_named_point_an_import_resumes() {
    for point in [
        "journal-begun",
        "target-begun",
        "records-appended",
        "commit-noted",
        "piece-composed:1",
        "piece-composed:3",
        "target-assembled",
        "target-published",
        "committed-noted",
        "manifest-written",
        "manifest-allowed",
        "manifest-stored",
        "journal-removed",
    ] {
        for pattern in ["rrr", "rzrzzzrrrzzzr"] {
            let (fake, bench) = (GcsFake::start(), Workbench::new());
            let bytes = patterned(pattern, CHUNK);
            bench.image("drive.img", &bytes);
            let killed = import(&fake, &bench).env("DRIVE_AGENT_CRASH", point).run();
            fake.settle();
            if killed.code == Some(0) {
                // Three chunks become the object at once.
                assert!(point.starts_with("piece") && pattern == "rrr", "{point} {pattern}");
                continue;
            }
            if point != "journal-removed" {
                let before = fake.seen(On::PutChunk);
                import(&fake, &bench).run().expect(0);
                let is_late = !matches!(point, "journal-begun" | "target-begun" | "records-appended");
                assert!(!is_late || fake.seen(On::PutChunk) == before, "{point} {pattern}: nothing is sent again");
            }
            assert!(fake.object("blob").unwrap() == bytes, "{point} {pattern}");
            assert!(fake.names("blob.part/").is_empty(), "{point} {pattern}: {:?}", fake.names(""));
        }
    }
}

#[test]
fn a_cancel_halfway_has_an_exact_receipt() {
    let (fake, bench, bytes) = scene(20 * CHUNK);
    let stopped = stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "2"]), 10, Signal::INT);
    let result = stopped.expect(130);
    check_receipt(&result);
    let held = fake.bytes_below("blob.part/");
    assert_eq!(residue_bytes(&result), held);
    let residue = &result["receipt"]["residue"];
    assert!(residue["description"].as_str().unwrap().contains("drive-agent transfers discard"), "{residue}");
    assert!(residue["lives_days"].is_null(), "{residue}");
    let landed = result["receipt"]["landed_before_request"]["bytes"].as_u64().unwrap()
        + result["receipt"]["landed_after_request"]["bytes"].as_u64().unwrap();
    assert_eq!((landed, result["receipt"]["outcome_unknown"]["bytes"].as_u64()), (held, Some(0)));
    let before = fake.bytes_received();
    let resumed = import(&fake, &bench).run().expect(0);
    assert_eq!(number(&resumed, "bytes_reused") + number(&resumed, "bytes_sent"), bytes.len() as u64);
    assert_eq!(number(&resumed, "bytes_reused"), landed);
    assert_eq!(fake.bytes_received() - before, bytes.len() as u64 - landed);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}

#[test]
fn without_its_journal_a_transfer_is_another_one() {
    let (fake, bench, bytes) = scene(20 * CHUNK);
    stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "1"]), 6, Signal::INT).expect(130);
    let left = fake.names("blob.part/");
    // Whose chunks those are nothing says here: they are told, and stay.
    let fresh = import(&fake, &bench).with(&["--state-dir", "other"]).run();
    assert_eq!(number(&fresh.expect(0), "bytes_sent"), bytes.len() as u64);
    assert!(fresh.stderr.contains("another transfer ("), "{}", fresh.stderr);
    assert_eq!(fake.names("blob.part/"), left);
}

#[test]
fn a_drive_that_changed_meanwhile_is_not_mixed() {
    let (fake, bench, mut bytes) = scene(16 * CHUNK);
    stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "1"]), 6, Signal::INT).expect(130);
    // A byte that is in no sample.
    change_byte(&bench.file("drive.img"), CHUNK as u64 + 5000, false);
    bytes[CHUNK + 5000] ^= 0x55;
    import(&fake, &bench).run().expect_error(3, &["has changed since its transfer was begun", "--restart"]);
    // What was sent is started over, under the same name.
    import(&fake, &bench).with(&["--restart"]).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}

#[test]
fn chunks_that_a_lifecycle_rule_removed_are_sent_again() {
    let (fake, bench, bytes) = scene(16 * CHUNK);
    stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "1"]), 4, Signal::INT).expect(130);
    fake.forget("blob.part/");
    let resumed = import(&fake, &bench).run();
    assert_eq!(number(&resumed.expect(0), "bytes_sent"), bytes.len() as u64);
    assert!(resumed.stderr.contains("the store does not hold"), "{}", resumed.stderr);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}

#[test]
fn a_restart_forgets_what_was_sent() {
    let (fake, bench, bytes) = scene(16 * CHUNK);
    stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "1"]), 6, Signal::INT).expect(130);
    let result = import(&fake, &bench).with(&["--restart"]).run().expect(0);
    assert_eq!(number(&result, "bytes_sent"), bytes.len() as u64);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}

#[test]
fn what_a_transfer_left_is_shown_and_discarded_and_nothing_else() {
    let (fake, bench, _) = scene(16 * CHUNK);
    let foreign = ["blob.part/notes", "blob.part/other/0"];
    for name in foreign {
        fake.put_plain(name, b"of another program".to_vec());
    }
    stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "1"]), 4, Signal::INT).expect(130);
    // Another drive under the same name, from elsewhere.
    bench.image("drive.img", &random_bytes(16 * CHUNK, 3));
    let other = import(&fake, &bench).with(&["--concurrency", "1", "--state-dir", "other"]);
    stop_after(&fake, other, 4, Signal::INT).expect(130);
    let all = fake.bytes_below("blob.part/");
    let transfers = |words: &[&str]| {
        let words: Vec<&str> = ["transfers"].into_iter().chain(words.iter().copied()).collect();
        run(&fake, &bench, &words).run()
    };
    let listed = transfers(&["list"]).expect(0);
    let entry = &listed["transfers"][0];
    let (id, left) = (entry["transfer_id"].as_str().unwrap(), entry["left"]["bytes"].as_u64().unwrap());
    assert!(left > 0 && left < all, "{listed}");
    assert_eq!(left, fake.bytes_below(&format!("blob.part/{id}/")));
    transfers(&["discard", id, "--yes"]).expect(0);
    assert!(fake.names(&format!("blob.part/{id}/")).is_empty() && fake.names("blob.part/").len() > foreign.len());
    assert!(bench.journals().is_empty());
    transfers(&["discard", "gs://drives/blob", "--yes", "--state-dir", "other"]).expect(0);
    assert_eq!(fake.names("blob"), foreign);
}

#[test]
fn an_abort_leaves_what_the_store_says() {
    let (fake, bench, bytes) = scene(16 * CHUNK);
    fake.fail(On::PutChunk, std::iter::repeat_n(Fault::Delay(Duration::from_millis(1)), 5).chain([Fault::Hold, Fault::Hold]));
    let running = import(&fake, &bench).with(&["--concurrency", "2"]).start();
    fake.wait_held(1);
    running.signal(Signal::INT);
    running.signal_again(Signal::INT);
    let result = running.wait().expect(130);
    check_receipt(&result);
    // What is held back may still come: whether it does the store cannot tell.
    let unknown = result["receipt"]["outcome_unknown"]["bytes"].as_u64().unwrap();
    assert!(unknown > 0 && unknown <= 2 * CHUNK as u64, "{result}");
    fake.release();
    fake.settle();
    import(&fake, &bench).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}

#[test]
fn an_abort_counts_what_the_store_holds_and_did_not_say() {
    for chunks in [16, 6] {
        let (fake, bench, bytes) = scene(chunks * CHUNK);

        let faults = [
            Fault::Delay(Duration::from_millis(1)),
            Fault::Delay(Duration::from_millis(1)),
            Fault::HoldAnswer,
            Fault::HoldAnswer,
        ];
        fake.fail(On::PutChunk, faults);
        let running = import(&fake, &bench).with(&["--concurrency", "2"]).start();
        fake.wait_held(2);
        running.signal(Signal::INT);
        running.signal_again(Signal::INT);
        let result = running.wait().expect(130);
        check_receipt(&result);
        let receipt = &result["receipt"];
        let of = |class: &str| receipt[class]["bytes"].as_u64().unwrap();
        let held = fake.bytes_below("blob.part/");
        assert_eq!((of("landed_before_request") + of("landed_after_request"), of("outcome_unknown")), (held, 0), "{receipt}");
        assert_eq!(of("never_sent"), bytes.len() as u64 - held, "{receipt}");
        fake.release();
        fake.settle();
        let resumed = import(&fake, &bench).run().expect(0);
        assert_eq!(number(&resumed, "bytes_reused"), held);
        assert!(fake.object("blob").unwrap() == bytes);
        assert_clean(&fake, "blob");
    }
}
