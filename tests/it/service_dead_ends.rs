//! No dead ends: whatever waits for a person offers an action that helps, and the command as printed works.

use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::images::{MIB, random_bytes};
use crate::support::service::{
    SUBSCRIPTION, Service, TWO_BAYS, export, import, job, parcel, run_printed, shipping, slow_profile,
};

fn commands(one: &Value) -> Vec<String> {
    let actions = one["actions"].as_array().unwrap();
    actions.iter().filter_map(|offered| offered["command"].as_str()).map(str::to_owned).collect()
}

/// Runs the first command that begins so.
#[track_caller]
fn run_offered(bench: &Workbench, one: &Value, verb: &str) {
    let commands = commands(one);
    let command = commands.iter().find(|command| command.contains(&format!(" {verb} ")));
    let command = command.unwrap_or_else(|| panic!("no `{verb}`: {one}"));
    let ended = run_printed(bench, command);
    assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
}

/// A drive with a bad place.
fn failing(bench: &Workbench, serial: &str) -> std::path::PathBuf {
    let text = format!(
        "size = \"4MiB\"\nserial = \"{serial}\"\nseed = 5\nrun_size = \"1MiB\"\n[[fault]]\nkind = \"unreadable\"\noffset = \"1MiB\"\nlength = \"4KiB\"\n"
    );
    bench.image(&format!("{serial}.toml"), text.as_bytes())
}

#[test]
fn a_held_copy_offers_what_fixes_it() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    service.ship_import("mine", &["BAD-1"]);
    service.dock("bay-1", &failing(&bench, "BAD-1"), None).expect(200);
    let one = service.wait_for_attention("copy-held");
    let expected = format!("drive-agent jobs retry {SUBSCRIPTION}/group/mine --drive BAD-1 --rescue");
    assert_eq!(commands(&one)[0], expected);
    run_offered(&bench, &one, "retry");
    let done = service.wait_for_state("mine", "Packaging");
    assert_eq!(done["properties"]["driveList"][0]["state"], "CompletedMoreInfo");
}

#[test]
fn giving_up_is_asked_about_and_taken_back() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    service.ship_import("mine", &["BAD-1"]);
    service.dock("bay-1", &failing(&bench, "BAD-1"), None).expect(200);
    let one = service.wait_for_attention("copy-held");
    let command = commands(&one).into_iter().find(|command| command.contains("give-up")).unwrap();
    let unasked = run_printed(&bench, &command.replace(" --yes", ""));
    assert_eq!(unasked.code, Some(2), "there is no terminal to ask at: {}", unasked.stderr);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    assert_eq!(service.bays()[0]["state"], "held");
    run_offered(&bench, &one, "give-up");
    service.wait_for_state("mine", "Packaging");
    let back = service.wait_for_attention("ship-back");
    assert!(back["message"].as_str().unwrap().contains("ended before it was complete"), "{back}");
    run_offered(&bench, &back, "undo-give-up");
    service.wait_for_state("mine", "Transferring");
    service.wait_for_attention("copy-held");
    // Again, and this time it is rescued although it was given up: its drive is still in its bay.
    service.order("mine", "giveUp", json!({ "driveId": "BAD-1" })).expect(200);
    service.wait_for_state("mine", "Packaging");
    service.order("mine", "retry", json!({ "driveId": "BAD-1", "rescue": true })).expect(200);
    let done = service.wait_for_state("mine", "Packaging");
    assert!(done["properties"]["driveList"][0]["copyStatus"].as_str().unwrap().starts_with("CompletedWithErrors"), "{done}");
    service.order("mine", "shipBack", parcel()).expect(200);
    service.order("mine", "undoGiveUp", json!({ "driveId": "BAD-1" })).code(409);
}

/// Puts these blobs into the account, and ships an export of them with so many drives.
fn ship_export(service: &Service, name: &str, blobs: &[(&str, usize)], drives: usize) {
    let mut ship = shipping();
    ship["deliveryPackage"]["driveCount"] = drives.into();
    ship_export_with(service, name, blobs, ship);
}

fn ship_export_with(service: &Service, name: &str, blobs: &[(&str, usize)], ship: Value) {
    for (blob, bytes) in blobs {
        let path = service.blobs().join("data").join(blob);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, random_bytes(*bytes, 3)).unwrap();
    }
    let paths: Vec<String> = blobs.iter().map(|(blob, _)| format!("/data/{blob}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    service.call("PUT", &job(name), export(&paths, &[])).expect(201);
    service.patch(name, ship).expect(200);
}

/// Nobody said how many drives come: the second blob must not be left behind with the first drive.
#[test]
fn an_export_of_two_blobs_waits_for_two_drives_where_no_number_was_announced() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    ship_export_with(&service, "out", &[("one", MIB), ("two", MIB)], shipping());
    for (bay, drive, state) in [("bay-1", "E-1", "Shipping"), ("bay-2", "E-2", "Packaging")] {
        service.dock(bay, &bench.image(&format!("{drive}.img"), &vec![0; 2 * MIB]), None).expect(200);
        service.order("out", "checkIn", json!({ "bay": bay })).expect(200);
        if state == "Shipping" {
            service.wait_for_attention("needs-empty-drive");
        }
        service.wait_for_state("out", state);
    }
    let done = service.job("out");
    assert!(done["properties"]["driveList"].as_array().unwrap().iter().all(|drive| drive["state"] == "Completed"), "{done}");
}

#[test]
fn an_export_with_a_spare_drive_begins() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    ship_export(&service, "out", &[("one", MIB)], 2);
    let (first, second) = (bench.image("E-1.img", &vec![0; 2 * MIB]), bench.image("E-2.img", &vec![0; 2 * MIB]));
    service.dock("bay-1", &first, None).expect(200);
    let one = service.wait_for_attention("unknown-drive");
    run_offered(&bench, &one, "check-in");
    service.wait_for_state("out", "Packaging");
    assert_eq!(std::fs::read(&first).unwrap()[..MIB], random_bytes(MIB, 3));
    // The second is noted, and goes back unused.
    service.dock("bay-2", &second, None).expect(200);
    service.order("out", "checkIn", json!({ "bay": "bay-2", "spare": true })).expect(200);
    let back = service.order("out", "shipBack", parcel()).expect(200)["job"].clone();
    assert_eq!(
        (back["properties"]["state"].as_str(), &back["properties"]["returnPackage"]["driveCount"]),
        (Some("Completed"), &json!(2))
    );
    assert_eq!(std::fs::read(&second).unwrap(), vec![0; 2 * MIB]);
}

#[test]
fn an_export_of_blobs_that_are_not_there_is_not_shipped() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    for (path, name) in [("", "a"), ("/", "b"), ("/../x", "c")] {
        let mut body = export(&[], &[]);
        body["properties"]["export"] = json!({ "blobListBlobPath": path });
        service.call("PUT", &job(&format!("list-{name}")), body).code(400);
    }
    service.call("PUT", &job("out"), export(&["/data/absent"], &[])).expect(201);
    let refused = service.patch("out", shipping()).expect(400);
    assert!(refused.to_string().contains("`/data/absent`"), "{refused}");
    assert_eq!(service.job("out")["properties"]["state"], "Creating", "the drives have not travelled");
    service.call("PUT", &job("none"), export(&[], &["/data/"])).expect(201);
    service.patch("none", shipping()).code(400);
    ship_export(&service, "there", &[("one", MIB)], 1);
}

#[test]
fn an_unsuitable_drive_takes_no_blob() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    ship_export(&service, "out", &[("one", MIB)], 1);
    let locked = bench.image("LOCKED.img", &vec![0; 2 * MIB]);
    let mut permissions = locked.metadata().unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&locked, permissions).unwrap();
    let small = bench.image("SMALL.img", &vec![0; MIB / 2]);
    service.dock("bay-1", &locked, None).expect(200);
    service.dock("bay-2", &small, None).expect(200);
    let refused = service.order("out", "checkIn", json!({ "bay": "bay-1" })).expect(409);
    assert!(refused["error"]["message"].as_str().unwrap().contains("cannot be written"), "{refused}");
    let refused = service.order("out", "checkIn", json!({ "bay": "bay-2" })).expect(409);
    assert!(refused["error"]["message"].as_str().unwrap().contains("--spare"), "{refused}");
    assert_eq!(service.job("out")["properties"]["state"], "Shipping");
    let row = service.wait_for_attention("needs-empty-drive");
    run_offered(&bench, &row, "never-received");
}

#[test]
fn the_blob_of_an_unsuitable_drive_is_free_for_another() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    ship_export(&service, "out", &[("one", 4 * MIB)], 1);
    // It takes the blob, and fails when it is written.
    let text =
        "size = \"8MiB\"\nserial = \"DYING\"\nbacking = \"memory\"\n[[fault]]\nkind = \"removed\"\nafter_bytes = \"1MiB\"\n";
    let dying = bench.image("dying.toml", text.as_bytes());
    let good = bench.image("GOOD.img", &vec![0; 8 * MIB]);
    service.dock("bay-1", &dying, None).expect(200);
    service.order("out", "checkIn", json!({ "bay": "bay-1", "erase": true })).expect(200);
    let held = service.wait_for_attention("copy-held");
    run_offered(&bench, &held, "release");
    let row = service.wait_for_attention("needs-empty-drive");
    assert_eq!(row["job"].as_str().unwrap().rsplit('/').next(), Some("out"));
    service.dock("bay-2", &good, None).expect(200);
    service.order("out", "checkIn", json!({ "bay": "bay-2" })).expect(200);
    service.wait_for_state("out", "Packaging");
    assert_eq!(std::fs::read(&good).unwrap()[..4 * MIB], random_bytes(4 * MIB, 3));
    let back = service.order("out", "shipBack", parcel()).expect(200);
    assert_eq!(back["job"]["properties"]["state"], "Completed", "nothing is missing");
}

#[test]
fn a_cancelled_export_needs_no_blob_and_no_invented_drive() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    for name in ["came", "never"] {
        ship_export(&service, name, &[("one", MIB)], 1);
        service.patch(name, json!({ "cancelRequested": true })).expect(200);
    }
    std::fs::remove_file(service.blobs().join("data/one")).unwrap();
    let full = bench.image("FULL.img", &random_bytes(MIB, 9));
    service.dock("bay-1", &full, None).expect(200);
    service.order("came", "checkIn", json!({ "bay": "bay-1" })).expect(200);
    service.wait_for_state("came", "Packaging");
    assert_eq!(std::fs::read(&full).unwrap(), random_bytes(MIB, 9), "nothing is written");
    let row = service.wait("the cancelled job", || {
        service.attention().into_iter().find(|one| one["job"].as_str().is_some_and(|job| job.ends_with("/never")))
    });
    run_offered(&bench, &row, "never-received");
    service.wait_for_state("never", "Completed");
}

#[test]
fn starting_says_why_nothing_starts() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    service.ship_import("mine", &["HERE", "ABSENT"]);
    let image = bench.image("HERE.img", &random_bytes(MIB, 1));
    service.dock("bay-1", &image, None).expect(200);
    let row = service.wait_for_attention("waits-for-others");
    assert_eq!((row["bay"].as_str(), row["drive_id"].as_str()), (Some("bay-1"), Some("HERE")));
    let refused = service.order("mine", "start", json!({ "driveId": "HERE" })).expect(409);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("`ABSENT`") && message.contains("never-received"), "{message}");
    run_offered(&bench, &row, "never-received");
    service.wait_for_state("mine", "Packaging");
}

#[test]
fn orders_about_what_is_not_there_say_so() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    for action in ["retry", "start", "pause", "resume", "giveUp", "undoGiveUp", "release"] {
        service.order("nothing", action, json!({ "driveId": "D" })).code(404);
    }
    service.call("PUT", &job("mine"), import(&["D"])).expect(201);
    for action in ["retry", "start", "pause", "resume", "giveUp", "undoGiveUp", "release"] {
        service.order("mine", action, json!({ "driveId": "OTHER" })).code(404);
    }
}

#[test]
fn a_pause_that_is_forgotten_is_told() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let profile = slow_profile(&bench, "SLOW", "24MiB", "12MB/s");
    service.ship_import("mine", &["SLOW"]);
    service.dock("bay-1", &profile, None).expect(200);
    service.wait_for_state("mine", "Transferring");
    service.order("mine", "pause", json!({ "driveId": "SLOW" })).expect(200);
    let row = service.wait_for_attention("copy-paused");
    run_offered(&bench, &row, "resume");
    service.wait_for_state("mine", "Packaging");
}

/// A page of the portal as an operator sees it, with the token that its forms send.
fn page(service: &Service, cookie: &str, path: &str) -> (String, String) {
    let page = service.try_call("", "GET", path, Value::Null, &[("cookie", cookie)]).unwrap().expect(200);
    let page = page.as_str().unwrap().to_owned();
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    (page.clone(), csrf.to_owned())
}

#[test]
fn the_portal_asks_before_a_drive_never_came_and_takes_it_back() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    service.ship_import("mine", &["LOST-1", "OTHER-1"]);
    let cookie = service.session_cookie(&service.token);
    let link = format!("/portal/job/{SUBSCRIPTION}/group/mine");
    let state = || service.job("mine")["properties"]["driveList"][0]["state"].clone();
    let (shown, _) = page(&service, &cookie, &format!("{link}/drive/LOST-1"));
    let asking = format!("{link}/drive/LOST-1/never-received");
    assert!(shown.contains("/LOST%2D1/never-received\">Never came</a>"), "it is asked first: {shown}");
    let (asked, csrf) = page(&service, &cookie, &asking);
    for word in ["Nothing of this drive is imported", "OTHER-1 has not come yet", "can be taken back"] {
        assert!(asked.contains(word), "`{word}`: {asked}");
    }
    assert_eq!(state(), "Specified", "asking changes nothing");
    let send = |action: &str, csrf: &str| {
        let body = format!("csrf={csrf}&driveId=LOST-1");
        service.status_of("POST", &format!("{link}/do/{action}"), &body, &[("cookie", &cookie)]).0
    };
    assert_eq!(send("neverReceived", &csrf), 303);
    assert_eq!(state(), "NeverReceived");
    let (shown, _) = page(&service, &cookie, &format!("{link}/drive/LOST-1"));
    assert!(shown.contains("It may still come"), "{shown}");
    assert_eq!(send("undoNeverReceived", &csrf), 303);
    assert_eq!(state(), "Specified");
    // By command too; and where the others are copied, it says what helps.
    let short = format!("{SUBSCRIPTION}/group/mine");
    let run = |verb: &str| run_printed(&bench, &format!("drive-agent jobs {verb} {short} --drive LOST-1"));
    assert_eq!((run("never-received").code, run("undo-never-received").code), (Some(0), Some(0)));
    assert_eq!(state(), "Specified");
    // Its copy lasts longer than what is asked here.
    service.dock("bay-1", &slow_profile(&bench, "OTHER-1", "64MiB", "2MB/s"), None).expect(200);
    service.wait_for_attention("waits-for-others");
    let (asked, _) = page(&service, &cookie, &asking);
    assert!(asked.contains("It cannot be taken back then") && asked.contains("OTHER-1 is here"), "{asked}");
    assert_eq!(run("never-received").code, Some(0));
    let refused = run("undo-never-received");
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("check one in when it comes"), "{}", refused.stderr);
}

#[test]
fn an_export_that_was_to_wait_no_longer_waits_again() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    ship_export(&service, "out", &[("one", MIB), ("two", MIB)], 2);
    let run = |verb: &str| run_printed(&bench, &format!("drive-agent jobs {verb} {SUBSCRIPTION}/group/out")).code;
    let cookie = service.session_cookie(&service.token);
    let (asked, _) = page(&service, &cookie, &format!("/portal/job/{SUBSCRIPTION}/group/out/never-received"));
    assert!(asked.contains("0 of 2 blobs have a drive") && asked.contains("is not exported"), "{asked}");
    let waits = || service.attention().iter().any(|one| one["kind"] == "needs-empty-drive");
    assert!(waits());
    assert_eq!(run("never-received"), Some(0));
    assert!(!waits());
    assert_eq!(run("undo-never-received"), Some(0));
    assert!(waits());
    assert_ne!(run("undo-never-received"), Some(0), "nothing is left to take back");
}

#[test]
fn a_parcel_that_is_told_once_more_takes_no_drive_from_a_released_blob() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    ship_export(&service, "out", &[("one", 4 * MIB)], 1);
    let text =
        "size = \"8MiB\"\nserial = \"DYING\"\nbacking = \"memory\"\n[[fault]]\nkind = \"removed\"\nafter_bytes = \"1MiB\"\n";
    service.dock("bay-1", &bench.image("dying.toml", text.as_bytes()), None).expect(200);
    service.order("out", "checkIn", json!({ "bay": "bay-1", "erase": true })).expect(200);
    run_offered(&bench, &service.wait_for_attention("copy-held"), "release");
    let package = service.job("out")["properties"]["deliveryPackage"].clone();
    service.patch("out", json!({ "deliveryPackage": package })).expect(200);
    // It waits for another drive as before: nothing else would end the job.
    run_offered(&bench, &service.wait_for_attention("needs-empty-drive"), "never-received");
    service.wait_for_state("out", "Packaging");
}
