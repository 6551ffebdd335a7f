//! Google Cloud Storage through the program: copies, interruptions, and the traps of its protocol.

mod basics;
mod identity;
mod interrupted;
mod service;
mod staging;
mod traps;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::gcs_fake::{GcsFake, On};
use crate::support::images::{KIB, random_bytes};
use crate::support::{Agent, Ended, Workbench};

/// Size of the chunks, in bytes.
const CHUNK: usize = 64 * KIB;

/// The options that go with it.
const OPTIONS: [&str; 4] = ["--chunk-size", "64KiB", "--memory", "256KiB"];

fn with_variables(mut agent: Agent, variables: &[(&'static str, String)]) -> Agent {
    for (name, value) in variables {
        agent = agent.env(name, value);
    }
    agent
}

/// A run against the fake.
fn run(fake: &GcsFake, bench: &Workbench, words: &[&str]) -> Agent {
    let words: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>).collect();
    with_variables(Agent::new(bench.path(), &words), &fake.variables())
}

/// An import of `drive.img` to `gs://drives/blob`, composed three by three.
fn import(fake: &GcsFake, bench: &Workbench) -> Agent {
    run(fake, bench, &["import", "drive.img", "gs://drives/blob"]).with(&OPTIONS).env("DRIVE_AGENT_GCS_FAN_OUT", "3")
}

fn scene(length: usize) -> (GcsFake, Workbench, Vec<u8>) {
    let (fake, bench, bytes) = (GcsFake::start(), Workbench::new(), random_bytes(length, 1));
    bench.image("drive.img", &bytes);
    (fake, bench, bytes)
}

/// Ends an import by this signal, after so many chunks.
fn stop_after(fake: &GcsFake, agent: Agent, chunks: u64, signal: Signal) -> Ended {
    fake.set_put_delay(std::time::Duration::from_millis(20));
    let before = fake.seen(On::PutChunk);
    let running = agent.start();
    fake.wait_seen(On::PutChunk, before + chunks);
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
fn assert_clean(fake: &GcsFake, name: &str) {
    let beside = fake.names(&format!("{name}."));
    assert!(beside.iter().all(|name| name.ends_with(".manifest.jsonl")), "{beside:?}");
}
