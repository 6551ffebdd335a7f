//! `--staging`: chunks in a folder of their own, of the object's bucket.

use rustix::process::Signal;

use super::{CHUNK, import, residue_bytes, run, scene, stop_after};
use crate::support::agent::{check_receipt, number};
use crate::support::gcs_fake::{Fault, GcsFake, On};

/// The object and its manifest are there, and nothing else.
#[track_caller]
fn assert_alone(fake: &GcsFake) {
    assert_eq!(fake.names(""), ["blob", "blob.manifest.jsonl"]);
}

#[test]
fn chunks_lie_in_the_folder_until_the_object_is_there() {
    let (fake, bench, bytes) = scene(20 * CHUNK);
    let staged = || import(&fake, &bench).with(&["--staging", "gs://drives/scratch"]);
    let result = stop_after(&fake, staged().with(&["--concurrency", "1"]), 6, Signal::INT).expect(130);
    check_receipt(&result);
    let held = fake.bytes_below("scratch/blob.part/");
    assert!(held > 0 && fake.names("blob").is_empty(), "{:?}", fake.names(""));
    assert_eq!(residue_bytes(&result), held);
    let receipt = &result["receipt"];
    assert!(receipt["residue"]["description"].as_str().unwrap().contains("`scratch/blob.part/"), "{receipt}");
    assert!(receipt["resume"].as_str().unwrap().contains("--staging gs://drives/scratch"), "{receipt}");
    let listed = run(&fake, &bench, &["transfers", "list"]).run().expect(0);
    assert_eq!(listed["transfers"][0]["left"]["bytes"], held, "{listed}");
    assert!(listed["transfers"][0]["resume"].as_str().unwrap().contains("gs://drives/scratch"), "{listed}");
    let other = import(&fake, &bench).with(&["--staging", "gs://drives/other"]).run();
    other.expect_error(2, &["begun with `--staging", "leave out `--staging`", "--restart"]);
    let resumed = import(&fake, &bench).run().expect(0);
    assert_eq!(number(&resumed, "bytes_reused"), held, "it goes on where it was begun");
    assert!(fake.object("blob").unwrap() == bytes);
    assert_alone(&fake);
}

#[test]
fn what_lies_there_is_discarded_and_started_over() {
    for words in [&["transfers", "discard", "gs://drives/blob", "--yes"][..], &["import"]] {
        let (fake, bench, bytes) = scene(12 * CHUNK);
        let staged = import(&fake, &bench).with(&["--staging", "gs://drives/scratch", "--concurrency", "1"]);
        stop_after(&fake, staged, 4, Signal::INT).expect(130);
        assert!(fake.bytes_below("scratch/") > 0);
        if words == ["import"] {
            import(&fake, &bench).with(&["--restart"]).run().expect(0);
            assert!(fake.object("blob").unwrap() == bytes);
            assert_alone(&fake);
        } else {
            run(&fake, &bench, words).run().expect(0);
            assert!(fake.names("").is_empty(), "{:?}", fake.names(""));
        }
    }
}

#[test]
fn a_place_that_cannot_be_used_is_refused_before_the_first_byte() {
    let (fake, bench, _) = scene(4 * CHUNK);
    let staged = |place: &str| import(&fake, &bench).with(&["--staging", place]);
    staged("gs://other/x").run().expect_error(3, &["in another bucket than the object", "gs://drives/FOLDER"]);
    staged("s3://drives/x").run().expect_error(3, &["is of another store", "gs://drives/FOLDER"]);
    staged("gs+http://127.0.0.1:9/drives/x").run().expect_error(3, &["in another bucket than the object"]);
    let plan = staged("gs://drives/x").with(&["--dry-run"]).run().expect(0);
    assert!(plan["staging"].as_str().unwrap().ends_with("/drives/x/"), "{plan}");
    fake.fail(On::List, [Fault::Answer(403, "AccessDenied")]);
    staged("gs://drives/x").run().expect_error(7, &["AccessDenied", "storage.objects.list"]);
    // What cannot be removed would stay there.
    fake.set_retains(true);
    staged("gs://drives/x").run().expect_error(3, &["remove a piece of", "RetentionPolicyNotMet"]);
    assert_eq!(fake.seen(On::PutChunk), 0);
}
