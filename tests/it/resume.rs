//! After a crash, a cancel, a lost journal or a lost store: nothing moved twice, nothing lost.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::agent::number;
use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::images::{KIB, change_byte, random_bytes, same_content};
use crate::support::{Agent, Workbench};

const CHUNK: usize = 64 * KIB;
const CHUNKS: usize = 64;
/// Four chunks.
const MEMORY: usize = 256 * KIB;
const KILLS_MAX: u64 = 15;
const OPTIONS: [&str; 4] = ["--chunk-size", "64KiB", "--memory", "256KiB"];

/// Kills runs at many points until one ends by itself, or `between` says that one had done everything when it was killed;
/// gives its result and how many were killed.
fn kill_until_done(run: impl Fn() -> Agent, wait_milliseconds: impl Fn(u64) -> u64, between: impl Fn() -> bool) -> (Value, u64) {
    for kill in 0..KILLS_MAX {
        let mut running = run().start();
        // Any moment is a good one for a kill: no event is waited for.
        std::thread::sleep(Duration::from_millis(wait_milliseconds(kill)));
        if !running.has_ended() {
            running.signal(Signal::KILL);
        }
        let ended = running.wait();
        // It may have ended between the look and the signal.
        if ended.code == Some(0) {
            return (ended.expect(0), kill);
        }
        assert_eq!(ended.code, None, "{}", ended.stderr);
        if between() {
            return (Value::Null, kill + 1);
        }
    }
    (run().run().expect(0), KILLS_MAX)
}

#[test]
fn killed_at_many_points_an_import_into_a_directory_resumes() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, 1));
    let run = || Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&OPTIONS).with(&["--rate", "8MiB/s"]);
    let looks_complete = || {
        assert!(!bench.file("blob").exists(), "nothing looks complete");
        false
    };
    let (last, kills) = kill_until_done(run, |kill| 30 + 53 * kill % 300, looks_complete);
    assert!(kills >= 3 && number(&last, "bytes_reused") > 0, "the kills came too late to mean anything: {last}");
    assert_eq!(number(&last, "bytes_reused") + number(&last, "bytes_sent"), (CHUNK * CHUNKS) as u64);
    assert!(same_content(&image, &bench.file("blob")));
    assert!(bench.journals().is_empty());
}

/// Kills an import into Azure again and again, and holds what the server got against the bound.
fn kill_and_resume(between: impl Fn(&Workbench)) {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = random_bytes(CHUNK * CHUNKS, 1);
    bench.image("drive.img", &bytes);
    fake.set_put_delay(Duration::from_millis(40));
    let run = || Agent::new(bench.path(), &[&"import", &"drive.img", &fake.blob("blob")]).with(&OPTIONS);
    let between = || {
        // The server may still be at what the killed client sent last.
        fake.settle();
        // A blob that was committed is not to be made again without its journal: that would be refused.
        let is_committed = fake.content("blob").is_some();
        if !is_committed {
            between(&bench);
        }
        is_committed && bench.journals().is_empty()
    };
    let (last, kills) = kill_until_done(run, |kill| 40 + 37 * kill % 200, between);
    assert!(kills >= 3, "{last}");
    assert_eq!(fake.content("blob").unwrap(), bytes);
    let manifest = std::fs::metadata(bench.file("drive.img")).unwrap().len() / CHUNK as u64 * 300 + 4096;
    let bound = bytes.len() as u64 + kills * MEMORY as u64 + manifest;
    assert!(fake.bytes_received() <= bound, "{} > {bound} after {kills} kills", fake.bytes_received());
}

#[test]
fn kills_repeat_at_most_the_memory_budget_each() {
    kill_and_resume(|_| ());
}

#[test]
fn with_its_journal_deleted_an_import_asks_azure_what_it_holds() {
    kill_and_resume(|bench| bench.journals().iter().for_each(|path| std::fs::remove_file(path).unwrap()));
}

#[test]
fn killed_at_many_points_an_export_resumes() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, 1));
    Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&OPTIONS).run().expect(0);
    let used = bench.image("used.img", &vec![0xa5; CHUNK * CHUNKS + 4096]);
    for target in [bench.file("new.img"), used] {
        let options = ["--memory", "256KiB", "--rate", "8MiB/s", "--stream-sha256", "--verify", "read-back", "--overwrite"];
        let run = || Agent::new(bench.path(), &[&"export", &"blob", &target]).with(&options);
        let (last, kills) = kill_until_done(run, |kill| 50 + 61 * kill % 250, || false);
        assert!(kills >= 3 && number(&last, "bytes_reused") > 0, "{last}");
        let written = std::fs::read(&target).unwrap();
        let expected = std::fs::read(&image).unwrap();
        assert_eq!(written[..expected.len()], expected);
        assert!(written[expected.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(last["stream_sha256"], crate::support::images::sha256_of(&expected));
    }
}

/// An import that was cancelled in the middle; gives how many bytes have landed.
fn interrupted(bench: &Workbench, blob: &str) -> u64 {
    let running = Agent::new(bench.path(), &[&"import", &"drive.img", &blob]).with(&OPTIONS).with(&["--rate", "1MiB/s"]).start();
    running.wait_for_chunks(3);
    running.signal(Signal::INT);
    let result = running.wait().expect(130);
    let landed = |class: &str| result["receipt"][class]["bytes"].as_u64().unwrap();
    let landed = landed("landed_before_request") + landed("landed_after_request");
    assert!(landed > 0 && landed < number(&result, "bytes_total"), "{result}");
    landed
}

#[test]
fn a_drive_with_other_content_is_refused() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, 1));
    interrupted(&bench, "blob");
    // A byte that is in no sample, so that only reading again what had landed can find it.
    change_byte(&image, 5000, false);
    let run = || Agent::new(bench.path(), &[&"import", &"drive.img", &"blob"]).with(&OPTIONS);
    run().run().expect_error(3, &["has changed since its transfer was begun: 0+65536", "--restart"]);
    // Another drive altogether is found by its samples.
    bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, 2));
    run().run().expect_error(3, &["is not the drive that this transfer was begun with", "--restart"]);
    bench.image("drive.img", &random_bytes(CHUNK * CHUNKS + 512, 2));
    run().run().expect_error(3, &["its size is another"]);
    let restarted = run().with(&["--restart"]).run().expect(0);
    assert_eq!(number(&restarted, "bytes_reused"), 0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("blob")));
}

#[test]
fn the_same_content_under_another_name_resumes() {
    let bench = Workbench::new();
    bench.profile("one", "4MiB", 0.0, "64KiB");
    std::fs::rename(bench.file("one.toml"), bench.file("drive.toml")).unwrap();
    let run = || Agent::new(bench.path(), &[&"import", &"drive.toml", &"blob"]).with(&OPTIONS);
    let running = run().with(&["--rate", "1MiB/s"]).start();
    running.wait_for_chunks(1);
    running.signal(Signal::TERM);
    assert_eq!(running.wait().expect(130)["receipt"]["reason"], "terminated");
    let text = std::fs::read_to_string(bench.file("drive.toml")).unwrap().replace("SIM-one", "A-BRIDGE-LIES");
    bench.image("drive.toml", text.as_bytes());
    let ended = run().run();
    assert!(number(&ended.expect(0), "bytes_reused") > 0);
    assert!(ended.stderr.contains("its content is the same"), "{}", ended.stderr);
}

#[test]
fn a_lost_store_is_noticed_and_everything_is_sent_again() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, 1));
    interrupted(&bench, "blob");
    std::fs::remove_file(bench.partial("blob")).unwrap();
    let ended = Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&OPTIONS).run();
    assert_eq!(number(&ended.expect(0), "bytes_sent"), (CHUNK * CHUNKS) as u64);
    assert!(ended.stderr.contains("the store does not hold"), "{}", ended.stderr);
    assert!(same_content(&image, &bench.file("blob")));
}

#[test]
fn blocks_that_azure_threw_away_are_sent_again() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = random_bytes(CHUNK * CHUNKS, 1);
    bench.image("drive.img", &bytes);
    interrupted(&bench, &fake.blob("blob"));
    fake.forget_blocks("blob");
    let result = Agent::new(bench.path(), &[&"import", &"drive.img", &fake.blob("blob")]).with(&OPTIONS).run().expect(0);
    assert_eq!(number(&result, "bytes_sent"), bytes.len() as u64);
    assert_eq!(fake.content("blob").unwrap(), bytes);
}

#[test]
fn a_torn_journal_is_resumed_and_a_damaged_one_is_refused() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, 1));
    interrupted(&bench, "blob");
    let journal = bench.journals().pop().unwrap();
    let whole = std::fs::read(&journal).unwrap();
    let run = || Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&OPTIONS);

    let mut edited = whole.clone();
    let middle = edited.len() / 2;
    edited[middle] ^= 1;
    std::fs::write(&journal, &edited).unwrap();
    run().run().expect_error(3, &["the journal", "is damaged", "--restart"]);
    assert_eq!(std::fs::read(&journal).unwrap(), edited, "nothing is lost");

    std::fs::write(&journal, b"# Mapfile. Created by GNU ddrescue\n").unwrap();
    run().run().expect_error(3, &["it is not a drive-agent manifest"]);

    std::fs::write(&journal, &whole[..whole.len() - 20]).unwrap();
    let result = run().run().expect(0);
    assert!(number(&result, "bytes_reused") > 0, "{result}");
    assert!(same_content(&image, &bench.file("blob")));
}

#[test]
fn a_journal_keeps_its_chunk_size() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, 1));
    let landed = interrupted(&bench, "blob");
    let run = || Agent::new(bench.path(), &[&"import", &image, &"blob"]);
    run().with(&["--chunk-size", "128KiB"]).run().expect_error(2, &["begun with a chunk size of 64 KiB"]);
    assert_eq!(number(&run().run().expect(0), "bytes_reused"), landed);
}

#[test]
fn two_transfers_of_one_blob_exclude_each_other() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, 1));
    let first = Agent::new(bench.path(), &[&"import", &"drive.img", &"blob"]).with(&OPTIONS).with(&["--rate", "4MiB/s"]).start();
    first.wait_for_chunks(1);
    let second = Agent::new(bench.path(), &[&"import", &"drive.img", &"blob"]).with(&OPTIONS).run();
    second.expect_error(3, &["another transfer", "is under way"]);
    first.wait().expect(0);
}

#[test]
fn an_export_resumes_only_with_the_same_drive_and_blob() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, 1));
    Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&OPTIONS).run().expect(0);
    let target = bench.image("target.img", &vec![0xa5; CHUNK * CHUNKS]);
    let run = || Agent::new(bench.path(), &[&"export", &"blob", &target]).with(&["--memory", "256KiB"]);
    let running = run().with(&["--rate", "1MiB/s", "--overwrite"]).start();
    running.wait_for_chunks(1);
    running.signal(Signal::INT);
    running.wait().expect(130);
    let begun = std::fs::read(&target).unwrap();
    std::fs::write(&target, vec![0x5a; CHUNK * CHUNKS]).unwrap();
    run().run().expect_error(3, &["was changed since its export was begun, and holds data at", "--overwrite"]);
    run().with(&["--overwrite"]).run().expect_error(3, &["does not hold at", "--restart"]);
    std::fs::write(&target, begun).unwrap();
    let manifest = std::fs::read(bench.file("blob.manifest.jsonl")).unwrap();
    std::fs::write(bench.file("blob"), std::fs::read(&image).unwrap()).unwrap();
    run().run().expect_error(3, &["was changed since its export was begun"]);
    assert_eq!(std::fs::read(bench.file("blob.manifest.jsonl")).unwrap(), manifest);
    run().with(&["--restart"]).run().expect_error(3, &["exists and holds data"]);
    run().with(&["--restart", "--overwrite"]).run().expect(0);
    assert!(same_content(&image, &target));
}

#[test]
fn a_journal_never_speaks_of_a_file_that_was_just_made() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, 1));
    interrupted(&bench, "blob");
    // As a kill leaves it between making the file again and forgetting the journal.
    std::fs::write(bench.partial("blob"), b"").unwrap();
    let result = Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&OPTIONS).run().expect(0);
    assert_eq!(number(&result, "bytes_reused"), 0);
    assert!(same_content(&image, &bench.file("blob")));
}

#[test]
fn a_copy_that_failed_its_verification_is_never_believed_again() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = random_bytes(CHUNK * 8, 1);
    bench.image("drive.img", &bytes);
    let run = || Agent::new(bench.path(), &[&"import", &"drive.img", &fake.blob("blob")]).with(&OPTIONS);
    fake.always_fail(On::Get, Some(Fault::CorruptBody));
    run().with(&["--verify", "read-back"]).run().expect_error(5, &["holds other bytes than were sent", "--restart --overwrite"]);
    fake.always_fail(On::Get, None);
    run().run().expect_error(3, &["exists already"]);
    let again = run().with(&["--restart", "--overwrite", "--verify", "read-back"]).run().expect(0);
    assert_eq!(number(&again, "bytes_sent"), bytes.len() as u64, "blocks that may be wrong were used again");
}

#[test]
fn an_export_over_another_unfinished_one_is_refused() {
    let bench = Workbench::new();
    for (name, seed) in [("one", 1), ("two", 2)] {
        let image = bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, seed));
        Agent::new(bench.path(), &[&"import", &image, &name]).with(&OPTIONS).run().expect(0);
    }
    let export = |blob: &str| Agent::new(bench.path(), &[&"export", &blob, &"target.img"]).with(&["--memory", "256KiB"]);
    let running = export("one").with(&["--rate", "1MiB/s"]).start();
    running.wait_for_chunks(1);
    running.signal(Signal::INT);
    running.wait().expect(130);
    export("two").run().expect_error(3, &["was begun and not finished", "--restart"]);
    export("one").run().expect(0);
    assert!(same_content(&bench.file("one"), &bench.file("target.img")));
}

#[test]
fn two_users_cannot_write_one_blob_or_image() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(CHUNK * CHUNKS, 1));
    let slow = ["--rate", "4MiB/s", "--memory", "256KiB"];
    let other_user = |run: Agent| run.env("XDG_STATE_HOME", bench.file("other").to_str().unwrap());
    let first = Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&OPTIONS).with(&["--rate", "4MiB/s"]).start();
    first.wait_for_chunks(1);
    other_user(Agent::new(bench.path(), &[&"import", &image, &"./blob"])).run().expect_error(3, &["another transfer is writing"]);
    first.wait().expect(0);
    let first = Agent::new(bench.path(), &[&"export", &"blob", &"back"]).with(&slow).start();
    first.wait_for_chunks(1);
    other_user(Agent::new(bench.path(), &[&"export", &"blob", &"back"])).run().expect_error(3, &["another export is writing"]);
    first.wait().expect(0);
    assert!(same_content(&image, &bench.file("back")));
}
