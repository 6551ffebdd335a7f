//! Getting everything off a drive that fails, and working hand in hand with GNU ddrescue.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::agent::{check_receipt, number, ranges};
use crate::support::azure_fake::AzureFake;
use crate::support::fuse_drive::FuseDrive;
use crate::support::images::{KIB, MIB, random_bytes};
use crate::support::{Agent, Workbench, parts};

/// A profile with these faults over content that `plain` has without them.
fn profiles(bench: &Workbench, size: &str, faults: &[String]) {
    let base = format!("size = \"{size}\"\nserial = \"BAD-1\"\nseed = 3\nzero_share = 0.2\nrun_size = \"256KiB\"\n");
    bench.image("plain.toml", base.as_bytes());
    bench.image("bad.toml", (base + &faults.concat()).as_bytes());
}

fn fault(kind: &str, offset: u64, length: u64, more: &str) -> String {
    format!("[[fault]]\nkind = \"{kind}\"\noffset = {offset}\nlength = {length}\n{more}\n")
}

fn unreadable(offset: u64, length: u64) -> String {
    fault("unreadable", offset, length, "")
}

/// The content that the drive would have without its faults.
fn plain(bench: &Workbench) -> Vec<u8> {
    Agent::new(bench.path(), &[&"import", &"plain.toml", &"plain.img"]).run().expect(0);
    std::fs::read(bench.file("plain.img")).unwrap()
}

fn import(bench: &Workbench, more: &[&str]) -> Agent {
    Agent::new(bench.path(), &[&"import", &"bad.toml", &"blob"]).with(&["--chunk-size", "1MiB"]).with(more)
}

fn listed(result: &Value) -> Vec<(u64, u64)> {
    let ranges = result["unreadable"].as_array().unwrap().iter();
    ranges.map(|range| (range["offset"].as_u64().unwrap(), range["length"].as_u64().unwrap())).collect()
}

fn run(bench: &Workbench, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(bench.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

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

/// All good ranges of `image` are those of `bytes`.
fn agrees(image: &Path, bytes: &[u8], bad: &[(u64, u64)]) {
    let mut expected = bytes.to_vec();
    let mut found = std::fs::read(image).unwrap();
    found.resize(bytes.len(), 0);
    for (start, end) in bad {
        expected[*start as usize..*end as usize].fill(0);
        found[*start as usize..*end as usize].fill(0);
    }
    assert!(found == expected, "{} differs", image.display());
}

#[test]
fn ddrescue_finishes_what_we_began_and_we_finish_what_it_began() {
    if parts::fuse().is_none() || parts::ddrescue().is_none() {
        return;
    }
    let bench = Workbench::new();
    let bytes = random_bytes(12 * MIB, 1);
    let bad = vec![(2_000_384, 2_000_896), (7 * MIB as u64, 7 * MIB as u64 + 65_536), (9_000_448, 9_004_544)];
    let drive = FuseDrive::mount(&bench.file("mount"), bytes.clone());
    drive.behaviour.lock().unwrap().bad = bad.clone();
    let source = drive.path();
    let run_import = |more: &[&str]| {
        Agent::new(bench.path(), &[&"import", &source, &"blob"])
            .with(&["--chunk-size", "1MiB", "--mapfile", "map"])
            .with(more)
            .run()
    };
    let expected: Vec<(u64, u64)> = bad.iter().map(|(start, end)| (*start, end - start)).collect();
    let ddrescue = |more: &[&str], output: &str, map: &str| {
        let mut arguments = vec!["-q", "-b", "512"];
        arguments.extend(more);
        arguments.extend([source.to_str().unwrap(), output, map]);
        run(&bench, "ddrescue", &arguments);
    };
    // We begin, ddrescue goes on in our unfinished blob, and we finish with what it found.
    run_import(&["--max-unreadable", "4KiB"]).expect(6);
    let partial = bench.partial("blob");
    ddrescue(&[], partial.to_str().unwrap(), "map");
    agrees(&partial, &bytes, &bad);
    let finished = run_import(&["--rescued", partial.to_str().unwrap()]).expect(4);
    assert_eq!(listed(&finished), expected);
    agrees(&bench.file("blob"), &bytes, &bad);
    // ddrescue begins, and leaves its failed places untrimmed; we finish, and ask nothing twice.
    bench.remove_blob("blob");
    std::fs::remove_file(bench.file("map")).unwrap();
    ddrescue(&["-n", "-N"], "theirs.img", "map");
    assert!(std::fs::read_to_string(bench.file("map")).unwrap().contains('*'));
    let finished = run_import(&["--rescued", "theirs.img", "--retry-passes", "0"]).expect(4);
    assert_eq!(listed(&finished), expected);
    assert_eq!(number(&finished, "failed_reads"), 1 + 128 + 8, "every bad sector once");
    agrees(&bench.file("blob"), &bytes, &bad);
    run(&bench, "ddrescuelog", &["-t", "map"]);
}

#[test]
fn options_that_do_not_fit_together_are_usage_errors() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[]);
    import(&bench, &["--on-unreadable", "stop", "--fill", "marker"]).run().expect_error(2, &["`--fill`", "drop one"]);
    import(&bench, &["--on-unreadable", "skip", "--retry-passes", "2"]).run().expect_error(2, &["tries nothing twice"]);
    import(&bench, &["--fill", "ones"]).run().expect_error(2, &["`ones` is no filling"]);
    import(&bench, &["--rescued", "x.img"]).run().expect_error(2, &["--mapfile"]);
    import(&bench, &["--read-timeout", "0s"]).run().expect_error(2, &["longer than nothing"]);
    for (name, why) in [("blob", "belongs to it"), ("blob.manifest.jsonl", "belongs to it"), (".", "no plain file")] {
        import(&bench, &["--mapfile", name]).run().expect_error(2, &[why, "nothing was begun"]);
    }
    import(&bench, &["--mapfile", "/dev/full"]).run().expect_error(2, &["no plain file"]);
    import(&bench, &["--mapfile", "no/such/folder/map"]).run().expect_error(2, &["cannot be written", "nothing was begun"]);
    bench.image("map", b"# Mapfile\n0x0 ? 1\n0x0 0x200 +\n0x400 0x200 -\n");
    import(&bench, &["--mapfile", "map"]).run().expect_error(2, &["`map` cannot be used: line 4", "without gap or overlap"]);
    assert!(std::fs::read_to_string(bench.file("map")).unwrap().starts_with("# Mapfile\n0x0 ? 1\n"), "it was left alone");
    bench.image("plain.img", &[1; 512]);
    Agent::new(bench.path(), &[&"import", &"plain.img", &"blob", &"--time-scale", &"5"])
        .run()
        .expect_error(2, &["simulated drives"]);
}

/// `plus` bytes rescued, the rest not tried.
fn mapfile(plus: u64, size: u64) -> Vec<u8> {
    format!("# Mapfile\n0x0 ? 1\n0x0 {plus} +\n{plus} {} ?\n", size - plus).into_bytes()
}

#[test]
fn an_image_is_held_against_its_map_and_its_drive() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[unreadable(6 * MIB as u64, 512)]);
    let mut bytes = plain(&bench);
    bench.image("map", &mapfile(4 * MIB as u64, 8 * MIB as u64));
    let with = |image: &str| import(&bench, &["--mapfile", "map", "--rescued", image]).run();
    with("missing.img").expect_error(2, &["`--rescued missing.img`"]);
    bench.image("short.img", &bytes[..MIB]);
    with("short.img").expect_error(2, &["has 1048576 bytes", "up to 4194304 rescued", "nothing was begun"]);
    bench.image("other.img", &random_bytes(8 * MIB, 5));
    with("other.img").expect_error(3, &["is not of the drive", "nothing was begun"]);
    assert!(bench.partials("blob").is_empty());
    let result = with("plain.img").expect(4);
    assert_eq!(number(&result, "bytes_from_image"), 4 * MIB as u64);
    // What came from the image was compared with the drive at a few places only, and everything says so.
    assert_eq!(result["from_image"], serde_json::json!([{"offset": 0, "length": 4 * MIB}]));
    assert_eq!(result["evidence"], "sampled");
    let manifest = std::fs::read_to_string(bench.file("blob.manifest.jsonl")).unwrap();
    assert!(manifest.lines().last().unwrap().contains(r#""evidence":"sampled""#), "{manifest}");
    assert!(manifest.lines().nth(1).unwrap().contains(r#""from_image":[{"offset":0,"#), "{manifest}");
    bytes[6 * MIB..6 * MIB + 512].fill(0);
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes);
}

#[test]
fn a_map_without_its_image_is_kept_aside_and_says_nothing_untrue() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[unreadable(MIB as u64, 512), fault("slow", 7 * MIB as u64, 512, "delay = \"20s\"")]);
    let old = mapfile(8 * MIB as u64 - 512, 8 * MIB as u64);
    bench.image("real.map", &old);
    std::os::unix::fs::symlink("real.map", bench.file("map")).unwrap();
    let running = import(&bench, &["--mapfile", "map"]).start();
    running.wait_for_chunks(6);
    // Another transfer leaves it alone.
    let second = Agent::new(bench.path(), &[&"import", &"bad.toml", &"second", &"--mapfile", &"map"]).run();
    second.expect_error(3, &["another transfer is writing the mapfile"]);
    running.signal(Signal::KILL);
    let killed = running.wait();
    assert!(killed.stderr.contains("are read from the drive again, unless `--rescued`"), "{}", killed.stderr);
    assert_eq!(std::fs::read(bench.file("map.bak")).unwrap(), old);
    assert!(bench.file("map").is_symlink(), "it is written through the link");
    let map = std::fs::read_to_string(bench.file("map")).unwrap();
    let plus: u64 =
        map.lines().filter(|line| line.ends_with('+')).map(|line| u64::from_str_radix(&line[14..22], 16).unwrap()).sum();
    assert!(plus <= 7 * MIB as u64, "{map}");
}

#[test]
fn a_map_of_small_sectors_loses_nothing_on_a_drive_with_large_ones() {
    let bench = Workbench::new();
    let base = "size = \"8MiB\"\nserial = \"K4\"\nsector_size = 4096\nseed = 4\n";
    bench.image("plain.toml", base.as_bytes());
    bench.image("bad.toml", format!("{base}{}", unreadable(MIB as u64, 4096)).as_bytes());
    plain(&bench);
    bench.image("map", &mapfile(512, 8 * MIB as u64));
    let result = import(&bench, &["--mapfile", "map", "--rescued", "plain.img"]).run().expect(4);
    assert_eq!(listed(&result), [(MIB as u64, 4096)]);
    // A manifest of small sectors, held against a drive with large ones: no panic, and no word about cables.
    profiles(&bench, "8MiB", &[unreadable(2 * MIB as u64 + 512, 512)]);
    let small = Agent::new(bench.path(), &[&"import", &"bad.toml", &"small", &"--chunk-size", &"1MiB", &"--fill", &"marker"])
        .run()
        .expect(4);
    assert_eq!(listed(&small).len(), 1);
    bench.image("target.toml", b"size = \"8MiB\"\nserial = \"T\"\nsector_size = 4096\nbacking = \"kept.bin\"\n");
    Agent::new(bench.path(), &[&"export", &"small", &"target.toml"]).run().expect(4);
    Agent::new(bench.path(), &[&"verify", &"small.manifest.jsonl", &"--drive", &"target.toml"]).run().expect(0);
    // A foreign byte in the filling is a difference.
    crate::support::images::change_byte(&bench.file("kept.bin"), 2 * MIB as u64 + 700, false);
    let verified = Agent::new(bench.path(), &[&"verify", &"small.manifest.jsonl", &"--drive", &"target.toml"]).run().expect(5);
    assert_eq!(verified["differences"][0]["reason"], "content");
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
fn an_image_that_is_an_unfinished_blob_is_never_started_over() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[unreadable(6 * MIB as u64, 512)]);
    let bytes = plain(&bench);
    let name = "blob.0123456789abcdef.partial";
    bench.image(name, &bytes);
    bench.image("map", &mapfile(4 * MIB as u64, 8 * MIB as u64));
    let with = |more: &[&str]| import(&bench, &["--mapfile", "map", "--rescued", name]).with(more).run();
    with(&[]).expect_error(3, &["is the unfinished file of the blob", "rename the image", "nothing was begun"]);
    with(&["--restart"]).expect_error(3, &["is the unfinished file of the blob"]);
    assert!(std::fs::read(bench.file(name)).unwrap() == bytes, "the only copy is as it was");
}

#[test]
fn what_the_image_has_is_remembered_through_a_cancel() {
    let bench = Workbench::new();
    let bad = |more: Vec<String>| profiles(&bench, "16MiB", &[vec![unreadable(15 * MIB as u64, 512)], more].concat());
    bad(vec![]);
    let mut bytes = plain(&bench);
    let map = b"# Mapfile. Created by GNU ddrescue\n0x0 ? 1\n0x0 0x600000 +\n0x600000 0x200 -\n0x600200 0x9ffe00 ?\n";
    bench.image("map", map);
    let options = ["--mapfile", "map", "--rescued", "plain.img"];
    let running = import(&bench, &options).with(&["--rate", "6MiB/s"]).start();
    running.wait_for_chunks(1);
    running.signal(Signal::INT);
    check_receipt(&running.wait().expect(130));
    assert!(
        std::fs::read_to_string(bench.file("map")).unwrap().contains("0x00600000  0x00000200  -"),
        "what failed is still known"
    );
    // The drive has got worse: what the image has is all that is left of it.
    bad(vec![unreadable(MIB as u64, 4 * MIB as u64)]);
    let resumed = import(&bench, &options).run().expect(4);
    assert_eq!(listed(&resumed), [(15 * MIB as u64, 512)]);
    bytes[15 * MIB..15 * MIB + 512].fill(0);
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes);
    assert_eq!(std::fs::read(bench.file("map.bak")).unwrap(), map, "the map as it came is kept");
    // Now the map says what is in the blob: with that image it would say something untrue.
    import(&bench, &options).with(&["--overwrite"]).run().expect_error(3, &["was written by drive-agent", "map.bak"]);
    let left: Vec<_> = std::fs::read_dir(bench.file("state/drive-agent/journals")).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| entry.path().extension().is_some_and(|extension| extension == "lock")), "{left:?}");
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
