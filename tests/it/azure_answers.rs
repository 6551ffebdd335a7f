//! Answers of a store that are wrong, endless, or say more than a code.

use std::time::{Duration, Instant};

use crate::support::azure_fake::{AzureFake, Fault, On, REQUEST_ID};
use crate::support::images::{KIB, patterned, random_bytes};
use crate::support::{Agent, Workbench};

const CHUNKS: usize = 12;

fn import(bench: &Workbench, fake: &AzureFake) -> Agent {
    Agent::new(bench.path(), &[&"import", &"drive.img", &fake.blob("blob")]).with(&["--chunk-size", "64KiB"])
}

#[test]
fn an_answer_for_other_bytes_than_were_asked_is_never_written() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = random_bytes(CHUNKS * 64 * KIB, 1);
    // No manifest: nothing else would find it.
    fake.put_plain("blob", bytes.clone(), &[]);
    for fault in [Fault::WrongRange, Fault::WrongTotal, Fault::WholeBlob] {
        // The first is met by the look at what the blob begins with.
        fake.fail(On::Get, [fault.clone(), fault.clone(), fault.clone()]);
        let export = Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back"]).with(&["--chunk-size", "64KiB"]);
        let result = export.run().expect(0);
        assert_eq!(std::fs::read(bench.file("back")).unwrap(), bytes, "{fault:?}");
        assert!(result["retries"].as_u64().unwrap() >= 2, "{fault:?}: {result}");
        std::fs::remove_file(bench.file("back")).unwrap();
    }
    fake.always_fail(On::Get, Some(Fault::WholeBlob));
    let export = Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back"]);
    let ended = export.with(&["--chunk-size", "64KiB", "--retry-budget", "1s"]).run();
    ended.expect_error(7, &["were asked for, and the answer is the whole blob"]);
}

#[test]
fn lists_of_blocks_go_with_a_checksum() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = random_bytes(CHUNKS * 64 * KIB, 1);
    bench.image("drive.img", &bytes);
    // One list for the blob, one for its manifest; each is changed on its way once.
    fake.fail(On::PutBlockList, [Fault::CorruptBody, Fault::DoneTwice, Fault::CorruptBody]);
    import(&bench, &fake).run().expect(0);
    assert_eq!((fake.content("blob").unwrap().to_vec(), fake.seen(On::PutBlockList)), (bytes, 4));
}

#[test]
fn a_commit_that_made_another_blob_is_not_a_success() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &random_bytes(CHUNKS * 64 * KIB, 1));
    fake.fail(On::PutBlockList, [Fault::LastBlockLost]);
    import(&bench, &fake).run().expect_error(7, &["the store holds 720896 bytes of it after the commit", "786432"]);
}

#[test]
fn a_blob_that_was_replaced_meanwhile_is_not_replaced_again() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &random_bytes(CHUNKS * 64 * KIB, 1));
    fake.put_plain("blob", vec![1; 10], &[]);
    fake.fail(On::PutBlockList, [Fault::Hold]);
    let running = import(&bench, &fake).with(&["--overwrite"]).start();
    fake.wait_held(1);
    fake.put_plain("blob", vec![2; 10], &[]);
    fake.release();
    running.wait().expect_error(7, &["another program changed it meanwhile: look at what it holds now, and repeat the command"]);
    assert_eq!(fake.content("blob").unwrap(), vec![2; 10]);
}

#[test]
fn two_imports_that_race_for_a_name_end_with_what_to_do() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &random_bytes(CHUNKS * 64 * KIB, 1));
    for kind in ["block", "page"] {
        fake.delete("blob");
        // A page blob is made before its first byte.
        let (on, code) = if kind == "page" { (On::PutBlob, 3) } else { (On::PutBlockList, 7) };
        fake.fail(on, [Fault::Hold]);
        let running = import(&bench, &fake).with(&["--blob-type", kind, "--restart"]).start();
        fake.wait_held(1);
        fake.put_plain("blob", vec![1; 512], &[]);
        fake.release();
        running
            .wait()
            .expect_error(code, &["BlobAlreadyExists", "choose another name, or repeat the command with `--overwrite`"]);
        assert_eq!(fake.content("blob").unwrap(), vec![1; 512]);
    }
    fake.delete("blob");
    fake.fail(On::PutBlock, [Fault::Answer(413, "RequestBodyTooLarge")]);
    import(&bench, &fake).with(&["--restart"]).run().expect_error(7, &["RequestBodyTooLarge", "use a smaller `--chunk-size`"]);
}

#[test]
fn residue_is_what_the_store_holds() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    // Zeros at the beginning land without a body, and a repeated chunk is one block.
    bench.image("drive.img", &patterned("zzzzaaarrrrrrrrrrrrr", 64 * KIB));
    fake.set_put_delay(Duration::from_millis(20));
    let running = import(&bench, &fake).with(&["--concurrency", "2"]).start();
    fake.wait_seen(On::PutBlock, 5);
    running.signal(rustix::process::Signal::INT);
    let result = running.wait().expect(130);
    let held: u64 = fake.uncommitted("blob").iter().map(|(_, bytes)| bytes).sum();
    assert!(held > 0 && result["receipt"]["residue"]["bytes"] == held, "{held}: {result}");
}

#[test]
fn what_is_not_from_the_store_is_named_and_tried_again() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = random_bytes(CHUNKS * 64 * KIB, 1);
    bench.image("drive.img", &bytes);
    for status in [200, 201, 302, 403, 404, 511] {
        fake.fail(On::PutBlock, [Fault::OtherServer(status), Fault::OtherServer(status)]);
        for on in [On::Head, On::GetBlockList, On::PutBlockList] {
            fake.fail(on, [Fault::OtherServer(status)]);
        }
        let result = import(&bench, &fake).with(&["--overwrite", "--restart"]).run().expect(0);
        assert!(fake.content("blob").unwrap() == bytes && result["retries"].as_u64() >= Some(5), "{status}: {result}");
    }
    fake.always_fail(On::Head, Some(Fault::OtherServer(403)));
    let ended = import(&bench, &fake).with(&["--retry-budget", "1s"]).run();
    let host = format!("something on the way answers for `127.0.0.1:{}`: sign in at the network's portal", fake.port());
    ended.expect_error(7, &["the answer is not from the store (403, text/html, without Azure's x-ms-request-id)", &host]);
    // No body of that size gets through at the next try either.
    fake.always_fail(On::Head, None);
    fake.fail(On::PutBlock, [Fault::OtherServer(413)]);
    import(&bench, &fake)
        .with(&["--overwrite", "--restart", "--concurrency", "1"])
        .run()
        .expect_error(7, &["413", "--chunk-size"]);
    // A proxy that wants a password will want it the next time too.
    fake.always_fail(On::Head, Some(Fault::OtherServer(407)));
    import(&bench, &fake).run().expect_error(7, &["407", "the proxy on the way wants a name and a password"]);
}

#[test]
fn the_page_of_a_portal_is_neither_a_blob_nor_an_acknowledgement() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = random_bytes(CHUNKS * 64 * KIB, 1);
    bench.image("drive.img", &bytes);
    let pages = || {
        let import = Agent::new(bench.path(), &[&"import", &"drive.img", &fake.blob("pages")]);
        import.with(&["--blob-type", "page", "--overwrite", "--restart"])
    };
    let blocks = || import(&bench, &fake).with(&["--overwrite", "--restart"]);
    // The first answers of a kind are the portal's; and then all of them are.
    let expect_named = |on: On, status: u16, agent: &dyn Fn() -> Agent| {
        fake.fail(on, [Fault::OtherServer(status), Fault::OtherServer(status)]);
        let result = agent().run().expect(0);
        assert!(result.get("retries").is_none_or(|retries| retries.as_u64() > Some(0)), "{on:?}: {result}");
        fake.always_fail(on, Some(Fault::OtherServer(status)));
        let words = format!("the answer is not from the store ({status}, text/html");
        agent().with(&["--retry-budget", "1s"]).run().expect_error(7, &[&words, "sign in at the network's portal"]);
        fake.always_fail(on, None);
    };
    for (on, status) in [(On::PutBlob, 201), (On::PutPage, 201), (On::SetMetadata, 200)] {
        expect_named(on, status, &pages);
    }
    for (on, status) in [(On::Head, 200), (On::GetBlockList, 200), (On::PutBlock, 201), (On::PutBlockList, 201)] {
        expect_named(on, status, &blocks);
    }
    pages().run().expect(0);
    blocks().run().expect(0);
    assert!(fake.content("pages").unwrap() == bytes && fake.content("blob").unwrap() == bytes);
    // One that is asked for a range may say that this is it.
    for status in [200, 206] {
        expect_named(On::Get, status, &|| Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back", &"--overwrite"]));
        let manifest = fake.blob("blob.manifest.jsonl");
        expect_named(On::Get, status, &|| Agent::new(bench.path(), &[&"verify", &manifest, &"--blob", &fake.blob("blob")]));
    }
    assert!(std::fs::read(bench.file("back")).unwrap() == bytes);
}

#[test]
fn endless_answers_end() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &random_bytes(64 * KIB, 1));
    for (on, fault, words) in [
        (On::GetBlockList, Fault::EndlessError(403), "the server answered 403 no code"),
        (On::GetBlockList, Fault::EndlessBody, "the answer is longer than"),
    ] {
        let started = Instant::now();
        fake.put_plain("blob", vec![0; 512], &[]);
        fake.always_fail(on, Some(fault));
        import(&bench, &fake).with(&["--overwrite"]).run().expect_error(7, &[words]);
        assert!(started.elapsed() < Duration::from_secs(30), "it was read until a timeout");
    }
}

#[test]
fn refusals_carry_the_servers_words_and_the_name_of_the_request() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &random_bytes(64 * KIB, 1));
    fake.fail(On::PutBlock, [Fault::Answer(403, "AuthorizationPermissionMismatch")]);
    let words =
        format!("\"What the store says of AuthorizationPermissionMismatch\" (request {REQUEST_ID}); the SAS does not permit it");
    let ended = import(&bench, &fake).run();
    ended.expect_error(7, &[&words]);
    assert_eq!(ended.stderr.trim_end().lines().last().map(|line| line.contains("RequestId:")), Some(false));
    // A container that is being deleted is free again after a while.
    fake.fail(On::PutBlock, [Fault::Answer(409, "ContainerBeingDeleted")]);
    import(&bench, &fake).run().expect(0);
}
