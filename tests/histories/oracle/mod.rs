//! What must hold after each step, computed without believing the program.
//!
//! | file | what it holds against what |
//! |---|---|
//! | `untouched.rs` | what was there before and is there now, against what the command may touch |
//! | `content.rs` | everything that looks complete, against the drives; what a result says of it |
//! | `receipt.rs` | the receipt, against what the store or the target holds |
//! | `words.rs` | exit code, outcome, evidence and text, against each other |

mod content;
mod receipt;
mod untouched;
mod words;

pub use content::blob_address;

use crate::run::Finished;
use crate::world::{Snapshot, World};

const MANIFEST_SUFFIX: &str = ".manifest.jsonl";

/// `Err` says which rule was broken, and how.
pub type Verdict = Result<(), String>;

/// Judges a run that ended. `others` ended while it was running.
pub fn judge(world: &World, run: &Finished, others: &[&Finished], after: &Snapshot) -> Verdict {
    words::check(world, run, after)?;
    untouched::check(world, run, others, after)?;
    content::check(world, run, others, after)?;
    receipt::check(world, run, others, after)
}

/// Judges something that two runs at once left: each may have done it.
fn all_runs<'all>(run: &'all Finished, others: &'all [&'all Finished]) -> impl Iterator<Item = &'all Finished> + Clone {
    std::iter::once(run).chain(others.iter().copied())
}
