//! Kills, cancels, leftovers: nothing moved twice, nothing lost, nothing of another transfer touched.

use std::time::Duration;

use rustix::process::Signal;

use super::{CHUNK, SMALL_CHUNK, assert_clean, residue_bytes, run, run_small, scene, stop_after};
use crate::support::agent::{check_receipt, number};
use crate::support::images::{change_byte, patterned, random_bytes};
use crate::support::s3_fake::{Fault, On, S3Fake};
use crate::support::{Agent, Workbench};

/// Chunks that a budget of 256 KiB has under way at most, and that a batch of the journal may lose, in bytes.
const UNDER_WAY_BYTES: u64 = 8 * SMALL_CHUNK as u64;

fn import<'a>(fake: &'a S3Fake, bench: &'a Workbench) -> Agent {
    run_small(fake, bench, &["import", "drive.img", "s3://drives/blob"])
}

#[test]
fn killed_at_twenty_points_an_import_resumes_without_a_wrong_byte() {
    for (tells_digests, seed) in [(true, 0), (false, 7)] {
        let (fake, bench, bytes) = scene(20 * SMALL_CHUNK + 100);
        fake.set_tells_digests(tells_digests);
        let mut kills = 0;
        let last = loop {
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
                break ended.expect(0);
            }
            assert_eq!(ended.code, None, "{}", ended.stderr);
            kills += 1;
        };
        assert!(kills >= 5, "the kills came too late to mean anything: {kills}");
        assert!(fake.object("blob").unwrap() == bytes);
        let bound = bytes.len() as u64 + kills * (UNDER_WAY_BYTES + 100);
        assert!(fake.bytes_received() <= bound, "{} bytes in spite of {kills} kills: {last}", fake.bytes_received());
        // One that was begun at a kill and not yet noted has no part, and nothing leads to it.
        let (uploads, held) = fake.uploads("");
        assert!(held == 0 && uploads.len() as u64 <= kills, "{uploads:?}");
        assert!(fake.keys("blob.part/").is_empty(), "{:?}", fake.keys(""));
        assert!(bench.journals().is_empty());
    }
}

#[test]
fn killed_at_every_named_point_an_import_resumes() {
    for point in [
        "journal-begun",
        "upload-created",
        "target-begun",
        "records-appended",
        "commit-noted",
        "segment-completed:1",
        "segment-completed:3",
        "target-assembled",
        "target-published",
        "committed-noted",
        "manifest-written",
        "manifest-allowed",
        "manifest-stored",
        "journal-removed",
    ] {
        for pattern in ["rrr", "rzrzzzrrrzzzr"] {
            let (fake, bench) = (S3Fake::start(), Workbench::new());
            let bytes = patterned(pattern, SMALL_CHUNK);
            bench.image("drive.img", &bytes);
            let killed = import(&fake, &bench).env("DRIVE_AGENT_CRASH", point).run();
            fake.settle();
            if killed.code == Some(0) {
                // A drive of one piece has no segment.
                assert!(point.starts_with("segment") && pattern == "rrr", "{point} {pattern}");
                continue;
            }
            if point != "journal-removed" {
                import(&fake, &bench).run().expect(0);
            }
            assert!(fake.object("blob").unwrap() == bytes, "{point} {pattern}");
            // One that was begun and not yet noted has no part, and nothing leads to it.
            let (uploads, held) = fake.uploads("");
            assert!(held == 0 && uploads.len() <= usize::from(point == "upload-created"), "{point} {pattern}: {uploads:?}");
            assert!(fake.keys("blob.part/").is_empty(), "{point} {pattern}: {:?}", fake.keys(""));
        }
    }
}

#[test]
fn a_cancel_halfway_has_an_exact_receipt() {
    for tells_digests in [true, false] {
        let (fake, bench, bytes) = scene(20 * SMALL_CHUNK);
        fake.set_tells_digests(tells_digests);
        let stopped = stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "2"]), 10, Signal::INT);
        let result = stopped.expect(130);
        check_receipt(&result);
        let (_, of_parts) = fake.uploads("blob.part/");
        assert_eq!(residue_bytes(&result), of_parts + fake.object_bytes_below("blob.part/"));
        let landed = result["receipt"]["landed_before_request"]["bytes"].as_u64().unwrap()
            + result["receipt"]["landed_after_request"]["bytes"].as_u64().unwrap();
        assert_eq!((landed, result["receipt"]["outcome_unknown"]["bytes"].as_u64()), (of_parts, Some(0)));
        let before = fake.bytes_received();
        let resumed = import(&fake, &bench).run().expect(0);
        assert_eq!(number(&resumed, "bytes_reused") + number(&resumed, "bytes_sent"), bytes.len() as u64);
        assert_eq!(number(&resumed, "bytes_reused"), landed);
        assert!(fake.bytes_received() - before <= bytes.len() as u64 - landed + 100);
        assert!(fake.object("blob").unwrap() == bytes);
        assert_clean(&fake, "blob");
    }
}

#[test]
fn a_cancel_of_a_small_drive_has_an_exact_receipt() {
    let (fake, bench, bytes) = scene(4 * CHUNK);
    let import =
        || run(&fake, &bench, &["import", "drive.img", "s3://drives/blob", "--chunk-size", "5MiB", "--concurrency", "1"]);
    let result = stop_after(&fake, import(), 3, Signal::INT).expect(130);
    check_receipt(&result);
    let (uploads, of_parts) = fake.uploads("blob");
    assert_eq!(uploads.len(), 1, "{uploads:?}");
    assert_eq!(residue_bytes(&result), of_parts + fake.object_bytes_below("blob.part/"));
    assert!(result["receipt"]["residue"]["description"].as_str().unwrap().contains("drive-agent transfers discard"));
    import().run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}

#[test]
fn a_drive_that_changed_meanwhile_is_not_mixed() {
    for (tells_digests, chunks) in [(true, 8), (false, 8), (true, 16), (false, 16)] {
        let (fake, bench, mut bytes) = scene(chunks * SMALL_CHUNK);
        fake.set_tells_digests(tells_digests);
        stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "1"]), 6, Signal::INT).expect(130);
        // A byte that is in no sample.
        change_byte(&bench.file("drive.img"), SMALL_CHUNK as u64 + 5000, false);
        bytes[SMALL_CHUNK + 5000] ^= 0x55;
        import(&fake, &bench).run().expect_error(3, &["has changed since its transfer was begun", "--restart"]);
        // What was sent is started over, under the same name.
        import(&fake, &bench).with(&["--restart"]).run().expect(0);
        assert!(fake.object("blob").unwrap() == bytes, "{tells_digests} {chunks}");
        assert_clean(&fake, "blob");
    }
}

#[test]
fn parts_that_a_lifecycle_rule_removed_are_sent_again() {
    for chunks in [6, 16] {
        let (fake, bench, bytes) = scene(chunks * SMALL_CHUNK);
        stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "1"]), 4, Signal::INT).expect(130);
        fake.abort_uploads();
        let resumed = import(&fake, &bench).run();
        let result = resumed.expect(0);
        assert_eq!(number(&result, "bytes_sent"), bytes.len() as u64);
        assert!(resumed.stderr.contains("the store does not hold"), "{}", resumed.stderr);
        assert!(fake.object("blob").unwrap() == bytes);
        assert_clean(&fake, "blob");
    }
}

#[test]
fn a_restart_forgets_what_was_sent() {
    let (fake, bench, bytes) = scene(16 * SMALL_CHUNK);
    stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "1"]), 6, Signal::INT).expect(130);
    let result = import(&fake, &bench).with(&["--restart"]).run().expect(0);
    assert_eq!(number(&result, "bytes_sent"), bytes.len() as u64);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}

#[test]
fn what_a_transfer_left_is_shown_and_discarded_and_nothing_else() {
    for chunks in [6, 16] {
        let (fake, bench, _) = scene(chunks * SMALL_CHUNK);
        let foreign = [fake.begin_foreign_upload("blob"), fake.begin_foreign_upload("blob.part/other/0")];
        stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "1"]), 4, Signal::INT).expect(130);
        // Another drive under the same name, from elsewhere.
        bench.image("drive.img", &random_bytes(chunks * SMALL_CHUNK, 3));
        let other = import(&fake, &bench).with(&["--concurrency", "1", "--state-dir", "other"]);
        stop_after(&fake, other, 4, Signal::INT).expect(130);
        let (uploads, all) = fake.uploads("");
        let transfers = |words: &[&str]| {
            let words: Vec<&str> = ["transfers"].into_iter().chain(words.iter().copied()).collect();
            run(&fake, &bench, &words).env("DRIVE_AGENT_S3_SIZES", super::SMALL_SIZES).run()
        };
        let listed = transfers(&["list"]).expect(0);
        let entry = &listed["transfers"][0];
        let (id, left) = (entry["transfer_id"].as_str().unwrap(), entry["left"]["bytes"].as_u64().unwrap());
        assert!(left > 0 && left < all, "{listed}");
        transfers(&["discard", id, "--yes"]).expect(0);
        let (after, left_now) = fake.uploads("");
        assert!(after.len() < uploads.len() && left_now > 0 && foreign.iter().all(|id| fake.has_upload(id)), "{after:?}");
        assert!(fake.keys(&format!("blob.part/{id}/")).is_empty() && !fake.keys("blob.part/").is_empty() || chunks == 16);
        assert!(bench.journals().is_empty());
        transfers(&["discard", "s3://drives/blob", "--yes", "--state-dir", "other"]);
        let other_blob = fake.blob("blob");
        transfers(&["discard", &other_blob, "--yes", "--state-dir", "other"]);
        assert_eq!(fake.uploads("").0.len(), foreign.len());
        assert!(fake.keys("blob").is_empty(), "{:?}", fake.keys("blob"));
    }
}

#[test]
fn an_abort_leaves_what_the_store_says() {
    let (fake, bench, bytes) = scene(16 * SMALL_CHUNK);
    fake.fail(On::PutPart, std::iter::repeat_n(Fault::Delay(Duration::from_millis(1)), 5).chain([Fault::Hold, Fault::Hold]));
    let running = import(&fake, &bench).with(&["--concurrency", "2"]).start();
    fake.wait_held(1);
    running.signal(Signal::INT);
    running.signal_again(Signal::INT);
    let result = running.wait().expect(130);
    check_receipt(&result);
    // What is held back may still come: whether it does the store cannot tell.
    let unknown = result["receipt"]["outcome_unknown"]["bytes"].as_u64().unwrap();
    assert!(unknown > 0 && unknown <= 2 * SMALL_CHUNK as u64, "{result}");
    fake.release();
    fake.settle();
    import(&fake, &bench).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}

#[test]
fn an_abort_counts_what_the_store_holds_and_did_not_say() {
    for (tells_digests, chunks) in [(true, 16), (false, 16), (true, 6), (false, 6)] {
        let (fake, bench, bytes) = scene(chunks * SMALL_CHUNK);
        fake.set_tells_digests(tells_digests);
        let faults = [
            Fault::Delay(Duration::from_millis(1)),
            Fault::Delay(Duration::from_millis(1)),
            Fault::HoldAnswer,
            Fault::HoldAnswer,
        ];
        fake.fail(On::PutPart, faults);
        let running = import(&fake, &bench).with(&["--concurrency", "2"]).start();
        fake.wait_held(2);
        running.signal(Signal::INT);
        running.signal_again(Signal::INT);
        let result = running.wait().expect(130);
        check_receipt(&result);
        let receipt = &result["receipt"];
        let of = |class: &str| receipt[class]["bytes"].as_u64().unwrap();
        let held = fake.uploads("").1;
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
