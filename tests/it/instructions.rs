//! How much work an import is, in instructions: a figure without noise, so a pass or a fail.

use std::process::Command;

use crate::support::Workbench;
use crate::support::images::{MIB, random_bytes};
use crate::support::parts;

/// Instructions for each MiB of random bytes into a directory. Valgrind has no SHA instructions, so nearly all of them are
/// `sha2`'s for plain processors, and the same on every machine. A change that makes them fewer lowers this.
const PER_MIB: f64 = 54_640_000.0;

/// The same without those of SHA-256. They are few and depend a little on which thread waits for which, so the limit is
/// wide; another pass over the bytes, even by the widest instructions, costs as much as all of them. (They were 40,000
/// before a transfer began with twelve buffers: under valgrind all is so slow that readers wait for one most of the time.
/// They were 44,000 before the recorder had a runtime of its own and targets were proved to be their transfer's: timers and
/// locks, spread over many functions, and no further pass over the bytes.)
const REST_PER_MIB: f64 = 53_000.0;

/// The larger image and the smaller: their difference is free of what a start costs.
const SIZES_MIB: [usize; 2] = [80, 16];

/// Instructions of one import: all, and those outside SHA-256.
fn instructions(bench: &Workbench, run: usize, size_mib: usize) -> [f64; 2] {
    let image = bench.image("drive.img", &random_bytes(size_mib * MIB, 6));
    let (counts, blob) = (bench.file("counts"), bench.file(&format!("blob-{size_mib}-{run}")));
    let state_dir = bench.file(&format!("state-{size_mib}-{run}"));
    let mut valgrind = Command::new(parts::VALGRIND);
    valgrind.args(["--tool=callgrind", "--error-exitcode=99"]).arg(format!("--callgrind-out-file={}", counts.display()));
    valgrind.arg(env!("CARGO_BIN_EXE_agent-under-test")).arg("import").args([&image, &blob]);
    valgrind.args(["--progress", "none", "--state-dir"]).arg(&state_dir);
    let ended = valgrind.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    std::fs::remove_file(&blob).unwrap();
    let annotated = Command::new("callgrind_annotate").args(["--threshold=100", "--auto=no"]).arg(&counts).output().unwrap();
    let text = String::from_utf8(annotated.stdout).unwrap();
    // `1,234 (0.10%)  file:function [object]`
    let lines = text.lines().filter(|line| line.contains("%)") && !line.contains("PROGRAM TOTALS"));
    let counted = lines.filter_map(|line| {
        let (count, function) = line.trim_start().split_once(" (")?;
        Some((count.replace(',', "").parse::<f64>().ok()?, function.contains("sha2")))
    });
    counted.fold([0.0, 0.0], |[all, rest], (count, is_sha256)| [all + count, rest + if is_sha256 { 0.0 } else { count }])
}

#[test]
fn a_mebibyte_takes_no_more_instructions_than_it_did() {
    if parts::valgrind().is_none() {
        return;
    }
    let bench = Workbench::new();
    let [larger, smaller] = SIZES_MIB.map(|size_mib| {
        // Waiting costs instructions too: the run that waited least tells most.
        let runs = (0..3).map(|run| instructions(&bench, run, size_mib));
        runs.reduce(|[all, rest], [other_all, other_rest]| [all.min(other_all), rest.min(other_rest)]).unwrap()
    });
    let size_mib = (SIZES_MIB[0] - SIZES_MIB[1]) as f64;
    let [all, rest] = [0, 1].map(|which| (larger[which] - smaller[which]) / size_mib);
    assert!(all > 0.5 * PER_MIB && rest > 0.2 * REST_PER_MIB, "nothing was counted: {all:.0} and {rest:.0} for each MiB");
    assert!(all < 1.05 * PER_MIB, "{all:.0} instructions for each MiB, and {PER_MIB:.0} before: what became dearer?");
    assert!(rest < 1.15 * REST_PER_MIB, "{rest:.0} instructions outside SHA-256 for each MiB, and {REST_PER_MIB:.0} before");
}
