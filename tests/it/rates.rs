//! Rates that change while bytes are moved: of one command by a file, of a station by its week and its operators.

use serde_json::{Value, json};

use crate::support::images::{KIB, random_bytes, same_content};
use crate::support::service::Service;
use crate::support::{Agent, Workbench};

/// So slow that what is moved at it does not come to its end within a test.
const SLOW: &str = "64KiB/s";

fn bench() -> Workbench {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(32 * 1024 * KIB, 1));
    bench.image("rate", format!("{SLOW}\n").as_bytes());
    bench
}

fn import(bench: &Workbench) -> Agent {
    Agent::new(bench.path(), &[&"import", &"drive.img", &"copy.img", &"--chunk-size", &"64KiB", &"--rate-file", &"rate"])
}

#[test]
fn a_transfer_follows_its_file() {
    let bench = bench();
    let run = import(&bench).start();
    run.wait_for_chunks(2);
    bench.image("rate", b"fast");
    run.wait_for_words("`rate` has no rate, and the one before stays");
    std::fs::remove_file(bench.file("rate")).unwrap();
    run.wait_for_words("No such file");
    bench.image("rate", b"2MiB/s");
    run.wait_for_words("at most 2MiB/s from now on");
    bench.image("rate", b"unlimited\n");
    run.wait_for_words("without a limit from now on");
    let ended = run.wait();
    ended.expect(0);
    assert_eq!(ended.stderr.matches("fast").count(), 1, "told once: {}", ended.stderr);
    assert!(same_content(&bench.file("drive.img"), &bench.file("copy.img")));
}

#[test]
fn exports_and_verifications_follow_it_too() {
    let bench = bench();
    Agent::new(bench.path(), &[&"import", &"drive.img", &"copy.img", &"--chunk-size", &"64KiB"]).run().expect(0);
    for arguments in [["export", "copy.img", "back.img"], ["verify", "copy.img.manifest.jsonl", "--blob=copy.img"]] {
        bench.image("rate", SLOW.as_bytes());
        let run = Agent::bare(bench.path(), &[])
            .with(&arguments)
            .with(&["--rate-file", "rate", "--progress", "json", "--output", "json"])
            .start();
        run.wait_for_words("\"type\":\"progress\"");
        bench.image("rate", b"unlimited");
        run.wait().expect(0);
    }
}

#[test]
fn a_file_without_a_rate_is_refused_at_the_beginning() {
    let bench = bench();
    let refused = |words: &str| import(&bench).run().expect_error(2, &["`--rate-file rate`", words]);
    bench.image("rate", b"0");
    refused("zero");
    bench.image("rate", b"fast");
    refused("`fast`");
    bench.image("rate", b"\n");
    refused("it is empty");
    bench.image("rate", &[b'9'; 5000]);
    refused("longer than any rate");
    bench.image("rate", &[0xff, 0xfe]);
    refused("UTF-8");
    std::fs::remove_file(bench.file("rate")).unwrap();
    refused("No such file");
    std::fs::create_dir(bench.file("rate")).unwrap();
    refused("it is not a file");
    std::fs::remove_dir(bench.file("rate")).unwrap();
    // It would be waited for.
    assert!(std::process::Command::new("mkfifo").arg(bench.file("rate")).status().unwrap().success());
    refused("it is not a file");
    import(&bench).with(&["--rate", "1MB/s"]).run().expect_error(2, &["--rate"]);
    assert!(!bench.file("copy.img").exists());
}

#[test]
fn an_operators_rate_counts_at_once_and_after_a_restart() {
    let bench = Workbench::new();
    bench.image("SLOW1.img", &random_bytes(32 * 1024 * KIB, 1));
    // At any time of any day.
    let schedule = format!("[[budget.schedule]]\nfrom = \"00:00\"\nto = \"24:00\"\nrate = \"{SLOW}\"\n");
    let config = format!("{schedule}[transfer]\nchunk_size = \"64KiB\"\n[[bay]]\nname = \"one\"\n");
    let mut service = Service::start(&bench, &config);
    let rate = |service: &Service| service.call("GET", "/operator/v1/rate", Value::Null).expect(200);
    let set = |service: &Service, rate: &str| service.call("POST", "/operator/v1/rate", json!({ "rate": rate }));
    assert_eq!(rate(&service), json!({ "bytesPerSecond": 64 * KIB, "setBy": "schedule" }));
    service.ship_import("job", &["SLOW1"]);
    service.dock("one", &bench.file("SLOW1.img"), None).expect(200);
    service.wait_for_state("job", "Transferring");
    for bad in ["", "0", "fast", "-5MB/s"] {
        let refused = set(&service, bad);
        assert!(refused.status == 400 || refused.status == 409, "{bad}: {}", refused.status);
    }
    assert_eq!(set(&service, "128KiB/s").expect(200), json!({ "bytesPerSecond": 128 * KIB, "setBy": "operator" }));
    service.stop();
    service.go();
    assert_eq!(rate(&service), json!({ "bytesPerSecond": 128 * KIB, "setBy": "operator" }));
    // Five minutes at that rate: without a limit it ends.
    assert_eq!(set(&service, "unlimited").expect(200), json!({ "setBy": "operator" }));
    service.wait_for_state("job", "Packaging");
    let shown = Agent::new(bench.path(), &[&"bays", &"rate", &"schedule"]).run().expect(0);
    assert_eq!(shown, json!({ "bytesPerSecond": 64 * KIB, "setBy": "schedule" }));
    let text = Agent::bare(bench.path(), &[&"bays", &"rate"]).run();
    assert_eq!(text.stdout, "at most 64KiB/s for all copies of a host together, by the schedule\n");
    let audit = service.call("GET", "/operator/v1/audit?action=rate", Value::Null).expect(200).to_string();
    for order in ["128KiB/s", "unlimited", "schedule"] {
        assert!(audit.contains(&format!("set the rate of all copies to {order}")), "{audit}");
    }
}

#[test]
fn a_rate_that_an_earlier_version_kept_in_a_file_still_counts() {
    let bench = Workbench::new();
    let config = "[[bay]]\nname = \"one\"\n";
    let mut service = Service::start(&bench, config);
    let rate = |service: &Service| service.call("GET", "/operator/v1/rate", Value::Null).expect(200);
    assert_eq!(rate(&service)["setBy"], "configuration");
    service.stop();
    let file = service.state().join("rate");
    std::fs::write(&file, "5MB/s\n").unwrap();
    for _ in 0..2 {
        service.go();
        assert_eq!(rate(&service), json!({ "bytesPerSecond": 5_000_000, "setBy": "operator" }));
        assert!(!file.exists());
        service.stop();
    }
    // An order that was taken back is not brought back by a file, such as the one of another host that decides later.
    service.go();
    service.call("POST", "/operator/v1/rate", json!({ "rate": "schedule" })).expect(200);
    service.stop();
    std::fs::write(&file, "5MB/s\n").unwrap();
    service.go();
    assert_eq!(rate(&service)["setBy"], "configuration");
}

#[test]
fn the_portal_shows_the_rate_and_sets_it() {
    let bench = Workbench::new();
    let service = Service::start(&bench, "[budget]\nrate = \"200MB/s\"\n[[bay]]\nname = \"one\"\n");
    let cookie = service.session_cookie(&service.token);
    let page = |path: &str| {
        let answer = service.try_call("", "GET", path, Value::Null, &[("cookie", &cookie)]).unwrap();
        answer.expect(200).as_str().unwrap().to_owned()
    };
    assert!(page("/portal/bays").contains("at most 200MB/s for all copies of a host together, by the configuration"));
    let form = page("/portal/rate");
    let csrf = form.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let send = |csrf: &str, rate: &str| {
        let body = format!("csrf={csrf}&rate={rate}");
        service.status_of("POST", "/portal/rate", &body, &[("cookie", &cookie)]).0
    };
    assert_eq!((send(&csrf, "fast"), send("other", "5MB/s")), (200, 403));
    assert!(page("/portal/bays").contains("200MB/s"));
    assert_eq!(send(&csrf, "5MB/s"), 303);
    assert!(page("/portal/bays").contains("at most 5MB/s for all copies of a host together, by an operator"));
}
