//! Block devices: loop devices stand for them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::images::{KIB, MIB, patterned, random_bytes};
use crate::support::{Agent, Workbench, parts};

/// A loop device over an image; detached when dropped.
struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    fn attach(image: &Path, sector_size: usize) -> Self {
        let output = Command::new("losetup")
            .args(["--find", "--show", "--sector-size", &sector_size.to_string()])
            .arg(image)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        LoopDevice { path: String::from_utf8(output.stdout).unwrap().trim().into() }
    }

    fn word(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.path).status();
    }
}

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
    let image = bench.image("fs.img", &vec![0; 16 * MIB]);
    assert!(Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&image).status().unwrap().success());
    let device = LoopDevice::attach(&image, 512);
    let folder = bench.file("mounted");
    std::fs::create_dir(&folder).unwrap();
    assert!(Command::new("mount").arg(&device.path).arg(&folder).status().unwrap().success());
    let exported = Agent::new(bench.path(), &[&"export", &"blob", &device.path]).with(&["--confirm", device.word()]).run();
    let imported = Agent::new(bench.path(), &[&"import", &device.path, &"new"]).run();
    assert!(Command::new("umount").arg(&folder).status().unwrap().success());
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
