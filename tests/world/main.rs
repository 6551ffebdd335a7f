//! The simulated world: the real scheduler, store and API of the job service under seeded histories in virtual time, and an
//! oracle after each step that knows what is really true.
//!
//! ```text
//! tests/run --world 10000              any number of seeds, from 1, or from `--seed S`
//! tests/run --world 1 --seed 4711      one again
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `clock`, `site`, `blobs`, `begin` | time; drives, bays and stores as they really are, and how a seed begins |
//! | `plane`, `worker` | what a host does with its bays and the stores, and the data plane that the service sees |
//! | `copying`, `cut_off`, `journals`, `results` | copies that take time, are cut off, and are accounted for |
//! | `life` | one life of the service, from its start to its stop or its kill |
//! | `station`, `station_tasks`, `network`, `hosts` | stations under grants, their calls, and time that goes from one thing that happens to the next |
//! | `world` | all of it together, and what is really true about each job |
//! | `customers`, `staff`, `attention`, `surroundings`, `station_events` | who does what |
//! | `oracle`, `hosts_oracle`, `receipts`, `finale` | what must hold after each step, of stations, of receipts, and in the end |
//! | `history`, `counts` | the steps of one seed, and what was tried |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod attention;
mod begin;
mod blobs;
mod clock;
mod copying;
mod counts;
mod customers;
mod cut_off;
mod finale;
mod history;
mod hosts;
mod hosts_oracle;
mod journals;
mod life;
mod network;
mod oracle;
mod plane;
mod receipts;
mod results;
mod site;
mod staff;
mod station;
mod station_events;
mod station_tasks;
mod surroundings;
mod worker;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use counts::Counts;
use history::{Lived, live};
use world::Violation;

/// How many histories a plain `cargo test` runs.
const DEFAULT_COUNT: u64 = 100;

/// Every so many histories one is lived twice, and must be the same both times.
const TWICE_EVERY: u64 = 50;

/// Longest that a history takes on a busy machine.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(300);

struct Arguments {
    count: u64,
    seed: u64,
    /// All violations are told, and the run does not end at the first.
    keeps_going: bool,
    /// Every history is told, also one in which nothing is wrong.
    tells_all: bool,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else { return ExitCode::SUCCESS };
    // The service is killed by a panic; what the world itself panics with is told as a violation.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let found = histories(&arguments);
    tell(&arguments, &found, began.elapsed())
}

/// What the command line asks for; `None` where it asks for other tests.
fn arguments() -> Option<Arguments> {
    let count = std::env::var("DRIVE_AGENT_WORLDS").ok().and_then(|text| text.parse().ok());
    let mut found = Arguments { count: count.unwrap_or(DEFAULT_COUNT), seed: 1, keeps_going: false, tells_all: false };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut number = || given.next().and_then(|text| text.parse().ok()).expect("a number");
        match argument.as_str() {
            "--seeds" | "--world" => found.count = number(),
            "--seed" => found.seed = number(),
            "--keep-going" => found.keeps_going = true,
            "--tell" => found.tells_all = true,
            "--list" => return None,
            // A filter for tests: this is one of that name.
            filter if !filter.starts_with('-') && !"world".contains(filter) => return None,
            _ => {}
        }
    }
    Some(found)
}

/// A place for one history after another: in memory where the machine has such a place.
struct Room {
    folder: tempfile::TempDir,
    database: PathBuf,
}

impl Room {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        life::make_template(folder.path(), begin::CUSTOMERS_MAX);
        let database = folder.path().join("history");
        Room { folder, database }
    }

    fn live(&self, seed: u64, steps_max: u64) -> Lived {
        let _ = std::fs::remove_dir_all(&self.database);
        std::fs::create_dir(&self.database).unwrap();
        std::fs::copy(self.folder.path().join("template.db"), self.database.join("jobs.db")).unwrap();
        let vault = self.folder.path().join("vault.key");
        let lived = std::panic::catch_unwind(|| live(&self.database, &vault, seed, steps_max));
        lived.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
            let violation = Violation(format!("a panic: {text}"));
            Lived { violation: Some(violation), steps: steps_max, log: Vec::new(), audit: Vec::new(), tally: BTreeMap::new() }
        })
    }

    /// One seed: lived twice now and then, and with fewer steps where only its end went wrong.
    fn examine(&self, seed: u64) -> Lived {
        let lived = self.live(seed, u64::MAX);
        if seed.is_multiple_of(TWICE_EVERY) {
            let again = self.live(seed, u64::MAX);
            if let Some(violation) = difference(&lived, &again) {
                return Lived { violation: Some(violation), ..again };
            }
        }
        lived
    }

    /// The shortest beginning of a history that goes wrong too.
    fn shorten(&self, seed: u64, lived: Lived) -> Lived {
        let shorter = (0..lived.steps).map(|steps| self.live(seed, steps)).find(|shorter| shorter.violation.is_some());
        shorter.unwrap_or(lived)
    }
}

/// Where two histories of one seed differ.
fn difference(first: &Lived, second: &Lived) -> Option<Violation> {
    if first.digest() == second.digest() {
        return None;
    }
    let lines = |lived: &Lived| [lived.log.clone(), lived.audit.clone()].concat();
    let (first, second) = (lines(first), lines(second));
    let differs = first.iter().zip(&second).find(|(one, other)| one != other);
    Some(Violation(format!("the same seed gave another history: {differs:?}")))
}

/// What was found.
#[derive(Default)]
struct Found {
    done: u64,
    told: Vec<(u64, Lived)>,
    counts: Counts,
}

/// What the threads share that live histories.
struct Run<'run> {
    arguments: &'run Arguments,
    next: AtomicU64,
    is_over: AtomicBool,
    found: Mutex<Found>,
    /// The seeds that are lived just now, and since when.
    living: Mutex<BTreeMap<u64, Instant>>,
}

fn histories(arguments: &Arguments) -> Found {
    let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let run = Run { arguments, next, is_over, found: Mutex::default(), living: Mutex::default() };
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let run = &run;
        let work = |index: usize| {
            move || {
                stay_on_processor(index);
                run.work();
            }
        };
        let workers: Vec<_> = (0..workers).map(|index| scope.spawn(work(index))).collect();
        while !workers.iter().all(|worker| worker.is_finished()) {
            run.end_where_stuck();
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    run.found.into_inner().unwrap()
}

/// Keeps this thread, and those of the database that it starts, on one processor: they take turns, and waking each other
/// over processors takes a quarter of the time.
fn stay_on_processor(index: usize) {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return };
    let processors: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number)).collect();
    if let Some(number) = processors.get(index % processors.len().max(1)) {
        let mut own = rustix::thread::CpuSet::new();
        own.set(*number);
        // Where it may not be, it is only slower.
        let _ = rustix::thread::sched_setaffinity(None, &own);
    }
}

impl Run<'_> {
    /// Lives one history after another.
    fn work(&self) {
        let room = Room::new();
        let (mut counts, mut done) = (Counts::default(), 0);
        while !self.is_over.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.arguments.count {
                break;
            }
            let seed = self.arguments.seed + index;
            self.living.lock().unwrap().insert(seed, Instant::now());
            let lived = room.examine(seed);
            done += 1;
            counts.add(&lived.audit);
            counts.add_all(&lived.tally);
            self.note(&room, seed, lived);
            self.living.lock().unwrap().remove(&seed);
        }
        let mut found = self.found.lock().unwrap();
        found.done += done;
        found.counts.merge(&counts);
    }

    fn note(&self, room: &Room, seed: u64, lived: Lived) {
        let Arguments { keeps_going, tells_all, .. } = *self.arguments;
        let is_wrong = lived.violation.is_some();
        self.is_over.fetch_or(!keeps_going && is_wrong, Ordering::Relaxed);
        if is_wrong || tells_all {
            let told = if keeps_going || tells_all { lived } else { room.shorten(seed, lived) };
            self.found.lock().unwrap().told.push((seed, told));
        }
    }

    /// A history that hangs is told too: in it something waits for itself.
    fn end_where_stuck(&self) {
        let living = self.living.lock().unwrap();
        if let Some((seed, _)) = living.iter().find(|(_, since)| since.elapsed() > HISTORY_TIMEOUT) {
            println!("the history of seed {seed} does not end");
            std::process::exit(1);
        }
    }
}

fn tell(arguments: &Arguments, Found { done, told, counts }: &Found, took: Duration) -> ExitCode {
    let mut kinds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (seed, lived) in told {
        let text = lived.violation.as_ref().map(|violation| violation.0.clone()).unwrap_or_default();
        if arguments.keeps_going && !arguments.tells_all {
            // Numbers and names differ from seed to seed: what is left of the words is the kind.
            let words = text.split([' ', '"']).filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()));
            kinds.entry(words.take(16).collect::<Vec<_>>().join(" ")).or_default().push(*seed);
            continue;
        }
        println!("\nseed {seed}: {text}\nafter {} steps:\n  {}", lived.steps, lived.log.join("\n  "));
        println!("the audit log:\n  {}\nagain: tests/run --world 1 --seed {seed}", lived.audit.join("\n  "));
    }
    for (kind, seeds) in &kinds {
        println!("{:>6} times, first seed {}: {kind}", seeds.len(), seeds.iter().min().unwrap_or(&0));
    }
    println!("{}", counts.text());
    let violations = told.iter().filter(|(_, lived)| lived.violation.is_some()).count();
    let seconds = took.as_secs_f64();
    println!(
        "\n{done} histories of the world from seed {} in {seconds:.0} s ({:.1} a second), {} violations",
        arguments.seed,
        *done as f64 / seconds,
        violations
    );
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
