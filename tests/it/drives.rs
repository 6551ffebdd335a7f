//! `drives`: what is attached, attaching images, and profiles described.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::images::{MIB, random_bytes};
use crate::support::loop_device::{LoopDevice, Mounted, ext4_image};
use crate::support::wait::wait_until;
use crate::support::{Agent, Workbench, parts};

/// The entry of a device in the list.
fn listed(bench: &Workbench, path: &str) -> Option<Value> {
    let list = Agent::new(bench.path(), &[&"drives"]).run().expect(0);
    list.as_array().unwrap().iter().find(|drive| drive["path"] == path).cloned()
}

/// A master boot record with one partition from sector 2048 on.
fn with_partition(mut bytes: Vec<u8>, sector_size: usize) -> Vec<u8> {
    let sectors = (bytes.len() / sector_size - 2048) as u32;
    bytes[440..444].copy_from_slice(&0x1234_abcd_u32.to_le_bytes());
    bytes[446..462].fill(0);
    bytes[450] = 0x83;
    bytes[454..458].copy_from_slice(&2048_u32.to_le_bytes());
    bytes[458..462].copy_from_slice(&sectors.to_le_bytes());
    bytes[462..510].fill(0);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

#[test]
fn images_are_attached_listed_and_detached() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    for sector_size in ["512", "4096"] {
        let bench = Workbench::new();
        let sector: usize = sector_size.parse().unwrap();
        bench.image("disk.img", &with_partition(vec![0; 16 * MIB], sector));
        let attach = || Agent::new(bench.path(), &[&"drives", &"attach", &"disk.img", &"--sector-size", &sector_size]).run();
        let attached = attach().expect(0);
        let device = attached["device"].as_str().unwrap().to_owned();
        attach().expect_error(3, &["is attached already", &device]);
        let drive = listed(&bench, &device).unwrap();
        assert_eq!((drive["sector_size"].as_u64(), drive["transport"].as_str()), (Some(sector as u64), Some("loop")));
        assert_eq!((drive["verdict"].as_str(), drive["size"].as_u64()), (Some("free"), Some(16 * MIB as u64)));
        assert!(drive["backing_file"].as_str().unwrap().ends_with("disk.img"));
        assert_eq!((&drive["weak_identity"], &drive["bridge_serial"]), (&Value::Null, &Value::Null), "a person named its file");
        assert_eq!(drive["layout"]["partition_table"], "mbr:1234abcd");
        let partition = &drive["layout"]["partitions"][0];
        assert_eq!((partition["offset"].as_u64(), partition["kind"].as_str()), (Some(2048 * sector as u64), Some("0x83")));
        // A program that has it open for a moment is waited for; one that keeps it open is reported, and the device goes when
        // it closes it.
        let holder = std::fs::OpenOptions::new().read(true).open(&device).unwrap();
        let detach = Agent::new(bench.path(), &[&"drives", &"detach", &device]).start();
        if sector_size == "512" {
            // The kernel then takes the image away with the last who has the device open.
            let waits = format!("/sys/block/{}/loop/autoclear", device.trim_start_matches("/dev/"));
            wait_until("the device to wait for its holder", || {
                std::fs::read_to_string(&waits).is_ok_and(|flag| flag.trim() == "1")
            });
            drop(holder);
            detach.wait().expect(0);
        } else {
            detach.wait().expect_error(3, &["is held open by another program"]);
            drop(holder);
        }
        // Another test may look at it at this moment, or have got the number since.
        let ours = bench.file("disk.img");
        let is_ours = |drive: &Value| drive["backing_file"].as_str() == ours.to_str();
        wait_until("the device to be detached", || !listed(&bench, &device).as_ref().is_some_and(is_ours));
        Agent::new(bench.path(), &[&"drives", &"detach", &"/dev/null"])
            .run()
            .expect_error(3, &["not a loop device with an image"]);
    }
}

#[test]
fn a_held_image_goes_with_its_command_even_when_that_is_killed() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    for signal in [Signal::INT, Signal::KILL] {
        let bench = Workbench::new();
        bench.image("disk.img", &vec![0; MIB]);
        let running = Agent::new(bench.path(), &[&"drives", &"attach", &"disk.img", &"--hold", &"--read-only"]).start();
        let device = running.wait_for_result()["device"].as_str().unwrap().to_owned();
        assert_eq!(listed(&bench, &device).unwrap()["read_only"], true);
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.code, if signal == Signal::INT { Some(0) } else { None });
        wait_until("the device to be detached", || listed(&bench, &device).is_none());
    }
}

#[test]
fn what_cannot_be_attached_is_refused_with_the_reason() {
    let bench = Workbench::new();
    bench.image("odd.img", &[0; 5000]);
    let attach = |more: &[&str]| Agent::new(bench.path(), &[&"drives", &"attach"]).with(more).run();
    attach(&["missing.img"]).expect_error(6, &["there is no drive or image"]);
    attach(&["odd.img"]).expect_error(3, &["not whole sectors of 512", "its tail would be missing"]);
    attach(&["odd.img", "--sector-size", "520"]).expect_error(2, &["512 or 4096"]);
    attach(&["."]).expect_error(3, &["is a directory", "only an image"]);
}

#[test]
fn docking_is_reported_as_it_happens() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    bench.image("disk.img", &vec![0; MIB]);
    let _present = LoopDevice::attach(&bench.image("present.img", &vec![0; MIB]), 512);
    let running = Agent::new(bench.path(), &[&"drives", &"--watch"]).start();
    let wait_until_told = |event: &str, image: &str| {
        let (event, image) = (format!("\"event\":\"{event}\""), bench.file(image).display().to_string());
        running.wait_for_line(&format!("{event} of {image}"), |line| line.contains(&event) && line.contains(&image));
    };
    // From then on it watches.
    wait_until_told("present", "present.img");
    let device = LoopDevice::attach(&bench.file("disk.img"), 512);
    wait_until_told("docked", "disk.img");
    drop(device);
    wait_until_told("undocked", "disk.img");
    running.signal(Signal::INT);
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Other tests may have the same number before and after.
    let image = bench.file("disk.img");
    let ours = lines.iter().filter(|line| line["drive"]["backing_file"].as_str() == image.to_str());
    let moves: Vec<&str> = ours.map(|line| line["event"].as_str().unwrap()).filter(|event| *event != "changed").collect();
    assert_eq!(moves, ["docked", "undocked"]);
}

#[test]
fn the_system_disk_is_known_and_never_written() {
    let Some(()) = parts::root_with_loop_devices() else { return };
    let bench = Workbench::new();
    bench.image("blob", &random_bytes(4096, 1));
    let list = Agent::new(bench.path(), &[&"drives"]).run().expect(0);
    for drive in list.as_array().unwrap().iter().filter(|drive| drive["verdict"] == "system") {
        let path = drive["path"].as_str().unwrap();
        if !std::path::Path::new(path).exists() {
            continue;
        }
        let run = Agent::new(bench.path(), &[&"export", &"blob", &path]).with(&["--confirm", "anything"]).run();
        run.expect_error(3, &["system disk"]);
    }
}

#[test]
fn a_mounted_drive_is_in_use_by_its_mount() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    let device = LoopDevice::attach(&ext4_image(&bench, "fs.img"), 512);
    let path = device.path.to_str().unwrap();
    assert_eq!(listed(&bench, path).unwrap()["layout"]["content"], "ext4");
    let mounted = Mounted::at(bench.file("a mount"), &device.path);
    let drive = listed(&bench, path);
    let detached = Agent::new(bench.path(), &[&"drives", &"detach", &path]).run();
    drop(mounted);
    let drive = drive.unwrap();
    assert_eq!(drive["verdict"], "in-use");
    let users = drive["in_use_by"][0].as_str().unwrap();
    assert!(users.contains("is mounted on `") && users.contains("/a mount`"), "{users}");
    detached.expect_error(3, &["is in use", "/a mount`"]);
}

#[test]
fn the_list_is_a_table_for_people() {
    let bench = Workbench::new();
    let ended = Agent::bare(bench.path(), &[&"drives"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("DRIVE ") || ended.stdout == "no drive is attached\n", "{}", ended.stdout);
}

#[test]
fn the_bridge_of_a_simulated_drive_is_described() {
    let bench = Workbench::new();
    bench.image("a.toml", b"size = \"1MiB\"\nserial = \"OWN-1\"\n[bridge]\nserial = \"152D00539000\"\n");
    let described = Agent::bare(bench.path(), &[&"drives", &"describe", &"a.toml"]).run();
    assert!(described.stdout.contains("bridge       152D00539000, hides that of the drive"), "{}", described.stdout);
    let described = Agent::new(bench.path(), &[&"drives", &"describe", &"a.toml"]).run().expect(0);
    assert_eq!((&described["serial"], &described["bridge"]), (&"OWN-1".into(), &"152D00539000, hides that of the drive".into()));
}

#[test]
fn many_listings_at_once_do_not_make_a_drive_look_used() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    let device = LoopDevice::attach(&bench.image("disk.img", &vec![0; MIB]), 512);
    let path = device.path.to_str().unwrap();
    for _ in 0..6 {
        let looking: Vec<_> = (0..4).map(|_| Agent::new(bench.path(), &[&"drives"]).start()).collect();
        for running in looking {
            let list = running.wait().expect(0);
            let drive = list.as_array().unwrap().iter().find(|drive| drive["path"] == path).unwrap();
            assert_eq!(drive["verdict"], "free", "{drive}");
        }
    }
}
