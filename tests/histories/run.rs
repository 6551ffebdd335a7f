//! One command: put together, started, interrupted, ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::digest::Sha256Digest;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::Value;

use crate::arguments::{arguments, shell_line};
use crate::journal::{JournalFacts, journal_lines, read_journals};
use crate::oracle::blob_address;
use crate::step::{Interruption, Meanwhile, Run, Surroundings, Tamper, When};
use crate::support::agent::Running;
use crate::support::{Agent, Ended};
use crate::surroundings::{set_faults, surround};
use crate::tamper;
use crate::world::{Snapshot, World};

/// No run takes longer: requests time out, and nothing here is large.
const RUN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for the event that an interruption is to follow.
const EVENT_TIMEOUT: Duration = Duration::from_secs(3);

/// A run that ended, with what was there when it started.
pub struct Finished {
    pub run: Run,
    pub arguments: Vec<String>,
    pub ended: Ended,
    pub result: Option<Value>,
    /// It was killed by the history, and has no result.
    pub was_killed: bool,
    /// It was asked to stop.
    pub was_interrupted: bool,
    pub before: Arc<Snapshot>,
    pub journals_before: Vec<JournalFacts>,
    pub journals_after: Vec<JournalFacts>,
    /// Those that there were when it was stopped, before anything else happened.
    pub journals_meanwhile: Vec<JournalFacts>,
    /// Blocks that the store held for its blob before.
    pub held_before: Vec<Sha256Digest>,
    /// What was changed by something else while it ran.
    pub tampered: Vec<Tamper>,
    /// Whether its first chunk had landed when something else happened, and its last had not.
    pub was_moving_when_tampered: bool,
}

impl Finished {
    pub fn code(&self) -> Option<i32> {
        self.ended.code
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.result.as_ref().and_then(|result| result[name].as_str())
    }

    pub fn is_complete(&self) -> bool {
        matches!(self.ended.code, Some(0 | 4))
    }

    /// The ids of the transfers that the operator had or has journals of.
    pub fn transfer_ids(&self) -> impl Iterator<Item = &str> {
        let journals = self.journals_before.iter().chain(&self.journals_meanwhile).chain(&self.journals_after);
        journals.flat_map(|journal| std::iter::once(journal.transfer_id.as_str()).chain(journal.replaces.as_deref()))
    }
}

/// Runs a command with everything that happens to it. Runs that ended meanwhile are given to `ended` before it is.
///
/// # Errors
/// A violation that was seen on the way.
pub fn execute(
    world: &mut World,
    run: &Run,
    ended: &mut dyn FnMut(&mut World, Finished) -> Result<(), String>,
) -> Result<(), String> {
    let undo = surround(world, run.surroundings);
    set_faults(world, &run.faults);
    let started = Started::new(world, run);
    let finished = started.finish(world, ended);
    world.remote().work_well();
    if let Some(undo) = undo {
        undo();
    }
    ended(world, finished?)
}

/// Two commands at once.
pub fn execute_both(world: &mut World, [one, two]: &[Run; 2]) -> Result<[Finished; 2], String> {
    world.log.push("# both at once:".to_owned());
    let one = Started::new(world, one);
    let two = Started::new(world, two);
    let mut nothing = |_: &mut World, _: Finished| Ok(());
    Ok([one.finish(world, &mut nothing)?, two.finish(world, &mut nothing)?])
}

struct Started {
    run: Run,
    arguments: Vec<String>,
    running: Running,
    began: Instant,
    lines_before: u64,
    puts_before: u64,
    before: Arc<Snapshot>,
    journals_before: Vec<JournalFacts>,
    held_before: Vec<Sha256Digest>,
}

impl Started {
    fn new(world: &mut World, run: &Run) -> Self {
        let arguments = arguments(world, run);
        let journals_before = read_journals(&world.journals(run.operator));
        let before = world.snapshot();
        let mut line = shell_line(world, run.operator, &arguments);
        let texts: Vec<&dyn AsRef<std::ffi::OsStr>> = arguments.iter().map(|text| text as &dyn AsRef<std::ffi::OsStr>).collect();
        let mut agent =
            Agent::bare(&world.folder, &texts).env("XDG_STATE_HOME", &world.states[run.operator].display().to_string());
        for (name, value) in world.remote().variables() {
            agent = agent.env(name, &value);
        }
        if let Interruption::Crash(point, count) = run.interruption {
            let crash = format!("{point}:{count}");
            agent = agent.env("DRIVE_AGENT_CRASH", &crash);
            line = format!("DRIVE_AGENT_CRASH={crash} {line}");
        }
        if let Some(When::Point(point, count)) = run.interruption.when() {
            let stop = format!("{point}:{count}");
            agent = agent.env("DRIVE_AGENT_STOP", &stop);
            line = format!("DRIVE_AGENT_STOP={stop} {line}");
        }
        line += &remarks(run);
        world.log.push(line);
        let held_before = world.held(run);
        let puts_before = world.remote().writes_seen();
        world.touch();
        let running = agent.start();
        if let Surroundings::FileSizeLimit(bytes) = run.surroundings {
            let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
            let pid = Pid::from_raw(running.id() as i32);
            // It may have ended already.
            let _ = prlimit(pid, Resource::Fsize, limit);
        }
        let lines_before = journals_before.iter().map(|journal| journal.lines).sum();
        Started {
            run: run.clone(),
            arguments,
            running,
            began: Instant::now(),
            lines_before,
            puts_before,
            before,
            journals_before,
            held_before,
        }
    }

    fn finish(
        mut self,
        world: &mut World,
        ended: &mut dyn FnMut(&mut World, Finished) -> Result<(), String>,
    ) -> Result<Finished, String> {
        let mut tampered = Vec::new();
        let (mut was_moving, mut journals_meanwhile) = (false, Vec::new());
        let (mut was_killed, mut was_interrupted) = (false, false);
        match self.run.interruption.clone() {
            Interruption::None | Interruption::Crash(..) => {}
            Interruption::Kill(when) => {
                self.wait_for(world, when);
                self.running.signal(Signal::KILL);
                was_killed = true;
            }
            Interruption::Interrupt(when) => {
                self.wait_for(world, when);
                self.running.signal(Signal::INT);
                self.running.signal(Signal::CONT);
                was_interrupted = true;
            }
            Interruption::Abort(when) => {
                self.wait_for(world, when);
                self.running.signal(Signal::INT);
                self.running.signal(Signal::CONT);
                self.running.signal_again(Signal::INT);
                was_interrupted = true;
            }
            Interruption::Pause(when, meanwhile) => {
                self.wait_for(world, when);
                let has_begun = self.new_lines(world) >= 2;
                self.running.signal(Signal::STOP);
                self.running.wait_until_stopped();
                journals_meanwhile = read_journals(&world.journals(self.run.operator));
                let address = self.run.action.name().map(|name| blob_address(world, name));
                let own = journals_meanwhile.iter().filter(|journal| Some(&journal.blob) == address.as_ref());
                let own: Vec<_> = own.collect();
                // A journal is removed at the end: without one, everything had been read before the stop.
                world.may_land_late.extend(journals_meanwhile.iter().map(|journal| journal.transfer_id.clone()));
                was_moving = has_begun && !own.is_empty() && own.iter().all(|journal| !journal.has_all_chunks);
                world.settle();
                // To one that ended before it was stopped nothing happens.
                let is_stopped = !self.running.has_ended();
                world.log.push(if is_stopped { "# stopped; meanwhile:" } else { "# it had ended" }.to_owned());
                for event in meanwhile.into_iter().filter(|_| is_stopped) {
                    match event {
                        Meanwhile::Tamper(change) => {
                            if tamper::apply(world, change) {
                                world.written_under_way.extend(tamper::places_written(change));
                                tampered.push(change);
                            }
                        }
                        Meanwhile::Run(inner) => execute(world, &inner, ended)?,
                    }
                }
                world.log.push("# continued".to_owned());
                self.running.signal(Signal::CONT);
            }
        }
        let is_crash = matches!(self.run.interruption, Interruption::Crash(..));
        let finished = self
            .running
            .wait_at_most(RUN_TIMEOUT)
            .map_err(|stderr| format!("it did not end within {RUN_TIMEOUT:?}: {stderr}"))?;
        // A signal that comes before the program listens ends it at once.
        let was_killed = finished.code.is_none() && (was_killed || is_crash || was_interrupted);
        let result = serde_json::from_str(&finished.stdout).ok();
        world.settle();
        let journals_after = read_journals(&world.journals(self.run.operator));
        if was_killed {
            world.may_land_late.extend(journals_after.iter().map(|journal| journal.transfer_id.clone()));
        }
        world.log.push(format!("#   exit {:?}; {}", finished.code, finished.stderr.trim().replace('\n', "\n#   ")));
        Ok(Finished {
            journals_after,
            journals_meanwhile,
            run: self.run,
            arguments: self.arguments,
            ended: finished,
            result,
            was_killed,
            was_interrupted,
            before: self.before,
            journals_before: self.journals_before,
            held_before: self.held_before,
            tampered,
            was_moving_when_tampered: was_moving,
        })
    }

    fn new_lines(&self, world: &World) -> u64 {
        let lines: u64 = world.journals(self.run.operator).iter().map(|path| journal_lines(path)).sum();
        lines.saturating_sub(self.lines_before)
    }

    /// Returns when it is time, or when the run has ended.
    fn wait_for(&mut self, world: &World, when: When) {
        if let When::Microseconds(time) = when {
            let end = Duration::from_micros(time);
            // Any moment is a good one for an interruption: no event is waited for.
            std::thread::sleep(end.saturating_sub(self.began.elapsed()));
            return;
        }
        while self.began.elapsed() < EVENT_TIMEOUT && !self.running.has_ended() {
            let is_time = match when {
                When::Lines(count) => self.new_lines(world) >= count,
                When::Puts(count) => world.remote().writes_seen() >= self.puts_before + count,
                When::Point(..) => self.running.is_stopped(),
                When::Microseconds(_) => true,
            };
            if is_time {
                return;
            }
            std::thread::sleep(Duration::from_micros(300));
        }
    }
}

/// What else there is to know about a run, as a comment after its command.
fn remarks(run: &Run) -> String {
    let mut text = String::new();
    match &run.interruption {
        Interruption::None | Interruption::Crash(..) => {}
        Interruption::Pause(when, _) => text += &format!(" # SIGSTOP {when:?}"),
        other => text += &format!(" # {other:?}"),
    }
    if !run.faults.is_empty() {
        text += &format!(" # faults: {:?}", run.faults);
    }
    if run.surroundings != Surroundings::Ordinary {
        text += &format!(" # {:?}", run.surroundings);
    }
    text
}
