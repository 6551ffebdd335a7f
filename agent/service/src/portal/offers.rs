//! What may be done now, and by whom: the state machine itself is asked, so that no page offers what would be refused.

use protocol::job::{DriveState, Event, Field, JobKind, JobState, decide, may_correct, may_edit};
use protocol::station::{Attention, AttentionKind, Bay};

use super::links::{bay_link, drive_link, job_link};
use super::viewer::Viewer;
use crate::scheduler::waits_for_drives;
use crate::state::ServiceState;
use crate::store::StoredJob;

/// Something that may be done now: a link to a page that asks, or a form that does it.
pub(super) struct Offer {
    pub(super) name: &'static str,
    pub(super) target: String,
    pub(super) is_link: bool,
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Offer {
    fn page(name: &'static str, target: String) -> Self {
        Offer { name, target, is_link: true, fields: Vec::new() }
    }

    fn form(name: &'static str, target: String, fields: Vec<(&'static str, String)>) -> Self {
        Offer { name, target, is_link: false, fields }
    }
}

/// What the state machine allows this viewer now.
pub(super) fn of_job(state: &ServiceState, viewer: &Viewer, job: &StoredJob) -> Vec<Offer> {
    let link = job_link(&job.key);
    let may = |event: Event| {
        // What shipping needs is asked for on its page.
        let mut machine = job.machine.clone();
        (machine.has_delivery_package, machine.has_return_address) = (true, true);
        decide(&machine, event, state.scheduler.now()).is_ok()
    };
    let page = |name, path: &str| Offer::page(name, format!("{link}/{path}"));
    let mut offers = Vec::new();
    if job.machine.state == JobState::Creating && may(Event::Ship) {
        offers.push(page("Ship", "ship"));
    }
    if viewer.is_operator && waits_for_drives(job) {
        offers.push(check_in("Check in a drive", None, Some(&job.uid)));
    }
    if !job.machine.cancel_requested && may(Event::Cancel) {
        offers.push(page("Cancel", "cancel"));
    }
    if may(Event::Delete) {
        offers.push(page("Delete", "delete"));
    }
    if viewer.is_operator && may(Event::ShippedBack) {
        offers.push(page("Send the drives back", "shipBack"));
    }
    offers
}

/// What may be done about a drive of a job.
pub(super) fn of_drive(state: &ServiceState, viewer: &Viewer, job: &StoredJob, id: &str) -> Vec<Offer> {
    let mut offers = if viewer.is_operator { of_drive_for_operators(state, job, id) } else { Vec::new() };
    let is_editable = job.machine.kind == JobKind::Import && may_edit(job.machine.state, Field::DriveList);
    if is_editable && job.machine.drive(id).is_some_and(|drive| may_correct(drive.state)) {
        offers.push(Offer::page("Correct the serial number", format!("{}/correct", drive_link(&job.key, id))));
    }
    offers
}

fn of_drive_for_operators(state: &ServiceState, job: &StoredJob, id: &str) -> Vec<Offer> {
    let may = |event: Event| decide(&job.machine, event, state.scheduler.now()).is_ok();
    let record = job.copies.get(id);
    let drive_state = job.machine.drive(id).map(|drive| drive.state);
    let waits = matches!(drive_state, Some(DriveState::Received | DriveState::Transferring)) && !job.machine.cancel_requested;
    let is_paused = record.is_some_and(|record| record.is_paused);
    let is_held = record.is_some_and(|record| record.hold.is_some());
    let is_running = state.scheduler.is_running(&job.uid, id);
    let form =
        |name, action: &str| Offer::form(name, format!("{}/do/{action}", job_link(&job.key)), vec![("driveId", id.to_owned())]);
    let offers = [
        (may(Event::CheckIn(id.to_owned())), form("Check in", "checkIn")),
        (may(Event::NeverReceived(id.to_owned())), form("Never came", "neverReceived")),
        (waits && !is_paused && !is_held, form("Pause", "pause")),
        (waits && is_paused, form("Resume", "resume")),
        (
            (waits && is_held) || may(Event::Retry(id.to_owned())),
            Offer::page("Try again", format!("{}/retry", drive_link(&job.key, id))),
        ),
        (drive_state == Some(DriveState::Transferring) && (is_held || is_paused) && !is_running, form("Give up", "giveUp")),
    ];
    offers.into_iter().filter(|(may, _)| *may).map(|(_, offer)| offer).collect()
}

/// What operators may do about a bay by hand.
pub(super) fn of_bay(bay: &Bay) -> Option<Offer> {
    let is_running = bay.work.as_ref().is_some_and(|work| work.progress.is_some());
    match (bay.is_watched, &bay.drive) {
        (true, _) => None,
        (false, None) => Some(Offer::page("Dock a drive", format!("{}/dock", bay_link(&bay.name)))),
        (false, Some(_)) if is_running => None,
        (false, Some(_)) => Some(Offer::form("Take it out", format!("{}/do/undock", bay_link(&bay.name)), Vec::new())),
    }
}

/// What an operator may do about something that waits.
pub(super) fn of_attention(one: &Attention, job: Option<&StoredJob>) -> Vec<Offer> {
    let page = |name, path: &str| job.map(|job| Offer::page(name, format!("{}{path}", job_link(&job.key))));
    let offers = match one.kind {
        AttentionKind::CopyHeld => {
            let held = job.zip(one.drive_id.as_ref());
            let retry = held.map(|(job, id)| Offer::page("Try again", format!("{}/retry", drive_link(&job.key, id))));
            let give_up = held.map(|(job, id)| {
                Offer::form("Give up", format!("{}/do/giveUp", job_link(&job.key)), vec![("driveId", id.clone())])
            });
            [retry, give_up]
        }
        AttentionKind::UnknownDrive | AttentionKind::AmbiguousDrive => {
            [one.bay.as_deref().map(|bay| check_in("Check it in", Some(bay), None)), None]
        }
        AttentionKind::NeedsEmptyDrive => [job.map(|job| check_in("Check one in", None, Some(&job.uid))), None],
        AttentionKind::ShipBack => [page("Send back", "/shipBack"), None],
        AttentionKind::JobNotShipped | AttentionKind::NotDocked | AttentionKind::DrivesMissing => [page("Look at it", ""), None],
    };
    offers.into_iter().flatten().collect()
}

fn check_in(name: &'static str, bay: Option<&str>, job_uid: Option<&str>) -> Offer {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(bay.map(|bay| ("bay", bay)));
    query.extend_pairs(job_uid.map(|uid| ("job", uid)));
    Offer::page(name, format!("/portal/check-in?{}", query.finish()))
}
