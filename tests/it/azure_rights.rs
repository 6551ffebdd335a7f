//! Credentials that permit less than a whole transfer needs: what can be done with them is done, and what cannot is refused
//! before the first byte, with what is missing.

use std::path::Path;

use time::Duration;

use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::azurite::{Azurite, narrow_sas};
use crate::support::images::{KIB, random_bytes};
use crate::support::{Agent, Ended, Workbench};

const NOW: [Duration; 2] = [Duration::minutes(-5), Duration::hours(2)];

struct Scene {
    azurite: Azurite,
    bench: Workbench,
    bytes: Vec<u8>,
}

impl Scene {
    fn new() -> Option<Self> {
        let (azurite, bench) = (Azurite::start()?, Workbench::new());
        let bytes = random_bytes(5 * 64 * KIB, 1);
        bench.image("drive.img", &bytes);
        Some(Scene { azurite, bench, bytes })
    }

    /// The address of `blob`, with a SAS of the container or of the blob alone.
    fn address(&self, blob: &str, is_of_blob: bool, permissions: &str) -> String {
        format!("{}/drives/{blob}?{}", self.azurite.endpoint(), narrow_sas(is_of_blob.then_some(blob), permissions, NOW))
    }

    fn import(&self, address: &str, more: &[&str]) -> Ended {
        Agent::new(self.bench.path(), &[&"import", &"drive.img", &address]).with(&["--chunk-size", "64KiB"]).with(more).run()
    }

    /// Exports with all rights, and compares.
    fn expect_content(&self, blob: &str) {
        let back = self.bench.file("back.img");
        Agent::new(self.bench.path(), &[&"export", &self.azurite.blob(blob), &back]).run().expect(0);
        assert!(std::fs::read(&back).unwrap() == self.bytes, "{blob}");
        std::fs::remove_file(back).unwrap();
    }
}

#[test]
fn a_sas_of_one_blob_keeps_the_manifest_here() {
    let Some(scene) = Scene::new() else { return };
    let address = scene.address("one", true, "rwc");
    let ended = scene.import(&address, &[]);
    let manifest = ended.expect(0)["manifest"].as_str().unwrap().to_owned();
    assert!(Path::new(&manifest).starts_with(scene.bench.file("state/drive-agent/manifests")), "{manifest}");
    // It is said before the first byte, and not again at the end.
    assert_eq!(ended.stderr.matches("kept as `").count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("alone: one of the container (sr=c) reaches both"), "{}", ended.stderr);
    scene.expect_content("one");
    let verified = Agent::new(scene.bench.path(), &[&"verify", &manifest, &"--blob", &address]).run().expect(0);
    assert_eq!(verified["outcome"], "complete");
    // A blob that exists is still seen, and a plan says where the manifest goes.
    scene.import(&address, &[]).expect_error(3, &["exists already"]);
    let plan = scene.import(&address, &["--overwrite", "--dry-run"]).expect(0);
    assert_eq!(plan["manifest"], manifest);
    let own = scene.import(&address, &["--overwrite", "--manifest", "own.jsonl"]).expect(0);
    assert!(own["manifest"] == "own.jsonl" && scene.bench.file("own.jsonl").exists(), "{own}");
}

#[test]
fn a_manifest_that_may_not_be_read_does_not_stop_an_export() {
    let Some(scene) = Scene::new() else { return };
    scene.import(&scene.azurite.blob("one"), &[]).expect(0);
    let ended = Agent::new(scene.bench.path(), &[&"export", &scene.address("one", true, "r"), &"back.img"]).run();
    let result = ended.expect(0);
    assert!(ended.stderr.contains("the manifest beside the blob may not be read"), "{}", ended.stderr);
    assert_eq!((result["checked_against_manifest"].as_bool(), result["evidence"].as_str()), (Some(false), Some("transport")));
    assert!(std::fs::read(scene.bench.file("back.img")).unwrap() == scene.bytes);
}

#[test]
fn what_may_be_written_and_not_seen_is_imported() {
    let Some(scene) = Scene::new() else { return };
    let address = scene.address("unseen", false, "w");
    let ended = scene.import(&address, &[]);
    ended.expect(0);
    assert!(ended.stderr.contains("the credentials do not permit to look at"), "{}", ended.stderr);
    scene.expect_content("unseen");
    // What is there stays, and that shows at the commit alone.
    let changed = random_bytes(5 * 64 * KIB, 2);
    scene.bench.image("drive.img", &changed);
    let refused = scene.import(&address, &["--restart"]);
    refused.expect_error(7, &["there is a blob of this name", "do not permit to look"]);
    scene.expect_content("unseen");
    let scene = Scene { bytes: changed, ..scene };
    scene.import(&address, &["--overwrite"]).expect(0);
    scene.expect_content("unseen");
}

#[test]
fn what_is_missing_is_named_before_the_first_byte() {
    let Some(scene) = Scene::new() else { return };
    for (permissions, more, words) in [
        ("rl", &[][..], "the SAS permits `rl` (sp), and write (w) is missing"),
        // To create is not enough: blocks are written.
        ("c", &[], "the SAS permits `c` (sp), and write (w) is missing"),
        ("w", &["--verify", "read-back"], "the SAS permits `w` (sp), and read (r) is missing"),
        ("w", &["--blob-type", "page"], "the SAS permits `w` (sp), and read (r) is missing"),
        ("l", &["--blob-type", "page"], "read (r) and write (w) are missing"),
    ] {
        for dry_run in [&["--dry-run"][..], &[]] {
            scene.import(&scene.address("no", false, permissions), more_of(more, dry_run).as_slice()).expect_error(7, &[words]);
        }
        assert_eq!(scene.bench.journals(), Vec::<std::path::PathBuf>::new(), "{permissions}");
    }
    let export = Agent::new(scene.bench.path(), &[&"export", &scene.address("no", false, "w"), &"back.img"]).run();
    export.expect_error(7, &["read (r) is missing"]);
    assert!(!scene.bench.file("back.img").exists());
}

#[test]
fn a_sas_of_a_snapshot_is_for_reading_and_one_for_other_addresses_says_so() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &random_bytes(64 * KIB, 1));
    let run = |sas: &str, more: &[&str]| {
        Agent::new(bench.path(), &[&"import", &"drive.img", &format!("{}&{sas}", fake.blob("blob"))]).with(more).run()
    };
    for (resource, what) in [("bs", "a snapshot of the blob (sr=bs)"), ("bv", "a version of the blob (sr=bv)")] {
        for more in [&["--dry-run"][..], &[], &["--blob-type", "page"]] {
            let words = format!("the SAS is for {what}, which cannot be written: have one made of the blob (sr=b)");
            run(&format!("sr={resource}&sp=rw"), more).expect_error(7, &[&words, "nothing was begun"]);
        }
    }
    assert_eq!((fake.puts().0, fake.seen(On::PutBlob), fake.seen(On::Head)), (0, 0, 0));
    // From which address a request comes, only the server knows.
    let limited = "sr=c&sp=rwc&sip=10.0.0.1-10.0.0.9";
    run(limited, &[]).expect(0);
    fake.always_fail(On::PutBlock, Some(Fault::Answer(403, "AuthorizationSourceIPMismatch")));
    run(limited, &["--overwrite", "--restart"])
        .expect_error(7, &["the SAS is for requests from 10.0.0.1-10.0.0.9 alone (sip)", "behind a proxy or NAT"]);
}

fn more_of<'text>(one: &[&'text str], other: &[&'text str]) -> Vec<&'text str> {
    [one, other].concat()
}

#[test]
fn a_sas_out_of_its_time_is_named_as_such() {
    let Some(scene) = Scene::new() else { return };
    for (times, words) in [
        ([Duration::hours(-9), Duration::hours(-3)], "the SAS expired at"),
        ([Duration::hours(3), Duration::hours(9)], "the SAS is valid from"),
    ] {
        let address = format!("{}/drives/late?{}", scene.azurite.endpoint(), narrow_sas(None, "rwc", times));
        scene.import(&address, &[]).expect_error(7, &[words]);
    }
    let address = format!("{}/drives/soon?{}", scene.azurite.endpoint(), narrow_sas(None, "rwc", [NOW[0], Duration::minutes(9)]));
    let ended = scene.import(&address, &[]);
    ended.expect(0);
    assert!(ended.stderr.contains("the SAS ends at"), "{}", ended.stderr);
}

/// A store that permits to write and not to look, and says so only when it is asked.
fn unseen_fake() -> AzureFake {
    let fake = AzureFake::start();
    for on in [On::Head, On::Get, On::GetBlockList] {
        fake.always_fail(on, Some(Fault::Answer(403, "AuthorizationPermissionMismatch")));
    }
    fake
}

fn import(bench: &Workbench, fake: &AzureFake, more: &[&str]) -> Agent {
    Agent::new(bench.path(), &[&"import", &"drive.img", &fake.blob("blob")]).with(&["--chunk-size", "64KiB"]).with(more)
}

#[test]
fn an_unseen_import_resumes_by_its_journal() {
    let (fake, bench) = (unseen_fake(), Workbench::new());
    let bytes = random_bytes(12 * 64 * KIB, 1);
    bench.image("drive.img", &bytes);
    fake.set_put_delay(std::time::Duration::from_millis(30));
    let running = import(&bench, &fake, &["--concurrency", "1"]).start();
    fake.wait_seen(On::PutBlock, 4);
    running.signal(rustix::process::Signal::INT);
    let result = running.wait().expect(130);
    let landed = result["receipt"]["landed_before_request"]["bytes"].as_u64().unwrap()
        + result["receipt"]["landed_after_request"]["bytes"].as_u64().unwrap();
    assert!(landed > 0, "{result}");
    let resumed = import(&bench, &fake, &[]).run().expect(0);
    assert_eq!(resumed["bytes_reused"].as_u64(), Some(landed), "{resumed}");
    assert!(fake.content("blob").unwrap() == bytes);
}

#[test]
fn an_unseen_import_whose_blocks_are_gone_says_how_to_start_over() {
    let (fake, bench) = (unseen_fake(), Workbench::new());
    let bytes = random_bytes(12 * 64 * KIB, 1);
    bench.image("drive.img", &bytes);
    fake.fail(On::PutBlockList, [Fault::Answer(403, "AuthorizationFailure")]);
    import(&bench, &fake, &[]).run().expect_error(7, &["the account's network rules may keep this machine out"]);
    fake.forget_blocks("blob");
    import(&bench, &fake, &[]).run().expect_error(7, &["add `--restart`"]);
    import(&bench, &fake, &["--restart"]).run().expect(0);
    assert!(fake.content("blob").unwrap() == bytes);
}

#[test]
fn an_account_for_page_blobs_alone_takes_a_page_blob() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = random_bytes(12 * 64 * KIB, 1);
    bench.image("drive.img", &bytes);
    fake.always_fail(On::PutBlock, Some(Fault::Answer(400, "BlobTypeNotSupported")));
    import(&bench, &fake, &[]).run().expect_error(7, &["`--blob-type page` alone"]);
    let ended = import(&bench, &fake, &["--blob-type", "page"]).run();
    let result = ended.expect(0);
    assert!(result["manifest"].as_str().unwrap().contains("/manifests/"), "{result}");
    assert!(ended.stderr.contains("the blob is complete, and its manifest is kept as"), "{}", ended.stderr);
    assert!(fake.content("blob").unwrap() == bytes);
    assert_eq!(fake.metadata("blob", "driveagentstate"), None, "it is marked as whole");
}

#[test]
fn a_sign_in_that_gets_no_answer_is_tried_again_and_names_its_host() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(64 * KIB, 1));
    // Nothing listens there, so nothing is ever asked of the account.
    let ended = Agent::new(bench.path(), &[&"import", &"drive.img", &"https://acme.blob.core.windows.net/c/n"])
        .with(&["--retry-budget", "1s"])
        .env("AZURE_AUTHORITY_HOST", "https://127.0.0.1:9")
        .env("AZURE_TENANT_ID", "00000000-0000-0000-0000-000000000001")
        .env("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000002")
        .env("AZURE_CLIENT_SECRET", "SECRET")
        .run();
    ended.expect_error(7, &["no access token was obtained from 127.0.0.1 (Entra ID)", "abandoned after"]);
    assert!(!ended.stderr.contains("SECRET"), "{}", ended.stderr);
}
