//! What a transfer says at its end is true: when answers were lost or changed on their way, when another one came between,
//! and when it is told again.

use std::time::Duration;

use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::images::{KIB, random_bytes, sha256_of};
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
fn an_image_that_came_meanwhile_is_left_alone_and_then_resumed_onto() {
    let (_fake, bench, bytes) = store_and_drive();
    bench.image("blob", &bytes);
    let run = || Agent::new(bench.path(), &[&"export", &"blob", &"back"]).with(&["--chunk-size", "64KiB"]);
    let running = run().with(&["--rate", "1MiB/s"]).start();
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while bench.partials("back").is_empty() && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Somebody copies the blob by hand.
    bench.image("back", &bytes);
    running.wait().expect_error(6, &["it came to exist while its content was written", "move it away"]);
    run().run().expect(0);
    assert!(bench.partials("back").is_empty(), "{:?}", bench.partials("back"));
    assert_eq!(std::fs::read(bench.file("back")).unwrap(), bytes);
}
