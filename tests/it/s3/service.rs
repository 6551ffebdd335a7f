//! A job service whose account is one of S3: drives, logs and receipts.

use serde_json::{Value, json};

use crate::support::images::{MIB, random_bytes};
use crate::support::s3_fake::{On, S3Fake};
use crate::support::service::{Service, TWO_BAYS, export, import, job, parcel, shipping};
use crate::support::{Agent, Workbench};

/// The lines of a configuration that make the fake its account, with credentials of its own.
fn account(fake: &S3Fake, bench: &Workbench) -> String {
    let lines = fake.variables().map(|(name, value)| format!("{name}={value}\n")).concat();
    let credentials = bench.secret("s3.credentials", lines.as_bytes());
    format!("[[account]]\nname = \"local\"\nstore = \"s3://\"\ncredentials = \"{}\"\n", credentials.display())
}

#[test]
fn jobs_go_to_and_from_s3_with_their_documents() {
    let (fake, bench) = (S3Fake::start(), Workbench::new());
    let service = Service::start(&bench, &format!("{TWO_BAYS}{}", account(&fake, &bench)));
    let bytes = random_bytes(11 * MIB + 512, 3);
    let image = bench.image("WD-4711.img", &bytes);
    let mut body = import(&["WD-4711"]);
    body["properties"]["logLevel"] = "Verbose".into();
    body["properties"]["backupDriveManifest"] = true.into();
    body["properties"]["diagnosticsPath"] = "logs/mine".into();
    service.call("PUT", &job("job-1"), body).expect(201);
    service.patch("job-1", shipping()).expect(200);
    service.dock("bay-1", &image, None).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let done = service.wait("the logs", || {
        let drive = service.job("job-1")["properties"]["driveList"][0].clone();
        drive["manifestUri"].is_string().then_some(drive)
    });
    assert_eq!((&done["state"], &done["bytesSucceeded"]), (&json!("Completed"), &json!(bytes.len())));
    assert_eq!(fake.keys("@imports/"), ["@imports/job-1/WD-4711.img", "@imports/job-1/WD-4711.img.manifest.jsonl"]);
    assert!(fake.object("@imports/job-1/WD-4711.img").unwrap() == bytes);
    let result = service.receipts("job-1")["drives"][0]["result"].clone();
    assert_eq!((&result["evidence"], &result["chunk_size"]), (&json!("transport"), &json!(5 * MIB)));
    let receipts = service.wait("the receipts", || fake.object("@logs/mine/waies/job-1_receipts.json"));
    assert_eq!(serde_json::from_slice::<Value>(&receipts).unwrap(), service.receipts("job-1"));
    let log = done["verboseLogUri"].as_str().unwrap().strip_prefix(&format!("s3+{}/logs/", fake.endpoint())).unwrap();
    assert!(fake.object(&format!("@logs/{log}")).is_some(), "{log}: {:?}", fake.keys("@logs/"));

    // What was imported is exported: onto a drive of the same size.
    service.order("job-1", "shipBack", parcel()).expect(200);
    service.undock("bay-1");
    service.call("PUT", &job("job-2"), export(&["/imports/job-1/WD-4711.img"], &[])).expect(201);
    service.patch("job-2", shipping()).expect(200);
    let target = bench.image("SPARE.img", &vec![0; bytes.len()]);
    service.dock("bay-2", &target, None).expect(200);
    service.order("job-2", "checkIn", json!({ "bay": "bay-2" })).expect(200);
    service.wait_for_state("job-2", "Packaging");
    assert!(std::fs::read(&target).unwrap() == bytes);
}

#[test]
fn pieces_go_where_the_account_says() {
    let (fake, bench) = (S3Fake::start(), Workbench::new());
    fake.add_bucket("scratch");
    let staging = "staging = \"s3://scratch/pieces\"\n";
    let config = format!("{TWO_BAYS}{}{staging}", account(&fake, &bench));
    let path = bench.file("check.toml");
    std::fs::write(&path, &config).unwrap();
    let check = || Agent::new(bench.path(), &[&"serve", &"--config", &path, &"--check"]).run();
    assert_eq!(check().code, Some(0), "{}", check().stderr);
    std::fs::write(&path, config.replace("scratch", "missing")).unwrap();
    let missing = check();
    assert!(
        missing.code != Some(0) && missing.stderr.contains("`staging`") && missing.stderr.contains("NoSuchBucket"),
        "{}",
        missing.stderr
    );
    let service = Service::start(&bench, &config);
    let bytes = random_bytes(21 * MIB, 3);
    let image = bench.image("WD-4711.img", &bytes);
    // A part of a whole drive, and nothing of its manifest or logs.
    fake.set_put_delay(std::time::Duration::from_millis(300));
    service.call("PUT", &job("job-1"), import(&["WD-4711"])).expect(201);
    service.patch("job-1", shipping()).expect(200);
    service.dock("bay-1", &image, None).expect(200);
    fake.wait_seen(On::PutPart, 2);
    let marked = fake.keys("@scratch/pieces/imports/job-1/WD-4711.img.part/");
    assert_eq!(marked.len(), 1, "{:?}", fake.keys(""));
    service.wait_for_state("job-1", "Packaging");
    assert!(fake.object("@imports/job-1/WD-4711.img").unwrap() == bytes);
    assert!(fake.keys("@scratch/").is_empty(), "{:?}", fake.keys("@scratch/"));
}
