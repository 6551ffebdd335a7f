//! Histories: random sequences of commands on a small world, with everything that can interrupt them, and an oracle after
//! each step that computes independently what must hold (rules R1 to R5 and R9).
//!
//! ```text
//! tests/run --histories 10000              any number, from seed 1, or from `--seed S`
//! tests/run --histories 1 --seed 4711      one again
//! tests/run --histories 2000 --store s3    all of them about one store: directory, block, page, s3 or gcs
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `step.rs`, `generate.rs`, `random.rs` | what a history is made of, and how a seed makes one |
//! | `places.rs`, `remote.rs`, `world.rs`, `tamper.rs` | where it happens, and what is done there beside the program |
//! | `run.rs`, `arguments.rs`, `surroundings.rs` | one command, interrupted; what it is given, and what it meets |
//! | `oracle/`, `journal.rs` | what must hold |
//! | `history.rs`, `finale.rs`, `shrink.rs`, `counts.rs` | one history, its last command, a shorter one, what was tried |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod arguments;
mod counts;
mod finale;
mod generate;
mod history;
mod journal;
mod oracle;
mod places;
mod remote;
mod run;
mod shrink;
mod step;
#[allow(dead_code, unused_imports)]
#[path = "../it/support/mod.rs"]
mod support;
mod surroundings;
mod tamper;
mod world;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use counts::Counts;
use history::{Violation, live};
use places::Places;
use step::{Plan, StoreKind};

/// How many histories a plain `cargo test` runs.
const DEFAULT_COUNT: u64 = 100;

/// Histories that live at once, for each processor: much of their time is waiting.
const WORKERS_PER_PROCESSOR: usize = 2;

/// The first seed, as the environment gives it.
const SEED: &str = "DRIVE_AGENT_HISTORIES_SEED";

/// Set for the process that has its own mounts.
const INSIDE: &str = "DRIVE_AGENT_HISTORIES_INSIDE";

struct Arguments {
    count: u64,
    seed: u64,
    /// The store that all of them are about.
    only: Option<StoreKind>,
    /// All violations are counted, and the run does not end at the first.
    keeps_going: bool,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else { return ExitCode::SUCCESS };
    if rustix::process::geteuid().is_root() && std::env::var_os(INSIDE).is_none() {
        // With mounts of its own, that go away with it whatever its end is.
        let program = std::env::current_exe().unwrap();
        let error = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(program)
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "1")
            .env(SEED, arguments.seed.to_string())
            .exec();
        eprintln!("unshare: {error}; the file systems of the histories are left out");
    }
    // Violations are told at the end, with how to repeat them.
    std::panic::set_hook(Box::new(|_| {}));
    histories(&arguments)
}

/// What the command line asks for; `None` where it asks for other tests.
fn arguments() -> Option<Arguments> {
    let from_environment = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let mut found = Arguments {
        count: from_environment("DRIVE_AGENT_HISTORIES").unwrap_or(DEFAULT_COUNT),
        seed: from_environment(SEED).unwrap_or(1),
        only: None,
        keeps_going: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut number = || given.next().and_then(|text| text.parse().ok()).expect("a number");
        match argument.as_str() {
            "--histories" => found.count = number(),
            "--seed" => found.seed = number(),
            "--store" => found.only = Some(given.next().as_deref().and_then(StoreKind::of_word).expect("a kind of store")),
            "--keep-going" => found.keeps_going = true,
            "--list" => return None,
            // A filter for tests: this is one of that name.
            filter if !filter.starts_with('-') && !"histories".contains(filter) => return None,
            _ => {}
        }
    }
    Some(found)
}

fn histories(arguments: &Arguments) -> ExitCode {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let found: Mutex<(Counts, Vec<(Plan, Violation)>)> = Mutex::default();
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let workers = (processors * WORKERS_PER_PROCESSOR).min(arguments.count as usize);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (next, is_over, found, done) = (&next, &is_over, &found, &done);
            scope.spawn(move || {
                let places = Places::new();
                let mut counts = Counts::default();
                // Folders of different workers have different names, which makes logs easier to read.
                let mut number = worker as u64 * 1_000_000;
                while !is_over.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= arguments.count {
                        break;
                    }
                    let plan = generate::plan(arguments.seed + index, places.loop_device.is_some(), arguments.only);
                    counts.history(plan.store);
                    number += 1;
                    let lived =
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live(&places, &plan, number, &mut counts)));
                    let lived = lived.unwrap_or_else(|panic| Err(of_panic(&*panic)));
                    done.fetch_add(1, Ordering::Relaxed);
                    let Err(violation) = lived else { continue };
                    is_over.fetch_or(!arguments.keeps_going, Ordering::Relaxed);
                    let shrunk = if arguments.keeps_going {
                        (plan, violation)
                    } else {
                        shrink::shrink(&places, &plan, violation, &mut number)
                    };
                    found.lock().unwrap().1.push(shrunk);
                }
                found.lock().unwrap().0.merge(counts);
            });
        }
    });
    let (counts, violations) = found.into_inner().unwrap();
    tell(arguments, &counts, &violations, done.load(Ordering::Relaxed), began.elapsed())
}

fn of_panic(panic: &(dyn std::any::Any + Send)) -> Violation {
    let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Violation { step: usize::MAX - 1, message: format!("the test itself failed: {}", text.unwrap_or_default()), log: Vec::new() }
}

fn tell(arguments: &Arguments, counts: &Counts, violations: &[(Plan, Violation)], done: u64, took: Duration) -> ExitCode {
    for (plan, violation) in violations {
        println!("\nseed {}: {}", plan.seed, violation.message);
        let what = if arguments.keeps_going { "it" } else { "the shortest that fails" };
        println!("{what} has {} steps:\n  {}", plan.steps.len(), violation.log.join("\n  "));
        let store = arguments.only.map_or(String::new(), |store| format!(" --store {}", store.word()));
        println!("again: tests/run --histories 1 --seed {}{store}", plan.seed);
    }
    println!("\n{}", counts.text());
    println!("{done} histories from seed {} in {:.0} s, {} violations", arguments.seed, took.as_secs_f64(), violations.len());
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
