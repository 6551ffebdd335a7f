//! A job service whose account is a project of Google Cloud Storage: drives, logs and receipts.

use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::gcs_fake::GcsFake;
use crate::support::images::{MIB, random_bytes};
use crate::support::service::{Service, TWO_BAYS, export, import, job, parcel, shipping};

/// The lines of a configuration that make the fake its account, with credentials of its own.
fn account(fake: &GcsFake, bench: &Workbench) -> String {
    let lines = fake.variables().map(|(name, value)| format!("{name}={value}\n")).concat();
    let credentials = bench.secret("gcs.credentials", lines.as_bytes());
    format!("[[account]]\nname = \"local\"\nstore = \"gs://\"\ncredentials = \"{}\"\n", credentials.display())
}

#[test]
fn jobs_go_to_and_from_gcs_with_their_documents() {
    let (fake, bench) = (GcsFake::start(), Workbench::new());
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
    // Where other hosts may get the drive, a journal is kept there until the end is noted.
    let is_all = || fake.names("@imports/") == ["@imports/job-1/WD-4711.img", "@imports/job-1/WD-4711.img.manifest.jsonl"];
    service.wait("nothing else to be there", || is_all().then_some(()));
    assert!(fake.object("@imports/job-1/WD-4711.img").unwrap() == bytes);
    assert_eq!(service.receipts("job-1")["drives"][0]["result"]["evidence"], json!("transport"));
    let receipts = service.wait("the receipts", || fake.object("@logs/mine/waies/job-1_receipts.json"));
    assert_eq!(serde_json::from_slice::<Value>(&receipts).unwrap(), service.receipts("job-1"));
    let log = done["verboseLogUri"].as_str().unwrap().strip_prefix(&format!("gs+{}/logs/", fake.endpoint())).unwrap();
    assert!(fake.object(&format!("@logs/{log}")).is_some(), "{log}: {:?}", fake.names("@logs/"));

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
