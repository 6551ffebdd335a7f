//! The sample drives, each doing what its name says, and faults laid over real ones.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::agent::{check_receipt, number};
use crate::support::images::{KIB, MIB, random_bytes, same_content};
use crate::support::loop_device::LoopDevice;
use crate::support::{Agent, Workbench, parts, source_root};

fn samples() -> PathBuf {
    source_root().join("sample-drives")
}

fn sample(name: &str) -> String {
    samples().join(name).display().to_string()
}

fn profiles() -> Vec<String> {
    let entries = std::fs::read_dir(samples()).unwrap().flatten().map(|entry| entry.path());
    let mut names: Vec<String> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 15, "{names:?}");
    names
}

#[test]
fn timing_models_keep_the_published_figures() {
    let bench = Workbench::new();
    let mut timed = 0;
    for name in profiles() {
        let described = Agent::new(bench.path(), &[&"drives", &"describe", &sample(&name)]).run().expect(0);
        if described["is_timed"] == false {
            continue;
        }
        timed += 1;
        let measured = Agent::new(bench.path(), &[&"drives", &"describe", &sample(&name), &"--measure"]).run().expect(0);
        assert!(measured["source"].is_string(), "{name} says where its figures are from");
        let figures = measured["measured"].as_array().unwrap();
        assert_eq!(figures.len(), 4, "{name}");
        for figure in figures {
            let limit = if figure["unit"] == "ms" { 5.0 } else { 3.0 };
            let difference = figure["difference_percent"].as_f64().unwrap_or_else(|| panic!("{name}: {figure}"));
            assert!(difference.abs() <= limit, "{name}: {figure}");
        }
    }
    assert!(timed >= 7);
    Agent::new(bench.path(), &[&"drives", &"describe", &sample("tiny.toml"), &"--measure"])
        .run()
        .expect_error(1, &["no `[timing]`"]);
}

/// Physical drives are too large to be copied here: their import runs, is cancelled, and is accounted for.
#[test]
fn every_physical_sample_can_be_read() {
    for name in profiles() {
        if !["sata", "nvme", "usb"].iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        // Much lands until the signal comes: it goes with the folder.
        let bench = Workbench::in_memory();
        let fast = ["--time-scale", "max", "--rate", "200MiB/s"];
        let running = Agent::new(bench.path(), &[&"import", &sample(&name), &"blob"]).with(&fast).start();
        running.wait_for_chunks(1);
        running.signal(Signal::INT);
        let result = running.wait().expect(130);
        check_receipt(&result);
        assert!(number(&result["receipt"]["landed_before_request"], "bytes") > 0, "{name}");
    }
}

#[test]
fn time_goes_at_the_pace_that_was_asked_for() {
    let bench = Workbench::new();
    let text = std::fs::read_to_string(sample("sata-7200-8tb.toml")).unwrap();
    let small = text.replace("size = 8001563222016", "size = 50_000_896").replace("spin_up = \"23s\"", "spin_up = \"2s\"");
    bench.image("small.toml", small.as_bytes());
    let import = |scale: &str| {
        let result = Agent::new(bench.path(), &[&"import", &"small.toml", &"blob", &"--overwrite", &"--time-scale", &scale])
            .run()
            .expect(0);
        result["elapsed_seconds"].as_f64().unwrap()
    };
    // Two seconds until it turns, and at least a fifth of a second for 50 MB: never less than that.
    assert!(import("10") >= 0.21);
    assert!(import("2") >= 1.05);
}

#[test]
fn drives_with_faults_do_what_their_names_say() {
    let bench = Workbench::new();
    let run = |arguments: &[&str]| Agent::new(bench.path(), &[]).with(arguments).run();
    let bad = run(&["import", &sample("bad-sectors.toml"), "bad", "--on-unreadable", "rescue"]).expect(4);
    assert_eq!(number(&bad, "bytes_unreadable"), 512 + 4096 + MIB as u64 + 512);
    run(&["import", &sample("healing-sectors.toml"), "healing", "--retry-passes", "4"]).expect(0);
    let codes: Vec<_> = (0..3).map(|_| run(&["import", &sample("pulled-midway.toml"), "pulled"]).code).collect();
    assert_eq!(codes, [Some(6), Some(6), Some(0)]);
    let stuck = run(&["import", &sample("stuck.toml"), "stuck", "--read-timeout", "1s"]);
    stuck.expect_error(6, &["did not answer within"]);
    check_receipt(&stuck.expect(6));
    // What it was, without the rot.
    let sound = std::fs::read_to_string(sample("rotten.toml")).unwrap();
    bench.image("sound.toml", sound.split("[[fault]]").next().unwrap().as_bytes());
    run(&["import", "sound.toml", "sound"]).expect(0);
    let rotten = run(&["verify", "sound.manifest.jsonl", "--drive", &sample("rotten.toml")]).expect(5);
    assert_eq!(rotten["differences"].as_array().unwrap().len(), 1);
    run(&["import", &sample("native-4k.toml"), "native", "--chunk-size", "1000KiB"]).expect(0);
}

#[test]
fn a_stuck_read_does_not_hold_up_a_cancel() {
    let bench = Workbench::new();
    let running = Agent::new(bench.path(), &[&"import", &sample("stuck.toml"), &"blob", &"--drain-timeout", &"1s"]).start();
    // All that are not in the place.
    running.wait_for_chunks(7);
    let asked = std::time::Instant::now();
    running.signal(Signal::INT);
    check_receipt(&running.wait().expect(130));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[test]
fn a_lying_cache_passes_a_read_back_and_is_found_out_by_verify() {
    let bench = Workbench::new();
    let text = std::fs::read_to_string(sample("lying-cache.toml")).unwrap();
    bench.image("liar.toml", text.replace("/tmp/drive-agent-lying-cache.bin", "kept.bin").as_bytes());
    bench.image("blob", &random_bytes(64 * MIB, 1));
    let run = |arguments: &[&str]| Agent::new(bench.path(), &[]).with(arguments).run();
    run(&["import", "blob", "copy"]).expect(0);
    run(&["export", "copy", "liar.toml", "--verify", "read-back"]).expect(0);
    let verified = run(&["verify", "copy.manifest.jsonl", "--drive", "liar.toml"]).expect(5);
    let missing: u64 = verified["differences"].as_array().unwrap().iter().map(|one| one["length"].as_u64().unwrap()).sum();
    assert!((4 * MIB as u64..=24 * MIB as u64).contains(&missing), "{verified}");
}

#[test]
fn a_drive_that_claims_too_much_is_found_out_by_reading_back() {
    let bench = Workbench::new();
    let profile =
        "size = \"4MiB\"\nserial = \"FAKE\"\nbacking = \"kept.bin\"\n[[fault]]\nkind = \"wrong-capacity\"\nsize = \"16MiB\"\n";
    bench.image("fake.toml", profile.as_bytes());
    bench.image("blob", &random_bytes(8 * MIB, 1));
    let run =
        |more: &[&str]| Agent::new(bench.path(), &[&"export", &"blob", &"fake.toml", &"--chunk-size", &"1MiB"]).with(more).run();
    run(&["--verify", "read-back"]).expect_error(5, &["holds other bytes than were written", "do not use this drive"]);
}

#[test]
fn a_serial_that_changes_does_not_stop_a_resume() {
    let bench = Workbench::new();
    let profile = "size = \"8MiB\"\nserial = \"A\"\n[[fault]]\nkind = \"changing-serial\"\nserials = [\"BRIDGE-1\", \"BRIDGE-2\"]\ncounter = \"openings\"\n\
        [[fault]]\nkind = \"removed\"\nafter_bytes = \"5MiB\"\n";
    bench.image("bridge.toml", profile.as_bytes());
    let run = || Agent::new(bench.path(), &[&"import", &"bridge.toml", &"blob", &"--chunk-size", &"1MiB"]).run();
    assert_eq!(run().expect(6)["drive"]["serial"], "BRIDGE-1");
    let resumed = run();
    assert!(resumed.stderr.contains("calls itself `BRIDGE-2` now and was `BRIDGE-1`"), "{}", resumed.stderr);
    assert!(number(&resumed.expect(0), "bytes_reused") > 0);
}

#[test]
fn a_copy_that_was_begun_under_the_bridges_serial_resumes_under_the_drives_own() {
    let bench = Workbench::new();
    let profile = |passes: bool| {
        let text = format!(
            "size = \"8MiB\"\nserial = \"OWN-1\"\n[bridge]\nserial = \"BRIDGE-1\"\npasses_serial = {passes}\n\
             [[fault]]\nkind = \"removed\"\nafter_bytes = \"5MiB\"\n"
        );
        bench.image("bridge.toml", text.as_bytes());
    };
    let run = || Agent::new(bench.path(), &[&"import", &"bridge.toml", &"blob", &"--chunk-size", &"1MiB"]).run();
    profile(false);
    assert_eq!(run().expect(6)["drive"]["serial"], "BRIDGE-1");
    profile(true);
    let resumed = run();
    assert!(resumed.stderr.contains("calls itself `OWN-1` now and was `BRIDGE-1`"), "{}", resumed.stderr);
    let resumed = resumed.expect(0);
    assert!(number(&resumed, "bytes_reused") > 0);
    assert_eq!(resumed["drive"]["serial"], "OWN-1");
}

#[test]
fn a_weak_serial_number_confirms_nothing_and_the_message_names_what_does() {
    let bench = Workbench::new();
    bench.image("blob", &random_bytes(MIB, 1));
    let run = |arguments: &[&str]| Agent::new(bench.path(), &[]).with(arguments).run();
    run(&["import", "blob", "copy"]).expect(0);
    for (name, serial, reason) in [
        ("a", "152D00539000", "tells for every drive"),
        ("b", "4C530001220528100484", "of its USB bridge"),
        ("c", "0123456789ABCDEF", "is a placeholder"),
    ] {
        let profile =
            format!("size = \"8MiB\"\nserial = \"OWN-1\"\nbacking = \"{name}.kept\"\n[bridge]\nserial = \"{serial}\"\n");
        bench.image(&format!("{name}.toml"), profile.as_bytes());
        let (target, word) = (format!("{name}.toml"), format!("`--confirm {name}.toml`"));
        for extra in [&[][..], &["--dry-run"]] {
            let export = |given: &str| run(&[&["export", "copy", &target, "--confirm", given], extra].concat());
            export(serial).expect_error(3, &["does not say which drive", reason, &word]);
            export("OWN-1").expect_error(3, &["`OWN-1` is not the drive", "nothing was written"]);
        }
        let kept = || std::fs::read(bench.file(&format!("{name}.kept"))).unwrap_or_default();
        assert!(kept().iter().all(|byte| *byte == 0), "something was written");
        run(&["export", "copy", &target, "--confirm", &target]).expect(0);
        assert_eq!(kept()[..MIB], random_bytes(MIB, 1));
        // Without a word it is as before: no customer's data is on a simulated drive.
        run(&["export", "copy", &target]).expect(0);
    }
}

#[test]
fn a_simulated_drive_can_be_written_and_keeps_it() {
    let bench = Workbench::new();
    bench.image("target.toml", b"size = \"8MiB\"\nserial = \"T-1\"\nseed = 9\nbacking = \"kept.bin\"\n");
    bench.image("blob", &random_bytes(5 * MIB + 700, 1));
    let run = |arguments: &[&str]| Agent::new(bench.path(), &[]).with(arguments).run();
    run(&["import", "blob", "copy", "--chunk-size", "1MiB"]).expect(0);
    run(&["export", "copy", "target.toml", "--confirm", "WRONG"])
        .expect_error(3, &["`WRONG` is not the drive `target.toml`", "serial T-1"]);
    run(&["export", "copy", "target.toml", "--confirm", "T-1", "--verify", "read-back"]).expect(0);
    run(&["verify", "copy.manifest.jsonl", "--drive", "target.toml"]).expect(0);
    run(&["import", "target.toml", "whole"]).expect(0);
    let whole = std::fs::read(bench.file("whole")).unwrap();
    assert!(whole[5 * MIB + 1024..].iter().all(|byte| *byte == 0), "what was there before is gone");
    run(&["export", "copy", &sample("tiny.toml")]).expect_error(3, &["no `backing` to write to"]);
    // A physical one, in memory, with all that lies behind the blob cleared.
    let exported = run(&["export", "copy", &sample("sata-ssd-1tb.toml"), "--time-scale", "max"]).expect(0);
    assert!(number(&exported, "bytes_cleared") > 900_000_000_000);
}

#[test]
fn a_write_that_hangs_ends_an_export() {
    let bench = Workbench::new();
    let profile =
        "size = \"8MiB\"\nserial = \"T-1\"\nbacking = \"memory\"\n[[fault]]\nkind = \"stuck\"\noffset = \"4MiB\"\nlength = 512\n";
    bench.image("target.toml", profile.as_bytes());
    bench.image("blob", &random_bytes(8 * MIB, 1));
    let options = ["--chunk-size", "1MiB", "--read-timeout", "1s", "--drain-timeout", "2s"];
    let ended = Agent::new(bench.path(), &[&"export", &"blob", &"target.toml"]).with(&options).run();
    ended.expect_error(6, &["did not answer within"]);
    let result = ended.expect(6);
    check_receipt(&result);
    assert!(number(&result["receipt"]["landed_before_request"], "bytes") > 0);
    assert!(number(&result["receipt"]["outcome_unknown"], "bytes") > 0);
}

#[test]
fn faults_are_laid_over_a_real_image_and_a_real_device() {
    let bench = Workbench::new();
    let mut bytes = random_bytes(4 * MIB, 1);
    let image = bench.image("real.img", &bytes);
    let fault = "[[fault]]\nkind = \"unreadable\"\noffset = \"1MiB\"\nlength = 4096\n";
    let run = |name: &str| {
        Agent::new(bench.path(), &[&"import", &name, &format!("{name}.blob")]).with(&["--on-unreadable", "rescue"]).run()
    };
    bench.image("over-image.toml", format!("drive = \"real.img\"\n{fault}").as_bytes());
    run("over-image.toml").expect(4);
    bytes[MIB..MIB + 4096].fill(0);
    assert_eq!(std::fs::read(bench.file("over-image.toml.blob")).unwrap(), bytes);
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let device = LoopDevice::attach(&image, 4096);
    bench.image("over-device.toml", format!("drive = \"{}\"\nserial = \"REAL\"\n{fault}", device.path.display()).as_bytes());
    let result = run("over-device.toml").expect(4);
    assert_eq!((result["drive"]["sector_size"].as_u64(), result["drive"]["serial"].as_str()), (Some(4096), Some("REAL")));
    assert_eq!(std::fs::read(bench.file("over-device.toml.blob")).unwrap(), bytes);
}

#[test]
fn thirty_terabytes_cost_nothing_until_they_are_read() {
    let bench = Workbench::new();
    let profile = "size = \"30TB\"\nserial = \"HUGE\"\nzero_share = 1.0\nreports_holes = true\nrun_size = \"1GiB\"\n";
    bench.image("huge.toml", profile.as_bytes());
    let described = Agent::new(bench.path(), &[&"drives", &"describe", &"huge.toml"]).run().expect(0);
    assert_eq!(number(&described, "size"), 30_000_000_000_000);
}

#[test]
fn a_profile_with_a_mistake_is_refused_with_its_line() {
    let bench = Workbench::new();
    bench.image("drive.toml", b"size = \"8MiB\"\nserial = \"S\"\n\nspeed = 3\n");
    let import = |name: &str| Agent::new(bench.path(), &[&"import", &name, &"blob"]).run();
    import("drive.toml").expect_error(1, &["drive.toml:4`", "unknown field `speed`, expected one of"]);
    bench.image(
        "drive.toml",
        b"size = \"8MiB\"\nserial = \"S\"\n[[fault]]\nkind = \"unreadable\"\noffset = \"8MiB\"\nlength = 512\n",
    );
    import("drive.toml").expect_error(1, &["drive.toml:3`", "a fault lies on the drive"]);
    assert!(!bench.file("blob").exists() && bench.partials("blob").is_empty());
}

#[test]
fn recipes_build_what_they_say() {
    if parts::root_with_loop_devices().is_none() || parts::image_tools().is_none() {
        return;
    }
    for (recipe, table, content) in
        [("gpt-ext4", "gpt:6f1d4c5e-7a3b-4c2d-9e8f-0a1b2c3d4e5f", "ext4"), ("mbr-fat32", "mbr:5a3b1c2d", "FAT32")]
    {
        let bench = Workbench::new();
        let built = Command::new(samples().join("recipes").join(recipe)).arg(bench.file("disk.img")).output().unwrap();
        assert!(built.status.success(), "{recipe}: {}", String::from_utf8_lossy(&built.stderr));
        let run = |arguments: &[&str]| Agent::new(bench.path(), &[]).with(arguments).run();
        let device = run(&["drives", "attach", "disk.img", "--read-only"]).expect(0)["device"].as_str().unwrap().to_owned();
        let drives = run(&["drives"]).expect(0);
        let imported = run(&["import", &device, "blob"]);
        run(&["drives", "detach", &device]).expect(0);
        imported.expect(0);
        let drive = drives.as_array().unwrap().iter().find(|drive| drive["path"] == device.as_str()).unwrap();
        assert_eq!(drive["layout"]["partition_table"], table);
        assert_eq!(drive["layout"]["partitions"][0]["content"], content, "{drive}");
        assert!(same_content(&bench.file("disk.img"), &bench.file("blob")));
        let manifest = std::fs::read_to_string(bench.file("blob.manifest.jsonl")).unwrap();
        assert!(manifest.contains(table), "the manifest knows the partition table");
        // Laid into a simulated drive, it is there.
        bench.image(
            "inside.toml",
            format!("size = \"{}KiB\"\nserial = \"O\"\n[[overlay]]\noffset = 0\nimage = \"disk.img\"\n", 70_000 * KIB / 1024)
                .as_bytes(),
        );
        run(&["import", "inside.toml", "inside"]).expect(0);
        let (inside, disk) = (std::fs::read(bench.file("inside")).unwrap(), std::fs::read(bench.file("disk.img")).unwrap());
        assert_eq!(inside[..disk.len()], disk);
    }
}
