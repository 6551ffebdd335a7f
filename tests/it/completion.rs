//! What a transfer says at its end is true: when answers were lost or changed on their way, when another one came between,
//! and when it is told again.

use std::time::Duration;

use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::images::{KIB, random_bytes, sha256_of};
use crate::support::wait::wait_until;
use crate::support::{Agent, Workbench};

const CHUNK: usize = 64 * KIB;
const CHUNKS: usize = 12;

fn import(bench: &Workbench, drive: &str, blob: &str) -> Agent {
    Agent::new(bench.path(), &[&"import", &drive, &blob]).with(&["--chunk-size", "64KiB", "--overwrite"])
}

fn verify(bench: &Workbench, blob: &str) -> Agent {
    let manifest = blob.replacen("blob", "blob.manifest.jsonl", 1);
    Agent::new(bench.path(), &[&"verify", &manifest, &"--blob", &blob])
}

/// A store, and the content of the image `drive.img`.
fn store_and_drive() -> (AzureFake, Workbench, Vec<u8>) {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = random_bytes(CHUNKS * CHUNK, 1);
    bench.image("drive.img", &bytes);
    (fake, bench, bytes)
}

#[test]
fn two_imports_that_replace_each_other_leave_one_blob_and_its_manifest() {
    let (fake, bench, _) = store_and_drive();
    let other = random_bytes(CHUNKS * CHUNK, 2);
    bench.image("other.img", &other);
    // The manifest of the first waits until the second is complete.
    fake.fail(On::PutBlockList, [Fault::Delay(Duration::ZERO), Fault::Hold]);
    let first = import(&bench, "drive.img", &fake.blob("blob")).start();
    fake.wait_held(1);
    let second = import(&bench, "other.img", &fake.blob("blob"));
    second.env("XDG_STATE_HOME", bench.file("second").to_str().unwrap()).run().expect(0);
    fake.release();
    first.wait().expect_error(7, &["another program replaced or changed it right after it was committed"]);
    assert_eq!(fake.content("blob").unwrap().to_vec(), other);
    verify(&bench, &fake.blob("blob")).run().expect(0);
}

/// An import whose commit is done, and never answered.
fn import_without_answer(fake: &AzureFake, bench: &Workbench) {
    fake.always_fail(On::PutBlockList, Some(Fault::DoneThenAnswer(500, "OperationTimedOut")));
    let import = import(bench, "drive.img", &fake.blob("blob")).with(&["--retry-budget", "200ms"]);
    import.run().expect_error(7, &["cannot commit", "OperationTimedOut"]);
    fake.always_fail(On::PutBlockList, None);
}

#[test]
fn a_commit_that_was_not_answered_is_proved_by_the_names_of_its_blocks() {
    let (fake, bench, bytes) = store_and_drive();
    import_without_answer(&fake, &bench);
    import(&bench, "drive.img", &fake.blob("blob")).run().expect(0);
    assert_eq!((fake.content("blob").unwrap().to_vec(), fake.seen(On::Get)), (bytes, 0));
    verify(&bench, &fake.blob("blob")).run().expect(0);
}

#[test]
fn a_blob_that_was_changed_after_a_commit_that_was_not_answered_is_found() {
    let (fake, bench, bytes) = store_and_drive();
    import_without_answer(&fake, &bench);
    fake.flip_byte("blob", 5 * CHUNK);
    let again = || import(&bench, "drive.img", &fake.blob("blob"));
    again().run().expect_error(5, &["holds other bytes than were sent", "327680+65536"]);
    again().run().expect(0);
    assert_eq!(fake.content("blob").unwrap().to_vec(), bytes);
}

/// Nothing says of a manifest of an earlier run that it is still what that run stored.
#[test]
fn a_manifest_that_was_changed_after_it_was_stored_is_stored_again() {
    let (fake, bench, _) = store_and_drive();
    let azure = fake.blob("blob");
    for blob in ["blob", &azure] {
        let import = || Agent::new(bench.path(), &[&"import", &"drive.img", &blob]).with(&["--chunk-size", "64KiB"]);
        assert_eq!(import().env("DRIVE_AGENT_CRASH", "manifest-stored").run().code, None);
        if blob == "blob" {
            let path = bench.file("blob.manifest.jsonl");
            let mut bytes = std::fs::read(&path).unwrap();
            let last = bytes.len() - 20;
            bytes[last] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        } else {
            fake.flip_byte("blob.manifest.jsonl", 2000);
        }
        import().run().expect(0);
        verify(&bench, blob).run().expect(0);
    }
}

#[test]
fn a_page_blob_that_was_made_twice_is_the_transfers_own() {
    let (fake, bench, bytes) = store_and_drive();
    fake.fail(On::PutBlob, [Fault::DoneTwice]);
    import(&bench, "drive.img", &fake.blob("blob")).with(&["--blob-type", "page"]).run().expect(0);
    assert_eq!(fake.content("blob").unwrap().to_vec(), bytes);
}

#[test]
fn an_answer_without_a_length_is_not_an_empty_blob() {
    let (fake, bench, bytes) = store_and_drive();
    fake.put_plain("blob", bytes.clone(), &[]);
    fake.fail(On::Head, [Fault::LostAnswer]);
    Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back"]).run().expect(0);
    assert_eq!(std::fs::read(bench.file("back")).unwrap(), bytes);
}

#[test]
fn a_byte_that_was_changed_on_its_way_is_not_hashed() {
    let (fake, bench, bytes) = store_and_drive();
    let run = || import(&bench, "drive.img", &fake.blob("blob")).with(&["--stream-sha256"]);
    assert_eq!(run().env("DRIVE_AGENT_CRASH", "committed-noted").run().code, None);
    fake.fail(On::Get, [Fault::CorruptBody]);
    assert_eq!(run().run().expect(0)["stream_sha256"], sha256_of(&bytes));
}

#[test]
fn the_name_that_a_manifest_has_is_refused() {
    let (fake, bench, _) = store_and_drive();
    for blob in ["x.manifest.jsonl".to_owned(), fake.blob("x.manifest.jsonl")] {
        import(&bench, "drive.img", &blob).run().expect_error(2, &["is the name of a manifest: choose another name"]);
    }
    assert!(!bench.file("x.manifest.jsonl").exists() && fake.names().is_empty());
}

#[test]
fn what_an_earlier_run_fetched_is_not_said_to_be_checked() {
    let (_fake, bench, bytes) = store_and_drive();
    bench.image("blob", &bytes);
    let run = || Agent::new(bench.path(), &[&"export", &"blob", &"back"]).with(&["--chunk-size", "64KiB"]);
    assert_eq!(run().env("DRIVE_AGENT_CRASH", "target-published").run().code, None);
    assert_eq!(run().run().expect(0)["evidence"], "read");
}

#[test]
fn an_image_that_came_meanwhile_is_left_alone() {
    let (_fake, bench, bytes) = store_and_drive();
    bench.image("blob", &bytes);
    let run = || Agent::new(bench.path(), &[&"export", &"blob", &"back"]).with(&["--chunk-size", "64KiB"]);
    let running = run().with(&["--rate", "1MiB/s"]).start();
    wait_until("the unfinished image", || !bench.partials("back").is_empty());
    // A user copies the blob by hand.
    bench.image("back", &bytes);
    running.wait().expect_error(6, &["it came to exist while its content was written", "move it away"]);
    run().run().expect_error(3, &["came to exist since its export was begun, which is unfinished in", "`--overwrite`"]);
    assert_eq!(bench.partials("back").len(), 1);
    run().with(&["--overwrite"]).run().expect(0);
    assert!(bench.partials("back").is_empty(), "{:?}", bench.partials("back"));
    assert_eq!(std::fs::read(bench.file("back")).unwrap(), bytes);
}

/// An export onto `target` that was cancelled in the middle.
fn half_export(bench: &Workbench, target: &str) {
    let export = Agent::new(bench.path(), &[&"export", &"blob", &target]).with(&["--chunk-size", "64KiB", "--rate", "512KiB/s"]);
    let running = export.start();
    running.wait_for_chunks(3);
    running.signal(rustix::process::Signal::INT);
    running.wait().expect(130);
}

#[test]
fn what_a_user_wrote_into_a_begun_image_stays() {
    let (_fake, bench, bytes) = store_and_drive();
    bench.image("blob", &bytes);
    bench.image("image", &vec![0; bytes.len()]);
    half_export(&bench, "image");
    let mut content = std::fs::read(bench.file("image")).unwrap();
    let at = content.len() - 1000;
    content[at..at + 7].copy_from_slice(b"my work");
    std::fs::write(bench.file("image"), &content).unwrap();
    let run = || Agent::new(bench.path(), &[&"export", &"blob", &"image"]).with(&["--chunk-size", "64KiB"]);
    run().run().expect_error(3, &[&format!("holds data at {at} that the export did not write"), "`--overwrite`"]);
    assert!(std::fs::read(bench.file("image")).unwrap() == content);
    run().with(&["--overwrite"]).run().expect(0);
    assert!(std::fs::read(bench.file("image")).unwrap() == bytes);
}

#[test]
fn an_export_knows_its_own_unfinished_image_and_removes_it_when_it_starts_over() {
    let (_fake, bench, bytes) = store_and_drive();
    bench.image("blob", &bytes);
    half_export(&bench, "image");
    let run = || Agent::new(bench.path(), &[&"export", &"blob", &"image"]).with(&["--chunk-size", "64KiB"]);
    let planned = run().with(&["--dry-run"]).run();
    assert!(!planned.stderr.contains("of another export"), "{}", planned.stderr);
    let restarted = run().with(&["--restart"]).run();
    restarted.expect(0);
    assert!(!restarted.stderr.contains("of another export"), "{}", restarted.stderr);
    assert!(bench.partials("image").is_empty());
}

#[test]
fn a_manifest_goes_where_it_destroys_nothing() {
    let (_fake, bench, bytes) = store_and_drive();
    let other = random_bytes(CHUNK, 2);
    bench.image("other.img", &other);
    let import = |drive: &str, blob: &str| Agent::new(bench.path(), &[&"import", &drive, &blob]);
    import("drive.img", "blob").with(&["--chunk-size", "64KiB"]).run().expect(0);
    let export = |manifest: &str| Agent::new(bench.path(), &[&"export", &"blob", &"back", &"--manifest", &manifest]).run();
    std::os::unix::fs::symlink(".", bench.file("here")).unwrap();
    for manifest in ["back", "here/back"] {
        export(manifest).expect_error(3, &["is the drive itself"]);
    }
    // The proof of another blob, by its name and by what it says.
    import("other.img", "second")
        .with(&["--manifest", "blob.manifest.jsonl"])
        .run()
        .expect_error(3, &["the manifest of the blob"]);
    import("drive.img", "third").with(&["--manifest", "copy.jsonl"]).run().expect(0);
    let again = import("other.img", "second").with(&["--manifest", "copy.jsonl"]);
    again.run().expect_error(3, &["the manifest of another blob", "`--overwrite`"]);
    half_export(&bench, "half");
    let journals = bench.file("state/drive-agent/journals");
    let journal = std::fs::read_dir(&journals).unwrap().next().unwrap().unwrap().path();
    let onto = import("other.img", "second").with(&["--manifest", journal.to_str().unwrap()]);
    onto.run().expect_error(3, &["something that is not a manifest"]);
    let map = import("other.img", "second").with(&["--mapfile", "q", "--on-unreadable", "rescue", "--manifest", "q"]);
    map.run().expect_error(3, &["something that is not a manifest"]);
    assert!(!bench.file("second").exists() && std::fs::read(bench.file("blob")).unwrap() == bytes);
}

#[test]
fn unfinished_files_are_neither_blobs_nor_drives() {
    let (_fake, bench, bytes) = store_and_drive();
    bench.image("blob", &bytes);
    let unfinished = "x.0123456789abcdef.partial";
    bench.image(unfinished, &bytes);
    Agent::new(bench.path(), &[&"export", &unfinished, &"back"]).run().expect_error(3, &["is the unfinished file of a transfer"]);
    let onto = Agent::new(bench.path(), &[&"export", &"blob", &unfinished, &"--overwrite"]);
    onto.run().expect_error(3, &["are for unfinished files"]);
    let odd = std::ffi::OsStr::new("image").to_owned();
    let odd = [odd.as_encoded_bytes(), b"\xff"].concat();
    let odd = bench.path().join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&odd));
    Agent::new(bench.path(), &[&"export", &"blob", &odd]).run().expect_error(3, &["is not UTF-8"]);
}

#[test]
fn a_dry_run_changes_nothing_at_all() {
    let (_fake, bench, bytes) = store_and_drive();
    bench.image("blob", &bytes);
    half_export(&bench, "image");
    let profile = format!("size = \"1MiB\"\nserial = \"S\"\nbacking = \"{}\"\n", bench.file("kept.bin").display());
    bench.image("drive.toml", profile.as_bytes());
    let journals = bench.file("state/drive-agent/journals");
    let journal = std::fs::read_dir(&journals).unwrap().next().unwrap().unwrap().path();
    let mut text = std::fs::read(&journal).unwrap();
    text.extend(b"{\"type\":\"chunk\",\"of");
    std::fs::write(&journal, &text).unwrap();
    let plan = |arguments: &[&str]| Agent::new(bench.path(), &[]).with(arguments).with(&["--dry-run"]);
    plan(&["export", "blob", "image"]).run().expect_error(3, &["was begun with a chunk size of 64 KiB", "--chunk-size 64KiB"]);
    let planned = plan(&["export", "blob", "image", "--chunk-size", "64KiB"]).run();
    assert_eq!((planned.code, std::fs::read(&journal).unwrap()), (Some(0), text), "{}", planned.stderr);
    assert!(planned.stdout.contains("resume"), "{}", planned.stdout);
    plan(&["import", "drive.toml", "new"]).env("XDG_STATE_HOME", bench.file("fresh").to_str().unwrap()).run().expect(0);
    assert!(!bench.file("kept.bin").exists() && !bench.file("fresh/drive-agent/journals").exists());
}

#[test]
fn chunks_of_a_drive_of_another_name_stay_sampled() {
    let bench = Workbench::new();
    for (name, serial) in [("a.toml", "SER-A"), ("b.toml", "SER-B")] {
        bench.image(name, format!("size = \"4MiB\"\nserial = \"{serial}\"\nseed = 7\n").as_bytes());
    }
    let run =
        |drive: &str| Agent::new(bench.path(), &[&"import", &drive, &"blob", &"--chunk-size", &"64KiB", &"--memory", &"128KiB"]);
    for drive in ["a.toml", "b.toml"] {
        assert_eq!(run(drive).env("DRIVE_AGENT_CRASH", "records-appended:4").run().code, None);
    }
    assert_eq!(run("a.toml").run().expect(0)["evidence"], "sampled");
}
