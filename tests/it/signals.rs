//! Signals: the third always ends the process, and what was ignored stays ignored.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{Connection, SqliteConnection};

use crate::support::agent::check_receipt;
use crate::support::images::{MIB, random_bytes};
use crate::support::service::{Service, slow_profile};
use crate::support::{Agent, Workbench};

#[test]
fn the_third_signal_ends_a_service_whose_database_cannot_be_written() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, "[[bay]]\nname = \"bay-1\"\n");
    let profile = slow_profile(&bench, "SLOW1", "64MiB", "4MB/s");
    service.ship_import("one", &["SLOW1"]);
    service.dock("bay-1", &profile, None).expect(200);
    service.wait_for_state("one", "Transferring");
    let database = format!("sqlite://{}", service.state().join("jobs.db").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut connection = runtime.block_on(SqliteConnection::connect(&database)).unwrap();
    runtime.block_on(sqlx::query("BEGIN IMMEDIATE").execute(&mut connection)).unwrap();
    let running = service.running();
    running.signal(Signal::TERM);
    running.wait_for_words("stopping: copies drain");
    running.signal_again(Signal::TERM);
    // Time in which it could end, and must not; a third signal that comes sooner would be taken for the second.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!running.has_ended(), "the end of the copy cannot be recorded");
    let third = Instant::now();
    running.signal(Signal::TERM);
    let ended = service.wait_for_end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(third.elapsed() < Duration::from_secs(5), "{}", ended.stderr);
    drop(connection);
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(MIB, 1));
    let run = |prelude: &str, blob: &str| {
        let agent = Agent::bare(bench.path(), &[&"import", &image, &blob]).with(&["--output", "json"]);
        let slow = ["--chunk-size", "64KiB", "--rate", "512KiB/s", "--progress", "json"];
        let running = agent.with(&slow).after(prelude).start();
        running.wait_for_words("\"phase\":\"copying\"");
        running
    };
    let running = run("trap '' HUP", "kept");
    running.signal(Signal::HUP);
    running.wait().expect(0);
    let running = run("trap '' HUP", "ended");
    running.signal(Signal::TERM);
    check_receipt(&running.wait().expect(130));
    let running = run(":", "hung-up");
    running.signal(Signal::HUP);
    running.wait().expect(130);
}

#[test]
fn a_signal_ends_at_once_what_has_nothing_to_drain() {
    let bench = Workbench::new();
    let running = Agent::bare(bench.path(), &[&"bench", &"sink"]).start();
    running.wait_for_output();
    running.signal(Signal::INT);
    assert_eq!(running.wait().code, Some(130));
}

#[test]
fn a_limit_of_file_sizes_is_an_error_and_not_the_end_of_the_process() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(4 * MIB, 1));
    let run = || Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&["--chunk-size", "64KiB", "--memory", "256KiB"]);
    run().after("ulimit -f 1024").run().expect_error(3, &["the limit of this process", "ulimit -f"]);
    assert!(!bench.file("blob").exists() && bench.partials("blob").is_empty(), "it is reported before the first byte");
    // The result itself cannot be written: the signal for that does not end the process.
    let ended = run().after("ulimit -f 0; exec > result.json").run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    run().run().expect(0);
}
