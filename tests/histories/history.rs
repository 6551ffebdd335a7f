//! One history from its plan to its end: each step, its verdict, and the last command until it is done.

use crate::counts::Counts;
use crate::finale;
use crate::oracle::{Verdict, judge};
use crate::places::Places;
use crate::run::{Finished, execute, execute_both};
use crate::step::{Action, Interruption, Plan, Run, Step, StoreKind};
use crate::tamper;
use crate::world::{Place, World};

/// A rule that was broken.
#[derive(Debug)]
pub struct Violation {
    /// The step after which it was seen; the number of steps for what came after the last.
    pub step: usize,
    pub message: String,
    pub log: Vec<String>,
}

/// Lives through a history.
///
/// # Errors
/// The first violation.
pub fn live(places: &Places, plan: &Plan, number: u64, counts: &mut Counts) -> Result<(), Violation> {
    let mut history = History { world: World::new(places, plan, number), concluded: Vec::new(), unfinished: Vec::new() };
    let mut verdict = Ok(());
    for (index, step) in plan.steps.iter().enumerate() {
        verdict = history.step(step, counts).map_err(|message| (index, message));
        if verdict.is_err() {
            break;
        }
    }
    if verdict.is_ok() {
        let unfinished = std::mem::take(&mut history.unfinished);
        verdict = finale::finish(&mut history, unfinished, counts).map_err(|message| (plan.steps.len(), message));
    }
    let log = std::mem::take(&mut history.world.log);
    history.world.remote().work_well();
    history.world.end();
    verdict.map_err(|(step, message)| Violation { step, message, log })
}

pub struct History<'places> {
    pub world: World<'places>,
    /// Runs of the step under way that ended.
    pub concluded: Vec<Finished>,
    /// The last command of each kind that did not complete, the latest last.
    pub unfinished: Vec<Run>,
}

impl History<'_> {
    fn step(&mut self, step: &Step, counts: &mut Counts) -> Verdict {
        self.concluded.clear();
        match step {
            Step::Tamper(change) => {
                counts.tamper(change);
                tamper::apply(&mut self.world, *change);
                Ok(())
            }
            Step::Run(run) => self.run(run, counts),
            Step::Race(runs) => {
                let [one, two] = execute_both(&mut self.world, runs)?;
                let after = self.world.snapshot();
                counts.race();
                for (run, other) in [(&one, &two), (&two, &one)] {
                    counts.run(self.world.store, run);
                    judge(&self.world, run, &[other], &after)?;
                }
                self.note(&one);
                self.note(&two);
                Ok(())
            }
        }
    }

    /// Runs a command, and judges it and those that ran meanwhile.
    pub fn run(&mut self, run: &Run, counts: &mut Counts) -> Verdict {
        let History { world, concluded, unfinished } = self;
        let first = concluded.len();
        execute(world, run, &mut |world, finished| {
            counts.run(world.store, &finished);
            let after = world.snapshot();
            let is_outer = matches!(finished.run.interruption, Interruption::Pause(..));
            let others: Vec<&Finished> = if is_outer { concluded[first..].iter().collect() } else { Vec::new() };
            judge(world, &finished, &others, &after)?;
            note(world, unfinished, &finished);
            concluded.push(finished);
            Ok(())
        })
    }

    fn note(&mut self, finished: &Finished) {
        note(&mut self.world, &mut self.unfinished, finished);
    }
}

/// Remembers what is to be finished at the end, and what is complete now.
fn note(world: &mut World, unfinished: &mut Vec<Run>, finished: &Finished) {
    if matches!(finished.run.action, Action::Verify { .. }) {
        return;
    }
    unfinished.retain(|run| run.action != finished.run.action);
    if !finished.is_complete() {
        unfinished.push(finished.run.clone());
        return;
    }
    match finished.run.action {
        Action::Import { .. } => {
            // Page blobs are probed where they are, which is where they stay.
            if world.store != StoreKind::Directory || world.partials().is_empty() {
                world.changed_bytes.remove(&Place::Partial);
                world.written_under_way.remove(&Place::Partial);
            }
        }
        Action::Export { target, .. } => {
            world.changed_bytes.remove(&Place::from(target));
            world.written_under_way.remove(&Place::from(target));
        }
        Action::Verify { .. } => {}
    }
}
