//! The drive that was copied was the wrong one: said so by an operator, before the drives go back.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::images::{MIB, random_bytes};
use crate::support::service::{Service, TWO_BAYS, parcel, run_printed, ship_export};

/// The command that is offered for something that waits, the first that begins so.
#[track_caller]
fn offered(one: &Value, verb: &str) -> String {
    let commands = one["actions"].as_array().unwrap().iter().filter_map(|offered| offered["command"].as_str());
    let found = commands.into_iter().find(|command| command.contains(&format!(" {verb} ")));
    found.unwrap_or_else(|| panic!("no `{verb}`: {one}")).to_owned()
}

#[track_caller]
fn run(bench: &Workbench, command: &str) {
    let ended = run_printed(bench, command);
    assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
}

fn what_waits_at(service: &Service, bay: &str) -> Option<Value> {
    service.attention().into_iter().find(|one| one["bay"] == bay)
}

fn image(bench: &Workbench, name: &str, seed: u64) -> (PathBuf, Vec<u8>) {
    let content = random_bytes(2 * MIB, seed);
    (bench.image(name, &content), content)
}

fn drive_state(service: &Service, name: &str) -> String {
    service.job(name)["properties"]["driveList"][0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_wrong_twin_whose_copy_is_complete_is_corrected() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let ((wrong, wrong_content), (right, content)) = (image(&bench, "wrong.img", 1), image(&bench, "right.img", 2));
    service.ship_import("mine", &["TWIN"]);
    service.dock("bay-1", &wrong, Some("TWIN")).expect(200);
    service.wait_for_state("mine", "Packaging");
    let blob = service.blobs().join("imports/mine/TWIN.img");
    assert_eq!(std::fs::read(&blob).unwrap(), wrong_content);
    // The right one comes: the first may have been the wrong one, and that is offered.
    service.dock("bay-2", &right, Some("TWIN")).expect(200);
    let command = offered(&service.wait("the twin", || what_waits_at(&service, "bay-2")), "undo-check-in");
    let unasked = run_printed(&bench, &command.replace(" --yes", ""));
    assert_eq!(unasked.code, Some(2), "there is no terminal to ask at: {}", unasked.stderr);
    assert_eq!(drive_state(&service, "mine"), "Completed");
    run(&bench, &command);
    assert_eq!(
        (service.job("mine")["properties"]["state"].as_str(), drive_state(&service, "mine").as_str()),
        (Some("Transferring"), "Received")
    );
    service.stays("neither is copied by itself", || drive_state(&service, "mine") == "Received");
    // The wrong one tells the right number also when it is alone, and in another bay.
    service.undock("bay-1");
    service.undock("bay-2");
    service.dock("bay-2", &wrong, Some("TWIN")).expect(200);
    let alone = service.wait_for_attention("ambiguous-drive");
    assert!(alone["message"].as_str().unwrap().contains("by mistake"), "{alone}");
    service.stays("it is copied again", || drive_state(&service, "mine") == "Received");
    service.undock("bay-2");
    // Nothing is replaced without a word, also where the right one is checked in.
    service.dock("bay-1", &right, Some("TWIN")).expect(200);
    run(&bench, &offered(&service.wait("the right one", || what_waits_at(&service, "bay-1")), "check-in"));
    let held = service.wait_for_attention("copy-held");
    assert_eq!(std::fs::read(&blob).unwrap(), wrong_content, "{held}");
    let told = service.receipts("mine")["drives"][0].clone();
    assert!(told["notes"][0].as_str().unwrap().contains("imports/mine/TWIN.img"), "{told}");
    let retry = offered(&held, "retry");
    assert!(retry.ends_with("--drive TWIN --overwrite"), "{retry}");
    run(&bench, &retry);
    let done = service.wait_for_state("mine", "Packaging");
    assert_eq!(done["properties"]["driveList"][0]["copyStatus"], "Completed");
    assert_eq!(std::fs::read(&blob).unwrap(), content);
    assert_eq!(service.receipts("mine")["drives"][0]["notes"], Value::Null, "it was replaced");
    let log = service.call("GET", "/operator/v1/audit", Value::Null).expect(200);
    let entry = log["value"].as_array().unwrap().iter().find(|entry| entry["action"] == "said that a drive was the wrong one");
    assert!(entry.unwrap()["detail"].as_str().unwrap().contains("TWIN"), "{log}");
    let back = service.order("mine", "shipBack", parcel()).expect(200);
    assert_eq!(back["job"]["properties"]["state"], "Completed");
    service.order("mine", "undoCheckIn", json!({ "driveId": "TWIN" })).code(409);
}

#[test]
fn a_drive_of_another_number_goes_to_its_own_job_when_it_was_the_wrong_one() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let (wrong, content) = image(&bench, "THEIRS-1.img", 3);
    service.ship_import("mine", &["MINE-1"]);
    service.dock("bay-1", &wrong, None).expect(200);
    service.order("mine", "checkIn", json!({ "bay": "bay-1", "driveId": "MINE-1" })).expect(200);
    service.wait_for_state("mine", "Packaging");
    service.ship_import("theirs", &["THEIRS-1"]);
    let row = service.wait_for_attention("ship-back");
    run(&bench, &offered(&row, "undo-check-in"));
    // It is known now whose it is, and what it is.
    service.wait_for_state("theirs", "Packaging");
    assert_eq!(std::fs::read(service.blobs().join("imports/theirs/THEIRS-1.img")).unwrap(), content);
    assert_eq!(drive_state(&service, "mine"), "Received");
    // The right one never comes: what stands in the account is told.
    service.order("mine", "giveUp", json!({ "driveId": "MINE-1" })).expect(200);
    service.wait_for_state("mine", "Packaging");
    let rows = service.attention();
    let told = rows.iter().find(|one| one["job"].as_str().is_some_and(|job| job.ends_with("/mine"))).unwrap();
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("imports/mine/MINE-1.img") && message.contains("`THEIRS-1`"), "{message}");
}

#[test]
fn a_drive_that_was_written_by_mistake_goes_to_no_other_job_unless_it_may_be_erased() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let exported = ship_export(&service, "ex", MIB);
    let [wrong, right] = ["X-1.img", "Y-1.img"].map(|name| bench.image(name, &vec![0; 2 * MIB]));
    service.dock("bay-1", &wrong, None).expect(200);
    service.order("ex", "checkIn", json!({ "bay": "bay-1" })).expect(200);
    service.wait_for_state("ex", "Packaging");
    // It was the empty drive of another job, and the import of another customer names it.
    ship_export(&service, "other", MIB);
    service.ship_import("theirs", &["X-1"]);
    service.order("ex", "undoCheckIn", json!({ "driveId": "X-1" })).expect(200);
    assert_eq!(service.job("ex")["properties"]["state"], "Transferring");
    service.stays("it is given to the job that names it", || drive_state(&service, "theirs") == "Specified");
    let refused = service.order("theirs", "checkIn", json!({ "bay": "bay-1", "driveId": "X-1" })).expect(409);
    assert!(refused.to_string().contains("mistake"), "{refused}");
    // It is known by its number, wherever it is docked.
    service.undock("bay-1");
    service.dock("bay-2", &wrong, None).expect(200);
    let one = service.wait_for_attention("ambiguous-drive");
    let offered: Vec<&str> =
        one["actions"].as_array().unwrap().iter().map(|offered| offered["action"].as_str().unwrap()).collect();
    assert_eq!(offered, ["choose-job", "take-out"], "{one}");
    service.stays("it is read for another", || drive_state(&service, "theirs") == "Specified");
    for (name, body) in [("theirs", json!({ "bay": "bay-2" })), ("other", json!({ "bay": "bay-2", "driveId": "Z-1" }))] {
        let refused = service.order(name, "checkIn", body).expect(409);
        assert!(refused.to_string().contains("had exported"), "{refused}");
    }
    service.order("other", "checkIn", json!({ "bay": "bay-2", "driveId": "Z-1", "erase": true })).expect(200);
    service.wait_for_state("other", "Packaging");
    // The right drive is written, and the row says what is left to do.
    service.dock("bay-1", &right, None).expect(200);
    service.order("ex", "checkIn", json!({ "bay": "bay-1", "driveId": "X-1" })).expect(200);
    service.wait_for_state("ex", "Packaging");
    assert_eq!(std::fs::read(&right).unwrap()[..MIB], exported);
    let rows = service.attention();
    let told = rows.iter().find(|one| one["job"].as_str().is_some_and(|job| job.ends_with("/ex"))).unwrap();
    assert!(told["message"].as_str().unwrap().contains("erase it"), "{told}");
    service.order("ex", "shipBack", parcel()).expect(200);
}

#[test]
fn a_drive_that_is_being_copied_or_was_not_checked_in_is_not_the_wrong_one() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let profile = crate::support::service::slow_profile(&bench, "SLOW", "24MiB", "12MB/s");
    service.ship_import("mine", &["SLOW"]);
    service.order("mine", "undoCheckIn", json!({ "driveId": "SLOW" })).code(409);
    service.dock("bay-1", &profile, None).expect(200);
    service.wait("bytes to move", || service.bytes_landed("mine").filter(|bytes| *bytes > 0));
    let refused = service.order("mine", "undoCheckIn", json!({ "driveId": "SLOW" })).expect(409);
    assert!(refused.to_string().contains("pause it first"), "{refused}");
    service.order("mine", "pause", json!({ "driveId": "SLOW" })).expect(200);
    service.wait("the copy to drain", || (service.bays()[0]["state"] == "paused").then_some(()));
    service.order("mine", "undoCheckIn", json!({ "driveId": "SLOW" })).expect(200);
    // It is the right one after all: it is copied from its beginning.
    run(&bench, &offered(&service.wait_for_attention("ambiguous-drive"), "check-in"));
    service.wait_for_state("mine", "Packaging");
    let left: Vec<_> =
        std::fs::read_dir(service.blobs().join("imports/mine")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().any(|name| name == "SLOW.img"), "{left:?}");
}
