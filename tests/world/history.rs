//! One history: the steps that a seed makes, and what is left of it.

use std::collections::BTreeMap;
use std::path::Path;

use protocol::digest::Sha256Digest;
use serde_json::Value;

use crate::station::Station;
use crate::world::{Checked, Violation, World};
use crate::{attention, begin, customers, finale, oracle, staff, station_events, surroundings};
use tests::random::Random;

/// Steps of a history at most.
const STEPS_MAX: u64 = 60;

type Act = fn(&mut World);

/// What can happen, each with its weight.
const ACTS: [(u64, Act); 22] = [
    (7, customers::create),
    (2, customers::put_again),
    (9, customers::ship),
    (1, customers::change_delivery),
    (1, customers::upload),
    (3, customers::cancel),
    (2, customers::delete),
    (12, staff::dock),
    (4, staff::take_out),
    (7, staff::check_in),
    (2, staff::check_in_by_name),
    (5, staff::direct),
    (2, staff::say_it_was_the_wrong_one),
    (3, staff::ship_back),
    (1, staff::tidy),
    (12, attention::attend),
    (14, surroundings::time),
    (2, surroundings::store_fails),
    (2, surroundings::store_is_slow),
    (3, surroundings::kill),
    (1, surroundings::restart),
    (1, surroundings::clock_jumps),
];

/// In so many of a hundred steps something happens to a station instead, while one copies.
const STATION_EVENTS_SHARE: u64 = 60;

/// How often another act is chosen where there was nothing to do.
const TRIES_MAX: u32 = 4;

/// How a history ended.
pub struct Lived {
    pub violation: Option<Violation>,
    /// How many steps there were before the end, or before what must not happen.
    pub steps: u64,
    pub log: Vec<String>,
    /// The audit log, the oldest entry first, with the numbers of jobs in place of their random names.
    pub audit: Vec<String>,
    /// What happened to stations, and how often.
    pub tally: BTreeMap<&'static str, u64>,
}

impl Lived {
    /// Equal for equal histories.
    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(format!("{:?}\n{:?}\n{:?}", self.log, self.audit, self.tally).as_bytes())
    }
}

/// Lives the history of a seed, in a folder with an empty database; at most so many steps of it.
pub fn live(folder: &Path, vault: &Path, seed: u64, steps_max: u64) -> Lived {
    // Whatever is listed by its random name has the same order each time.
    service::names::simulation::count_from(1);
    let mut random = Random::new(seed);
    let customers = 2 + random.index(begin::CUSTOMERS_MAX - 1);
    let site = begin::site(&mut random, customers);
    let count = (10 + random.below(STEPS_MAX - 9)).min(steps_max);
    let mut world = World::begin(folder, vault, random, site, customers);
    let mut steps = 0;
    let lived = steps_of(&mut world, count, &mut steps).and_then(|()| finale::check(&mut world));
    let audit = audit_of(&mut world);
    let (log, tally) = (std::mem::take(&mut world.log), std::mem::take(&mut world.worker.site().tally));
    world.end();
    Lived { violation: lived.err(), steps, log, audit, tally }
}

fn steps_of(world: &mut World, count: u64, steps: &mut u64) -> Checked {
    world.begin_stations();
    // Something to begin with.
    let more = usize::from(!world.stations.is_empty());
    for _ in 0..1 + more + world.random.index(3) {
        customers::create(world);
        customers::ship(world);
    }
    oracle::check(world)?;
    for _ in 0..count {
        *steps += 1;
        let lines = world.log.len();
        for _ in 0..TRIES_MAX {
            act(world);
            if world.log.len() > lines {
                break;
            }
        }
        let rounds = world.random.weighted(&[(2, 0), (4, 1), (4, 2)]);
        world.rounds(rounds);
        oracle::check(world)?;
    }
    Ok(())
}

/// Something happens.
fn act(world: &mut World) {
    let copying: Vec<&Station> = world.stations.iter().filter(|station| station.is_running()).collect();
    let is_disturbed = copying.iter().any(|station| !station.is_healthy());
    let share = if copying.is_empty() { STATION_EVENTS_SHARE / 4 } else { STATION_EVENTS_SHARE };
    let has_stations = !world.stations.is_empty();
    if is_disturbed && world.random.percent(60) {
        // What became of a copy shows when time has gone by.
        surroundings::time(world);
    } else if has_stations && world.random.percent(share) {
        station_events::something(world);
    } else {
        world.random.weighted(&ACTS)(world);
    }
}

fn audit_of(world: &mut World) -> Vec<String> {
    world.worker.clock.revive();
    let entries = world.list("audit");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |entry: &Value| {
        let job = world.jobs.iter().position(|job| job.uid.as_deref() == entry["job_uid"].as_str() && job.uid.is_some());
        let unknown = if entry["job_uid"].is_null() { "" } else { "a job that was never seen" };
        let job = job.map_or_else(|| unknown.to_owned(), |job| format!("job {job}"));
        let entered = entry["entered"].as_str().map(|state| format!(" → {state}")).unwrap_or_default();
        format!("{} {:<11} {}: {job}{entered}", text(&entry["at"]), text(&entry["actor"]), text(&entry["action"]))
    };
    entries.iter().rev().map(line).collect()
}
