//! Import, export and verify, and what is refused before the first byte.

use super::{CHUNK, SMALL_CHUNK, assert_clean, run, run_small, scene};
use crate::support::agent::number;
use crate::support::images::{MIB, patterned, random_bytes, root_of, same_content};
use crate::support::s3_fake::{Fault, On, S3Fake};
use crate::support::{Agent, Workbench};

#[test]
fn a_drive_goes_to_s3_and_comes_back() {
    let (fake, bench, bytes) = scene(3 * CHUNK + 700);
    let imported =
        run(&fake, &bench, &["import", "drive.img", "s3://drives/folder/a b.img", "--chunk-size", "5MiB"]).run().expect(0);
    assert_eq!(imported["evidence"], "transport");
    assert_eq!((number(&imported, "bytes_sent"), number(&imported, "chunks")), (bytes.len() as u64, 4));
    assert_eq!(imported["root_sha256"].as_str().unwrap(), root_of(&bytes, CHUNK));
    assert_eq!(fake.object("folder/a b.img").unwrap(), bytes);
    assert_clean(&fake, "folder/a b.img");
    let blob = fake.blob("folder/a%20b.img");
    assert_eq!(imported["blob"].as_str().unwrap(), blob);
    assert_eq!(imported["manifest"].as_str().unwrap(), format!("{blob}.manifest.jsonl"));
    run(&fake, &bench, &["export", "s3://drives/folder/a b.img", "back.img"]).run().expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
    // The address as it is shown says all that is needed.
    run(&fake, &bench, &["verify", &format!("{blob}.manifest.jsonl"), "--blob", &blob]).run().expect(0);
    run(&fake, &bench, &["export", &blob, "again.img"]).run().expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("again.img")));
}

#[test]
fn zeros_are_copied_at_the_store() {
    let (fake, bench) = (S3Fake::start(), Workbench::new());
    for (name, pattern) in [("one", "rzrzzrz"), ("two", "zzzzzz"), ("three", "rzzzzzzr")] {
        let mut bytes = patterned(pattern, CHUNK);
        bytes.extend_from_slice(&[0; 512]);
        let image = bench.image(&format!("{name}.img"), &bytes);
        let before = fake.bytes_received();
        let blob = format!("s3://drives/{name}");
        let words = ["import", image.to_str().unwrap(), &blob, "--chunk-size", "5MiB"];
        let imported = run(&fake, &bench, &words).run().expect(0);
        assert!(fake.object(name).unwrap() == bytes, "{pattern}");
        let data = bytes.chunks(CHUNK).filter(|chunk| chunk.iter().any(|byte| *byte != 0)).count() * CHUNK;
        assert_eq!(number(&imported, "bytes_sent"), data as u64, "{pattern}");
        // What shows whether the store checks, and a short chunk of zeros.
        assert!(fake.bytes_received() - before <= data as u64 + 1024, "{pattern}");
        assert_clean(&fake, name);
    }
}

#[test]
fn a_large_drive_is_made_of_segments() {
    let (fake, bench) = (S3Fake::start(), Workbench::new());
    // Segments of three chunks: mixed, zeros, data, zeros, and a short one.
    let mut bytes = patterned("rzrzzzrrrzzzr", SMALL_CHUNK);
    bytes.truncate(bytes.len() - 1000);
    bench.image("drive.img", &bytes);
    let imported = run_small(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_eq!(imported["evidence"], "transport");
    assert_clean(&fake, "blob");
    // Four segments that are no zeros, one of zeros, the probe, and the object.
    assert_eq!(fake.seen(On::CreateUpload), 3 + 1 + 1 + 1);
    run_small(&fake, &bench, &["export", "s3://drives/blob", "back.img"]).run().expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
}

#[test]
fn an_empty_drive_is_an_empty_object() {
    let (fake, bench, _) = scene(0);
    run(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run().expect(0);
    assert_eq!(fake.object("blob").unwrap().len(), 0);
    assert_clean(&fake, "blob");
}

#[test]
fn an_object_is_replaced_with_leave_alone() {
    let (fake, bench, _) = scene(CHUNK + 10);
    run(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run().expect(0);
    let first = fake.object("blob").unwrap();
    let other = random_bytes(CHUNK, 2);
    bench.image("other.img", &other);
    let again = ["import", "other.img", "s3://drives/blob"];
    run(&fake, &bench, &again).run().expect_error(3, &["exists already", "--overwrite"]);
    assert_eq!(fake.object("blob").unwrap(), first);
    run(&fake, &bench, &again).with(&["--overwrite"]).run().expect(0);
    assert!(fake.object("blob").unwrap() == other);
    assert_clean(&fake, "blob");
}

#[test]
fn a_store_that_checks_nothing_proves_nothing() {
    let (fake, bench, bytes) = scene(CHUNK);
    fake.set_checks(false);
    let words = ["import", "drive.img", "s3://drives/blob"];
    assert_eq!(run(&fake, &bench, &words).run().expect(0)["evidence"], "read");
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
    let proved = run(&fake, &bench, &words).with(&["--overwrite", "--verify", "read-back"]).run().expect(0);
    assert_eq!(proved["evidence"], "read-back");
}

#[test]
fn what_s3_has_not_is_refused_before_the_first_byte() {
    let (fake, bench, _) = scene(MIB);
    let import = |more: &[&str]| run(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).with(more).run();
    import(&["--blob-type", "page"]).expect_error(2, &["page blobs are of Azure", "--blob-type page"]);
    import(&["--tier", "cool"]).expect_error(3, &["`--tier cool` is for Azure", "lifecycle rule"]);
    run(&fake, &bench, &["import", "drive.img", "s3://missing/blob"])
        .run()
        .expect_error(7, &["NoSuchBucket", "create the bucket"]);
    let long = format!("s3://drives/{}", "x".repeat(1010));
    run(&fake, &bench, &["import", "drive.img", &long]).run().expect_error(3, &["longer than 1024 bytes"]);
    bench.image("huge.img", b"");
    std::fs::File::options().write(true).open(bench.file("huge.img")).unwrap().set_len(15 << 40).unwrap();
    run(&fake, &bench, &["import", "huge.img", "s3://drives/blob"])
        .env("DRIVE_AGENT_S3_SIZES", "10000,5242880,1073741824")
        .run()
        .expect_error(3, &["takes at most"]);
    assert_eq!(fake.seen(On::CreateUpload) + fake.seen(On::Put) + fake.seen(On::PutPart), 0);
}

#[test]
fn metadata_and_content_type_are_given() {
    let (fake, bench, _) = scene(MIB);
    let words = ["import", "drive.img", "s3://drives/blob", "--metadata", "owner=me", "--content-type", "application/x-disk"];
    run(&fake, &bench, &words).run().expect(0);
    let headers = fake.headers("blob");
    let has = |name: &str, value: &str| headers.iter().any(|(known, found)| known == name && found == value);
    assert!(has("x-amz-meta-owner", "me") && has("content-type", "application/x-disk"), "{headers:?}");
}

#[test]
fn credentials_are_for_their_endpoint_alone() {
    let (fake, bench, _) = scene(MIB);
    let import =
        |blob: &str| Agent::new(bench.path(), &[&"import", &"drive.img", &blob]).env("AWS_EC2_METADATA_DISABLED", "true");
    import("s3://drives/blob").run().expect_error(7, &["no credentials for S3", "AWS_ACCESS_KEY_ID"]);
    let with_key = |agent: Agent| agent.env("AWS_ACCESS_KEY_ID", "AKIAFAKE").env("AWS_SECRET_ACCESS_KEY", "SECRETSECRET");
    // An address that names another server than the environment does.
    let other = with_key(import(&fake.blob("blob"))).run();
    other.expect_error(7, &["is not sent to `127.0.0.1", "--trust-host"]);
    with_key(import("s3://drives/blob"))
        .with(&["--s3-endpoint", "http://storage.example.com"])
        .run()
        .expect_error(7, &["in the clear"]);
    assert_eq!(fake.seen(On::Head), 0);
    with_key(import("s3://drives/blob")).with(&["--s3-endpoint", &fake.endpoint()]).run().expect(0);
    let host = fake.endpoint().replace("http://", "");
    with_key(import(&fake.blob("other"))).with(&["--trust-host", &host]).run().expect(0);
    let wrong = import("s3://drives/third").with(&["--s3-endpoint", &fake.endpoint()]);
    let wrong = wrong.env("AWS_ACCESS_KEY_ID", "AKIAOTHER").env("AWS_SECRET_ACCESS_KEY", "SECRETSECRET").run();
    wrong.expect_error(7, &["403", "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"]);
    assert!(!wrong.stderr.contains("SECRETSECRET") && !wrong.stdout.contains("SECRETSECRET"));
}

#[test]
fn another_transfer_beside_an_object_is_told() {
    let (fake, bench, _) = scene(MIB);
    fake.fail(On::CompleteUpload, [Fault::Answer(403, "AccessDenied")]);
    let words = ["import", "drive.img", "s3://drives/blob"];
    run(&fake, &bench, &words).run().expect_error(7, &["AccessDenied", "policy"]);
    let second = run(&fake, &bench, &words).with(&["--state-dir", "other"]).run();
    second.expect(0);
    assert!(second.stderr.contains("another transfer (") && second.stderr.contains("drive-agent transfers"), "{}", second.stderr);
}

#[test]
fn an_object_without_a_manifest_is_held_against_its_checksum() {
    // Parts with digests; segments, whose store computes a checksum of the whole.
    for (chunks, name) in [(3, "SHA-256"), (14, "CRC-64")] {
        let (fake, bench, _) = scene(chunks * SMALL_CHUNK + 700);
        run_small(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run().expect(0);
        fake.remove("blob.manifest.jsonl");
        let export = |image: &str| run_small(&fake, &bench, &["export", "s3://drives/blob", image]).run();
        let ended = export("back.img");
        ended.expect(0);
        assert!(ended.stderr.contains(&format!("against the {name} that the blob states")), "{}", ended.stderr);
        assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
        // Damaged on its way, where no checksum of a range tells.
        fake.corrupt_every(1);
        export("wrong.img").expect_error(5, &[&format!("has another {name} than the blob states")]);
        assert!(!bench.file("wrong.img").exists(), "nothing looks complete");
        fake.work_well();
        // A server that states none, and one that does not know the question.
        fake.put_plain("blob", std::fs::read(bench.file("drive.img")).unwrap());
        let plain = export("plain.img");
        plain.expect(0);
        assert!(plain.stderr.contains("only the transport can be checked"), "{}", plain.stderr);
    }
}

#[test]
fn parts_of_several_sizes_are_not_taken_for_damage() {
    let (fake, bench, bytes) = scene(3 * SMALL_CHUNK);
    fake.put_plain("blob", bytes);
    let chunk = SMALL_CHUNK as u64;
    for (parts, name) in
        [([chunk, chunk, chunk], Some("SHA-256")), ([chunk, chunk + 1, chunk - 1], None), ([1, chunk, 2 * chunk - 1], None)]
    {
        fake.set_part_lengths("blob", &parts);
        let ended = run_small(&fake, &bench, &["export", "s3://drives/blob", "back.img", "--overwrite"]).run();
        ended.expect(0);
        let told = name.map_or("only the transport can be checked".to_owned(), |name| format!("against the {name}"));
        assert!(ended.stderr.contains(&told), "{parts:?}: {}", ended.stderr);
        assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
    }
}
