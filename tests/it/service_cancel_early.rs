//! A cancel that comes before a copy moved anything: a receipt over the whole drive, and no failure.

use protocol::job::JobState;
use serde_json::json;

use crate::support::Workbench;
use crate::support::images::{MIB, random_bytes};
use crate::support::service::{Service, export, import, job, parcel, shipping};

/// Two bays, and the memory of one copy: the second copy waits while the first one is slow.
const ONE_AT_A_TIME: &str = "
[budget]
memory = \"32MiB\"
rate = \"2MB/s\"
[transfer]
chunk_size = \"1MiB\"
drain_timeout = \"2s\"
[[bay]]
name = \"bay-1\"
[[bay]]
name = \"bay-2\"
";

const BYTES: usize = 24 * MIB;

/// Cancels a job of two drives whose second copy has moved nothing, and walks it to its end.
#[track_caller]
fn cancel_and_look(service: &Service, name: &str) {
    let moved = |service: &Service, index: usize| service.receipts(name)["drives"][index]["state"] == "Transferring";
    service.wait("both copies to have begun", || (moved(service, 0) && moved(service, 1)).then_some(()));
    service.wait("bytes of one of them to land", || {
        let job = service.job(name);
        let landed = |index: usize| job["properties"]["driveList"][index]["bytesSucceeded"].as_u64().unwrap_or(0);
        (landed(0) + landed(1) > MIB as u64).then_some(())
    });
    service.patch(name, json!({ "cancelRequested": true })).expect(200);
    let job = service.wait_for_state(name, "Packaging");
    let receipts = service.receipts(name);
    let mut without_a_byte = 0;
    for (index, drive) in receipts["drives"].as_array().unwrap().iter().enumerate() {
        let (result, receipt) = (&drive["result"], &drive["result"]["receipt"]);
        assert_eq!((&result["outcome"], &result["bytes_total"]), (&json!("cancelled"), &json!(BYTES)), "{drive}");
        assert_eq!(receipt["reason"], "job-cancelled", "{drive}");
        let classes = ["landed_before_request", "landed_after_request", "outcome_unknown", "never_sent"];
        let sum: u64 = classes.iter().map(|class| receipt[class]["bytes"].as_u64().unwrap()).sum();
        assert_eq!(sum, BYTES as u64, "each byte is in one class: {drive}");
        if receipt["never_sent"]["bytes"] == BYTES {
            without_a_byte += 1;
            assert_eq!(receipt["never_sent"]["ranges"], json!([{ "offset": 0, "length": BYTES }]));
        }
        let status = job["properties"]["driveList"][index]["copyStatus"].as_str().unwrap();
        assert!(status.starts_with("Cancelled: "), "{status}");
    }
    assert_eq!(without_a_byte, 1, "{receipts}");
    service.order(name, "shipBack", parcel()).expect(200);
    assert_eq!(service.job(name)["properties"]["state"], JobState::Completed.name());
}

#[test]
fn an_import_that_waits_for_memory_has_a_receipt_over_its_whole_drive() {
    let bench = Workbench::new();
    let service = Service::start(&bench, ONE_AT_A_TIME);
    service.call("PUT", &job("job-1"), import(&["A", "B"])).expect(201);
    service.patch("job-1", shipping()).expect(200);
    for (bay, drive) in [("bay-1", "A"), ("bay-2", "B")] {
        let image = bench.image(&format!("{drive}.img"), &random_bytes(BYTES, 1));
        service.dock(bay, &image, None).expect(200);
    }
    cancel_and_look(&service, "job-1");
}

#[test]
fn an_export_that_waits_for_memory_has_a_receipt_over_its_whole_blob() {
    let bench = Workbench::new();
    let service = Service::start(&bench, ONE_AT_A_TIME);
    std::fs::create_dir_all(service.blobs().join("disks")).unwrap();
    for name in ["one", "two"] {
        std::fs::write(service.blobs().join("disks").join(name), random_bytes(BYTES, 2)).unwrap();
    }
    service.call("PUT", &job("job-1"), export(&["/disks/one", "/disks/two"], &[])).expect(201);
    let mut parcel = shipping();
    parcel["deliveryPackage"]["driveCount"] = 2.into();
    service.patch("job-1", parcel).expect(200);
    for (bay, drive) in [("bay-1", "A"), ("bay-2", "B")] {
        let image = bench.image(&format!("{drive}.img"), &vec![0; BYTES + MIB]);
        service.dock(bay, &image, None).expect(200);
        service.order("job-1", "checkIn", json!({ "bay": bay })).expect(200);
    }
    cancel_and_look(&service, "job-1");
}

#[test]
fn a_drive_that_spins_up_has_a_receipt_over_all_of_it() {
    let bench = Workbench::new();
    let service = Service::start(&bench, ONE_AT_A_TIME);
    let profile = "size = \"24MiB\"\nserial = \"A\"\nseed = 3\nzero_share = 0.0\nrun_size = \"1MiB\"\n[timing]\n\
                   interface_rate = \"100MB/s\"\nspin_up = \"60s\"\n[timing.flash]\nread_rate = \"100MB/s\"\n\
                   write_rate = \"100MB/s\"\nread_latency = \"50us\"\nwrite_latency = \"10us\"\n";
    let path = bench.image("A.toml", profile.as_bytes());
    service.ship_import("job-1", &["A"]);
    service.dock("bay-1", &path, None).expect(200);
    service.wait_for_state("job-1", "Transferring");
    service.patch("job-1", json!({ "cancelRequested": true })).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let receipts = service.receipts("job-1");
    let result = &receipts["drives"][0]["result"];
    assert_eq!(
        (&result["outcome"], &result["receipt"]["never_sent"]["bytes"]),
        (&json!("cancelled"), &json!(BYTES)),
        "{receipts}"
    );
}

#[test]
fn a_cancel_before_anything_is_copied_tells_of_each_drive_what_is_known() {
    let bench = Workbench::new();
    let service = Service::start(&bench, ONE_AT_A_TIME);
    service.ship_import("job-1", &["DOCKED", "LATER", "NEVER", "LAST"]);
    let state = |index: usize| service.job("job-1")["properties"]["driveList"][index]["state"].clone();
    // Checked in by itself where it is docked, and taken out again.
    service.dock("bay-1", &bench.image("DOCKED.img", &random_bytes(BYTES, 1)), None).expect(200);
    service.wait("its check-in", || (state(0) == "Received").then_some(()));
    service.undock("bay-1");
    // Checked in by hand, and docked later.
    service.order("job-1", "checkIn", json!({ "driveId": "LATER" })).expect(200);
    service.dock("bay-2", &bench.image("LATER.img", &random_bytes(BYTES, 2)), None).expect(200);
    let noted = || service.operators_job("job-1")["copies"]["LATER"]["size_bytes"] == BYTES;
    service.wait("its size", || noted().then_some(()));
    service.undock("bay-2");
    // Never docked.
    for id in ["NEVER", "LAST"] {
        service.order("job-1", "checkIn", json!({ "driveId": id })).expect(200);
    }
    service.wait_for_state("job-1", "Received");
    service.patch("job-1", json!({ "cancelRequested": true })).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let receipts = service.receipts("job-1");
    for (index, drive) in receipts["drives"].as_array().unwrap().iter().enumerate() {
        let result = &drive["result"];
        if index < 2 {
            assert_eq!((&result["outcome"], &result["bytes_total"]), (&json!("cancelled"), &json!(BYTES)), "{drive}");
            assert!(drive["copy_status"].as_str().unwrap().starts_with("Cancelled: 0 bytes landed"), "{drive}");
            let never_sent = json!([{ "offset": 0, "length": BYTES }]);
            assert_eq!(result["receipt"]["never_sent"]["ranges"], never_sent, "{drive}");
            assert!(result["blob"].as_str().unwrap().starts_with("imports/job-1/"), "{drive}");
        } else {
            // A receipt over no bytes would say that the drive has none.
            assert!(result.is_null(), "{drive}");
            let known = "Cancelled: nothing was copied, and the size of the drive is not known";
            assert_eq!(drive["copy_status"], known, "{drive}");
        }
    }
    service.order("job-1", "shipBack", parcel()).expect(200);
    assert_eq!(service.job("job-1")["properties"]["state"], JobState::Completed.name());
}

#[test]
fn a_drive_that_comes_after_the_cancel_has_a_receipt_too() {
    let bench = Workbench::new();
    let service = Service::start(&bench, ONE_AT_A_TIME);
    service.ship_import("job-1", &["A"]);
    service.patch("job-1", json!({ "cancelRequested": true })).expect(200);
    service.dock("bay-1", &bench.image("A.img", &random_bytes(BYTES, 1)), None).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let receipts = service.receipts("job-1");
    assert_eq!(receipts["drives"][0]["result"]["receipt"]["never_sent"]["bytes"], BYTES, "{receipts}");
}
