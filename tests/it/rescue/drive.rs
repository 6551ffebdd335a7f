//! What is read from a drive that fails, in which order, and what is said of the rest.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{fault, import, listed, plain, profiles, run, unreadable};
use crate::support::agent::{check_receipt, number, ranges};
use crate::support::azure_fake::AzureFake;
use crate::support::fuse_drive::FuseDrive;
use crate::support::images::{KIB, MIB, random_bytes};
use crate::support::{Agent, Workbench, parts};

#[test]
fn every_readable_sector_is_recovered_with_no_more_failed_reads_than_ddrescue() {
    if parts::ddrescue().is_none() {
        return;
    }
    let bench = Workbench::new();
    let bad: Vec<(u64, u64)> = vec![
        (0, 512),
        (MIB as u64, 512),
        (3_000_320, 4096),
        (9 * MIB as u64 + 512, 700 * 512),
        (20_000_256, 1 << 20),
        (33_553_408, 512),
    ];
    profiles(&bench, "32MiB", &bad.iter().map(|(offset, length)| unreadable(*offset, *length)).collect::<Vec<_>>());
    let mut bytes = plain(&bench);
    let options = ["--on-unreadable", "rescue", "--retry-passes", "0", "--mapfile", "ours.map"];
    let result = import(&bench, &options).run().expect(4);
    assert_eq!(listed(&result), bad);
    bad.iter().for_each(|(offset, length)| bytes[*offset as usize..(offset + length) as usize].fill(0));
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes, "a readable sector was lost");

    let status = run(&bench, "ddrescuelog", &["-t", "ours.map"]);
    assert!(status.contains("in      6 area(s)") && status.contains("current status: finished"), "{status}");
    // The same drive as ddrescue meets it: an image and a map of what is bad.
    run(&bench, "ddrescue", &["-q", "-H", "ours.map", "--log-reads=reads.log", "plain.img", "theirs.img", "theirs.map"]);
    let log = std::fs::read_to_string(bench.file("reads.log")).unwrap();
    let error_bytes = log.lines().filter(|line| line.starts_with("0x")).filter_map(|line| line.split_whitespace().nth(3));
    let theirs = error_bytes.filter(|bytes| *bytes != "0").count() as u64;
    assert!(
        theirs > 0 && number(&result, "failed_reads") <= theirs,
        "{} failed reads; ddrescue needs {theirs}",
        result["failed_reads"]
    );
    run(&bench, "ddrescuelog", &["-p", "theirs.map", "ours.map"]);
}

#[test]
fn a_manifest_of_a_bad_drive_verifies_against_that_drive() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[unreadable(2 * MIB as u64, 1024)]);
    let mut bytes = plain(&bench);
    let result = import(&bench, &["--fill", "marker"]).run().expect(4);
    assert_eq!(listed(&result), [(2 * MIB as u64, 1024)]);
    let filling: Vec<u8> = b"UNREADABLE-BYTES".iter().copied().cycle().take(1024).collect();
    bytes[2 * MIB..2 * MIB + 1024].copy_from_slice(&filling);
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes, "the filling is what was asked for");
    let verified =
        Agent::new(bench.path(), &[&"verify", &"blob.manifest.jsonl", &"--drive", &"bad.toml", &"--blob", &"blob"]).run();
    let verified = verified.expect(4);
    assert_eq!(listed(&verified), [(2 * MIB as u64, 1024)], "what cannot be read now either is neither a difference nor a proof");
    assert_eq!(number(&verified, "bytes_verified"), 16 * MIB as u64 - 1024);
    // Another place that cannot be read is a difference.
    profiles(&bench, "8MiB", &[unreadable(2 * MIB as u64, 1024), unreadable(5 * MIB as u64, 512)]);
    let verified = Agent::new(bench.path(), &[&"verify", &"blob.manifest.jsonl", &"--drive", &"bad.toml"]).run().expect(5);
    assert_eq!(verified["differences"][0]["reason"], "unreadable");
}

#[test]
fn sectors_that_heal_are_read_by_retrying() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[fault("healing", 3 * MIB as u64, 512, "after_reads = 4")]);
    let bytes = plain(&bench);
    import(&bench, &["--retry-passes", "0"]).run().expect(4);
    bench.remove_blob("blob");
    import(&bench, &["--retry-passes", "3"]).run().expect(0);
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes);
}

#[test]
fn skipping_tries_nothing_twice() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[unreadable(3 * MIB as u64 + 66 * KIB as u64, 512)]);
    let result = import(&bench, &["--on-unreadable", "skip", "--mapfile", "map"]).run().expect(4);
    assert_eq!(listed(&result), [(3 * MIB as u64 + 64 * KIB as u64, 64 * KIB as u64)]);
    assert_eq!(number(&result, "failed_reads"), 2, "once on the way, and once in its own 64 KiB");
    // What was skipped is read later, by a rescue with the same map.
    assert!(std::fs::read_to_string(bench.file("map")).unwrap().contains("0x00310000  0x00010000  *"));
    let result = import(&bench, &["--on-unreadable", "rescue", "--mapfile", "map", "--overwrite"]).run().expect(4);
    assert_eq!(listed(&result), [(3 * MIB as u64 + 66 * KIB as u64, 512)]);
}

/// A rescue that was cut short knows large places as failed of which most can be read.
#[test]
fn skipping_reads_what_a_rescue_had_not_come_to() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[unreadable(5 * MIB as u64, 512)]);
    let mut bytes = plain(&bench);
    for status in ['*', '/'] {
        let map = format!("0x0 ? 1\n0x0 0x400000 ?\n0x400000 0x400000 {status}\n");
        bench.image("map", map.as_bytes());
        let skip = ["--on-unreadable", "skip", "--mapfile", "map", "--overwrite"];
        let result = import(&bench, &skip).run().expect(4);
        assert_eq!(listed(&result), [(5 * MIB as u64, 64 * KIB as u64)], "{status}");
    }
    bytes[5 * MIB..5 * MIB + 64 * KIB].fill(0);
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes, "what can be read was lost");
}

#[test]
fn a_limit_of_unreadable_bytes_is_kept_and_can_be_raised() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[unreadable(MIB as u64, 8192)]);
    let run = |limit: &str| import(&bench, &["--max-unreadable", limit, "--mapfile", "map"]).run();
    let ended = run("4KiB");
    ended.expect_error(6, &["8192 bytes that cannot be read", "allows 4096"]);
    let result = ended.expect(6);
    check_receipt(&result);
    assert_eq!(ranges(&result, "never_sent"), [(MIB as u64, MIB as u64)], "everything else landed before it was scraped");
    let resumed = run("8KiB").expect(4);
    assert_eq!(number(&resumed, "bytes_reused") + 1024 * 1024, number(&resumed, "bytes_total"), "{resumed}");
}

#[test]
fn what_was_rescued_is_not_read_again_after_a_kill() {
    let bench = Workbench::new();
    // Slow enough at the end to be killed there.
    profiles(&bench, "8MiB", &[unreadable(MIB as u64, 512), fault("slow", 7 * MIB as u64, 512, "delay = \"20s\"")]);
    let mut running = import(&bench, &["--on-unreadable", "rescue"]).start();
    let journals = bench.file("state/drive-agent/journals");
    let map = || {
        let files = std::fs::read_dir(&journals).ok()?;
        files.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|extension| extension == "map"))
    };
    running.wait_for_chunks(6);
    assert!(!running.has_ended());
    running.signal(Signal::INT);
    running.signal_again(Signal::TERM);
    check_receipt(&running.wait().expect(130));
    assert!(map().is_some(), "the map is kept");
    profiles(&bench, "8MiB", &[unreadable(MIB as u64, 512)]);
    let mut bytes = plain(&bench);
    let resumed = import(&bench, &["--on-unreadable", "rescue"]).run().expect(4);
    assert!(number(&resumed, "bytes_reused") > 0);
    bytes[MIB..MIB + 512].fill(0);
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes);
    assert!(map().is_none(), "nothing is left when all is done");
}

#[test]
fn the_next_run_reads_around_a_stuck_place() {
    let bench = Workbench::new();
    profiles(&bench, "16MiB", &[fault("stuck", 3 * MIB as u64, 512, "")]);
    let run = || import(&bench, &["--on-unreadable", "rescue", "--read-timeout", "1s"]).run();
    let first = run();
    first.expect_error(6, &["did not answer within"]);
    check_receipt(&first.expect(6));
    let second = run().expect(4);
    assert_eq!(listed(&second), [(3 * MIB as u64, 512)], "the place is read around, and the drive hangs nowhere else");
}

#[test]
fn a_slow_place_begins_a_rescue_and_loses_nothing() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[fault("slow", 2 * MIB as u64, 4096, "delay = \"400ms\"")]);
    let bytes = plain(&bench);
    let started = Instant::now();
    let result = import(&bench, &["--min-read-rate", "3MiB/s", "--mapfile", "map"]).run().expect(0);
    assert!(started.elapsed() >= Duration::from_millis(400));
    assert!(result.get("failed_reads").is_none(), "{result}");
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes);
    assert!(std::fs::read_to_string(bench.file("map")).unwrap().contains("0x00000000  0x00800000  +"));
}

#[test]
fn a_pulled_drive_is_not_taken_for_a_bad_one() {
    let bench = Workbench::new();
    profiles(
        &bench,
        "16MiB",
        &["[[fault]]\nkind = \"removed\"\nafter_bytes = \"6MiB\"\n".to_owned(), unreadable(2 * MIB as u64, 512)],
    );
    let mut bytes = plain(&bench);
    let mut landed = 0;
    let mut codes = Vec::new();
    for _ in 0..8 {
        let ended = import(&bench, &["--on-unreadable", "rescue"]).run();
        codes.push(ended.code);
        if ended.code != Some(6) {
            break;
        }
        ended.expect_error(6, &["is gone: dock it again"]);
        let result = ended.expect(6);
        check_receipt(&result);
        assert!(listed(&result).is_empty(), "{result}");
        let now = number(&result["receipt"]["landed_before_request"], "bytes");
        assert!(now >= landed, "{now} after {landed}");
        landed = now;
    }
    assert_eq!(codes.last(), Some(&Some(4)), "{codes:?}");
    assert!(codes.len() > 2, "{codes:?}");
    bytes[2 * MIB..2 * MIB + 512].fill(0);
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes);
}

#[test]
fn a_dead_drive_that_answers_with_errors_is_known_as_gone() {
    if parts::fuse().is_none() {
        return;
    }
    let bench = Workbench::new();
    let bytes = random_bytes(8 * MIB, 1);
    let drive = FuseDrive::mount(&bench.file("mount"), bytes.clone());
    let run = || {
        let run = Agent::new(bench.path(), &[&"import", &drive.path(), &"blob"]);
        run.with(&["--chunk-size", "256KiB", "--on-unreadable", "rescue", "--mapfile", "map"])
    };
    let running = run().with(&["--rate", "4MiB/s"]).start();
    running.wait_for_chunks(1);
    drive.behaviour.lock().unwrap().is_dead = true;
    let ended = running.wait();
    ended.expect_error(6, &["is gone: dock it again"]);
    check_receipt(&ended.expect(6));
    let map = std::fs::read_to_string(bench.file("map")).unwrap();
    assert!(!map.contains("  -\n"), "nothing is bad that was never asked: {map}");
    drive.behaviour.lock().unwrap().is_dead = false;
    assert!(number(&run().run().expect(0), "bytes_reused") > 0);
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes);
}

#[test]
fn a_place_without_data_says_nothing_of_a_drive_that_fails_around_it() {
    let bench = Workbench::new();
    let base = "size = \"16MiB\"\nserial = \"BAD-1\"\nseed = 3\nzero_share = 0.5\nreports_holes = true\nrun_size = \"256KiB\"\n";
    bench.image("plain.toml", base.as_bytes());
    bench.image("bad.toml", (base.to_owned() + &unreadable(4 * MIB as u64, 6 * MIB as u64)).as_bytes());
    let mut bytes = plain(&bench);
    let result = import(&bench, &["--on-unreadable", "rescue", "--retry-passes", "0"]).run().expect(4);
    let bad = listed(&result);
    assert!(bad.len() > 5, "there are places without data between them: {bad:?}");
    bad.iter().for_each(|(offset, length)| bytes[*offset as usize..(offset + length) as usize].fill(0));
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes);
}

#[test]
fn limits_are_judged_after_the_retries() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[fault("healing", 3 * MIB as u64, 1024, "after_reads = 4")]);
    import(&bench, &["--retry-passes", "6", "--max-unreadable", "0"]).run().expect(0);
    profiles(&bench, "8MiB", &[unreadable(3 * MIB as u64, 1024)]);
    let failed = import(&bench, &["--max-unreadable", "0", "--overwrite"]).run().expect(6);
    assert_eq!(listed(&failed), [(3 * MIB as u64, 1024)], "what was bad is said");
}

#[test]
fn the_hash_of_the_whole_does_not_wait_for_chunks_that_come_last() {
    let bench = Workbench::new();
    profiles(&bench, "32MiB", &[unreadable(MIB as u64, 512), unreadable(9 * MIB as u64, 1024)]);
    let mut bytes = plain(&bench);
    for memory in ["1MiB", "2MiB", "8MiB"] {
        let options = ["--on-unreadable", "rescue", "--stream-sha256", "--memory", memory, "--overwrite"];
        let result = import(&bench, &options).run().expect(4);
        bytes[MIB..MIB + 512].fill(0);
        bytes[9 * MIB..9 * MIB + 1024].fill(0);
        assert_eq!(result["stream_sha256"], crate::support::images::sha256_of(&bytes), "{memory}");
    }
}

#[test]
fn a_blob_in_azure_says_what_it_lacks() {
    let (bench, fake) = (Workbench::new(), AzureFake::start());
    profiles(&bench, "8MiB", &[unreadable(MIB as u64, 512), unreadable(3 * MIB as u64, 4096)]);
    let mut bytes = plain(&bench);
    let run = Agent::new(bench.path(), &[&"import", &"bad.toml", &fake.blob("blob"), &"--chunk-size", &"1MiB"]);
    run.with(&["--on-unreadable", "rescue"]).run().expect(4);
    bytes[MIB..MIB + 512].fill(0);
    bytes[3 * MIB..3 * MIB + 4096].fill(0);
    assert!(fake.content("blob").unwrap() == bytes);
    assert_eq!(fake.metadata("blob", "unreadableranges").as_deref(), Some("1048576+512,3145728+4096"));
}
