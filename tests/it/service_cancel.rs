//! Cancel in each state of a job, whatever its drive is doing: the job ends as the table says, and receipt and store
//! agree byte for byte.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use protocol::digest::Sha256Digest;
use serde_json::{Value, json};

use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::images::{MIB, partial_of, random_bytes};
use crate::support::service::{Service, import, job, parcel, shipping};
use crate::support::{Workbench, parts};

/// One slow bay, and a drain that ends soon.
const SLOW: &str = "
[budget]
rate = \"8MB/s\"
memory = \"8MiB\"
[transfer]
chunk_size = \"256KiB\"
drain_timeout = \"2s\"
read_timeout = \"30s\"
[[bay]]
name = \"bay-1\"
";

const CLASSES: [&str; 4] = ["landed_before_request", "landed_after_request", "outcome_unknown", "never_sent"];

fn cancel(service: &Service, name: &str) -> Value {
    service.patch(name, json!({ "cancelRequested": true })).expect(200)
}

fn ranges(receipt: &Value, class: &str) -> Vec<(u64, u64)> {
    let list = receipt[class]["ranges"].as_array().unwrap();
    list.iter().map(|range| (range["offset"].as_u64().unwrap(), range["length"].as_u64().unwrap())).collect()
}

/// The receipt of a drive, whose classes share out every byte.
#[track_caller]
fn receipt_of(service: &Service, name: &str, total: u64) -> Value {
    let receipts = service.receipts(name);
    let result = receipts["drives"][0]["result"].clone();
    let receipt = result["receipt"].clone();
    assert!(receipt.is_object(), "{receipts}");
    let mut all: Vec<(u64, u64)> = CLASSES.iter().flat_map(|class| ranges(&receipt, class)).collect();
    all.sort_unstable();
    let end = all.iter().fold(0, |next, (offset, length)| {
        assert_eq!(*offset, next, "a gap or an overlap in {receipt}");
        next + length
    });
    assert_eq!(end, total);
    receipt
}

/// What landed is in the unfinished blob, and what was never sent is not.
fn agrees_with_directory(service: &Service, name: &str, drive: &str, bytes: &[u8], receipt: &Value) {
    let path = service.blobs().join(format!("imports/{name}/{drive}.img"));
    assert!(!path.exists(), "nothing looks complete");
    let partial = std::fs::File::open(partial_of(&path)).unwrap();
    let held = |(offset, length): (u64, u64)| {
        let mut buffer = vec![0; length as usize];
        let read = partial.read_at(&mut buffer, offset).unwrap();
        buffer.truncate(read);
        buffer
    };
    for class in ["landed_before_request", "landed_after_request"] {
        for (offset, length) in ranges(receipt, class) {
            assert!(held((offset, length)) == bytes[offset as usize..(offset + length) as usize], "{class} at {offset}");
        }
    }
    for (offset, length) in ranges(receipt, "never_sent") {
        assert!(held((offset, length)).iter().all(|byte| *byte == 0), "something was sent at {offset}");
    }
    assert!(receipt["residue_bytes"].as_u64().unwrap() > 0, "the unfinished file is left: {receipt}");
}

/// Walks a cancelled job to its end.
#[track_caller]
fn ends_completed(service: &Service, name: &str) {
    let packaging = service.wait_for_state(name, "Packaging");
    assert_eq!(packaging["properties"]["cancelRequested"], true);
    assert_eq!(
        service.patch(name, json!({ "cancelRequested": true })).expect(200)["properties"]["state"],
        "Packaging",
        "again, it changes nothing"
    );
    service.order(name, "shipBack", parcel()).expect(200);
    let over = service.job(name);
    assert_eq!(over["properties"]["state"], "Completed", "a cancelled job is never Closed");
    service.call("DELETE", &job(name), Value::Null).expect(200);
}

fn begin(service: &Service, name: &str, drive: &str, path: &Path) {
    service.ship_import(name, &[drive]);
    service.dock("bay-1", path, None).expect(200);
    service.wait("bytes to land", || service.bytes_landed(name).filter(|bytes| *bytes > MIB as u64));
}

#[test]
fn with_the_drive_idle_in_every_state() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SLOW);
    // Creating: over at once.
    service.call("PUT", &job("creating"), import(&["A"])).expect(201);
    assert_eq!(cancel(&service, "creating")["properties"]["state"], "Completed");
    // Shipping: through the same states, and nothing is copied.
    service.ship_import("shipping", &["B"]);
    assert_eq!(cancel(&service, "shipping")["properties"]["state"], "Shipping");
    let image = bench.image("B.img", &random_bytes(MIB, 1));
    service.dock("bay-1", &image, None).expect(200);
    service.wait_for_state("shipping", "Packaging");
    assert!(!service.blobs().join("imports/shipping").exists(), "nothing of a cancelled job is copied");
    // Shipping, and nothing ever comes: it ends when staff say so.
    service.ship_import("nothing", &["X", "Y"]);
    cancel(&service, "nothing");
    service.order("nothing", "neverReceived", json!({ "driveId": "X" })).expect(200);
    assert_eq!(service.job("nothing")["properties"]["state"], "Shipping");
    service.order("nothing", "neverReceived", json!({ "driveId": "Y" })).expect(200);
    assert_eq!(service.job("nothing")["properties"]["state"], "Completed");
    service.call("PUT", &job("export"), crate::support::service::export(&["/a/b"], &[])).expect(201);
    std::fs::create_dir_all(service.blobs().join("a")).unwrap();
    std::fs::write(service.blobs().join("a/b"), "something").unwrap();
    service.patch("export", shipping()).expect(200);
    cancel(&service, "export");
    service.order("export", "neverReceived", json!({ "driveId": "any" })).expect(200);
    assert_eq!(service.job("export")["properties"]["state"], "Completed");
    // Received: the drive waits for a bay.
    service.ship_import("received", &["C"]);
    service.order("received", "checkIn", json!({ "driveId": "C" })).expect(200);
    assert_eq!(service.job("received")["properties"]["state"], "Received");
    assert_eq!(cancel(&service, "received")["properties"]["state"], "Packaging");
    // Packaging: too late, unless it was cancelled before; a second cancel changes nothing.
    assert_eq!(cancel(&service, "received")["properties"]["state"], "Packaging");
    service.undock("bay-1");
    service.ship_import("done", &["D"]);
    let image = bench.image("D.img", &random_bytes(1000, 2));
    service.dock("bay-1", &image, None).expect(200);
    service.wait_for_state("done", "Packaging");
    assert_eq!(service.patch("done", json!({ "cancelRequested": true })).code(409), "JobStateConflict");
    // Completed and Closed are over.
    service.order("done", "shipBack", parcel()).expect(200);
    assert_eq!(service.job("done")["properties"]["state"], "Completed");
    assert_eq!(service.patch("done", json!({ "cancelRequested": true })).code(409), "JobStateConflict");
    service.ship_import("closed", &["E", "F"]);
    service.order("closed", "neverReceived", json!({ "driveId": "E" })).expect(200);
    let image = bench.image("F.img", &random_bytes(1000, 3));
    service.undock("bay-1");
    service.dock("bay-1", &image, None).expect(200);
    service.wait_for_state("closed", "Packaging");
    service.order("closed", "shipBack", parcel()).expect(200);
    assert_eq!(service.job("closed")["properties"]["state"], "Closed");
    assert_eq!(service.patch("closed", json!({ "cancelRequested": true })).code(409), "JobStateConflict");
    assert_eq!(service.patch("closed", json!({ "cancelRequested": false })).status, 400, "a cancel is never taken back");
    for name in ["shipping", "received"] {
        ends_completed(&service, name);
    }
}

#[test]
fn in_the_middle_of_a_chunk() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SLOW);
    let bytes = random_bytes(24 * MIB, 4);
    let image = bench.image("A.img", &bytes);
    begin(&service, "job-1", "A", &image);
    let asked = Instant::now();
    let answer = cancel(&service, "job-1");
    assert_eq!(
        (&answer["properties"]["state"], &answer["properties"]["cancelRequested"]),
        (&json!("Transferring"), &json!(true))
    );
    let job = service.wait_for_state("job-1", "Packaging");
    assert!(asked.elapsed() < Duration::from_secs(20), "it took {:?}", asked.elapsed());
    let receipt = receipt_of(&service, "job-1", bytes.len() as u64);
    assert_eq!(receipt["reason"], "job-cancelled");
    let landed: u64 = CLASSES[..2].iter().map(|class| receipt[class]["bytes"].as_u64().unwrap()).sum();
    assert!(landed > MIB as u64 && landed < bytes.len() as u64, "{receipt}");
    let status = job["properties"]["driveList"][0]["copyStatus"].as_str().unwrap();
    assert!(
        status.starts_with(&format!("Cancelled: {} bytes landed before", receipt["landed_before_request"]["bytes"])),
        "{status}"
    );
    assert_eq!(job["properties"]["driveList"][0]["bytesSucceeded"], landed);
    agrees_with_directory(&service, "job-1", "A", &bytes, &receipt);
    let stored =
        service.wait("the receipts", || std::fs::read(service.blobs().join("waimportexport/waies/job-1_receipts.json")).ok());
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    assert_eq!(stored["drives"][0]["result"]["receipt"], receipt);
    ends_completed(&service, "job-1");
}

#[test]
fn in_the_middle_of_a_retry() {
    let (bench, fake) = (Workbench::new(), AzureFake::start());
    let account = format!("import_container = \"drives\"\n[[account]]\nname = \"local\"\nstore = \"{}\"\n", fake.account());
    // A table ends where the next begins: the accounts come first.
    let service = Service::start(&bench, &format!("{account}{SLOW}"));
    let bytes = random_bytes(24 * MIB, 5);
    let image = bench.image("A.img", &bytes);
    let mut body = import(&["A"]);
    body["properties"]["diagnosticsPath"] = "drives".into();
    service.call("PUT", &job("job-1"), body).expect(201);
    service.patch("job-1", shipping()).expect(200);
    service.dock("bay-1", &image, None).expect(200);
    service.wait("bytes to land", || service.bytes_landed("job-1").filter(|bytes| *bytes > MIB as u64));
    fake.always_fail(On::PutBlock, Some(Fault::Answer(503, "ServerBusy")));
    let seen = fake.puts().0;
    service.wait("requests to be repeated", || (fake.puts().0 > seen + 8).then_some(()));
    cancel(&service, "job-1");
    service.wait_for_state("job-1", "Packaging");
    let receipt = receipt_of(&service, "job-1", bytes.len() as u64);
    let held = fake.held("job-1/A.img");
    let digest =
        |range: (u64, u64), at: u64| Sha256Digest::of(&bytes[at as usize..(at + 256 * 1024).min(range.0 + range.1) as usize]);
    let chunks = |class: &str| {
        let list = ranges(&receipt, class);
        list.into_iter()
            .flat_map(|range| (range.0..range.0 + range.1).step_by(256 * 1024).map(move |at| (range, at)))
            .collect::<Vec<_>>()
    };
    for class in ["landed_before_request", "landed_after_request"] {
        for (range, at) in chunks(class) {
            assert!(held.contains(&digest(range, at)), "{class} at {at} is not held");
        }
    }
    for (range, at) in chunks("never_sent") {
        assert!(!held.contains(&digest(range, at)), "{at} was sent");
    }
    fake.always_fail(On::PutBlock, None);
    ends_completed(&service, "job-1");
}

#[test]
fn with_a_drive_that_is_stuck() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SLOW);
    let text = "size = \"16MiB\"\nserial = \"STUCK\"\nseed = 6\nzero_share = 0.0\nrun_size = \"1MiB\"\n[[fault]]\nkind = \"stuck\"\n\
                offset = \"6MiB\"\nlength = 4096\n";
    let profile = bench.image("stuck.toml", text.as_bytes());
    begin(&service, "job-1", "STUCK", &profile);
    service.wait("all chunks but the one with the place", || {
        (service.job("job-1")["properties"]["driveList"][0]["bytesSucceeded"] == (16 << 20) - (256 << 10)).then_some(())
    });
    let asked = Instant::now();
    cancel(&service, "job-1");
    service.wait_for_state("job-1", "Packaging");
    assert!(asked.elapsed() < Duration::from_secs(20), "a cancel is never stuck behind a drive: {:?}", asked.elapsed());
    let receipt = receipt_of(&service, "job-1", 16 * MIB as u64);
    assert!(receipt["never_sent"]["bytes"].as_u64().unwrap() >= 256 << 10, "{receipt}");
    ends_completed(&service, "job-1");
}

#[test]
fn with_a_drive_that_was_pulled() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SLOW);
    let bytes = random_bytes(24 * MIB, 7);
    let image = bench.image("A.img", &bytes);
    begin(&service, "job-1", "A", &image);
    // Cut short: every read behind the end fails.
    std::fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(1 << 20).unwrap();
    service.wait("the copy to be held", || (service.bays()[0]["state"] == "held").then_some(()));
    std::fs::remove_file(&image).unwrap();
    service.wait("the bay to be empty", || (service.bays()[0]["state"] == "empty").then_some(()));
    cancel(&service, "job-1");
    service.wait_for_state("job-1", "Packaging");
    let receipt = receipt_of(&service, "job-1", bytes.len() as u64);
    agrees_with_directory(&service, "job-1", "A", &bytes, &receipt);
    ends_completed(&service, "job-1");
}

#[test]
fn after_the_service_was_killed_in_the_middle() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, SLOW);
    let bytes = random_bytes(24 * MIB, 8);
    let image = bench.image("A.img", &bytes);
    begin(&service, "job-1", "A", &image);
    service.kill();
    // It is not docked any more: its journal tells what moved.
    std::fs::rename(&image, bench.file("elsewhere")).unwrap();
    service.go();
    cancel(&service, "job-1");
    service.wait_for_state("job-1", "Packaging");
    let receipt = receipt_of(&service, "job-1", bytes.len() as u64);
    assert!(receipt["outcome_unknown"]["bytes"].as_u64().unwrap() > 0, "what was in flight is unknown: {receipt}");
    agrees_with_directory(&service, "job-1", "A", &bytes, &receipt);
    ends_completed(&service, "job-1");
    service.call("POST", "/operator/v1/bays/bay-1/undock", Value::Null);

    // Killed when the cancel was answered and nothing had drained yet: it is carried out all the same.
    let third = bench.image("C.img", &bytes);
    begin(&service, "job-3", "C", &third);
    cancel(&service, "job-3");
    service.kill();
    service.go();
    service.wait_for_state("job-3", "Packaging");
    let receipt = receipt_of(&service, "job-3", bytes.len() as u64);
    agrees_with_directory(&service, "job-3", "C", &bytes, &receipt);
    ends_completed(&service, "job-3");
    service.undock("bay-1");

    let other = bench.image("B.img", &bytes);
    begin(&service, "job-2", "B", &other);
    service.order("job-2", "pause", json!({ "driveId": "B" })).expect(200);
    service.wait("the bay to be paused", || (service.bays()[0]["state"] == "paused").then_some(()));
    cancel(&service, "job-2");
    service.wait_for_state("job-2", "Packaging");
    let receipt = receipt_of(&service, "job-2", bytes.len() as u64);
    agrees_with_directory(&service, "job-2", "B", &bytes, &receipt);
}

#[test]
fn on_a_block_device_that_dies() {
    if parts::fuse().is_none() || parts::root_with_loop_devices().is_none() {
        return;
    }
    use crate::support::fuse_drive::FuseDrive;
    use crate::support::loop_device::LoopDevice;
    let bench = Workbench::new();
    let service = Service::start(&bench, SLOW);
    let bytes = random_bytes(24 * MIB, 9);
    let drive = FuseDrive::mount(&bench.file("mount"), bytes.clone());
    let device = LoopDevice::attach(&drive.path(), 512);
    service.ship_import("job-1", &["DYING"]);
    service.dock("bay-1", &device.path, Some("DYING")).expect(200);
    service.wait("bytes to land", || service.bytes_landed("job-1").filter(|bytes| *bytes > MIB as u64));
    drive.behaviour.lock().unwrap().is_dead = true;
    service.wait("the copy to be held", || (service.bays()[0]["state"] == "held").then_some(()));
    cancel(&service, "job-1");
    service.wait_for_state("job-1", "Packaging");
    let receipt = receipt_of(&service, "job-1", bytes.len() as u64);
    agrees_with_directory(&service, "job-1", "DYING", &bytes, &receipt);
    ends_completed(&service, "job-1");
}
