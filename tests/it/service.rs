//! The job service through its own program: jobs from their creation to their end, staff and customers.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::agent::Agent;
use crate::support::images::{MIB, files_below, random_bytes};
use crate::support::service::{KEY, SUBSCRIPTION, Service, TWO_BAYS, export, import, job, parcel, shipping};

/// Every file below a folder.
#[test]
fn an_import_goes_from_its_creation_to_its_end_and_leaves_nothing() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let bytes = random_bytes(5 * MIB + 512, 3);
    let image = bench.image("WD-4711.img", &bytes);
    let mut body = import(&["WD-4711"]);
    body["properties"]["logLevel"] = "Verbose".into();
    body["properties"]["backupDriveManifest"] = true.into();
    body["properties"]["diagnosticsPath"] = "logs/mine".into();
    service.call("PUT", &job("job-1"), body).expect(201);
    service.dock("bay-1", &image, None).expect(200);
    service.wait("a word that the job was not shipped", || {
        let list = service.call("GET", "/operator/v1/attention", Value::Null).expect(200);
        (list["value"][0]["kind"] == "job-not-shipped").then_some(())
    });
    service.patch("job-1", shipping()).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let done = service.wait("the logs", || {
        let drive = service.job("job-1")["properties"]["driveList"][0].clone();
        drive["manifestUri"].is_string().then_some(drive)
    });
    assert_eq!(
        (&done["state"], &done["percentComplete"], &done["bytesSucceeded"]),
        (&json!("Completed"), &json!(100), &json!(bytes.len()))
    );
    assert_eq!(done["copyStatus"], "Completed");
    assert!(done["errorLogUri"].is_null(), "there was no error: {done}");
    let blob = service.blobs().join("imports/job-1/WD-4711.img");
    assert_eq!(std::fs::read(&blob).unwrap(), bytes);
    let log_of = |uri: &str| {
        let uri = done[uri].as_str().unwrap();
        assert!(uri.starts_with("local/logs/mine/waies/job-1_WD-4711_"), "a customer sees no path of the station: {uri}");
        std::fs::read_to_string(service.blobs().join(uri.strip_prefix("local/").unwrap())).unwrap()
    };
    let verbose = log_of("verboseLogUri");
    assert_eq!(verbose.matches("Status=\"Completed\"/>").count(), 6, "{verbose}");
    assert_eq!(log_of("manifestUri"), std::fs::read_to_string(blob.with_extension("img.manifest.jsonl")).unwrap());
    let receipts = service.receipts("job-1");
    let stored = service.wait("the receipts", || std::fs::read(service.blobs().join("logs/mine/waies/job-1_receipts.json")).ok());
    assert_eq!(serde_json::from_slice::<Value>(&stored).unwrap(), receipts);
    assert!(!receipts.to_string().contains(bench.path().to_str().unwrap()), "{receipts}");

    let uid = service.operators_job("job-1")["uid"].as_str().unwrap().to_owned();
    assert_eq!(service.call("DELETE", &job("job-1"), Value::Null).code(409), "JobStateConflict");
    service.order("job-1", "shipBack", parcel()).expect(200);
    let over = service.job("job-1");
    assert_eq!(
        (&over["properties"]["state"], &over["properties"]["driveList"][0]["state"]),
        (&json!("Completed"), &json!("ShippedBack"))
    );
    assert_eq!(over["properties"]["returnPackage"]["driveCount"], 1);
    service.undock("bay-1");
    service.call("DELETE", &job("job-1"), Value::Null).expect(200);
    assert_eq!(service.call("GET", &job("job-1"), Value::Null).status, 404);
    service.wait("the journals to go", || (!service.state().join("transfers").join(&uid).exists()).then_some(()));
    // What the customer wrote is in no file of the service but the customer's own blobs.
    let is_kept = |path: &&PathBuf| path.is_file() && !path.starts_with(service.blobs());
    for path in files_below(&service.state()).iter().filter(is_kept) {
        let content = std::fs::read(path).unwrap();
        for word in ["Greta", "Sesame", "greta@example.com", "0221 4711", "TRACK-4711", "BACK-1", "WD-4711", KEY] {
            let has_it = content.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!has_it, "`{word}` is left in {}", path.display());
        }
    }
    let audit = service.call("GET", &format!("/operator/v1/audit?job={uid}"), Value::Null).expect(200);
    let actions: Vec<&str> = audit["value"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(
        (actions[0], *actions.last().unwrap()),
        ("deleted a job", "created a job"),
        "who did what outlives the job: {actions:?}"
    );
}

#[test]
fn an_export_writes_blobs_onto_empty_drives() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let folder = service.blobs().join("vms");
    std::fs::create_dir_all(&folder).unwrap();
    let (large, small) = (random_bytes(9 * MIB, 1), random_bytes(2 * MIB, 2));
    std::fs::write(folder.join("large.img"), &large).unwrap();
    std::fs::write(folder.join("small.img"), &small).unwrap();
    service.call("PUT", &job("out"), export(&["/vms/large.img"], &["/vms/"])).expect(201);
    let mut ship = shipping();
    ship["deliveryPackage"]["driveCount"] = 1.into();
    service.patch("out", ship).expect(200);
    service.wait("a word that an empty drive is needed", || {
        let list = service.call("GET", "/operator/v1/attention", Value::Null).expect(200);
        (list["value"][0]["kind"] == "needs-empty-drive").then_some(())
    });
    let used = bench.image("USED.img", &random_bytes(4 * MIB, 9));
    let empty = bench.image("EMPTY.img", &vec![0; 4 * MIB]);
    service.dock("bay-1", &used, None).expect(200);
    let refused = service.order("out", "checkIn", json!({ "bay": "bay-1" }));
    assert_eq!(refused.code(409), "OrderRefused");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("not empty"), "{}", refused.body);
    assert_eq!(service.order("out", "checkIn", json!({ "driveId": "X" })).code(409), "OrderRefused");
    service.dock("bay-2", &empty, None).expect(200);
    service.order("out", "checkIn", json!({ "bay": "bay-2" })).expect(200);
    service.wait_for_state("out", "Packaging");
    // The large one does not fit: the next one that does was taken.
    assert_eq!(std::fs::read(&empty).unwrap(), [small, vec![0; 2 * MIB]].concat(), "the rest is zeros");
    let job = service.wait("the list of what was not exported", || {
        let job = service.job("out");
        job["properties"]["incompleteBlobListUri"].is_string().then_some(job)
    });
    let list = std::fs::read_to_string(service.blobs().join("waimportexport/waies/out_incomplete.xml")).unwrap();
    assert!(list.contains("<BlobPath>vms/large.img</BlobPath>") && !list.contains("small"), "{list}");
    assert_eq!(job["properties"]["driveList"][0]["driveId"], "EMPTY");
    assert_eq!(std::fs::read(&used).unwrap(), random_bytes(4 * MIB, 9), "the drive that was refused is untouched");
}

#[test]
fn a_job_waits_for_its_drives_until_it_times_out() {
    let bench = Workbench::new();
    let offset = bench.image("offset", b"0");
    let service = Service::start(&bench, &format!("clock_offset_file = \"{}\"\n{TWO_BAYS}", offset.display()));
    let days = |days: u32| std::fs::write(&offset, (days * 86_400).to_string()).unwrap();
    service.ship_import("two", &["A", "B"]);
    let image = bench.image("A.img", &random_bytes(MIB, 1));
    service.dock("bay-1", &image, None).expect(200);
    service.wait("the drive to be checked in", || {
        (service.job("two")["properties"]["driveList"][0]["state"] == "Received").then_some(())
    });
    assert_eq!(service.job("two")["properties"]["state"], "Shipping", "the other drive is missing");
    days(15);
    service.wait_for_state("two", "Packaging");
    assert_eq!(service.job("two")["properties"]["driveList"][1]["state"], "NeverReceived");
    service.order("two", "shipBack", parcel()).expect(200);
    assert_eq!(service.job("two")["properties"]["state"], "Closed", "a drive was missing");
    // Silent for thirty days: Closed. Untouched for fourteen: gone. Closed for ninety: gone.
    service.call("PUT", &job("young"), import(&["C"])).expect(201);
    service.ship_import("silent", &["D"]);
    days(15 + 31);
    service.wait_for_state("silent", "Closed");
    service.wait("the untouched job to go", || (service.call("GET", &job("young"), Value::Null).status == 404).then_some(()));
    days(15 + 91);
    service.wait("the closed job to go", || (service.call("GET", &job("two"), Value::Null).status == 404).then_some(()));
    assert_eq!(service.job("silent")["properties"]["state"], "Closed", "that one has another month");
}

#[test]
fn one_blob_that_is_not_there_does_not_hold_up_an_export() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    std::fs::create_dir_all(service.blobs().join("vms")).unwrap();
    std::fs::write(service.blobs().join("vms/a.img"), random_bytes(MIB, 1)).unwrap();
    assert_eq!(service.call("PUT", &job("dots"), export(&["/vms/../a"], &[])).code(400), "InvalidField");
    service.call("PUT", &job("out"), export(&["/no/such", "/vms/a.img"], &[])).expect(201);
    // It is there when the drives travel, and gone when they come.
    std::fs::create_dir_all(service.blobs().join("no")).unwrap();
    std::fs::write(service.blobs().join("no/such"), random_bytes(MIB, 2)).unwrap();
    service.patch("out", shipping()).expect(200);
    std::fs::remove_file(service.blobs().join("no/such")).unwrap();
    let empty = bench.image("EMPTY.img", &vec![0; 2 * MIB]);
    service.dock("bay-1", &empty, None).expect(200);
    service.order("out", "checkIn", json!({ "bay": "bay-1" })).expect(200);
    service.wait_for_state("out", "Packaging");
    let list = service
        .wait("the list", || std::fs::read_to_string(service.blobs().join("waimportexport/waies/out_incomplete.xml")).ok());
    assert!(list.contains("no/such") && !list.contains("a.img"), "{list}");
}

#[test]
fn jobs_of_one_account_do_not_share_a_name() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    service.call("PUT", &job("name"), import(&["A"])).expect(201);
    service.call("PUT", &job("name"), import(&["B"])).expect(200);
    let other = job("name").replace("resourceGroups/group", "resourceGroups/other");
    assert_eq!(service.call("PUT", &other, import(&["C"])).code(409), "JobNameTaken", "their blobs would be the same");
    let mut body = import(&["D"]);
    for path in ["UPPER", "a/../b", "ab", "logs//x"] {
        body["properties"]["diagnosticsPath"] = path.into();
        assert_eq!(service.call("PUT", &job("path"), body.clone()).code(400), "InvalidField", "{path}");
    }
}

#[test]
fn staff_and_customers_work_from_the_command_line() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let run = |arguments: &[&str]| {
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = arguments.iter().map(|argument| argument as _).collect();
        let agent = Agent::new(bench.path(), &arguments);
        agent.env("DRIVE_AGENT_SUBSCRIPTION", SUBSCRIPTION).env("DRIVE_AGENT_RESOURCE_GROUP", "group").run()
    };
    bench.image("address.json", crate::support::service::address().to_string().as_bytes());
    bench.image("D1.img", &random_bytes(MIB, 1));
    run(&["jobs", "create", "one", "--kind", "import", "--account", "local", "--drive", "D1"]).expect(0);
    run(&["jobs", "create", "two", "--kind", "import", "--account", "unheard-of", "--drive", "D1"])
        .expect_error(2, &["unheard-of"]);
    run(&["jobs", "create", "two", "--kind", "import", "--account", "local"]).expect_error(2, &["drive list"]);
    run(&["jobs", "create", "two"]).expect_error(2, &["--kind", "--account"]);
    run(&["jobs", "ship", "one", "--carrier", "c", "--tracking", "t"]).expect_error(2, &["--return-address FILE"]);
    run(&["jobs", "ship", "one", "--carrier", "c", "--tracking", "t", "--return-address", "address.json"]).expect(0);
    run(&["jobs", "delete", "one"]).expect_error(3, &["Shipping", "it can be cancelled"]);
    let watching = Agent::new(bench.path(), &[&"jobs", &"show", &"one", &"--watch", &"--resource-group", &"group"]);
    let watching = watching.env("DRIVE_AGENT_SUBSCRIPTION", SUBSCRIPTION).start();
    // The first state is there before the next can come.
    watching.wait_for_result();
    run(&["bays", "dock", "bay-1", "D1.img"]).expect(0);
    service.wait_for_state("one", "Packaging");
    assert_eq!(run(&["bays"]).expect(0)[0]["state"], "done");
    run(&["jobs", "ship-back", "one", "--carrier", "c", "--tracking", "t"]).expect(0);
    let watched = watching.wait();
    assert_eq!(watched.code, Some(0), "{}", watched.stderr);
    let states: Vec<String> = watched
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["properties"]["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        (states.first().map(String::as_str), states.last().map(String::as_str)),
        (Some("Shipping"), Some("Completed")),
        "{states:?}"
    );
    assert_eq!(run(&["jobs", "receipts", "one"]).expect(0)["drives"][0]["result"]["outcome"], "complete");
    assert_eq!(run(&["jobs", "list", "--filter", "state eq 'Completed'"]).expect(0).as_array().unwrap().len(), 1);
    run(&["jobs", "keys", "one"]).expect(0);
    run(&["jobs", "delete", "one"]).expect(0);
    for command in ["show", "cancel", "delete", "keys", "receipts"] {
        let said = &["there is no job `one` in the resource group `group`", "drive-agent jobs list --subscription"];
        run(&["jobs", command, "one"]).expect_error(1, said);
    }
    for command in ["start", "pause", "resume", "retry", "undo-give-up", "release"] {
        run(&["jobs", command, "x/y/none", "--drive", "D1"])
            .expect_error(1, &["there is no job `none` in the resource group `y`", "drive-agent jobs list --subscription x"]);
    }
    run(&["jobs", "show", "one", "--watch"]).expect_error(1, &["there is no job `one`", "drive-agent jobs list"]);
    run(&["jobs", "list", "--subscription", "x"]).expect(0);
    let made = run(&["tokens", "create", "customer", "--for", "s-1"]).expect(0);
    let asked = Agent::new(bench.path(), &[&"jobs", &"list"]).env("DRIVE_AGENT_TOKEN", made["token"].as_str().unwrap()).run();
    asked.expect_error(1, &["may not use the subscription"]);
    run(&["tokens", "create", "customer", "--for", "s-1"]).expect_error(3, &["already"]);
    assert_eq!(run(&["tokens", "list"]).expect(0).as_array().unwrap().len(), 2);
    run(&["tokens", "revoke", "customer"]).expect(0);
    run(&["tokens", "revoke", "operator"]).expect_error(3, &["last operator"]);
    run(&["bays", "--watch", "attention"]).expect_error(2, &["--watch"]);
    run(&["bays", "undock", "bay-2"]).expect_error(3, &["empty"]);
    let unreachable = Agent::new(bench.path(), &[&"jobs", &"list", &"--server", &"http://127.0.0.1:1"]);
    unreachable.env("DRIVE_AGENT_TOKEN", &service.token).run().expect_error(1, &["cannot be reached", "drive-agent serve"]);
}
