//! What a job is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::result::Direction;

/// Which way the data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum JobKind {
    /// From drives into blobs.
    Import,
    /// From blobs onto drives.
    Export,
}

impl JobKind {
    /// Its name in the REST API and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            JobKind::Import => "Import",
            JobKind::Export => "Export",
        }
    }

    /// Imports read drives, exports write them.
    pub const fn direction(self) -> Direction {
        match self {
            JobKind::Import => Direction::Import,
            JobKind::Export => Direction::Export,
        }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A text that is not the name of a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a state of a job")]
pub struct UnknownJobState(String);

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum JobState {
    /// The customer is putting it together.
    Creating,
    /// The drives are on their way.
    Shipping,
    /// All drives are in, and wait for bays.
    Received,
    /// Drives are being copied.
    Transferring,
    /// All drives are done, and are being sent back.
    Packaging,
    /// It is over, without an error or cancelled.
    Completed,
    /// It is over, with some error.
    Closed,
}

impl JobState {
    /// Every state, in order.
    pub const ALL: [JobState; 7] = [
        JobState::Creating,
        JobState::Shipping,
        JobState::Received,
        JobState::Transferring,
        JobState::Packaging,
        JobState::Completed,
        JobState::Closed,
    ];

    /// Its name in the REST API and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            JobState::Creating => "Creating",
            JobState::Shipping => "Shipping",
            JobState::Received => "Received",
            JobState::Transferring => "Transferring",
            JobState::Packaging => "Packaging",
            JobState::Completed => "Completed",
            JobState::Closed => "Closed",
        }
    }

    /// Whether nothing happens to it any more but its removal.
    pub const fn is_final(self) -> bool {
        matches!(self, JobState::Completed | JobState::Closed)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for JobState {
    type Err = UnknownJobState;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = JobState::ALL.into_iter().find(|state| state.name() == name);
        found.ok_or_else(|| UnknownJobState(name.to_owned()))
    }
}

/// Where a drive of a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum DriveState {
    /// The customer named it.
    Specified,
    /// It is in.
    Received,
    /// It did not come in time.
    NeverReceived,
    /// It is being copied.
    Transferring,
    /// All of it was copied.
    Completed,
    /// It was copied with errors, in part, or not at all.
    CompletedMoreInfo,
    /// It left the datacenter.
    ShippedBack,
}

impl DriveState {
    /// Every state.
    pub const ALL: [DriveState; 7] = [
        DriveState::Specified,
        DriveState::Received,
        DriveState::NeverReceived,
        DriveState::Transferring,
        DriveState::Completed,
        DriveState::CompletedMoreInfo,
        DriveState::ShippedBack,
    ];

    /// Its name in the REST API and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            DriveState::Specified => "Specified",
            DriveState::Received => "Received",
            DriveState::NeverReceived => "NeverReceived",
            DriveState::Transferring => "Transferring",
            DriveState::Completed => "Completed",
            DriveState::CompletedMoreInfo => "CompletedMoreInfo",
            DriveState::ShippedBack => "ShippedBack",
        }
    }

    /// Whether it has come, and its copy is not over.
    pub fn is_here(self) -> bool {
        matches!(self, DriveState::Received | DriveState::Transferring)
    }

    /// Whether nothing more happens to it.
    pub const fn is_final(self) -> bool {
        matches!(self, DriveState::NeverReceived | DriveState::ShippedBack)
    }
}

impl fmt::Display for DriveState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A drive of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDrive {
    /// Its serial number.
    pub id: String,
    /// Where it stands.
    pub state: DriveState,
    /// Whether it did not come, or could not be copied whole.
    pub had_error: bool,
    /// A drive of an export that goes back unused: no blob is left for it, or it is unsuitable.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_spare: bool,
    /// The serial number that the drive itself tells, where an operator said that it is this drive all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_serial: Option<String>,
    /// What drives tell that were checked in as this one by mistake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrong_serials: Vec<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl JobDrive {
    /// Every serial number by which a docked drive may have to do with this one, in lower case.
    pub fn serials(&self) -> impl Iterator<Item = String> + '_ {
        let own = [Some(&self.id), self.bound_serial.as_ref()].into_iter().flatten();
        // What a wrong drive tells finds the job too: it may hold something of it.
        let all = own.chain(&self.wrong_serials).filter(|serial| !serial.is_empty());
        all.map(|serial| serial.to_ascii_lowercase())
    }

    /// Whether a drive that tells this serial number is this one: by its name, unless an operator bound another drive to it;
    /// then by the serial number of that.
    pub fn has_serial(&self, serial: &str) -> bool {
        self.bound_serial.as_deref().unwrap_or(&self.id).eq_ignore_ascii_case(serial)
    }

    /// Whether an operator said of a drive which tells this serial number that it was not this one.
    pub fn was_mistaken_for(&self, serial: &str) -> bool {
        self.wrong_serials.iter().any(|wrong| wrong.eq_ignore_ascii_case(serial))
    }

    pub(super) fn new(id: String, state: DriveState) -> Self {
        JobDrive { id, state, had_error: false, is_spare: false, bound_serial: None, wrong_serials: Vec::new() }
    }
}

/// A job, as far as its movements depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Which way the data goes.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
    /// Whether the customer wants it cancelled. Never taken back.
    pub cancel_requested: bool,
    /// Whether it was closed because it was never reported where its drives are.
    pub went_silent: bool,
    /// Whether it is known where the drives go in the end.
    pub has_return_address: bool,
    /// Whether it is known how the drives come.
    pub has_delivery_package: bool,
    /// Its drives. Those of an export are known when they come.
    pub drives: Vec<JobDrive>,
    /// How many drives of an export were announced.
    pub expected_drives: usize,
    /// How many blobs an export writes, once they were looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blobs: Option<usize>,
    /// When the customer last changed it.
    #[serde(with = "time::serde::rfc3339")]
    pub changed_at: OffsetDateTime,
    /// When it came into its state.
    #[serde(with = "time::serde::rfc3339")]
    pub entered_at: OffsetDateTime,
    /// When something was last heard of it while it was on its way: a change, a drive that came.
    #[serde(with = "time::serde::rfc3339")]
    pub heard_of_at: OffsetDateTime,
}

impl Job {
    /// A job that was just put.
    pub fn new(kind: JobKind, drive_ids: impl IntoIterator<Item = String>, now: OffsetDateTime) -> Self {
        let drives = drive_ids.into_iter().map(|id| JobDrive::new(id, DriveState::Specified)).collect();
        Job {
            kind,
            state: JobState::Creating,
            cancel_requested: false,
            went_silent: false,
            has_return_address: false,
            has_delivery_package: false,
            drives,
            expected_drives: 1,
            blobs: None,
            changed_at: now,
            entered_at: now,
            heard_of_at: now,
        }
    }

    /// The drive with this serial number.
    pub fn drive(&self, id: &str) -> Option<&JobDrive> {
        self.drives.iter().find(|drive| drive.id == id)
    }

    /// Whether anything went wrong: a job that ends so is Closed, unless it was cancelled.
    pub fn had_error(&self) -> bool {
        self.went_silent || self.drives.iter().any(|drive| drive.had_error)
    }

    /// Whether some drives came or may come, and others have not.
    pub(super) fn misses_drives(&self) -> bool {
        match self.kind {
            JobKind::Import => self.any_drive(&[DriveState::Specified]),
            JobKind::Export => !self.drives.is_empty() && self.awaits_drives(),
        }
    }

    /// How many drives of an export have a blob.
    pub fn used_drives(&self) -> usize {
        self.drives.iter().filter(|drive| !drive.is_spare && drive.state != DriveState::NeverReceived).count()
    }

    /// Whether drives are waited for: those that an import names; for an export, until each blob has one. Where it is
    /// cancelled, all that were announced: each is sent back.
    pub fn awaits_drives(&self) -> bool {
        match self.kind {
            JobKind::Import => self.any_drive(&[DriveState::Specified]),
            JobKind::Export => {
                let has_enough = !self.cancel_requested && self.blobs.is_some_and(|blobs| self.used_drives() >= blobs);
                self.drives.len() < self.expected_drives && !has_enough
            }
        }
    }

    /// Whether a drive may be checked in.
    pub fn takes_drives(&self) -> bool {
        let is_open = matches!(self.state, JobState::Shipping | JobState::Received | JobState::Transferring);
        let lacks = match self.kind {
            JobKind::Import => self.any_drive(&[DriveState::Specified, DriveState::NeverReceived]),
            JobKind::Export => self.awaits_drives(),
        };
        is_open && lacks
    }

    /// Whether a drive is here, and has to be sent back.
    pub(super) fn has_drives_here(&self) -> bool {
        use DriveState::{Completed, CompletedMoreInfo, Received, Transferring};
        self.any_drive(&[Received, Transferring, Completed, CompletedMoreInfo])
    }

    pub(super) fn any_drive(&self, states: &[DriveState]) -> bool {
        self.drives.iter().any(|drive| states.contains(&drive.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_is_stored_and_served() {
        for kind in [JobKind::Import, JobKind::Export] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        for state in JobState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
            assert_eq!(state.to_string().parse(), Ok(state));
        }
        for state in DriveState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.to_string());
        }
        assert_eq!("creating".parse::<JobState>().unwrap_err().to_string(), "`creating` is not a state of a job");
    }
}
