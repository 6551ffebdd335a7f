//! Nothing is changed that the command may not touch (R1, R5); a refusal changes nothing at all.

use crate::journal::manifest_transfer_id;
use crate::oracle::{Verdict, all_runs};
use crate::run::Finished;
use crate::step::{Action, Tamper, Target};
use crate::world::{Item, Snapshot, World, is_partial_name, partial_id};

pub fn check(world: &World, run: &Finished, others: &[&Finished], after: &Snapshot) -> Verdict {
    // It is found while chunks are sent: those that are on their way land in the unfinished file.
    let was_found_under_way = run.ended.stderr.contains("the drive has changed since its transfer was begun");
    let keys = run.before.keys().chain(after.keys().filter(|key| !run.before.contains_key(*key)));
    for key in keys {
        let (before, now) = (run.before.get(key), after.get(key));
        if before == now || run.tampered.iter().any(|tamper| is_of(world, *tamper, key)) {
            continue;
        }
        if before.is_none() && is_landing(world, run, key) {
            continue;
        }
        let change = format!(
            "`{key}` was {}, and is {}",
            before.map_or("not there".to_owned(), Item::describe),
            now.map_or("not there".to_owned(), Item::describe)
        );
        if let (Some(2 | 3), true, false) = (run.code(), others.is_empty(), was_found_under_way) {
            return Err(format!("R4: exit {}, and something was changed: {change}", run.code().unwrap_or_default()));
        }
        if !all_runs(run, others).any(|run| may_change(world, run, key, before)) {
            return Err(format!("R1/R5: {change}; no command may do that"));
        }
    }
    Ok(())
}

/// Whether a change by something else is about this name.
pub fn is_of(world: &World, tamper: Tamper, key: &str) -> bool {
    let store = |name: &str| key == format!("store/{name}");
    let beside = |name: &str| key.strip_prefix("store/")?.strip_prefix(name)?.strip_prefix(".part/");
    match tamper {
        Tamper::Drive { drive, .. } => world.drives[drive].image.ends_with(key),
        Tamper::Blob { name, .. } | Tamper::RemoveBlob { name } | Tamper::Notes { name } | Tamper::Link { name } => store(name),
        Tamper::MoveBlob { name } => store(name) || store("moved"),
        Tamper::Manifest { name, .. } | Tamper::RemoveManifest { name } => store(&format!("{name}.manifest.jsonl")),
        Tamper::Partial { .. } | Tamper::CutPartial { .. } | Tamper::RemovePartial { .. } => is_partial_name(key),
        // What a store keeps beside a blob: that of another program has no transfer's folder.
        Tamper::ForgetBlocks { name } => beside(name).is_some(),
        Tamper::ForeignBlock { name, .. } => beside(name).is_some_and(|rest| !rest.contains('/')),
        Tamper::Target { target: Target::LoopDevice, .. } => key == "loop",
        Tamper::Target { .. } | Tamper::PlaceImage { .. } | Tamper::RemoveImage => key == "target/image",
        _ => false,
    }
}

fn may_change(world: &World, run: &Finished, key: &str, before: Option<&Item>) -> bool {
    if key == "manifests/copy.jsonl" {
        return run.run.options.manifest;
    }
    match &run.run.action {
        Action::Verify { .. } => false,
        Action::Import { name, .. } => {
            let Some(other) = key.strip_prefix("store/") else { return false };
            let manifest = format!("{name}.manifest.jsonl");
            if other == *name {
                may_replace_blob(run, before)
            } else if other == manifest {
                may_replace_manifest(run, before)
            } else {
                is_own_partial(run, other, &[name, &manifest])
            }
        }
        Action::Export { target: Target::LoopDevice, .. } => key == "loop",
        Action::Export { target: Target::Image, .. } => {
            let Some(other) = key.strip_prefix("target/") else { return false };
            if other == "image" { may_replace_image(world, run, before) } else { is_own_partial(run, other, &["image"]) }
        }
    }
}

fn may_replace_blob(run: &Finished, before: Option<&Item>) -> bool {
    match before {
        None => true,
        Some(Item::Link(_)) => false,
        Some(Item::IncompleteBlob { transfer_id, .. }) => {
            run.run.options.overwrite || run.transfer_ids().any(|id| id == transfer_id)
        }
        Some(Item::File(_)) => run.run.options.overwrite,
    }
}

fn may_replace_manifest(run: &Finished, before: Option<&Item>) -> bool {
    match before {
        None => true,
        Some(Item::File(bytes)) => {
            let is_own = || manifest_transfer_id(bytes).is_some_and(|of| run.transfer_ids().any(|id| id == of));
            run.run.options.overwrite || is_own()
        }
        // The link itself is replaced, and what it leads to stays.
        Some(_) => run.run.options.overwrite,
    }
}

/// An image with data is replaced when that was asked for, or where an unfinished export of the same operator is onto it.
fn may_replace_image(world: &World, run: &Finished, before: Option<&Item>) -> bool {
    let Some(content) = before.and_then(Item::content) else { return before.is_none() };
    let path = world.target_path(Target::Image).display().to_string();
    let is_resumed = run.journals_before.iter().any(|journal| !journal.is_import && journal.drive_path == path);
    run.run.options.overwrite || is_resumed || content.iter().all(|byte| *byte == 0)
}

/// What is put beside a blob by a transfer that no journal here is of: one of another process that was stopped or killed, or one
/// whose journal was removed before it had a line.
fn is_landing(world: &World, run: &Finished, key: &str) -> bool {
    let beside = key.strip_prefix("store/").and_then(|other| other.split_once(".part/"));
    let Some((id, _)) = beside.and_then(|(_, beside)| beside.split_once('/')) else { return false };
    let is_without_journal = run.tampered.iter().any(|tamper| matches!(tamper, Tamper::RemoveJournal { .. }));
    is_without_journal || world.may_land_late.contains(id)
}

/// Unfinished files are called after their transfer, and only that writes or removes them.
fn is_own_partial(run: &Finished, other: &str, names: &[&str]) -> bool {
    // Those of S3 and GCS are `NAME.part/<transfer>/…`.
    let staged = names.iter().find_map(|name| other.strip_prefix(name)?.strip_prefix(".part/")?.split('/').next());
    if let Some(id) = staged {
        // Where it may not be removed, that is said.
        let is_told = ["what was put beside it while it was sent stays", "that were put beside it while it was sent stay"]
            .iter()
            .any(|words| run.ended.stderr.contains(words));
        return is_told || run.transfer_ids().any(|transfer| transfer == id);
    }
    let Some(id) = partial_id(other) else { return false };
    let is_of_name = names.iter().any(|name| other == format!("{name}.{id}.partial"));
    is_of_name && run.transfer_ids().any(|transfer| transfer.starts_with(id))
}
