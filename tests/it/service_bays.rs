//! Drives in the bays of a job service: whose they are, and their copies, paused, resumed, held and failed.

use serde_json::{Value, json};

use crate::support::images::{MIB, random_bytes};
use crate::support::service::{Service, TWO_BAYS, job, parcel, slow_profile};
use crate::support::{Agent, Workbench};

#[test]
fn a_drive_that_two_jobs_name_is_checked_in_by_a_person() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, TWO_BAYS);
    service.ship_import("mine", &["SAME"]);
    service.ship_import("theirs", &["same"]);
    let image = bench.image("SAME.img", &random_bytes(MIB, 1));
    service.dock("bay-1", &image, None).expect(200);
    service.wait("a word", || {
        let list = service.call("GET", "/operator/v1/attention", Value::Null).expect(200);
        (list["value"][0]["kind"] == "ambiguous-drive").then_some(())
    });
    assert_eq!(service.job("mine")["properties"]["state"], "Shipping");
    service.order("mine", "checkIn", json!({ "bay": "bay-1" })).expect(200);
    service.wait_for_state("mine", "Packaging");
    assert!(service.blobs().join("imports/mine/SAME.img").exists() && !service.blobs().join("imports/theirs").exists());
    // Done, and still in its bay: it is not taken for the other job's, whatever that job does, also after a restart.
    service.order("mine", "shipBack", parcel()).expect(200);
    service.call("DELETE", &job("mine"), Value::Null).expect(200);
    service.stop();
    service.go();
    service.wait("the note that it was done for another job", || {
        service.bays()[0]["note"].as_str().is_some_and(|note| note.contains("done for another job")).then_some(())
    });
    service.stays("the drive was taken for another job's", || service.job("theirs")["properties"]["state"] == "Shipping");
    let note = service.bays()[0]["note"].clone();
    assert!(note.as_str().unwrap().contains("done for another job"), "{note}");
    // Taken out and docked again it belongs to the job that was shipped.
    service.undock("bay-1");
    service.wait("the bay to be empty", || (service.bays()[0]["state"] == "empty").then_some(()));
    service.dock("bay-1", &image, None).expect(200);
    service.wait_for_state("theirs", "Packaging");
}

#[test]
fn two_bays_with_one_name_wait_for_a_person() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let (one, other) = (bench.image("one.img", &random_bytes(MIB, 1)), bench.image("other.img", &random_bytes(MIB, 2)));
    service.dock("bay-1", &one, Some("0123456789ABCDEF")).expect(200);
    service.dock("bay-2", &other, Some("0123456789ABCDEF")).expect(200);
    service.ship_import("job-1", &["0123456789ABCDEF"]);
    service.wait("a word", || {
        let list = service.call("GET", "/operator/v1/attention", Value::Null).expect(200);
        (list["value"][0]["kind"] == "ambiguous-drive").then_some(())
    });
    assert_eq!(service.job("job-1")["properties"]["state"], "Shipping");
    service.undock("bay-2");
    service.wait_for_state("job-1", "Packaging");
    assert_eq!(std::fs::read(service.blobs().join("imports/job-1/0123456789ABCDEF.img")).unwrap(), random_bytes(MIB, 1));
}

#[test]
fn both_serial_numbers_are_shown_and_weak_ones_marked() {
    let bench = Workbench::new();
    let list = bench.image("weak.txt", b"# ours\nOUR-DOCK*   # at the window\n");
    let service =
        Service::start(&bench, &format!("weak_serials = \"{}\"\n{TWO_BAYS}[[bay]]\nname = \"bay-3\"\n", list.display()));
    let profile = |name: &str, more: &str| {
        let text = format!("size = \"1MiB\"\n{more}");
        bench.image(&format!("{name}.toml"), text.as_bytes())
    };
    let hidden = profile("hidden", "serial = \"OWN-1\"\n[bridge]\nserial = \"152D00539000\"\n");
    let passed = profile("passed", "serial = \"OWN-2\"\n[bridge]\nserial = \"152D00539000\"\npasses_serial = true\n");
    let ours = profile("ours", "serial = \"our-dock 7\"\n");
    for (bay, path) in [("bay-1", &hidden), ("bay-2", &passed), ("bay-3", &ours)] {
        service.dock(bay, path, None).expect(200);
    }
    let bays = service.bays();
    let told = |index: usize| bays[index]["drive"].clone();
    assert_eq!(told(0)["drive_id"], "152D00539000");
    assert_eq!(
        (&told(0)["bridge_serial"], told(0)["weak_identity"].clone()),
        (&Value::Null, json!(["bridge-constant", "usb-descriptor-only"]))
    );
    assert_eq!((&told(1)["drive_id"], &told(1)["bridge_serial"]), (&json!("OWN-2"), &json!("152D00539000")));
    assert_eq!(told(1)["weak_identity"], Value::Null);
    assert_eq!(told(2)["weak_identity"], json!(["bridge-constant"]), "it is on the list of the station");
    let text = Agent::bare(bench.path(), &[&"bays", &"--server", &service.url]).run().stdout;
    for words in [
        "152D00539000 (weak)",
        "bay-1: weak identity: its serial number is one",
        "bay-2: behind a bridge that calls itself 152D00539000",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let page = service.portal_page("/portal/bays");
    for words in
        ["weak identity: its serial number is one that a bridge or dock tells", "behind a bridge that calls itself 152D00539000"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    // The copy opens the same drive under the same name.
    service.ship_import("mine", &["OWN-2"]);
    service.wait_for_state("mine", "Packaging");
    assert!(service.blobs().join("imports/mine/OWN-2.img").exists());
}

#[test]
fn a_list_of_weak_serials_that_cannot_be_used_is_told_at_the_start() {
    let bench = Workbench::new();
    bench.image("weak.txt", b"GOOD1\n*\n");
    bench.image("station.toml", format!("weak_serials = \"{}\"\n", bench.file("weak.txt").display()).as_bytes());
    let ended = Agent::bare(bench.path(), &[&"serve", &"--config", &"station.toml", &"--listen", &"127.0.0.1:0"]).run();
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("weak.txt` cannot be used: line 2"), "{}", ended.stderr);
}

#[test]
fn a_blob_that_exists_is_replaced_only_when_staff_say_so() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let blob = service.blobs().join("imports/job-1/A.img");
    std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
    std::fs::write(&blob, "another's").unwrap();
    let bytes = random_bytes(MIB, 1);
    let image = bench.image("A.img", &bytes);
    service.ship_import("job-1", &["A"]);
    service.dock("bay-1", &image, None).expect(200);
    service.wait("the copy to be held", || (service.bays()[0]["state"] == "held").then_some(()));
    service.order("job-1", "retry", json!({ "driveId": "A" })).expect(200);
    service.wait("it to be held again", || {
        (service.operators_job("job-1")["copies"]["A"]["runs"] == 2 && service.bays()[0]["state"] == "held").then_some(())
    });
    assert_eq!(std::fs::read(&blob).unwrap(), b"another's");
    service.order("job-1", "retry", json!({ "driveId": "A", "overwrite": true })).expect(200);
    service.wait_for_state("job-1", "Packaging");
    assert_eq!(std::fs::read(&blob).unwrap(), bytes);
}

#[test]
fn a_drive_is_paused_and_resumes_also_after_a_restart() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, TWO_BAYS);
    let profile = slow_profile(&bench, "SLOW", "24MiB", "12MB/s");
    service.ship_import("job-1", &["SLOW"]);
    service.dock("bay-1", &profile, None).expect(200);
    let bytes = |service: &Service| service.bytes_landed("job-1");
    service.wait("bytes to move", || bytes(&service).filter(|bytes| *bytes > 0));
    service.order("job-1", "pause", json!({ "driveId": "SLOW" })).expect(200);
    service.wait("the bay to be paused", || (service.bays()[0]["state"] == "paused").then_some(()));
    let paused = bytes(&service).unwrap();
    assert!(paused > 0 && paused < 24 * MIB as u64, "{paused}");
    assert_eq!(service.job("job-1")["properties"]["driveList"][0]["copyStatus"], "Paused");
    service.stays("bytes moved while it was paused", || bytes(&service) == Some(paused));
    service.kill();
    service.go();
    service.wait("the bay to be paused again", || (service.bays()[0]["state"] == "paused").then_some(()));
    service.stays("the pause was lost in the kill", || service.bays()[0]["state"] == "paused");
    service.order("job-1", "resume", json!({ "driveId": "SLOW" })).expect(200);
    service.wait_for_state("job-1", "Packaging");
    let result = &service.operators_job("job-1")["copies"]["SLOW"]["result"];
    assert!(result["bytes_reused"].as_u64().unwrap() >= paused, "nothing was moved twice: {result}");
}

#[test]
fn a_stop_drains_and_a_start_resumes() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, TWO_BAYS);
    let profile = slow_profile(&bench, "SLOW", "24MiB", "12MB/s");
    let config = std::fs::read_to_string(bench.file("station.toml")).unwrap();
    let watched = config.replace("name = \"bay-1\"\n", &format!("name = \"bay-1\"\ndrive = \"{}\"\n", profile.display()));
    std::fs::write(bench.file("station.toml"), watched).unwrap();
    service.stop();
    service.go();
    service.ship_import("job-1", &["SLOW"]);
    service.wait("bytes to move", || service.bytes_landed("job-1").filter(|bytes| *bytes > 4 * MIB as u64));
    let ended = service.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    service.go();
    service.wait_for_state("job-1", "Packaging");
    let result = service.operators_job("job-1")["copies"]["SLOW"]["result"].clone();
    assert!(result["bytes_reused"].as_u64().unwrap() > 4 * MIB as u64, "nothing was moved twice: {result}");
    assert_eq!(result["outcome"], "complete");
}

#[test]
fn a_failed_copy_waits_for_a_person_and_resumes_when_its_drive_comes_back() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let text = "size = \"16MiB\"\nserial = \"GONE\"\nseed = 5\nrun_size = \"1MiB\"\n[[fault]]\nkind = \"removed\"\nafter_bytes = \"8MiB\"\n";
    let profile = bench.image("gone.toml", text.as_bytes());
    service.ship_import("job-1", &["GONE"]);
    service.dock("bay-1", &profile, None).expect(200);
    let held = || service.wait("the copy to be held", || (service.bays()[0]["state"] == "held").then_some(()));
    held();
    let list = service.call("GET", "/operator/v1/attention", Value::Null).expect(200);
    assert_eq!(list["value"][0]["kind"], "copy-held", "{list}");
    let status = service.job("job-1")["properties"]["driveList"][0]["copyStatus"].clone();
    assert_eq!(status, "Failed: the drive failed, or went away");
    // Taken out and docked again it resumes by itself, and gets further.
    service.undock("bay-1");
    service.dock("bay-1", &profile, None).expect(200);
    service.wait("the second run", || (service.operators_job("job-1")["copies"]["GONE"]["runs"] == 2).then_some(()));
    held();
    service.order("job-1", "retry", json!({ "driveId": "GONE" })).expect(200);
    service.wait_for_state("job-1", "Packaging");
    assert_eq!(std::fs::metadata(service.blobs().join("imports/job-1/GONE.img")).unwrap().len(), 16 * MIB as u64);

    let other = bench.image("other.toml", text.replace("GONE", "OTHER").as_bytes());
    service.ship_import("job-2", &["OTHER"]);
    service.dock("bay-2", &other, None).expect(200);
    service.wait("the copy to be held", || (service.bays()[1]["state"] == "held").then_some(()));
    service.order("job-2", "giveUp", json!({ "driveId": "OTHER" })).expect(200);
    let job = service.wait_for_state("job-2", "Packaging");
    assert_eq!(job["properties"]["driveList"][0]["state"], "CompletedMoreInfo");
    let log = service.wait("the error log", || {
        let uri = service.job("job-2")["properties"]["driveList"][0]["errorLogUri"].clone();
        uri.as_str().map(|uri| service.blobs().join(uri.strip_prefix("local/").unwrap()))
    });
    assert!(std::fs::read_to_string(log).unwrap().contains("<Status>DiskOperationFailed</Status>"));
    service.order("job-2", "shipBack", parcel()).expect(200);
    assert_eq!(service.job("job-2")["properties"]["state"], "Closed");
}

#[test]
fn bays_share_the_memory_of_the_station() {
    let bench = Workbench::new();
    let config = format!("[budget]\nmemory = \"32MiB\"\nhash_threads = 1\nrate = \"40MB/s\"\n{TWO_BAYS}");
    let service = Service::start(&bench, &config);
    for (bay, id) in [("bay-1", "A"), ("bay-2", "B")] {
        let image = bench.image(&format!("{id}.img"), &random_bytes(8 * MIB, 1));
        service.ship_import(&format!("job-{id}"), &[id]);
        service.dock(bay, &image, None).expect(200);
    }
    // There is memory for one at a time: the other waits, and comes.
    service.wait_for_state("job-A", "Packaging");
    service.wait_for_state("job-B", "Packaging");
}

#[test]
fn a_bay_that_leads_to_something_unusable_waits_for_a_person() {
    let bench = Workbench::new();
    let (profile, circle) = (bench.image("drive.toml", b"size = 3\n"), bench.file("circle"));
    std::os::unix::fs::symlink("circle", &circle).unwrap();
    let config = format!(
        "[[bay]]\nname = \"bay-1\"\ndrive = \"{}\"\n[[bay]]\nname = \"bay-2\"\ndrive = \"{}\"\n[[bay]]\nname = \"bay-3\"\n",
        profile.display(),
        circle.display()
    );
    let service = Service::start(&bench, &config);
    let unusable = || {
        let of_kind = |one: &Value| one["kind"] == "bay-unusable";
        let told: Vec<Value> = service.attention().into_iter().filter(of_kind).collect();
        told.iter().map(|one| format!("{} {}", one["bay"], one["message"])).collect::<Vec<_>>()
    };
    let told = service.wait("two bays to be named", || Some(unusable()).filter(|told| told.len() == 2));
    assert!(told[0].contains("bay-1") && told[0].contains("`size` is a whole number of sectors"), "{told:?}");
    assert!(told[1].contains("bay-2") && told[1].contains("a symbolic link that leads back to itself"), "{told:?}");
    let refused = service.dock("bay-3", &circle, None);
    assert!(!refused.code(409).is_empty() && refused.body.to_string().contains("a symbolic link that leads back to itself"));
    let metrics = service.call("GET", "/metrics", Value::Null).expect(200);
    assert!(metrics.as_str().unwrap().contains("drive_agent_attention 2"), "{metrics}");
    std::fs::write(&profile, "size = \"1MiB\"\nserial = \"S7\"\n").unwrap();
    service.wait("the bay to be used", || (unusable().len() == 1).then_some(()));
}

#[test]
fn a_list_of_staff_takes_no_parameter_that_it_has_not() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    service.ship_import("photos", &["WD-4711"]);
    let names = |search: &str| {
        let list = service.call("GET", &format!("/operator/v1/jobs?search={search}&$top=1"), Value::Null).expect(200);
        list["value"].as_array().unwrap().iter().map(|job| job["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((names("d-471"), names("PHOTO"), names("nothing")), (vec!["photos".into()], vec!["photos".into()], vec![]));
    for (path, parameter) in [("audit?acter=x", "acter"), ("attention?kind=x", "kind"), ("jobs?serch=x", "serch")] {
        let refused = service.call("GET", &format!("/operator/v1/{path}"), Value::Null);
        assert_eq!((refused.code(400), &refused.body["error"]["target"]), ("InvalidQueryParameter", &json!(parameter)), "{path}");
    }
    // The published API takes no notice of them, as the real service.
    let published = job("photos").replace("/photos?", "?") + "&serch=x";
    service.call("GET", &published, Value::Null).expect(200);
}
