//! After a delete the customer's account has nothing of the job but blobs that are whole.

use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::images::{MIB, files_below, random_bytes};
use crate::support::service::{Service, TWO_BAYS, import, job, parcel, shipping, slow_profile};

/// All files of the account, ascending.
#[test]
fn documents_and_unfinished_blobs_go_with_their_job() {
    let bench = Workbench::new();
    let service = Service::start(&bench, &TWO_BAYS.replace("1MiB", "256KiB"));
    let mut body = import(&["WHOLE", "SLOW"]);
    body["properties"]["logLevel"] = "Verbose".into();
    service.call("PUT", &job("job-1"), body).expect(201);
    service.patch("job-1", shipping()).expect(200);
    let bytes = random_bytes(MIB, 1);
    service.dock("bay-1", &bench.image("WHOLE.img", &bytes), None).expect(200);
    service.dock("bay-2", &slow_profile(&bench, "SLOW", "64MiB", "4MB/s"), None).expect(200);
    service.wait("one drive to be done, and bytes of the other to land", || {
        let drives = service.job("job-1")["properties"]["driveList"].clone();
        let has_landed = drives[1]["bytesSucceeded"].as_u64().is_some_and(|bytes| bytes > MIB as u64);
        (drives[0]["state"] == "Completed" && has_landed).then_some(())
    });
    service.patch("job-1", json!({ "cancelRequested": true })).expect(200);
    service.wait_for_state("job-1", "Packaging");
    service.order("job-1", "shipBack", parcel()).expect(200);
    let has = |text: &str| files_below(&service.blobs()).iter().any(|path| path.display().to_string().contains(text));
    let documents = ["job-1_receipts.json", "_error.xml", "_verbose.xml", ".partial"];
    service.wait("the documents", || documents.iter().all(|document| has(document)).then_some(()));
    service.call("DELETE", &job("job-1"), Value::Null).expect(200);
    let whole = service.blobs().join("imports/job-1/WHOLE.img");
    let manifest = service.blobs().join("imports/job-1/WHOLE.img.manifest.jsonl");
    service.wait("what is whole to be all that is left", || {
        (files_below(&service.blobs()) == [whole.clone(), manifest.clone()]).then_some(())
    });
    assert!(std::fs::read(&whole).unwrap() == bytes);
    assert!(!service.blobs().join("waimportexport/waies").exists(), "an empty folder is removed too");
}
