//! A drive with very many unreadable places: the service keeps the first of them, and the error log has all.

use serde_json::json;

use crate::support::Workbench;
use crate::support::images::MIB;
use crate::support::service::Service;

const PLACES: u64 = 1200;

const CONFIG: &str = "
[transfer]
chunk_size = \"1MiB\"
on_unreadable = \"rescue\"
retry_passes = 0
[[bay]]
name = \"bay-1\"
";

#[test]
fn the_receipt_has_the_first_places_and_the_error_log_all() {
    let bench = Workbench::new();
    let service = Service::start(&bench, CONFIG);
    let mut profile = "size = \"16MiB\"\nserial = \"BAD\"\nseed = 3\nzero_share = 0.0\nrun_size = \"1MiB\"\n".to_owned();
    for place in 0..PLACES {
        profile += &format!("[[fault]]\nkind = \"unreadable\"\noffset = {}\nlength = 512\n", place * 8192);
    }
    let path = bench.image("BAD.toml", profile.as_bytes());
    service.ship_import("job-1", &["BAD"]);
    service.dock("bay-1", &path, None).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let log = service.wait("the error log", || {
        let uri = service.job("job-1")["properties"]["driveList"][0]["errorLogUri"].clone();
        uri.as_str().map(str::to_owned)
    });
    let receipts = service.receipts("job-1");
    let result = &receipts["drives"][0]["result"];
    assert_eq!((&result["outcome"], &result["bytes_total"]), (&json!("complete-with-unreadable"), &json!(16 * MIB)));
    assert_eq!((&result["bytes_unreadable"], &result["unreadable_ranges_total"]), (&json!(PLACES * 512), &json!(PLACES)));
    assert_eq!(result["unreadable"].as_array().unwrap().len(), 1000);
    assert!(result["note"].as_str().unwrap().contains(&log), "{}", result["note"]);
    let name = log.rsplit('/').next().unwrap();
    let text = std::fs::read_to_string(service.blobs().join("waimportexport/waies").join(name)).unwrap();
    assert_eq!(text.matches("Status=\"IOFailed\"").count() as u64, PLACES);
}
