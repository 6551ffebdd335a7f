//! The transition function: nothing else moves a job.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::edit::{Field, may_edit};
use super::end::CopyEnd;
use super::refusal::Refusal;
use super::state::{DriveState, Job, JobDrive, JobKind, JobState};
use super::timers::{Timer, next_timer};

/// What can happen to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The customer changes fields. What they are is stored elsewhere; here it counts which.
    Change(Vec<Field>),
    /// The customer says that the drives are on their way.
    Ship,
    /// The customer wants it cancelled.
    Cancel,
    /// The customer wants it gone.
    Delete,
    /// A drive came in.
    CheckIn(String),
    /// A drive of an export came in that is not needed, or is unsuitable: it goes back unused.
    CheckInSpare(String),
    /// An operator says that the drive which tells another serial number, or none, is this drive of the job.
    Bind {
        /// The drive of the job.
        id: String,
        /// What the drive itself tells; empty where it tells nothing.
        serial: String,
    },
    /// The blobs of an export were looked up: so many are to be written.
    BlobsFound(usize),
    /// An operator gives up on a drive that has not come. For an export, whose drives have no names before they
    /// arrive: no more of them come.
    NeverReceived(Option<String>),
    /// The copy of a drive begins.
    CopyStarted(String),
    /// The copy of a drive ended, drained where that was asked for.
    CopyEnded(String, CopyEnd),
    /// An operator ends the copy of a drive before it is complete.
    Abandon(String),
    /// An operator wants a drive copied once more, or takes back that its copy was ended.
    Retry {
        /// The drive.
        id: String,
        /// A run of its copy was begun: what it moved is told when the job is cancelled.
        was_begun: bool,
    },
    /// The drive of an export is unsuitable: its blob waits for another drive.
    Release(String),
    /// An operator says that the drive which was checked in as this one was another one.
    UndoCheckIn(String),
    /// An operator takes back that a drive does not come; for an export, that no more of them come.
    UndoNeverReceived {
        /// The drive of an import.
        id: Option<String>,
        /// How many drives of an export were announced.
        announced: usize,
    },
    /// All drives were handed to the carrier.
    ShippedBack,
    /// Time went by.
    Tick,
}

/// What is to be done after a decision. Done at least once: each can be repeated without harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// The copy of this drive is to stop: its token falls.
    StopCopy(String),
    /// The receipts of the job are to be published.
    PublishReceipts,
    /// A drive is done: write its copy logs, and forget its journal.
    PublishLogs(String),
    /// People should look at it: drives are missing.
    AlertOperators,
    /// Somebody is to be told of a state of the job. It comes with a change, and from no decision.
    Notify(Notice),
    /// The job, and everything that is known of it, is to be removed.
    Remove,
}

/// What somebody is to be told of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Who, as the configuration calls them.
    pub to: String,
    /// The state that the job came to.
    pub state: JobState,
    /// When it came there.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// A job as it is now, and what is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The job.
    pub job: Job,
    /// What is to be done, in this order.
    pub effects: Vec<Effect>,
}

/// Decides what an event does to a job.
///
/// | state | customer may | service does |
/// |---|---|---|
/// | Creating | change, ship, cancel, delete | removed after 14 days without a change |
/// | Shipping | change delivery, cancel | after 14 days a missing drive is NeverReceived; after 30 silent days Closed |
/// | Received | cancel | waits for bays |
/// | Transferring | cancel | copies; on a cancel drains |
/// | Packaging | nothing | ships back |
/// | Completed, Closed | delete | removed after 90 days |
///
/// A second cancel changes nothing, wherever the job stands.
///
/// # Errors
/// A [`Refusal`], with the job unchanged.
pub fn decide(job: &Job, event: Event, now: OffsetDateTime) -> Result<Decision, Refusal> {
    let mut next = Next { job: job.clone(), effects: Vec::new(), now };
    match event {
        Event::Change(fields) => next.change(&fields)?,
        Event::Ship => next.ship()?,
        Event::Cancel => next.cancel()?,
        Event::Delete => next.delete()?,
        Event::CheckIn(id) => next.check_in(id)?,
        Event::CheckInSpare(id) => next.check_in_spare(id)?,
        Event::Bind { id, serial } => next.bind(&id, serial)?,
        Event::BlobsFound(count) => next.job.blobs = Some(count),
        Event::NeverReceived(id) => next.never_received(id.as_deref())?,
        Event::CopyStarted(id) => next.copy_started(&id)?,
        Event::CopyEnded(id, end) => next.copy_ended(&id, end)?,
        Event::Abandon(id) => next.abandon(&id)?,
        Event::Retry { id, was_begun } => next.retry(&id, was_begun)?,
        Event::Release(id) => next.release(&id)?,
        Event::UndoCheckIn(id) => next.undo_check_in(&id)?,
        Event::UndoNeverReceived { id, announced } => next.undo_never_received(id.as_deref(), announced)?,
        Event::ShippedBack => next.shipped_back()?,
        Event::Tick => next.tick(),
    }
    next.settle();
    Ok(Decision { job: next.job, effects: next.effects })
}

/// A job on its way through one decision.
pub(super) struct Next {
    pub(super) job: Job,
    effects: Vec<Effect>,
    pub(super) now: OffsetDateTime,
}

impl Next {
    pub(super) fn refuse<T>(&self, action: &'static str) -> Result<T, Refusal> {
        Err(Refusal::NotInThisState { action, state: self.job.state })
    }

    pub(super) fn enter(&mut self, state: JobState) {
        self.job.state = state;
        self.job.entered_at = self.now;
    }

    pub(super) fn drive(&mut self, id: &str, from: &[DriveState], action: &'static str) -> Result<&mut JobDrive, Refusal> {
        let drive = self.job.drives.iter_mut().find(|drive| drive.id == id);
        let drive = drive.ok_or_else(|| Refusal::NoSuchDrive { id: id.to_owned() })?;
        match from.contains(&drive.state) {
            true => Ok(drive),
            false => Err(Refusal::DriveNotInThisState { id: id.to_owned(), action, state: drive.state }),
        }
    }

    fn change(&mut self, fields: &[Field]) -> Result<(), Refusal> {
        let state = self.job.state;
        if let Some(field) = fields.iter().find(|field| !may_edit(state, **field)) {
            return Err(Refusal::FieldNotInThisState { field: field.name(), state });
        }
        self.job.has_return_address |= fields.contains(&Field::ReturnAddress);
        self.job.has_delivery_package |= fields.contains(&Field::DeliveryPackage);
        self.job.changed_at = self.now;
        self.job.heard_of_at = self.now;
        Ok(())
    }

    fn ship(&mut self) -> Result<(), Refusal> {
        match self.job.state {
            // Said once more, it changes nothing.
            JobState::Shipping => return Ok(()),
            JobState::Creating => {}
            _ => return self.refuse("shipped"),
        }
        if !self.job.has_delivery_package {
            return Err(Refusal::ShippingNeeds { missing: Field::DeliveryPackage.name() });
        }
        if !self.job.has_return_address {
            return Err(Refusal::ShippingNeeds { missing: Field::ReturnAddress.name() });
        }
        self.job.changed_at = self.now;
        self.job.heard_of_at = self.now;
        self.enter(JobState::Shipping);
        Ok(())
    }

    fn cancel(&mut self) -> Result<(), Refusal> {
        if self.job.cancel_requested {
            return Ok(());
        }
        if matches!(self.job.state, JobState::Packaging | JobState::Completed | JobState::Closed) {
            return self.refuse("cancelled");
        }
        self.job.cancel_requested = true;
        self.job.changed_at = self.now;
        let copying = self.job.drives.iter().filter(|drive| drive.state == DriveState::Transferring);
        self.effects.extend(copying.map(|drive| Effect::StopCopy(drive.id.clone())));
        if self.job.state == JobState::Creating {
            self.give_up_on_missing_drives();
            self.end();
        }
        Ok(())
    }

    fn delete(&mut self) -> Result<(), Refusal> {
        match self.job.state {
            JobState::Creating | JobState::Completed | JobState::Closed => {
                self.effects.push(Effect::Remove);
                Ok(())
            }
            _ => self.refuse("deleted"),
        }
    }

    fn check_in(&mut self, id: String) -> Result<(), Refusal> {
        if !matches!(self.job.state, JobState::Shipping | JobState::Received | JobState::Transferring) {
            return self.refuse("given drives");
        }
        let known = self.job.drives.iter_mut().find(|drive| drive.id == id);
        match known {
            None if self.job.kind == JobKind::Export => self.job.drives.push(JobDrive::new(id, DriveState::Received)),
            // It is needed after all.
            Some(spare) if spare.is_spare && spare.state == DriveState::CompletedMoreInfo => {
                spare.state = DriveState::Received;
                spare.is_spare = false;
            }
            _ => {
                let drive = self.drive(&id, &[DriveState::Specified, DriveState::NeverReceived], "checked in")?;
                drive.state = DriveState::Received;
                drive.had_error = false;
            }
        }
        self.job.heard_of_at = self.now;
        Ok(())
    }

    fn check_in_spare(&mut self, id: String) -> Result<(), Refusal> {
        let is_open =
            matches!(self.job.state, JobState::Shipping | JobState::Received | JobState::Transferring | JobState::Packaging);
        if !is_open || self.job.kind != JobKind::Export {
            return self.refuse("given spare drives");
        }
        if let Some(known) = self.job.drive(&id) {
            return Err(Refusal::DriveNotInThisState { id, action: "checked in", state: known.state });
        }
        let spare = JobDrive { is_spare: true, ..JobDrive::new(id, DriveState::CompletedMoreInfo) };
        self.job.drives.push(spare);
        self.job.heard_of_at = self.now;
        Ok(())
    }

    fn bind(&mut self, id: &str, serial: String) -> Result<(), Refusal> {
        let here = [DriveState::Received, DriveState::Transferring];
        self.drive(id, &here, "bound to a docked drive")?.bound_serial = Some(serial);
        Ok(())
    }

    fn never_received(&mut self, id: Option<&str>) -> Result<(), Refusal> {
        match self.job.kind {
            JobKind::Export => {
                let is_waiting = matches!(self.job.state, JobState::Shipping | JobState::Received | JobState::Transferring);
                if !is_waiting {
                    return self.refuse("without a drive");
                }
                self.job.expected_drives = self.job.drives.len();
            }
            JobKind::Import => {
                if self.job.state != JobState::Shipping {
                    return self.refuse("without a drive");
                }
                let drive = self.drive(id.unwrap_or_default(), &[DriveState::Specified], "abandoned")?;
                drive.state = DriveState::NeverReceived;
                drive.had_error = true;
            }
        }
        Ok(())
    }

    fn copy_started(&mut self, id: &str) -> Result<(), Refusal> {
        if self.job.cancel_requested {
            return Err(Refusal::Cancelled);
        }
        if !matches!(self.job.state, JobState::Received | JobState::Transferring) {
            return self.refuse("copied");
        }
        self.drive(id, &[DriveState::Received], "copied")?.state = DriveState::Transferring;
        if self.job.state == JobState::Received {
            self.enter(JobState::Transferring);
        }
        Ok(())
    }

    fn copy_ended(&mut self, id: &str, end: CopyEnd) -> Result<(), Refusal> {
        if self.job.state != JobState::Transferring {
            return self.refuse("copied");
        }
        let drive = self.drive(id, &[DriveState::Transferring], "done")?;
        drive.state = if end == CopyEnd::Complete { DriveState::Completed } else { DriveState::CompletedMoreInfo };
        drive.had_error = matches!(end, CopyEnd::WithErrors | CopyEnd::Failed);
        self.effects.push(Effect::PublishLogs(id.to_owned()));
        Ok(())
    }

    fn abandon(&mut self, id: &str) -> Result<(), Refusal> {
        // The cancel ends the copy, with a receipt.
        if self.job.cancel_requested {
            return Err(Refusal::Cancelled);
        }
        if !matches!(self.job.state, JobState::Shipping | JobState::Received | JobState::Transferring) {
            return self.refuse("ended before it is complete");
        }
        let drive = self.drive(id, &[DriveState::Received, DriveState::Transferring], "ended before it is complete")?;
        drive.state = DriveState::CompletedMoreInfo;
        drive.had_error = true;
        self.effects.push(Effect::PublishLogs(id.to_owned()));
        Ok(())
    }

    fn shipped_back(&mut self) -> Result<(), Refusal> {
        if self.job.state != JobState::Packaging {
            return self.refuse("shipped back");
        }
        for drive in self.job.drives.iter_mut().filter(|drive| !drive.state.is_final()) {
            drive.state = DriveState::ShippedBack;
        }
        self.effects.push(Effect::PublishReceipts);
        self.end();
        Ok(())
    }

    /// Applies everything that is due.
    fn tick(&mut self) {
        while let Some((_, timer)) = next_timer(&self.job).filter(|(due, _)| *due <= self.now) {
            match timer {
                Timer::RemoveUnshipped | Timer::RemoveFinished => {
                    self.effects.push(Effect::Remove);
                    return;
                }
                Timer::DrivesMissing => {
                    self.give_up_on_missing_drives();
                    self.effects.push(Effect::AlertOperators);
                }
                Timer::ShippingSilent => {
                    self.give_up_on_missing_drives();
                    self.job.went_silent = true;
                    self.effects.push(Effect::AlertOperators);
                    match self.job.has_drives_here() {
                        // What came has to be sent back.
                        true => self.enter(JobState::Packaging),
                        false => self.end(),
                    }
                }
            }
            self.settle();
        }
    }

    fn give_up_on_missing_drives(&mut self) {
        if self.job.kind == JobKind::Export && !self.job.drives.is_empty() {
            self.job.expected_drives = self.job.drives.len();
        }
        for drive in self.job.drives.iter_mut().filter(|drive| drive.state == DriveState::Specified) {
            drive.state = DriveState::NeverReceived;
            drive.had_error = true;
        }
    }

    /// The steps that follow by themselves from how things stand.
    fn settle(&mut self) {
        use DriveState::{Received, Transferring};
        if self.job.state == JobState::Shipping {
            let all_in = !self.job.awaits_drives();
            if all_in && self.job.has_drives_here() {
                self.enter(JobState::Received);
            } else if all_in && self.job.cancel_requested {
                // Nothing came, and nothing is waited for.
                self.end();
            }
        }
        // Nothing of a cancelled job is begun, and nothing of it waits to be.
        let waits = (self.job.any_drive(&[Received]) || self.waits_for_another_drive()) && !self.job.cancel_requested;
        let is_copying = self.job.any_drive(&[Transferring]);
        let was_received = matches!(self.job.state, JobState::Received | JobState::Transferring);
        if was_received && !waits && !is_copying {
            self.enter(JobState::Packaging);
            self.effects.push(Effect::PublishReceipts);
        }
    }

    /// An export whose drive was released.
    fn waits_for_another_drive(&self) -> bool {
        self.job.kind == JobKind::Export && self.job.awaits_drives()
    }

    fn end(&mut self) {
        let state = if self.job.had_error() && !self.job.cancel_requested { JobState::Closed } else { JobState::Completed };
        self.enter(state);
    }
}
