//! A history's world: the datacenter, the service in it, and what is really true about every job.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::job::JobState;
use protocol::station::StationReport;
use protocol::stop::StopReason;
use serde_json::Value;
use service::stations::SimulatedGrant;
use tokio::task::JoinHandle;

use crate::begin::STATIONS;
use crate::clock::Clock;
use crate::copying::Copy;
use crate::life::{Life, subscription, token};
use crate::network::{Network, Slot};
use crate::plane::SimulatedWorker;
use crate::site::{Place, Site};
use crate::staff;
use crate::station::Station;
use crate::station_events;
use tests::random::Random;

/// Something that must never happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

pub type Checked = Result<(), Violation>;

/// What is really true about a job.
#[derive(Debug, Clone)]
pub struct Job {
    pub customer: usize,
    pub name: String,
    pub tracking: String,
    pub is_export: bool,
    /// The physical drives that the customer means.
    pub drives: Vec<usize>,
    /// The names that the customer wrote for drives, all that there ever were.
    pub typed: Vec<String>,
    /// Its random name, from when it was first seen.
    pub uid: Option<String>,
    /// Drives that were done when its cancel was seen.
    pub done_before_cancel: Vec<String>,
    /// How many rounds there were when its cancel was first seen.
    pub cancelled_at: Option<u64>,
    /// How the service showed it last.
    pub seen: Value,
    /// Its customer deleted it, and was told that it is gone.
    pub is_deleted: bool,
    /// It was removed.
    pub is_gone: bool,
    /// It was removed, and no byte of it was found in the database since.
    pub is_forgotten: bool,
}

impl Job {
    pub fn path(&self) -> String {
        let subscription = subscription(self.customer);
        format!("/subscriptions/{subscription}/resourceGroups/group/providers/Microsoft.ImportExport/jobs/{}", self.name)
    }

    /// Its path in the operator API.
    pub fn operator_path(&self) -> String {
        format!("/operator/v1/jobs/{}/group/{}", subscription(self.customer), self.name)
    }

    pub fn state(&self) -> Option<JobState> {
        self.seen["job"]["properties"]["state"].as_str().and_then(|name| name.parse().ok())
    }

    pub fn is_over(&self) -> bool {
        self.is_gone || self.state().is_some_and(JobState::is_final)
    }

    pub fn is_cancelled(&self) -> bool {
        self.seen["job"]["properties"]["cancelRequested"] == true
    }

    /// Its drives as the service shows them: name and state.
    pub fn shown_drives(&self) -> Vec<(String, String)> {
        let drives = self.seen["job"]["properties"]["driveList"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        drives.iter().map(|drive| (text(&drive["driveId"]), text(&drive["state"]))).collect()
    }
}

/// A world.
pub struct World {
    pub random: Random,
    pub worker: Arc<SimulatedWorker>,
    life: Option<Life>,
    /// How many changes there were when the oracle looked last.
    pub looked_at: i64,
    folder: PathBuf,
    vault: PathBuf,
    pub customers: usize,
    /// Customers try to get drives that are not theirs.
    pub has_thieves: bool,
    pub jobs: Vec<Job>,
    /// Physical drives that an operator bound to a job, by naming the bay and the job.
    pub bound: BTreeSet<(usize, String)>,
    /// Physical drives of which an operator said that they were wrong for a job.
    pub said_wrong: BTreeSet<(usize, String)>,
    /// Drives that were refused for an export: too small, read-only, not empty.
    pub unfit: BTreeSet<(usize, usize)>,
    /// The physical drive that an operator checked in as a drive of a job, by the job's uid and its name for it.
    pub bound_as: BTreeMap<(String, String), usize>,
    /// Rounds and requests.
    pub turns: u64,
    /// Rounds alone.
    pub rounds_done: u64,
    pub stations: Vec<Station>,
    pub network: Network,
    /// Runs whose ends came after their grants were taken back.
    pub late_ends: BTreeSet<u64>,
    /// How often the service was started.
    pub lives: u32,
    /// How many of the runs that began were looked at.
    pub begun_seen: usize,
    /// What was done, line by line.
    pub log: Vec<String>,
}

impl World {
    /// The beginning of a history: `folder` holds a database without jobs.
    pub fn begin(folder: &Path, vault: &Path, mut random: Random, site: Site, customers: usize) -> Self {
        let worker = Arc::new(SimulatedWorker { site: Mutex::new(site), clock: Clock::default() });
        let life = Life::start(folder, vault, worker.clone(), customers);
        World {
            has_thieves: random.percent(35),
            random,
            worker,
            life: Some(life),
            looked_at: 0,
            folder: folder.to_owned(),
            vault: vault.to_owned(),
            customers,
            jobs: Vec::new(),
            bound: BTreeSet::new(),
            said_wrong: BTreeSet::new(),
            unfit: BTreeSet::new(),
            bound_as: BTreeMap::new(),
            turns: 0,
            rounds_done: 0,
            stations: Vec::new(),
            network: Network::default(),
            late_ends: BTreeSet::new(),
            lives: 1,
            begun_seen: 0,
            log: Vec::new(),
        }
    }

    /// Makes the tokens of stations, and lets them call.
    pub fn begin_stations(&mut self) {
        let count = self.worker.site().bays.iter().map(|bay| bay.host).max().unwrap_or_default();
        for (index, name) in STATIONS[..count].iter().enumerate() {
            self.stations.push(Station::new((*name).to_owned(), index + 1, self.worker.clone()));
            station_events::make_token(self, index);
        }
        self.serve_stations();
    }

    pub fn note(&mut self, text: impl Into<String>) {
        let at = self.worker.clock.now();
        let text = text.into();
        self.log.push(format!("{:>3} {} {:02}:{:02} {text}", self.log.len(), at.date(), at.hour(), at.minute()));
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("the service runs between two steps")
    }

    /// Sends a request; status 0 where the service was killed before it answered.
    pub fn call(&mut self, customer: Option<usize>, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.turns += 1;
        if !self.stations.is_empty() {
            return self.call_with_stations(customer, method, path, body);
        }
        let answered = self.life().call(&token(customer), method, path, body);
        let answered = answered.or_else(|| {
            self.restart_killed();
            None
        });
        if self.life().settle().is_none() {
            self.restart_killed();
        }
        answered.unwrap_or((0, Value::Null))
    }

    fn call_with_stations(&mut self, customer: Option<usize>, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (slot, task) = self.life().begin_call(&token(customer), method, path, body);
        let answered = self.wait_for_request(|| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        task.abort();
        self.serve_stations();
        answered.unwrap_or((0, Value::Null))
    }

    /// A request whose answer is only noted by its status and error.
    pub fn ask(&mut self, who: Option<usize>, method: &str, path: &str, body: &Value, what: &str) -> bool {
        let (status, answer) = self.call(who, method, path, body);
        let said = answer["error"]["message"].as_str().map(|message| format!(": {message}")).unwrap_or_default();
        self.note(format!("{what} → {status}{said}"));
        (200..300).contains(&status)
    }

    /// Rounds of the scheduler.
    pub fn rounds(&mut self, count: u64) {
        for _ in 0..count {
            self.turns += 1;
            self.rounds_done += 1;
            if self.life().round().is_none() {
                self.restart_killed();
            }
            self.serve_stations();
        }
    }

    /// Lets time go by, in pieces: after each the scheduler does a round.
    pub fn advance(&mut self, by: Duration, pieces: u32) {
        for _ in 0..pieces {
            let piece = by / pieces;
            if !self.stations.is_empty() {
                self.pass_until(self.worker.clock.elapsed() + piece);
                self.rounds(1);
                continue;
            }
            self.worker.clock.advance(piece);
            let (elapsed, now) = (self.worker.clock.elapsed(), self.worker.clock.now());
            self.worker.site().advance(elapsed, now);
            if self.life().settle().and_then(|()| self.life().advance(piece)).is_none() {
                self.restart_killed();
            }
            self.rounds(1);
        }
    }

    pub fn restart_killed(&mut self) {
        self.note("the service is killed, and starts again");
        self.restart();
    }

    /// Ends the service and starts it again: copies that still run in its own bays are cut off.
    fn restart(&mut self) {
        if let Some(life) = self.life.take() {
            life.end();
        }
        self.cut_calls();
        staff::move_drives_unseen(self);
        self.worker.site().cut_off(0);
        if !self.stations.is_empty() && self.random.percent(40) {
            let hours = 1 + self.random.below(20);
            self.note(format!("the service does not run for {hours} hours"));
            self.worker.clock.revive();
            let until = self.worker.clock.elapsed() + Duration::from_secs(3600 * hours);
            while self.pass_to_next(until).is_some() {}
        }
        self.lives += 1;
        self.life = Some(Life::start(&self.folder, &self.vault, self.worker.clone(), self.customers));
    }

    /// Whether the service runs.
    pub fn has_life(&self) -> bool {
        self.life.is_some()
    }

    /// What the service has granted to stations; nothing while it does not run.
    pub fn grants(&self) -> Vec<SimulatedGrant> {
        self.life.as_ref().map(Life::grants).unwrap_or_default()
    }

    pub fn remaining(&self, until: tokio::time::Instant) -> Duration {
        self.life.as_ref().map(|life| life.remaining(until)).unwrap_or_default()
    }

    /// Begins the call of a station, where the service runs.
    pub fn call_of_station(&self, name: &str, report: StationReport) -> Option<(Slot, JoinHandle<()>)> {
        self.life.as_ref()?.call_of_station(name, report)
    }

    /// Lets the service come to rest, where it runs; `None` where it was killed.
    pub fn settle_life(&self) -> Option<()> {
        self.life.as_ref().map_or(Some(()), Life::settle)
    }

    /// Lets time go by in the service, where it runs; `None` where it was killed.
    pub fn advance_life(&self, by: Duration) -> Option<()> {
        self.life.as_ref().map_or(Some(()), |life| life.settle().and_then(|()| life.advance(by)))
    }

    /// Stops the service as SIGTERM does, and starts it again.
    pub fn stop_and_start(&mut self) {
        self.note("the service is stopped, and starts again");
        let now = self.worker.clock.now();
        let is_own = |copy: &Copy| copy.host == 0;
        let mut site = self.worker.site();
        site.copies.iter_mut().filter(|copy| is_own(copy)).for_each(|copy| copy.ask_to_stop(StopReason::Terminated, now));
        drop(site);
        let lives = self.lives;
        for _ in 0..8 {
            if !self.worker.site().copies.iter().any(is_own) {
                break;
            }
            if !self.stations.is_empty() {
                let until = self.worker.clock.elapsed() + Duration::from_secs(3600);
                while self.pass_to_next(until).is_some() {}
                if self.lives != lives {
                    // It was killed meanwhile.
                    return;
                }
                continue;
            }
            self.worker.clock.advance(Duration::from_secs(3600));
            let (elapsed, now) = (self.worker.clock.elapsed(), self.worker.clock.now());
            self.worker.site().advance(elapsed, now);
            if self.life().settle().is_none() {
                break;
            }
        }
        self.restart();
    }

    /// How many changes there were, and how much of what was decided is not carried out yet.
    pub fn counts(&self) -> (i64, i64) {
        self.life().counts()
    }

    /// The files of the database, as they are just now.
    pub fn database_bytes(&self) -> Vec<u8> {
        let files = ["jobs.db", "jobs.db-wal"].map(|name| std::fs::read(self.folder.join(name)).unwrap_or_default());
        files.concat()
    }

    /// What the operator API lists under a name.
    pub fn list(&mut self, name: &str) -> Vec<Value> {
        let (_, answer) = self.call(None, "GET", &format!("/operator/v1/{name}"), &Value::Null);
        answer["value"].as_array().cloned().unwrap_or_default()
    }

    /// The numbers of jobs that are there.
    pub fn living_jobs(&self) -> Vec<usize> {
        (0..self.jobs.len()).filter(|job| !self.jobs[*job].is_gone).collect()
    }

    /// A bay with a drive in it, its number and the drive.
    pub fn occupied_bays(&self) -> Vec<(usize, usize)> {
        let site = self.worker.site();
        site.bays.iter().enumerate().filter_map(|(bay, content)| Some((bay, content.drive?))).collect()
    }

    /// Drives that lie about in the datacenter.
    pub fn drives_on_desk(&self) -> Vec<usize> {
        let site = self.worker.site();
        (0..site.drives.len()).filter(|drive| site.drives[*drive].place == Place::Desk).collect()
    }

    /// Whether drives can be used in a bay: its host is not gone.
    pub fn is_usable(&self, bay: usize) -> bool {
        let host = self.worker.site().bays[bay].host;
        host == 0 || self.stations.iter().any(|station| station.host == host && !station.is_lost)
    }

    pub fn usable_bays(&self) -> Vec<usize> {
        let count = self.worker.site().bays.len();
        (0..count).filter(|bay| self.is_usable(*bay)).collect()
    }

    pub fn bay_name(&self, bay: usize) -> String {
        self.worker.site().bays[bay].name.clone()
    }

    /// The number of the job at this path.
    pub fn job_at(&self, path: &str) -> Option<usize> {
        self.jobs.iter().position(|job| job.path().eq_ignore_ascii_case(path))
    }

    pub fn end(mut self) {
        if let Some(life) = self.life.take() {
            life.end();
        }
    }
}
