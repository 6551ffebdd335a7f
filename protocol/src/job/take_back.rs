//! Decisions about what an operator did before: copying a drive again, another drive for a blob, and taking back what was
//! said of a drive.

use super::decide::Next;
use super::refusal::Refusal;
use super::state::{DriveState, JobKind, JobState};
use super::timers::NEVER_RECEIVED_AFTER;

/// Most serial numbers of wrong drives that are kept of one drive.
pub(super) const WRONG_SERIALS_MAX: usize = 32;

impl Next {
    /// The job is where copies may begin again.
    fn reopen(&mut self, action: &'static str) -> Result<(), Refusal> {
        if self.job.cancel_requested {
            return Err(Refusal::Cancelled);
        }
        match self.job.state {
            JobState::Shipping | JobState::Received | JobState::Transferring => Ok(()),
            JobState::Packaging => {
                self.enter(JobState::Transferring);
                Ok(())
            }
            JobState::Creating | JobState::Completed | JobState::Closed => self.refuse(action),
        }
    }

    pub(super) fn retry(&mut self, id: &str, was_begun: bool) -> Result<(), Refusal> {
        let drive = self.drive(id, &[DriveState::CompletedMoreInfo], "copied again")?;
        if drive.is_spare {
            let state = drive.state;
            return Err(Refusal::DriveNotInThisState { id: id.to_owned(), action: "copied: it has no blob", state });
        }
        drive.had_error = false;
        drive.state = DriveState::Received;
        self.reopen("copied again")?;
        if was_begun && self.job.state == JobState::Transferring {
            // As one that was interrupted, it is stopped and accounted for when the job is cancelled.
            self.drive(id, &[DriveState::Received], "copied again")?.state = DriveState::Transferring;
        }
        Ok(())
    }

    pub(super) fn release(&mut self, id: &str) -> Result<(), Refusal> {
        if self.job.kind == JobKind::Import {
            return self.refuse("released from a drive: only an export is");
        }
        let here = [DriveState::Received, DriveState::Transferring, DriveState::CompletedMoreInfo];
        let drive = self.drive(id, &here, "released")?;
        if drive.is_spare {
            let state = drive.state;
            let action = "released: it has no blob";
            return Err(Refusal::DriveNotInThisState { id: id.to_owned(), action, state });
        }
        drive.is_spare = true;
        drive.state = DriveState::CompletedMoreInfo;
        drive.had_error = false;
        // Another drive is to come for the blob.
        self.job.expected_drives = self.job.expected_drives.max(self.job.drives.len() + 1);
        self.reopen("released from a drive")
    }

    /// The drive that was checked in as this one was another: this one waits to be copied, and its serial number does not
    /// say any more which drive it is, where the wrong one told it too.
    pub(super) fn undo_check_in(&mut self, id: &str) -> Result<(), Refusal> {
        const ACTION: &str = "said to be another one";
        let is_import = self.job.kind == JobKind::Import;
        let is_shipping = self.job.state == JobState::Shipping;
        let copied = [DriveState::Received, DriveState::Transferring, DriveState::Completed, DriveState::CompletedMoreInfo];
        let drive = self.drive(id, &copied, ACTION)?;
        if drive.is_spare {
            let state = drive.state;
            return Err(Refusal::DriveNotInThisState {
                id: id.to_owned(),
                action: "said to be another one: it has no blob",
                state,
            });
        }
        // The one that is meant may be on its way while others are. Later it counts as one that is here.
        drive.state = if is_import && is_shipping { DriveState::Specified } else { DriveState::Received };
        drive.had_error = false;
        let serial = drive.bound_serial.take().unwrap_or_else(|| drive.id.clone());
        drive.wrong_serials.retain(|wrong| !wrong.eq_ignore_ascii_case(&serial));
        drive.wrong_serials.push(serial);
        let surplus = drive.wrong_serials.len().saturating_sub(WRONG_SERIALS_MAX);
        drive.wrong_serials.drain(..surplus);
        self.reopen(ACTION)
    }

    /// A drive that was said not to come is waited for again; for an export, as many as were announced.
    pub(super) fn undo_never_received(&mut self, id: Option<&str>, announced: usize) -> Result<(), Refusal> {
        let is_late = self.now - self.job.entered_at >= NEVER_RECEIVED_AFTER;
        match self.job.state {
            JobState::Shipping if !is_late => {}
            JobState::Shipping | JobState::Received | JobState::Transferring => return Err(Refusal::WaitIsOver),
            _ => return self.refuse("made to wait for a drive again"),
        }
        match self.job.kind {
            JobKind::Export if announced <= self.job.expected_drives => return self.refuse("made to wait for more drives"),
            JobKind::Export => self.job.expected_drives = announced,
            JobKind::Import => {
                let drive = self.drive(id.unwrap_or_default(), &[DriveState::NeverReceived], "waited for again")?;
                drive.state = DriveState::Specified;
                drive.had_error = false;
            }
        }
        Ok(())
    }
}
