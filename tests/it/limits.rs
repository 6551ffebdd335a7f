//! What is bounded stays bounded.

use std::time::Duration;

use crate::support::azure_fake::AzureFake;
use crate::support::images::MIB;
use crate::support::{Agent, Workbench};

/// Peak memory of a run, in bytes: VmHWM as the kernel counted it while the process lived.
fn peak_memory_of(run: Agent) -> u64 {
    let mut running = run.start();
    let path = format!("/proc/{}/status", running.id());
    let mut peak = 0;
    let program = format!("/proc/{}/exe", running.id());
    while !running.has_ended() {
        // Until it has become the program, it shows the memory of the test.
        if !std::fs::read_link(&program).is_ok_and(|path| path.ends_with("agent-under-test")) {
            continue;
        }
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes =
            line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.trim().parse::<u64>().ok());
        peak = peak.max(kibibytes.unwrap_or(0) * 1024);
        std::thread::sleep(Duration::from_millis(10));
    }
    running.wait().expect(0);
    peak
}

#[test]
fn memory_stays_within_the_budget_for_a_drive_many_times_larger() {
    const BUDGET: u64 = 32 * MIB as u64;
    const SLACK: u64 = 64 * MIB as u64;
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let drive = bench.profile("large", "512MiB", 0.1, "1MiB");
    let options = ["--memory", "32MiB", "--chunk-size", "1MiB"];
    let runs = [
        Agent::new(bench.path(), &[&"import", &drive, &"blob"]).with(&options),
        Agent::new(bench.path(), &[&"import", &drive, &fake.blob("blob")]).with(&options),
        Agent::new(bench.path(), &[&"export", &"blob", &"back"]).with(&["--memory", "32MiB", "--stream-sha256"]),
        Agent::new(bench.path(), &[&"verify", &"blob.manifest.jsonl", &"--blob", &"blob", &"--memory", &"32MiB"]),
    ];
    for (number, run) in runs.into_iter().enumerate() {
        let peak = peak_memory_of(run);
        assert!(peak > 0 && peak <= BUDGET + SLACK, "run {number} took {} MiB", peak / MIB as u64);
    }
}

#[test]
fn a_rate_is_kept() {
    let bench = Workbench::new();
    let drive = bench.profile("drive", "8MiB", 0.0, "64KiB");
    let run = Agent::new(bench.path(), &[&"import", &drive, &"blob"]).with(&["--rate", "8MiB/s", "--chunk-size", "64KiB"]);
    let result = run.run().expect(0);
    // The bound that matters: not faster than asked for.
    assert!(result["elapsed_seconds"].as_f64().unwrap() > 0.9, "{result}");
    assert_eq!(result["limited_by"], "rate");
}

#[test]
fn more_requests_than_buffers_do_not_lock_each_other_out() {
    let bench = Workbench::new();
    let drive = bench.profile("drive", "16MiB", 0.2, "64KiB");
    Agent::new(bench.path(), &[&"import", &drive, &"blob"]).with(&["--chunk-size", "64KiB"]).run().expect(0);
    let options = ["--stream-sha256", "--concurrency", "64", "--memory", "256KiB"];
    let result = Agent::new(bench.path(), &[&"export", &"blob", &"back"]).with(&options).run().expect(0);
    let bytes = std::fs::read(bench.file("back")).unwrap();
    assert_eq!(result["stream_sha256"], crate::support::images::sha256_of(&bytes));
}
