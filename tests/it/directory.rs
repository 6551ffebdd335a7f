//! A drive into a directory store and back.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::support::agent::number;
use crate::support::images::{KIB, MIB, patterned, random_bytes, root_of, same_content, sha256_of};
use crate::support::{Agent, Workbench};

#[test]
fn images_of_every_size_come_back_equal() {
    let bench = Workbench::new();
    let chunk = 64 * KIB;
    for size in [0, 1, 512, chunk - 512, chunk, chunk + 512, 5 * chunk + 17, 3 * MIB] {
        let bytes = random_bytes(size, 3);
        let image = bench.image("drive.img", &bytes);
        let (blob, back) = (bench.file(&format!("blob-{size}")), bench.file(&format!("back-{size}")));
        let options = ["--chunk-size", "64KiB", "--stream-sha256"];
        let imported = Agent::new(bench.path(), &[&"import", &image, &blob]).with(&options).run().expect(0);
        assert!(same_content(&image, &blob), "{size}");
        assert_eq!(imported["outcome"], "complete");
        assert_eq!(imported["root_sha256"], root_of(&bytes, chunk), "{size}");
        assert_eq!(imported["stream_sha256"], sha256_of(&bytes), "{size}");
        assert_eq!(imported["evidence"], "read");
        assert_eq!(number(&imported, "bytes_total"), size as u64);
        let exported = Agent::new(bench.path(), &[&"export", &blob, &back]).with(&["--stream-sha256"]).run().expect(0);
        assert!(same_content(&image, &back), "{size}");
        assert_eq!(exported["root_sha256"], imported["root_sha256"]);
        assert_eq!(exported["stream_sha256"], imported["stream_sha256"]);
        assert_eq!(exported["checked_against_manifest"], true);
    }
}

#[test]
fn every_byte_is_counted_once() {
    let bench = Workbench::new();
    let bytes = patterned("rzraazzrz", 64 * KIB);
    let image = bench.image("drive.img", &bytes);
    let blob = bench.file("blob");
    let result = Agent::new(bench.path(), &[&"import", &image, &blob]).with(&["--chunk-size", "64KiB"]).run().expect(0);
    assert_eq!(number(&result, "bytes_zero"), 4 * 64 * KIB as u64);
    assert_eq!(number(&result, "bytes_sent"), 5 * 64 * KIB as u64);
    assert_eq!(number(&result, "bytes_reused") + number(&result, "bytes_unreadable"), 0);
    assert_eq!(number(&result, "chunks"), 9);
    for stage in ["read", "hash", "wait", "send", "write", "sync"] {
        assert!(result["stages"][stage].is_f64(), "{stage} in {result}");
    }
    assert!(result["limited_by"].is_string() && result["elapsed_seconds"].is_f64());
    assert_eq!(result["drive"]["size"], bytes.len());
    assert_eq!(result["drive"]["sector_size"], 512);
    assert!(same_content(&image, &blob));
}

/// An image of 1 TiB with a few bytes in its middle.
fn terabyte(bench: &Workbench) -> PathBuf {
    let image = bench.file("huge.img");
    let file = File::create(&image).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(b"in the middle", 1 << 39).unwrap();
    image
}

#[test]
fn a_terabyte_of_holes_is_copied_in_seconds_and_stays_sparse() {
    let bench = Workbench::new();
    let image = terabyte(&bench);
    let blob = bench.file("huge.blob");
    let result = Agent::new(bench.path(), &[&"import", &image, &blob]).run().expect(0);
    assert_eq!(number(&result, "bytes_sent"), 8 * MIB as u64);
    assert_eq!(number(&result, "bytes_zero"), (1 << 40) - 8 * MIB as u64);
    let metadata = std::fs::metadata(&blob).unwrap();
    assert_eq!(metadata.len(), 1 << 40);
    assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512 <= 16 * MIB as u64);
    // An independent count: the root over the digests of 131,072 chunks.
    let zero = protocol::digest::Sha256Digest::of(&vec![0; 8 * MIB]);
    let mut middle = vec![0; 8 * MIB];
    middle[..13].copy_from_slice(b"in the middle");
    let middle = protocol::digest::Sha256Digest::of(&middle);
    let mut root = protocol::digest::RootHasher::default();
    (0..131_072).for_each(|index| root.add(if index == 65_536 { &middle } else { &zero }));
    assert_eq!(result["root_sha256"], root.finish().to_string());
}

#[test]
fn holes_of_a_terabyte_are_verified_and_exported_without_reading_them() {
    let bench = Workbench::new();
    let image = terabyte(&bench);
    let imported = Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&["--verify", "read-back"]).run().expect(0);
    assert_eq!(imported["evidence"], "read-back");
    let verify = || Agent::new(bench.path(), &[&"verify", &"blob.manifest.jsonl", &"--blob", &"blob", &"--drive", &image]).run();
    assert_eq!(number(&verify().expect(0), "bytes_verified"), 2 << 40);

    let with = Agent::new(bench.path(), &[&"export", &"blob", &"with.img"]).run().expect(0);
    std::fs::rename(bench.file("blob"), bench.file("bare")).unwrap();
    let without = Agent::new(bench.path(), &[&"export", &"bare", &"without.img"]).run().expect(0);
    std::fs::rename(bench.file("bare"), bench.file("blob")).unwrap();
    assert_eq!((&with["evidence"], &without["evidence"]), (&"transport".into(), &"read".into()));
    for (exported, name) in [(with, "with.img"), (without, "without.img")] {
        assert_eq!(exported["root_sha256"], imported["root_sha256"]);
        let back = File::open(bench.file(name)).unwrap();
        assert_eq!(back.metadata().unwrap().len(), 1 << 40);
        let mut middle = [0; 13];
        back.read_exact_at(&mut middle, 1 << 39).unwrap();
        assert_eq!(&middle, b"in the middle");
    }

    // What is not a hole any more is read, and a hole where data should be does not match.
    let blob = std::fs::OpenOptions::new().write(true).open(bench.file("blob")).unwrap();
    blob.write_all_at(b"x", (1 << 38) + 5).unwrap();
    let found = verify().expect(5);
    let at = |offset: u64| serde_json::json!([{"side": "blob", "offset": offset, "length": 8 * MIB, "reason": "content"}]);
    assert_eq!(found["differences"], at(1 << 38));
    blob.set_len(1 << 38).unwrap();
    blob.set_len(1 << 40).unwrap();
    assert_eq!(verify().expect(5)["differences"], at(1 << 39));
}

#[test]
fn names_with_every_kind_of_character_work() {
    let bench = Workbench::new();
    let bytes = random_bytes(100 * KIB, 5);
    let image = bench.image("a drive % 50 ? # ü.img", &bytes);
    for name in ["plain", "with space", "ünïcödé-日本", "per%20cent", "what?", "sharp#1", "'quoted'"] {
        let (blob, back) = (bench.file(name), bench.file(&format!("{name}.back")));
        let result = Agent::new(bench.path(), &[&"import", &image, &blob]).run().expect(0);
        assert_eq!(result["blob"], blob.to_str().unwrap());
        Agent::new(bench.path(), &[&"export", &blob, &back]).run().expect(0);
        assert!(same_content(&image, &back), "{name}");
    }
    let url = format!("file://{}/as%20a%20URL", bench.path().display());
    Agent::new(bench.path(), &[&"import", &image, &url]).run().expect(0);
    assert!(same_content(&image, &bench.file("as a URL")));
}

#[test]
fn a_simulated_drive_is_the_same_at_every_read() {
    let bench = Workbench::new();
    let profile = bench.profile("sim", "5MiB", 0.25, "64KiB");
    let first = Agent::new(bench.path(), &[&"import", &profile, &"one"]).run().expect(0);
    let second = Agent::new(bench.path(), &[&"import", &profile, &"two"]).with(&["--chunk-size", "64KiB"]).run().expect(0);
    assert!(same_content(&bench.file("one"), &bench.file("two")));
    assert_eq!(first["drive"]["serial"], "SIM-sim");
    assert_eq!(number(&second, "bytes_zero"), 20 * 64 * KIB as u64);
}

#[test]
fn an_existing_image_keeps_no_old_byte() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &patterned("rzzrz", 64 * KIB)[..5 * 64 * KIB - 100]);
    Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&["--chunk-size", "64KiB"]).run().expect(0);
    let target = bench.image("used.img", &vec![0xa5; MIB]);
    Agent::new(bench.path(), &[&"export", &"blob", &target]).run().expect_error(3, &["exists and holds data", "`--overwrite`"]);
    assert!(std::fs::read(&target).unwrap() == vec![0xa5; MIB], "nothing was written");
    let result = Agent::new(bench.path(), &[&"export", &"blob", &target, &"--overwrite"]).run().expect(0);
    let written = std::fs::read(&target).unwrap();
    let expected = std::fs::read(&image).unwrap();
    assert_eq!(written.len(), MIB);
    assert_eq!(written[..expected.len()], expected);
    assert!(written[expected.len()..].iter().all(|byte| *byte == 0), "bytes of the last owner are left");
    assert!(number(&result, "bytes_cleared") > 0);
}

#[test]
fn the_manifest_goes_beside_the_blob_and_where_it_is_wanted() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(300 * KIB, 1));
    let import =
        Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&["--manifest", "copy.jsonl", "--chunk-size", "64KiB"]);
    assert_eq!(import.run().expect(0)["manifest"], "copy.jsonl");
    assert!(same_content(&bench.file("blob.manifest.jsonl"), &bench.file("copy.jsonl")));
    let mut reader =
        protocol::manifest::ManifestReader::new(std::io::BufReader::new(std::fs::File::open(bench.file("copy.jsonl")).unwrap()))
            .unwrap();
    let mut chunks = 0;
    while reader.next_chunk().unwrap().is_some() {
        chunks += 1;
    }
    assert_eq!((chunks, reader.footer().unwrap().bytes_total), (5, 300 * KIB as u64));
    // An export writes one too, where nothing else states what came.
    std::fs::remove_file(bench.file("blob.manifest.jsonl")).unwrap();
    let exported =
        Agent::new(bench.path(), &[&"export", &"blob", &"back"]).with(&["--manifest", "exported.jsonl"]).run().expect(0);
    assert_eq!((exported["evidence"].as_str(), exported["checked_against_manifest"].as_bool()), (Some("read"), Some(false)));
    Agent::new(bench.path(), &[&"verify", &"exported.jsonl", &"--drive", &image]).run().expect(0);
}

#[test]
fn verify_names_every_range_that_differs() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(10 * 64 * KIB, 1));
    Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&["--chunk-size", "64KiB"]).run().expect(0);
    let verify = || Agent::new(bench.path(), &[&"verify", &"blob.manifest.jsonl", &"--drive", &image, &"--blob", &"blob"]);
    assert_eq!(number(&verify().run().expect(0), "bytes_verified"), 2 * 10 * 64 * KIB as u64);
    for offset in [0, 65_536, 65_536 * 5 + 3] {
        crate::support::images::change_byte(&bench.file("blob"), offset, true);
    }
    crate::support::images::change_byte(&image, 65_536 * 9, false);
    crate::support::images::append(&bench.file("blob"), b"more");
    let result = verify().run().expect(5);
    assert_eq!(result["outcome"], "mismatch");
    let found: Vec<_> = result["differences"].as_array().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            r#"{"length":65536,"offset":589824,"reason":"content","side":"drive"}"#,
            r#"{"length":131072,"offset":0,"reason":"content","side":"blob"}"#,
            r#"{"length":65536,"offset":327680,"reason":"content","side":"blob"}"#,
            r#"{"length":4,"offset":655360,"reason":"extra","side":"blob"}"#,
        ]
    );
}

#[test]
fn read_back_finds_what_the_target_does_not_hold() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(200 * KIB, 1));
    let imported = Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&["--verify", "read-back"]).run().expect(0);
    assert_eq!(imported["evidence"], "read-back");
    let exported = Agent::new(bench.path(), &[&"export", &"blob", &"back"]).with(&["--verify", "read-back"]).run().expect(0);
    assert_eq!(exported["evidence"], "read-back");
}

#[test]
fn an_export_of_a_changed_blob_is_a_mismatch() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(4 * 64 * KIB, 1));
    Agent::new(bench.path(), &[&"import", &image, &"blob"]).with(&["--chunk-size", "64KiB"]).run().expect(0);
    crate::support::images::change_byte(&bench.file("blob"), 65_536, false);
    let result = Agent::new(bench.path(), &[&"export", &"blob", &"back"]).run().expect(5);
    assert_eq!(result["outcome"], "mismatch");
    assert!(result["error"].as_str().unwrap().contains("65536+65536"), "{result}");
    crate::support::agent::check_receipt(&result);
    assert!(!bench.file("back").exists(), "nothing looks complete");
}

#[test]
fn progress_is_one_json_object_a_line_and_results_stay_alone() {
    let bench = Workbench::new();
    let profile = bench.profile("sim", "64MiB", 0.0, "64KiB");
    let run = Agent::bare(
        bench.path(),
        &[&"import", &profile, &"blob", &"--progress", &"json", &"--output", &"json", &"--rate", &"64MB/s"],
    );
    let ended = run.run();
    ended.expect(0);
    let lines: Vec<serde_json::Value> = ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let progress: Vec<_> = lines.iter().filter(|line| line["type"] == "progress").collect();
    assert!((2..=12).contains(&progress.len()), "{}", progress.len());
    assert!(progress.is_sorted_by_key(|line| line["bytes_done"].as_u64()));
    assert_eq!(progress.last().unwrap()["bytes_done"], 64 * MIB);
    let quiet = Agent::bare(bench.path(), &[&"import", &profile, &"blob2", &"--progress", &"none"]).run();
    assert_eq!((quiet.code, &*quiet.stderr), (Some(0), ""));
    assert!(quiet.stdout.starts_with("import complete: ") && !quiet.stdout.contains('\u{1b}'), "{}", quiet.stdout);
}
