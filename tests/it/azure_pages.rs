//! Page blobs that more than one run writes: what a run sends late, or a run that was replaced, changes nothing.

use rustix::process::Signal;

use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::images::{KIB, random_bytes};
use crate::support::{Agent, Workbench};

const CHUNKS: u64 = 16;

fn drive(bench: &Workbench, name: &str, seed: u64) -> Vec<u8> {
    let bytes = random_bytes(CHUNKS as usize * 64 * KIB, seed);
    bench.image(name, &bytes);
    bytes
}

fn import(bench: &Workbench, fake: &AzureFake, image: &str) -> Agent {
    let options = ["--blob-type", "page", "--chunk-size", "64KiB", "--concurrency", "4"];
    Agent::new(bench.path(), &[&"import", &image, &fake.blob("blob")]).with(&options)
}

/// An import that is cancelled with one page held by the store, and seven that landed.
fn import_cancelled(bench: &Workbench, fake: &AzureFake, image: &str) {
    fake.fail(On::PutPage, [Fault::Hold]);
    let cancelled = import(bench, fake, image).start();
    fake.wait_held(1);
    fake.wait_seen(On::PutPage, 8);
    cancelled.signal(Signal::INT);
    fake.release();
    cancelled.wait().expect(130);
}

/// A page blob without a manifest, with one chunk of data in eight.
fn sparse(fake: &AzureFake, bench: &Workbench) -> Vec<u8> {
    let mut bytes = vec![0; 64 * 64 * KIB];
    for chunk in (3..64).step_by(8) {
        bytes[chunk * 64 * KIB + 512..][..1024].copy_from_slice(&random_bytes(1024, chunk as u64));
    }
    bench.image("sparse.img", &bytes);
    import(bench, fake, "sparse.img").run().expect(0);
    fake.delete("blob.manifest.jsonl");
    bytes
}

#[test]
fn an_export_fetches_only_what_was_written_to_a_page_blob() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = sparse(&fake, &bench);
    for list_page in [1, 3, 5000] {
        fake.set_list_page(list_page);
        let before = fake.seen(On::Get);
        let export = Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back.img"]).with(&["--chunk-size", "64KiB"]);
        let result = export.run().expect(0);
        // One more looks at the beginning.
        assert_eq!((fake.seen(On::Get) - before, result["bytes_zero"].as_u64()), (9, Some(56 * 64 * 1024)), "{list_page}");
        assert!(std::fs::read(bench.file("back.img")).unwrap() == bytes);
        std::fs::remove_file(bench.file("back.img")).unwrap();
    }
}

#[test]
fn a_store_that_does_not_say_what_was_written_is_read_in_full() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = sparse(&fake, &bench);
    fake.always_fail(On::GetPageRanges, Some(Fault::Answer(400, "InvalidQueryParameterValue")));
    let export = Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back.img"]).with(&["--chunk-size", "64KiB"]);
    export.run().expect(0);
    assert!(std::fs::read(bench.file("back.img")).unwrap() == bytes);
    assert!(fake.seen(On::Get) >= 64);
}

#[test]
fn a_replaced_import_writes_nothing_into_the_blob_of_the_other() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    drive(&bench, "a.img", 1);
    let b = drive(&bench, "b.img", 2);
    fake.fail(On::PutPage, vec![Fault::Hold; 4]);
    let replaced = import(&bench, &fake, "a.img").start();
    fake.wait_held(4);
    import(&bench, &fake, "b.img").with(&["--overwrite", "--state-dir", "other"]).run().expect(0);
    let version = fake.etag("blob");
    fake.release();
    let ended = replaced.wait();
    ended.expect_error(7, &["another transfer replaced the page blob while it was written: nothing more is written to it"]);
    assert!(ended.expect(7)["receipt"].get("residue").is_none(), "nothing of it is there: {}", ended.stdout);
    assert_eq!((fake.content("blob").unwrap().to_vec(), fake.etag("blob")), (b, version));
}

#[test]
fn a_blob_that_is_being_written_can_be_replaced() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    drive(&bench, "a.img", 1);
    let b = drive(&bench, "b.img", 2);
    fake.fail(On::PutPage, vec![Fault::Hold; 4]);
    let replaced = import(&bench, &fake, "a.img").start();
    fake.wait_held(4);
    // Between the other one's look at the blob and its replacement, pages land, and the blob has another version.
    fake.fail(On::PutBlob, [Fault::Hold]);
    let other = import(&bench, &fake, "b.img").with(&["--overwrite", "--state-dir", "other"]).start();
    fake.wait_held(5);
    fake.flip_byte("blob", 0);
    fake.release();
    other.wait().expect(0);
    replaced.wait().expect_error(7, &["another transfer replaced the page blob"]);
    assert_eq!(fake.content("blob").unwrap(), b);
}

#[test]
fn a_late_request_of_a_killed_run_changes_nothing() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let a = drive(&bench, "a.img", 1);
    fake.fail(On::PutPage, [Fault::Hold]);
    let killed = import(&bench, &fake, "a.img").start();
    fake.wait_held(1);
    fake.wait_seen(On::PutPage, 4);
    killed.signal(Signal::KILL);
    killed.wait();
    import(&bench, &fake, "a.img").run().expect(0);
    let (version, done) = (fake.etag("blob"), fake.done(On::PutPage));
    fake.release();
    fake.wait_done(On::PutPage, done + 1);
    assert_eq!((fake.content("blob").unwrap().to_vec(), fake.etag("blob")), (a, version));
}

#[test]
fn a_blob_with_a_foreign_sequence_number_is_not_resumed() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let a = drive(&bench, "a.img", 1);
    import_cancelled(&bench, &fake, "a.img");
    // A copy of the unfinished blob over itself, or a tool that counts on its own: what it holds is not known any more.
    fake.set_sequence_number("blob", 7);
    let resumed = import(&bench, &fake, "a.img").run().expect(0);
    assert_eq!(resumed["bytes_reused"], 0);
    assert_eq!(fake.content("blob").unwrap(), a);
}

#[test]
fn a_resume_continues_under_the_next_number() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let a = drive(&bench, "a.img", 1);
    import_cancelled(&bench, &fake, "a.img");
    let (first, sent) = (fake.sequence_number("blob").unwrap(), fake.seen(On::PutPage));
    // The answers to the new number, to the seal and to the mark are lost: each is found done at the next look.
    fake.fail(On::SetProperties, [Fault::LostAnswer, Fault::Answer(503, "ServerBusy"), Fault::DoneTwice, Fault::LostAnswer]);
    fake.fail(On::SetMetadata, [Fault::LostAnswer]);
    import(&bench, &fake, "a.img").run().expect(0);
    assert_eq!((fake.content("blob").unwrap().to_vec(), fake.metadata("blob", "driveagentstate")), (a, None));
    assert!(fake.sequence_number("blob").unwrap() > first);
    assert!(fake.seen(On::PutPage) - sent <= CHUNKS - sent + 1, "what had landed was sent again");
}

#[test]
fn a_deleted_page_blob_ends_its_import() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    drive(&bench, "a.img", 1);
    fake.fail(On::PutPage, vec![Fault::Hold; 4]);
    let running = import(&bench, &fake, "a.img").start();
    fake.wait_held(4);
    fake.delete("blob");
    fake.release();
    running.wait().expect_error(7, &["it was deleted while it was written"]);
    assert_eq!(fake.names(), [] as [&str; 0]);
}

#[test]
fn a_page_blob_that_is_replaced_is_said_to_be_gone_from_the_beginning() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    drive(&bench, "old.img", 1);
    drive(&bench, "new.img", 2);
    let run = |image: &str| import(&bench, &fake, image).with(&["--overwrite"]);
    let first = run("old.img").run();
    first.expect(0);
    assert!(!first.stderr.contains("is destroyed at the beginning"), "{}", first.stderr);
    let second = run("new.img").env("DRIVE_AGENT_CRASH", "records-appended:2").run();
    assert!(second.stderr.contains("until this import is complete there is neither the old one nor the new one"));
    // What is there does not look complete.
    let refused = "is marked incomplete: its import was not finished; finish it first";
    Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back"]).run().expect_error(3, &[refused]);
    let verify = [fake.blob("blob.manifest.jsonl"), fake.blob("blob")];
    Agent::new(bench.path(), &[&"verify", &verify[0], &"--blob", &verify[1]]).run().expect_error(3, &[refused]);
}
