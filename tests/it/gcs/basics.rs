//! Import, export and verify, and what is refused before the first byte.

use super::{CHUNK, OPTIONS, assert_clean, import, run, scene};
use crate::support::Workbench;
use crate::support::agent::number;
use crate::support::gcs_fake::{Fault, GcsFake, On};
use crate::support::images::{MIB, patterned, random_bytes, root_of, same_content};

#[test]
fn a_drive_goes_to_gcs_and_comes_back() {
    let (fake, bench, bytes) = scene(70 * CHUNK + 700);
    let words = ["import", "drive.img", "gs://drives/folder/a b.img"];
    let imported = run(&fake, &bench, &words).with(&OPTIONS).run().expect(0);
    assert_eq!(imported["evidence"], "transport");
    assert_eq!((number(&imported, "bytes_sent"), number(&imported, "chunks")), (bytes.len() as u64, 71));
    assert_eq!(imported["root_sha256"].as_str().unwrap(), root_of(&bytes, CHUNK));
    assert!(fake.object("folder/a b.img").unwrap() == bytes);
    // 71 chunks are three objects, and those the drive.
    assert_eq!((fake.seen(On::ComposePiece), fake.seen(On::Compose), fake.sources_max()), (3, 1, 32));
    assert_clean(&fake, "folder/a b.img");
    let blob = fake.blob("folder/a%20b.img");
    assert_eq!(imported["blob"].as_str().unwrap(), blob);
    assert_eq!(imported["manifest"].as_str().unwrap(), format!("{blob}.manifest.jsonl"));
    run(&fake, &bench, &["export", "gs://drives/folder/a b.img", "back.img"]).run().expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
    // The address as it is shown says all that is needed.
    run(&fake, &bench, &["verify", &format!("{blob}.manifest.jsonl"), "--blob", &blob]).run().expect(0);
    run(&fake, &bench, &["export", &blob, "again.img"]).run().expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("again.img")));
}

#[test]
fn the_same_content_is_sent_once() {
    let (fake, bench) = (GcsFake::start(), Workbench::new());
    for (name, pattern) in [("one", "rzrzzrz"), ("two", "zzzzzzzzzzzzzz"), ("three", "rzzzzzzrrrrrzzzzzzzzzzzzzr")] {
        let mut bytes = patterned(pattern, CHUNK);
        // Two chunks that are the same, and a short one of zeros.
        bytes.extend_from_within(..CHUNK);
        bytes.extend_from_slice(&[0; 512]);
        bench.image("drive.img", &bytes);
        let before = fake.bytes_received();
        let blob = format!("gs://drives/{name}");
        let agent = run(&fake, &bench, &["import", "drive.img", &blob]).with(&OPTIONS).env("DRIVE_AGENT_GCS_FAN_OUT", "3");
        agent.run().expect(0);
        assert!(fake.object(name).unwrap() == bytes, "{pattern}");
        let distinct: std::collections::HashSet<&[u8]> = bytes.chunks(CHUNK).collect();
        let bound: usize = distinct.iter().map(|chunk| chunk.len()).sum();
        assert_eq!(fake.bytes_received() - before, bound as u64, "{pattern}");
        assert_clean(&fake, name);
    }
}

#[test]
fn objects_that_repeat_are_composed_once() {
    let (fake, bench) = (GcsFake::start(), Workbench::new());
    bench.image("drive.img", &vec![0; 27 * CHUNK]);
    import(&fake, &bench).run().expect(0);
    assert_eq!(fake.object_bytes("blob"), Some(27 * CHUNK as u64));
    // 27 become 9, 3 and 1: the same at each level.
    assert_eq!((fake.seen(On::PutChunk), fake.seen(On::ComposePiece), fake.seen(On::Compose)), (1, 2, 1));
    assert_clean(&fake, "blob");
}

#[test]
fn drives_of_one_chunk_and_of_none_are_objects() {
    for length in [0, 1, CHUNK] {
        let (fake, bench, bytes) = scene(length);
        import(&fake, &bench).run().expect(0);
        assert!(fake.object("blob").unwrap() == bytes);
        assert_clean(&fake, "blob");
    }
}

#[test]
fn an_object_is_replaced_with_leave_alone() {
    let (fake, bench, _) = scene(CHUNK + 10);
    import(&fake, &bench).run().expect(0);
    let first = fake.object("blob").unwrap();
    let other = random_bytes(CHUNK, 2);
    bench.image("drive.img", &other);
    import(&fake, &bench).run().expect_error(3, &["exists already", "--overwrite"]);
    assert_eq!(fake.object("blob").unwrap(), first);
    import(&fake, &bench).with(&["--overwrite"]).run().expect(0);
    assert!(fake.object("blob").unwrap() == other);
    assert_clean(&fake, "blob");
}

#[test]
fn a_store_that_checks_nothing_proves_nothing() {
    let (fake, bench, bytes) = scene(CHUNK);
    fake.set_checks(false);
    assert_eq!(import(&fake, &bench).run().expect(0)["evidence"], "read");
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
    let proved = import(&fake, &bench).with(&["--overwrite", "--verify", "read-back"]).run().expect(0);
    assert_eq!(proved["evidence"], "read-back");
}

#[test]
fn what_gcs_has_not_is_refused_before_the_first_byte() {
    let (fake, bench, _) = scene(MIB);
    let with = |more: &[&str]| run(&fake, &bench, &["import", "drive.img", "gs://drives/blob"]).with(more).run();
    with(&["--blob-type", "page"]).expect_error(2, &["page blobs are of Azure", "--blob-type page"]);
    with(&["--tier", "cool"]).expect_error(3, &["`--tier cool` is for Azure", "lifecycle rule"]);
    let missing = run(&fake, &bench, &["import", "drive.img", "gs://missing/blob"]).run();
    missing.expect_error(7, &["NoSuchBucket", "create the bucket"]);
    let long = format!("gs://drives/{}", "x".repeat(920));
    run(&fake, &bench, &["import", "drive.img", &long]).run().expect_error(3, &["longer than 1024 bytes"]);
    let staged = format!("gs://drives/a.part/{}/probe", "0".repeat(32));
    run(&fake, &bench, &["import", "drive.img", &staged]).run().expect_error(3, &["unfinished transfers use"]);
    bench.image("huge.img", b"");
    std::fs::File::options().write(true).open(bench.file("huge.img")).unwrap().set_len((5 << 40) + 512).unwrap();
    let huge = run(&fake, &bench, &["import", "huge.img", "gs://drives/blob"]).run();
    huge.expect_error(3, &["takes at most", "5497558138880"]);
    assert_eq!(fake.seen(On::Probe) + fake.seen(On::Put) + fake.seen(On::PutChunk), 0);
}

#[test]
fn metadata_and_content_type_are_given() {
    let (fake, bench, _) = scene(MIB);
    let words = ["import", "drive.img", "gs://drives/blob", "--metadata", "owner=me", "--content-type", "application/x-disk"];
    run(&fake, &bench, &words).run().expect(0);
    let headers = fake.headers("blob");
    let has = |name: &str, value: &str| headers.iter().any(|(known, found)| known == name && found == value);
    assert!(has("x-goog-meta-owner", "me") && has("content-type", "application/x-disk"), "{headers:?}");
    assert!(headers.iter().any(|(name, _)| name == "x-goog-meta-driveagenttransfer"), "{headers:?}");
}

#[test]
fn an_object_of_another_program_is_checked_against_its_md5() {
    let (fake, bench, _) = scene(0);
    let bytes = random_bytes(3 * MIB, 5);
    fake.put_plain("plain.img", bytes.clone());
    let exported = run(&fake, &bench, &["export", "gs://drives/plain.img", "back.img"]).run();
    exported.expect(0);
    assert!(exported.stderr.contains("MD5"), "{}", exported.stderr);
    assert!(std::fs::read(bench.file("back.img")).unwrap() == bytes);
    fake.always_fail(On::Get, Some(Fault::CorruptAnswer));
    run(&fake, &bench, &["export", "gs://drives/plain.img", "again.img"]).run().expect_error(5, &["another MD5"]);
}

#[test]
fn another_transfer_beside_an_object_is_told() {
    let (fake, bench, _) = scene(MIB);
    fake.fail(On::Compose, [Fault::Answer(403, "AccessDenied")]);
    import(&fake, &bench).run().expect_error(7, &["AccessDenied", "storage.objects.create", "role"]);
    let second = import(&fake, &bench).with(&["--state-dir", "other"]).run();
    second.expect(0);
    assert!(second.stderr.contains("another transfer (") && second.stderr.contains("drive-agent transfers"), "{}", second.stderr);
}

#[test]
fn what_was_composed_is_held_against_its_checksum_where_there_is_no_manifest() {
    let (fake, bench, _) = scene(7 * CHUNK + 700);
    import(&fake, &bench).run().expect(0);
    fake.remove("blob.manifest.jsonl");
    let export = |image: &str| run(&fake, &bench, &["export", "gs://drives/blob", image]).with(&OPTIONS).run();
    let ended = export("back.img");
    ended.expect(0);
    assert!(ended.stderr.contains("against the CRC32C that the blob states"), "{}", ended.stderr);
    assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
    // Damaged on its way, where no checksum of a range tells.
    fake.corrupt_every(1);
    export("wrong.img").expect_error(5, &["has another CRC32C than the blob states"]);
    assert!(!bench.file("wrong.img").exists(), "nothing looks complete");
}
