//! S3 through the program: copies, interruptions, the traps of its protocol, and other programs.

mod basics;
mod interrupted;
mod peers;
mod service;
mod staging;
mod traps;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::images::{KIB, MIB, random_bytes};
use crate::support::s3_fake::S3Fake;
use crate::support::{Agent, Ended, Workbench};

/// Smallest chunk of S3, in bytes.
const CHUNK: usize = 5 * MIB;

/// Drives of more than four chunks of 64 KiB are cut into segments of three.
const SMALL_SIZES: &str = "8,65536,196608";

/// A chunk of small sizes.
const SMALL_CHUNK: usize = 64 * KIB;

/// The options that go with them.
const SMALL_OPTIONS: [&str; 4] = ["--chunk-size", "64KiB", "--memory", "256KiB"];

fn with_credentials(mut agent: Agent, variables: &[(&'static str, String)]) -> Agent {
    for (name, value) in variables {
        agent = agent.env(name, value);
    }
    agent
}

/// A run against the fake.
fn run(fake: &S3Fake, bench: &Workbench, words: &[&str]) -> Agent {
    let words: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>).collect();
    with_credentials(Agent::new(bench.path(), &words), &fake.variables())
}

/// The same with small sizes.
fn run_small(fake: &S3Fake, bench: &Workbench, words: &[&str]) -> Agent {
    fake.set_part_bytes_min(SMALL_CHUNK as u64);
    run(fake, bench, words).with(&SMALL_OPTIONS).env("DRIVE_AGENT_S3_SIZES", SMALL_SIZES)
}

fn scene(length: usize) -> (S3Fake, Workbench, Vec<u8>) {
    let (fake, bench, bytes) = (S3Fake::start(), Workbench::new(), random_bytes(length, 1));
    bench.image("drive.img", &bytes);
    (fake, bench, bytes)
}

/// Ends an import of `drive.img` to `s3://drives/blob` by this signal, after so many parts.
fn stop_after(fake: &S3Fake, agent: Agent, parts: u64, signal: Signal) -> Ended {
    use crate::support::s3_fake::On;
    fake.set_put_delay(std::time::Duration::from_millis(20));
    let before = fake.seen(On::PutPart);
    let running = agent.start();
    fake.wait_seen(On::PutPart, before + parts);
    running.signal(signal);
    let ended = running.wait();
    fake.settle();
    fake.set_put_delay(std::time::Duration::ZERO);
    ended
}

fn residue_bytes(result: &Value) -> u64 {
    result["receipt"]["residue"]["bytes"].as_u64().unwrap_or_else(|| panic!("no residue in {result}"))
}

/// Nothing of a transfer is left beside an object.
#[track_caller]
fn assert_clean(fake: &S3Fake, key: &str) {
    let (uploads, _) = fake.uploads("");
    assert!(uploads.is_empty(), "{uploads:?}");
    assert!(fake.keys(&format!("{key}.")).iter().all(|key| key.ends_with(".manifest.jsonl")), "{:?}", fake.keys(key));
}
