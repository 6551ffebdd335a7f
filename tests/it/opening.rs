//! A drive that hangs when it is opened, or in the places that say who it is, holds nothing up.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::agent::check_receipt;
use crate::support::fuse_drive::FuseDrive;
use crate::support::images::{KIB, MIB, random_bytes};
use crate::support::service::Service;
use crate::support::{Agent, Workbench, parts};

/// A drive whose openings hang.
fn hanging(bench: &Workbench) -> Option<FuseDrive> {
    parts::fuse()?;
    let drive = FuseDrive::mount(&bench.file("mount"), random_bytes(64 * KIB, 1));
    drive.hang_openings();
    Some(drive)
}

#[test]
fn a_drive_that_hangs_when_opened_is_a_failed_drive() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(64 * KIB, 1));
    Agent::new(bench.path(), &[&"import", &"drive.img", &"blob"]).run().expect(0);
    let Some(drive) = hanging(&bench) else { return };
    let runs: [(&[&str], &str); 4] = [
        (&["import", "mount/drive.img", "new"], "drive-failed"),
        (&["export", "blob", "mount/drive.img"], "drive-failed"),
        (&["verify", "blob.manifest.jsonl", "--drive", "mount/drive.img"], "drive-failed"),
        (&["import", "drive.img", "new", "--rescued", "mount/drive.img", "--mapfile", "map"], "usage"),
    ];
    for (arguments, outcome) in runs {
        let started = Instant::now();
        let running = Agent::new(bench.path(), &[]).with(arguments).with(&["--read-timeout", "1s"]).start();
        if outcome == "usage" {
            running.wait_for_words("could not be opened within 1 s");
        } else {
            let result = running.wait_for_result();
            assert_eq!(result["outcome"], outcome, "{result}");
            assert!(result["error"].as_str().unwrap().contains("could not be opened within 1 s"), "{result}");
        }
        assert!(started.elapsed() < Duration::from_secs(30));
        drive.release_openings();
        assert_eq!(running.wait().code, Some(if outcome == "usage" { 2 } else { 6 }), "{arguments:?}");
        drive.hang_openings();
    }
    drive.release_openings();
}

#[test]
fn a_signal_ends_an_opening_that_hangs() {
    let bench = Workbench::new();
    bench.image("blob", &random_bytes(64 * KIB, 1));
    let Some(drive) = hanging(&bench) else { return };
    for arguments in [["import", "mount/drive.img", "new"], ["export", "blob", "mount/drive.img"]] {
        let running = Agent::new(bench.path(), &[]).with(&arguments).start();
        drive.wait_for_hanging_opening();
        running.signal(Signal::INT);
        assert_eq!(running.wait_for_result()["outcome"], "cancelled");
        drive.release_openings();
        assert_eq!(running.wait().code, Some(130), "{arguments:?}");
        drive.hang_openings();
    }
    drive.release_openings();
}

#[test]
fn a_profile_that_names_a_pipe_is_refused_at_once() {
    let bench = Workbench::new();
    let fifo = bench.file("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let base = "size = \"1MiB\"\nserial = \"S\"\n";
    bench.image("overlay.toml", format!("{base}[[overlay]]\nimage = \"fifo\"\noffset = 0\n").as_bytes());
    bench.image("backing.toml", format!("backing = \"fifo\"\n{base}").as_bytes());
    bench.image(
        "counter.toml",
        format!("{base}[[fault]]\nkind = \"changing-serial\"\nserials = [\"A\"]\ncounter = \"fifo\"\n").as_bytes(),
    );
    for profile in ["overlay.toml", "backing.toml", "counter.toml"] {
        let ended = Agent::new(bench.path(), &[&"import", &profile, &"blob"]).run();
        ended.expect_error(1, &[profile, "it is not a plain file"]);
    }
    let service = Service::start(&bench, "[[bay]]\nname = \"bay-1\"\n");
    let answer = service.dock("bay-1", &bench.file("overlay.toml"), None);
    assert!(answer.body.to_string().contains("it is not a plain file"), "{}", answer.body);
}

#[test]
fn a_drive_that_hangs_when_it_is_docked_holds_nothing_up() {
    let bench = Workbench::new();
    let Some(drive) = hanging(&bench) else { return };
    bench.image("other.img", &[1; MIB]);
    let overlay = format!("size = \"1MiB\"\nserial = \"S\"\n[[overlay]]\nimage = {}\noffset = 0\n", json!(drive.path()));
    let hangs = bench.image("hangs.toml", overlay.as_bytes());
    let mut service = Service::start(&bench, "[[bay]]\nname = \"bay-1\"\n[[bay]]\nname = \"bay-2\"\n");
    let started = Instant::now();
    let answer = service.dock("bay-1", &hangs, None);
    assert!(started.elapsed() < Duration::from_secs(20) && answer.status >= 400, "{answer:?}");
    assert!(answer.body.to_string().contains("does not answer"), "{}", answer.body);
    service.dock("bay-2", &bench.file("other.img"), None).expect(200);
    let in_first = |service: &Service| service.bays()[0]["drive"].clone();
    assert_eq!(in_first(&service), Value::Null);
    drive.release_openings();
    service.stop();
}

/// A drive with one place that hangs, and what it holds elsewhere.
fn stuck(bench: &Workbench, offset: u64) {
    let base = "size = \"16MiB\"\nserial = \"STUCK\"\nseed = 3\nzero_share = 0.0\n";
    bench.image("plain.toml", base.as_bytes());
    let fault = format!("[[fault]]\nkind = \"stuck\"\noffset = {offset}\nlength = 512\n");
    bench.image("stuck.toml", format!("{base}{fault}").as_bytes());
    Agent::new(bench.path(), &[&"import", &"plain.toml", &"plain.img"]).run().expect(0);
}

#[test]
fn a_drive_whose_first_sector_or_another_sampled_place_hangs_is_rescued() {
    // The second place that is sampled of 16 MiB begins at a 63rd of its last block.
    for offset in [0, 4095 / 63 * 4096] {
        let bench = Workbench::new();
        stuck(&bench, offset);
        let run = |more: &[&str]| {
            let agent = Agent::new(bench.path(), &[&"import", &"stuck.toml", &"blob"]);
            agent.with(&["--chunk-size", "1MiB", "--read-timeout", "1s"]).with(more).run()
        };
        let stopped = run(&[]);
        stopped.expect_error(6, &["did not answer within 1 s", &format!("(at {offset}+")]);
        let result = run(&["--on-unreadable", "rescue"]).expect(4);
        let ranges = &result["unreadable"];
        assert_eq!(ranges, &json!([{ "offset": offset, "length": 512 }]), "{result}");
        let mut bytes = std::fs::read(bench.file("plain.img")).unwrap();
        bytes[offset as usize..offset as usize + 512].fill(0);
        assert!(std::fs::read(bench.file("blob")).unwrap() == bytes);
    }
}

#[test]
fn a_drive_that_hangs_everywhere_has_failed_in_bounded_time() {
    let bench = Workbench::new();
    let profile = "size = \"1MiB\"\nserial = \"S\"\n[[fault]]\nkind = \"stuck\"\noffset = 0\nlength = 1048576\n";
    bench.image("stuck.toml", profile.as_bytes());
    let started = Instant::now();
    let arguments = ["--read-timeout", "100ms", "--on-unreadable", "rescue"];
    let ended = Agent::new(bench.path(), &[&"import", &"stuck.toml", &"blob"]).with(&arguments).run();
    ended.expect_error(6, &["did not answer within", "(at 0+1048576"]);
    assert!(started.elapsed() < Duration::from_secs(62));
    // It was cancelled while it was looked at.
    let running = Agent::bare(bench.path(), &[&"import", &"stuck.toml", &"blob"]);
    let running = running.with(&["--output", "json", "--progress", "json"]).start();
    running.wait_for_words("progress");
    running.signal(Signal::TERM);
    let ended = running.wait();
    check_receipt(&ended.expect(130));
}

#[test]
fn images_in_shared_memory_are_targets_and_files_among_the_devices_are_not() {
    let bench = Workbench::new();
    let bytes = random_bytes(64 * KIB, 1);
    bench.image("blob", &bytes);
    let shared = std::path::PathBuf::from(format!("/dev/shm/drive-agent-test-{}.img", std::process::id()));
    Agent::new(bench.path(), &[&"export", &"blob", &shared]).run().expect(0);
    let written = std::fs::read(&shared);
    std::fs::remove_file(&shared).unwrap();
    assert_eq!(written.unwrap(), bytes);
    let missing = "/dev/no-such-drive-here";
    Agent::new(bench.path(), &[&"export", &"blob", &missing]).run().expect_error(6, &["there is no drive or image"]);
    assert!(!std::path::Path::new(missing).exists());
}

#[test]
fn a_file_without_a_size_that_has_content_is_not_an_image() {
    let bench = Workbench::new();
    Agent::new(bench.path(), &[&"import", &"/proc/version", &"blob"])
        .run()
        .expect_error(1, &["`/proc/version` is a file of size 0 that has content all the same, not a drive"]);
    assert!(!bench.file("blob").exists());
}
