//! Page blobs that more than one run writes: what a run sends late, or a run that was replaced, changes nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::process::Signal;

use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::images::{KIB, MIB, random_bytes};
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

/// The most requests that 1 MiB of data in a sparse page blob of 1 GiB may take, whatever is done with it.
const DATA_REQUESTS_MAX: u64 = 4;

#[test]
fn what_is_sparse_is_not_fetched_to_be_read_back_verified_or_exported() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let image = File::create(bench.file("drive.img")).unwrap();
    image.set_len(1 << 30).unwrap();
    // On both sides of a border between two chunks.
    let data = random_bytes(MIB, 1);
    image.write_all_at(&data, (64 * MIB - 300 * KIB) as u64).unwrap();
    let requests = |words: &[&dyn AsRef<std::ffi::OsStr>]| {
        let before = fake.seen(On::Get);
        let result = Agent::new(bench.path(), words).run().expect(0);
        assert!(fake.seen(On::Get) - before <= DATA_REQUESTS_MAX, "{} requests: {result}", fake.seen(On::Get) - before);
    };
    let (blob, manifest) = (fake.blob("blob"), fake.blob("blob.manifest.jsonl"));
    requests(&[&"import", &"drive.img", &blob, &"--blob-type", &"page", &"--verify", &"read-back"]);
    requests(&[&"verify", &manifest, &"--blob", &blob]);
    requests(&[&"export", &blob, &"back.img"]);
    fake.delete("blob.manifest.jsonl");
    for knows_crc64 in [true, false] {
        fake.set_knows_crc64(knows_crc64);
        requests(&[&"export", &blob, &"back.img", &"--overwrite"]);
        let mut back = vec![0; MIB + 2];
        File::open(bench.file("back.img")).unwrap().read_exact_at(&mut back, (64 * MIB - 300 * KIB - 1) as u64).unwrap();
        assert!(back == [&[0], &*data, &[0]].concat());
    }
}

#[test]
fn what_was_written_to_a_page_blob_since_differs_wherever_it_is() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    sparse(&fake, &bench);
    import(&bench, &fake, "sparse.img").with(&["--overwrite", "--manifest", "own.jsonl"]).run().expect(0);
    fake.set_list_page(3);
    let verify = || Agent::new(bench.path(), &[&"verify", &"own.jsonl", &"--blob", &fake.blob("blob")]).run();
    let before = fake.seen(On::Get);
    verify().expect(0);
    assert_eq!(fake.seen(On::Get) - before, 8);
    // In a hole between chunks of data, and beside the data of a chunk.
    for chunk in [4, 11] {
        fake.flip_byte("blob", chunk * 64 * KIB + 60 * KIB);
        let result = verify().expect(5);
        assert_eq!(result["differences"][0]["offset"], chunk * 64 * KIB, "{result}");
        fake.flip_byte("blob", chunk * 64 * KIB + 60 * KIB);
        verify().expect(0);
    }
}

#[test]
fn what_changes_while_it_is_read_back_is_noticed() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    sparse(&fake, &bench);
    fake.fail(On::Get, [Fault::Hold]);
    let running = import(&bench, &fake, "sparse.img").with(&["--overwrite", "--verify", "read-back"]).start();
    fake.wait_held(1);
    fake.flip_byte("blob", 0);
    fake.release();
    let ended = running.wait();
    assert!([5, 7].contains(&ended.code.unwrap()) && ended.stderr.contains("another program changed"), "{}", ended.stderr);
}

#[test]
fn one_request_asks_whether_the_store_has_crc64() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = random_bytes(32 * 64 * KIB, 1);
    fake.put_plain("blob", bytes.clone(), &[]);
    fake.set_knows_crc64(false);
    let export = Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back.img"]);
    let result = export.with(&["--chunk-size", "64KiB", "--concurrency", "8"]).run().expect(0);
    // One looks at the beginning, and one is refused.
    assert_eq!((fake.seen(On::Get), result["evidence"].as_str()), (34, Some("transport")));
    assert!(std::fs::read(bench.file("back.img")).unwrap() == bytes);
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
