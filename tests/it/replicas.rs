//! Several services on one database: one decides, the others send on what they are asked and take over.

use rustix::process::Signal;
use serde_json::{Value, json};
use service::testing::PostgresServer;
use tokio::runtime::Runtime;

use crate::support::images::{MIB, random_bytes};
use crate::support::parts::part;
use crate::support::service::{Service, import, job, shipping, slow_profile};
use crate::support::station::Station;
use crate::support::wait::wait_until;
use crate::support::{Agent, Ended, Workbench};

/// A short lease of copies, and one account for all of them.
fn config(bench: &Workbench) -> Option<String> {
    let server = part(PostgresServer::shared(), "PostgreSQL")?;
    let database = Runtime::new().unwrap().block_on(server.new_database());
    let blobs = bench.file("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let account = format!("[[account]]\nname = \"local\"\nstore = \"{}\"\n", blobs.display());
    let bays = "[[bay]]\nname = \"bay-1\"\n[transfer]\nchunk_size = \"256KiB\"\ndrain_timeout = \"1s\"\n";
    Some(format!("database = \"{database}\"\nstation_lease = \"12s\"\n{bays}{account}"))
}

/// A station's part of the same.
fn station_config(config: &str) -> String {
    config.lines().filter(|line| !line.starts_with("database")).map(|line| format!("{line}\n")).collect()
}

/// Another service of the same database, with the key file and the token of the first.
fn replica(first: &Service, bench: &Workbench, config: &str) -> Service {
    Service::start_beside(first, bench, config, 0)
}

fn wait_until_it_decides(service: &Service) {
    service.wait("the service to decide", || {
        let answer = service.try_call(&service.token, "GET", "/readyz", Value::Null, &[]);
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    });
}

/// Whether no thread of the process runs any more: until then it may still answer what others send on.
fn has_stopped(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let state = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
    threads.flatten().all(|thread| state(thread).rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')))
}

#[test]
fn a_service_that_stands_by_answers_like_the_one_that_decides_and_takes_over() {
    let (bench, other_bench) = (Workbench::new(), Workbench::new());
    let Some(config) = config(&bench) else { return };
    let mut first = Service::start(&bench, &config);
    first.call("PUT", &job("job-1"), import(&["A"])).expect(201);
    let mut second = replica(&first, &other_bench, &config);
    let words = format!("{} decides, and gets what is asked here", first.url);
    second.running().wait_for_words(&words);
    for path in [job("job-1"), "/operator/v1/bays".to_owned(), "/readyz".to_owned(), "/openapi.json".to_owned()] {
        let (one, two) = (first.call("GET", &path, Value::Null), second.call("GET", &path, Value::Null));
        assert_eq!((one.status, one.body), (two.status, two.body), "{path}");
    }
    assert_eq!(second.call_as("wrong", "GET", &job("job-1"), Value::Null).status, 401);
    second.patch("job-1", shipping()).expect(200);
    second.call("POST", "/operator/v1/rate", json!({ "rate": "5MB/s" })).expect(200);
    assert_eq!(first.job("job-1")["properties"]["state"], "Shipping");
    // A session that was opened at one of them is known to the other.
    let cookie = second.session_cookie(&second.token);
    let page = |service: &Service| service.try_call("", "GET", "/portal/jobs", Value::Null, &[("cookie", &cookie)]).unwrap();
    assert!(page(&first).status == 200 && page(&second).status == 200);
    first.kill();
    for path in ["/livez", "/healthz"] {
        assert_eq!(second.status_of("GET", path, "", &[]).0, 200, "{path}: it lives, whatever the other one does");
    }
    wait_until_it_decides(&second);
    assert_eq!(second.job("job-1")["properties"]["state"], "Shipping");
    assert_eq!(page(&second).status, 200);
    let rate = second.call("GET", "/operator/v1/rate", Value::Null).expect(200);
    assert_eq!(rate, json!({ "bytesPerSecond": 5_000_000, "setBy": "operator" }), "an order outlives the service that took it");
    // The one that was killed stands by now.
    first.go();
    first.running().wait_for_words("standing by on");
    assert_eq!(first.job("job-1"), second.job("job-1"));
    let ended = second.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    wait_until_it_decides(&first);
    first.patch("job-1", json!({ "cancelRequested": true })).expect(200);
}

#[test]
fn a_service_without_bays_of_its_own_needs_no_time_for_the_stops_of_copies() {
    let bench = Workbench::new();
    let Some(config) = config(&bench) else { return };
    let config = config.replace("[[bay]]\nname = \"bay-1\"\n", "").replace("drain_timeout = \"1s\"\n", "");
    let service = Service::start(&bench, &format!("bay = []\n{config}"));
    service.stays("it decides", || service.call("GET", "/readyz", Value::Null).status == 200);
}

#[test]
fn a_copy_at_a_station_goes_on_while_services_are_killed() {
    let (bench, other_bench) = (Workbench::new(), Workbench::new());
    let Some(config) = config(&bench) else { return };
    // Longer than it takes until another service decides.
    let config = config.replace("12s", "60s");
    let mut first = Service::start(&bench, &config);
    let second = replica(&first, &other_bench, &config);
    // It calls the one that stands by.
    let mut station = Station::start(&second, &bench, "hall-a", &station_config(&config));
    second.ship_import("job-1", &["SLOW"]);
    second.dock("hall-a%2Fbay-1", &slow_profile(&bench, "SLOW", "32MiB", "2MB/s"), None).expect(200);
    let landed = |service: &Service| {
        let answer = service.try_call(&service.token, "GET", &job("job-1"), Value::Null, &[]).ok()?;
        answer.body["properties"]["driveList"][0]["bytesSucceeded"].as_u64().filter(|bytes| *bytes > 0)
    };
    second.wait("bytes to land", || landed(&second));
    first.kill();
    wait_until_it_decides(&second);
    let before = second.wait("bytes to land", || landed(&second));
    assert!(before < 32 * MIB as u64, "the copy is under way");
    second.wait_for_state("job-1", "Packaging");
    let result = second.receipts("job-1")["drives"][0]["result"].clone();
    let moved = |name: &str| result[name].as_u64().unwrap();
    assert_eq!((moved("bytes_sent"), moved("bytes_reused")), (32 * MIB as u64, 0), "one run moved all of it: {result}");
    let ended = station.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn what_a_lost_service_copied_in_its_own_bay_is_told_by_the_one_that_takes_over() {
    let (bench, other_bench) = (Workbench::new(), Workbench::new());
    let Some(config) = config(&bench) else { return };
    let mut first = Service::start(&bench, &config);
    let second = replica(&first, &other_bench, &config);
    first.ship_import("job-1", &["SLOW"]);
    first.dock("bay-1", &slow_profile(&bench, "SLOW", "64MiB", "2MB/s"), None).expect(200);
    first.wait("bytes to land", || first.bytes_landed("job-1").filter(|bytes| *bytes > 8 * MIB as u64));
    first.kill();
    wait_until_it_decides(&second);
    second.patch("job-1", json!({ "cancelRequested": true })).expect(200);
    second.wait_for_state("job-1", "Packaging");
    second.expect_receipt_that_denies_nothing("job-1", 64 * MIB as u64);
}

#[test]
fn a_service_that_slept_changes_nothing_any_more() {
    let (bench, other_bench) = (Workbench::new(), Workbench::new());
    let Some(config) = config(&bench) else { return };
    let mut first = Service::start(&bench, &config);
    let second = replica(&first, &other_bench, &config);
    first.ship_import("job-1", &["SLOW"]);
    let drive = slow_profile(&bench, "SLOW", "64MiB", "1MB/s");
    first.dock("bay-1", &drive, None).expect(200);
    first.wait("bytes to land", || first.bytes_landed("job-1").filter(|bytes| *bytes > 0));
    first.running().signal(Signal::STOP);
    wait_until("every thread of the service to have stopped", || has_stopped(first.id()));
    wait_until_it_decides(&second);
    // The drive was carried over; the copy of the other service may still run, and is waited for.
    second.dock("bay-1", &drive, None).expect(200);
    second.stays("nothing is begun of the drive", || second.bays()[0]["state"] != "copying");
    first.running().signal(Signal::CONT);
    let ended: Ended = first.wait_for_end();
    ended.expect_error(1, &["another service decides about the jobs of this database now"]);
    second.patch("job-1", json!({ "cancelRequested": true })).expect(200);
    second.wait_for_state("job-1", "Packaging");
    let receipts = second.receipts("job-1");
    assert_eq!(receipts["drives"].as_array().unwrap().len(), 1, "{receipts}");
}

#[test]
fn a_service_that_slept_writes_no_old_receipts_over_new_ones() {
    let (bench, other_bench) = (Workbench::new(), Workbench::new());
    let Some(config) = config(&bench) else { return };
    let mut first = Service::start(&bench, &config);
    first.stop();
    first.go_with(&[("DRIVE_AGENT_STOP", "document-made")]);
    let second = replica(&first, &other_bench, &config);
    let _station = Station::start(&second, &other_bench, "hall", &station_config(&config));
    second.ship_import("job-1", &["BAD"]);
    let text = "size = \"1MiB\"\nserial = \"BAD\"\n[[fault]]\nkind = \"unreadable\"\noffset = \"512KiB\"\nlength = \"4KiB\"\n";
    second.dock("hall%2Fbay-1", &other_bench.image("BAD.toml", text.as_bytes()), None).expect(200);
    second.wait_for_attention("copy-held");
    // Its receipts, of a copy that was ended, are made when the service falls asleep.
    std::thread::scope(|scope| {
        scope.spawn(|| second.order("job-1", "giveUp", json!({ "driveId": "BAD" })));
        first.running().wait_until_stopped();
    });
    wait_until_it_decides(&second);
    let retry = || second.order("job-1", "retry", json!({ "driveId": "BAD", "rescue": true }));
    second.wait("the copy to be allowed again", || (retry().status == 200).then_some(()));
    let published = bench.file("blobs/waimportexport/waies/job-1_receipts.json");
    let outcome = || {
        let text = std::fs::read_to_string(&published).ok()?;
        let receipts: Value = serde_json::from_str(&text).unwrap();
        receipts["drives"][0]["result"]["outcome"].as_str().map(str::to_owned)
    };
    second.wait("its receipts", || (outcome()? == "complete-with-unreadable").then_some(()));
    first.running().signal(Signal::CONT);
    first.wait_for_end().expect_error(1, &["another service decides about the jobs of this database now"]);
    assert_eq!(outcome().unwrap(), "complete-with-unreadable");
}

#[test]
fn a_small_drive_goes_through_whichever_service_is_asked() {
    let (bench, other_bench) = (Workbench::new(), Workbench::new());
    let Some(config) = config(&bench) else { return };
    let mut first = Service::start(&bench, &config);
    let second = replica(&first, &other_bench, &config);
    second.ship_import("job-1", &["ONE"]);
    let bytes = random_bytes(MIB, 5);
    second.dock("bay-1", &bench.image("ONE.img", &bytes), None).expect(200);
    second.wait_for_state("job-1", "Packaging");
    assert!(std::fs::read(bench.file("blobs/imports/job-1/ONE.img")).unwrap() == bytes);
    // Without a service that decides, a request says what to do.
    let lonely = Workbench::new();
    let token = lonely.secret("token", second.token.as_bytes());
    first.running().signal(Signal::STOP);
    first.running().signal(Signal::KILL);
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 7] =
        [&"jobs", &"show", &"job-1", &"--server", &second.url, &"--token-file", &token];
    let ended = Agent::bare(lonely.path(), &arguments).run();
    assert!(ended.code == Some(0) || ended.stderr.contains("another one takes over in a moment"), "{}", ended.stderr);
}
