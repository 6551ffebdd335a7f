//! Stations, the service and the messages between them, through time: what happens next, and what follows from it.

use std::time::Duration;

use protocol::station::StationReport;

use crate::hosts_oracle;
use crate::network::{AtService, Caller, Message, NoOrders};
use crate::station::Held;
use crate::world::World;

/// Turns between stations and the service after which something does not come to rest.
const TURNS_MAX: u32 = 400;

/// How long the service takes at most to notice that a grant has ended.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);

/// Time that goes by while a request waits for a station.
const WAIT_STEP: Duration = Duration::from_secs(10);

const MINUTE: Duration = Duration::from_secs(60);

impl World {
    /// Lets time go by until then, from one thing that happens to the next.
    pub fn pass_until(&mut self, until: Duration) {
        while let Some(is_new) = self.pass_to_next(until) {
            if is_new {
                self.rounds(1);
            }
        }
    }

    /// Lets time go by until the next thing happens, or until then; true where something did, `None` where it is then.
    pub fn pass_to_next(&mut self, until: Duration) -> Option<bool> {
        let now = self.worker.clock.elapsed();
        let next = self.next_event(now).unwrap_or(until).min(until);
        (now < until).then(|| {
            let had_grants = !self.grants().is_empty();
            self.pass(next - now) || had_grants
        })
    }

    /// When something happens next by itself.
    fn next_event(&self, now: Duration) -> Option<Duration> {
        let stations = self.stations.iter().flat_map(|station| station.events());
        let awake = |host: usize| self.stations.iter().any(|station| station.host == host && station.is_awake());
        let copies: Vec<Duration> =
            self.worker.site().copies.iter().filter(|copy| awake(copy.host)).map(|copy| copy.next_event).collect();
        let grants = self.grants();
        let ends =
            grants.iter().filter(|grant| grant.is_waited_for).map(|grant| now + self.remaining(grant.ends) + EXPIRE_INTERVAL);
        stations.chain(copies).chain(self.network.next()).chain(ends).filter(|at| *at > now).min()
    }

    /// Lets this much time go by; true where stations or their calls did something.
    pub fn pass(&mut self, by: Duration) -> bool {
        let asleep: Vec<usize> = (0..self.stations.len()).filter(|index| !self.stations[*index].is_awake()).collect();
        self.worker.clock.advance(by);
        let (elapsed, now) = (self.worker.clock.elapsed(), self.worker.clock.now());
        self.worker.site().advance(elapsed, now);
        let woken = asleep.into_iter().filter(|index| self.stations[*index].is_awake()).collect::<Vec<_>>();
        for index in woken {
            self.stations[index].wake();
        }
        if self.advance_life(by).is_none() {
            self.restart_killed();
        }
        let is_new = self.serve_stations();
        hosts_oracle::watch(self);
        is_new
    }

    /// Lets stations and the service answer each other until nothing is new; true where something was.
    pub fn serve_stations(&mut self) -> bool {
        let mut was_new = false;
        for _ in 0..TURNS_MAX {
            if self.stations.is_empty() {
                return false;
            }
            let mut is_new = self.collect_answers();
            let now = self.worker.clock.elapsed();
            for message in self.network.due(now) {
                is_new = true;
                self.deliver(message, now);
            }
            for index in 0..self.stations.len() {
                is_new |= self.stations[index].is_awake() && self.live(index);
            }
            if self.settle_life().is_none() {
                self.restart_killed();
                is_new = true;
            }
            if !is_new {
                return was_new;
            }
            was_new = true;
        }
        self.worker.site().violations.push("the stations and the service do not come to rest".to_owned());
        true
    }

    /// Answers of the service go on their way.
    fn collect_answers(&mut self) -> bool {
        let answered = self.network.answered();
        let is_new = !answered.is_empty();
        let now = self.worker.clock.elapsed();
        for (caller, answer) in answered {
            let station = &self.stations[caller.station];
            let (is_cut_off, is_slow) = (station.cut_off_until > now, station.slow_until > now);
            if is_cut_off || is_slow && self.random.percent(20) {
                self.worker.site().tally("an answer to a station was lost");
                continue;
            }
            let arrives = now + self.delay(is_slow);
            self.network.send(arrives, Message::Answer(caller, Box::new(answer)));
        }
        is_new
    }

    fn delay(&mut self, is_slow: bool) -> Duration {
        let is_late = is_slow && self.random.percent(60);
        if is_late { MINUTE * u32::try_from(self.random.below(90)).unwrap_or_default() } else { Duration::ZERO }
    }

    fn deliver(&mut self, message: Message, now: Duration) {
        match message {
            Message::Report(caller, report) => self.deliver_report(caller, *report),
            Message::Answer(caller, answer) => {
                let station = &mut self.stations[caller.station];
                let is_waited_for = station.waiting.as_ref().is_some_and(|waiting| waiting.call == caller.call);
                if station.process != caller.process || !is_waited_for {
                    self.worker.site().tally("an answer came that no station waited for");
                } else if station.sleeps_until > now {
                    let wakes = station.sleeps_until;
                    self.network.send(wakes, Message::Answer(caller, answer));
                } else {
                    match *answer {
                        Ok(orders) => station.apply(orders),
                        Err(why) => {
                            let what = name_of(&why);
                            station.failed();
                            self.worker.site().tally(what);
                        }
                    }
                }
            }
        }
    }

    fn deliver_report(&mut self, caller: Caller, report: StationReport) {
        hosts_oracle::note_late_ends(self);
        let station = &mut self.stations[caller.station];
        let name = station.name.clone();
        if !station.has_token {
            let now = self.worker.clock.elapsed();
            return self.network.send(now, Message::Answer(caller, Box::new(Err(NoOrders::NoToken))));
        }
        if station.process == caller.process && station.service == report.service {
            for (grant, held) in &mut station.held {
                if let (Held::Ended { was_told, .. }, true) = (held, report.copies.contains_key(grant)) {
                    *was_told |= hosts_oracle::tells_end(&report.copies[grant]);
                }
            }
        }
        if let Some((slot, task)) = self.call_of_station(&name, report) {
            self.network.at_service.push(AtService { caller, slot, task });
        } else {
            let now = self.worker.clock.elapsed();
            self.network.send(now, Message::Answer(caller, Box::new(Err(NoOrders::Unreachable))));
        }
    }

    /// What an awake station does now; true where it did something.
    fn live(&mut self, index: usize) -> bool {
        let now = self.worker.clock.elapsed();
        let mut is_new = self.stations[index].look();
        let (process, call) = {
            let station = &self.stations[index];
            (station.process, station.waiting.as_ref().map(|waiting| waiting.call))
        };
        if let Some(call) = call.filter(|_| is_new || self.stations[index].gives_up()) {
            let given_up = self.stations[index].gives_up();
            self.network.hang_up(Caller { station: index, process, call });
            if given_up {
                self.worker.site().tally("a call of a station was not answered in time");
                self.stations[index].failed();
            }
            self.stations[index].waiting = None;
            is_new = true;
        }
        if !self.stations[index].may_call() {
            return is_new;
        }
        let (is_cut_off, is_slow) = (self.stations[index].cut_off_until > now, self.stations[index].slow_until > now);
        if is_cut_off {
            self.stations[index].failed();
            self.worker.site().tally("a station cannot reach the service");
            return is_new;
        }
        let report = self.stations[index].report();
        let caller = Caller { station: index, process: self.stations[index].process, call: report.call };
        if is_slow && self.random.percent(20) {
            self.worker.site().tally("a report of a station was lost");
            return true;
        }
        let arrives = now + self.delay(is_slow);
        self.network.send(arrives, Message::Report(caller, Box::new(report)));
        true
    }

    /// The connection of a station breaks.
    pub fn hang_up(&mut self, index: usize) {
        let station = &self.stations[index];
        if let Some(call) = station.waiting.as_ref().map(|waiting| waiting.call) {
            self.network.hang_up(Caller { station: index, process: station.process, call });
        }
    }

    /// The service has ended: calls that waited there have no answer.
    pub fn cut_calls(&mut self) {
        let now = self.worker.clock.elapsed();
        for caller in self.network.cut() {
            self.network.send(now, Message::Answer(caller, Box::new(Err(NoOrders::Unreachable))));
        }
    }

    /// Waits for the end of a request: stations answer meanwhile, and where they do not, time goes by.
    pub fn wait_for_request<T>(&mut self, mut is_done: impl FnMut() -> Option<T>) -> Option<T> {
        let lives = self.lives;
        for _ in 0..TURNS_MAX {
            if let Some(done) = is_done() {
                return Some(done);
            }
            if self.serve_stations() {
                continue;
            }
            if let Some(done) = is_done() {
                return Some(done);
            }
            if self.lives == lives {
                self.pass(WAIT_STEP);
            }
            if self.lives != lives {
                return None;
            }
        }
        self.worker.site().violations.push("a request is never answered".to_owned());
        None
    }
}

fn name_of(why: &NoOrders) -> &'static str {
    match why {
        NoOrders::Unreachable => "a call of a station found no service",
        NoOrders::NoToken => "a call of a station had no valid token",
        NoOrders::Refused(service::stations::CallError::NameInUse(_)) => "a call of a station was refused: its name is in use",
        NoOrders::Refused(service::stations::CallError::Replaced(_)) => "a call of a station was refused: a later process runs",
        NoOrders::Refused(service::stations::CallError::Superseded) => "a call of a station was superseded",
        NoOrders::Refused(_) => "a call of a station was refused",
    }
}
