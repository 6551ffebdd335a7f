//! Whatever a service or a store answers has an end, and leads a token to no other host.

use serde_json::{Value, json};

use crate::support::listener::{Listener, OF_STORE, Reply};
use crate::support::service::{Service, TWO_BAYS, export, job, shipping};
use crate::support::{Agent, Workbench};

/// A service that answers like this.
fn hostile(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Workbench, Listener) {
    (Workbench::new(), Listener::start(answer))
}

#[test]
fn answers_of_a_service_have_an_end() {
    for (status, code, words) in [(200, 1, "is longer than"), (500, 1, "the job service answered 500"), (403, 1, "answered 403")]
    {
        let (bench, listener) = hostile(move |_| Reply::endless(status));
        let ask = |arguments: &[&str]| {
            let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> =
                arguments.iter().map(|one| one as &dyn AsRef<std::ffi::OsStr>).collect();
            Agent::bare(bench.path(), &arguments)
                .env("DRIVE_AGENT_TOKEN", "dat_x")
                .env("DRIVE_AGENT_SERVER", &listener.url())
                .run()
        };
        for arguments in [&["jobs", "list"][..], &["jobs", "show", "x"], &["bays"], &["bays", "audit"], &["tokens", "list"]] {
            ask(arguments).expect_error(code, &[words]);
        }
        if status == 200 {
            ask(&["jobs", "show", "x", "--watch"]).expect_error(1, &["without an end"]);
        }
    }
}

#[test]
fn pages_of_a_service_have_an_end_and_lead_to_no_other_host() {
    let other = Listener::start(|_| Reply::of(200, "", "{\"value\":[]}"));
    let target = other.url();
    let (bench, listener) = hostile(move |head| match head.contains("second") {
        true => Reply::of(200, "", "{\"value\":[]}"),
        false => Reply::of(200, "", &format!("{{\"value\":[],\"nextLink\":\"{target}/secrets?page=second\"}}")),
    });
    let run = |listener: &Listener, arguments: &[&str]| {
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> =
            arguments.iter().map(|one| one as &dyn AsRef<std::ffi::OsStr>).collect();
        let agent = Agent::new(bench.path(), &arguments).env("DRIVE_AGENT_TOKEN", "dat_x");
        agent.with(&["--server", &listener.url()]).run()
    };
    for arguments in [&["jobs", "list"][..], &["jobs", "list", "--all"], &["bays", "attention"], &["bays", "audit"]] {
        assert_eq!(run(&listener, arguments).expect(0), json!([]));
    }
    assert_eq!(other.heads(), Vec::<String>::new(), "the link was followed to another host");
    assert!(listener.heads().iter().all(|head| !head.contains("/secrets")), "the path of the link was taken");
    let looping = Listener::start(|_| Reply::of(200, "", "{\"value\":[],\"nextLink\":\"http://127.0.0.1/x?page=same\"}"));
    for arguments in [&["jobs", "list"][..], &["bays", "attention"], &["bays", "audit"]] {
        run(&looping, arguments).expect_error(1, &["list has no end"]);
    }
    let redirecting = {
        let target = other.url();
        Listener::start(move |_| Reply::of(307, &format!("location: {target}/x\r\n"), ""))
    };
    run(&redirecting, &["jobs", "list"]).expect_error(1, &["answered 307"]);
    assert_eq!(other.heads(), Vec::<String>::new(), "the redirect was followed");
}

#[test]
fn lists_of_a_store_have_an_end() {
    let bench = Workbench::new();
    // The same page again and again; pages that never end, but for the time of the test; an answer and an error without end.
    let page = |marker: &str| {
        format!("<?xml version=\"1.0\"?><EnumerationResults><Containers/><NextMarker>{marker}</NextMarker></EnumerationResults>")
    };
    let same = Listener::start(move |_| Reply::of(200, OF_STORE, &page("again")));
    let long = Listener::start(|_| Reply::endless(200));
    let error = Listener::start(|_| Reply::endless(403));
    for (listener, words) in [(&same, "no end"), (&long, "longer than"), (&error, "403")] {
        let config = format!("[[account]]\nname = \"local\"\nstore = \"{}/acme?sig=x\"\n{TWO_BAYS}", listener.url());
        let mut service = Service::start(&bench, &config);
        service.call("PUT", &job("all"), export(&[], &["/"])).expect(201);
        let answer = service.patch("all", shipping());
        assert_eq!(answer.code(502), "OrderFailed");
        assert!(answer.body.to_string().contains(words), "{}", answer.body);
        service.call("DELETE", &job("all"), Value::Null);
        service.stop();
    }
    assert!(same.heads().len() <= 4, "it was asked for the same page {} times", same.heads().len());
}

#[test]
fn a_password_in_the_address_of_a_service_is_neither_sent_nor_shown() {
    let bench = Workbench::new();
    for server in
        ["https://user:S3CRET@station.example", "http://S3CRET@127.0.0.1:9", "https://S3CRET@[", "http://127.0.0.1:9?S3CRET"]
    {
        let list = Agent::new(bench.path(), &[&"jobs", &"list", &"--server", &server]).env("DRIVE_AGENT_TOKEN", "dat_x").run();
        list.expect_error(2, &["the address of the service cannot be used"]);
        assert!(!list.stderr.contains("S3CRET"), "{}", list.stderr);
    }
}
