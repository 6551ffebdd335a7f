//! Getting everything off a drive that fails, and working hand in hand with GNU ddrescue.

mod drive;
mod maps;

use std::process::Command;

use serde_json::Value;

use crate::support::{Agent, Workbench};

/// A profile with these faults over content that `plain` has without them.
fn profiles(bench: &Workbench, size: &str, faults: &[String]) {
    let base = format!("size = \"{size}\"\nserial = \"BAD-1\"\nseed = 3\nzero_share = 0.2\nrun_size = \"256KiB\"\n");
    bench.image("plain.toml", base.as_bytes());
    bench.image("bad.toml", (base + &faults.concat()).as_bytes());
}

fn fault(kind: &str, offset: u64, length: u64, more: &str) -> String {
    format!("[[fault]]\nkind = \"{kind}\"\noffset = {offset}\nlength = {length}\n{more}\n")
}

fn unreadable(offset: u64, length: u64) -> String {
    fault("unreadable", offset, length, "")
}

/// The content that the drive would have without its faults.
fn plain(bench: &Workbench) -> Vec<u8> {
    Agent::new(bench.path(), &[&"import", &"plain.toml", &"plain.img"]).run().expect(0);
    std::fs::read(bench.file("plain.img")).unwrap()
}

fn import(bench: &Workbench, more: &[&str]) -> Agent {
    Agent::new(bench.path(), &[&"import", &"bad.toml", &"blob"]).with(&["--chunk-size", "1MiB"]).with(more)
}

fn listed(result: &Value) -> Vec<(u64, u64)> {
    let ranges = result["unreadable"].as_array().unwrap().iter();
    ranges.map(|range| (range["offset"].as_u64().unwrap(), range["length"].as_u64().unwrap())).collect()
}

fn run(bench: &Workbench, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(bench.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}
