//! The service with its jobs at a PostgreSQL server.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use service::testing::PostgresServer;
use tokio::runtime::Runtime;

use crate::support::images::{MIB, partials_of, random_bytes};
use crate::support::parts::part;
use crate::support::service::{Service, TWO_BAYS, import, job, parcel, shipping, slow_profile};
use crate::support::{Agent, Workbench};

/// A server of its own, and the first line of a configuration that names a new database there.
fn server() -> Option<(PostgresServer, String)> {
    let server = part(PostgresServer::start(), "PostgreSQL")?;
    let address = Runtime::new().unwrap().block_on(server.new_database());
    Some((server, format!("database = \"{address}\"\n")))
}

/// Files below a folder that have the password in them.
fn files_with_password(folder: &Path) -> String {
    let found = Command::new("grep").args(["-rl", PostgresServer::password()]).arg(folder).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}

#[test]
fn a_job_goes_its_way_while_service_and_server_are_killed() {
    let Some((server, database)) = server() else { return };
    let bench = Workbench::new();
    let config = format!("{database}{}", TWO_BAYS.replace("1MiB", "256KiB"));
    let mut service = Service::start(&bench, &config);
    assert!(!service.state().join("jobs.db").exists(), "jobs are at the server");
    service.call("PUT", &job("job-1"), import(&["WHOLE", "SLOW"])).expect(201);
    service.patch("job-1", shipping()).expect(200);
    let bytes = random_bytes(MIB, 1);
    service.dock("bay-1", &bench.image("WHOLE.img", &bytes), None).expect(200);
    let slow = slow_profile(&bench, "SLOW", "24MiB", "4MB/s");
    service.dock("bay-2", &slow, None).expect(200);
    let bytes_landed = |service: &Service| {
        let drives = service.job("job-1")["properties"]["driveList"].clone();
        drives[1]["bytesSucceeded"].as_u64().filter(|bytes| *bytes > MIB as u64)
    };
    service.wait("bytes of the slow drive to land", || bytes_landed(&service));
    // The service is killed: it resumes what it did.
    service.kill();
    service.go();
    service.wait_for_state("job-1", "Transferring");
    // The server is killed: requests are told so, and the service waits for it.
    server.kill();
    let answer = service.call("GET", &job("job-1"), Value::Null);
    assert_eq!(answer.code(503), "ServiceUnavailable");
    assert_eq!(service.status_of("GET", "/healthz", "", &[]).0, 200);
    assert_eq!(service.status_of("GET", "/readyz", "", &[]).0, 503);
    server.go();
    service.wait("the service to be ready again", || (service.status_of("GET", "/readyz", "", &[]).0 == 200).then_some(()));
    // Both at once.
    server.kill();
    service.kill();
    server.go();
    service.go();
    service.wait_for_state("job-1", "Packaging");
    let receipts = service.receipts("job-1");
    let sent: u64 =
        receipts["drives"].as_array().unwrap().iter().map(|drive| drive["result"]["bytes_total"].as_u64().unwrap()).sum();
    assert_eq!(sent, 25 * MIB as u64, "{receipts}");
    let blob = service.blobs().join("imports/job-1/WHOLE.img");
    assert!(std::fs::read(&blob).unwrap() == bytes && partials_of(&blob).is_empty());
    service.order("job-1", "shipBack", parcel()).expect(200);
    service.wait_for_state("job-1", "Completed");
    service.call("DELETE", &job("job-1"), Value::Null).expect(200);
    service.call("GET", &job("job-1"), Value::Null).expect(404);
    let log = service.stop();
    assert_eq!(log.code, Some(0), "{}", log.stderr);
    assert!(!log.stderr.contains(PostgresServer::password()), "{}", log.stderr);
    assert_eq!(files_with_password(&service.state()), "");
}

#[test]
fn nothing_that_a_customer_wrote_is_in_the_files_of_the_server() {
    let Some((server, database)) = server() else { return };
    let address = database.split('"').nth(1).unwrap().to_owned();
    let bench = Workbench::new();
    let service = Service::start(&bench, &format!("{database}{TWO_BAYS}"));
    let mut body = import(&["SERIAL-77"]);
    body["tags"] = json!({ "owner": "TAG-77" });
    body["properties"]["logLevel"] = "Verbose".into();
    service.call("PUT", &job("NAME-77"), body).expect(201);
    let mut package = shipping();
    package["properties"]["deliveryPackage"]["trackingNumber"] = "TRACKING-77".into();
    service.patch("NAME-77", package).expect(200);
    service.dock("bay-1", &bench.image("SERIAL-77.img", &random_bytes(MIB, 1)), None).expect(200);
    service.wait_for_state("NAME-77", "Packaging");
    service.order("NAME-77", "shipBack", parcel()).expect(200);
    service.wait_for_state("NAME-77", "Completed");
    let runtime = Runtime::new().unwrap();
    let has = |folder: &str, text: &str| {
        runtime.block_on(server.checkpoint());
        !server.files_with(folder, text.as_bytes()).is_empty()
    };
    assert!(has("base", "NAME-77") && has("pg_wal", "NAME-77"), "the test sees what is there");
    let job_as_told = service.job("NAME-77");
    let address_of_customer = &job_as_told["properties"]["returnAddress"];
    let written = ["recipientName", "streetAddress1", "phone", "email"].map(|field| address_of_customer[field].as_str().unwrap());
    for text in written.into_iter().chain(["SERIAL-77", "TAG-77", "TRACKING-77"]) {
        assert!(!has("", text), "`{text}`");
    }
    assert_eq!(runtime.block_on(server.count(&address, "job_seal")), 1);
    service.call("DELETE", &job("NAME-77"), Value::Null).expect(200);
    service.wait("the key of the job to go", || {
        (runtime.block_on(server.count(&address, "job_seal")) == 0 && runtime.block_on(server.count(&address, "effect")) == 0)
            .then_some(())
    });
}

#[test]
fn a_database_opens_with_its_own_key_file_alone() {
    let Some((_server, database)) = server() else { return };
    let bench = Workbench::new();
    let mut service = Service::start(&bench, &database);
    let elsewhere = Workbench::new();
    let config = elsewhere.secret("station.toml", database.as_bytes());
    let serve = || Agent::bare(elsewhere.path(), &[&"serve", &"--config", &config, &"--listen", &"127.0.0.1:0", &"-vvv"]);
    let key = elsewhere.file("state/drive-agent/vault.key");
    let second = serve().run();
    second.expect_error(1, &["vault.key` is gone", "--new-vault-key"]);
    assert!(!second.stderr.contains(PostgresServer::password()), "{}", second.stderr);
    assert!(!key.exists());
    elsewhere.secret("state/drive-agent/vault.key", "77".repeat(32).as_bytes());
    serve().run().expect_error(1, &["sealed with another key file", "--new-vault-key"]);
    // What customers wrote is not given up for a word on the command line.
    service.call("PUT", &job("job-1"), import(&["DISK-1"])).expect(201);
    let new_key = || Agent::bare(elsewhere.path(), &[&"serve", &"--config", &config, &"--new-vault-key"]).run();
    new_key().expect_error(1, &["another service uses this database"]);
    service.stop();
    new_key().expect_error(1, &["its jobs are sealed with the key file that it had", "put the right one there"]);
    let other = serve().run();
    other.expect_error(1, &["sealed with another key file", "put the right one there"]);
    assert!(!other.stderr.contains("--new-vault-key"), "{}", other.stderr);
    std::fs::remove_file(&key).unwrap();
    serve().run().expect_error(1, &["all jobs are sealed with it", "Nothing else opens them"]);
    let check = Agent::bare(elsewhere.path(), &[&"serve", &"--config", &config, &"--check"]).run();
    check.expect_error(1, &["is not there: copy the `vault.key` of another service"]);
    service.go();
    assert_eq!(service.bays().len(), 2, "the first one serves on");
    std::fs::copy(service.state().join("vault.key"), &key).unwrap();
    service.stop();
    let running = serve().start();
    running.wait_for_words("serving on");
    running.signal(rustix::process::Signal::TERM);
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_check_says_what_cannot_be_used_and_changes_nothing() {
    let bench = Workbench::new();
    let check = |text: &str| {
        let config = bench.secret("station.toml", text.as_bytes());
        Agent::bare(bench.path(), &[&"serve", &"--config", &config, &"--check"]).run()
    };
    let fine = check("[[account]]\nname = \"local\"\nstore = \"/tmp\"\n");
    assert_eq!(fine.code, Some(0), "{}", fine.stderr);
    assert!(fine.stderr.contains("the account `local`: can be used"), "{}", fine.stderr);
    assert!(!bench.file("state/drive-agent").exists());
    std::fs::create_dir_all(bench.file("state/drive-agent")).unwrap();
    let key = bench.secret("state/drive-agent/vault.key", b"no key");
    check("").expect_error(1, &["`vault.key`: ", "does not hold 64 hexadecimal digits"]);
    std::fs::remove_file(key).unwrap();
    let away = "database = \"postgres://me:pass-77@127.0.0.1:1/jobs\"\n[[account]]\nname = \"there\"\nstore = \"http://127.0.0.1:1/there?sv=1&sig=S3CRET\"\n[transfer]\nretry_budget = \"1s\"\n";
    let ended = check(away);
    ended.expect_error(1, &["the database `postgres://", "the account `there`", "cannot be used"]);
    assert!(!ended.stderr.contains("pass-77") && !ended.stderr.contains("S3CRET"), "{}", ended.stderr);
    check("listen = \"0.0.0.0:7070\"\n").expect_error(1, &["station.toml`: ", "is reached by others", "--allow-plaintext"]);
    let Some((_server, database)) = server() else { return };
    let ended = check(&database);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let short = format!("{database}\nstation_lease = \"10s\"\n[[bay]]\nname = \"bay-1\"\n");
    check(&short).expect_error(1, &["station.toml`: ", "lower `drain_timeout`"]);
}

#[test]
fn the_password_of_a_database_is_not_told() {
    let bench = Workbench::new();
    let refused = |text: &str, words: &[&str]| {
        let config = bench.secret("station.toml", text.as_bytes());
        let ended = Agent::bare(bench.path(), &[&"serve", &"--config", &config, &"-vvv"]).run();
        ended.expect_error(1, words);
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("pass-77"), "{}", ended.stderr);
    };
    // Nothing listens there.
    refused("database = \"postgres://me:pass-77@127.0.0.1:1/jobs\"", &["@127.0.0.1:1/jobs", "refused"]);
    refused("database = \"postgres://me:pass-77@db.example/jobs?sslmode=require\"", &["sslmode=verify-full"]);
    refused("database = \"postgres://me:pass-77@db.example\"", &["names no database"]);
    refused("database = \"mysql://me:pass-77@db.example/jobs\"", &["postgres://"]);
    refused("state_dir = 5\ndatabase = \"postgres://me:pass-77@db.example/jobs\"", &["line 1"]);
    refused("[transfer]\nverify = \"postgres://me:pass-77@db.example/jobs\"", &["is not shown"]);
    refused("[[bay]]\nname = \"postgres://me:pass-77@db.example/jobs\"", &["is not shown"]);
    let Some((server, database)) = server() else { return };
    refused(&database.replace(PostgresServer::password(), "pass-77"), &["password authentication failed"]);
    let log = server.log();
    assert!(!log.contains("pass-77"), "{log}");
}
