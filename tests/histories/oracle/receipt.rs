//! The receipt agrees with itself, and with what the store or the target holds (R3).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use protocol::digest::Sha256Digest;
use serde_json::Value;

use crate::journal::JournalFacts;
use crate::oracle::Verdict;
use crate::oracle::content::blob_address;
use crate::run::Finished;
use crate::step::{Action, StoreKind, Tamper, Target};
use crate::support::agent;
use crate::world::{Item, Place, Snapshot, World};

const LANDED: [&str; 2] = ["landed_before_request", "landed_after_request"];

pub fn check(world: &World, run: &Finished, others: &[&Finished], after: &Snapshot) -> Verdict {
    let Some(result) = &run.result else { return Ok(()) };
    let receipt = &result["receipt"];
    if !receipt.is_object() {
        let is_transfer = !matches!(run.run.action, Action::Verify { .. });
        return if is_transfer && run.code() == Some(130) { Err("cancelled without a receipt".to_owned()) } else { Ok(()) };
    }
    check_classes(result)?;
    check_early(world, run, result)?;
    check_resume(run, receipt)?;
    let is_disturbed = run.tampered.iter().any(|tamper| !matches!(tamper, Tamper::RemovePartial { .. }));
    if others.is_empty() && !is_disturbed && world.written_under_way.is_empty() {
        check_landed(world, run, result, after)?;
    }
    check_residue(world, run, others, receipt, after)
}

/// Each byte is in exactly one class.
fn check_classes(result: &Value) -> Verdict {
    let checked = std::panic::catch_unwind(|| agent::check_receipt(result));
    checked.map_err(|_| format!("R3: the receipt's classes are not disjoint, or do not sum to the total: {}", result["receipt"]))
}

/// A receipt of a transfer that has a journal is of the whole drive, and says at least what the journal says.
fn check_early(world: &World, run: &Finished, result: &Value) -> Verdict {
    let (Action::Import { name, .. } | Action::Export { name, .. }) = run.run.action else { return Ok(()) };
    let address = blob_address(world, name);
    let is_import = matches!(run.run.action, Action::Import { .. });
    let is_target = |journal: &JournalFacts| match run.run.action {
        Action::Export { target, .. } => Path::new(&journal.drive_path) == world.target_path(target),
        _ => true,
    };
    let mut of_blob = run.journals_before.iter().filter(|journal| journal.is_import == is_import && journal.blob == address);
    let had_landed = of_blob.any(|journal| journal.landed_bytes > 0 && is_target(journal));
    match had_landed && !run.run.options.restart && result["bytes_total"] == 0 && run.tampered.is_empty() {
        true => Err("R3: something had landed in an earlier run, and the receipt is of a drive of 0 bytes".to_owned()),
        false => Ok(()),
    }
}

/// The command that continues is the one that was given, without `--restart` and without secrets.
fn check_resume(run: &Finished, receipt: &Value) -> Verdict {
    let resume = receipt["resume"].as_str().unwrap_or_default();
    let words: Vec<String> = resume.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect();
    let given = run.arguments.iter().filter(|argument| *argument != "--restart").map(|argument| match argument.split_once('?') {
        Some((before, _)) => format!("{before}?SAS"),
        None => argument.clone(),
    });
    let expected: Vec<String> = std::iter::once("drive-agent".to_owned()).chain(given).collect();
    match words == expected {
        true => Ok(()),
        false => Err(format!("the receipt's command is `{resume}`, and `{}` was given", expected.join(" "))),
    }
}

fn check_landed(world: &World, run: &Finished, result: &Value, after: &Snapshot) -> Verdict {
    let landed: Vec<(u64, u64)> = LANDED.iter().flat_map(|class| agent::ranges(result, class)).collect();
    match &run.run.action {
        Action::Import { drive, name } => {
            let read = &world.drives[*drive];
            let versions: Vec<&[u8]> = read.versions.iter().map(Vec::as_slice).collect();
            let landed: Vec<(u64, u64)> =
                landed.into_iter().filter(|(offset, length)| !read.may_be_left_out(*offset, offset + length)).collect();
            if matches!(world.store, StoreKind::BlockBlob | StoreKind::S3 | StoreKind::Gcs) {
                check_blocks(world, run, result, &landed, versions.as_slice(), (name, after))
            } else {
                let places = import_places(&result["receipt"], name, after);
                check_ranges(&landed, &versions, &places, world.changed_bytes.get(&Place::Partial))
            }
        }
        Action::Export { name, target } => {
            let key = format!("store/{name}");
            let blobs: Vec<&[u8]> =
                [run.before.get(&key), after.get(&key)].into_iter().flatten().filter_map(Item::content).collect();
            if blobs.is_empty() {
                // A link was exported: what it leads to is not of this world.
                return Ok(());
            }
            let places = export_places(&result["receipt"], *target, after);
            check_ranges(&landed, &blobs, &places, world.changed_bytes.get(&Place::from(*target)))
        }
        Action::Verify { .. } => Ok(()),
    }
}

/// The paths that a receipt names.
fn named_paths(receipt: &Value) -> Vec<PathBuf> {
    let residue = &receipt["residue"];
    let described = residue["description"].as_str().unwrap_or_default();
    let quoted = described.split('`').skip(1).step_by(2);
    let all = residue["path"].as_str().into_iter().chain(quoted).filter(|path| path.starts_with('/'));
    all.map(PathBuf::from).collect()
}

fn import_places(receipt: &Value, name: &str, after: &Snapshot) -> Vec<Vec<u8>> {
    let mut places: Vec<Vec<u8>> = named_paths(receipt).iter().filter_map(|path| std::fs::read(path).ok()).collect();
    if let Some(Item::File(content) | Item::IncompleteBlob { content, .. }) = after.get(&format!("store/{name}")) {
        places.push(content.clone());
    }
    places
}

fn export_places(receipt: &Value, target: Target, after: &Snapshot) -> Vec<Vec<u8>> {
    let named = named_paths(receipt).into_iter().filter(|path| !path.starts_with("/dev"));
    let mut places: Vec<Vec<u8>> = named.filter_map(|path| std::fs::read(path).ok()).collect();
    let key = if target == Target::LoopDevice { "loop" } else { "target/image" };
    places.extend(after.get(key).and_then(Item::content).map(<[u8]>::to_vec));
    places
}

/// Everything that landed is in one of the places.
fn check_ranges(landed: &[(u64, u64)], versions: &[&[u8]], places: &[Vec<u8>], changed: Option<&Vec<u64>>) -> Verdict {
    let is_there = |place: &[u8]| landed.iter().find(|range| !holds(place, **range, versions, changed));
    if places.is_empty() {
        return match is_there(&[]) {
            None => Ok(()),
            Some(range) => Err(format!(
                "R3: {range:?} (offset, length) is reported as landed, and there is nothing at the store or the target"
            )),
        };
    }
    let missing: Vec<&(u64, u64)> = places.iter().filter_map(|place| is_there(place)).collect();
    match missing.len() == places.len() {
        true => Err(format!("R3: {:?} (offset, length) is reported as landed, and is not there", missing[0])),
        false => Ok(()),
    }
}

/// Whether a place holds a range of one of the versions; what is behind its end is zero.
fn holds(place: &[u8], (offset, length): (u64, u64), versions: &[&[u8]], changed: Option<&Vec<u64>>) -> bool {
    // A range is compared in sectors: each of them may be of another version.
    let end = offset + length;
    let mut at = offset;
    while at < end {
        let next = (at + 512).min(end);
        let is_doubtful = changed.is_some_and(|changed| changed.iter().any(|byte| (at..next).contains(byte)));
        let there = |index: u64| place.get(index as usize).copied().unwrap_or(0);
        let is_of = |version: &&[u8]| (at..next).all(|index| version.get(index as usize).copied().unwrap_or(0) == there(index));
        if !is_doubtful && !versions.iter().any(is_of) {
            return false;
        }
        at = next;
    }
    true
}

fn check_blocks(
    world: &World,
    run: &Finished,
    result: &Value,
    landed: &[(u64, u64)],
    versions: &[&[u8]],
    (name, after): (&str, &Snapshot),
) -> Verdict {
    let remote_name = world.remote_name(name);
    let chunk_bytes = result["chunk_size"].as_u64().unwrap_or(1).max(1);
    let held = world.remote().held(&remote_name, chunk_bytes);
    let piece = |version: &[u8], start: u64, end: u64| version.get(start as usize..end as usize).map(<[u8]>::to_vec);
    let chunks = |ranges: &[(u64, u64)]| -> Vec<(u64, u64)> {
        let cut = ranges.iter().flat_map(|(offset, length)| {
            let (offset, end) = (*offset, offset + length);
            (offset..end).step_by(chunk_bytes as usize).map(move |start| (start, (start + chunk_bytes).min(end)))
        });
        cut.collect()
    };
    let committed = after.get(&format!("store/{name}")).and_then(Item::content).unwrap_or_default();
    for (start, end) in chunks(landed) {
        let is_held = versions.iter().filter_map(|version| piece(version, start, end)).any(|bytes| {
            let is_zero = bytes.iter().all(|byte| *byte == 0);
            is_zero || held.contains(&Sha256Digest::of(&bytes)) || piece(committed, start, end).as_ref() == Some(&bytes)
        });
        if !is_held {
            return Err(format!("R3: the chunk at {start} is reported as landed, and the store does not hold it"));
        }
    }
    let Some(version) = versions.last() else { return Ok(()) };
    let mut occurrences: HashMap<Sha256Digest, u64> = HashMap::new();
    for (start, end) in chunks(&[(0, version.len() as u64)]) {
        *occurrences.entry(Sha256Digest::of(&version[start as usize..end as usize])).or_default() += 1;
    }
    for (start, end) in chunks(&agent::ranges(result, "never_sent")) {
        let Some(bytes) = piece(version, start, end) else { continue };
        let digest = Sha256Digest::of(&bytes);
        if occurrences.get(&digest) == Some(&1) && held.contains(&digest) && !run.held_before.contains(&digest) {
            return Err(format!("R3: the chunk at {start} is reported as never sent, and the store got it in this run"));
        }
    }
    Ok(())
}

/// What is said to be left behind is there.
fn check_residue(world: &World, run: &Finished, others: &[&Finished], receipt: &Value, after: &Snapshot) -> Verdict {
    let residue = &receipt["residue"];
    if !residue.is_object() {
        return Ok(());
    }
    // The same operator's other run, at the same time, may have started it over since.
    let is_shared = others.iter().any(|other| other.run.operator == run.run.operator && other.run.action == run.run.action);
    for path in named_paths(receipt).iter().filter(|path| path.starts_with(&world.folder) && !is_shared) {
        if !Path::exists(path) {
            return Err(format!("R2: the receipt says that `{}` was left behind, and it is not there", path.display()));
        }
    }
    let bytes = residue["bytes"].as_u64().unwrap_or(0);
    let (Action::Import { name, .. }, StoreKind::BlockBlob | StoreKind::S3 | StoreKind::Gcs) = (&run.run.action, world.store)
    else {
        return Ok(());
    };
    let left: u64 = world.remote().uncommitted_bytes(&world.remote_name(name));
    let committed = after.get(&format!("store/{name}")).map_or("not there".to_owned(), Item::describe);
    let is_theirs = |other: &&&Finished| matches!(other.run.action, Action::Import { name: also, .. } if also == *name);
    if others.iter().any(|other| is_theirs(&other)) {
        // Their commit takes the blocks of every transfer.
        return Ok(());
    }
    match bytes > left {
        true => Err(format!(
            "R2: the receipt says that {bytes} bytes of blocks were left behind, and {left} are there (the blob is {committed})"
        )),
        false => Ok(()),
    }
}
