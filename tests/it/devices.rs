//! Block devices: loop devices stand for them.

use std::process::Command;

use crate::support::agent::{Ended, check_receipt, number};
use crate::support::fuse_drive::FuseDrive;
use crate::support::images::{KIB, MIB, patterned, random_bytes};
use crate::support::loop_device::{LoopDevice, Mounted, ext4_image};
use crate::support::{Agent, Workbench, parts};

#[test]
fn devices_of_both_sector_sizes_are_copied_both_ways() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    for sector_size in [512, 4096] {
        let bench = Workbench::new();
        let bytes = patterned("rzrar", 257 * 4 * KIB);
        let source = LoopDevice::attach(&bench.image("source.img", &bytes), sector_size);
        let options = ["--chunk-size", "64KiB", "--stream-sha256"];
        let imported = Agent::new(bench.path(), &[&"import", &source.path, &"blob"]).with(&options).run().expect(0);
        assert_eq!(imported["drive"]["kind"], "loop");
        assert_eq!(imported["drive"]["sector_size"], sector_size);
        assert_eq!(std::fs::read(bench.file("blob")).unwrap(), bytes);
        assert_eq!(std::fs::read(bench.file("source.img")).unwrap(), bytes, "the source was altered");
        let target = LoopDevice::attach(&bench.image("target.img", &vec![0xa5; bytes.len() + 8 * MIB]), sector_size);
        let exported = Agent::new(bench.path(), &[&"export", &"blob", &target.path])
            .with(&["--confirm", target.word(), "--verify", "read-back", "--stream-sha256"])
            .run()
            .expect(0);
        assert_eq!(exported["stream_sha256"], imported["stream_sha256"]);
        Agent::new(bench.path(), &[&"verify", &"blob.manifest.jsonl", &"--drive", &target.path]).run().expect(0);
        drop(target);
        let written = std::fs::read(bench.file("target.img")).unwrap();
        assert_eq!(written[..bytes.len()], bytes);
        assert!(written[bytes.len()..].iter().all(|byte| *byte == 0), "bytes of the last owner are left");
    }
}

#[test]
fn an_odd_blob_ends_in_a_padded_sector() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    let bytes = random_bytes(100_001, 1);
    bench.image("blob", &bytes);
    let target = LoopDevice::attach(&bench.image("target.img", &vec![0xa5; MIB]), 4096);
    Agent::new(bench.path(), &[&"export", &"blob", &target.path])
        .with(&["--confirm", target.word(), "--verify", "read-back"])
        .run()
        .expect(0);
    drop(target);
    let written = std::fs::read(bench.file("target.img")).unwrap();
    assert_eq!(written[..bytes.len()], bytes);
    assert!(written[bytes.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_device_is_written_only_when_it_was_confirmed_by_name() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    bench.image("blob", &random_bytes(64 * KIB, 1));
    let old = vec![0xa5; MIB];
    let target = LoopDevice::attach(&bench.image("target.img", &old), 512);
    let run = |more: &[&str]| Agent::new(bench.path(), &[&"export", &"blob", &target.path]).with(more).run();
    run(&[]).expect_error(3, &["was not confirmed", &format!("--confirm {}", target.word())]);
    run(&["--yes"]).expect_error(3, &["was not confirmed"]);
    run(&["--confirm", "another"]).expect_error(3, &["`another` is not the drive", "nothing was written"]);
    assert_eq!(std::fs::read(bench.file("target.img")).unwrap(), old);
}

#[test]
fn a_mounted_device_is_refused_with_its_holder() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    bench.image("blob", &random_bytes(64 * KIB, 1));
    let device = LoopDevice::attach(&ext4_image(&bench, "fs.img"), 512);
    let mounted = Mounted::at(bench.file("mounted"), &device.path);
    let exported = Agent::new(bench.path(), &[&"export", &"blob", &device.path]).with(&["--confirm", device.word()]).run();
    let imported = Agent::new(bench.path(), &[&"import", &device.path, &"new"]).run();
    drop(mounted);
    exported.expect_error(3, &["is in use", "mounted"]);
    imported.expect_error(3, &["is in use", "mounted"]);
}

#[test]
fn a_read_only_device_is_refused_before_anything_is_written() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    bench.image("blob", &random_bytes(64 * KIB, 1));
    let target = LoopDevice::attach(&bench.image("target.img", &vec![0; MIB]), 512);
    assert!(Command::new("blockdev").arg("--setro").arg(&target.path).status().unwrap().success());
    let run = Agent::new(bench.path(), &[&"export", &"blob", &target.path]).with(&["--confirm", target.word()]).run();
    assert!(Command::new("blockdev").arg("--setrw").arg(&target.path).status().unwrap().success());
    run.expect_error(3, &["is read-only"]);
}

#[test]
fn a_device_that_is_too_small_is_refused() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    bench.image("blob", &random_bytes(2 * MIB, 1));
    let target = LoopDevice::attach(&bench.image("target.img", &vec![0; MIB]), 512);
    let run = Agent::new(bench.path(), &[&"export", &"blob", &target.path]).with(&["--confirm", target.word()]).run();
    run.expect_error(3, &["has 1 MiB, and 2 MiB are to be written"]);
}

#[test]
fn a_loop_device_and_its_image_are_the_same_storage() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(MIB, 1));
    let device = LoopDevice::attach(&image, 512);
    Agent::new(bench.path(), &[&"import", &device.path, &image, &"--overwrite"]).run().expect_error(3, &["are the same storage"]);
}

/// Where `needle` is found in `bytes`.
fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

#[test]
fn a_used_target_keeps_no_byte_of_its_last_owner() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    for sector_size in [512, 4096] {
        let bench = Workbench::new();
        // Mostly zeros, with zero runs inside chunks too, and much room behind it.
        let blob = patterned("zzrzzzaz", 64 * KIB);
        bench.image("blob", &blob);
        let secret = b"LAST OWNER";
        let old: Vec<u8> = secret.iter().copied().cycle().take(4 * MIB).collect();
        let target = LoopDevice::attach(&bench.image("target.img", &old), sector_size);
        Agent::new(bench.path(), &[&"export", &"blob", &target.path])
            .with(&["--confirm", target.word(), "--chunk-size", "64KiB"])
            .run()
            .expect(0);
        drop(target);
        let written = std::fs::read(bench.file("target.img")).unwrap();
        assert_eq!(written[..blob.len()], blob);
        assert_eq!(position(&written, secret), None, "a byte of the last owner is left");
    }
}

#[test]
fn a_drive_pulled_in_the_middle_resumes_at_another_port() {
    if parts::root_with_loop_devices().is_none() || parts::fuse().is_none() {
        return;
    }
    let bench = Workbench::new();
    let bytes = random_bytes(4 * MIB, 1);
    let drive = FuseDrive::mount(&bench.file("mount"), bytes.clone());
    let import = |device: &LoopDevice| {
        Agent::new(bench.path(), &[&"import", &device.path, &"blob"]).with(&["--chunk-size", "64KiB", "--memory", "256KiB"])
    };
    let first = LoopDevice::attach(&drive.path(), 512);
    let running = import(&first).with(&["--rate", "1MiB/s"]).start();
    running.wait_for_chunks(1);
    drive.behaviour.lock().unwrap().is_dead = true;
    let result = running.wait().expect(6);
    check_receipt(&result);
    let landed = number(&result["receipt"]["landed_before_request"], "bytes");
    assert!(landed > 0);
    drive.behaviour.lock().unwrap().is_dead = false;
    let second = LoopDevice::attach(&drive.path(), 512);
    assert_ne!(first.path, second.path);
    drop(first);
    let resumed = import(&second).run().expect(0);
    assert!(number(&resumed, "bytes_reused") >= landed);
    assert_eq!(std::fs::read(bench.file("blob")).unwrap(), bytes);
}

#[test]
fn a_target_that_dies_is_only_told_by_its_sync_and_nothing_lost_is_recorded() {
    if parts::root_with_loop_devices().is_none() || parts::fuse().is_none() {
        return;
    }
    let bench = Workbench::new();
    let bytes = random_bytes(4 * MIB, 1);
    bench.image("blob", &bytes);
    let drive = FuseDrive::mount(&bench.file("mount"), vec![0xa5; 4 * MIB]);
    let device = LoopDevice::attach(&drive.path(), 512);
    let export = || {
        Agent::new(bench.path(), &[&"export", &"blob", &device.path]).with(&[
            "--confirm",
            device.word(),
            "--chunk-size",
            "64KiB",
            "--memory",
            "256KiB",
        ])
    };
    let running = export().with(&["--rate", "1MiB/s"]).start();
    running.wait_for_chunks(1);
    drive.behaviour.lock().unwrap().is_dead = true;
    let result = running.wait().expect(6);
    check_receipt(&result);
    let content = drive.content();
    for range in result["receipt"]["landed_before_request"]["ranges"].as_array().unwrap() {
        let (offset, length) = (number(range, "offset") as usize, number(range, "length") as usize);
        assert_eq!(content[offset..offset + length], bytes[offset..offset + length], "what is said to have landed is there");
    }
    drive.behaviour.lock().unwrap().is_dead = false;
    let resumed = export().with(&["--verify", "read-back"]).run().expect(0);
    assert!(number(&resumed, "bytes_reused") > 0);
    assert_eq!(drive.content(), bytes);
}

#[test]
fn bad_sectors_of_a_device_are_rescued_around() {
    if parts::root_with_loop_devices().is_none() || parts::fuse().is_none() {
        return;
    }
    for sector_size in [512, 4096] {
        let bench = Workbench::new();
        let mut bytes = random_bytes(4 * MIB, 1);
        let drive = FuseDrive::mount(&bench.file("mount"), bytes.clone());
        let device = LoopDevice::attach(&drive.path(), sector_size);
        let bad = (MIB as u64 + 8192, MIB as u64 + 8192 + sector_size as u64);
        drive.behaviour.lock().unwrap().bad = vec![bad];
        let options = ["--chunk-size", "256KiB", "--on-unreadable", "rescue"];
        let result = Agent::new(bench.path(), &[&"import", &device.path, &"blob"]).with(&options).run().expect(4);
        let unreadable = &result["unreadable"][0];
        assert_eq!((number(unreadable, "offset"), number(unreadable, "length")), (bad.0, sector_size as u64), "{sector_size}");
        bytes[bad.0 as usize..bad.1 as usize].fill(0);
        assert_eq!(std::fs::read(bench.file("blob")).unwrap(), bytes);
    }
}

#[test]
fn a_device_that_answers_late_is_rescued_and_loses_nothing() {
    if parts::root_with_loop_devices().is_none() || parts::fuse().is_none() {
        return;
    }
    let bench = Workbench::new();
    let mut bytes = random_bytes(4 * MIB, 1);
    let drive = FuseDrive::mount(&bench.file("mount"), bytes.clone());
    let device = LoopDevice::attach(&drive.path(), 512);
    {
        let mut behaviour = drive.behaviour.lock().unwrap();
        behaviour.slow = Some(((MIB as u64, MIB as u64 + 4096), std::time::Duration::from_millis(700)));
        behaviour.bad = vec![(3 * MIB as u64, 3 * MIB as u64 + 1024)];
        behaviour.failed_reads = 0;
    }
    let options = ["--chunk-size", "256KiB", "--min-read-rate", "200kB/s", "--mapfile", "map"];
    let result = Agent::new(bench.path(), &[&"import", &device.path, &"blob"]).with(&options).run().expect(4);
    bytes[3 * MIB..3 * MIB + 1024].fill(0);
    assert_eq!(std::fs::read(bench.file("blob")).unwrap(), bytes);
    // The loop driver may cut a read of ours in two, and never makes more of them.
    let met = drive.behaviour.lock().unwrap().failed_reads;
    let counted = number(&result, "failed_reads");
    assert!(counted >= 4 && met >= counted && met <= 2 * counted, "{counted} counted, {met} met");
}

#[test]
fn an_image_that_is_attached_is_not_written_beside_its_device() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    bench.image("blob", &random_bytes(64 * KIB, 1));
    let device = LoopDevice::attach(&ext4_image(&bench, "fs.img"), 512);
    let run = |arguments: &[&str]| Agent::new(bench.path(), &[]).with(arguments).run();
    run(&["export", "blob", "fs.img"]).expect_error(3, &["is attached as", "detach it first"]);
    run(&["import", "fs.img", "free"]).expect(0);
    let mounted = Mounted::at(bench.file("mounted"), &device.path);
    let exported = run(&["export", "blob", "fs.img"]);
    let imported = run(&["import", "fs.img", "new"]);
    drop(mounted);
    exported.expect_error(3, &["is in use", "is mounted on"]);
    imported.expect_error(3, &["is in use", "is mounted on"]);
    drop(device);
    // A blob of a store is not a drive, whatever its name is.
    run(&["export", "blob", "free"]).expect_error(3, &["is a blob: its manifest is beside it"]);
}

#[test]
fn a_device_is_said_to_be_safe_to_remove_when_it_is_and_files_have_no_motor() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(MIB, 1));
    for verb in ["import", "export"] {
        let (from, to) = if verb == "import" { ("drive.img", "blob") } else { ("blob", "drive.img") };
        let spun = Agent::bare(bench.path(), &[&verb, &from, &to, &"--spin-down"]).run();
        spun.expect_error(2, &["`--spin-down`", "`drive.img`", "leave it out"]);
        assert!(!bench.file("blob").exists());
    }
    let of_file = Agent::bare(bench.path(), &[&"import", &"drive.img", &"blob"]).run();
    assert!(of_file.code == Some(0) && !of_file.stderr.contains("safe to remove"), "{}", of_file.stderr);
    let says_so = |run: &Ended| run.stdout.contains("removal      the drive is closed");
    assert!(!says_so(&of_file), "{}", of_file.stdout);
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let device = LoopDevice::attach(&image, 512);
    let refused = Agent::bare(bench.path(), &[&"import", &device.path, &"other", &"--spin-down"]).run();
    refused.expect_error(2, &["SATA, SAS and USB"]);
    let read = Agent::bare(bench.path(), &[&"import", &device.path, &"other"]).run();
    let safe = format!("`{}` is safe to remove", device.path.display());
    assert!(read.code == Some(0) && read.stderr.contains(&safe) && says_so(&read), "{}{}", read.stderr, read.stdout);
    let written = Agent::bare(bench.path(), &[&"export", &"other", &device.path, &"--confirm", &device.word()]).run();
    assert!(
        written.code == Some(0) && written.stderr.contains(&safe) && says_so(&written),
        "{}{}",
        written.stderr,
        written.stdout
    );
    let wrong = Agent::bare(bench.path(), &[&"export", &"none", &device.path, &"--confirm", &device.word()]).run();
    assert!(wrong.code != Some(0) && !wrong.stderr.contains("safe to remove"), "{}", wrong.stderr);
    // It is taken away while it is read, and goes when it is closed: it cannot be said any more that it may be taken out.
    let slow = Agent::bare(bench.path(), &[&"import", &device.path, &"gone", &"--chunk-size", &"64KiB", &"--rate", &"512KiB/s"]);
    let running = slow.start();
    running.wait_for_chunks(2);
    assert!(Command::new("losetup").arg("-d").arg(&device.path).status().unwrap().success());
    let gone = running.wait();
    // Its number may be another test's by now.
    std::mem::forget(device);
    let warned = gone.stderr.contains("held everything that was written, but another drive is there now, or none");
    assert!(gone.code == Some(0) && warned && !says_so(&gone), "{}{}", gone.stderr, gone.stdout);
}
