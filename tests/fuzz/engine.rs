//! libFuzzer: one process for each target, since an input that breaks one ends it.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::{Target, replay};

/// Set for the process of one target.
const TARGET: &str = "DRIVE_AGENT_FUZZ_TARGET";

/// Longest input: a sector of 4 KiB, many lines of a manifest, a job with long lists.
const INPUT_BYTES_MAX: usize = 128 << 10;

/// An input that takes longer hangs its reader. Every one takes milliseconds.
const INPUT_SECONDS_MAX: u64 = 60;

/// Of the whole process.
const PROCESS_MIB_MAX: u64 = 2048;

static RUNNING: OnceLock<&'static Target> = OnceLock::new();

unsafe extern "C" {
    fn LLVMFuzzerRunDriver(
        count: *mut c_int,
        arguments: *mut *mut *mut c_char,
        try_input: extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
}

extern "C" fn try_input(bytes: *const u8, length: usize) -> c_int {
    // SAFETY: libFuzzer gives so many bytes, which stay as they are until this returns; none at all may come as null.
    let bytes = if length == 0 { &[][..] } else { unsafe { std::slice::from_raw_parts(bytes, length) } };
    if let Some(target) = RUNNING.get() {
        target.try_input(bytes);
    }
    0
}

/// What libfuzzer-sys calls where libFuzzer has the main function, which it has not here.
// SAFETY: the name is the one that libfuzzer-sys declares, and nothing else has it.
#[unsafe(no_mangle)]
fn rust_fuzzer_test_input(_: &[u8]) -> i32 {
    // The library must not be left out when everything is put together.
    libfuzzer_sys::rust_libfuzzer_debug_path().as_ref().map_or(0, |_| -1)
}

/// The target that this process is for.
pub fn target_of_this_process() -> Option<&'static Target> {
    Target::named(&std::env::var(TARGET).ok()?)
}

/// Hands the process to libFuzzer, with the arguments as they are.
pub fn fuzz(target: &'static Target) -> ! {
    let _ = RUNNING.set(target);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        hook(panic);
        // libFuzzer keeps the input of a process that aborts.
        std::process::abort();
    }));
    let arguments: Vec<CString> = std::env::args().map(|argument| CString::new(argument).unwrap()).collect();
    let mut pointers: Vec<*mut c_char> = arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    let mut count = c_int::try_from(pointers.len()).unwrap();
    pointers.push(std::ptr::null_mut());
    let mut first = pointers.as_mut_ptr();
    // SAFETY: `count` texts that end with zero, and a null behind them, as the main function of a program gets them; they
    // live until the process ends, and libFuzzer changes none of them.
    let code = unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut first, try_input) };
    std::process::exit(code)
}

/// What was learned, and what was found, outlives a run.
fn place_of(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(target.name)
}

/// The process of a target; its last words where it found something.
fn run(target: &Target, seconds: u64, seed: u32) -> Result<String, String> {
    let (place, own) = (place_of(target), replay::folder_of(target));
    let learned = place.join("learned");
    std::fs::create_dir_all(&learned).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-seed={seed}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={PROCESS_MIB_MAX}"))
        .arg(format!("-artifact_prefix={}/found-", place.display()))
        .args(["-print_final_stats=1", "-verbosity=1"])
        .args([&learned, &own])
        .env(TARGET, target.name)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => {
            let runs = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
            let reached = text.lines().rev().find_map(|line| Some(line.split_once(" cov: ")?.1.split_once(' ')?.0.to_owned()));
            Ok(format!("{} inputs, {} branches", runs.unwrap_or("?").trim(), reached.unwrap_or_default()))
        }
        false => Err(text),
    }
}

/// All of the targets, as many at once as there are processors.
pub fn fuzz_all(targets: &[&'static Target], seconds: u64, seed: u32) -> ExitCode {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(0));
    let at_once = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match run(target, seconds, seed) {
                        Ok(told) => println!("{:<20} {told}", target.name),
                        Err(text) => {
                            *failed.lock().unwrap() += 1;
                            println!("{:<20} FAILED\n{}", target.name, end_of(&text));
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{} fuzz targets for {seconds} s each with seed {seed}, {failed} failed", targets.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the target said, without the log of the search before it.
fn end_of(text: &str) -> String {
    let is_search = |line: &str| line.starts_with('#') || line.starts_with("INFO:") || line.starts_with("\tNEW_FUNC");
    let lines: Vec<&str> = text.lines().filter(|line| !is_search(line)).collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
