//! Fuzz targets: every parser of input that others write. libFuzzer changes the inputs of the corpus and keeps what
//! reaches new code; each target says what must hold for any input, and more than that nothing panics.
//!
//! ```text
//! cargo test -p fuzz                       every input of the corpus once
//! tests/run --fuzz SECONDS [TARGET…]       changed inputs, for so long each; all targets, where none is named
//! ```
//!
//! An input that breaks a target is kept in `target/tmp/fuzz/TARGET/found-…`; when the fault is corrected it goes into
//! `corpus/TARGET/`, and is tried by every run from then on.
//!
//! | file | what it holds |
//! |---|---|
//! | `formats.rs` | manifests, journals, mapfiles, receipts, results, units |
//! | `drive.rs` | partition tables, profiles, names that drives tell, what the kernel tells |
//! | `store.rs` | addresses, credentials, answers of blob storage |
//! | `api.rs` | bodies and queries of the APIs, tokens |
//! | `requests.rs`, `station.rs` | the whole job service, asked by any client; its surroundings in memory |
//! | `program.rs` | the configuration of a station, lists of blobs, values of options, events |
//! | `secret.rs` | what must never be shown |
//! | `memory.rs` | how much memory an input may take |
//! | `arguments.rs`, `replay.rs`, `engine.rs` | the command line; the corpus once; libFuzzer |
//! | `instrument` | how our crates are compiled for libFuzzer |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod api;
mod arguments;
mod drive;
mod engine;
mod formats;
mod memory;
mod program;
mod replay;
mod requests;
mod secret;
mod station;
mod store;

use std::process::ExitCode;

use arguments::{Arguments, Task};

/// What allocations are counted with.
#[global_allocator]
static ALLOCATOR: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// Something that takes input which others write.
pub struct Target {
    name: &'static str,
    /// Panics where something does not hold that must.
    run: fn(&[u8]),
}

const TARGETS: &[&[Target]] =
    &[formats::TARGETS, drive::TARGETS, store::TARGETS, api::TARGETS, requests::TARGETS, program::TARGETS];

impl Target {
    fn all() -> impl Iterator<Item = &'static Target> {
        TARGETS.iter().copied().flatten()
    }

    fn named(name: &str) -> Option<&'static Target> {
        Self::all().find(|target| target.name == name)
    }

    fn try_input(&self, bytes: &[u8]) {
        memory::bounded(bytes.len(), || (self.run)(bytes));
    }
}

fn main() -> ExitCode {
    if let Some(target) = engine::target_of_this_process() {
        engine::fuzz(target);
    }
    match Arguments::of_process() {
        Ok(Arguments { task: Task::Replay, .. }) => replay::corpus(),
        Ok(Arguments { task: Task::Fuzz { seconds, seed }, targets }) => engine::fuzz_all(&targets, seconds, seed),
        Ok(Arguments { task: Task::Nothing, .. }) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}
