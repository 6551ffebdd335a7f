//! What staff do with drives and bays: mostly what is right, sometimes not.

use serde_json::{Value, json};

use crate::site::{Place, path_of};
use crate::world::World;

/// Docks a drive that lies about, in any bay: most of them the right way round.
pub fn dock(world: &mut World) {
    let desk = world.drives_on_desk();
    if desk.is_empty() {
        return;
    }
    let drive = world.random.of(&desk);
    let usable = world.usable_bays();
    if !usable.is_empty() {
        let bay = world.random.of(&usable);
        dock_in(world, drive, bay);
    }
}

/// Docks a drive in a bay, in the way that this bay takes drives.
pub fn dock_in(world: &mut World, drive: usize, bay: usize) {
    let name = world.bay_name(bay);
    let is_watched = world.worker.site().bays[bay].is_watched;
    if is_watched {
        let now = world.worker.clock.now();
        world.worker.site().dock(bay, drive, None, now);
        world.note(format!("drive {drive} is put into {name}"));
        world.serve_stations();
    } else {
        let path = format!("/operator/v1/bays/{}/dock", name.replace('/', "%2F"));
        world.ask(None, "POST", &path, &json!({ "path": path_of(drive) }), &format!("drive {drive} is docked in {name}"));
    }
}

/// While the service is down another drive may be put into a watched bay.
pub fn move_drives_unseen(world: &mut World) {
    let bays = world.worker.site().bays.clone();
    let watched: Vec<usize> = (0..bays.len()).filter(|bay| bays[*bay].is_watched && bays[*bay].host == 0).collect();
    let desk = world.drives_on_desk();
    if desk.is_empty() || watched.is_empty() || !world.random.percent(25) {
        return;
    }
    let (drive, bay) = (world.random.of(&desk), world.random.of(&watched));
    let now = world.worker.clock.now();
    world.worker.site().dock(bay, drive, None, now);
    world.note(format!("drive {drive} is put into bay {bay} while the service is down"));
}

/// Takes a drive out of its bay, whatever it is doing there.
pub fn take_out(world: &mut World) {
    let occupied = world.occupied_bays();
    if !occupied.is_empty() {
        let (bay, _) = world.random.of(&occupied);
        take_out_of(world, bay);
    }
}

/// Takes the drive out of a bay: by hand where it was docked so, or it is just pulled.
pub fn take_out_of(world: &mut World, bay: usize) {
    let name = world.bay_name(bay);
    let is_watched = world.worker.site().bays[bay].is_watched;
    if !is_watched && world.random.percent(60) {
        world.ask(
            None,
            "POST",
            &format!("/operator/v1/bays/{}/undock", name.replace('/', "%2F")),
            &Value::Null,
            &format!("{name} is emptied"),
        );
    } else {
        world.worker.site().take_out(bay);
        world.note(format!("the drive in {name} is pulled"));
        world.serve_stations();
    }
}

/// Checks a docked drive in to a job: mostly the one that its parcel names.
pub fn check_in(world: &mut World) {
    let occupied = world.occupied_bays();
    if occupied.is_empty() || world.jobs.is_empty() {
        return;
    }
    let (bay, drive) = world.random.of(&occupied);
    let meant = world.worker.site().drives[drive].job;
    let job = match meant.filter(|_| !world.random.percent(8)) {
        Some(job) => job,
        None => world.random.index(world.jobs.len()),
    };
    let drive_id = world.random.percent(40).then(|| name_in_job(world, job, drive)).flatten();
    check_in_to(world, bay, job, drive_id.as_deref());
}

/// Checks the drive of a bay in to a job. From then on an operator has bound the one to the other.
pub fn check_in_to(world: &mut World, bay: usize, job: usize, drive_id: Option<&str>) -> bool {
    let Some(drive) = world.worker.site().bays[bay].drive else { return false };
    let name = world.bay_name(bay);
    let erase = world.jobs[job].is_export && (world.worker.site().drives[drive].owner.is_some() || world.random.percent(50));
    // Who is sure takes it from the job that it was checked in to by mistake.
    let is_sure = world.worker.site().drives[drive].job == Some(job);
    let mut body = json!({ "bay": name, "erase": erase, "takeOver": is_sure });
    world.worker.site().drives[drive].may_be_erased |= erase;
    // The name that an import has for it; what an export is to call one that tells no name.
    let physical = world.worker.site().drives[drive].clone();
    let physical_name = physical.shown_serial().map(str::to_owned);
    let label = (world.jobs[job].is_export && physical.bridge.is_some()).then_some(physical.serial);
    if let Some(id) = label.as_deref().or(drive_id.filter(|_| !world.jobs[job].is_export)) {
        body["driveId"] = id.into();
    }
    // Also where the service is killed before it answers: the operator has said it.
    let uid = world.jobs[job].uid.clone();
    let what = format!("the drive {drive} in {name} is checked in to job {job} as {drive_id:?}");
    let path = format!("{}/checkIn", world.jobs[job].operator_path());
    let lives = world.lives;
    let is_done = world.ask(None, "POST", &path, &body, &what);
    if !is_done && world.jobs[job].is_export {
        world.unfit.insert((drive, job));
    }
    if let Some(uid) = uid.filter(|_| is_done || world.lives != lives) {
        let id = label.as_deref().or(drive_id).or(physical_name.as_deref());
        if let Some(id) = id {
            world.bound_as.insert((uid.clone(), id.to_owned()), drive);
        }
        world.said_wrong.remove(&(drive, uid.clone()));
        world.bound.insert((drive, uid));
    }
    is_done
}

/// The name that a job has for a physical drive, as far as a person can tell from its label.
pub fn name_in_job(world: &World, job: usize, drive: usize) -> Option<String> {
    let physical = world.worker.site().drives[drive].clone();
    let shown = world.jobs[job].shown_drives();
    let waiting = |state: &str| matches!(state, "Specified" | "NeverReceived" | "Received");
    let uid = world.jobs[job].uid.clone().unwrap_or_default();
    let is_taken = |id: &str| world.bound_as.get(&(uid.clone(), id.to_owned())).is_some_and(|other| *other != drive);
    let shown: Vec<_> = shown.into_iter().filter(|(id, _)| !is_taken(id)).collect();
    let exact = shown.iter().find(|(id, _)| physical.is_called(id));
    // A typing error: the parcel names the job, and one drive of it is missing.
    exact.or_else(|| shown.iter().find(|(_, state)| waiting(state))).map(|(id, _)| id.clone())
}

/// Says that a drive came, by the name on its label, before it is in a bay.
pub fn check_in_by_name(world: &mut World) {
    let desk = world.drives_on_desk();
    if desk.is_empty() {
        return;
    }
    let drive = world.random.of(&desk);
    let physical = world.worker.site().drives[drive].clone();
    let Some(job) = physical.job.filter(|job| physical.owner == Some(world.jobs[*job].customer)) else { return };
    let body = json!({ "driveId": physical.serial });
    let path = format!("{}/checkIn", world.jobs[job].operator_path());
    world.ask(None, "POST", &path, &body, &format!("drive {drive} is checked in to job {job} by its label"));
}

/// One of the things that can be asked for a drive of a job.
pub fn direct(world: &mut World) {
    let with_drives: Vec<usize> =
        world.living_jobs().into_iter().filter(|job| !world.jobs[*job].shown_drives().is_empty()).collect();
    if with_drives.is_empty() {
        return;
    }
    let job = world.random.of(&with_drives);
    let shown = world.jobs[job].shown_drives();
    let (drive_id, _) = world.random.of(&shown);
    let choices = [
        (3, "retry"),
        (2, "start"),
        (2, "pause"),
        (3, "resume"),
        (1, "giveUp"),
        (1, "undoGiveUp"),
        (1, "undoNeverReceived"),
        (1, "release"),
        (1, "neverReceived"),
    ];
    let action = world.random.weighted(&choices);
    direct_drive(world, job, &drive_id, action, json!({}));
}

/// Says of a drive that was checked in that it was the wrong one: best of one that was.
pub fn say_it_was_the_wrong_one(world: &mut World) {
    let was_here = |state: &str| matches!(state, "Received" | "Transferring" | "Completed" | "CompletedMoreInfo");
    let mut drives = Vec::new();
    for job in world.living_jobs().into_iter().filter(|job| !world.jobs[*job].is_over()) {
        let shown = world.jobs[job].shown_drives();
        drives.extend(shown.into_iter().filter(|(_, state)| was_here(state)).map(|(id, _)| (job, id)));
    }
    let is_wrong = |(job, id): &&(usize, String)| {
        let uid = world.jobs[*job].uid.clone().unwrap_or_default();
        let bound = world.bound_as.get(&(uid, id.clone()));
        bound.is_some_and(|drive| world.worker.site().drives[*drive].job != Some(*job))
    };
    let wrong: Vec<(usize, String)> = drives.iter().filter(is_wrong).cloned().collect();
    let drives = if wrong.is_empty() { drives } else { wrong };
    if !drives.is_empty() {
        let (job, drive_id) = world.random.of(&drives);
        undo_check_in(world, job, &drive_id);
    }
}

/// Says that the drive which was checked in as one of a job was another one, rightly or not.
pub fn undo_check_in(world: &mut World, job: usize, drive_id: &str) -> bool {
    let lives = world.lives;
    let is_done = direct_drive(world, job, drive_id, "undoCheckIn", json!({}));
    if let Some(uid) = world.jobs[job].uid.clone().filter(|_| is_done || world.lives != lives) {
        // What was copied as this one is not it, until a person says so again.
        let last = world.worker.site().begun.iter().rev().find(|run| run.job_uid == uid && run.drive_id == drive_id).cloned();
        if let Some(run) = last.filter(|_| is_done) {
            world.said_wrong.insert((run.drive, uid.clone()));
        }
        // What an operator said of the drive before does not hold any more.
        if let Some(drive) = world.bound_as.remove(&(uid.clone(), drive_id.to_owned())) {
            world.bound.remove(&(drive, uid));
        }
    }
    is_done
}

/// Asks for something about a drive of a job.
pub fn direct_drive(world: &mut World, job: usize, drive_id: &str, action: &str, mut body: Value) -> bool {
    if !drive_id.is_empty() {
        body["driveId"] = drive_id.into();
    }
    // One that could not be read whole replaces its own.
    let lacks_something = world.jobs[job].seen["copies"][drive_id]["result"]["outcome"] == "complete-with-unreadable";
    if let Some(uid) = world.jobs[job].uid.clone().filter(|_| body["overwrite"] == true || lacks_something) {
        world.worker.site().may_be_replaced.insert((uid, drive_id.to_owned()));
    }
    let path = format!("{}/{action}", world.jobs[job].operator_path());
    let options = body.clone();
    world.ask(None, "POST", &path, &body, &format!("{action} of job {job} {options}"))
}

/// Sends the drives of a job that is done back to its customer.
pub fn ship_back(world: &mut World) {
    let is_done = |job: &usize| world.jobs[*job].state().is_some_and(|state| state.name() == "Packaging");
    let done: Vec<usize> = world.living_jobs().into_iter().filter(is_done).collect();
    if !done.is_empty() {
        let job = world.random.of(&done);
        ship_back_job(world, job);
    }
}

pub fn ship_back_job(world: &mut World, job: usize) -> bool {
    let body = json!({ "carrierName": "FedEx", "trackingNumber": format!("BACK{job}") });
    let path = format!("{}/shipBack", world.jobs[job].operator_path());
    let is_done = world.ask(None, "POST", &path, &body, &format!("the drives of job {job} are sent back"));
    if is_done {
        send_home(world, |owner| owner == Some(job));
    }
    is_done
}

/// Sends drives back of which no job wants anything any more.
pub fn tidy(world: &mut World) {
    let over: Vec<usize> = (0..world.jobs.len()).filter(|job| world.jobs[*job].is_over()).collect();
    send_home(world, |job| job.is_some_and(|job| over.contains(&job)));
}

fn send_home(world: &mut World, is_of: impl Fn(Option<usize>) -> bool) {
    let mut site = world.worker.site();
    for drive in 0..site.drives.len() {
        let is_here = matches!(site.drives[drive].place, Place::Desk | Place::Bay(_));
        if !is_here || site.drives[drive].owner.is_none() || !is_of(site.drives[drive].job) {
            continue;
        }
        if let Place::Bay(bay) = site.drives[drive].place {
            site.take_out(bay);
        }
        site.drives[drive].place = Place::Home;
        site.drives[drive].job = None;
        // Its owner writes on it again what was there.
        let own = site.drives[drive].content.len();
        site.drives[drive].content = (0..own).map(|index| crate::begin::content_of(drive, index)).collect();
    }
}
