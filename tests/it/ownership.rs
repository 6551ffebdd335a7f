//! A target belongs to the transfer that began it: what another one, another program or a kill did to it is noticed.

use rustix::process::Signal;

use crate::support::agent::{check_receipt, number};
use crate::support::images::{KIB, change_byte, random_bytes, sha256_of};
use crate::support::{Agent, Ended, Workbench};

const CHUNK: usize = 64 * KIB;
const OPTIONS: [&str; 2] = ["--chunk-size", "64KiB"];

fn import(bench: &Workbench, drive: &str, blob: &str) -> Agent {
    Agent::new(bench.path(), &[&"import", &drive, &blob]).with(&OPTIONS)
}

/// Runs it until it gets to this crash point.
#[track_caller]
fn killed_at(point: &str, run: Agent) {
    let ended = run.env("DRIVE_AGENT_CRASH", point).run();
    assert_eq!(ended.code, None, "it was not killed at {point}: {}", ended.stderr);
}

fn holds(bench: &Workbench, name: &str, bytes: &[u8]) {
    assert!(std::fs::read(bench.file(name)).unwrap() == bytes, "`{name}` holds other bytes");
}

#[test]
fn two_state_directories_do_not_mix_two_drives() {
    let bench = Workbench::new();
    let (one, two) = (random_bytes(16 * CHUNK, 1), random_bytes(16 * CHUNK, 2));
    bench.image("one.img", &one);
    bench.image("two.img", &two);
    killed_at("records-appended:3", import(&bench, "one.img", "x").with(&["--memory", "128KiB"]));
    let other = import(&bench, "two.img", "x").with(&["--memory", "128KiB"]);
    killed_at("records-appended:2", other.env("XDG_STATE_HOME", bench.file("other").to_str().unwrap()));
    assert_eq!(bench.partials("x").len(), 2);
    let ended = import(&bench, "one.img", "x").run();
    assert!(number(&ended.expect(0), "bytes_reused") > 0);
    assert!(ended.stderr.contains("is the unfinished file of another transfer"), "{}", ended.stderr);
    holds(&bench, "x", &one);
}

#[test]
fn an_old_blob_is_not_taken_for_the_one_that_was_to_replace_it() {
    let bench = Workbench::new();
    let (old, new) = (random_bytes(4 * CHUNK, 1), random_bytes(4 * CHUNK, 2));
    bench.image("old.img", &old);
    bench.image("new.img", &new);
    import(&bench, "old.img", "x").run().expect(0);
    let run = || import(&bench, "new.img", "x").with(&["--overwrite"]);
    killed_at("commit-noted", run());
    std::fs::remove_file(bench.partial("x")).unwrap();
    holds(&bench, "x", &old);
    assert_eq!(number(&run().run().expect(0), "bytes_sent"), new.len() as u64);
    holds(&bench, "x", &new);
    Agent::new(bench.path(), &[&"verify", &"x.manifest.jsonl", &"--blob", &"x"]).run().expect(0);
}

#[test]
fn files_of_others_with_our_names_are_left_alone() {
    let bench = Workbench::new();
    let bytes = random_bytes(4 * CHUNK, 1);
    bench.image("drive.img", &bytes);
    import(&bench, "drive.img", "x.partial").run().expect(0);
    import(&bench, "drive.img", "x").run().expect(0);
    holds(&bench, "x.partial", &bytes);
    bench.image("y.manifest.jsonl", b"notes");
    import(&bench, "drive.img", "y").run().expect_error(3, &["`--overwrite`", "exists already"]);
    holds(&bench, "y.manifest.jsonl", b"notes");
    assert!(!bench.file("y").exists());
    std::os::unix::fs::symlink("nowhere", bench.file("z")).unwrap();
    import(&bench, "drive.img", "z").run().expect_error(3, &["symbolic link"]);
    let long = "n".repeat(240);
    import(&bench, "drive.img", &long).run().expect_error(3, &["choose a shorter name"]);
}

#[test]
fn a_kill_between_commit_and_manifest_is_finished_with_what_was_committed() {
    let bench = Workbench::new();
    let bytes = random_bytes(4 * CHUNK, 1);
    let image = bench.image("drive.img", &bytes);
    for point in ["commit-noted", "target-published", "committed-noted", "manifest-written", "manifest-stored"] {
        let run = || import(&bench, "drive.img", point).with(&["--stream-sha256"]);
        killed_at(point, run());
        // The time of the last write alone: the samples of the content stay.
        let touched = std::fs::File::options().write(true).open(&image).unwrap();
        touched.set_modified(std::time::SystemTime::now()).unwrap();
        let result = run().run().expect(0);
        assert_eq!(result["stream_sha256"], sha256_of(&bytes), "{point}");
        holds(&bench, point, &bytes);
        Agent::new(bench.path(), &[&"verify", &format!("{point}.manifest.jsonl"), &"--blob", &point]).run().expect(0);
    }
}

#[test]
fn what_another_program_wrote_into_an_unfinished_file_is_sent_again() {
    let bench = Workbench::new();
    let bytes = random_bytes(16 * CHUNK, 1);
    bench.image("drive.img", &bytes);
    killed_at("records-appended:3", import(&bench, "drive.img", "x").with(&["--memory", "128KiB"]));
    change_byte(&bench.partial("x"), 440, false);
    let ended: Ended = import(&bench, "drive.img", "x").run();
    ended.expect(0);
    assert!(ended.stderr.contains("does not hold 1 of the chunks"), "{}", ended.stderr);
    holds(&bench, "x", &bytes);
}

#[test]
fn an_unfinished_file_that_is_gone_is_not_said_to_hold_anything() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(16 * CHUNK, 1));
    let running = import(&bench, "drive.img", "x").env("DRIVE_AGENT_STOP", "target-begun").start();
    running.wait_until_stopped();
    std::fs::remove_file(bench.partial("x")).unwrap();
    running.signal(Signal::CONT);
    let result = running.wait().expect(7);
    check_receipt(&result);
    for class in ["landed_before_request", "landed_after_request"] {
        assert_eq!(number(&result["receipt"][class], "bytes"), 0, "{result}");
    }
    assert!(result["receipt"]["residue"].is_null(), "{result}");
}

#[test]
fn an_export_does_not_believe_zeros_that_a_manifest_claims() {
    let bench = Workbench::new();
    let bytes = [random_bytes(CHUNK, 1), vec![0; CHUNK], random_bytes(CHUNK, 2)].concat();
    bench.image("drive.img", &bytes);
    import(&bench, "drive.img", "x").run().expect(0);
    change_byte(&bench.file("x"), CHUNK as u64 + 5, false);
    let export = || Agent::new(bench.path(), &[&"export", &"x", &"back"]);
    export().run().expect_error(5, &["differs from its manifest at 65536+65536"]);
    assert!(!bench.file("back").exists());
}

#[test]
fn an_image_that_ends_within_a_sector_keeps_its_size() {
    let bench = Workbench::new();
    let bytes = random_bytes(1000, 1);
    bench.image("drive.img", &bytes);
    import(&bench, "drive.img", "x").run().expect(0);
    bench.image("target.img", &[0; 1001]);
    Agent::new(bench.path(), &[&"export", &"x", &"target.img"]).run().expect(0);
    holds(&bench, "target.img", &[&bytes[..], &[0]].concat());
}

#[test]
fn a_source_that_is_written_to_while_it_is_read_is_reported() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(16 * CHUNK, 1));
    let running = import(&bench, "drive.img", "x").with(&["--rate", "1MiB/s", "--memory", "128KiB"]).start();
    running.wait_for_chunks(1);
    change_byte(&image, 16 * CHUNK as u64 - 1, false);
    assert_eq!(running.wait().expect(0)["source_changed"], true);
}
