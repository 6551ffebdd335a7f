//! Bad input: one clear sentence, the right exit code, nothing lost.

use crate::support::images::{KIB, random_bytes};
use crate::support::{Agent, Workbench, parts};

#[test]
fn what_is_not_a_drive_is_refused() {
    let bench = Workbench::new();
    let run = |drive: &str| Agent::new(bench.path(), &[&"import", &drive, &"blob"]).run();
    run("missing.img").expect_error(6, &["there is no drive or image at `missing.img`"]);
    run("/tmp").expect_error(1, &["`/tmp` is a directory, not a drive"]);
    run("/dev/null").expect_error(1, &["character device"]);
    bench.image("bad.toml", b"size = \"1MiB\"\nserial = \"S\"\nspeed = 3\n");
    run("bad.toml").expect_error(1, &["bad.toml", "unknown field `speed`"]);
    assert!(!bench.file("blob").exists() && bench.partials("blob").is_empty());
}

#[test]
fn an_empty_drive_becomes_an_empty_blob_and_is_reported() {
    let bench = Workbench::new();
    bench.image("empty.img", b"");
    let ended = Agent::new(bench.path(), &[&"import", &"empty.img", &"blob"]).run();
    assert_eq!(ended.expect(0)["bytes_total"], 0);
    assert!(ended.stderr.contains("is empty"), "{}", ended.stderr);
    assert_eq!(std::fs::read(bench.file("blob")).unwrap(), b"");
}

#[test]
fn a_shrinking_drive_is_a_failed_drive() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(4096 * KIB, 1));
    let run =
        Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&["--chunk-size", "64KiB", "--rate", "2MiB/s"]).start();
    run.wait_for_chunks(1);
    std::fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(1024 * KIB as u64 + 5).unwrap();
    let ended = run.wait();
    ended.expect_error(6, &["drive.img` ends at byte 1048581"]);
    crate::support::agent::check_receipt(&ended.expect(6));
    assert!(!bench.file("blob").exists());
}

#[test]
fn the_same_place_twice_is_refused() {
    let bench = Workbench::new();
    let bytes = random_bytes(10 * KIB, 1);
    let image = bench.image("drive.img", &bytes);
    std::os::unix::fs::symlink(&image, bench.file("link")).unwrap();
    for (command, from, to) in [
        ("import", "drive.img", "drive.img"),
        ("import", "link", "drive.img"),
        ("export", "drive.img", "./drive.img"),
        ("import", "drive.img", "link"),
    ] {
        let ended = Agent::new(bench.path(), &[&command, &from, &to])
            .with(if command == "import" { &["--overwrite"] } else { &[] })
            .run();
        ended.expect_error(3, &["are the same storage"]);
        assert_eq!(ended.expect(3)["outcome"], "refused");
    }
    assert_eq!(std::fs::read(&image).unwrap(), bytes);
}

#[test]
fn a_target_that_is_too_small_is_refused_untouched() {
    let bench = Workbench::new();
    bench.image("blob", &random_bytes(10 * KIB, 1));
    let target = bench.image("small.img", &[7; 9 * KIB]);
    Agent::new(bench.path(), &[&"export", &"blob", &target])
        .run()
        .expect_error(3, &["small.img` has 9 KiB, and 10 KiB are to be written"]);
    bench.image("blob.vhd", &random_bytes(9 * KIB + 20, 1));
    Agent::new(bench.path(), &[&"export", &"blob.vhd", &target])
        .run()
        .expect_error(3, &["small.img` has 9216 bytes, and 9236 bytes are to be written"]);
    assert_eq!(std::fs::read(&target).unwrap(), [7; 9 * KIB]);
}

#[test]
fn stores_that_cannot_take_it() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(10 * KIB, 1));
    Agent::new(bench.path(), &[&"import", &image, &"no/such/blob"]).run().expect_error(7, &["no/such` does not exist"]);
    bench.image("taken", b"precious");
    Agent::new(bench.path(), &[&"import", &image, &"taken"]).run().expect_error(3, &["taken` exists already", "--overwrite"]);
    assert_eq!(std::fs::read(bench.file("taken")).unwrap(), b"precious");
    Agent::new(bench.path(), &[&"import", &image, &"taken"]).with(&["--overwrite"]).run().expect(0);
    assert!(crate::support::images::same_content(&image, &bench.file("taken")));
    Agent::new(bench.path(), &[&"export", &"missing", &"x.img"]).run().expect_error(7, &["there is no such blob"]);
    assert!(!bench.file("x.img").exists() && bench.partials("x.img").is_empty());
}

#[test]
fn words_that_are_not_understood_are_usage_errors() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(10 * KIB, 1));
    let run = |arguments: &[&str]| {
        let ended = Agent::new(bench.path(), &[&"import", &"drive.img", &"blob"]).with(arguments).run();
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments:?}: {}", ended.stderr);
        ended.stderr
    };
    assert!(run(&["--chunk-size", "0"]).contains("is zero"));
    assert!(run(&["--chunk-size", "-1"]).contains("is not a size"));
    assert!(run(&["--chunk-size", "8XB"]).contains("no known unit"));
    assert!(run(&["--chunk-size", "1000"]).contains("not a multiple of the drive's sector size"));
    assert!(run(&["--memory", "1MiB"]).contains("too small for one chunk"));
    assert!(run(&["--rate", "fast"]).contains("is not a size"));
    assert!(run(&["--concurrency", "0"]).contains("neither `auto` nor a number"));
    assert!(run(&["--drain-timeout", "soon"]).contains("is not a span of time"));
    assert!(run(&["--no-such-option"]).contains("unexpected argument"));
    for (blob, words) in [
        ("ftp://host/key", "is not a scheme"),
        ("https://account.blob.core.windows.net/only", "does not name a blob"),
        ("az://only", "az://CONTAINER/NAME"),
    ] {
        let ended = Agent::new(bench.path(), &[&"import", &"drive.img", &blob]).run();
        ended.expect_error(2, &[words]);
    }
    Agent::new(bench.path(), &[&"verify", &"blob.manifest.jsonl"]).run().expect_error(2, &["--drive", "--blob"]);
}

#[test]
fn a_manifest_that_cannot_be_written_is_reported_before_anything_moves() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(10 * KIB, 1));
    let precious = bench.image("precious", b"not a manifest");
    for (place, code, words) in [
        ("no/such/folder/m.jsonl", 2, "cannot be written"),
        (".", 3, "is not a manifest"),
        ("drive.img", 3, "is not a manifest"),
        ("precious", 3, "is not a manifest"),
        ("blob", 3, "is not a manifest"),
        ("/dev/null", 3, "is not a manifest"),
    ] {
        let run = Agent::new(bench.path(), &[&"import", &"drive.img", &"blob", &"--manifest", &place]).run();
        run.expect_error(code, &[words]);
        assert!(!bench.file("blob").exists() && bench.partials("blob").is_empty());
    }
    assert_eq!(std::fs::read(precious).unwrap(), b"not a manifest");
    // An older manifest of another blob may be replaced where that is asked for.
    for (blob, option) in [("one", "--read-timeout=9s"), ("two", "--overwrite")] {
        Agent::new(bench.path(), &[&"import", &"drive.img", &blob, &"--manifest", &"m.jsonl", &option]).run().expect(0);
    }
    Agent::new(bench.path(), &[&"import", &"one.manifest.jsonl", &"one", &"--overwrite"])
        .run()
        .expect_error(3, &["are the same storage"]);
}

#[test]
fn a_full_store_ends_the_transfer_and_a_resume_completes_it() {
    if parts::root().is_none() {
        return;
    }
    let bench = Workbench::new();
    let small = bench.file("small");
    std::fs::create_dir(&small).unwrap();
    let mount = |options: &str| {
        let arguments = ["-t", "tmpfs", "-o", options, "none", small.to_str().unwrap()];
        assert!(std::process::Command::new("mount").args(arguments).status().unwrap().success());
    };
    mount("size=2m");
    let image = bench.image("drive.img", &random_bytes(4096 * KIB, 1));
    let run = || {
        Agent::new(bench.path(), &[&"import", &image, &small.join("blob")]).with(&["--chunk-size", "64KiB", "--memory", "256KiB"])
    };
    let full = run().run();
    mount("remount,size=16m");
    let resumed = run().run();
    let is_same = crate::support::images::same_content(&image, &small.join("blob"));
    assert!(std::process::Command::new("umount").arg(&small).status().unwrap().success());
    full.expect_error(7, &["No space left", "free some space"]);
    let result = full.expect(7);
    crate::support::agent::check_receipt(&result);
    let landed = result["receipt"]["landed_before_request"]["bytes"].as_u64().unwrap();
    assert!(landed > 0);
    let resumed = resumed.expect(0);
    assert!(is_same && resumed["bytes_reused"].as_u64().unwrap() >= landed, "{resumed}");
}

#[test]
fn names_cannot_command_the_terminal() {
    let bench = Workbench::new();
    let ended = Agent::bare(bench.path(), &[&"import", &"missing\u{1b}[2J", &"blob"]).run();
    ended.expect_error(6, &["missing\\u{1b}[2J"]);
    bench.image("drive.toml", b"size = 4096\nserial = \"S\\u001b]0;owned\"\nmodel = \"M\\u0007\"\n");
    let described = Agent::bare(bench.path(), &[&"drives", &"describe", &"drive.toml"]).run();
    assert!(described.stdout.contains("S\\u{1b}]0;owned") && described.stdout.contains("M\\u{7}"), "{}", described.stdout);
}

#[test]
fn a_refusal_leaves_nothing_behind() {
    let bench = Workbench::new();
    bench.image("drive.img", &[1; 4096]);
    bench.image("blob", &[2; 4096]);
    Agent::new(bench.path(), &[&"import", &"drive.img", &"blob"]).run().expect(3);
    let left: Vec<_> = std::fs::read_dir(bench.file("state/drive-agent/journals")).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(bench.partials("blob").is_empty());
}
