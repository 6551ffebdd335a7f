//! After the last step nothing goes wrong any more: the last command of each kind completes, or its refusal says what to do,
//! and doing that works (R9).

use crate::counts::Counts;
use crate::history::History;
use crate::journal::read_manifest;
use crate::oracle::Verdict;
use crate::step::{Action, Interruption, Run, Surroundings};
use crate::world::Item;

/// Pieces of advice that may follow each other.
const ROUNDS: usize = 5;

/// A name that no step uses.
const ANOTHER_NAME: &str = "fresh";

/// Finishes the last import and the last export that did not complete.
pub fn finish(history: &mut History, unfinished: Vec<Run>, counts: &mut Counts) -> Verdict {
    let of_kind =
        |is_import: bool| unfinished.iter().rev().find(|run| matches!(run.action, Action::Import { .. }) == is_import).cloned();
    for run in [of_kind(true), of_kind(false)].into_iter().flatten() {
        history.world.log.push("# finally:".to_owned());
        finish_one(history, run, counts)?;
    }
    Ok(())
}

fn finish_one(history: &mut History, run: Run, counts: &mut Counts) -> Verdict {
    let mut run =
        Run { interruption: Interruption::None, faults: Vec::new(), surroundings: Surroundings::Ordinary, as_text: false, ..run };
    run.options.restart = false;
    run.options.stretched_to_milliseconds = None;
    for _ in 0..ROUNDS {
        if let Action::Export { name, .. } = run.action
            && !can_be_exported(history, name)
        {
            return Ok(());
        }
        history.concluded.clear();
        history.run(&run, counts)?;
        let Some(finished) = history.concluded.last() else { return Ok(()) };
        if finished.is_complete() {
            counts.finale();
            return Ok(());
        }
        let message = finished.ended.stderr.clone();
        history.world.touch();
        if !follow(history, &mut run, &message) {
            return Err(format!(
                "R9: the last command does not complete, and its message has no advice that is left to follow: {message}"
            ));
        }
    }
    Err(format!("R9: the last command does not complete after {ROUNDS} pieces of advice"))
}

/// Whether there is a whole blob that its manifest describes.
fn can_be_exported(history: &mut History, name: &str) -> bool {
    let items = history.world.snapshot();
    let Some(content) = items.get(&format!("store/{name}")).and_then(Item::content) else { return false };
    match items.get(&format!("store/{name}.manifest.jsonl")) {
        None => true,
        Some(Item::File(bytes)) if history.world.damaged_manifests.contains(bytes) => false,
        Some(Item::File(bytes)) => read_manifest(bytes).is_some_and(|manifest| manifest.difference_from(content).is_none()),
        Some(_) => false,
    }
}

/// Does what a message says; false where it says nothing that was not done yet.
fn follow(history: &mut History, run: &mut Run, message: &str) -> bool {
    let mut is_followed = false;
    let options = &mut run.options;
    let mut set = |is_advised: bool, option: &mut bool| {
        if is_advised && !*option {
            *option = true;
            is_followed = true;
        }
    };
    let has = |words: &str| message.contains(words);
    set(has("`--overwrite`") || has("--restart --overwrite"), &mut options.overwrite);
    set(has("`--restart`") || has("--restart --overwrite"), &mut options.restart);
    if has("leave out `--chunk-size`") && options.chunk_kib.is_some() {
        options.chunk_kib = None;
        is_followed = true;
    }
    if has("`--chunk-size") && has("leave it out") && options.chunk_kib.is_some() {
        options.chunk_kib = None;
        is_followed = true;
    }
    if has("--on-unreadable") && !options.skips_unreadable {
        options.skips_unreadable = true;
        is_followed = true;
    }
    if has("`--manifest") && has("another file") && options.manifest {
        options.manifest = false;
        is_followed = true;
    }
    if is_followed {
        return true;
    }
    if has("uncommitted blocks of another program") {
        let (Action::Import { name, .. } | Action::Export { name, .. } | Action::Verify { name, .. }) = run.action;
        let remote = history.world.remote();
        let named = [history.world.remote_name(name), history.world.remote_name(&format!("{name}.manifest.jsonl"))];
        let there: usize = named.iter().map(|name| remote.forget_uncommitted(name)).sum();
        return there > 0;
    }
    if has("delete it, or choose another name") {
        let (Action::Import { name, .. } | Action::Export { name, .. } | Action::Verify { name, .. }) = run.action;
        let manifest = history.world.remote_name(&format!("{name}.manifest.jsonl"));
        let named = if has(&manifest) { manifest } else { history.world.remote_name(name) };
        let remote = history.world.remote();
        let is_there = remote.content(&named).is_some();
        remote.delete(&named);
        return is_there;
    }
    if has("repeat the command") || has("run the command again") {
        // Once more is tried by the next round.
        return true;
    }
    let is_about_name =
        ["another name", "a shorter name", "remove the link", "remove the file", "another image", "a larger drive"]
            .iter()
            .any(|words| has(words));
    match &mut run.action {
        Action::Import { name, .. } if is_about_name && *name != ANOTHER_NAME => {
            *name = ANOTHER_NAME;
            true
        }
        Action::Export { target: crate::step::Target::Image, .. } if is_about_name => {
            std::fs::remove_file(history.world.target_folder.join("image")).is_ok()
        }
        _ => false,
    }
}
