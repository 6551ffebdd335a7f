//! What stands against a transfer at Azure is found before its first byte, and named with the way out.

use blob::http::{Network, SILENCE_MAX};
use blob::{AccountAddress, Environment};

use crate::support::azure_fake::{AzureFake, On};
use crate::support::images::{KIB, random_bytes};
use crate::support::{Agent, Workbench};

struct Scene {
    fake: AzureFake,
    bench: Workbench,
}

impl Scene {
    fn new() -> Self {
        let scene = Scene { fake: AzureFake::start(), bench: Workbench::new() };
        scene.bench.image("drive.img", &random_bytes(64 * KIB, 1));
        scene
    }

    #[track_caller]
    fn refuses_import(&self, blob: &str, more: &[&str], words: &[&str]) {
        let ended = Agent::new(self.bench.path(), &[&"import", &"drive.img", &blob]).with(more).run();
        ended.expect_error(3, words);
        let sent = [On::PutBlob, On::PutBlock, On::PutPage].map(|on| self.fake.seen(on));
        assert_eq!(sent, [0; 3], "something was sent");
        let journals = std::fs::read_dir(self.bench.file("state/drive-agent/journals"));
        let left = journals.map_or(0, |entries| {
            entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "jsonl")).count()
        });
        assert_eq!(left, 0, "a transfer was begun");
    }

    #[track_caller]
    fn refuses_export(&self, blob: &str, words: &[&str]) {
        Agent::new(self.bench.path(), &[&"export", &blob, &"back.img"]).run().expect_error(3, words);
        assert!(!self.bench.file("back.img").exists());
    }
}

#[test]
fn folders_are_not_blobs() {
    let scene = Scene::new();
    scene.fake.put_folder_marker("marked");
    scene.fake.put_directory("directory");
    for name in ["marked", "directory"] {
        scene.refuses_export(&scene.fake.blob(name), &["it marks a folder, and is not a blob"]);
        scene.refuses_import(&scene.fake.blob(name), &["--overwrite"], &["it marks a folder, and is not a blob"]);
    }
    // An empty blob is one all the same.
    scene.fake.put_plain("empty", Vec::new(), &[]);
    Agent::new(scene.bench.path(), &[&"export", &scene.fake.blob("empty"), &"back.img"]).run().expect(0);
}

#[test]
fn lists_leave_folders_out() {
    let scene = Scene::new();
    scene.fake.put_folder_marker("music");
    scene.fake.put_plain("music/love", vec![0; 512], &[]);
    scene.fake.put_plain("music/none", Vec::new(), &[]);
    scene.fake.set_list_page(1);
    let account = AccountAddress::parse(&scene.fake.account())
        .unwrap()
        .reach(&Environment::default(), &Network::direct(SILENCE_MAX))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (blobs, containers) =
        runtime.block_on(async { (account.blobs("drives", "music").await.unwrap(), account.containers("dri").await.unwrap()) });
    let names: Vec<_> = blobs.iter().map(|blob| blob.name.as_str()).collect();
    assert_eq!((names, containers), (vec!["music/love", "music/none"], vec!["drives".to_owned()]));
}

#[test]
fn a_blob_keeps_its_type() {
    let scene = Scene::new();
    let blob = scene.fake.blob("blob");
    scene.fake.put_plain("blob", vec![0; 512], &[]);
    let page = ["--overwrite", "--blob-type", "page"];
    scene.refuses_import(&blob, &page, &["it is a block blob, and a blob keeps its type: use `--blob-type block`"]);
    scene.fake.put_page_blob("blob", 512);
    scene.refuses_import(&blob, &["--overwrite"], &["it is a page blob, and a blob keeps its type: use `--blob-type page`"]);
}

#[test]
fn leases_holds_and_policies_are_named() {
    let scene = Scene::new();
    let blob = scene.fake.blob("blob");
    scene.fake.put_plain("blob", vec![0; 512], &[]);
    for (headers, words) in [
        (("x-ms-lease-state", "leased"), "another program holds a lease on it"),
        (("x-ms-legal-hold", "true"), "a retention policy or a legal hold protects it"),
        (("x-ms-immutability-policy-mode", "Locked"), "a retention policy or a legal hold protects it"),
        (("x-ms-copy-status", "pending"), "the store is still copying it"),
    ] {
        scene.fake.set_headers("blob", &[headers]);
        scene.refuses_import(&blob, &["--overwrite"], &[words]);
    }
    let until = ("x-ms-immutability-policy-until-date", "Fri, 01 Jan 2100 00:00:00 GMT");
    let (policy, hold) = (("x-ms-immutability-policy-mode", "Unlocked"), ("x-ms-legal-hold", "true"));
    for (headers, words) in [
        (&[policy, until][..], "a retention policy protects it until 2100-01-01T00:00:00Z: choose another name"),
        (&[policy, until, hold], "until 2100-01-01T00:00:00Z, and a legal hold besides"),
    ] {
        scene.fake.set_headers("blob", headers);
        scene.refuses_import(&blob, &["--overwrite"], &[words]);
    }
}

#[test]
fn archived_blobs_are_not_exported() {
    let scene = Scene::new();
    scene.fake.put_plain("blob", vec![0; 512], &[]);
    scene.fake.set_headers("blob", &[("x-ms-access-tier", "Archive")]);
    scene.refuses_export(&scene.fake.blob("blob"), &["it is in the archive tier", "set-tier"]);
    scene.fake.set_headers("blob", &[("x-ms-access-tier", "Archive"), ("x-ms-archive-status", "rehydrate-pending-to-hot")]);
    scene.refuses_export(&scene.fake.blob("blob"), &["it is being moved out of the archive tier"]);
}

#[test]
fn names_that_leave_no_room_for_a_manifest_are_refused() {
    let scene = Scene::new();
    let suffix = ".manifest.jsonl".len();
    scene.refuses_import(&scene.fake.blob(&"x".repeat(1025 - suffix)), &[], &["longer than 1024 characters"]);
    scene.refuses_import(&scene.fake.blob("ü").replace("ü", &"%C3%BC".repeat(1025 - suffix)), &[], &["at most 1009"]);
    let longest = scene.fake.blob(&"x".repeat(1024 - suffix));
    Agent::new(scene.bench.path(), &[&"import", &"drive.img", &longest]).run().expect(0);
}

#[test]
fn snapshots_are_not_written() {
    let scene = Scene::new();
    let blob = scene.fake.blob("blob") + "&snapshot=2026-01-01T00:00:00.0000000Z";
    scene.refuses_import(&blob, &["--overwrite"], &["the address names a snapshot of the blob, which cannot be written"]);
}
