//! The end of a history: nothing fails any more, customers are silent, and staff do what the service asks for. Then every
//! job must come to its end.

use std::time::Duration;

use protocol::station::{Attention, station_and_bay};
use serde_json::{Value, json};

use crate::attention::{Acted, act};
use crate::world::{Checked, Job, Violation, World};
use crate::{attention, oracle, station_events};

/// Days without any change, while some job has not ended: one of which nothing is heard is closed after 30.
const QUIET_DAYS_MAX: u32 = 35;

/// Things that staff do in a day.
const ITEMS_A_DAY: u32 = 20;

/// Longer than a job is kept that is over.
const KEPT: Duration = Duration::from_secs(92 * 86_400);

const MINUTE: Duration = Duration::from_secs(60);

const DAY: Duration = Duration::from_secs(86_400);

pub fn check(world: &mut World) -> Checked {
    world.note("from now on nothing fails, and staff do what the service asks for");
    {
        let mut site = world.worker.site();
        (site.blobs.fails_until, site.blobs.document_takes) = (Duration::ZERO, Duration::ZERO);
    }
    world.worker.clock.revive();
    station_events::heal(world);
    world.advance(DAY / 2, 1);
    let (mut quiet_days, mut before) = (0, Vec::new());
    while quiet_days < QUIET_DAYS_MAX {
        world.rounds(2);
        oracle::check(world)?;
        if world.jobs.iter().all(|job| job.is_over()) {
            return check_rest(world);
        }
        attend_to_all(world)?;
        world.advance(DAY, 1);
        let now: Vec<Value> = world.jobs.iter().map(progress_of).collect();
        quiet_days = if now == before { quiet_days + 1 } else { 0 };
        before = now;
    }
    let stuck = (0..world.jobs.len()).find(|job| !world.jobs[*job].is_over()).unwrap_or_default();
    let path = world.jobs[stuck].path();
    let asked: Vec<Attention> = attention::list(world).into_iter().filter(|item| item.job.as_ref() == Some(&path)).collect();
    let job = &world.jobs[stuck].seen["job"]["properties"];
    Err(Violation(format!("job {stuck} does not end: {} {} {asked:?}", job["state"], job["driveList"])))
}

/// A day's work: each thing that waits is done once, and what the service offers is not refused.
fn attend_to_all(world: &mut World) -> Checked {
    let mut done: Vec<Attention> = Vec::new();
    for _ in 0..ITEMS_A_DAY {
        let is_new = |item: &Attention| !done.iter().any(|one| one.kind == item.kind && about(one) == about(item));
        let Some(item) = attention::list(world).into_iter().find(is_new) else { break };
        if act(world, &item) == Acted::Refused {
            let last = world.log.last().cloned().unwrap_or_default();
            return Err(Violation(format!("what the service offers is refused: {last}")));
        }
        done.push(item);
        world.advance(MINUTE, 1);
        oracle::check(world)?;
    }
    Ok(())
}

fn about(item: &Attention) -> (&Option<String>, &Option<String>, &Option<String>) {
    (&item.job, &item.drive_id, &item.bay)
}

/// What of a job changes when it comes on. A copy that is tried again in vain does not.
fn progress_of(job: &Job) -> Value {
    json!([job.seen["job"]["properties"]["state"], job.shown_drives(), job.is_gone])
}

/// Everything that was decided has been carried out.
fn check_rest(world: &mut World) -> Checked {
    world.advance(DAY, 3);
    oracle::check(world)?;
    for number in world.living_jobs() {
        let job = world.jobs[number].clone();
        let documents = &world.worker.site().blobs.documents;
        let is_published = documents.keys().any(|(_, _, name)| name.ends_with(&format!("{}_receipts.json", job.name)));
        let was_here = job.shown_drives().iter().any(|(_, state)| state == "ShippedBack");
        if was_here && !is_published {
            return Err(Violation(format!("job {number} is over, and its receipts were never published")));
        }
        for (drive_id, _) in job.shown_drives().iter().filter(|(_, state)| state == "ShippedBack") {
            let is_logged = documents.keys().any(|(_, _, name)| name.contains(&format!("{}_{drive_id}_", job.name)));
            let record = &job.seen["copies"][drive_id];
            // One that was released has no blob any more, and of one that was never begun there is nothing to log.
            let was_begun = record["runs"].as_u64() > Some(0);
            let was_told = !is_of_gone_station(world, record["bay"].as_str());
            if was_begun && was_told && !record["result"].is_null() && !record["blob"].is_null() && !is_logged {
                return Err(Violation(format!("the logs of drive {drive_id} of job {number} were never published")));
            }
        }
    }
    oracle::check_audit(world)?;
    // In the end all of them are forgotten.
    for _ in 0..2 {
        world.advance(KEPT, 1);
        world.advance(DAY, 1);
    }
    oracle::check(world)?;
    {
        let site = world.worker.site();
        if let Some((_, _, name)) = site.blobs.documents.keys().next() {
            return Err(Violation(format!("every job is forgotten, and the document `{name}` is still in the store")));
        }
        if let Some((place, transfer)) = site.blobs.partial.keys().next() {
            return Err(Violation(format!("every job is forgotten, and the transfer {transfer} left a part of {place:?}")));
        }
    }
    let (_, effects) = world.counts();
    match world.living_jobs().first() {
        _ if effects > 0 => Err(Violation(format!("{effects} effects were never carried out"))),
        Some(job) => Err(Violation(format!("job {job} is over, and is kept for ever"))),
        None => check_journals(world),
    }
}

/// Whether a bay is of a station that was gone for a time: of its copies there may be no logs.
fn is_of_gone_station(world: &World, bay: Option<&str>) -> bool {
    let name = bay.and_then(station_and_bay).map(|(station, _)| station);
    world.stations.iter().any(|station| Some(station.name.as_str()) == name && station.was_gone)
}

/// What was kept to resume copies went with their jobs.
fn check_journals(world: &World) -> Checked {
    let site = world.worker.site();
    // A host that is gone keeps what it has.
    let is_gone = |host: usize| world.stations.iter().any(|station| station.host == host && station.is_lost);
    if let Some((_, uid, drive)) = site.blobs.journals.keys().find(|(host, ..)| !is_gone(*host)) {
        return Err(Violation(format!("the journal of drive {drive} of the job {uid} is kept for ever")));
    }
    let left = site.blobs.kept.keys().next();
    left.map_or(Ok(()), |(place, uid)| Err(Violation(format!("the journal of the job {uid} stays in the account, at {place:?}"))))
}
