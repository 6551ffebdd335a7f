//! Tier, metadata and content type of an imported blob: given with the commit, or refused before the first byte.

use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::azurite::Azurite;
use crate::support::images::{KIB, random_bytes};
use crate::support::{Agent, Workbench};

struct Scene {
    bench: Workbench,
    fake: AzureFake,
}

fn scene() -> Scene {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(200 * KIB, 1));
    Scene { bench, fake: AzureFake::start() }
}

impl Scene {
    fn import(&self, options: &[&str]) -> Agent {
        let blob = self.fake.blob("disk");
        Agent::new(self.bench.path(), &[&"import", &"drive.img", &blob, &"--chunk-size", &"64KiB"]).with(options)
    }

    fn described(&self) -> (Option<String>, Option<String>) {
        self.fake.described("disk")
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

const ALL: [&str; 8] = [
    "--tier",
    "cold",
    "--metadata",
    "Owner=some one",
    "--metadata",
    "ticket=7",
    "--content-type",
    "application/x-raw-disk-image",
];

#[test]
fn a_block_blob_gets_them_with_its_commit_and_its_manifest_does_not() {
    let scene = scene();
    let plan = scene.import(&ALL).with(&["--dry-run"]).run().expect(0);
    let metadata = serde_json::json!({ "owner": "some one", "ticket": "7" });
    let expected = serde_json::json!({ "tier": "cold", "content_type": "application/x-raw-disk-image", "metadata": metadata });
    assert_eq!(plan["properties"], expected);
    let blob = scene.fake.blob("disk");
    let words = [&"import" as &dyn AsRef<std::ffi::OsStr>, &"drive.img", &blob, &"--dry-run"];
    let shown = Agent::bare(scene.bench.path(), &words).with(&ALL).run();
    assert!(shown.stdout.contains("owner=some one, ticket=7") && shown.stdout.contains("cold"), "{}", shown.stdout);
    scene.import(&ALL).run().expect(0);
    assert_eq!(scene.described(), (text("Cold"), text("application/x-raw-disk-image")));
    assert_eq!(scene.fake.metadata("disk", "owner"), text("some one"));
    assert_eq!(scene.fake.metadata("disk", "ticket"), text("7"));
    assert!(scene.fake.metadata("disk", "driveagentroot").is_some());
    assert_eq!(scene.fake.described("disk.manifest.jsonl"), (None, None));
    assert_eq!(scene.fake.metadata("disk.manifest.jsonl", "owner"), None);
    // Without a word the blob that is replaced has none of them.
    scene.import(&["--overwrite"]).run().expect(0);
    assert_eq!((scene.described(), scene.fake.metadata("disk", "owner")), ((None, None), None));
}

#[test]
fn a_page_blob_gets_metadata_and_type_and_refuses_a_tier() {
    let scene = scene();
    let pages = ["--blob-type", "page"];
    let ended = scene.import(&pages).with(&["--tier", "hot"]).run();
    ended.expect_error(2, &["`--tier` is for block blobs"]);
    scene.import(&pages).with(&["--tier", "P30"]).run().expect_error(2, &["premium page blobs"]);
    assert!(scene.fake.names().is_empty());
    scene.import(&pages).with(&ALL[2..]).run().expect(0);
    assert_eq!(scene.described(), (None, text("application/x-raw-disk-image")));
    assert_eq!(scene.fake.metadata("disk", "owner"), text("some one"));
    assert_eq!(scene.fake.metadata("disk", "driveagentstate"), None);
}

#[test]
fn the_run_that_completes_a_blob_decides() {
    for (kind, write) in [("block", On::PutBlock), ("page", On::PutPage)] {
        let scene = scene();
        let kind = ["--blob-type", kind];
        scene.fake.fail(write, [Fault::Answer(409, "X")]);
        let first = scene.import(&kind).with(&["--metadata", "owner=first", "--metadata", "old=1", "--content-type", "a/first"]);
        first.with(&["--concurrency", "1"]).run().expect(7);
        scene.import(&kind).with(&["--metadata", "owner=second", "--content-type", "a/second"]).run().expect(0);
        assert_eq!(scene.described().1, text("a/second"), "{kind:?}");
        assert_eq!(scene.fake.metadata("disk", "owner"), text("second"));
        assert_eq!(scene.fake.metadata("disk", "old"), None);
    }
    // One that says nothing gives nothing.
    let scene = scene();
    let pages = ["--blob-type", "page"];
    scene.fake.fail(On::PutPage, [Fault::Answer(409, "X")]);
    scene.import(&pages).with(&["--content-type", "a/first"]).run().expect(7);
    scene.import(&pages).run().expect(0);
    assert_eq!(scene.described().1, text("application/octet-stream"));
}

#[test]
fn a_blob_that_is_complete_keeps_its_own_and_that_is_told() {
    let scene = scene();
    // Two lists are put: the second is the manifest's.
    scene.fake.fail(On::PutBlockList, [Fault::Delay(std::time::Duration::ZERO), Fault::Answer(409, "X")]);
    let first = scene.import(&["--tier", "cool", "--metadata", "owner=me"]).run();
    assert_eq!(first.code, Some(7), "{}", first.stderr);
    assert_eq!(scene.described().0, text("Cool"));
    let same = scene.import(&["--tier", "cool", "--metadata", "owner=me", "--dry-run"]).run();
    same.expect(0);
    assert!(!same.stderr.contains("complete already"), "{}", same.stderr);
    let other = scene.import(&["--tier", "hot", "--metadata", "owner=you", "--content-type", "a/b"]).run();
    other.expect(0);
    for words in ["is complete already", "the tier `hot`", "set-tier", "`owner`", "`a/b`"] {
        assert!(other.stderr.contains(words), "{words}: {}", other.stderr);
    }
    assert_eq!((scene.described().0, scene.fake.metadata("disk", "owner")), (text("Cool"), text("me")));
}

#[test]
fn what_no_store_could_take_is_refused_before_the_first_byte() {
    let scene = scene();
    let long = format!("a={}", "x".repeat(4000));
    for (options, words) in [
        (vec!["--tier", "warm"], "hot, cool, cold or archive"),
        (vec!["--metadata", "a-b=x"], "letters, digits"),
        (vec!["--metadata", "driveagentroot=x"], "written by this program"),
        (vec!["--metadata", "a=1", "--metadata", "A=2"], "given twice"),
        (vec!["--metadata", &long], "shorten it"),
        (vec!["--content-type", "text"], "TYPE/SUBTYPE"),
        (vec!["--tier", "archive", "--verify", "read-back"], "nothing can be read in the archive tier"),
    ] {
        scene.import(&options).run().expect_error(2, &[words]);
        scene.import(&options).with(&["--dry-run"]).run().expect_error(2, &[words]);
    }
    for options in [["--tier", "hot"], ["--metadata", "a=b"], ["--content-type", "a/b"]] {
        let agent = Agent::new(scene.bench.path(), &[&"import", &"drive.img", &"copy.img"]).with(&options);
        agent.run().expect_error(3, &["`--tier`, `--metadata` and `--content-type`"]);
    }
    assert!(scene.fake.names().is_empty() && !scene.bench.file("copy.img").exists());
}

#[test]
fn an_archived_blob_is_neither_read_nor_replaced() {
    let scene = scene();
    scene.import(&["--tier", "archive"]).run().expect(0);
    assert_eq!(scene.described().0, text("Archive"));
    let puts = scene.fake.puts();
    let export = Agent::new(scene.bench.path(), &[&"export", &scene.fake.blob("disk"), &"back.img"]);
    export.run().expect_error(3, &["archive tier", "set-tier"]);
    scene.import(&["--overwrite"]).run().expect_error(3, &["archive tier", "cannot be written to"]);
    assert_eq!((scene.fake.puts(), scene.bench.file("back.img").exists()), (puts, false));
}

#[test]
fn an_emulator_takes_them() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else { return };
    bench.image("drive.img", &random_bytes(200 * KIB, 1));
    let agent = |arguments: &[&str]| {
        let agent = Agent::new(bench.path(), &[]).with(arguments);
        agent.env("AZURE_STORAGE_CONNECTION_STRING", &azurite.connection_string())
    };
    let import = ["import", "drive.img", "az://drives/disk", "--tier", "cool", "--metadata", "Zone=a_b", "--metadata", "a_1=x y"];
    agent(&import).with(&["--content-type", "application/x-raw-disk-image"]).run().expect(0);
    let page =
        ["import", "drive.img", "az://drives/page", "--blob-type", "page", "--metadata", "zone=x", "--content-type", "a/b"];
    agent(&page).run().expect(0);
    let head = |name: &str| {
        let url = azurite.blob(name);
        let answer = std::process::Command::new("curl").args(["-sI", "--noproxy", "*", &url]).output().unwrap();
        String::from_utf8_lossy(&answer.stdout).to_lowercase()
    };
    let (block, page) = (head("disk"), head("page"));
    for line in
        ["x-ms-access-tier: cool", "x-ms-meta-zone: a_b", "x-ms-meta-a_1: x y", "content-type: application/x-raw-disk-image"]
    {
        assert!(block.contains(line), "{line}: {block}");
    }
    assert!(page.contains("x-ms-meta-zone: x") && page.contains("content-type: a/b"), "{page}");
}
