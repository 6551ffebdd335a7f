//! A result that is lost is not a success.

use std::time::{Duration, Instant};

use crate::support::images::{KIB, random_bytes};
use crate::support::service::{SUBSCRIPTION, Service, import};
use crate::support::{Agent, Workbench};

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(10 * KIB, 1));
    bench.image("drive.toml", b"size = 4096\nserial = \"S\"\n");
    let commands: [&[&str]; 7] = [
        &["import", "drive.img", "blob"],
        &["export", "blob", "back.img"],
        &["verify", "blob.manifest.jsonl", "--blob", "blob"],
        &["drives"],
        &["drives", "describe", "drive.toml"],
        &["--help"],
        &["--version"],
    ];
    for arguments in commands {
        for output in ["text", "json"] {
            let run = || {
                let _ = std::fs::remove_file(bench.file("blob.manifest.jsonl"));
                let agent = Agent::bare(bench.path(), &[]).with(arguments);
                let is_transfer = ["import", "export", "verify"].contains(&arguments[0]);
                let overwrite: &[&str] = if arguments[0] == "import" { &["--overwrite"] } else { &[] };
                let format: &[&str] = if arguments[0].starts_with('-') { &[] } else { &["--output", output] };
                if is_transfer && arguments[0] != "import" {
                    Agent::new(bench.path(), &[&"import", &"drive.img", &"blob", &"--overwrite"]).run().expect(0);
                    let _ = std::fs::remove_file(bench.file("back.img"));
                }
                agent.with(overwrite).with(format)
            };
            let ended = run().after("exec >/dev/full").run();
            assert_eq!(ended.code, Some(1), "{arguments:?} {output}: {}", ended.stderr);
            if !arguments[0].starts_with('-') {
                let said = ended.stderr.matches("the result cannot be written to standard output").count();
                assert_eq!(said, 1, "{arguments:?}: {}", ended.stderr);
            }
            let ended = run().run_without_reader();
            assert_eq!(ended.code, Some(1), "{arguments:?} {output}: {}", ended.stderr);
            assert!(!ended.stderr.contains("cannot be written") && !ended.stderr.contains("panicked"), "{}", ended.stderr);
        }
    }
    // A more serious outcome keeps its exit code.
    let run = Agent::new(bench.path(), &[&"import", &"missing.img", &"other"]).after("exec >/dev/full").run();
    assert_eq!(run.code, Some(6), "{}", run.stderr);
}

#[test]
fn a_command_that_watches_ends_with_its_reader() {
    let bench = Workbench::new();
    let service = Service::start(&bench, "[[bay]]\nname = \"bay-1\"\n");
    service.call("PUT", &crate::support::service::job("one"), import(&["D1"])).expect(201);
    let commands: [&[&str]; 3] = [
        &["drives", "--watch"],
        &["bays", "--watch"],
        &["jobs", "show", "one", "--watch", "--resource-group", "group", "--subscription", SUBSCRIPTION],
    ];
    for arguments in commands {
        let started = Instant::now();
        let ended = Agent::bare(bench.path(), &[]).with(arguments).run_without_reader();
        assert_eq!((ended.code, &*ended.stderr), (Some(1), ""), "{arguments:?}");
        assert!(started.elapsed() < Duration::from_secs(20), "{arguments:?}");
    }
    for arguments in [&["jobs", "list"][..], &["bays"], &["tokens", "list"]] {
        let ended = Agent::bare(bench.path(), &[]).with(arguments).after("exec >/dev/full").run();
        ended.expect_error(1, &["the result cannot be written to standard output"]);
    }
}
