//! Staff who do what the service asks for. The one place that knows what an item of attention means.

use serde_json::{Value, json};

use crate::site::Place;
use crate::staff;
use crate::world::World;

/// Does what one item of attention, chosen at random, asks for.
pub fn attend(world: &mut World) {
    let items = world.list("attention");
    if !items.is_empty() {
        let item = world.random.of(&items);
        act(world, &item);
    }
}

/// Does what an item asks for, as somebody does who can see the drives and their parcels.
pub fn act(world: &mut World, item: &Value) {
    world.note(format!("attention: {item}"));
    let text = |field: &str| item[field].as_str().map(str::to_owned);
    let job = text("job").and_then(|path| world.job_at(&path));
    let bay = text("bay").and_then(|name| world.worker.site().bay_named(&name));
    let drive_id = text("drive_id");
    match (item["kind"].as_str().unwrap_or_default(), job, bay, drive_id) {
        ("copy-held", Some(job), _, Some(drive_id)) => retry(world, job, &drive_id),
        ("ambiguous-drive" | "unknown-drive", _, Some(bay), _) => place(world, bay),
        ("job-not-shipped", _, Some(bay), _) => staff::take_out_of(world, bay),
        ("not-docked", Some(job), _, Some(drive_id)) => dock(world, job, &drive_id),
        ("drives-missing", Some(job), ..) => miss(world, job),
        ("needs-empty-drive", Some(job), ..) => give_empty_drive(world, job),
        ("ship-back", Some(job), ..) => {
            staff::ship_back_job(world, job);
        }
        _ => world.note("nobody knows what to do about this"),
    }
}

/// A copy failed: it is tried again where that may help, and given up where it was.
fn retry(world: &mut World, job: usize, drive_id: &str) {
    let runs = world.jobs[job].seen["copies"][drive_id]["runs"].as_u64().unwrap_or_default();
    let is_patient = runs < 6 && !world.random.percent(20);
    let options = json!({ "rescue": true });
    if is_patient && staff::direct_drive(world, job, drive_id, "retry", options) {
        return;
    }
    if is_patient {
        dock(world, job, drive_id);
    } else {
        staff::direct_drive(world, job, drive_id, "giveUp", json!({}));
    }
}

/// A drive that the service cannot place goes where its parcel says, or out of the bay.
fn place(world: &mut World, bay: usize) {
    let Some(drive) = world.worker.site().bays[bay].drive else { return };
    let job = world.worker.site().drives[drive].job.filter(|job| !world.jobs[*job].is_over());
    let drive_id = job.and_then(|job| staff::name_in_job(world, job, drive));
    let is_done = job.is_some_and(|job| staff::check_in_to(world, bay, job, drive_id.as_deref()));
    if !is_done {
        staff::take_out_of(world, bay);
    }
}

/// Docks the drive that a job means, where it is here.
fn dock(world: &mut World, job: usize, drive_id: &str) {
    let Some(drive) = drive_called(world, job, drive_id) else {
        return world.note(format!("no drive of job {job} is here that is called {drive_id}"));
    };
    let place = world.worker.site().drives[drive].place;
    if let Place::Bay(bay) = place {
        // It is in a bay, and the service does not know it there: an operator says so.
        staff::check_in_to(world, bay, job, Some(drive_id));
        return;
    }
    if let Some(bay) = free_bay(world) {
        staff::dock_in(world, drive, bay);
    }
}

/// The physical drive in the datacenter that a job has under a name.
fn drive_called(world: &World, job: usize, drive_id: &str) -> Option<usize> {
    let site = world.worker.site();
    let is_here = |drive: &usize| matches!(site.drives[*drive].place, Place::Desk | Place::Bay(_));
    let is_called = |drive: &usize| {
        let physical = &site.drives[*drive];
        drive_id.eq_ignore_ascii_case(&physical.serial) || drive_id.eq_ignore_ascii_case(physical.shown_serial())
    };
    let is_bound = |drive: &usize| world.jobs[job].uid.as_ref().is_some_and(|uid| world.bound.contains(&(*drive, uid.clone())));
    let here: Vec<usize> = (0..site.drives.len()).filter(is_here).collect();
    let of_job: Vec<usize> = here.iter().copied().filter(|drive| site.drives[*drive].job == Some(job)).collect();
    let named =
        of_job.iter().find(|drive| is_called(drive)).or_else(|| here.iter().find(|drive| is_called(drive) && is_bound(drive)));
    named.or_else(|| of_job.first()).copied()
}

/// A bay for one more drive: an empty one, or one whose drive is not being copied.
pub fn free_bay(world: &mut World) -> Option<usize> {
    let site = world.worker.site();
    let empty = site.bays.iter().position(|bay| bay.drive.is_none());
    let is_copied = |name: &str| site.copies.iter().any(|copy| copy.order.bay == name);
    let idle = site.bays.iter().position(|bay| !is_copied(&bay.name));
    drop(site);
    if empty.is_none() {
        staff::take_out_of(world, idle?);
    }
    empty.or(idle)
}

/// Drives of a job did not come: those that did are checked in, and the others are said to have never come.
fn miss(world: &mut World, job: usize) {
    let waiting = |state: &str| matches!(state, "Specified" | "NeverReceived");
    let missing: Vec<String> =
        world.jobs[job].shown_drives().into_iter().filter(|(_, state)| waiting(state)).map(|(id, _)| id).collect();
    let is_on_its_way = |world: &World| {
        let site = world.worker.site();
        site.drives.iter().any(|drive| drive.job == Some(job) && matches!(drive.place, Place::Parcel(_)))
    };
    if is_on_its_way(world) {
        return;
    }
    for drive_id in missing {
        let here = drive_called(world, job, &drive_id).filter(|_| world.random.percent(70));
        match here {
            Some(drive) => {
                let place = world.worker.site().drives[drive].place;
                match place {
                    Place::Bay(bay) => {
                        staff::check_in_to(world, bay, job, Some(&drive_id));
                    }
                    _ => dock(world, job, &drive_id),
                }
            }
            None => {
                staff::direct_drive(world, job, &drive_id, "neverReceived", json!({}));
            }
        }
    }
    if world.jobs[job].is_export {
        staff::direct_drive(world, job, "none", "neverReceived", json!({}));
    }
}

/// An export wants one more drive: one of its parcel, or an empty one of our own.
fn give_empty_drive(world: &mut World, job: usize) {
    let candidates: Vec<usize> = {
        let site = world.worker.site();
        let is_here = |drive: &usize| matches!(site.drives[*drive].place, Place::Desk | Place::Bay(_));
        let taken = |drive: &usize| {
            world.jobs[job].shown_drives().iter().any(|(id, _)| id.eq_ignore_ascii_case(site.drives[*drive].shown_serial()))
        };
        let fits = |drive: &usize| site.drives[*drive].job == Some(job) || site.drives[*drive].owner.is_none();
        (0..site.drives.len()).filter(|drive| is_here(drive) && fits(drive) && !taken(drive)).collect()
    };
    if candidates.is_empty() {
        staff::direct_drive(world, job, "none", "neverReceived", json!({}));
        return;
    }
    let drive = world.random.of(&candidates);
    let place = world.worker.site().drives[drive].place;
    let bay = match place {
        Place::Bay(bay) => Some(bay),
        _ => free_bay(world).inspect(|bay| staff::dock_in(world, drive, *bay)),
    };
    if let Some(bay) = bay
        && !staff::check_in_to(world, bay, job, None)
        && world.random.percent(40)
    {
        staff::direct_drive(world, job, "none", "neverReceived", json!({}));
    }
}
