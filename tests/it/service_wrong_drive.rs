//! Slips at the dock: the wrong drive in a bay, two operators at once, a drive that was swapped for another. Nothing of a
//! drive is lost, and nothing of one customer's reaches another, unless an operator said so in as many words.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::images::{MIB, random_bytes};
use crate::support::service::{SUBSCRIPTION, Service, TWO_BAYS, job, run_printed, ship_export};

/// A drive with something on it.
fn full(bench: &Workbench, name: &str) -> (PathBuf, Vec<u8>) {
    let content = random_bytes(2 * MIB, 91);
    (bench.image(name, &content), content)
}

fn blank(bench: &Workbench, name: &str) -> PathBuf {
    bench.image(name, &vec![0; 2 * MIB])
}

fn check_in(service: &Service, name: &str, body: Value) -> (u16, String) {
    let answer = service.order(name, "checkIn", body);
    (answer.status, answer.body.to_string())
}

fn is_unchanged(path: &Path, content: &[u8]) -> bool {
    std::fs::read(path).unwrap() == content
}

#[test]
fn a_full_drive_is_not_written_where_an_empty_one_was_checked_in() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let written = ship_export(&service, "ex", MIB);
    // Two drives are announced, so that the first is not written before the second comes.
    let empty = blank(&bench, "T-1000.img");
    service.call("POST", "/operator/v1/bays/bay-1/dock", json!({ "path": empty, "driveId": "T-1000" })).expect(200);
    let held = service.order("ex", "pause", json!({ "driveId": "T-1000" }));
    assert_ne!(held.status, 200, "it is not checked in yet");
    let (full, content) = full(&bench, "another.img");
    // Checked in by its name alone: nothing was looked at.
    service.undock("bay-1");
    service.dock("bay-1", &full, Some("T-1000")).expect(200);
    let (status, why) = check_in(&service, "ex", json!({ "bay": "bay-1" }));
    assert!(status == 409 && why.contains("not empty"), "{why}");
    // An empty one is checked in, and swapped before it is written.
    service.undock("bay-1");
    let mut service = service;
    service.dock("bay-1", &empty, Some("T-1000")).expect(200);
    let (status, why) = check_in(&service, "ex", json!({ "bay": "bay-1", "driveId": "T-1000" }));
    assert_eq!(status, 200, "{why}");
    service.wait_for_state("ex", "Packaging");
    assert_eq!(&std::fs::read(&empty).unwrap()[..MIB], written);
    assert!(is_unchanged(&full, &content));
    service.stop();
}

#[test]
fn a_drive_that_was_swapped_after_its_check_in_is_not_written_until_it_may_be_erased() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let written = ship_export(&service, "ex", MIB);
    let path = bench.file("T-1000.img");
    std::fs::write(&path, vec![0; 2 * MIB]).unwrap();
    service.dock("bay-1", &path, None).expect(200);
    // It is written as soon as it is checked in: the store is away until it was swapped.
    let data = service.blobs().join("data");
    let (status, why) = check_in(&service, "ex", json!({ "bay": "bay-1" }));
    assert_eq!(status, 200, "{why}");
    service.wait_for_state("ex", "Packaging");
    assert_eq!(&std::fs::read(&path).unwrap()[..MIB], written);
    // A second export, whose drive is paused before it begins.
    let _ = ship_export(&service, "second", MIB);
    std::fs::rename(&data, bench.file("away")).unwrap();
    let other = bench.file("T-2000.img");
    std::fs::write(&other, vec![0; 2 * MIB]).unwrap();
    service.dock("bay-2", &other, None).expect(200);
    std::fs::rename(bench.file("away"), &data).unwrap();
    std::fs::write(&other, random_bytes(2 * MIB, 92)).unwrap();
    let content = std::fs::read(&other).unwrap();
    let (status, why) = check_in(&service, "second", json!({ "bay": "bay-2" }));
    assert!(status == 409 && why.contains("not empty"), "what it holds now counts: {why}");
    let (status, why) = check_in(&service, "second", json!({ "bay": "bay-2", "erase": true }));
    assert_eq!(status, 200, "{why}");
    service.wait_for_state("second", "Packaging");
    assert!(!is_unchanged(&other, &content), "an operator said so");
}

#[test]
fn a_drive_that_is_docked_before_anything_landed_is_looked_at() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, TWO_BAYS);
    service.stop();
    service.go_with(&[("DRIVE_AGENT_CRASH", "journal-begun")]);
    ship_export(&service, "ex", 8 * MIB);
    let path = bench.image("T-1000.img", &vec![0; 16 * MIB]);
    service.dock("bay-1", &path, None).expect(200);
    let (status, why) = check_in(&service, "ex", json!({ "bay": "bay-1" }));
    assert_eq!(status, 200, "{why}");
    service.wait_for_end();
    // While nothing runs, another drive of that name comes, which is full.
    std::fs::remove_file(&path).unwrap();
    let content = random_bytes(16 * MIB, 93);
    std::fs::write(&path, &content).unwrap();
    service.go();
    if service.bays()[0]["state"] == "empty" {
        service.dock("bay-1", &path, None).expect(200);
    }
    let held = service.wait_for_attention("copy-held");
    assert!(held["actions"].to_string().contains("--erase"), "{held}");
    assert!(is_unchanged(&path, &content), "{held}");
}

#[test]
fn a_drive_that_is_docked_again_is_looked_at_again() {
    let bench = Workbench::new();
    let service = Service::start(&bench, &format!("[budget]\nrate = \"1MB/s\"\n{TWO_BAYS}"));
    ship_export(&service, "ex", 8 * MIB);
    let path = bench.image("T-1000.img", &vec![0; 16 * MIB]);
    service.dock("bay-1", &path, None).expect(200);
    // Paused at once: whatever had begun is drained.
    let (status, why) = check_in(&service, "ex", json!({ "bay": "bay-1" }));
    assert_eq!(status, 200, "{why}");
    service.order("ex", "pause", json!({ "driveId": "T-1000" })).expect(200);
    service.wait("the copy to drain", || (service.bays()[0]["state"] == "paused").then_some(()));
    service.undock("bay-1");
    // Another drive of that name, and full.
    let content = random_bytes(16 * MIB, 93);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &content).unwrap();
    service.dock("bay-1", &path, None).expect(200);
    service.order("ex", "resume", json!({ "driveId": "T-1000" })).expect(200);
    let held = service.wait_for_attention("copy-held");
    assert!(is_unchanged(&path, &content), "{held}");
    // Starting over writes it no more than going on did.
    service.order("ex", "retry", json!({ "driveId": "T-1000", "restart": true })).expect(200);
    let held = service.wait("what fixes it", || {
        let list = service.attention();
        list.into_iter().find(|one| one["actions"].to_string().contains("--erase"))
    });
    assert!(is_unchanged(&path, &content), "{held}");
    let command = held["actions"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|action| action["command"].as_str().filter(|command| command.ends_with("--erase")).map(str::to_owned));
    let ended = run_printed(&bench, &command.unwrap_or_else(|| panic!("no command: {held}")));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    service.wait_for_state("ex", "Packaging");
    assert!(!is_unchanged(&path, &content));
}

#[test]
fn a_bay_that_another_job_has_is_not_taken_without_a_word() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let (path, _) = full(&bench, "M-2.img");
    service.ship_import("theirs", &["M-2", "M-9"]);
    service.ship_import("mine", &["M-1", "M-8"]);
    service.dock("bay-2", &path, None).expect(200);
    service.wait("the check-in", || {
        let drives = service.job("theirs")["properties"]["driveList"].clone();
        (drives[0]["state"] == "Received").then_some(())
    });
    let slip = service.order("mine", "checkIn", json!({ "bay": "bay-2", "driveId": "M-1" }));
    assert_eq!(slip.code(409), "BayTaken", "{}", slip.body);
    let message = slip.body.to_string();
    assert!(message.contains(&format!("{SUBSCRIPTION}/group/theirs")) && message.contains("--take-over"), "{message}");
    assert_eq!(service.job("mine")["properties"]["driveList"][0]["state"], "Specified", "nothing was done");
    service.order("mine", "checkIn", json!({ "bay": "bay-2", "driveId": "M-1", "takeOver": true })).expect(200);
    let audit = service.call("GET", "/operator/v1/audit?action=checked%20in%20a%20drive", Value::Null).expect(200);
    assert!(audit["value"][0]["detail"].as_str().unwrap().contains("M-1"), "{audit}");
}

#[test]
fn two_operators_cannot_give_one_drive_to_two_jobs() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    service.ship_import("one", &["A-1", "A-2"]);
    service.ship_import("two", &["B-1", "B-2"]);
    let (path, _) = full(&bench, "unknown.img");
    service.dock("bay-1", &path, Some("ZZZ")).expect(200);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = |name: &'static str, id: &'static str| {
            let service = &service;
            scope.spawn(move || service.order(name, "checkIn", json!({ "bay": "bay-1", "driveId": id })).status)
        };
        let both = [ask("one", "A-1"), ask("two", "B-1")];
        both.map(|one| one.join().unwrap()).into()
    });
    let mut sorted = statuses.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [200, 409], "{statuses:?}");
}

#[test]
fn what_was_given_up_and_taken_back_moves_nothing_twice() {
    let bench = Workbench::new();
    let service = Service::start(&bench, &format!("[budget]\nrate = \"4MB/s\"\n{TWO_BAYS}"));
    let content = random_bytes(8 * MIB, 94);
    let path = bench.image("GIVE-1.img", &content);
    service.ship_import("mine", &["GIVE-1"]);
    service.dock("bay-1", &path, None).expect(200);
    service.wait("some of it", || (service.bays()[0]["work"]["progress"]["bytes_done"].as_u64()? > MIB as u64).then_some(()));
    service.order("mine", "pause", json!({ "driveId": "GIVE-1" })).expect(200);
    service.wait("the copy to drain", || (service.bays()[0]["state"] == "paused").then_some(()));
    service.order("mine", "giveUp", json!({ "driveId": "GIVE-1" })).expect(200);
    // Its logs are published meanwhile.
    let logs = || service.job("mine")["properties"]["driveList"][0]["errorLogUri"].is_string();
    service.wait("its logs", || logs().then_some(()));
    service.order("mine", "undoGiveUp", json!({ "driveId": "GIVE-1" })).expect(200);
    service.wait_for_state("mine", "Packaging");
    let result = service.operators_job("mine")["copies"]["GIVE-1"]["result"].clone();
    let sent = result["bytes_sent"].as_u64().unwrap();
    assert!(sent < 8 * MIB as u64, "what had landed was not moved again: {result}");
    let left: Vec<_> =
        std::fs::read_dir(service.blobs().join("imports/mine")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains(".partial")), "{left:?}");
}

#[test]
fn one_file_under_two_names_is_in_one_bay_alone() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let (path, _) = full(&bench, "h1.img");
    service.dock("bay-1", &path, None).expect(200);
    std::fs::hard_link(&path, bench.file("h2.img")).unwrap();
    let again = service.dock("bay-2", &bench.file("h2.img"), None);
    assert_eq!(again.status, 409, "{}", again.body);
    assert!(again.body.to_string().contains("has a second name"), "{}", again.body);
}

#[test]
fn names_of_customers_are_not_taken_for_options() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let (path, _) = full(&bench, "N-1.img");
    service.ship_import("x--overwrite--restart", &["N-1"]);
    let folder = service.blobs().join("imports/x--overwrite--restart");
    std::fs::create_dir_all(&folder).unwrap();
    // A folder of that name: no option helps against it.
    std::fs::create_dir(folder.join("N-1.img")).unwrap();
    service.dock("bay-1", &path, None).expect(200);
    let held = service.wait_for_attention("copy-held");
    let retry = held["actions"].as_array().unwrap().iter().find(|action| action["action"] == "retry").unwrap();
    assert_eq!(retry["options"], json!({ "restart": false, "overwrite": false, "rescue": false, "erase": false }), "{held}");
    let refused = service.call("PUT", &job("dash"), crate::support::service::import(&["-DASH"]));
    assert_eq!(refused.code(400), "InvalidField");
}

#[test]
fn a_drive_that_came_too_late_is_told() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let (path, _) = full(&bench, "L-1.img");
    service.ship_import("mine", &["L-1", "L-2"]);
    service.dock("bay-1", &path, None).expect(200);
    service.order("mine", "neverReceived", json!({ "driveId": "L-2" })).expect(200);
    service.wait_for_state("mine", "Packaging");
    let (late, _) = full(&bench, "L-2.img");
    service.dock("bay-2", &late, None).expect(200);
    let one = service.wait_for_attention("late-drive");
    assert_eq!((&one["bay"], &one["drive_id"]), (&json!("bay-2"), &json!("L-2")));
    let command = one["actions"][0]["command"].as_str().unwrap();
    assert_eq!(run_printed(&bench, command).code, Some(0), "{command}");
    service.wait("an empty bay", || service.bays()[1]["drive"].is_null().then_some(()));
}

#[test]
fn a_copy_that_is_being_stopped_is_not_to_be_paused_again() {
    let bench = Workbench::new();
    // A drive that hangs: what is asked of it keeps the copy open until its timeout.
    let config = TWO_BAYS.replacen("[transfer]", "[transfer]\nread_timeout = \"6s\"", 1);
    let service = Service::start(&bench, &config);
    let stuck = "size = \"16MiB\"\nserial = \"S\"\nseed = 6\n[[fault]]\nkind = \"stuck\"\noffset = \"8MiB\"\nlength = 4096\n";
    service.ship_import("one", &["S"]);
    service.dock("bay-1", &bench.image("stuck.toml", stuck.as_bytes()), None).expect(200);
    let landed = || service.bytes_landed("one");
    service.wait("the drive to hang", || landed().filter(|bytes| *bytes == 8 * MIB as u64));
    let drive = || json!({ "driveId": "S" });
    let refused = service.order("one", "undoCheckIn", drive());
    assert!(refused.status == 409 && refused.body.to_string().contains("pause it first"), "{refused:?}");
    service.order("one", "pause", drive()).expect(200);
    let refused = service.order("one", "undoCheckIn", drive());
    assert!(refused.status == 409 && refused.body.to_string().contains("try again in a moment"), "{refused:?}");
    service.wait("the copy to end", || (service.order("one", "undoCheckIn", drive()).status == 200).then_some(()));
}
