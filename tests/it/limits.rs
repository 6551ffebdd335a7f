//! What is bounded stays bounded.

use std::time::Duration;

use crate::support::azure_fake::AzureFake;
use crate::support::gcs_fake::GcsFake;
use crate::support::images::MIB;
use crate::support::s3_fake::S3Fake;
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
        // The kernel keeps the peak: a look now and then sees it.
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
fn a_sparse_drive_of_22_terabytes_fits_into_the_budget_and_into_the_parts_of_an_object() {
    const BUDGET: u64 = 128 * MIB as u64;
    const SLACK: u64 = 64 * MIB as u64;
    const TOTAL: u64 = 22_000_000_000_000;
    let (fake, bench) = (S3Fake::start(), Workbench::new());
    // A dozen places with data, far apart.
    let profile =
        "size = \"22TB\"\nserial = \"SIM\"\nseed = 7\nzero_share = 0.999995\nrun_size = \"8MiB\"\nreports_holes = true\n";
    let drive = bench.image("large.toml", profile.as_bytes());
    let mut run = Agent::new(bench.path(), &[&"import", &drive, &"s3://drives/blob"]).with(&["--memory", "128MiB"]);
    for (name, value) in fake.variables() {
        run = run.env(name, &value);
    }
    let peak = peak_memory_of(run.with(&["--time-scale", "max"]));
    assert_eq!(fake.object_bytes("blob"), Some(TOTAL));
    assert!(fake.parts_max() <= 10_000, "{} parts", fake.parts_max());
    assert!(fake.bytes_received() < 2 << 30, "zeros are not sent: {} bytes", fake.bytes_received());
    assert!(peak > 0 && peak <= BUDGET + SLACK, "it took {} MiB", peak / MIB as u64);
}

#[test]
fn a_sparse_drive_of_nearly_five_tebibytes_fits_into_the_budget_and_becomes_one_object() {
    const BUDGET: u64 = 128 * MIB as u64;
    // What names 655,000 chunks, and their checksums, is a list in memory.
    const SLACK: u64 = 160 * MIB as u64;
    const TOTAL: u64 = (5 << 40) - (3 << 20);
    let (fake, bench) = (GcsFake::start(), Workbench::new());
    let profile = format!(
        "size = \"{TOTAL}\"\nserial = \"SIM\"\nseed = 7\nzero_share = 0.99999\nrun_size = \"8MiB\"\nreports_holes = true\n"
    );
    let drive = bench.image("large.toml", profile.as_bytes());
    let mut run = Agent::new(bench.path(), &[&"import", &drive, &"gs://drives/blob"]).with(&["--memory", "128MiB"]);
    for (name, value) in fake.variables() {
        run = run.env(name, &value);
    }
    let peak = peak_memory_of(run.with(&["--time-scale", "max"]));
    assert_eq!(fake.object_bytes("blob"), Some(TOTAL));
    assert_eq!(fake.sources_max(), 32);
    assert!(fake.bytes_received() < 1 << 30, "zeros are sent once: {} bytes", fake.bytes_received());
    assert!(peak > 0 && peak <= BUDGET + SLACK, "it took {} MiB", peak / MIB as u64);
}

/// An export that is cancelled when some of it has landed.
fn begin_export(bench: &Workbench, options: &[&str]) {
    let running = Agent::new(bench.path(), &[&"export", &"blob", &"back"]).with(options).with(&["--rate", "100MB/s"]).start();
    running.wait_for_chunks(2);
    running.signal(rustix::process::Signal::INT);
    running.wait().expect(130);
}

#[test]
fn the_hash_of_the_whole_stays_within_the_budget_in_resumed_transfers_too() {
    const SLACK: u64 = 48 * MIB as u64;
    for (memory, chunk) in [(64, "8MiB"), (64, "32MiB"), (256, "32MiB")] {
        let bench = Workbench::new();
        let drive = bench.profile("large", "512MiB", 0.0, "1MiB");
        let budget = format!("{memory}MiB");
        let options = ["--memory", budget.as_str(), "--stream-sha256"];
        let import = Agent::new(bench.path(), &[&"import", &drive, &"blob"]).with(&options).with(&["--chunk-size", chunk]);
        let fresh = peak_memory_of(import);
        begin_export(&bench, &options);
        let resumed = peak_memory_of(Agent::new(bench.path(), &[&"export", &"blob", &"back"]).with(&options));
        for (name, peak) in [("a fresh import", fresh), ("a resumed export", resumed)] {
            let most = memory * MIB as u64 + SLACK;
            assert!(peak > 0 && peak <= most, "{name} with {budget} and {chunk} took {} MiB", peak / MIB as u64);
        }
    }
}

#[test]
fn too_few_open_files_end_in_a_clear_error() {
    let bench = Workbench::new();
    bench.image("drive.img", &vec![1; MIB]);
    let import = |limits: &str| Agent::bare(bench.path(), &[&"import", &"drive.img", &"blob"]).limited(limits).run();
    for files in 4..14 {
        let ended = import(&format!("ulimit -n {files}"));
        assert!(!ended.stderr.contains("panicked"), "with {files} files: {}", ended.stderr);
        ended.expect_error(1, &["ulimit -n"]);
    }
}

#[test]
fn a_flag_or_a_limit_of_the_process_never_makes_it_panic() {
    let bench = Workbench::new();
    let image = bench.file("sparse.img");
    std::fs::File::create(&image).unwrap().set_len(8 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&std::fs::File::options().write(true).open(&image).unwrap(), &[1; MIB], 0).unwrap();
    let run = |verb: &str, from: &str, to: &str, memory: &str| {
        let run = Agent::new(bench.path(), &[&verb, &from, &to]).with(&["--chunk-size", "1GiB", "--memory", memory]);
        run.after("ulimit -v 1200000").run()
    };
    for ended in [run("import", "sparse.img", "out.img", "8GiB"), run("export", "sparse.img", "back.img", "8GiB")] {
        ended.expect_error(1, &["there is no memory for a buffer of 1073741824 bytes", "lower `--memory` or `--chunk-size`"]);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        crate::support::agent::check_receipt(&ended.expect(1));
    }
    let ended = run("import", "sparse.img", "out.img", "500TiB");
    ended.expect_error(2, &["a memory budget of 500 TiB is more than the", "that this machine has: lower `--memory`"]);
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
