//! The corpus, once. Every target has one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::Target;

/// The inputs of a target that are kept with the source.
pub fn folder_of(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

fn inputs_of(target: &Target) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder_of(target)).into_iter().flatten().flatten();
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    inputs.sort();
    inputs
}

pub fn corpus() -> ExitCode {
    let (mut tried, mut failed) = (0, Vec::new());
    for target in Target::all() {
        let inputs = inputs_of(target);
        if inputs.is_empty() {
            failed.push(format!("{}: it has no corpus", target.name));
        }
        for input in inputs {
            let bytes = std::fs::read(&input).unwrap();
            tried += 1;
            if catch_unwind(AssertUnwindSafe(|| target.try_input(&bytes))).is_err() {
                failed.push(format!("{}: {}", target.name, input.display()));
            }
        }
    }
    // A folder without a target would look like a tested one.
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")).unwrap();
    for folder in folders.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        if Target::named(&folder).is_none() {
            failed.push(format!("corpus/{folder} is of no target"));
        }
    }
    println!("{tried} inputs of {} fuzz targets, {} failed", Target::all().count(), failed.len());
    failed.iter().for_each(|line| println!("  {line}"));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
