//! `--staging`: pieces in a bucket of their own, where the object's own bucket lets nothing be removed.

use rustix::process::Signal;

use super::{SMALL_CHUNK, SMALL_SIZES, residue_bytes, run, run_small, scene, stop_after, with_credentials};
use crate::support::agent::{check_receipt, number};
use crate::support::azure_fake::AzureFake;
use crate::support::images::same_content;
use crate::support::s3_fake::{Fault, On, S3Fake};
use crate::support::seaweedfs::SeaweedFs;
use crate::support::{Agent, Workbench};

/// Where pieces are put, as it is written and as the fake names it.
const PLACE: &str = "s3://scratch/pieces";
const BELOW: &str = "@scratch/pieces/drives/blob.part/";

/// A locked bucket, and another one beside it.
fn locked(chunks: usize) -> (S3Fake, Workbench, Vec<u8>) {
    let (fake, bench, bytes) = scene(chunks * SMALL_CHUNK + 10);
    fake.add_bucket("scratch");
    fake.set_locks(true);
    (fake, bench, bytes)
}

fn import(fake: &S3Fake, bench: &Workbench) -> Agent {
    run_small(fake, bench, &["import", "drive.img", "s3://drives/blob"])
}

fn staged(fake: &S3Fake, bench: &Workbench) -> Agent {
    import(fake, bench).with(&["--staging", PLACE])
}

/// The object and its manifest are there, and nothing else anywhere.
#[track_caller]
fn assert_alone(fake: &S3Fake) {
    assert_eq!(fake.keys(""), ["blob", "blob.manifest.jsonl"]);
    assert!(fake.uploads("").0.is_empty(), "{:?}", fake.uploads(""));
}

#[test]
fn a_locked_bucket_keeps_nothing_but_the_object() {
    for chunks in [3, 14] {
        let (fake, bench, bytes) = locked(chunks);
        let ended = staged(&fake, &bench).run();
        ended.expect(0);
        assert!(!ended.stderr.contains("stays"), "{}", ended.stderr);
        assert!(fake.object("blob").unwrap() == bytes);
        assert_alone(&fake);
        // Without it something stays beside the object.
        let (fake, bench, _) = locked(chunks);
        let ended = import(&fake, &bench).run();
        ended.expect(0);
        assert!(ended.stderr.contains("stays") && !fake.keys("blob.part/").is_empty(), "{}", ended.stderr);
    }
}

#[test]
fn a_cancel_has_an_exact_receipt_and_is_resumed_where_it_was_begun() {
    for chunks in [3, 20] {
        let (fake, bench, bytes) = locked(chunks);
        let result = stop_after(&fake, staged(&fake, &bench).with(&["--concurrency", "1"]), 2, Signal::INT).expect(130);
        check_receipt(&result);
        let (of_pieces, of_object) = (fake.uploads(BELOW).1 + fake.object_bytes_below(BELOW), fake.uploads("blob").1);
        assert_eq!(residue_bytes(&result), of_pieces + of_object);
        assert!(if chunks == 3 { of_object > 0 } else { of_object == 0 && of_pieces > 0 });
        assert!(fake.keys("blob").is_empty(), "{:?}", fake.keys("blob"));
        let receipt = &result["receipt"];
        let residue = receipt["residue"]["description"].as_str().unwrap();
        assert!(residue.contains(&format!("s3+{}/scratch/pieces/drives/blob.part/", fake.endpoint())), "{residue}");
        assert!(receipt["resume"].as_str().unwrap().contains("--staging s3://scratch/pieces"), "{receipt}");
        // Another place is refused, and none named is the one where it was begun.
        let elsewhere = import(&fake, &bench).with(&["--staging", "s3://scratch/other"]).run();
        elsewhere.expect_error(2, &["begun with `--staging", "leave out `--staging`", "--restart"]);
        let resumed = import(&fake, &bench).run().expect(0);
        assert!(number(&resumed, "bytes_reused") > 0, "{resumed}");
        assert!(fake.object("blob").unwrap() == bytes);
        assert_alone(&fake);
    }
}

#[test]
fn what_was_begun_beside_the_object_is_not_resumed_elsewhere() {
    let (fake, bench, bytes) = locked(14);
    fake.set_locks(false);
    stop_after(&fake, import(&fake, &bench).with(&["--concurrency", "1"]), 4, Signal::INT).expect(130);
    staged(&fake, &bench).run().expect_error(2, &["begun without `--staging`", "leave out `--staging`"]);
    // Started over, it leaves nothing where it was.
    staged(&fake, &bench).with(&["--restart"]).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_alone(&fake);
}

#[test]
fn killed_at_every_named_point_an_import_resumes() {
    let points = ["journal-begun", "upload-created", "target-begun", "records-appended", "commit-noted", "segment-completed:2"];
    for point in points.into_iter().chain(["target-assembled", "target-published", "committed-noted", "manifest-stored"]) {
        let (fake, bench, bytes) = locked(14);
        staged(&fake, &bench).env("DRIVE_AGENT_CRASH", point).run();
        fake.settle();
        staged(&fake, &bench).run().expect(0);
        assert!(fake.object("blob").unwrap() == bytes, "{point}");
        assert_eq!(fake.keys(""), ["blob", "blob.manifest.jsonl"], "{point}");
        assert!(bench.journals().is_empty(), "{point}");
    }
}

#[test]
fn transfers_find_and_remove_what_lies_there() {
    for chunks in [3, 14] {
        let (fake, bench, _) = locked(chunks);
        fake.set_locks(false);
        stop_after(&fake, staged(&fake, &bench).with(&["--concurrency", "1"]), 2, Signal::INT).expect(130);
        let transfers = |words: &[&str]| {
            let words: Vec<&str> = ["transfers"].into_iter().chain(words.iter().copied()).collect();
            run(&fake, &bench, &words).env("DRIVE_AGENT_S3_SIZES", SMALL_SIZES).run()
        };
        let held = fake.uploads("").1 + fake.object_bytes_below(BELOW);
        let shown = transfers(&["show", "s3://drives/blob"]).expect(0);
        assert_eq!(shown["left"]["bytes"], held, "{shown}");
        assert!(shown["resume"].as_str().unwrap().contains("s3://scratch/pieces"), "{shown}");
        transfers(&["discard", "s3://drives/blob", "--yes"]).expect(0);
        assert!(fake.keys("").is_empty() && fake.uploads("").0.is_empty(), "{:?} {:?}", fake.keys(""), fake.uploads(""));
    }
    // A transfer that is started over elsewhere leaves nothing behind.
    let (fake, bench, _) = locked(14);
    fake.add_bucket("second");
    stop_after(&fake, staged(&fake, &bench).with(&["--concurrency", "1"]), 4, Signal::INT).expect(130);
    assert!(fake.uploads(BELOW).1 > 0);
    import(&fake, &bench).with(&["--staging", "s3://second", "--restart"]).run().expect(0);
    assert_alone(&fake);
}

#[test]
fn a_place_that_cannot_be_used_is_refused_before_the_first_byte() {
    let (fake, bench, _) = locked(14);
    let staged = |place: &str| import(&fake, &bench).with(&["--staging", place]).run();
    staged("/srv/pieces").expect_error(3, &["`/srv/pieces` is not a place for pieces", "s3://BUCKET/FOLDER"]);
    staged("gs://scratch/pieces").expect_error(3, &["is of another store", "s3://BUCKET/FOLDER"]);
    staged("s3+http://127.0.0.1:9/scratch").expect_error(3, &["on another server than the object"]);
    staged("s3://missing/pieces").expect_error(7, &["NoSuchBucket", "/missing/pieces/"]);
    import(&fake, &bench)
        .with(&["--staging", "s3://missing/pieces", "--dry-run"])
        .run()
        .expect_error(7, &["NoSuchBucket", "/missing/pieces/"]);
    // What cannot be removed would stay there.
    fake.set_locks(true);
    staged("s3://drives/pieces").expect_error(7, &["remove a piece from", "/drives/pieces/", "AccessDenied"]);
    fake.always_fail(On::ListObjects, Some(Fault::Answer(403, "AccessDenied")));
    let again = || import(&fake, &bench).with(&["--staging", PLACE, "--restart"]).run();
    again().expect_error(7, &["AccessDenied", "/scratch/pieces/"]);
    assert_eq!(fake.seen(On::PutPart) + fake.seen(On::CreateUpload), 0);
    // A place that keeps what was put there is not a dead end.
    fake.always_fail(On::ListObjects, None);
    let ended = again();
    ended.expect(0);
    assert!(ended.stderr.contains("stays where it was put") && ended.stderr.contains("AccessDenied"), "{}", ended.stderr);
    // Other stores have no pieces.
    let (azure, words) = (AzureFake::start(), ["import", "drive.img"]);
    for blob in ["file.img", &azure.blob("blob")] {
        let ended = run(&fake, &bench, &words).with(&[blob, "--staging", PLACE]).run();
        ended.expect_error(3, &["`--staging` (or DRIVE_AGENT_STAGING) is for imports to s3:// and gs://"]);
    }
}

#[test]
fn a_dry_run_and_the_variable_name_the_place() {
    let (fake, bench, bytes) = locked(14);
    let shown = format!("s3+{}/scratch/pieces/", fake.endpoint());
    let plan = import(&fake, &bench).with(&["--dry-run"]).env("DRIVE_AGENT_STAGING", PLACE).run().expect(0);
    assert_eq!(plan["staging"].as_str(), Some(&*shown));
    assert!(fake.keys("").is_empty());
    let cut = import(&fake, &bench).env("DRIVE_AGENT_STAGING", PLACE).with(&["--concurrency", "1"]);
    let result = stop_after(&fake, cut, 3, Signal::INT).expect(130);
    assert!(result["receipt"]["resume"].as_str().unwrap().contains("--staging=s3://scratch/pieces"), "{result}");
    import(&fake, &bench).env("DRIVE_AGENT_STAGING", PLACE).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_alone(&fake);
}

#[test]
fn two_buckets_of_seaweedfs_are_one_import() {
    let Some(server) = SeaweedFs::start() else { return };
    assert!(server.make_bucket("scratch"));
    let (_, bench, _) = scene(16 * super::CHUNK);
    let run = |words: &[&str]| {
        let words: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>).collect();
        with_credentials(Agent::new(bench.path(), &words), &server.variables())
    };
    // Drives of more than four chunks of 5 MiB are cut into segments of three.
    let sizes = "8,5242880,15728640";
    let import = run(&["import", "drive.img", "s3://drives/blob", "--staging", PLACE, "--chunk-size", "5MiB"]);
    import.env("DRIVE_AGENT_S3_SIZES", sizes).run().expect(0);
    run(&["export", "s3://drives/blob", "back.img"]).run().expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
}
