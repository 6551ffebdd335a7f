//! Maps of what was rescued, and the images that they belong to: ours, and those of GNU ddrescue.

use std::path::Path;

use rustix::process::Signal;

use super::{fault, import, listed, plain, profiles, run, unreadable};
use crate::support::agent::{check_receipt, number};
use crate::support::fuse_drive::FuseDrive;
use crate::support::images::{MIB, random_bytes};
use crate::support::{Agent, Workbench, parts};

/// All good ranges of `image` are those of `bytes`.
fn agrees(image: &Path, bytes: &[u8], bad: &[(u64, u64)]) {
    let mut expected = bytes.to_vec();
    let mut found = std::fs::read(image).unwrap();
    found.resize(bytes.len(), 0);
    for (start, end) in bad {
        expected[*start as usize..*end as usize].fill(0);
        found[*start as usize..*end as usize].fill(0);
    }
    assert!(found == expected, "{} differs", image.display());
}

#[test]
fn ddrescue_finishes_what_we_began_and_we_finish_what_it_began() {
    if parts::fuse().is_none() || parts::ddrescue().is_none() {
        return;
    }
    let bench = Workbench::new();
    let bytes = random_bytes(12 * MIB, 1);
    let bad = vec![(2_000_384, 2_000_896), (7 * MIB as u64, 7 * MIB as u64 + 65_536), (9_000_448, 9_004_544)];
    let drive = FuseDrive::mount(&bench.file("mount"), bytes.clone());
    drive.behaviour.lock().unwrap().bad = bad.clone();
    let source = drive.path();
    let run_import = |more: &[&str]| {
        Agent::new(bench.path(), &[&"import", &source, &"blob"])
            .with(&["--chunk-size", "1MiB", "--mapfile", "map"])
            .with(more)
            .run()
    };
    let expected: Vec<(u64, u64)> = bad.iter().map(|(start, end)| (*start, end - start)).collect();
    let ddrescue = |more: &[&str], output: &str, map: &str| {
        let mut arguments = vec!["-q", "-b", "512"];
        arguments.extend(more);
        arguments.extend([source.to_str().unwrap(), output, map]);
        run(&bench, "ddrescue", &arguments);
    };
    // We begin, ddrescue goes on in our unfinished blob, and we finish with what it found.
    run_import(&["--max-unreadable", "4KiB"]).expect(6);
    let partial = bench.partial("blob");
    ddrescue(&[], partial.to_str().unwrap(), "map");
    agrees(&partial, &bytes, &bad);
    let finished = run_import(&["--rescued", partial.to_str().unwrap()]).expect(4);
    assert_eq!(listed(&finished), expected);
    agrees(&bench.file("blob"), &bytes, &bad);
    // ddrescue begins, and leaves its failed places untrimmed; we finish, and ask nothing twice.
    bench.remove_blob("blob");
    std::fs::remove_file(bench.file("map")).unwrap();
    ddrescue(&["-n", "-N"], "theirs.img", "map");
    assert!(std::fs::read_to_string(bench.file("map")).unwrap().contains('*'));
    let finished = run_import(&["--rescued", "theirs.img", "--retry-passes", "0"]).expect(4);
    assert_eq!(listed(&finished), expected);
    assert_eq!(number(&finished, "failed_reads"), 1 + 128 + 8, "every bad sector once");
    agrees(&bench.file("blob"), &bytes, &bad);
    run(&bench, "ddrescuelog", &["-t", "map"]);
}

#[test]
fn options_that_do_not_fit_together_are_usage_errors() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[]);
    import(&bench, &["--on-unreadable", "stop", "--fill", "marker"]).run().expect_error(2, &["`--fill`", "drop one"]);
    import(&bench, &["--on-unreadable", "skip", "--retry-passes", "2"]).run().expect_error(2, &["tries nothing twice"]);
    import(&bench, &["--fill", "ones"]).run().expect_error(2, &["`ones` is not a fill"]);
    import(&bench, &["--rescued", "x.img"]).run().expect_error(2, &["--mapfile"]);
    import(&bench, &["--read-timeout", "0s"]).run().expect_error(2, &["longer than 0"]);
    for (name, why) in [("blob", "belongs to it"), ("blob.manifest.jsonl", "belongs to it"), (".", "not a plain file")] {
        import(&bench, &["--mapfile", name]).run().expect_error(2, &[why, "nothing was begun"]);
    }
    import(&bench, &["--mapfile", "/dev/full"]).run().expect_error(2, &["not a plain file"]);
    import(&bench, &["--mapfile", "no/such/folder/map"]).run().expect_error(2, &["cannot be written", "nothing was begun"]);
    bench.image("map", b"# Mapfile\n0x0 ? 1\n0x0 0x200 +\n0x400 0x200 -\n");
    import(&bench, &["--mapfile", "map"]).run().expect_error(2, &["`map` cannot be used: line 4", "without gap or overlap"]);
    assert!(std::fs::read_to_string(bench.file("map")).unwrap().starts_with("# Mapfile\n0x0 ? 1\n"), "it was left alone");
    bench.image("plain.img", &[1; 512]);
    Agent::new(bench.path(), &[&"import", &"plain.img", &"blob", &"--time-scale", &"5"])
        .run()
        .expect_error(2, &["simulated drives"]);
}

/// `plus` bytes rescued, the rest not tried.
fn mapfile(plus: u64, size: u64) -> Vec<u8> {
    format!("# Mapfile\n0x0 ? 1\n0x0 {plus} +\n{plus} {} ?\n", size - plus).into_bytes()
}

#[test]
fn an_image_is_held_against_its_map_and_its_drive() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[unreadable(6 * MIB as u64, 512)]);
    let mut bytes = plain(&bench);
    bench.image("map", &mapfile(4 * MIB as u64, 8 * MIB as u64));
    let with = |image: &str| import(&bench, &["--mapfile", "map", "--rescued", image]).run();
    with("missing.img").expect_error(2, &["`--rescued missing.img`"]);
    bench.image("short.img", &bytes[..MIB]);
    with("short.img").expect_error(2, &["has 1048576 bytes", "up to 4194304 rescued", "nothing was begun"]);
    bench.image("other.img", &random_bytes(8 * MIB, 5));
    with("other.img").expect_error(3, &["is not of the drive", "nothing was begun"]);
    assert!(bench.partials("blob").is_empty());
    let result = with("plain.img").expect(4);
    assert_eq!(number(&result, "bytes_from_image"), 4 * MIB as u64);
    // What came from the image was compared with the drive at a few places only, and everything says so.
    assert_eq!(result["from_image"], serde_json::json!([{"offset": 0, "length": 4 * MIB}]));
    assert_eq!(result["evidence"], "sampled");
    let manifest = std::fs::read_to_string(bench.file("blob.manifest.jsonl")).unwrap();
    assert!(manifest.lines().last().unwrap().contains(r#""evidence":"sampled""#), "{manifest}");
    assert!(manifest.lines().nth(1).unwrap().contains(r#""from_image":[{"offset":0,"#), "{manifest}");
    bytes[6 * MIB..6 * MIB + 512].fill(0);
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes);
}

#[test]
fn a_map_without_its_image_is_kept_aside_and_says_nothing_untrue() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[unreadable(MIB as u64, 512), fault("slow", 7 * MIB as u64, 512, "delay = \"20s\"")]);
    let old = mapfile(8 * MIB as u64 - 512, 8 * MIB as u64);
    bench.image("real.map", &old);
    std::os::unix::fs::symlink("real.map", bench.file("map")).unwrap();
    let running = import(&bench, &["--mapfile", "map"]).start();
    running.wait_for_chunks(6);
    // Another transfer leaves it alone.
    let second = Agent::new(bench.path(), &[&"import", &"bad.toml", &"second", &"--mapfile", &"map"]).run();
    second.expect_error(3, &["another transfer is writing the mapfile"]);
    running.signal(Signal::KILL);
    let killed = running.wait();
    assert!(killed.stderr.contains("are read from the drive again, unless `--rescued`"), "{}", killed.stderr);
    assert_eq!(std::fs::read(bench.file("map.bak")).unwrap(), old);
    assert!(bench.file("map").is_symlink(), "it is written through the link");
    let map = std::fs::read_to_string(bench.file("map")).unwrap();
    let plus: u64 =
        map.lines().filter(|line| line.ends_with('+')).map(|line| u64::from_str_radix(&line[14..22], 16).unwrap()).sum();
    assert!(plus <= 7 * MIB as u64, "{map}");
}

#[test]
fn a_map_of_small_sectors_loses_nothing_on_a_drive_with_large_ones() {
    let bench = Workbench::new();
    let base = "size = \"8MiB\"\nserial = \"K4\"\nsector_size = 4096\nseed = 4\n";
    bench.image("plain.toml", base.as_bytes());
    bench.image("bad.toml", format!("{base}{}", unreadable(MIB as u64, 4096)).as_bytes());
    plain(&bench);
    bench.image("map", &mapfile(512, 8 * MIB as u64));
    let result = import(&bench, &["--mapfile", "map", "--rescued", "plain.img"]).run().expect(4);
    assert_eq!(listed(&result), [(MIB as u64, 4096)]);
    // A manifest of small sectors, held against a drive with large ones: no panic, and no word about cables.
    profiles(&bench, "8MiB", &[unreadable(2 * MIB as u64 + 512, 512)]);
    let small = Agent::new(bench.path(), &[&"import", &"bad.toml", &"small", &"--chunk-size", &"1MiB", &"--fill", &"marker"])
        .run()
        .expect(4);
    assert_eq!(listed(&small).len(), 1);
    bench.image("target.toml", b"size = \"8MiB\"\nserial = \"T\"\nsector_size = 4096\nbacking = \"kept.bin\"\n");
    Agent::new(bench.path(), &[&"export", &"small", &"target.toml"]).run().expect(4);
    Agent::new(bench.path(), &[&"verify", &"small.manifest.jsonl", &"--drive", &"target.toml"]).run().expect(0);
    // A foreign byte in the filling is a difference.
    crate::support::images::change_byte(&bench.file("kept.bin"), 2 * MIB as u64 + 700, false);
    let verified = Agent::new(bench.path(), &[&"verify", &"small.manifest.jsonl", &"--drive", &"target.toml"]).run().expect(5);
    assert_eq!(verified["differences"][0]["reason"], "content");
}

#[test]
fn an_image_that_is_an_unfinished_blob_is_never_started_over() {
    let bench = Workbench::new();
    profiles(&bench, "8MiB", &[unreadable(6 * MIB as u64, 512)]);
    let bytes = plain(&bench);
    let name = "blob.0123456789abcdef.partial";
    bench.image(name, &bytes);
    bench.image("map", &mapfile(4 * MIB as u64, 8 * MIB as u64));
    let with = |more: &[&str]| import(&bench, &["--mapfile", "map", "--rescued", name]).with(more).run();
    with(&[]).expect_error(3, &["is the unfinished file of the blob", "rename the image", "nothing was begun"]);
    with(&["--restart"]).expect_error(3, &["is the unfinished file of the blob"]);
    assert!(std::fs::read(bench.file(name)).unwrap() == bytes, "the only copy is as it was");
}

#[test]
fn what_the_image_has_is_remembered_through_a_cancel() {
    let bench = Workbench::new();
    let bad = |more: Vec<String>| profiles(&bench, "16MiB", &[vec![unreadable(15 * MIB as u64, 512)], more].concat());
    bad(vec![]);
    let mut bytes = plain(&bench);
    let map = b"# Mapfile. Created by GNU ddrescue\n0x0 ? 1\n0x0 0x600000 +\n0x600000 0x200 -\n0x600200 0x9ffe00 ?\n";
    bench.image("map", map);
    let options = ["--mapfile", "map", "--rescued", "plain.img"];
    let running = import(&bench, &options).with(&["--rate", "6MiB/s"]).start();
    running.wait_for_chunks(1);
    running.signal(Signal::INT);
    check_receipt(&running.wait().expect(130));
    assert!(
        std::fs::read_to_string(bench.file("map")).unwrap().contains("0x00600000  0x00000200  -"),
        "what failed is still known"
    );
    // The drive has got worse: what the image has is all that is left of it.
    bad(vec![unreadable(MIB as u64, 4 * MIB as u64)]);
    let resumed = import(&bench, &options).run().expect(4);
    assert_eq!(listed(&resumed), [(15 * MIB as u64, 512)]);
    bytes[15 * MIB..15 * MIB + 512].fill(0);
    assert!(std::fs::read(bench.file("blob")).unwrap() == bytes);
    assert_eq!(std::fs::read(bench.file("map.bak")).unwrap(), map, "the map as it came is kept");
    // Now the map says what is in the blob: with that image it would say something untrue.
    import(&bench, &options).with(&["--overwrite"]).run().expect_error(3, &["was written by drive-agent", "(perhaps `map.bak`)"]);
    // An import that starts over with the map of this one keeps that too, and leaves the first as it is.
    let ours = std::fs::read(bench.file("map")).unwrap();
    for _ in 0..2 {
        import(&bench, &["--mapfile", "map", "--overwrite", "--restart"]).run().expect(4);
    }
    let kept = |name: &str| std::fs::read(bench.file(name)).unwrap();
    assert_eq!((kept("map.bak"), kept("map.bak.2")), (map.to_vec(), ours), "a map that is kept stays");
    import(&bench, &options).with(&["--overwrite"]).run().expect_error(3, &["was written by drive-agent", "(perhaps `map.bak`)"]);
    let left: Vec<_> = std::fs::read_dir(bench.file("state/drive-agent/journals")).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| entry.path().extension().is_some_and(|extension| extension == "lock")), "{left:?}");
}
