//! Whose drive is it? A drive goes to a job by itself only where that is certain, and an operator can always decide.

use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::images::{MIB, random_bytes};
use crate::support::service::{Service, TWO_BAYS, import, job, run_printed};

/// Runs the command of an action as it was printed.
#[track_caller]
fn run(bench: &Workbench, offered: &Value) {
    let command = offered["command"].as_str().unwrap_or_else(|| panic!("no command: {offered}"));
    let ended = run_printed(bench, command);
    assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
}

fn action<'list>(one: &'list Value, name: &str) -> &'list Value {
    let actions = one["actions"].as_array().unwrap();
    actions.iter().find(|offered| offered["action"] == name).unwrap_or_else(|| panic!("no action `{name}`: {one}"))
}

#[test]
fn a_customer_does_not_get_a_drive_by_naming_its_serial_number_first() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    // A's parcel is on its way; B names the same drive, and ships at once.
    service.call("PUT", &job("victim"), import(&["WD-A-SECRET"])).expect(201);
    service.ship_import("thief", &["wd-a-secret"]);
    let image = bench.image("WD-A-SECRET.img", &random_bytes(MIB, 1));
    service.dock("bay-1", &image, None).expect(200);
    let one = service.wait_for_attention("ambiguous-drive");
    service.stays("the drive was given away", || service.job("thief")["properties"]["state"] == "Shipping");
    let told: Vec<&str> = one["candidates"].as_array().unwrap().iter().map(|job| job["state"].as_str().unwrap()).collect();
    assert_eq!(told, ["Creating", "Shipping"]);
    assert_eq!(one["candidates"][1]["tracking_number"], "TRACK-4711");
    let message = one["message"].as_str().unwrap();
    assert!(
        message.contains("/victim (Creating)") && message.contains("/thief (Shipping, parcel FedEx TRACK-4711)"),
        "{message}"
    );
    assert!(!service.blobs().join("imports").exists());
}

#[test]
fn another_customer_cannot_stop_a_copy_by_naming_its_drive() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, TWO_BAYS);
    let profile = crate::support::service::slow_profile(&bench, "SLOW", "24MiB", "12MB/s");
    service.ship_import("mine", &["SLOW"]);
    service.dock("bay-1", &profile, None).expect(200);
    service.wait("bytes to move", || service.bytes_landed("mine").filter(|bytes| *bytes > 0));
    service.ship_import("theirs", &["SLOW"]);
    service.kill();
    service.go();
    service.wait_for_state("mine", "Packaging");
    assert_eq!(service.job("theirs")["properties"]["state"], "Shipping");
}

#[test]
fn a_drive_whose_serial_number_is_mistyped_is_checked_in_as_what_it_is() {
    let bench = Workbench::new();
    let image = bench.image("WD-1234567.img", &random_bytes(MIB, 1));
    // Watched: it cannot be docked under another name.
    let config = TWO_BAYS.replace("name = \"bay-1\"\n", &format!("name = \"bay-1\"\ndrive = \"{}\"\n", image.display()));
    let mut service = Service::start(&bench, &config);
    service.ship_import("mine", &["WD-1234576"]);
    let one = service.wait_for_attention("unknown-drive");
    assert_eq!(one["actions"][0]["action"], "check-in", "the drive that it is like is offered first: {one}");
    run(&bench, &one["actions"][0]);
    service.wait_for_state("mine", "Packaging");
    assert_eq!(std::fs::read(service.blobs().join("imports/mine/WD-1234576.img")).unwrap(), random_bytes(MIB, 1));
    let log = service.call("GET", "/operator/v1/audit", Value::Null).expect(200);
    let entry = log["value"].as_array().unwrap().iter().find(|entry| entry["action"] == "checked in a drive").unwrap();
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.contains("WD-1234567") && detail.contains("WD-1234576"), "both names are told: {detail}");
    // They go with the job, and the entry stays.
    let back = json!({ "carrierName": "DHL", "trackingNumber": "BACK-1" });
    service.order("mine", "shipBack", back).expect(200);
    service.call("DELETE", &job("mine"), Value::Null).expect(200);
    let log = service.call("GET", "/operator/v1/audit", Value::Null).expect(200);
    let entry = log["value"].as_array().unwrap().iter().find(|entry| entry["action"] == "checked in a drive").unwrap().clone();
    assert!(entry.get("detail").is_none(), "{entry}");
    service.stop();
}

#[test]
fn a_drive_that_was_bound_is_known_again_in_another_bay() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let profile = crate::support::service::slow_profile(&bench, "OTHER-NAME", "24MiB", "12MB/s");
    service.ship_import("mine", &["STICKER-1"]);
    service.dock("bay-1", &profile, None).expect(200);
    service.wait_for_attention("unknown-drive");
    service.order("mine", "checkIn", json!({ "bay": "bay-1" })).code(409);
    service.order("mine", "checkIn", json!({ "bay": "bay-1", "driveId": "STICKER-1" })).expect(200);
    service.wait("bytes to move", || service.bytes_landed("mine").filter(|bytes| *bytes > 0));
    // Asked about again while it runs, nothing changes.
    service.order("mine", "checkIn", json!({ "bay": "bay-1", "driveId": "STICKER-1" })).code(409);
    service.order("mine", "pause", json!({ "driveId": "STICKER-1" })).expect(200);
    service.wait("the bay to be paused", || (service.bays()[0]["state"] == "paused").then_some(()));
    service.undock("bay-1");
    service.order("mine", "resume", json!({ "driveId": "STICKER-1" })).expect(200);
    service.dock("bay-2", &profile, None).expect(200);
    service.wait_for_state("mine", "Packaging");
}

#[test]
fn it_is_known_which_of_two_drives_of_one_serial_number_was_copied() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let (one, other) = (bench.image("one.img", &random_bytes(MIB, 1)), bench.image("other.img", &random_bytes(MIB, 2)));
    service.ship_import("mine", &["TWIN-0001"]);
    service.dock("bay-1", &one, Some("TWIN-0001")).expect(200);
    service.wait_for_state("mine", "Packaging");
    service.dock("bay-2", &other, Some("TWIN-0001")).expect(200);
    let twin = service.wait_for_attention("ambiguous-drive");
    assert_eq!(twin["bay"], "bay-2");
    assert!(twin["message"].as_str().unwrap().contains("`bay-1` has the same serial number and was checked in"), "{twin}");
    let back = service.wait_for_attention("ship-back");
    assert_eq!((back["bay"].as_str(), back["drive_id"].as_str()), (Some("bay-1"), Some("TWIN-0001")));
    let bays = service.bays();
    assert_eq!((&bays[0]["state"], &bays[1]["state"]), (&json!("done"), &json!("docked")));
    assert_eq!(bays[1]["drive"]["weak_identity"], json!(["duplicated"]));
}

#[test]
fn what_an_operator_bound_stays_bound_over_a_restart() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, TWO_BAYS);
    let (one, other) = (bench.image("one.img", &random_bytes(MIB, 1)), bench.image("other.img", &random_bytes(MIB, 2)));
    service.ship_import("one", &["0123456789ABCDEF"]);
    service.ship_import("other", &["D-2"]);
    service.order("one", "pause", json!({ "driveId": "0123456789ABCDEF" })).code(409);
    service.dock("bay-1", &one, Some("0123456789ABCDEF")).expect(200);
    service.wait_for_state("one", "Packaging");
    // The same name in another bay, for another job.
    service.dock("bay-2", &other, Some("0123456789ABCDEF")).expect(200);
    service.wait_for_attention("ambiguous-drive");
    service.stop();
    service.go();
    service.wait_for_attention("ambiguous-drive");
    service.order("other", "checkIn", json!({ "bay": "bay-2", "driveId": "D-2" })).expect(200);
    service.wait_for_state("other", "Packaging");
    assert_eq!(std::fs::read(service.blobs().join("imports/other/D-2.img")).unwrap(), random_bytes(MIB, 2));
    assert_eq!(std::fs::read(service.blobs().join("imports/one/0123456789ABCDEF.img")).unwrap(), random_bytes(MIB, 1));
    let offered = service.wait_for_attention("ship-back");
    run(&bench, action(&offered, "ship-back"));
}
