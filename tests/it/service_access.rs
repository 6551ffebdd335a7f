//! Who may ask a job service, from where, and what machines are told.

use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::agent::Agent;
use crate::support::images::{MIB, files_below, random_bytes};
use crate::support::service::{SUBSCRIPTION, Service, TWO_BAYS, export, import, job, shipping, slow_profile};

#[test]
fn customers_reach_what_is_theirs_and_nothing_else() {
    let bench = Workbench::new();
    let config = format!(
        "[[account]]\nname = \"local\"\nstore = \"{0}/a\"\n[[account]]\nname = \"acme\"\nstore = \"{0}/b\"\n\
         subscriptions = [\"elsewhere\"]\n{TWO_BAYS}",
        bench.path().display()
    );
    let service = Service::start(&bench, &config);
    let token = service.customer_token("customer");
    let call = |method: &str, path: &str, body: Value| service.call_as(&token, method, path, body);
    call("PUT", &job("mine"), import(&["A"])).expect(201);
    let mut elsewhere = import(&["B"]);
    elsewhere["properties"]["storageAccountId"] = "/subscriptions/elsewhere/x/local".into();
    assert_eq!(call("PUT", &job("elsewhere"), elsewhere).code(400), "StorageAccountNotFound", "it is another customer's");
    assert_eq!(call("PUT", &job("list"), json!(["This station", null, { "jobType": "Import" }])).code(400), "InvalidField");
    let mut foreign = import(&["B"]);
    foreign["properties"]["storageAccountId"] = "/subscriptions/s/x/acme".into();
    assert_eq!(call("PUT", &job("foreign"), foreign).code(400), "StorageAccountNotFound");
    assert_eq!(call("GET", &job("mine").replace(SUBSCRIPTION, "elsewhere"), Value::Null).code(403), "AuthorizationFailed");
    for path in ["/operator/v1/bays", "/operator/v1/audit", "/operator/v1/jobs", "/operator/v1/tokens", "/metrics"] {
        assert_eq!(call("GET", path, Value::Null).code(403), "AuthorizationFailed", "{path}");
    }
    assert_eq!(service.call_as("", "GET", &job("mine"), Value::Null).code(401), "AuthenticationFailed");
    assert_eq!(service.call_as("", "GET", "/healthz", Value::Null).status, 200);
    // A token that was revoked is not accepted.
    service.call("DELETE", "/operator/v1/tokens/customer", Value::Null).expect(200);
    assert_eq!(call("GET", &job("mine"), Value::Null).code(401), "AuthenticationFailed");
    // One that there is not is not revoked, and the audit log says nothing of it.
    assert_eq!(service.call("DELETE", "/operator/v1/tokens/customer", Value::Null).code(404), "ResourceNotFound");
    let audit = service.call("GET", "/operator/v1/audit?action=token", Value::Null).expect(200);
    let actions: Vec<&str> = audit["value"].as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(actions.iter().filter(|action| action.contains("customer")).count(), 2, "made and taken back once: {actions:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(service.state().join("operator.token")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

/// How often is counted by a clock of its own in `service::http::access`; here a client asks until it was too often.
#[test]
fn a_client_that_asks_too_often_has_to_wait_and_others_do_not() {
    let bench = Workbench::new();
    let service = Service::start(&bench, &format!("requests_per_second = 1\n{TWO_BAYS}"));
    let customer = service.customer_token("customer");
    let asked_too_often = |token: &str, path: &str, status: u16| {
        let answers = (0..10_000).map(|_| service.call_as(token, "GET", path, Value::Null));
        let last = answers.into_iter().find(|answer| answer.status != status).expect("a client is never told to wait");
        assert_eq!(last.code(429), "TooManyRequests");
    };
    asked_too_often(&service.token, "/operator/v1/bays", 200);
    assert_eq!(service.call_as(&customer, "GET", &job("none"), Value::Null).code(404), "ResourceNotFound");
    asked_too_often("guess", &job("none"), 401);
}

#[test]
fn it_does_not_listen_where_others_could_read_tokens() {
    let bench = Workbench::new();
    let refused = Agent::bare(bench.path(), &[&"serve", &"--listen", &"0.0.0.0:0"]).run();
    refused.expect_error(1, &["tokens can be read", "--allow-plaintext"]);
    let service = Service::start(&bench, "colour = \"blue\"\n[[bay]]\nname = \"bay-1\"\n");
    let second = Agent::bare(bench.path(), &[&"serve", &"--listen", &"127.0.0.1:0"]).run();
    second.expect_error(1, &["another service runs"]);
    let bad = bench.image("bad.toml", b"[[bay]]\nname = \"a/b\"\n");
    Agent::bare(bench.path(), &[&"serve", &"--config", &bad]).run().expect_error(1, &["a/b", "name of a bay"]);
    let mut service = service;
    let log = service.stop().stderr;
    assert!(log.contains("`colour` means nothing"), "{log}");
}

#[test]
fn it_speaks_tls() {
    let bench = Workbench::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let certificate = bench.image("cert.pem", made.cert.pem().as_bytes());
    let key = bench.secret("key.pem", made.signing_key.serialize_pem().as_bytes());
    let tls = format!("[tls]\ncertificates = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    let service = Service::start(&bench, &tls);
    assert!(service.url.starts_with("https://"), "{}", service.url);
    assert_eq!(service.call("GET", "/readyz", Value::Null).expect(200)["status"], "ready");
    let listed = Agent::new(bench.path(), &[&"jobs", &"list", &"--ca", &certificate]).run();
    assert_eq!(listed.expect(0), json!([]));
    let distrusted = Agent::new(bench.path(), &[&"jobs", &"list"]).run();
    distrusted.expect_error(1, &["cannot be reached"]);
}

#[test]
fn machines_are_told_what_goes_on() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let image = bench.image("A.img", &random_bytes(MIB, 1));
    service.ship_import("job-1", &["A"]);
    service.dock("bay-1", &image, None).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let text = service.call("GET", "/metrics", Value::Null).expect(200);
    for line in [
        "drive_agent_jobs{state=\"Packaging\"} 1",
        "drive_agent_bays{state=\"done\"} 1",
        "drive_agent_copies_total{direction=\"import\",outcome=\"complete\"} 1",
        "drive_agent_bytes_total{direction=\"import\"} 1048576",
        "drive_agent_attention 1",
    ] {
        assert!(text.as_str().unwrap().lines().any(|found| found == line), "`{line}` is not in {text}");
    }
    let document = service.call_as("", "GET", "/openapi.json", Value::Null).expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 20);
    for (path, item) in paths {
        // Every path of the document is served with every method that it names.
        let concrete = path.replace("{subscriptionId}", SUBSCRIPTION).replace("{resourceGroupName}", "group");
        let concrete = concrete.replace("{jobName}", "none").replace("{locationName}", "nowhere").replace(['{', '}'], "");
        for method in item.as_object().unwrap().keys().filter(|method| *method != "parameters") {
            if path.ends_with("/events") {
                continue;
            }
            let answer = service.call(&method.to_uppercase(), &format!("{concrete}?api-version=2021-01-01"), Value::Null);
            let code = answer.body["error"]["code"].as_str().unwrap_or_default();
            assert!(!["InvalidResourcePath", "MethodNotAllowed"].contains(&code), "{method} {path}: {}", answer.body);
        }
    }
}

#[test]
fn a_watcher_is_not_flooded() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let profile = slow_profile(&bench, "SLOW", "64MiB", "8MB/s");
    service.ship_import("job-1", &["SLOW"]);
    service.dock("bay-1", &profile, None).expect(200);
    service.wait_for_state("job-1", "Transferring");
    let watching = Agent::new(bench.path(), &[&"jobs", &"show", &"job-1", &"--watch", &"--resource-group", &"group"]);
    let watching = watching.env("DRIVE_AGENT_SUBSCRIPTION", SUBSCRIPTION).start();
    // What is counted is what comes in this time.
    std::thread::sleep(std::time::Duration::from_secs(3));
    watching.signal(rustix::process::Signal::INT);
    let told = watching.wait().stdout.lines().count();
    // Its bytes change all the time; one line in half a second is enough.
    assert!((2..=12).contains(&told), "{told} events in three seconds");
}

#[test]
fn nothing_that_is_left_out_makes_an_operators_token() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let make = |body: Value| service.call("POST", "/operator/v1/tokens", body);
    for body in [
        json!({ "name": "a" }),
        json!({ "name": "a", "subscriptions": [] }),
        json!({ "name": "a", "role": "customer" }),
        json!({ "name": "a", "role": "operator", "subscriptions": [SUBSCRIPTION] }),
    ] {
        let refused = make(body.clone());
        assert_eq!((refused.code(400), &refused.body["error"]["target"]), ("InvalidField", &json!("role")), "{body}");
    }
    make(json!({ "name": "a", "role": "Operator" })).code(400);
    let run = |words: &[&str]| Agent::new(bench.path(), &[&"tokens"]).with(words).run();
    run(&["create", "a"]).expect_error(2, &["--for", "--operator"]);
    assert_eq!(run(&["list"]).expect(0).as_array().unwrap().len(), 1, "none was made");
    run(&["create", "by-option", "--operator"]).expect(0);
    run(&["create", "of-one", "--for", SUBSCRIPTION]).expect(0);
    make(json!({ "name": "by-role", "role": "operator" })).expect(201);
    make(json!({ "name": "as-before", "subscriptions": [SUBSCRIPTION] })).expect(201);
    let list = run(&["list"]).expect(0);
    let roles: Vec<_> = list.as_array().unwrap().iter().map(|token| (token["name"].as_str(), token["role"].as_str())).collect();
    let role = |name, role| (Some(name), Some(role));
    let customers = [role("as-before", "customer"), role("of-one", "customer")];
    assert_eq!(
        roles,
        [customers[0], role("by-option", "operator"), role("by-role", "operator"), customers[1], role("operator", "operator")]
    );
}

#[test]
fn customers_are_not_told_paths_of_the_station() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let token = service.customer_token("customer");
    let place = service.blobs().display().to_string();
    // What the customer asks for cannot be read, for a reason of the station.
    std::fs::create_dir_all(service.blobs().join("data/folder")).unwrap();
    let list = |path: &str| {
        let mut body = export(&[], &[]);
        body["properties"]["export"] = json!({ "blobListBlobPath": path });
        body
    };
    for (name, body, status, words) in [
        ("folder", export(&["/data/folder"], &[]), 502, "the station could not use the storage account"),
        ("list-folder", list("/data/folder"), 502, "the station could not use the storage account"),
        ("list-absent", list("/data/absent"), 409, "the list of blobs `/data/absent` is not there"),
    ] {
        service.call("PUT", &job(name), body).expect(201);
        let ship = |token: &str| service.call_as(token, "PATCH", &job(name), json!({ "properties": shipping() }));
        let told = ship(&token).expect(status).to_string();
        assert!(told.contains(words) && !told.contains(&place), "{told}");
        let told = ship(&service.token).expect(status).to_string();
        assert_eq!(told.contains(&place), status == 502, "an operator has to know: {told}");
    }
    // The same of files in the portal.
    let drive = bench.image("MINE.img", &random_bytes(MIB, 1));
    service.ship_import("in", &["MINE"]);
    service.dock("bay-1", &drive, None).expect(200);
    service.wait_for_state("in", "Packaging");
    let manifests =
        files_below(&service.blobs()).into_iter().filter(|path| path.display().to_string().ends_with(".manifest.jsonl"));
    for manifest in manifests {
        std::fs::remove_file(&manifest).unwrap();
        std::fs::create_dir(&manifest).unwrap();
    }
    let file = format!("/portal/job/{SUBSCRIPTION}/group/in/drive/MINE/file/manifest.jsonl");
    let page = |token: &str| {
        let cookie = service.session_cookie(token);
        let page = service.try_call("", "GET", &file, Value::Null, &[("cookie", &cookie)]).unwrap();
        page.expect(502).as_str().unwrap().to_owned()
    };
    let (customers, operators) = (page(&token), page(&service.token));
    assert!(customers.contains("the station could not use the storage account") && !customers.contains(&place), "{customers}");
    assert!(operators.contains(&place), "{operators}");
}
