//! Figures: that they are taken, kept and compared; never what they are.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::agent::Agent;
use crate::support::{Workbench, browser};

fn report(bench: &Workbench, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(bench.file(name)).unwrap()).unwrap()
}

#[test]
fn a_matrix_is_measured_reported_and_compared() {
    let bench = Workbench::new();
    let measure = |json: &str| {
        let arguments = ["bench", "--size", "32MiB", "--chunk-size", "1MiB,8MiB", "--repeat", "2", "--json", json];
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = arguments.iter().map(|word| word as _).collect();
        Agent::bare(bench.path(), &arguments).with(&["--html", "report.html"]).run()
    };
    let first = measure("a.json");
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stdout.contains("SHA-256, all cores") && first.stdout.contains("OF LIMIT"), "{}", first.stdout);
    let told = report(&bench, "a.json");
    let measures = told["measures"].as_array().unwrap();
    assert_eq!(measures.len(), 4, "two chunk sizes, both ways");
    for measure in measures {
        let runs = measure["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 2, "{measure}");
        assert!(runs.iter().all(|run| run["seconds"].as_f64() > Some(0.0)), "{measure}");
        assert!(measure["limit"]["bytes_per_second"].as_f64() > Some(0.0), "{measure}");
    }
    let page = std::fs::read_to_string(bench.file("report.html")).unwrap();
    assert!(page.contains("<svg class=\"plot\"") && page.contains("Throughput against chunk size"));
    assert!(!page.contains("src=") && !page.contains("http://") && !page.contains("https://"), "it needs nothing else");
    assert_eq!(measure("b.json").code, Some(0));
    let compared = Agent::new(bench.path(), &[&"bench", &"compare", &"a.json", &"b.json"]).run();
    assert_eq!(compared.code, Some(0), "{}", compared.stderr);
    // Two runs each can prove nothing, and it is said.
    assert!(compared.stderr.contains("too few repetitions") && first.stderr.contains("--repeat 5"), "{}", compared.stderr);
    let compared: Value = serde_json::from_str(&compared.stdout).unwrap();
    let changes = compared["changes"].as_array().unwrap();
    assert!(!changes.is_empty() && changes.iter().all(|change| change["verdict"] == "too-few"), "{compared}");
    Agent::bare(bench.path(), &[&"bench", &"compare", &"a.json", &"report.html"])
        .run()
        .expect_error(2, &["not a report of a bench"]);
}

#[test]
fn the_page_of_a_report_is_read_on_a_phone_too() {
    let Some(mut run) = browser::script("report.js") else { return };
    let bench = Workbench::new();
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 7] =
        [&"bench", &"--size", &"8MiB", &"--repeat", &"2", &"--html", &"report.html"];
    let measured =
        Agent::bare(bench.path(), &arguments).with(&["--chunk-size", "1MiB,2MiB,4MiB,8MiB", "--concurrency", "1,4,8"]).run();
    assert_eq!(measured.code, Some(0), "{}", measured.stderr);
    let output = run.arg(bench.file("report.html")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_blob_that_exists_is_not_written_over() {
    let bench = Workbench::new();
    let blob = bench.image("precious.img", b"precious");
    let refused = Agent::bare(bench.path(), &[&"bench", &"--size", &"8MiB", &"--store", &blob]).run();
    refused.expect_error(2, &["precious.img", "exists"]);
    assert_eq!(std::fs::read(&blob).unwrap(), b"precious");
    let manifest = bench.image("other.img.manifest.jsonl", b"precious too");
    let other = bench.file("other.img");
    let refused = Agent::bare(bench.path(), &[&"bench", &"--size", &"8MiB", &"--store", &other]).run();
    refused.expect_error(2, &["other.img.manifest.jsonl", "exists"]);
    assert_eq!(std::fs::read(&manifest).unwrap(), b"precious too");
}

#[test]
fn a_target_is_written_as_far_as_was_asked() {
    let bench = Workbench::new();
    let target = bench.image("target.img", &vec![7; 24 << 20]);
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 9] =
        [&"bench", &"--size", &"16MiB", &"--repeat", &"1", &"--chunk-size", &"8MiB", &"--target", &target];
    let told = Agent::new(bench.path(), &arguments).with(&["--direction", "export"]).run();
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    let write = told["limits"].as_array().unwrap().iter().find(|one| one["name"] == "drive write: target").unwrap();
    assert_eq!(write["bytes"], 16 << 20);
    assert_eq!(std::fs::metadata(&target).unwrap().len(), 24 << 20);
}

#[test]
fn nothing_costs_nothing_and_many_drives_share_a_station() {
    let bench = Workbench::new();
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 11] =
        [&"bench", &"--drive", &"null", &"--drive", &"zero", &"--store", &"null", &"--size", &"32MiB", &"--repeat", &"1"];
    let told = Agent::new(bench.path(), &arguments).with(&["--chunk-size", "4MiB"]).run();
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["measures"].as_array().unwrap().len(), 2);
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 8] =
        [&"bench", &"station", &"--drives", &"1,3", &"--size", &"16MiB", &"--repeat", &"1"];
    let station = Agent::new(bench.path(), &arguments).run();
    assert_eq!(station.code, Some(0), "{}", station.stderr);
    let station: Value = serde_json::from_str(&station.stdout).unwrap();
    assert_eq!(station["measures"][1]["bytes"], 48 << 20);
    // A name that holds a figure could not be compared with that of another report.
    assert_eq!(station["measures"][1]["name"], "3 drives at once");
    let fairness = station["measures"][1]["runs"][0]["fairness"].as_f64().unwrap();
    assert!(fairness > 0.0 && fairness <= 1.0, "{fairness}");
}

#[test]
fn peers_are_measured_and_those_that_are_missing_are_named() {
    let bench = Workbench::new();
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 6] = [&"bench", &"peers", &"--size", &"32MiB", &"--repeat", &"1"];
    let told = Agent::new(bench.path(), &arguments).run();
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    let names: Vec<&str> = told["measures"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    for name in [
        "peers: copy: drive-agent",
        "peers: copy: dd bs=8M conv=fsync",
        "peers: copy back: drive-agent",
        "peers: upload: drive-agent",
        "peers: verify: drive-agent",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    let without = Agent::new(bench.path(), &arguments).env("PATH", "/nowhere").run();
    let without: Value = serde_json::from_str(&without.stdout).unwrap();
    let missing: Vec<&str> = without["missing"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    for words in ["nbdcopy: not installed; Debian's libnbd-bin", "blksum: not installed; Fedora's blkhash"] {
        assert!(missing.iter().any(|one| one.contains(words)), "{missing:?}");
    }
}

#[test]
fn blksum_stands_next_to_verify() {
    let bench = Workbench::new();
    // It does what is asked of it, and says what that was.
    let script = bench.image("blksum", b"#!/bin/sh\n[ $# = 2 ] && [ \"$1\" = --cache ] && exec cat \"$2\" > /dev/null\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let tool = script.display().to_string();
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 10] =
        [&"bench", &"peers", &"--size", &"16MiB", &"--repeat", &"2", &"--only", &"verify", &"--tool", &tool];
    let told = Agent::new(bench.path(), &arguments).run();
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    let measures = told["measures"].as_array().unwrap();
    let of = |name: &str| measures.iter().find(|one| one["name"] == name).map(|one| one["runs"].as_array().unwrap().len());
    assert_eq!((of("peers: verify: drive-agent"), of("peers: verify: blksum")), (Some(2), Some(2)), "{told}");
    let table = Agent::bare(bench.path(), &arguments).run();
    assert!(table.stdout.contains("x the wall time of blksum"), "{}", table.stdout);
}
