//! A drive is carried to another host before it is copied whole: what was moved is not moved again.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::images::{MIB, files_below, partials_of, random_bytes};
use crate::support::loop_device::LoopDevice;
use crate::support::parts::root_with_loop_devices;
use crate::support::service::{Service, job, parcel, ship_export, slow_profile};
use crate::support::station::Station;

/// A service whose grants are short, so that a test can wait for their end.
const SERVICE: &str = "bay = []\nstation_lease = \"12s\"\n";

/// A station with one bay.
const STATION: &str = "[transfer]\nchunk_size = \"256KiB\"\ndrain_timeout = \"1s\"\n[[bay]]\nname = \"bay-1\"\n";

/// A service with a bay of its own.
const OWN_BAY: &str =
    "station_lease = \"12s\"\n[transfer]\nchunk_size = \"256KiB\"\ndrain_timeout = \"1s\"\n[[bay]]\nname = \"own\"\n";

/// What of journals is in the account.
fn segments(service: &Service) -> Vec<String> {
    let names = files_below(&service.blobs()).into_iter().map(|path| path.display().to_string());
    names.filter(|name| name.contains(".journal.")).collect()
}

/// Lets an import copy 4 MiB of a drive in a bay, which gives 2 MB a second; gives the drive.
fn import_begun(service: &Service, bench: &Workbench, bay: &str, size: &str) -> PathBuf {
    service.ship_import("job-1", &["SLOW"]);
    let drive = slow_profile(bench, "SLOW", size, "2MB/s");
    service.dock(bay, &drive, None).expect(200);
    service.wait("bytes to land", || service.bytes_landed("job-1").filter(|bytes| *bytes > 4 * MIB as u64));
    drive
}

/// Lets the first station copy something, ends it so, and carries the drive to the second one.
fn carried(end: impl FnOnce(&Service, &mut Station)) {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let mut first = Station::start(&service, &bench, "hall-a", STATION);
    let _second = Station::start(&service, &bench, "hall-b", STATION);
    let drive = import_begun(&service, &bench, "hall-a%2Fbay-1", "48MiB");
    end(&service, &mut first);
    let moved = service.bytes_landed("job-1").unwrap();
    assert!(!segments(&service).is_empty(), "the journal is beside the blob");
    service.dock("hall-b%2Fbay-1", &drive, None).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let result = service.receipts("job-1")["drives"][0]["result"].clone();
    let bytes = |name: &str| result[name].as_u64().unwrap();
    assert_eq!(bytes("bytes_sent") + bytes("bytes_reused"), 48 * MIB as u64, "{result}");
    // Ten seconds of a copy at most are not in it.
    assert!(bytes("bytes_reused") + 24 * MIB as u64 > moved && bytes("bytes_reused") > 2 * MIB as u64, "{moved} {result}");
    let blob = service.blobs().join("imports/job-1/SLOW.img");
    assert_eq!((blob.metadata().unwrap().len(), partials_of(&blob).len()), (48 * MIB as u64, 0));
    service.wait("the journal to go", || segments(&service).is_empty().then_some(()));
}

#[test]
fn a_station_that_stops_leaves_its_journal_for_the_next_host() {
    carried(|_, station| {
        station.stop();
    });
}

#[test]
fn a_station_that_is_killed_leaves_its_journal_for_the_next_host() {
    carried(|service, station| {
        service.wait("the journal to be kept", || (!segments(service).is_empty()).then_some(()));
        station.kill();
    });
}

/// What the lost host did last is in no journal but its own: the next host knows nothing of it, and denies nothing.
#[test]
fn a_cancel_at_the_next_host_denies_nothing_that_a_lost_one_may_have_moved() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let mut first = Station::start(&service, &bench, "hall-a", STATION);
    let _second = Station::start(&service, &bench, "hall-b", STATION);
    let drive = import_begun(&service, &bench, "hall-a%2Fbay-1", "64MiB");
    service.wait("the journal to be kept", || (!segments(&service).is_empty()).then_some(()));
    first.kill();
    service.dock("hall-b%2Fbay-1", &drive, None).expect(200);
    let landed = service.bytes_landed("job-1").unwrap_or_default();
    service.wait("the next host to copy", || service.bytes_landed("job-1").filter(|bytes| *bytes > landed + MIB as u64));
    service.patch("job-1", json!({ "cancelRequested": true })).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let receipt = service.receipts("job-1")["drives"][0]["result"]["receipt"].clone();
    assert_eq!(receipt["never_sent"]["bytes"], 0, "{receipt}");
    assert!(receipt["outcome_unknown"]["bytes"].as_u64() > Some(0), "{receipt}");
}

#[test]
fn a_drive_that_is_carried_back_resumes_with_the_journal_that_is_newer() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let _stations = [Station::start(&service, &bench, "hall-a", STATION), Station::start(&service, &bench, "hall-b", STATION)];
    service.ship_import("job-1", &["SLOW"]);
    let drive = slow_profile(&bench, "SLOW", "32MiB", "2MB/s");
    let landed = || service.bytes_landed("job-1").unwrap_or_default();
    let mut moved = 0;
    for hall in ["hall-a", "hall-b", "hall-a"] {
        let bay = format!("{hall}%2Fbay-1");
        service.dock(&bay, &drive, None).expect(200);
        if moved > 0 {
            service.order("job-1", "resume", json!({ "driveId": "SLOW" })).expect(200);
        }
        if moved >= 16 * MIB as u64 {
            break;
        }
        service.wait("more bytes to land", || (landed() > moved + 8 * MIB as u64).then_some(()));
        service.order("job-1", "pause", json!({ "driveId": "SLOW" })).expect(200);
        service.wait_for_attention("copy-paused");
        moved = landed();
        // It drains still.
        service.wait("the drive to be taken out", || {
            let undock = format!("/operator/v1/bays/{bay}/undock");
            (service.call("POST", &undock, Value::Null).status == 200).then_some(())
        });
    }
    service.wait_for_state("job-1", "Packaging");
    let result = service.receipts("job-1")["drives"][0]["result"].clone();
    let bytes = |name: &str| result[name].as_u64().unwrap();
    assert!(bytes("bytes_reused") >= moved, "{moved} {result}");
    assert_eq!(bytes("bytes_sent") + bytes("bytes_reused"), 32 * MIB as u64, "{result}");
}

#[test]
fn a_drive_of_an_export_that_is_carried_to_another_host_gets_only_what_is_missing() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let [mut first, _second] = slow_stations(&service, &bench);
    let drive = bench.image("blank.img", &vec![0; 32 * MIB]);
    let content = export_begun(&service, &drive);
    first.stop();
    let kept = segments(&service);
    assert!(!kept.is_empty() && kept.iter().all(|name| name.contains("waies/export-1_OUT")), "among its documents: {kept:?}");
    service.dock("hall-b%2Fbay-1", &drive, Some("OUT")).expect(200);
    service.wait_for_state("export-1", "Packaging");
    assert!(std::fs::read(&drive).unwrap() == content);
    let result = service.receipts("export-1")["drives"][0]["result"].clone();
    let bytes = |name: &str| result[name].as_u64().unwrap();
    assert_eq!(bytes("bytes_sent") + bytes("bytes_reused"), 32 * MIB as u64, "{result}");
    assert!(bytes("bytes_reused") > 8 * MIB as u64, "{result}");
    service.wait("the journal to go", || segments(&service).is_empty().then_some(()));
}

/// Lets an export copy 8 MiB onto a drive at the first station; gives what it copies.
fn export_begun(service: &Service, drive: &Path) -> Vec<u8> {
    let content = ship_export(service, "export-1", 32 * MIB);
    service.dock("hall-a%2Fbay-1", drive, Some("OUT")).expect(200);
    service.order("export-1", "checkIn", json!({ "driveId": "OUT", "bay": "hall-a/bay-1" })).expect(200);
    service.wait("bytes to land", || service.bytes_landed("export-1").filter(|bytes| *bytes > 8 * MIB as u64));
    content
}

/// Two stations that copy 2 MB a second, in many chunks.
fn slow_stations(service: &Service, bench: &Workbench) -> [Station; 2] {
    let config = format!("[budget]\nrate = \"2MB/s\"\n{}", STATION.replace("256KiB", "16KiB"));
    ["hall-a", "hall-b"].map(|name| Station::start(service, bench, name, &config))
}

#[test]
fn a_device_that_was_changed_between_two_hosts_is_not_taken_for_what_the_journal_says() {
    if root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let [mut first, _second] = slow_stations(&service, &bench);
    let image = bench.image("device.img", &vec![0; 32 * MIB]);
    let device = LoopDevice::attach(&image, 512);
    export_begun(&service, &device.path);
    first.kill();
    let file = std::fs::OpenOptions::new().write(true).open(&device.path).unwrap();
    file.write_all_at(&[0xA5; 512], 3 * MIB as u64 + 512).unwrap();
    file.sync_all().unwrap();
    service.dock("hall-b%2Fbay-1", &device.path, Some("OUT")).expect(200);
    let held = service.wait_for_attention("copy-held");
    assert!(held["message"].as_str().unwrap().contains("does not hold at"), "{held}");
}

#[test]
fn a_station_that_slept_past_its_grant_writes_no_journal_any_more() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let [first, _second] = slow_stations(&service, &bench);
    let drive = bench.image("blank.img", &vec![0; 32 * MIB]);
    export_begun(&service, &drive);
    first.signal(Signal::STOP);
    let carried = bench.file("carried.img");
    std::fs::copy(&drive, &carried).unwrap();
    service.dock("hall-b%2Fbay-1", &carried, Some("OUT")).expect(200);
    service.wait_for_state("export-1", "Packaging");
    service.wait("the journal to go", || segments(&service).is_empty().then_some(()));
    first.signal(Signal::CONT);
    service.stays("no journal", || segments(&service).is_empty());
}

#[test]
fn the_journal_of_a_drive_that_was_released_goes_with_its_job() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let [_first, _second] = slow_stations(&service, &bench);
    export_begun(&service, &bench.image("blank.img", &vec![0; 32 * MIB]));
    service.order("export-1", "pause", json!({ "driveId": "OUT" })).expect(200);
    service.wait("the drive to be released", || {
        (service.order("export-1", "release", json!({ "driveId": "OUT" })).status == 200).then_some(())
    });
    service.patch("export-1", json!({ "cancelRequested": true })).expect(200);
    service.wait_for_state("export-1", "Packaging");
    service.order("export-1", "shipBack", parcel()).expect(200);
    service.wait_for_state("export-1", "Completed");
    service.call("DELETE", &job("export-1"), Value::Null).expect(200);
    service.wait("the journal to go", || segments(&service).is_empty().then_some(()));
}

/// Cancels a job whose station is lost, and waits for no word of it.
fn cancelled_without_its_station(service: &Service, mut station: Station, job: &str, size_bytes: u64) {
    service.wait("the journal to be kept", || (!segments(service).is_empty()).then_some(()));
    station.kill();
    service.patch(job, json!({ "cancelRequested": true })).expect(200);
    service.wait_for_state(job, "Packaging");
    service.expect_receipt_that_denies_nothing(job, size_bytes);
}

#[test]
fn a_cancel_of_an_import_whose_station_is_lost_is_accounted_for_by_the_journal_in_the_account() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let first = Station::start(&service, &bench, "hall-a", STATION);
    import_begun(&service, &bench, "hall-a%2Fbay-1", "64MiB");
    cancelled_without_its_station(&service, first, "job-1", 64 * MIB as u64);
    let receipt = service.receipts("job-1")["drives"][0]["result"]["receipt"].clone();
    assert!(receipt["residue_bytes"].as_u64() > Some(0), "what is left is told too: {receipt}");
}

#[test]
fn a_cancel_of_an_export_whose_station_is_lost_is_accounted_for_by_the_journal_in_the_account() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let [first, _second] = slow_stations(&service, &bench);
    export_begun(&service, &bench.image("blank.img", &vec![0; 32 * MIB]));
    cancelled_without_its_station(&service, first, "export-1", 32 * MIB as u64);
}

#[test]
fn what_a_lost_station_left_of_a_cancelled_import_goes_with_its_job() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let mut first = Station::start(&service, &bench, "hall-a", STATION);
    import_begun(&service, &bench, "hall-a%2Fbay-1", "64MiB");
    service.wait("the journal to be kept", || (!segments(&service).is_empty()).then_some(()));
    first.kill();
    service.patch("job-1", json!({ "cancelRequested": true })).expect(200);
    service.call("DELETE", "/operator/v1/tokens/hall-a", Value::Null).expect(200);
    service.wait_for_state("job-1", "Packaging");
    service.order("job-1", "shipBack", parcel()).expect(200);
    service.wait_for_state("job-1", "Completed");
    let blob = service.blobs().join("imports/job-1/SLOW.img");
    assert_eq!(partials_of(&blob).len(), 1, "it stays as long as its job does");
    service.call("DELETE", &job("job-1"), Value::Null).expect(200);
    service.wait("all of it to go", || {
        let left = files_below(&service.blobs().join("imports"));
        left.is_empty().then_some(())
    });
}

#[test]
fn a_drive_is_carried_from_a_bay_of_the_service_to_a_station() {
    let bench = Workbench::new();
    let service = Service::start(&bench, OWN_BAY);
    let _station = Station::start(&service, &bench, "hall-a", STATION);
    let drive = import_begun(&service, &bench, "own", "32MiB");
    service.order("job-1", "pause", json!({ "driveId": "SLOW" })).expect(200);
    service.wait_for_attention("copy-paused");
    let moved = service.bytes_landed("job-1").unwrap();
    service.wait("the drive to be taken out", || {
        (service.call("POST", "/operator/v1/bays/own/undock", Value::Null).status == 200).then_some(())
    });
    service.dock("hall-a%2Fbay-1", &drive, None).expect(200);
    service.order("job-1", "resume", json!({ "driveId": "SLOW" })).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let result = service.receipts("job-1")["drives"][0]["result"].clone();
    assert!(result["bytes_reused"].as_u64().unwrap() >= moved, "{moved} {result}");
    let blob = service.blobs().join("imports/job-1/SLOW.img");
    assert_eq!(partials_of(&blob).len(), 0);
    service.wait("the journal to go", || segments(&service).is_empty().then_some(()));
}

/// Kills the first station at a crash point, and lets the second one copy the drive; gives what that one says of it.
fn after_a_kill_at(point: &str) -> (Value, usize) {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let mut first = Station::start(&service, &bench, "hall-a", STATION);
    first.kill();
    first.go_with(&service, &[("DRIVE_AGENT_CRASH", point)]);
    let _second = Station::start(&service, &bench, "hall-b", STATION);
    service.ship_import("job-1", &["A"]);
    let content = random_bytes(MIB, 7);
    let drive = bench.image("A.img", &content);
    service.dock("hall-a%2Fbay-1", &drive, None).expect(200);
    first.wait_until_ended();
    service.dock("hall-b%2Fbay-1", &drive, None).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let blob = service.blobs().join("imports/job-1/A.img");
    assert!(std::fs::read(&blob).unwrap() == content, "{point}");
    service.wait("the journal to go", || segments(&service).is_empty().then_some(()));
    (service.receipts("job-1")["drives"][0]["result"].clone(), partials_of(&blob).len())
}

#[test]
fn a_blob_that_was_complete_when_its_station_was_lost_is_taken_for_what_it_is_at_the_next_host() {
    for point in ["target-published", "committed-noted", "manifest-written"] {
        let (result, _) = after_a_kill_at(point);
        assert_eq!((&result["bytes_sent"], &result["bytes_reused"]), (&json!(0), &json!(MIB)), "{point}: {result}");
    }
}

#[test]
fn what_a_station_had_begun_when_it_was_lost_is_found_by_the_next_host() {
    for point in ["target-begun", "records-appended", "commit-noted"] {
        let (result, partials) = after_a_kill_at(point);
        assert_eq!(partials, 0, "{point}: {result}");
    }
}

#[test]
fn no_journal_outlives_its_copy_and_nobody_reads_what_is_in_it() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let _station = Station::start(&service, &bench, "hall-a", STATION);
    service.ship_import("job-1", &["SLOW"]);
    service.dock("hall-a%2Fbay-1", &slow_profile(&bench, "SLOW", "64MiB", "2MB/s"), None).expect(200);
    let kept = service.wait("the journal to be kept", || segments(&service).pop());
    let bytes = std::fs::read(kept).unwrap();
    assert!(bytes.len() > 100 && !bytes.windows(4).any(|part| part == b"SLOW"), "it is sealed");
    service.patch("job-1", json!({ "cancelRequested": true })).expect(200);
    service.wait_for_state("job-1", "Packaging");
    service.wait("the journal to go", || segments(&service).is_empty().then_some(()));
}
