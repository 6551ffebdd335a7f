//! Nothing that looks complete is incomplete, mixed, or of something else (R1, R2, R3).

use crate::journal::{read_manifest, root_of};
use crate::oracle::untouched::is_of;
use crate::oracle::{MANIFEST_SUFFIX, Verdict, all_runs};
use crate::run::Finished;
use crate::step::{Action, Interruption, StoreFault, Tamper, Target};
use crate::support::azure_fake::{Fault, On};
use crate::support::images::sha256_of;
use crate::world::{DriveFile, Item, Place, Snapshot, World};

/// Page blobs, and images with an odd end, are longer than the drive by less than this.
const PADDING_BYTES: usize = 512;

pub fn check(world: &World, run: &Finished, others: &[&Finished], after: &Snapshot) -> Verdict {
    match &run.run.action {
        Action::Import { drive, name } => {
            check_blob(world, run, others, after, name)?;
            if run.is_complete() { check_import(world, run, others, after, *drive, name) } else { Ok(()) }
        }
        Action::Export { name, target } if run.is_complete() => check_export(world, run, others, after, name, *target),
        Action::Verify { name, drive, with_blob } => {
            check_verify(world, run, others, name, *drive, *with_blob || drive.is_none())
        }
        Action::Export { .. } => Ok(()),
    }
}

/// What is under a final name now and was not before is exactly one drive, as it was at one time.
fn check_blob(world: &World, run: &Finished, others: &[&Finished], after: &Snapshot, name: &str) -> Verdict {
    if name.ends_with(MANIFEST_SUFFIX) {
        // No blob gets this name.
        return Ok(());
    }
    let key = format!("store/{name}");
    let Some(Item::File(content)) = after.get(&key).filter(|item| run.before.get(&key) != Some(item)) else { return Ok(()) };
    let is_unknowable = world.written_under_way.contains(&Place::Partial) && !run.run.options.read_back;
    if is_unknowable || run.tampered.iter().any(|tamper| is_of(world, *tamper, &key)) {
        return Ok(());
    }
    let writers =
        || all_runs(run, others).filter(|run| matches!(run.run.action, Action::Import { name: other, .. } if other == name));
    let drives =
        || writers().filter_map(|run| if let Action::Import { drive, .. } = run.run.action { Some(drive) } else { None });
    if drives().any(|drive| world.drives[drive].versions.iter().any(|version| is_drive(content, &world.drives[drive], version))) {
        return Ok(());
    }
    let is_told_to_be_mixed = |run: &Finished| run.was_killed || !run.is_complete() || says(run, "source_changed");
    if run.tampered.iter().any(|tamper| matches!(tamper, Tamper::Drive { .. })) && writers().any(is_told_to_be_mixed) {
        return Ok(());
    }
    let changed = world.changed_bytes.get(&Place::Partial).map_or(&[][..], Vec::as_slice);
    let is_told_to_be_probed = |run: &Finished| run.was_killed || run.text("evidence") == Some("sampled") || run.run.as_text;
    let may_differ = !changed.is_empty() && writers().any(is_told_to_be_probed);
    let mut versions = drives().flat_map(|drive| &world.drives[drive].versions);
    if may_differ && versions.any(|version| differs_only_at(content, version, changed)) {
        return Ok(());
    }
    let first = drives().next().map(|drive| first_difference(content, world.drives[drive].content())).unwrap_or_default();
    Err(format!("R1: the blob `{name}` appeared, and is not any drive as it was: it differs from the latest at {first}"))
}

fn check_import(world: &World, run: &Finished, others: &[&Finished], after: &Snapshot, drive: usize, name: &str) -> Verdict {
    let is_unknowable = world.written_under_way.contains(&Place::Partial) && !run.run.options.read_back;
    if is_unknowable || run.tampered.iter().any(|tamper| is_about(world, *tamper, name)) {
        return Ok(());
    }
    let of_name = |other: &&&Finished| matches!(other.run.action, Action::Import { name: also, .. } if also == name);
    let is_shared = others.iter().any(|other| of_name(&other));
    let Some(content) = after.get(&format!("store/{name}")).and_then(Item::content) else {
        // Another one may have replaced it right after.
        return match others.iter().filter(of_name).any(|other| other.run.options.overwrite) {
            true => Ok(()),
            false => Err(format!("R2: complete, and the blob `{name}` is not there")),
        };
    };
    if is_shared && others.iter().any(|other| !other.is_complete()) {
        // It may have ended between its commit and its manifest.
        return Ok(());
    }
    if is_shared {
        // The one that came last is there, with its own manifest.
        return check_manifest(run, after, &format!("store/{name}.manifest.jsonl"), content, true);
    }
    let drive_changed =
        run.tampered.iter().any(|tamper| matches!(tamper, Tamper::Drive { drive: changed, .. } if *changed == drive));
    let was_committed = run.before.get(&format!("store/{name}")).and_then(Item::content) == Some(content);
    let changed = world.changed_bytes.get(&Place::Partial).map_or(&[][..], Vec::as_slice);
    let may_differ = run.text("evidence") == Some("sampled") || run.run.as_text;
    let current = world.drives[drive].content();
    let read = &world.drives[drive];
    let is_right = is_drive(content, read, current)
        || was_committed && read.versions.iter().any(|version| is_drive(content, read, version))
        || drive_changed
        || may_differ && differs_only_at(content, current, changed);
    if !is_right {
        let at = first_difference(content, current);
        return Err(format!("R2: complete, and the blob `{name}` is not what the drive holds: they differ at {at}"));
    }
    if drive_changed && run.was_moving_when_tampered && !run.run.as_text && !says(run, "source_changed") && !was_committed {
        return Err("R3: the drive was changed while it was read, and the result does not say `source_changed`".to_owned());
    }
    let is_changed = may_differ && !changed.is_empty() || drive_changed;
    if !is_changed {
        check_manifest(run, after, &format!("store/{name}.manifest.jsonl"), content, false)?;
        if run.run.options.manifest && !others.iter().any(|other| other.run.options.manifest) {
            check_manifest(run, after, "manifests/copy.jsonl", content, false)?;
        }
        check_digests(run, &content[..current.len().min(content.len())])?;
    }
    check_unreadable(run, read, content)?;
    check_counts(run, current.len() as u64)?;
    let address = blob_address(world, name);
    if run.journals_after.iter().any(|journal| journal.is_import && journal.blob == address) {
        return Err(format!("complete, and the journal of `{address}` is still there"));
    }
    let journals = run.journals_before.iter().filter(|_| !world.has_damaged_journal);
    let own: Vec<String> = journals.map(|journal| format!("store/{name}.{:.16}.partial", journal.transfer_id)).collect();
    let lost_its_journal = |tamper: &Tamper| {
        matches!(tamper, Tamper::RemoveJournal { .. } | Tamper::Journal { .. } | Tamper::CutJournal { .. } | Tamper::SwapStates)
    };
    if run.tampered.iter().any(lost_its_journal) {
        return Ok(());
    }
    match own.iter().find(|key| after.contains_key(*key)) {
        Some(key) if run.journals_before.iter().any(|journal| journal.blob == address) => {
            Err(format!("complete, and its unfinished file `{key}` is still there"))
        }
        _ => Ok(()),
    }
}

/// Whether something that was done beside makes the blob or its manifest another one.
fn is_about(world: &World, tamper: Tamper, name: &str) -> bool {
    let keys = [format!("store/{name}"), format!("store/{name}.manifest.jsonl")];
    matches!(tamper, Tamper::SwapStates) || keys.iter().any(|key| is_of(world, tamper, key))
}

/// The address of a blob as results and journals have it: without secrets.
pub fn blob_address(world: &World, name: &str) -> String {
    let address = world.address(name);
    address.split_once('?').map_or(address.clone(), |(before, _)| before.to_owned())
}

/// `is_shared` says that it may be the manifest of another run that was under way.
fn check_manifest(run: &Finished, after: &Snapshot, key: &str, content: &[u8], is_shared: bool) -> Verdict {
    let kept;
    let bytes = match after.get(key).and_then(Item::content) {
        Some(bytes) => bytes,
        None if !is_refused_small_objects(run) => return Err(format!("R2: complete, and `{key}` is not there")),
        None if run.run.as_text => return Ok(()),
        None => {
            let path = run.text("manifest").unwrap_or_default();
            kept = std::fs::read(path).map_err(|error| format!("R2: complete, and its manifest is not at `{path}`: {error}"))?;
            &kept
        }
    };
    let Some(manifest) = read_manifest(bytes) else {
        return Err(format!("R2: complete, and `{key}` is not a whole manifest"));
    };
    if let Some(difference) = manifest.difference_from(content) {
        return Err(format!("R2: complete, and `{key}` does not describe the blob: {difference}"));
    }
    match (run.text("evidence"), run.text("root_sha256")) {
        _ if is_shared => Ok(()),
        // One that an earlier run stored says what that run had read again.
        (Some(evidence), _) if manifest.evidence != evidence && run.before.get(key) != after.get(key) => {
            Err(format!("the result says evidence `{evidence}`, and `{key}` says `{}`", manifest.evidence))
        }
        (_, Some(root)) if manifest.root_sha256 != root => {
            Err(format!("the result says root {root}, and `{key}` says {}", manifest.root_sha256))
        }
        _ => Ok(()),
    }
}

/// Whether the run may not put small objects into the store: it keeps its manifest, and says where.
fn is_refused_small_objects(run: &Finished) -> bool {
    let is_refusal = |fault: &StoreFault| {
        let (StoreFault::Next(fault) | StoreFault::Always(fault)) = fault;
        matches!(fault, Fault::Answer(403, _))
    };
    run.run.faults.iter().any(|(on, fault)| *on == On::SetProperties && is_refusal(fault))
}

/// The digests of a result are those of the content that it is about.
fn check_digests(run: &Finished, content: &[u8]) -> Verdict {
    let Some(result) = &run.result else { return Ok(()) };
    let chunk_bytes = result["chunk_size"].as_u64().unwrap_or(0).max(1) as usize;
    let root = root_of(content, chunk_bytes);
    if result["root_sha256"] != *root {
        return Err(format!("R3: root_sha256 is {}, and the content's is {root}", result["root_sha256"]));
    }
    let whole = sha256_of(content);
    match result["stream_sha256"].as_str() {
        Some(stream) if stream != whole => Err(format!("R3: stream_sha256 is {stream}, and the content's is {whole}")),
        None if run.run.options.stream_sha256 && run.code() == Some(0) => {
            Err("the stream_sha256 that was asked for is missing".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_counts(run: &Finished, total: u64) -> Verdict {
    let Some(result) = &run.result else { return Ok(()) };
    let number = |name: &str| result[name].as_u64().unwrap_or(0);
    let sum: u64 = ["bytes_sent", "bytes_reused", "bytes_zero", "bytes_unreadable"].map(number).iter().sum();
    match number("bytes_total") == total && sum == total {
        true => Ok(()),
        false => Err(format!("bytes_total is {}, its parts sum to {sum}, and there are {total}", number("bytes_total"))),
    }
}

fn check_export(world: &World, run: &Finished, others: &[&Finished], after: &Snapshot, name: &str, target: Target) -> Verdict {
    let place = Place::from(target);
    let key = if target == Target::LoopDevice { "loop" } else { "target/image" };
    let is_onto_same = |other: &Finished| matches!(other.run.action, Action::Export { target: also, .. } if also == target);
    let is_moved = |tamper: &Tamper| {
        matches!(tamper, Tamper::Target { target: at, .. } if *at == target)
            || matches!(tamper, Tamper::PlaceImage { .. } | Tamper::RemoveImage) && target == Target::Image
    };
    let is_unknowable = world.written_under_way.contains(&place) && !run.run.options.read_back;
    if is_unknowable || run.tampered.iter().any(is_moved) {
        return Ok(());
    }
    let blob_key = format!("store/{name}");
    let items = [run.before.get(&blob_key), after.get(&blob_key)].into_iter().flatten();
    let mut blobs: Vec<&[u8]> = items.filter_map(Item::content).collect();
    let rivals = others.iter().filter(|other| other.is_complete() && is_onto_same(other));
    if !matches!(run.run.interruption, Interruption::Pause(..)) {
        // Of two at once the other may have come last.
        let of_rivals = rivals.filter_map(|other| match other.run.action {
            Action::Export { name, .. } => after.get(&format!("store/{name}")).and_then(Item::content),
            _ => None,
        });
        blobs.extend(of_rivals);
    }
    let Some(written) = after.get(key).and_then(Item::content) else {
        return Err("R2: complete, and the target is not there".to_owned());
    };
    let changed = world.changed_bytes.get(&place).map_or(&[][..], Vec::as_slice);
    let may_differ = run.text("evidence") == Some("sampled") || run.run.as_text;
    let is_on_target = |blob: &&&[u8]| {
        let Some(front) = written.get(..blob.len()) else { return false };
        let is_same = front == **blob || may_differ && differs_only_at(front, blob, changed);
        is_same && (written[blob.len()..].iter().all(|byte| *byte == 0) || may_differ && !changed.is_empty())
    };
    if blobs.is_empty() {
        // A link was exported: what it leads to is not of this world.
        return Ok(());
    }
    let Some(blob) = blobs.iter().find(is_on_target) else {
        let at = blobs.first().map(|blob| first_difference(written, blob)).unwrap_or_default();
        return Err(format!("R1/R3: the export is complete, and the target does not hold the blob and zeros behind it: {at}"));
    };
    let is_new = target == Target::Image && !run.before.contains_key(key);
    if is_new && written.len() >= blob.len() + PADDING_BYTES {
        return Err(format!("a new image of {} bytes was made for a blob of {}", written.len(), blob.len()));
    }
    // Where the credentials do not permit to read it, that is said, and the transport alone is checked.
    let is_unread = run.ended.stderr.contains("the manifest beside the blob may not be read");
    if let Some(manifest) = run.before.get(&format!("{blob_key}.manifest.jsonl")).and_then(Item::content).and_then(read_manifest)
        && !is_unread
        && run.before.get(&blob_key) == after.get(&blob_key)
        && !run.tampered.iter().any(|tamper| is_about(world, *tamper, name))
        && let Some(difference) = manifest.difference_from(blob)
    {
        return Err(format!("R3: the export is complete, and the manifest beside the blob does not describe it: {difference}"));
    }
    let drive_bytes = run.result.as_ref().and_then(|result| result["bytes_total"].as_u64()).unwrap_or(blob.len() as u64) as usize;
    if changed.is_empty() { check_digests(run, &blob[..drive_bytes.min(blob.len())]) } else { Ok(()) }
}

/// A verification says what an independent reader would say.
fn check_verify(
    world: &World,
    run: &Finished,
    others: &[&Finished],
    name: &str,
    drive: Option<usize>,
    with_blob: bool,
) -> Verdict {
    if others.iter().any(|other| matches!(other.run.action, Action::Import { .. })) {
        // What it read may have come in between.
        return Ok(());
    }
    let is_failing = drive.is_some_and(|drive| !world.drives[drive].unreadable.is_empty());
    if is_failing || !run.tampered.is_empty() || !run.run.faults.is_empty() || run.was_killed || run.code() == Some(130) {
        return Ok(());
    }
    let manifest = run.before.get(&format!("store/{name}.manifest.jsonl")).and_then(Item::content).and_then(read_manifest);
    let mut sides: Vec<Option<&[u8]>> = Vec::new();
    sides.extend(drive.map(|drive| Some(world.drives[drive].content())));
    if with_blob {
        sides.push(run.before.get(&format!("store/{name}")).and_then(Item::content));
    }
    let is_same = manifest
        .as_ref()
        .is_some_and(|manifest| sides.iter().all(|side| side.is_some_and(|content| manifest.difference_from(content).is_none())));
    match (run.code(), is_same) {
        (Some(0), false) => Err("R3: verified, and an independent reader finds a difference".to_owned()),
        (Some(5), true) => Err("R3: a mismatch, and an independent reader finds none".to_owned()),
        _ => Ok(()),
    }
}

fn says(run: &Finished, name: &str) -> bool {
    run.run.as_text || run.result.as_ref().is_some_and(|result| result[name] == true)
}

/// Whether a blob is a drive: a page blob is padded with zeros.
fn is_drive(content: &[u8], drive: &DriveFile, version: &[u8]) -> bool {
    let rest = content.get(version.len()..).unwrap_or_default();
    drive.is_in(content, version) && rest.len() < PADDING_BYTES && rest.iter().all(|byte| *byte == 0)
}

/// What could not be read is listed, and nothing else is left out.
fn check_unreadable(run: &Finished, drive: &DriveFile, content: &[u8]) -> Verdict {
    let Some(result) = run.result.as_ref().filter(|_| !drive.unreadable.is_empty()) else { return Ok(()) };
    let listed: Vec<(u64, u64)> = result["unreadable"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|range| Some((range["offset"].as_u64()?, range["length"].as_u64()?)))
        .collect();
    let is_listed = |at: u64| listed.iter().any(|(offset, length)| (*offset..offset + length).contains(&at));
    if let Some((offset, _)) = drive.unreadable.iter().find(|(offset, _)| !is_listed(*offset)) {
        return Err(format!("R3: complete, and what cannot be read at {offset} is not listed as unreadable: {listed:?}"));
    }
    let mut sectors = content.chunks(PADDING_BYTES).zip(drive.content().chunks(PADDING_BYTES)).enumerate();
    let left_out = sectors.find(|(index, (copied, piece))| copied != piece && !is_listed((index * PADDING_BYTES) as u64));
    match left_out {
        Some((index, _)) => {
            Err(format!("R3: the sector at {} is not copied, and not listed as unreadable", index * PADDING_BYTES))
        }
        None => Ok(()),
    }
}

fn differs_only_at(content: &[u8], expected: &[u8], offsets: &[u64]) -> bool {
    let Some(front) = content.get(..expected.len()) else { return false };
    let mut differences = front.iter().zip(expected).enumerate().filter(|(_, (one, other))| one != other);
    differences.all(|(index, _)| offsets.contains(&(index as u64)))
}

fn first_difference(content: &[u8], expected: &[u8]) -> String {
    let at = content.iter().zip(expected).position(|(one, other)| one != other);
    let count = content.iter().zip(expected).filter(|(one, other)| one != other).count();
    let lengths = format!("{} and {} bytes", content.len(), expected.len());
    at.map_or(lengths.clone(), |at| format!("offset {at}, {count} bytes in all ({lengths})"))
}
