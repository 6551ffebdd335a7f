//! Stations: bays of other hosts that work for one service.

use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::azurite::Azurite;
use crate::support::images::{MIB, files_below, partials_of, random_bytes};
use crate::support::listener::free_port;
use crate::support::service::{Service, import, job, parcel, ship_export, shipping, slow_profile};
use crate::support::station::{Station, token_of};
use crate::support::{Agent, Workbench};

/// A service whose grants are short, so that a test can wait for their end; it has no bays of its own.
const SERVICE: &str = "bay = []\nstation_lease = \"12s\"\n";

/// A station with one bay.
const STATION: &str = "[transfer]\nchunk_size = \"256KiB\"\ndrain_timeout = \"1s\"\n[[bay]]\nname = \"bay-1\"\n";

/// The state of the drive of a job, as customers see it.
fn bytes_landed(service: &Service, name: &str) -> Option<u64> {
    service.bytes_landed(name).filter(|bytes| *bytes > 0)
}

/// Begins to import a drive of this size at `hall-a`, which gives so many bytes a second; some of it has landed then.
fn copy_slowly(service: &Service, bench: &Workbench, size: &str, rate: &str) {
    service.ship_import("job-1", &["SLOW"]);
    service.dock("hall-a%2Fbay-1", &slow_profile(bench, "SLOW", size, rate), None).expect(200);
    service.wait("bytes to land", || bytes_landed(service, "job-1"));
}

#[test]
fn drives_at_two_stations_go_through_one_job() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, SERVICE);
    let mut first = Station::start(&service, &bench, "hall-a", STATION);
    let mut second = Station::start(&service, &bench, "hall-b", STATION);
    service.call("PUT", &job("job-1"), import(&["ONE", "TWO"])).expect(201);
    service.patch("job-1", shipping()).expect(200);
    let (one, two) = (random_bytes(MIB, 1), random_bytes(2 * MIB, 2));
    service.dock("hall-a%2Fbay-1", &bench.image("ONE.img", &one), None).expect(200);
    service.dock("hall-b%2Fbay-1", &bench.image("TWO.img", &two), None).expect(200);
    service.wait_for_state("job-1", "Packaging");
    for (name, bytes) in [("ONE", &one), ("TWO", &two)] {
        let blob = service.blobs().join(format!("imports/job-1/{name}.img"));
        assert!(std::fs::read(&blob).unwrap() == *bytes && partials_of(&blob).is_empty());
    }
    let stations = service.call("GET", "/operator/v1/stations", Value::Null).expect(200)["value"].clone();
    let shown: Vec<(&str, u64, bool)> = stations
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["drives"].as_u64().unwrap(), one["away"].is_null()))
        .collect();
    assert_eq!(shown, [("hall-a", 1, true), ("hall-b", 1, true)]);
    service.order("job-1", "shipBack", parcel()).expect(200);
    service.wait_for_state("job-1", "Completed");
    service.call("DELETE", &job("job-1"), Value::Null).expect(200);
    for station in [&first, &second] {
        let transfers = station.state().join("transfers");
        service.wait("nothing of the job to be kept", || std::fs::read_dir(&transfers).unwrap().next().is_none().then_some(()));
    }
    for station in [&mut first, &mut second] {
        let ended = station.stop();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    service.stop();
}

#[test]
fn a_cancel_stops_the_copy_at_its_station_and_the_receipt_says_what_moved() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let _station = Station::start(&service, &bench, "hall-a", STATION);
    copy_slowly(&service, &bench, "64MiB", "2MB/s");
    service.patch("job-1", json!({ "cancelRequested": true })).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let receipt = service.receipts("job-1")["drives"][0]["result"]["receipt"].clone();
    assert_eq!(receipt["reason"], "job-cancelled");
    let bytes = |class: &str| receipt[class]["bytes"].as_u64().unwrap();
    let landed = bytes("landed_before_request") + bytes("landed_after_request");
    assert!(landed > 0, "{receipt}");
    assert_eq!(landed + bytes("never_sent") + bytes("outcome_unknown"), 64 * MIB as u64, "{receipt}");
}

#[test]
fn a_copy_goes_on_while_the_service_is_away_and_is_not_begun_again() {
    let bench = Workbench::new();
    let mut service = Service::start_at(&bench, SERVICE, free_port());
    let mut station = Station::start(&service, &bench, "hall-a", STATION);
    copy_slowly(&service, &bench, "12MiB", "4MB/s");
    service.kill();
    service.go();
    service.wait_for_state("job-1", "Packaging");
    let result = service.receipts("job-1")["drives"][0]["result"].clone();
    let moved = |name: &str| result[name].as_u64().unwrap();
    assert_eq!((moved("bytes_sent"), moved("bytes_reused")), (12 * MIB as u64, 0), "one run moved all of it: {result}");
    let ended = station.stop();
    assert!(ended.stderr.contains("the service answers again"), "{}", ended.stderr);
}

#[test]
fn a_station_that_is_killed_resumes_what_it_did() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let mut station = Station::start(&service, &bench, "hall-a", STATION);
    copy_slowly(&service, &bench, "12MiB", "4MB/s");
    station.kill();
    station.go(&service);
    service.wait_for_state("job-1", "Packaging");
    let result = service.receipts("job-1")["drives"][0]["result"].clone();
    let moved = |name: &str| result[name].as_u64().unwrap();
    assert!(moved("bytes_sent") < 12 * MIB as u64, "what had landed was not sent again: {result}");
    assert_eq!(moved("bytes_total"), 12 * MIB as u64);
}

#[test]
fn a_station_that_does_not_call_loses_its_copy_and_its_late_end_changes_nothing() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else { return };
    let account = azurite.as_account("local");
    let service = Service::start(&bench, &format!("{SERVICE}{account}"));
    let config = format!("{STATION}{account}");
    let mut first = Station::start(&service, &bench, "hall-a", &config);
    let _second = Station::start(&service, &bench, "hall-b", &config);
    service.ship_import("job-1", &["SLOW"]);
    let drive = slow_profile(&bench, "SLOW", "8MiB", "2MB/s");
    service.dock("hall-a%2Fbay-1", &drive, None).expect(200);
    service.wait("bytes to land", || bytes_landed(&service, "job-1"));
    first.signal(Signal::STOP);
    // The drive is carried to another host, and may be copied there only when the grant of the first has ended.
    service.dock("hall-b%2Fbay-1", &drive, None).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let (before, blob) = (service.receipts("job-1"), azurite.read("imports", "job-1/SLOW.img"));
    first.signal(Signal::CONT);
    service.wait("the first station to call again", || {
        let stations = service.call("GET", "/operator/v1/stations", Value::Null).expect(200)["value"].clone();
        (stations[0]["away"].is_null() && stations[0]["copies"] == 0).then_some(())
    });
    let ended = first.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(service.receipts("job-1"), before, "a late end changes nothing");
    assert_eq!(before["drives"][0]["result"]["bytes_total"], 8 * MIB);
    assert!(blob.len() == 8 * MIB && azurite.read("imports", "job-1/SLOW.img") == blob, "and so does a late chunk");
}

#[test]
fn a_station_stops_its_copies_before_their_grants_end() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, SERVICE);
    let mut station = Station::start(&service, &bench, "hall-a", STATION);
    copy_slowly(&service, &bench, "64MiB", "2MB/s");
    service.kill();
    station.running().wait_for_words("the service did not answer in time: copies stop");
    let ended = station.stop();
    assert!(ended.stderr.contains("copies go on for"), "{}", ended.stderr);
}

#[test]
fn a_name_belongs_to_one_station_and_its_accounts_are_the_services() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let mut first = Station::start(&service, &bench, "hall-a", STATION);
    // Another host under the same name: it waits while the first one calls.
    let other = bench.file("other host");
    std::fs::create_dir_all(&other).unwrap();
    let second = first.agent().env("XDG_STATE_HOME", other.to_str().unwrap()).start();
    second.wait_for_words("another station has the name `hall-a`");
    service.stays("the first station serves on", || {
        service.bays().iter().any(|bay| bay["name"] == "hall-a/bay-1" && bay["note"].is_null())
    });
    second.signal(Signal::TERM);
    second.wait();
    // A second process on the same state directory.
    first.agent().run().expect_error(1, &["another service runs on the state directory"]);
    // An account of its own is not the service's.
    let token = bench.secret("b.token", token_of(&service, "hall-b").as_bytes());
    let run = |name: &str, config: &str| {
        let config = bench.secret("other.toml", config.as_bytes());
        let arguments: [&dyn AsRef<std::ffi::OsStr>; 9] =
            [&"station", &"--service", &service.url, &"--token-file", &token, &"--name", &name, &"--config", &config];
        Agent::bare(&other, &arguments).start()
    };
    run("hall-b", STATION).wait().expect_error(1, &["the account `local` is the directory", "must be the same place"]);
    run("hall-c", "").wait().expect_error(1, &["this is for the station `hall-c`"]);
    run("hall-b", "database = \"postgres://me@db.example/jobs\"").wait().expect_error(1, &["a station keeps no jobs"]);
    let slow = "[transfer]\ndrain_timeout = \"60s\"\n[[account]]\nname = \"elsewhere\"\nstore = \"/tmp\"\n";
    let public: [&dyn AsRef<std::ffi::OsStr>; 5] = [&"station", &"--service", &"http://service.example", &"--token-file", &token];
    Agent::bare(&other, &public).run().expect_error(1, &["plain http", "say `--service https://service.example`"]);
    run("hall-b", slow).wait().expect_error(1, &["grants copies for 12 s", "lower `drain_timeout`"]);
    first.stop();
}

#[test]
fn the_token_of_a_station_does_nothing_else() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let token = token_of(&service, "hall-a");
    let made = service.call("POST", "/operator/v1/tokens", json!({ "name": "..", "role": "station" }));
    assert_eq!(made.code(400), "InvalidField");
    for (method, path) in [("GET", "/operator/v1/bays"), ("GET", "/operator/v1/stations"), ("POST", "/operator/v1/tokens")] {
        assert_eq!(service.call_as(&token, method, path, json!({})).code(403), "AuthorizationFailed");
    }
    assert_eq!(service.call_as(&token, "GET", &job("job-1"), Value::Null).code(403), "AuthorizationFailed");
    assert_eq!(service.call_as(&token, "POST", "/stations/v1/hall-b/call", json!({})).code(403), "AuthorizationFailed");
    assert_eq!(service.call("POST", "/stations/v1/hall-a/call", json!({})).code(403), "AuthorizationFailed");
    assert_eq!(service.call_as(&token, "POST", "/stations/v1/hall-a/call", json!({})).status, 400);
    let (status, _) = service.log_in(&token, &[]);
    assert_eq!(status, 403, "it has no business in the portal");
}

#[test]
fn a_station_that_is_gone_for_good_is_taken_off_and_keeps_no_job() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let mut station = Station::start(&service, &bench, "hall-a", STATION);
    copy_slowly(&service, &bench, "64MiB", "2MB/s");
    station.kill();
    let journal = files_below(&service.blobs()).into_iter().filter(|path| path.display().to_string().contains(".journal."));
    journal.for_each(|segment| std::fs::remove_file(segment).unwrap());
    let waiting = service.wait_for_attention("station-away");
    assert_eq!(waiting["actions"][0]["command"], "drive-agent tokens revoke hall-a", "{waiting}");
    service.patch("job-1", json!({ "cancelRequested": true })).expect(200);
    service.stays("only the station knows what moved", || service.job("job-1")["properties"]["state"] != "Packaging");
    service.call("DELETE", "/operator/v1/tokens/hall-a", Value::Null).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let receipt = service.receipts("job-1")["drives"][0]["result"]["receipt"].clone();
    assert_eq!(receipt["outcome_unknown"]["bytes"], 64 * MIB, "nothing is claimed: {receipt}");
    let stations = || service.call("GET", "/operator/v1/stations", Value::Null).expect(200)["value"].as_array().unwrap().len();
    service.wait("the station to be forgotten", || (stations() == 0).then_some(()));
    assert!(service.attention().iter().all(|one| one["kind"] != "station-away"));
    service.order("job-1", "shipBack", parcel()).expect(200);
    service.call("DELETE", &job("job-1"), Value::Null).expect(200);
}

#[test]
fn a_service_that_stops_leaves_the_copies_of_stations_alone() {
    let bench = Workbench::new();
    let mut service = Service::start_at(&bench, SERVICE, free_port());
    let _station = Station::start(&service, &bench, "hall-a", STATION);
    copy_slowly(&service, &bench, "12MiB", "4MB/s");
    let ended = service.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    service.go();
    service.wait_for_state("job-1", "Packaging");
    let result = service.receipts("job-1")["drives"][0]["result"].clone();
    assert_eq!((&result["bytes_sent"], &result["bytes_reused"]), (&json!(12 * MIB), &json!(0)), "{result}");
}

#[test]
fn an_export_is_written_at_a_station_and_its_drives_are_paused_and_resumed_there() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let _station = Station::start(&service, &bench, "hall-a", STATION);
    let content = ship_export(&service, "export-1", MIB);
    let drive = bench.image("blank.img", &vec![0; MIB]);
    service.dock("hall-a%2Fbay-1", &drive, Some("OUT")).expect(200);
    service.order("export-1", "checkIn", json!({ "driveId": "OUT", "bay": "hall-a/bay-1" })).expect(200);
    service.wait_for_state("export-1", "Packaging");
    assert!(std::fs::read(&drive).unwrap() == content);
}

#[test]
fn a_station_whose_clock_is_ahead_copies_nothing_again_by_itself() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let ahead = bench.image("ahead", b"1200");
    let _station = Station::start(&service, &bench, "hall-a", &format!("clock_offset_file = \"{}\"\n{STATION}", ahead.display()));
    service.ship_import("job-1", &["BAD"]);
    let profile = slow_profile(&bench, "BAD", "2MiB", "100MB/s");
    let fault = "[[fault]]\nkind = \"unreadable\"\noffset = \"1MiB\"\nlength = \"64KiB\"\n";
    std::fs::write(&profile, std::fs::read_to_string(&profile).unwrap() + fault).unwrap();
    service.dock("hall-a%2Fbay-1", &profile, None).expect(200);
    service.wait_for_attention("copy-held");
    let runs = || {
        let log = service.call("GET", "/operator/v1/audit?action=began", Value::Null).expect(200);
        log["value"].as_array().unwrap().len()
    };
    service.stays("it failed once", || runs() == 1);
}

#[test]
fn bays_are_shown_by_hall() {
    let bench = Workbench::new();
    let service = Service::start(&bench, "station_lease = \"12s\"\n[transfer]\ndrain_timeout = \"1s\"\n");
    let mut stations = ["one", "two", "three"].map(|name| Station::start(&service, &bench, name, STATION));
    for (station, hall) in stations.iter_mut().zip(["South & West", "North", "South & West"]) {
        station.move_to(&service, hall);
    }
    let headings = |path: &str| {
        let page = service.portal_page(path);
        let (mut found, mut rest) = (Vec::new(), page.as_str());
        while let Some((_, after)) = rest.split_once("<h3 class=\"station\">") {
            let (heading, after) = after.split_once("</h3>").unwrap();
            found.push(heading.replace("&#38;", "&"));
            rest = after;
        }
        found
    };
    let all = ["this host", "North: two", "South & West: one", "South & West: three"];
    service.wait("all to be known", || (headings("/portal/bays") == all).then_some(()));
    assert_eq!(headings("/portal/bays?view=table"), all);
    assert_eq!(headings("/portal/bays?hall=South+%26+West&view=table"), all[2..]);
    assert_eq!(headings("/portal/bays?hall=North"), all[1..2]);
    assert!(headings("/portal/bays?hall=East").is_empty());
    let page = service.portal_page("/portal/bays?view=table");
    assert!(page.contains("href=\"/portal/bays?view=table&#38;hall=South+%26+West\""), "{page}");
    let page = service.portal_page("/portal/bays?hall=North");
    assert!(page.contains("/portal/events/bays?hall=North"), "it is kept up to date as it is shown: {page}");
    let bays = service.bays();
    let halls: Vec<&Value> = bays.iter().filter(|bay| bay["name"] == "two/bay-1").map(|bay| &bay["hall"]).collect();
    assert_eq!(halls, [&json!("North")]);
}

#[test]
fn commands_reach_the_bays_of_stations() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    let _station = Station::start(&service, &bench, "hall-a", STATION);
    bench.image("A.img", &random_bytes(MIB, 3));
    let run = |words: &[&str]| {
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as _).collect();
        Agent::bare(bench.path(), &arguments).run()
    };
    let said = |words: &[&str]| {
        let ended = run(words);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    run(&["bays", "dock", "hall-a/bay-1", "A.img"]).expect_error(2, &["looked for at the station `hall-a`", "whole path"]);
    let path = bench.file("A.img").display().to_string();
    assert!(said(&["bays", "dock", "hall-a/bay-1", &path]).contains("A, 1 MiB"));
    assert!(said(&["bays"]).contains("hall-a/bay-1"));
    let listed = said(&["bays", "stations"]);
    assert!(listed.lines().nth(1).unwrap().starts_with("hall-a"), "{listed}");
    run(&["bays", "dock", "hall-b/bay-1", &path]).expect_error(3, &["there is no station `hall-b`", "bays stations"]);
    said(&["bays", "undock", "hall-a/bay-1"]);
    run(&["bays", "undock", "hall-a/bay-1"]).expect_error(3, &["`bay-1` is empty"]);
}

/// A station that says whatever a test wants it to.
struct Liar<'service> {
    service: &'service Service,
    token: String,
    report: Value,
}

impl<'service> Liar<'service> {
    /// It is known to the service, with a drive in its bay.
    fn new(service: &'service Service, drive_id: &str) -> Self {
        let token = token_of(service, "liar");
        let drive = json!({ "path": "/dev/sda", "drive_id": drive_id, "size_bytes": MIB });
        let bay = json!({ "name": "bay-1", "isWatched": true, "drive": drive, "attachment": "1", "sequence": 1 });
        let report = json!({ "callVersion": 1, "version": "1", "stateId": "liar", "process": 1, "bays": [bay], "accounts": {},
            "rate": { "setBy": "configuration" }, "copies": {}, "done": {}, "service": "", "call": 1, "seen": 0, "waitSeconds": 0 });
        let mut liar = Liar { service, token, report };
        liar.report["service"] = liar.call().expect(200)["service"].clone();
        liar
    }

    fn call(&mut self) -> crate::support::service::Answer {
        self.report["call"] = (self.report["call"].as_u64().unwrap() + 1).into();
        self.service.call_as(&self.token, "POST", "/stations/v1/liar/call", self.report.clone())
    }

    /// Calls until the answer has something.
    fn until(&mut self, has: impl Fn(&Value) -> Option<Value>) -> Value {
        let end = std::time::Instant::now() + crate::support::wait::EVENT_TIMEOUT;
        loop {
            let orders = self.call().expect(200);
            if let Some(found) = has(&orders) {
                return found;
            }
            assert!(std::time::Instant::now() < end, "it did not come: {orders}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn a_station_is_not_believed_what_cannot_be() {
    let bench = Workbench::new();
    let service = Service::start(&bench, SERVICE);
    service.ship_import("job-1", &["A"]);
    let mut liar = Liar::new(&service, "A");
    let bay = liar.report["bays"][0].clone();
    liar.report["bays"] = json!(vec![bay.clone(); 300]);
    assert_eq!(liar.call().code(400), "StationReport");
    liar.report["bays"] = json!([bay]);
    let grant = liar.until(|orders| orders["grants"][0]["order"]["grant"].as_str().map(Value::from));
    let end = |bytes_sent: u64| {
        let nothing = TransferResult::not_begun(Outcome::CompleteWithUnreadable, Direction::Import, "imports/job-1/A.img");
        let result = TransferResult { bytes_total: MIB as u64, bytes_sent, ..nothing };
        json!({ "state": "ended", "result": result })
    };
    liar.report["copies"] = json!({ grant.as_str().unwrap(): end(u64::MAX) });
    assert_eq!(liar.call().code(400), "StationReport");
    assert_eq!(service.job("job-1")["properties"]["state"], "Transferring");
    liar.report["copies"] = json!({ grant.as_str().unwrap(): end(MIB as u64) });
    // The logs of the copy are asked for: the blob of another job is none of them.
    let other = service.blobs().join("imports/other.img");
    std::fs::create_dir_all(other.parent().unwrap()).unwrap();
    std::fs::write(&other, b"of another customer").unwrap();
    let task = liar.until(|orders| {
        orders["tasks"]
            .as_object()
            .unwrap()
            .iter()
            .find(|(_, task)| task["task"] == "putLogs")
            .map(|(id, _)| Value::from(id.as_str()))
    });
    let logs = json!({ "result": "logs", "addresses": { "error": "local/imports/other.img" } });
    liar.report["done"] = json!({ task.as_str().unwrap(): logs });
    liar.call().expect(200);
    service.stays("no log of the job is at another place", || {
        !service.operators_job("job-1").to_string().contains("imports/other.img")
    });
}
