//! An export without a manifest uses what else the store knows: the names of our blocks, and the MD5 that others left.

use base64::Engine;

use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::images::{KIB, patterned, random_bytes};
use crate::support::{Agent, Ended, Workbench};

const CHUNK: usize = 64 * KIB;

fn export(bench: &Workbench, fake: &AzureFake, more: &[&str]) -> Ended {
    let _ = std::fs::remove_file(bench.file("back.img"));
    Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back.img"]).with(more).run()
}

/// A blob of ours whose manifest is gone.
fn imported(fake: &AzureFake, bench: &Workbench) -> Vec<u8> {
    let bytes = [patterned("rzrzzr", CHUNK), random_bytes(700, 3)].concat();
    bench.image("drive.img", &bytes);
    let import = Agent::new(bench.path(), &[&"import", &"drive.img", &fake.blob("blob")]).with(&["--chunk-size", "64KiB"]);
    import.run().expect(0);
    fake.delete("blob.manifest.jsonl");
    bytes
}

#[test]
fn the_names_of_blocks_stand_in_for_a_manifest() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = imported(&fake, &bench);
    let before = fake.seen(On::Get);
    let ended = export(&bench, &fake, &[]);
    let result = ended.expect(0);
    assert!(std::fs::read(bench.file("back.img")).unwrap() == bytes);
    assert!(ended.stderr.contains("against the SHA-256 in the names of its blocks"), "{}", ended.stderr);
    assert_eq!((result["evidence"].as_str(), result["checked_against_manifest"].as_bool()), (Some("transport"), Some(false)));
    assert_eq!(
        (result["chunk_size"].as_u64(), fake.seen(On::Get) - before),
        (Some(CHUNK as u64), 5),
        "the first bytes are looked at, and zeros are not fetched"
    );
    // What rots at the store is found, and nothing of it gets the drive's name.
    fake.rot_byte("blob", 10);
    export(&bench, &fake, &[]).expect_error(5, &["the blob differs from its manifest at 0+65536"]);
    assert!(!bench.file("back.img").exists());
    // With another chunk size they say nothing, and the export is as good as the store's own checksums.
    export(&bench, &fake, &["--chunk-size", "128KiB", "--restart"]).expect(0);
}

#[test]
fn names_that_cannot_be_had_do_not_stop_an_export() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = imported(&fake, &bench);
    fake.always_fail(On::GetBlockList, Some(Fault::Answer(403, "AuthorizationPermissionMismatch")));
    let ended = export(&bench, &fake, &[]);
    ended.expect(0);
    assert!(ended.stderr.contains("only the transport can be checked"), "{}", ended.stderr);
    assert!(std::fs::read(bench.file("back.img")).unwrap() == bytes);
}

#[test]
fn the_md5_that_a_blob_states_is_checked() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = random_bytes(5 * CHUNK + 100, 1);
    fake.put_plain("blob", bytes.clone(), &[]);
    let sum = base64::engine::general_purpose::STANDARD.encode(blob::checksum::md5(&bytes));
    fake.set_headers("blob", &[("content-md5", String::leak(sum))]);
    let ended = export(&bench, &fake, &["--chunk-size", "64KiB"]);
    ended.expect(0);
    assert!(ended.stderr.contains("against the MD5 that the blob states"), "{}", ended.stderr);
    assert!(std::fs::read(bench.file("back.img")).unwrap() == bytes);
    fake.rot_byte("blob", 5 * CHUNK);
    export(&bench, &fake, &[]).expect_error(5, &["has another MD5 than the blob states"]);
    assert!(!bench.file("back.img").exists());
}
