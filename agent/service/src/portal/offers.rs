//! What may be done now, and by whom: the state machine itself is asked, so that no page offers what would be refused.

use protocol::job::{CopyRecord, CopyState, DriveState, Event, Field, JobKind, JobState, decide, may_correct, may_edit};
use protocol::station::{Action, Bay, short_job_name};

use super::docking::is_free;
use super::links::{dock_link, drive_link, job_link, key_of_path, revoke_link, take_out_link};
use super::viewer::Viewer;
use crate::state::ServiceState;
use crate::store::StoredJob;

/// Something that may be done now: a link to a page that asks, or a form that does it.
pub(super) struct Offer {
    pub(super) name: String,
    pub(super) target: String,
    pub(super) is_link: bool,
    /// It ends or removes something: the eye should not fall on it first.
    pub(super) is_quiet: bool,
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Offer {
    fn page(name: &str, target: String) -> Self {
        Offer { name: name.to_owned(), target, is_link: true, is_quiet: false, fields: Vec::new() }
    }

    fn quiet(self) -> Self {
        Offer { is_quiet: true, ..self }
    }

    fn form(name: &str, target: String, fields: Vec<(&'static str, String)>) -> Self {
        Offer { name: name.to_owned(), target, is_link: false, is_quiet: false, fields }
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
        offers.push(page("Change", "edit"));
    }
    if job.machine.state == JobState::Shipping && may_edit(job.machine.state, Field::DeliveryPackage) {
        offers.push(page("Correct the parcel", "ship").quiet());
    }
    if viewer.is_operator && job.machine.takes_drives() {
        offers.push(check_in("Check in a drive", None, Some(&job.key.path()), None));
    }
    if viewer.is_operator && job.machine.kind == JobKind::Export && may(Event::NeverReceived(None)) && job.machine.awaits_drives()
    {
        offers.extend(of_action(&Action::NeverReceived { job: job.key.path(), drive_id: None }));
    }
    let undo = Event::UndoNeverReceived { id: None, announced: job.announced_drives() };
    if viewer.is_operator && job.machine.kind == JobKind::Export && may(undo) {
        offers.extend(of_action(&Action::UndoNeverReceived { job: job.key.path(), drive_id: None }));
    }
    if viewer.is_operator && may(Event::ShippedBack) {
        offers.push(page("Send the drives back", "shipBack"));
    }
    match goes_back(job.machine.state) {
        false => offers.push(page("Packing slip and label", "slip").quiet()),
        // The parcel back is staff's.
        true if viewer.is_operator => offers.push(page("Return slip and label", "slip").quiet()),
        true => {}
    }
    if !job.machine.cancel_requested && may(Event::Cancel) {
        offers.push(page("Cancel", "cancel").quiet());
    }
    if may(Event::Delete) {
        offers.push(page("Delete", "delete").quiet());
    }
    offers
}

/// Whether the next parcel of a job is the one back to its customer.
pub(super) fn goes_back(state: JobState) -> bool {
    matches!(state, JobState::Packaging | JobState::Completed | JobState::Closed)
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
    let drive_state = job.machine.drive(id).map(|drive| drive.state);
    let waits = drive_state.is_some_and(DriveState::is_here) && !job.machine.cancel_requested;
    let hand = job.in_hand();
    let copy = hand.copy_state(id);
    let is_waiting = matches!(copy, CopyState::Waiting | CopyState::Open);
    let is_running = state.scheduler.is_running(&job.uid, id);
    let is_abandoned = job.copies.get(id).is_some_and(|record| record.is_abandoned);
    let own = || (job.key.path(), id.to_owned());
    let action = |make: fn(String, String) -> Action| {
        let (job, drive_id) = own();
        of_action(&make(job, drive_id))
    };
    let form =
        |name, action: &str| Offer::form(name, format!("{}/do/{action}", job_link(&job.key)), vec![("driveId", id.to_owned())]);
    let is_import = job.machine.kind == JobKind::Import;
    let never = Event::NeverReceived(Some(id.to_owned()));
    let undo_never = Event::UndoNeverReceived { id: Some(id.to_owned()), announced: 0 };
    let was_begun = job.copies.get(id).is_some_and(CopyRecord::was_begun);
    let retry = || Event::Retry { id: id.to_owned(), was_begun };
    let offers = [
        (may(Event::CheckIn(id.to_owned())), Some(form("Check in", "checkIn"))),
        (is_import && may(never), action(|job, drive_id| Action::NeverReceived { job, drive_id: Some(drive_id) })),
        (is_import && may(undo_never), action(|job, drive_id| Action::UndoNeverReceived { job, drive_id: Some(drive_id) })),
        (waits && is_waiting, Some(form("Pause", "pause"))),
        (waits && *copy == CopyState::Paused, Some(form("Resume", "resume"))),
        (is_abandoned && may(retry()), action(|job, drive_id| Action::UndoGiveUp { job, drive_id })),
        (
            (waits && matches!(copy, CopyState::Held(_))) || may(retry()),
            Some(Offer::page("Try again", format!("{}/retry", drive_link(&job.key, id)))),
        ),
        (
            !is_running && job.machine.kind == JobKind::Export && waits && may(Event::Release(id.to_owned())),
            action(|job, drive_id| Action::Release { job, drive_id }),
        ),
        (!is_running && waits && may(Event::Abandon(id.to_owned())), action(|job, drive_id| Action::GiveUp { job, drive_id })),
        (
            !is_running && may(Event::UndoCheckIn(id.to_owned())),
            match was_begun {
                true => action(|job, drive_id| Action::UndoCheckIn { job, drive_id }),
                false => Some(Offer::page("It is another drive", format!("{}/wrong-drive", drive_link(&job.key, id)))),
            },
        ),
    ];
    offers.into_iter().filter(|(may, _)| *may).filter_map(|(_, offer)| offer).collect()
}

/// What operators may do about a bay by hand.
pub(super) fn of_bay(bay: &Bay) -> Option<Offer> {
    let is_running = bay.work.as_ref().is_some_and(|work| work.progress.is_some());
    match (bay.is_watched, &bay.drive) {
        (true, _) => None,
        (false, None) => is_free(bay).then(|| Offer::page("Dock a drive", dock_link("bay", &bay.name))),
        (false, Some(_)) if is_running => None,
        (false, Some(_)) => Some(take_out(&bay.name)),
    }
}

/// An action that helps where something waits; `None` for what is done by hand alone.
pub(super) fn of_action(action: &Action) -> Option<Offer> {
    let key = |job: &str| key_of_path(job);
    let of_drive = |job: &str, id: &str, name: &str, more: &[(&'static str, String)]| {
        let fields = [&[("driveId", id.to_owned())], more].concat();
        Some(Offer::form(action.label(), format!("{}/do/{name}", job_link(&key(job)?)), fields))
    };
    match action {
        Action::CheckIn { job, drive_id: Some(id), bay: None } => of_drive(job, id, "checkIn", &[]),
        Action::CheckIn { job, drive_id, bay } => {
            let label = format!("{} for {}", action.label(), short_job_name(job));
            let page = check_in("", bay.as_deref(), Some(job), drive_id.as_deref());
            Some(Offer { name: label, ..page })
        }
        Action::ChooseJob { bay } => Some(check_in(action.label(), Some(bay), None, None)),
        Action::NeverReceived { job, drive_id } => {
            let key = key(job)?;
            let about = drive_id.as_deref().map_or_else(|| job_link(&key), |id| drive_link(&key, id));
            Some(Offer::page(action.label(), format!("{about}/never-received")).quiet())
        }
        Action::UndoNeverReceived { job, drive_id } => {
            of_drive(job, drive_id.as_deref().unwrap_or_default(), "undoNeverReceived", &[])
        }
        Action::Retry { job, drive_id, options } if options.erase => {
            Some(Offer::page(action.label(), format!("{}/retry", drive_link(&key(job)?, drive_id))))
        }
        Action::Retry { job, drive_id, options } => {
            let flags = [("restart", options.restart), ("overwrite", options.overwrite), ("rescue", options.rescue)];
            let flags: Vec<_> =
                flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (name, "yes".to_owned())).collect();
            of_drive(job, drive_id, "retry", &flags)
        }
        Action::Resume { job, drive_id } => of_drive(job, drive_id, "resume", &[]),
        Action::GiveUp { job, drive_id } => {
            Some(Offer::page(action.label(), format!("{}/give-up", drive_link(&key(job)?, drive_id))).quiet())
        }
        Action::UndoCheckIn { job, drive_id } => {
            Some(Offer::page(action.label(), format!("{}/wrong-drive", drive_link(&key(job)?, drive_id))))
        }
        Action::UndoGiveUp { job, drive_id } => of_drive(job, drive_id, "undoGiveUp", &[]),
        Action::Release { job, drive_id } => of_drive(job, drive_id, "release", &[]),
        Action::ShipBack { job } => Some(Offer::page(action.label(), format!("{}/shipBack", job_link(&key(job)?)))),
        Action::TakeOut { bay, is_watched: false } => Some(take_out(bay)),
        Action::AskCustomer { job } => Some(Offer::page(action.label(), job_link(&key(job)?))),
        Action::TakeStationOff { station } => Some(Offer::page(action.label(), revoke_link(station)).quiet()),
        Action::Dock { drive_id } => Some(Offer::page(action.label(), dock_link("for", drive_id.as_deref().unwrap_or_default()))),
        Action::TakeOut { is_watched: true, .. } => None,
    }
}

fn take_out(bay: &str) -> Offer {
    Offer::form("Take it out", take_out_link(bay), Vec::new())
}

/// Checks a drive of an import in that came and is in no bay, and leads back to what was scanned: the next one is in hand.
pub(super) fn check_in_scanned(job: &StoredJob, id: &str, code: &str) -> Offer {
    let fields = vec![("driveId", id.to_owned()), ("code", code.to_owned())];
    Offer::form("Check it in", format!("{}/do/checkIn", job_link(&job.key)), fields)
}

/// The page that checks in a drive, with what is known filled in. A job is named by its path.
pub(super) fn check_in(name: &str, bay: Option<&str>, job: Option<&str>, drive_id: Option<&str>) -> Offer {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let known = [("bay", bay), ("job", job), ("drive", drive_id)];
    query.extend_pairs(known.into_iter().filter_map(|(name, value)| Some((name, value?))));
    Offer::page(name, format!("/portal/check-in?{}", query.finish()))
}
