//! What customers do, well or badly.

use std::time::Duration;

use serde_json::{Value, json};

use protocol::job::BlobName;

use crate::blobs::{Blob, address as address_of};
use crate::life::{IMPORTS, LOCATION, account, subscription};
use crate::site::{Piece, Place};
use crate::world::{Job, World};

/// Drives of one job at most.
const DRIVES_MAX: usize = 2;

const DAY: Duration = Duration::from_secs(86_400);

fn address() -> Value {
    json!({
        "recipientName": "Someone", "streetAddress1": "Street 1", "city": "Town", "stateOrProvince": "WA",
        "postalCode": "98052", "countryOrRegion": "USA", "phone": "4250000000", "email": "someone@example.com",
    })
}

/// Puts a new job.
pub fn create(world: &mut World) {
    let customer = world.random.index(world.customers);
    let drives = drives_at_home(world, customer);
    let is_export = world.random.percent(25);
    if drives.is_empty() && !is_export && !world.has_thieves {
        return;
    }
    let count = (1 + world.random.index(DRIVES_MAX)).min(drives.len());
    let mark = world.random.number();
    let job = Job {
        customer,
        name: format!("job-{}-{mark:016x}", world.jobs.len()),
        tracking: format!("PARCEL{mark:016x}"),
        is_export,
        drives: drives[..count].to_vec(),
        typed: Vec::new(),
        uid: None,
        done_before_cancel: Vec::new(),
        cancelled_at: None,
        seen: Value::Null,
        is_deleted: false,
        is_gone: false,
        is_forgotten: false,
    };
    world.jobs.push(job);
    let number = world.jobs.len() - 1;
    put(world, number);
    // Some send their drives before they say so: then another customer may say it first.
    let share = if world.has_thieves { 45 } else { 15 };
    if world.random.percent(share) {
        send(world, number);
    }
}

/// Puts a job that is there once more.
pub fn put_again(world: &mut World) {
    let living = world.living_jobs();
    if !living.is_empty() {
        let job = world.random.of(&living);
        put(world, job);
    }
}

fn drives_at_home(world: &mut World, customer: usize) -> Vec<usize> {
    let site = world.worker.site();
    let is_free = |drive: &usize| {
        let physical = &site.drives[*drive];
        let is_meant = |job: &Job| !job.is_over() && job.drives.contains(drive);
        physical.owner == Some(customer) && physical.place == Place::Home && !world.jobs.iter().any(is_meant)
    };
    (0..site.drives.len()).filter(is_free).collect()
}

fn put(world: &mut World, number: usize) {
    let Job { customer, is_export, drives, .. } = world.jobs[number].clone();
    let mut properties = json!({
        "storageAccountId": format!("/subscriptions/{}/storageAccounts/{}", subscription(customer), account(customer)),
        "jobType": if is_export { "Export" } else { "Import" },
    });
    let typed = if is_export { Vec::new() } else { type_names(world, customer, &drives) };
    if is_export {
        let count = 1 + world.random.index(2);
        let list: Vec<String> = (0..count).map(|blob| format!("/uploads/blob-{blob}")).collect();
        properties["export"] = json!({ "blobList": { "blobPath": list } });
    } else {
        properties["driveList"] = typed.iter().map(|name| json!({ "driveId": name })).collect();
    }
    let path = format!("{}?api-version=2021-01-01", world.jobs[number].path());
    let body = json!({ "location": LOCATION, "properties": properties });
    let what = format!("customer {customer} puts job {number} ({}, drives {drives:?} as {typed:?})", properties["jobType"]);
    let is_done = world.ask(Some(customer), "PUT", &path, &body, &what);
    // One that was not put changes nothing, and is to be looked for all the same.
    world.looked_at = 0;
    if is_done {
        world.jobs[number].typed.extend(typed);
    }
}

/// The serial number of another customer's drive: best of one that is on its way, or here.
fn stolen_name(world: &mut World, customer: usize) -> Option<String> {
    let drives = world.worker.site().drives.clone();
    let others: Vec<_> = drives.into_iter().filter(|drive| drive.owner.is_some_and(|owner| owner != customer)).collect();
    let near: Vec<_> = others.iter().filter(|drive| drive.place != Place::Home).cloned().collect();
    let candidates = if near.is_empty() { others } else { near };
    let drive = (!candidates.is_empty()).then(|| world.random.of(&candidates))?;
    let serial = drive.shown_serial().filter(|_| world.random.percent(50)).unwrap_or(&drive.serial).to_owned();
    Some(if world.random.percent(50) { serial.to_lowercase() } else { serial })
}

/// The names that the customer writes for drives: mostly what they say, sometimes with a mistake, sometimes another's.
fn type_names(world: &mut World, customer: usize, drives: &[usize]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    if world.has_thieves && (drives.is_empty() || world.random.percent(40)) {
        names.extend(stolen_name(world, customer));
    }
    for drive in drives {
        let physical = world.worker.site().drives[*drive].clone();
        let name = match world.random.below(100) {
            0..6 => format!("{}X", physical.serial),
            6..14 => stolen_name(world, customer).unwrap_or_else(|| physical.serial.clone()),
            14..40 => physical.shown_serial().unwrap_or(&physical.serial).to_owned(),
            _ => physical.serial.clone(),
        };
        if !names.iter().any(|other| other.eq_ignore_ascii_case(&name)) {
            names.push(name);
        }
    }
    names
}

fn one_of_own(world: &mut World) -> Option<usize> {
    let living = world.living_jobs();
    (!living.is_empty()).then(|| world.random.of(&living))
}

/// Says that a job's drives are on their way, and mostly sends them.
pub fn ship(world: &mut World) {
    let Some(number) = one_of_own(world) else { return };
    let Job { customer, drives, tracking, is_export, .. } = world.jobs[number].clone();
    let spare = usize::from(is_export && world.random.percent(20));
    let package = json!({ "carrierName": "FedEx", "trackingNumber": tracking, "driveCount": (drives.len() + spare).max(1) });
    let properties = json!({ "state": "Shipping", "deliveryPackage": package, "returnAddress": address() });
    let is_shipped = patch(world, number, properties, &format!("customer {customer} ships job {number}"));
    // Some send their drives and forget to say so.
    if is_shipped || world.random.percent(20) {
        send(world, number);
    }
}

fn send(world: &mut World, number: usize) {
    for drive in world.jobs[number].drives.clone() {
        let is_lost = world.random.percent(6);
        let days = if world.random.percent(15) { 10 + world.random.below(20) } else { 1 + world.random.below(4) };
        let arrives = world.worker.clock.elapsed() + DAY * u32::try_from(days).unwrap_or_default();
        let mut site = world.worker.site();
        if site.drives[drive].place == Place::Home && !is_lost {
            site.drives[drive].place = Place::Parcel(arrives);
            site.drives[drive].job = Some(number);
        }
    }
}

fn patch(world: &mut World, number: usize, properties: Value, what: &str) -> bool {
    let path = format!("{}?api-version=2021-01-01", world.jobs[number].path());
    let customer = world.jobs[number].customer;
    world.ask(Some(customer), "PATCH", &path, &json!({ "properties": properties }), what)
}

/// Changes the delivery of a job that is on its way.
pub fn change_delivery(world: &mut World) {
    let Some(number) = one_of_own(world) else { return };
    let Job { drives, tracking, .. } = world.jobs[number].clone();
    let package = json!({ "carrierName": "FedEx", "trackingNumber": tracking, "driveCount": drives.len().max(1) });
    patch(world, number, json!({ "deliveryPackage": package }), &format!("the delivery of job {number} is changed"));
}

/// Puts a blob of their own where an import is to go.
pub fn upload(world: &mut World) {
    let Some(number) = one_of_own(world) else { return };
    let Job { customer, name, typed, is_export, .. } = world.jobs[number].clone();
    let Some(drive) = typed.first().filter(|_| !is_export) else { return };
    let place = BlobName { container: IMPORTS.to_owned(), name: format!("{name}/{drive}.img") };
    let address = address_of(&account(customer), &place);
    let pieces = vec![Piece::Blob(customer, 0)];
    {
        let mut site = world.worker.site();
        if site.blobs.blobs.contains_key(&address) {
            return;
        }
        site.blobs.blobs.insert(address, Blob { pieces, transfer: String::new() });
    }
    world.note(format!("customer {customer} puts a blob where drive {drive} of job {number} is to go"));
}

pub fn cancel(world: &mut World) {
    if let Some(number) = one_of_own(world) {
        cancel_job(world, number);
    }
}

pub fn cancel_job(world: &mut World, number: usize) {
    patch(world, number, json!({ "cancelRequested": true }), &format!("job {number} is cancelled"));
}

pub fn delete(world: &mut World) {
    let Some(number) = one_of_own(world) else { return };
    let path = format!("{}?api-version=2021-01-01", world.jobs[number].path());
    let customer = world.jobs[number].customer;
    let is_done = world.ask(Some(customer), "DELETE", &path, &Value::Null, &format!("job {number} is deleted"));
    world.jobs[number].is_deleted |= is_done;
}
