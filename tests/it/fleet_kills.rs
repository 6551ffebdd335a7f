//! The parts of a fleet are killed and stopped at random while jobs go through it: no change that was acknowledged is lost, no drive
//! is copied twice at once, and receipts say what the store has.
//!
//! `DRIVE_AGENT_KILLS` says how often (100 takes ten minutes), `DRIVE_AGENT_KILLS_SEED` in which order.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use service::testing::PostgresServer;
use tests::random::Random;
use tokio::runtime::Runtime;

use crate::support::images::{MIB, partials_of};
use crate::support::listener::free_port;
use crate::support::parts::part;
use crate::support::service::{Service, import, job, shipping, slow_profile};
use crate::support::station::Station;
use crate::support::wait::wait_until;
use crate::support::{Agent, Workbench};

/// How often something is killed where nothing else is said.
const KILLS: u64 = 12;

const HALLS: [&str; 3] = ["hall-a", "hall-b", "hall-c"];

/// Bytes of each drive.
const DRIVE_BYTES: u64 = 6 * MIB as u64;

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

/// One hall, and the job whose drive is in its bay.
struct Hall {
    station: Station,
    jobs: u32,
}

struct Fleet {
    server: PostgresServer,
    services: [Service; 2],
    halls: Vec<Hall>,
    /// The last number that a change of the job `ledger` had which was acknowledged, and the last that was asked for.
    acknowledged: u64,
    asked: u64,
    drives: Workbench,
    // Removed when everything in them has ended.
    _benches: [Workbench; 2],
}

impl Fleet {
    fn start(server: PostgresServer) -> Self {
        let benches = [Workbench::new(), Workbench::new()];
        let drives = Workbench::new();
        let database = Runtime::new().unwrap().block_on(server.new_database());
        let shared = format!(
            "station_lease = \"12s\"\n[transfer]\nchunk_size = \"256KiB\"\ndrain_timeout = \"1s\"\n[[account]]\nname = \"local\"\nstore = \"{}\"\n",
            drives.path().display()
        );
        let config = format!("database = \"{database}\"\n{shared}");
        let first = Service::start_at(&benches[0], &config, free_port());
        let second = Service::start_beside(&first, &benches[1], &config, free_port());
        let of_station = format!("{}[[bay]]\nname = \"bay-1\"\n", shared.replace("station_lease = \"12s\"\n", ""));
        let services = [first, second];
        let hall = |(index, name): (usize, &&str)| {
            let station = Station::start(&services[index % 2], &drives, name, &of_station);
            Hall { station, jobs: 0 }
        };
        let halls = HALLS.iter().enumerate().map(hall).collect();
        services[0].call("PUT", &job("ledger"), import(&["NONE"])).expect(201);
        Fleet { server, services, halls, acknowledged: 0, asked: 0, drives, _benches: benches }
    }

    /// What the first service says that does what is asked.
    fn try_ask(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let token = &self.services[0].token;
        let ask = |service: &Service| {
            let answer = service.try_call(token, method, path, body.clone(), &[]).ok()?;
            (answer.status < 300).then_some(answer.body)
        };
        self.services.iter().find_map(ask)
    }

    /// The same, until one does. What is asked may be done twice.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut answer = None;
        wait_until(&format!("an answer to {method} {path}"), || {
            answer = self.try_ask(method, path, body);
            answer.is_some()
        });
        answer.unwrap()
    }

    fn state_of(&self, name: &str) -> String {
        self.ask("GET", &job(name), &Value::Null)["properties"]["state"].as_str().unwrap().to_owned()
    }

    /// Gives every hall whose job is done the next one, and changes the ledger once.
    fn go_on(&mut self) {
        for (index, name) in HALLS.into_iter().enumerate() {
            let jobs = self.halls[index].jobs;
            if jobs > 0 && self.state_of(&format!("{name}-{jobs}")) != "Packaging" {
                continue;
            }
            let next = format!("{name}-{}", jobs + 1);
            let drive = next.to_uppercase();
            self.ask("PUT", &job(&next), &import(&[&drive]));
            self.ask("PATCH", &job(&next), &json!({ "properties": shipping() }));
            self.put_in(name, &self.profile(&drive));
            self.halls[index].jobs += 1;
        }
        self.asked += 1;
        let body = json!({ "tags": { "number": self.asked.to_string() } });
        if self.try_ask("PATCH", &job("ledger"), &body).is_some() {
            self.acknowledged = self.asked;
        }
    }

    fn profile(&self, drive: &str) -> PathBuf {
        slow_profile(&self.drives, drive, "6MiB", "3MB/s")
    }

    /// Puts a drive into the bay of a hall, where another one may be.
    fn put_in(&self, name: &str, profile: &Path) {
        let bay = format!("{name}/bay-1");
        let path = format!("/operator/v1/bays/{}", bay.replace('/', "%2F"));
        wait_until(&format!("{} to be docked", profile.display()), || {
            let bays = self.ask("GET", "/operator/v1/bays", &Value::Null);
            let bays = bays["value"].as_array().unwrap();
            let docked = bays.iter().find(|one| one["name"] == bay).map(|one| one["drive"]["path"].clone());
            if docked.as_ref().and_then(Value::as_str) == profile.to_str() {
                return true;
            }
            // A station that is away does not tell what is in its bay.
            if self.try_ask("POST", &format!("{path}/dock"), &json!({ "path": profile })).is_none() {
                self.try_ask("POST", &format!("{path}/undock"), &Value::Null);
            }
            false
        });
    }

    /// Kills or stops one part, and lets it go on.
    fn harm(&mut self, random: &mut Random) {
        let pause = Duration::from_millis(random.below(2_000));
        match random.below(7) {
            0 => {
                self.server.kill();
                std::thread::sleep(pause);
                self.server.go();
            }
            which @ 1..=2 => {
                let service = &mut self.services[which as usize - 1];
                service.kill();
                std::thread::sleep(pause);
                service.go();
            }
            which @ 3..=5 => {
                let station = &mut self.halls[which as usize - 3].station;
                station.kill();
                std::thread::sleep(pause);
                station.start_again();
            }
            _ => {
                let hall = &self.halls[random.below(3) as usize];
                hall.station.signal(Signal::STOP);
                // Sometimes longer than its grants.
                let beyond = if random.below(3) == 0 { 13 } else { 0 };
                std::thread::sleep(pause + Duration::from_secs(beyond));
                hall.station.signal(Signal::CONT);
            }
        }
    }
}

#[test]
fn whatever_is_killed_nothing_acknowledged_is_lost_and_receipts_are_true() {
    let Some(server) = part(PostgresServer::start(), "PostgreSQL") else { return };
    let seed = from_environment("DRIVE_AGENT_KILLS_SEED", 1);
    let mut random = Random::new(seed);
    let mut fleet = Fleet::start(server);
    for _ in 0..from_environment("DRIVE_AGENT_KILLS", KILLS) {
        fleet.go_on();
        std::thread::sleep(Duration::from_millis(random.below(1_500)));
        fleet.harm(&mut random);
    }
    let names: Vec<String> = HALLS
        .iter()
        .zip(&fleet.halls)
        .flat_map(|(name, hall)| (1..=hall.jobs).map(move |number| format!("{name}-{number}")))
        .collect();
    for name in &names {
        wait_until(&format!("the job {name} to be copied (seed {seed})"), || fleet.state_of(name) == "Packaging");
    }
    // What each drive has, as a copy tells that nothing disturbs.
    let (bench, profile) = (Workbench::new(), fleet.profile("SAME"));
    let copied = Agent::bare(bench.path(), &[&"import", &profile, &"same"]).run();
    assert_eq!(copied.code, Some(0), "{}", copied.stderr);
    let expected = std::fs::read(bench.file("same")).unwrap();
    for name in &names {
        let drive = name.to_uppercase();
        let blob = fleet.drives.file(&format!("imports/{name}/{drive}.img"));
        assert!(std::fs::read(&blob).unwrap() == expected, "{name} (seed {seed})");
        assert!(partials_of(&blob).is_empty(), "{name} (seed {seed})");
        let receipts = fleet.ask("GET", &job(name).replace('?', "/receipts?"), &Value::Null);
        let result = &receipts["drives"][0]["result"];
        let bytes = |field: &str| result[field].as_u64().unwrap();
        assert_eq!(result["outcome"], "complete", "{name} (seed {seed}): {result}");
        let moved = bytes("bytes_sent") + bytes("bytes_reused") + bytes("bytes_zero");
        assert_eq!((bytes("bytes_total"), moved), (DRIVE_BYTES, DRIVE_BYTES), "{name} (seed {seed}): {result}");
    }
    let ledger = fleet.ask("GET", &job("ledger"), &Value::Null);
    let number: u64 = ledger["tags"]["number"].as_str().unwrap().parse().unwrap();
    assert!((fleet.acknowledged..=fleet.asked).contains(&number), "{number} of {} (seed {seed})", fleet.acknowledged);
    assert!(fleet.acknowledged > 0 && names.len() >= 3);
}
