//! What one client can take of a job service: connections, bodies, jobs, entries of the audit log.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::agent::Agent;
use crate::support::hostile::{Attack, Hostile};
use crate::support::service::{SUBSCRIPTION, Service, TWO_BAYS, import, job, shipping};

#[test]
fn hostile_connections_keep_no_other_client_out() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let make = |name: &str| {
        let made = service.call("POST", "/operator/v1/tokens", json!({ "name": name, "subscriptions": [SUBSCRIPTION] }));
        made.expect(201)["token"].as_str().unwrap().to_owned()
    };
    let (customer, hostile) = (make("customer"), make("hostile"));
    service.call_as(&customer, "PUT", &job("job-1"), import(&["A"])).expect(201);
    let address = service.url.trim_start_matches("http://").to_owned();
    for kind in Hostile::ALL {
        let attack = Attack::begin(&address, kind.bytes(&hostile, &job("job-1")));
        service.wait(&format!("the attack {kind:?}"), || attack.is_under_way().then_some(()));
        for _ in 0..10 {
            // Each with a connection of its own.
            for (token, path) in
                [("", "/healthz".to_owned()), (&service.token, "/operator/v1/bays".to_owned()), (&customer, job("job-1"))]
            {
                let answer = service.try_call(token, "GET", &path, Value::Null, &[("connection", "close")]);
                let answer = answer.unwrap_or_else(|error| panic!("{kind:?} kept {path} out: {error:?}"));
                assert_eq!(answer.status, 200, "{kind:?}: {path}: {}", answer.body);
            }
        }
    }
}

#[test]
fn an_answer_that_is_not_read_ends_its_connection() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    // Until nothing more fits on the way.
    let requests = Hostile::NeverReads.bytes("", "");
    while stream.write_all(&requests).is_ok() {}
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    service.wait("the end of the connection", || {
        // One more byte says whether the other side is still there.
        match stream.try_clone().unwrap().write(b"x") {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => Some(()),
            _ => None,
        }
    });
}

#[test]
fn bodies_and_their_problems_are_bounded() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let mut body = import(&["A"]);
    body["properties"]["jobType"] = "Export".into();
    body["properties"]["driveList"] = Value::Null;
    body["properties"]["export"] = json!({ "blobList": { "blobPath": vec![""; 300_000] } });
    let answer = service.call("PUT", &job("wrong"), body);
    let details = answer.body["error"]["details"].as_array().map_or(0, Vec::len);
    assert_eq!((answer.status, details), (400, 50), "the first fifty problems: {}", answer.body.to_string().len());
    let mut long = import(&["A"]);
    long["properties"]["encryptionKey"] = json!({ "kekType": "CustomerManaged", "kekUrl": "x".repeat(2000) });
    let answer = service.call("PUT", &job("long"), long);
    assert_eq!((answer.code(400), &answer.body["error"]["target"]), ("InvalidField", &json!("properties.encryptionKey.kekUrl")));
    let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: 99000000\r\n\r\n",
        job("huge"),
        service.token
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 413"), "it is refused before the body comes: {answer}");
}

#[test]
fn names_cannot_forge_rows_or_break_links() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let path = |group: &str| job("job-1").replace("/group/", &format!("/{group}/"));
    assert_ne!(path("x"), job("job-1"));
    for group in ["a%0Ab", "a%2Fb", "%E2%80%AEevil", "dot.", "a%20b", &"g".repeat(91), "a%3Fb"] {
        let answer = service.call("PUT", &path(group), import(&["A"]));
        assert_eq!((answer.code(400), &answer.body["error"]["target"]), ("InvalidField", &json!("resourceGroupName")), "{group}");
    }
    for group in ["(a)-b_c.d", "Gru%CC%88ppe".replace("u%CC%88", "%C3%BC").as_str(), &"g".repeat(90)] {
        service.call("PUT", &path(group), import(&["A"])).expect(201);
        service.call("DELETE", &path(group), Value::Null).expect(200);
    }
    let mut tagged = import(&["A"]);
    tagged["tags"] = json!({ "a": "\u{202e}evil" });
    assert_eq!(service.call("PUT", &job("job-1"), tagged).code(400), "InvalidField");
    // What is there already is shown as what it is.
    let mut bidi = import(&["A"]);
    bidi["properties"]["returnAddress"] = Value::Null;
    bidi["properties"]["diagnosticsPath"] = json!("logs/a\u{9b}31m");
    assert_eq!(service.call("PUT", &job("job-1"), bidi).code(400), "InvalidField");
}

#[test]
fn a_subscription_has_no_more_jobs_than_it_may_have() {
    let bench = Workbench::new();
    let service = Service::start(&bench, &format!("jobs_per_subscription = 2\n{TWO_BAYS}"));
    service.call("PUT", &job("job-1"), import(&["A"])).expect(201);
    service.call("PUT", &job("job-2"), import(&["B"])).expect(201);
    let refused = service.call("PUT", &job("job-3"), import(&["C"]));
    assert_eq!(refused.code(409), "QuotaExceeded", "{}", refused.body);
    service.call("PUT", &job("job-2"), import(&["D"])).expect(200);
    service.call("PUT", &job("job-4").replace(SUBSCRIPTION, "another"), import(&["C"])).expect(201);
    service.call("DELETE", &job("job-1"), Value::Null).expect(200);
    service.wait("room for one more", || {
        let answer = service.call("PUT", &job("job-3"), import(&["C"]));
        (answer.status == 201).then_some(())
    });
}

#[test]
fn lists_of_operators_go_on_where_their_links_lead() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    for number in 0..3 {
        service.call("PUT", &job(&format!("job-{number}")), import(&[&format!("D{number}")])).expect(201);
        service.patch(&format!("job-{number}"), shipping()).expect(200);
        service.patch(&format!("job-{number}"), json!({ "cancelRequested": true })).expect(200);
    }
    for list in ["/operator/v1/attention", "/operator/v1/jobs", "/operator/v1/audit"] {
        let whole = service.call("GET", list, Value::Null).expect(200)["value"].as_array().unwrap().clone();
        let (mut path, mut pages) = (format!("{list}?$top=1"), Vec::new());
        loop {
            let page = service.call("GET", &path, Value::Null).expect(200);
            pages.extend(page["value"].as_array().unwrap().clone());
            let Some(next) = page["nextLink"].as_str() else { break };
            path = next.strip_prefix(&service.url).unwrap().to_owned();
        }
        assert!(whole.len() >= 3 && pages.len() == whole.len(), "{list}: {} of {}", pages.len(), whole.len());
    }
}

#[test]
fn the_audit_log_is_read_in_pages_and_cannot_be_flooded_out_of_sight() {
    let bench = Workbench::new();
    let service = Service::start(&bench, &format!("requests_per_second = 10000\n{TWO_BAYS}"));
    let reader = service.customer_token("reader");
    service.call_as(&reader, "PUT", &job("job-1"), import(&["A"])).expect(201);
    let keys = job("job-1").replace("?", "/listBitLockerKeys?");
    let statuses: Vec<u16> = (0..150).map(|_| service.call_as(&reader, "POST", &keys, Value::Null).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 100, "{statuses:?}");
    assert!(statuses.ends_with(&[429]), "{statuses:?}");
    // Page by page, and nothing twice.
    let mut path = "/operator/v1/audit?actor=reader&$top=40".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = service.call("GET", &path, Value::Null).expect(200);
        let entries = page["value"].as_array().unwrap().clone();
        assert!(entries.len() <= 40 && entries.iter().all(|entry| entry["actor"] == "reader"), "{page}");
        seen.extend(entries);
        let Some(next) = page["nextLink"].as_str() else { break };
        path = next.strip_prefix(&service.url).unwrap().to_owned();
    }
    assert_eq!(seen.len(), 101, "a job that was put, and a hundred reads");
    let audit = |arguments: &[&str]| {
        let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"bays", &"audit"];
        all.extend(arguments.iter().map(|argument| argument as &dyn AsRef<std::ffi::OsStr>));
        Agent::new(bench.path(), &all).run().expect(0)
    };
    assert_eq!(audit(&["--action", "made the token", "--actor", "station"]).as_array().map(Vec::len), Some(0));
    assert_eq!(audit(&["--action", "MADE the token reader"]).as_array().map(Vec::len), Some(1), "it is not out of sight");
    assert_eq!(audit(&["--limit", "7"]).as_array().map(Vec::len), Some(7));
    assert_eq!(audit(&["--until", "2020-01-01T00:00:00Z"]), json!([]));
    let refused = Agent::new(bench.path(), &[&"bays", &"audit", &"--since", &"yesterday"]).run();
    refused.expect_error(2, &["`since`"]);
}
