//! Receipts against what the stores and the drives really hold.

use serde_json::Value;

use crate::blobs::Address;
use crate::copying::transfers_of;
use crate::life::account;
use crate::site::{CHUNK_BYTES, Piece};
use crate::world::{Checked, Job, Violation, World};

/// Compares the receipts of a job that is done with what is really there.
pub fn check(world: &mut World, number: usize) -> Checked {
    let path = format!("{}/receipts?api-version=2021-01-01", world.jobs[number].path());
    let customer = world.jobs[number].customer;
    let (status, document) = world.call(Some(customer), "GET", &path, &Value::Null);
    if status != 200 {
        return Ok(());
    }
    for drive in document["drives"].as_array().into_iter().flatten() {
        let violation = |text: String| Violation(format!("the receipt of drive {} of job {number}: {text}", drive["drive_id"]));
        check_drive(world, &world.jobs[number], drive).map_err(violation)?;
    }
    Ok(())
}

fn check_drive(world: &World, job: &Job, drive: &Value) -> Result<(), String> {
    let id = drive["drive_id"].as_str().unwrap_or_default();
    let record = &job.seen["copies"][id];
    let result = &drive["result"];
    let was_begun = record["runs"].as_u64().unwrap_or_default() > 0;
    // What an interrupted run moved is being told from its journal.
    if drive["copy_status"] == "InProgress" {
        return Ok(());
    }
    let was_done = job.done_before_cancel.iter().any(|done| done == id);
    if job.is_cancelled() && was_begun && !was_done && result["receipt"].is_null() && !is_complete(result) {
        return Err(format!("it was cancelled, and nothing says what moved: {}", drive["copy_status"]));
    }
    let came = !matches!(drive["state"].as_str(), Some("Specified" | "NeverReceived"));
    let is_told = drive["copy_status"].as_str().is_some_and(|status| status.starts_with("Cancelled: "));
    if job.is_cancelled() && came && !was_begun && !was_done && !is_told {
        return Err(format!("it was cancelled before it was begun, and that is not told: {}", drive["copy_status"]));
    }
    if drive["state"] == "Completed" && result["outcome"] != "complete" {
        return Err(format!("it is Completed, and its copy ended {}", result["outcome"]));
    }
    if result.is_null() {
        return Ok(());
    }
    let total = result["bytes_total"].as_u64().unwrap_or_default();
    if let Some(receipt) = result["receipt"].as_object() {
        let classes = ["landed_before_request", "landed_after_request", "outcome_unknown", "never_sent"];
        let sum: u64 = classes.iter().filter_map(|class| receipt[*class]["bytes"].as_u64()).sum();
        if sum != total {
            return Err(format!("its classes sum to {sum} of {total} bytes"));
        }
    }
    if result["direction"] == "import" {
        check_import(world, job, id, result)?;
    }
    Ok(())
}

fn is_complete(result: &Value) -> bool {
    matches!(result["outcome"].as_str(), Some("complete" | "complete-with-unreadable"))
}

fn check_import(world: &World, job: &Job, id: &str, result: &Value) -> Result<(), String> {
    let Some(target) = target_of(job, result) else { return Ok(()) };
    let copy = transfers_of(job.uid.as_deref().unwrap_or_default(), id);
    let site = world.worker.site();
    let finished = site.blobs.finished(&target, &copy);
    let drives: std::collections::BTreeSet<usize> = finished
        .iter()
        .flatten()
        .filter_map(|piece| if let Piece::Drive(drive, _) = piece { Some(*drive) } else { None })
        .collect();
    if drives.len() > 1 {
        return Err(format!("its blob has bytes of the drives {drives:?}"));
    }
    if is_complete(result) {
        let total = result["bytes_total"].as_u64().unwrap_or_default();
        let is_there = site.blobs.blobs.get(&target).is_some_and(|blob| blob.transfer.starts_with(&copy));
        if !is_there || finished.len() as u64 * CHUNK_BYTES != total {
            return Err(format!("it is complete, and of {total} bytes the store has {} chunks", finished.len()));
        }
        return Ok(());
    }
    // The journal of a copy that is done is forgotten, and what it left stays.
    let left = site.blobs.unfinished_of(&target, &copy);
    let is_in = |held: &[Option<Piece>], chunk: usize| held.get(chunk).is_some_and(Option::is_some);
    for class in ["landed_before_request", "landed_after_request"] {
        if let Some(chunk) =
            chunks(&result["receipt"][class]).find(|chunk| !left.iter().chain([&&finished]).any(|held| is_in(held, *chunk)))
        {
            return Err(format!("chunk {chunk} is {class}, and the store does not have it"));
        }
    }
    let transfer = result["transfer_id"].as_str().unwrap_or_default().to_owned();
    let own = site.blobs.unfinished(&target, &transfer);
    // What a host lands that slept, before it looks at its clock, no receipt can know.
    let is_late = |chunk: usize| site.blobs.late.contains(&(target.clone(), transfer.clone(), chunk));
    match chunks(&result["receipt"]["never_sent"]).find(|chunk| is_in(&own, *chunk) && !is_late(*chunk)) {
        Some(chunk) => Err(format!("chunk {chunk} was never sent, and the store has it")),
        None => Ok(()),
    }
}

fn target_of(job: &Job, result: &Value) -> Option<Address> {
    let (container, name) = result["blob"].as_str()?.split_once('/')?;
    Some((account(job.customer), container.to_owned(), name.to_owned()))
}

/// The chunks of a class of bytes.
fn chunks(class: &Value) -> impl Iterator<Item = usize> {
    let ranges = class["ranges"].as_array().into_iter().flatten();
    ranges.flat_map(|range| {
        let number = |field: &str| usize::try_from(range[field].as_u64().unwrap_or_default() / CHUNK_BYTES).unwrap_or_default();
        number("offset")..number("offset") + number("length")
    })
}
