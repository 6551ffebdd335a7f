//! Staff who do what the service asks for. The one place that knows what an item of attention offers.

use protocol::job::RetryOptions;
use protocol::station::{Action, Attention};
use serde_json::json;

use crate::site::{Place, Site};
use crate::world::World;
use crate::{staff, station_events};

/// How an action went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acted {
    /// It was done, or is not ours to do.
    Done,
    /// The service offered it, and refused it.
    Refused,
}

/// What waits for a person.
pub fn list(world: &mut World) -> Vec<Attention> {
    let items = world.list("attention");
    items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect()
}

/// Does what one item of attention, chosen at random, asks for.
pub fn attend(world: &mut World) {
    let items = list(world);
    if !items.is_empty() {
        let item = world.random.of(&items);
        act(world, &item);
    }
}

/// Does one of the things that an item offers: what is right for the drives as they really are, mostly the first of them.
pub fn act(world: &mut World, item: &Attention) -> Acted {
    let right: Vec<Action> =
        item.actions.iter().map(|offered| offered.action.clone()).filter(|action| is_right(world, action)).collect();
    let Attention { kind, job, drive_id, bay, .. } = item;
    let job = job.as_deref().and_then(|path| world.job_at(path));
    world.note(format!("attention: {} of job {job:?}, drive {drive_id:?}, bay {bay:?}", kind.name()));
    let Some(first) = right.first().cloned() else {
        world.note("nothing that is offered is right just now");
        return Acted::Done;
    };
    let chosen = if world.random.percent(75) { first } else { world.random.of(&right) };
    carry_out(world, &chosen)
}

/// Whether an action is right, for a person who knows the drives and their parcels.
fn is_right(world: &World, action: &Action) -> bool {
    let job = |path: &str| world.job_at(path);
    match action {
        Action::CheckIn { job: path, drive_id, bay } => {
            let Some(job) = job(path) else { return false };
            let here = match bay {
                Some(bay) => drive_in(world, bay),
                None => drive_id.as_deref().and_then(|id| drive_called(world, job, id)),
            };
            here.is_some_and(|drive| is_of(world, drive, job) && is_meant(world, drive, job, drive_id.as_deref()))
        }
        Action::ChooseJob { bay } => drive_in(world, bay).is_some_and(|drive| may_choose(world, drive).is_some()),
        Action::NeverReceived { job: path, drive_id } => job(path).is_some_and(|job| {
            let is_coming = is_on_its_way(world, job);
            let is_here = match drive_id {
                Some(id) => drive_called(world, job, id).is_some(),
                None => !empty_drives(world, job).is_empty(),
            };
            !is_coming && !is_here
        }),
        Action::Retry { .. }
        | Action::Resume { .. }
        | Action::GiveUp { .. }
        | Action::UndoGiveUp { .. }
        | Action::UndoNeverReceived { .. }
        | Action::ShipBack { .. }
        | Action::Dock { .. }
        | Action::Release { .. }
        | Action::TakeOut { .. } => true,
        Action::TakeStationOff { station } => station_named(world, station).is_some_and(|index| world.stations[index].is_lost),
        Action::UndoCheckIn { job: path, drive_id } => job(path).is_some_and(|job| is_mistaken(world, job, drive_id)),
        // Customers are silent.
        Action::AskCustomer { .. } => false,
    }
}

fn carry_out(world: &mut World, action: &Action) -> Acted {
    let number = |world: &World, path: &str| world.job_at(path).unwrap_or_default();
    let directed = |world: &mut World, path: &str, id: &str, what: &str, body| {
        let job = number(world, path);
        staff::direct_drive(world, job, id, what, body)
    };
    let is_done = match action {
        Action::CheckIn { job, drive_id, bay: Some(bay) } => {
            let (job, bay) = (number(world, job), world.worker.site().bay_named(bay).unwrap_or_default());
            // A drive that is not as empty as it should be is refused, and that is right.
            staff::check_in_to(world, bay, job, drive_id.as_deref()) || drive_id.is_none()
        }
        Action::CheckIn { job, drive_id, bay: None } => {
            directed(world, job, drive_id.as_deref().unwrap_or_default(), "checkIn", json!({}))
        }
        Action::ChooseJob { bay } => {
            choose_job(world, bay);
            true
        }
        Action::NeverReceived { job, drive_id } => {
            directed(world, job, drive_id.as_deref().unwrap_or_default(), "neverReceived", json!({}))
        }
        Action::Retry { job, drive_id, options } => {
            if options.erase {
                may_be_erased(world, job, drive_id);
            }
            let RetryOptions { restart, overwrite, rescue, erase } = options;
            let body = json!({ "restart": restart, "overwrite": overwrite, "rescue": rescue, "erase": erase });
            directed(world, job, drive_id, "retry", body)
        }
        Action::Resume { job, drive_id } => directed(world, job, drive_id, "resume", json!({})),
        Action::GiveUp { job, drive_id } => directed(world, job, drive_id, "giveUp", json!({})),
        Action::UndoGiveUp { job, drive_id } => directed(world, job, drive_id, "undoGiveUp", json!({})),
        Action::UndoCheckIn { job, drive_id } => {
            let job = number(world, job);
            staff::undo_check_in(world, job, drive_id)
        }
        Action::UndoNeverReceived { job, drive_id } => {
            directed(world, job, drive_id.as_deref().unwrap_or_default(), "undoNeverReceived", json!({}))
        }
        Action::Release { job, drive_id } => directed(world, job, drive_id, "release", json!({})),
        Action::ShipBack { job } => {
            let job = number(world, job);
            staff::ship_back_job(world, job)
        }
        Action::Dock { drive_id: Some(drive_id) } => {
            dock(world, drive_id);
            true
        }
        Action::Dock { drive_id: None } => {
            dock_empty_drive(world);
            true
        }
        Action::TakeStationOff { station } => {
            let index = station_named(world, station).unwrap_or_default();
            station_events::revoke_of(world, index)
        }
        Action::TakeOut { bay, .. } => {
            let bay = world.worker.site().bay_named(bay);
            bay.is_some_and(|bay| {
                staff::take_out_of(world, bay);
                true
            })
        }
        Action::AskCustomer { .. } => true,
    };
    if is_done { Acted::Done } else { Acted::Refused }
}

fn station_named(world: &World, name: &str) -> Option<usize> {
    world.stations.iter().position(|station| station.name == name)
}

fn drive_in(world: &World, bay: &str) -> Option<usize> {
    let site = world.worker.site();
    site.bay_named(bay).and_then(|bay| site.bays[bay].drive)
}

/// Whether a drive is one of this job's parcel, or for an export one of ours that is empty.
fn is_of(world: &World, drive: usize, job: usize) -> bool {
    let physical = world.worker.site().drives[drive].clone();
    physical.job == Some(job) || world.jobs[job].is_export && physical.owner.is_none() && physical.is_blank()
}

/// Whether a drive is the one that a job has under this name.
fn is_meant(world: &World, drive: usize, job: usize, drive_id: Option<&str>) -> bool {
    drive_id.is_none_or(|id| staff::name_in_job(world, job, drive).is_some_and(|name| name.eq_ignore_ascii_case(id)))
}

/// Whether the drive that was checked in as one of a job is not of its parcel.
fn is_mistaken(world: &World, job: usize, drive_id: &str) -> bool {
    let uid = world.jobs[job].uid.clone().unwrap_or_default();
    let bound = world.bound_as.get(&(uid, drive_id.to_owned())).copied();
    bound.is_some_and(|drive| world.worker.site().drives[drive].job != Some(job) && !world.jobs[job].is_export)
}

fn is_on_its_way(world: &World, job: usize) -> bool {
    let site = world.worker.site();
    site.drives.iter().any(|drive| drive.job == Some(job) && matches!(drive.place, Place::Parcel(_)))
}

/// The job that the parcel of a drive names, where it can still be given the drive.
fn may_choose(world: &World, drive: usize) -> Option<(usize, Option<String>)> {
    // What was decided once stays so, right or wrong. In the order of jobs: random names have another one each time.
    let bound_name = |job: &usize| {
        let uid = world.jobs[*job].uid.as_ref()?;
        let mut names = world.bound_as.iter().filter(|((other, _), bound)| other == uid && **bound == drive);
        names.next().map(|((_, name), _)| (*job, Some(name.clone())))
    };
    let bound = (0..world.jobs.len()).filter(|job| !world.jobs[*job].is_over()).find_map(|job| bound_name(&job));
    if bound.is_some() {
        return bound;
    }
    let job = world.worker.site().drives[drive].job.filter(|job| !world.jobs[*job].is_over())?;
    let name = staff::name_in_job(world, job, drive);
    let is_open = world.jobs[job].state().is_some_and(|state| matches!(state.name(), "Shipping" | "Received" | "Transferring"));
    (is_open && (name.is_some() || world.jobs[job].is_export)).then_some((job, name))
}

fn choose_job(world: &mut World, bay: &str) {
    let Some(drive) = drive_in(world, bay) else { return };
    let Some((job, name)) = may_choose(world, drive) else { return };
    let Some(bay) = world.worker.site().bay_named(bay) else { return };
    if !staff::check_in_to(world, bay, job, name.as_deref()) {
        // It cannot be that one: that shows later.
        staff::take_out_of(world, bay);
    }
}

/// The physical drive in the datacenter that a job has under a name: the one that was checked in so, or one of its parcel.
fn drive_called(world: &World, job: usize, drive_id: &str) -> Option<usize> {
    let uid = world.jobs[job].uid.clone().unwrap_or_default();
    let bound = world.bound_as.get(&(uid, drive_id.to_owned())).copied();
    let of_job: Vec<usize> = {
        let site = world.worker.site();
        if let Some(drive) = bound.filter(|drive| is_here(&site, *drive)) {
            return Some(drive);
        }
        (0..site.drives.len()).filter(|drive| is_here(&site, *drive) && site.drives[*drive].job == Some(job)).collect()
    };
    of_job.into_iter().find(|drive| is_meant(world, *drive, job, Some(drive_id)))
}

fn is_here(site: &Site, drive: usize) -> bool {
    matches!(site.drives[drive].place, Place::Desk | Place::Bay(_))
}

/// Docks the drive of some job that is called so.
fn dock(world: &mut World, drive_id: &str) {
    let has_it = |job: &usize| world.jobs[*job].shown_drives().iter().any(|(id, _)| id.eq_ignore_ascii_case(drive_id));
    let jobs: Vec<usize> = world.living_jobs().into_iter().filter(has_it).collect();
    let found = jobs
        .into_iter()
        .filter(|job| !world.jobs[*job].is_over())
        .find_map(|job| Some((job, drive_called(world, job, drive_id)?)));
    let Some((job, drive)) = found else { return world.note(format!("no drive is here that is called {drive_id}")) };
    let place = world.worker.site().drives[drive].place;
    match place {
        // It is in a bay, and the service does not know it there: an operator says so.
        Place::Bay(bay) if world.is_usable(bay) => {
            staff::check_in_to(world, bay, job, Some(drive_id));
        }
        _ => {
            if let Some(bay) = free_bay(world) {
                staff::dock_in(world, drive, bay);
            }
        }
    }
}

/// A bay for one more drive: an empty one, or one whose drive is not being copied.
fn free_bay(world: &mut World) -> Option<usize> {
    let usable: Vec<usize> = world.usable_bays();
    let site = world.worker.site();
    let empty = usable.iter().copied().find(|bay| site.bays[*bay].drive.is_none());
    let is_copied = |name: &str| site.copies.iter().any(|copy| copy.order.bay == name);
    let idle: Vec<usize> = usable.into_iter().filter(|bay| !is_copied(&site.bays[*bay].name)).collect();
    drop(site);
    if empty.is_some() || idle.is_empty() {
        return empty;
    }
    let bay = world.random.of(&idle);
    staff::take_out_of(world, bay);
    Some(bay)
}

/// Drives that an export may have: of its parcel, or empty ones of ours.
fn empty_drives(world: &World, job: usize) -> Vec<usize> {
    let site = world.worker.site();
    let shown = world.jobs[job].shown_drives();
    let is_taken = |drive: usize| shown.iter().any(|(id, _)| site.drives[drive].is_called(id));
    let fits = |drive: usize| {
        let physical = &site.drives[drive];
        let is_ours = physical.owner.is_none() && physical.is_blank();
        (physical.job == Some(job) || is_ours) && !world.unfit.contains(&(drive, job))
    };
    (0..site.drives.len()).filter(|drive| is_here(&site, *drive) && fits(*drive) && !is_taken(*drive)).collect()
}

/// Docks a drive for an export that wants one.
fn dock_empty_drive(world: &mut World) {
    let is_waiting = |job: &usize| world.jobs[*job].is_export && !world.jobs[*job].is_over();
    let exports: Vec<usize> = world.living_jobs().into_iter().filter(is_waiting).collect();
    for job in exports {
        let Some(drive) = empty_drives(world, job).first().copied() else { continue };
        let place = world.worker.site().drives[drive].place;
        let bay = match place {
            Place::Bay(bay) if world.is_usable(bay) => Some(bay),
            _ => free_bay(world).inspect(|bay| staff::dock_in(world, drive, *bay)),
        };
        if let Some(bay) = bay {
            staff::check_in_to(world, bay, job, None);
        }
    }
}

/// Who has a drive erased has looked at the one that is docked for the job.
fn may_be_erased(world: &mut World, job: &str, drive_id: &str) {
    let uid = world.jobs[world.job_at(job).unwrap_or_default()].uid.clone().unwrap_or_default();
    let bound = world.bound_as.get(&(uid, drive_id.to_owned())).copied();
    let mut site = world.worker.site();
    let docked: Vec<usize> = site.bays.iter().filter_map(|bay| bay.drive).collect();
    for drive in docked {
        site.drives[drive].may_be_erased |= bound == Some(drive) || site.drives[drive].is_called(drive_id);
    }
}
