//! What must hold of stations at every moment: one host at a time copies a drive, under a grant that the service still counts on;
//! late ends change nothing, and stops arrive.

use std::collections::BTreeSet;

use protocol::station::CopyReport;
use service::stations::SimulatedGrant;

use crate::copying::Copy;
use crate::station::{Held, Station};
use crate::world::{Checked, Violation, World};

/// Rounds after which a cancel has reached a station that is connected.
const CANCEL_ROUNDS: u64 = 2;

/// Looks at what runs now.
pub fn watch(world: &mut World) {
    if world.stations.is_empty() {
        return;
    }
    let grants = world.grants();
    let found = world.has_life().then(|| without_grant(world, &grants)).flatten().or_else(|| twice(world));
    let found = found.or_else(|| cancel_that_did_not_arrive(world));
    world.worker.site().violations.extend(found);
    note_late_ends(world);
}

/// The copies that move something, and whose hosts are awake.
fn awake<'site>(copies: &'site [Copy], asleep: &'site BTreeSet<usize>) -> impl Iterator<Item = &'site Copy> {
    copies.iter().filter(|copy| !asleep.contains(&copy.host))
}

/// A copy that goes on at a station, and that the service takes for ended.
fn without_grant(world: &World, grants: &[SimulatedGrant]) -> Option<String> {
    let site = world.worker.site();
    let is_counted_on = |copy: &Copy| {
        let is_own = |grant: &&SimulatedGrant| grant.order.grant == copy.order.grant;
        grants.iter().find(is_own).is_some_and(|grant| grant.is_waited_for)
    };
    let lost = awake(&site.copies, &site.asleep)
        .filter(|copy| copy.host != 0 && !copy.order.account_only)
        .find(|copy| !is_counted_on(copy) && copy.stop.is_none());
    lost.map(|copy| format!("a copy of {} runs in {}, and the service takes it for ended", copy.order.drive_id, copy.order.bay))
}

/// A drive that two hosts copy at once.
fn twice(world: &World) -> Option<String> {
    let site = world.worker.site();
    let copies: Vec<&Copy> = awake(&site.copies, &site.asleep).filter(|copy| !copy.order.account_only).collect();
    let same = copies.iter().enumerate().find_map(|(index, copy)| {
        let is_same = |other: &&&Copy| {
            let is_drive = copy.drive.is_some() && copy.drive == other.drive;
            let is_job = (&copy.order.job_uid, &copy.order.drive_id) == (&other.order.job_uid, &other.order.drive_id);
            is_job || is_drive && copy.host != other.host
        };
        copies[..index].iter().find(is_same).map(|other| (copy, other))
    });
    same.map(|(copy, other)| {
        format!("the drive {} is copied in {} and in {} at once", copy.order.drive_id, copy.order.bay, other.order.bay)
    })
}

/// Ends of copies that the service does not wait for, and was never told: they must change nothing.
pub fn note_late_ends(world: &mut World) {
    if !world.has_life() {
        return;
    }
    let grants = world.grants();
    let is_waited_for =
        |name: &String| grants.iter().any(|grant| grant.order.grant.as_ref() == Some(name) && grant.is_waited_for);
    let late = |station: &Station| -> Vec<u64> {
        let untold = station.held.iter().filter(|(name, _)| !is_waited_for(name));
        untold
            .filter_map(|(_, held)| {
                if let Held::Ended { result, was_told: false } = held { Some(result.elapsed_seconds as u64) } else { None }
            })
            .collect()
    };
    let found: Vec<u64> = world.stations.iter().flat_map(late).collect();
    for run in found {
        if world.late_ends.insert(run) {
            world.worker.site().tally("an end came too late");
        }
    }
}

/// Looks at what follows from the ends and stops of copies.
pub fn check(world: &World) -> Checked {
    if world.stations.is_empty() {
        return Ok(());
    }
    for number in world.living_jobs() {
        let Some(copies) = world.jobs[number].seen["copies"].as_object() else { continue };
        for (drive_id, record) in copies {
            let run = record["result"]["elapsed_seconds"].as_f64().unwrap_or_default() as u64;
            if world.late_ends.contains(&run) {
                return Err(Violation(format!("the late end of a copy of drive {drive_id} of job {number} was taken")));
            }
        }
    }
    Ok(())
}

/// A cancel that has not reached a station which is connected.
fn cancel_that_did_not_arrive(world: &World) -> Option<String> {
    let site = world.worker.site();
    for (index, station) in world.stations.iter().enumerate() {
        if !station.is_healthy() || !world.network.is_at_service(index) {
            continue;
        }
        for copy in site.copies.iter().filter(|copy| copy.host == station.host && !copy.order.account_only) {
            let job = world.jobs.iter().find(|job| job.uid.as_ref() == Some(&copy.order.job_uid));
            let is_due = job.and_then(|job| job.cancelled_at).is_some_and(|at| world.rounds_done >= at + CANCEL_ROUNDS);
            if is_due && copy.stop.is_none() {
                return Some(format!("the cancel of {} did not reach `{}`", copy.order.drive_id, station.name));
            }
        }
    }
    None
}

/// Whether a report tells the end of a copy.
pub fn tells_end(report: &CopyReport) -> bool {
    matches!(report, CopyReport::Ended { .. })
}
