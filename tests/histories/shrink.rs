//! From a history that fails to a shorter one that fails too.

use crate::counts::Counts;
use crate::history::{Violation, live};
use crate::places::Places;
use crate::step::Plan;

/// Signals do not always hit the same place: a shorter history is tried so many times before it counts as passing.
const TRIES: usize = 3;

/// The steps up to the one that failed, without those that are not needed; and how it fails.
pub fn shrink(places: &Places, plan: &Plan, violation: Violation, number: &mut u64) -> (Plan, Violation) {
    let prefix = (violation.step + 1).min(plan.steps.len());
    let mut best = Plan { steps: plan.steps[..prefix].to_vec(), ..plan.clone() };
    let mut how = violation;
    let mut index = best.steps.len();
    while index > 0 {
        index -= 1;
        let mut steps = best.steps.clone();
        steps.remove(index);
        let shorter = Plan { steps, ..best.clone() };
        if let Some(violation) = fails(places, &shorter, number) {
            let prefix = (violation.step + 1).min(shorter.steps.len());
            best = Plan { steps: shorter.steps[..prefix].to_vec(), ..shorter };
            index = index.min(best.steps.len());
            how = violation;
        }
    }
    (best, how)
}

fn fails(places: &Places, plan: &Plan, number: &mut u64) -> Option<Violation> {
    (0..TRIES).find_map(|_| {
        *number += 1;
        live(places, plan, *number, &mut Counts::default()).err()
    })
}
