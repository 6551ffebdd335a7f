//! Manifests that come from a store: fetched once more when they or their chunks arrive garbled, never longer than an
//! honest one, and nothing of them left behind.

use std::path::Path;

use protocol::digest::Sha256Digest;
use protocol::manifest::{Line, decode, encode};
use rustix::process::Signal;

use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::images::{KIB, random_bytes, sha256_of};
use crate::support::listener::{Listener, OF_STORE, Reply};
use crate::support::{Agent, Workbench};

const CHUNK: usize = 64 * KIB;

/// An imported blob: in the fake, and in a directory.
fn imported(bench: &Workbench, blob: &dyn AsRef<std::ffi::OsStr>, more: &[&str]) -> Vec<u8> {
    let bytes = random_bytes(8 * CHUNK, 1);
    bench.image("drive.img", &bytes);
    let import = Agent::new(bench.path(), &[&"import", &"drive.img", blob]).with(&["--chunk-size", "64KiB"]);
    import.with(more).run().expect(0);
    bytes
}

#[test]
fn a_garbled_answer_is_fetched_once_more() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    // The read-back of an import.
    fake.fail(On::Get, [Fault::CorruptBody]);
    let bytes = imported(&bench, &fake.blob("blob"), &["--verify", "read-back", "--manifest", "m.jsonl"]);
    // A chunk, and then the manifest itself, of a verification.
    fake.fail(On::Get, [Fault::CorruptBody]);
    Agent::new(bench.path(), &[&"verify", &"m.jsonl", &"--blob", &fake.blob("blob")]).run().expect(0);
    fake.fail(On::Get, [Fault::CorruptBody]);
    Agent::new(bench.path(), &[&"verify", &fake.blob("blob.manifest.jsonl"), &"--blob", &fake.blob("blob")]).run().expect(0);
    // The manifest of an export.
    fake.fail(On::Get, [Fault::CorruptBody]);
    Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back"]).run().expect(0);
    assert!(std::fs::read(bench.file("back")).unwrap() == bytes);
    // What is garbled twice is reported.
    fake.always_fail(On::Get, Some(Fault::CorruptBody));
    Agent::new(bench.path(), &[&"verify", &"m.jsonl", &"--blob", &fake.blob("blob")]).run().expect(5);
    Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"other"])
        .run()
        .expect_error(1, &["the manifest", "cannot be used"]);
}

/// Names of files below a folder.
fn names_below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            names.extend(names_below(&entry.path()));
        } else {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names
}

#[test]
fn killed_while_a_manifest_comes_nothing_is_left_behind() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    imported(&bench, &fake.blob("blob"), &[]);
    fake.always_fail(On::Get, Some(Fault::Silence));
    let before = fake.seen(On::Get);
    let running = Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back"]).start();
    fake.wait_seen(On::Get, before + 1);
    running.signal(Signal::KILL);
    running.wait();
    assert_eq!(names_below(&bench.file("state")), Vec::<String>::new());
}

#[test]
fn a_manifest_is_never_read_further_than_an_honest_one_goes() {
    let bench = Workbench::new();
    imported(&bench, &"blob", &[]);
    let manifest = std::fs::File::options().write(true).open(bench.file("blob.manifest.jsonl")).unwrap();
    manifest.set_len(3 << 30).unwrap();
    let sentence = ["cannot be used: it has 3221225472 bytes", "at most"];
    Agent::new(bench.path(), &[&"export", &"blob", &"back"]).run().expect_error(1, &sentence);
    Agent::new(bench.path(), &[&"verify", &"blob.manifest.jsonl", &"--blob", &"blob"]).run().expect_error(1, &sentence);
    assert_eq!(names_below(&bench.file("state")), Vec::<String>::new());
}

/// A store with a manifest of 3 GiB at every address, that begins with these lines and goes on with what is none.
fn endless_manifest(beginning: String) -> Listener {
    const SIZE: usize = 3 << 30;
    let facts = format!(
        "etag: \"0x1\"\r\nx-ms-blob-type: BlockBlob\r\nlast-modified: Thu, 26 Nov 2026 08:00:00 GMT\r\nconnection: close\r\n{OF_STORE}"
    );
    Listener::start(move |head| {
        let asked =
            head.lines().find_map(|line| line.to_lowercase().split_once("range: bytes=").map(|(_, range)| range.to_owned()));
        let Some((first, last)) = asked.as_deref().and_then(|range| range.split_once('-')) else {
            return Reply::Bytes(format!("HTTP/1.1 200 X\r\ncontent-length: {SIZE}\r\n{facts}\r\n"));
        };
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let length = last + 1 - first;
        let mut body = if first == 0 { beginning.clone() } else { String::new() };
        body.push_str(&"{\"type\":\"chunk\"}\n".repeat(length / 17));
        body.extend(std::iter::repeat_n('x', length.saturating_sub(body.len())));
        body.truncate(length);
        let range = format!("content-range: bytes {first}-{last}/{SIZE}\r\ncontent-length: {length}\r\n{facts}");
        Reply::Bytes(format!("HTTP/1.1 206 X\r\n{range}\r\n{body}"))
    })
}

#[test]
fn a_manifest_from_a_store_ends_at_its_first_bad_line() {
    let bench = Workbench::new();
    imported(&bench, &"blob", &[]);
    let manifest = std::fs::read(bench.file("blob.manifest.jsonl")).unwrap();
    let first = manifest.split(|byte| *byte == b'\n').next().unwrap();
    let Line::Header(mut header) = decode(first).unwrap() else { panic!("it begins with another line") };
    // So many chunks that a manifest of 3 GiB might be honest.
    header.total_bytes = 1 << 40;
    let mut line = Vec::new();
    encode(&Line::Header(header), &mut line).unwrap();
    let no_newline = "x".repeat(16);
    for (beginning, words) in
        [(String::from_utf8(line).unwrap(), "line 2 is damaged"), (no_newline, "not a drive-agent manifest")]
    {
        let store = endless_manifest(beginning);
        let address = format!("{}/acme/c/m.manifest.jsonl?sig=x", store.url());
        Agent::new(bench.path(), &[&"verify", &address, &"--blob", &"blob"]).run().expect_error(1, &["cannot be used", words]);
        // A look, and at most the piece with the line and those that were on their way, twice.
        let asked = store.heads().len();
        assert!(asked <= 10, "{asked} requests");
        assert_eq!(names_below(&bench.file("state")), Vec::<String>::new(), "something was kept");
    }
}

#[test]
fn the_hash_of_the_whole_is_verified_where_the_manifest_has_it() {
    let bench = Workbench::new();
    let bytes = imported(&bench, &"blob", &["--stream-sha256"]);
    let path = bench.file("blob.manifest.jsonl");
    let verify = || {
        let sides: [&dyn AsRef<std::ffi::OsStr>; 6] = [&"verify", &path, &"--drive", &"drive.img", &"--blob", &"blob"];
        Agent::new(bench.path(), &sides).with(&["--memory", "128KiB"]).run()
    };
    assert_eq!(verify().expect(0)["stream_sha256"], sha256_of(&bytes));
    // Another hash, in a line whose own checksum fits.
    let mut edited = Vec::new();
    for line in std::fs::read(&path).unwrap().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut line = decode(line).unwrap();
        if let Line::End(footer) = &mut line {
            footer.stream_sha256 = Some(Sha256Digest::of(b"another"));
        }
        encode(&line, &mut edited).unwrap();
    }
    std::fs::write(&path, edited).unwrap();
    let ended = verify();
    let result = ended.expect(5);
    let whole = |side: &str| serde_json::json!({"side": side, "offset": 0, "length": 8 * CHUNK, "reason": "stream-sha256"});
    assert_eq!(result["differences"], serde_json::json!([whole("drive"), whole("blob")]));
    ended.expect_error(5, &["every chunk has its SHA-256", "the whole"]);
    // A chunk that differs says enough, and one that cannot be read keeps nothing waiting.
    std::fs::write(bench.file("blob"), &bytes[..7 * CHUNK]).unwrap();
    assert!(verify().expect(5)["differences"].to_string().contains("missing"));
}
