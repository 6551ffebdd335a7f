//! The one call between a station, which has bays, and the job service, which has jobs.
//!
//! The station reports how things stand, and the answer says how they should be. Both are whole each time, so that a message
//! that is lost, late or repeated does no harm: the next one says the same again. The answer comes when there is something new,
//! or when the time has passed that the report names.
//!
//! # Grants
//! A copy runs at a station under a grant. Every answer lists all grants of the station, and renews each of them for
//! `leaseSeconds`. A station counts from before it sent the report that was answered, and stops its copies by itself early
//! enough for what is in flight to land before the grant ends. The service counts from after it made the answer: when it takes
//! a grant back, the copy has stopped. The end of a copy whose grant is not listed any more is forgotten by its station.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::bay::DockedDrive;
use super::order::{BayContent, CopyOrder, LogOrder};
use crate::job::LogAddresses;
use crate::progress::{Progress, UnreadableSoFar};
use crate::result::TransferResult;
use crate::station_rate::StationRate;
use crate::stop::StopReason;

/// The version of this call. A service takes calls of its own version and of the one before.
pub const CALL_VERSION: u32 = 1;

/// A copy is asked to stop so much earlier than the time that a stop takes before its grant ends: until it is noticed that the time
/// has come, and that it has stopped.
pub const STOP_MARGIN: Duration = Duration::from_secs(2);

/// What a station tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StationReport {
    /// [`CALL_VERSION`] of the station.
    pub call_version: u32,
    /// The version of its program.
    pub version: String,
    /// What its state directory is called: see [`state_id`](super::state_id()).
    pub state_id: String,
    /// When its process was started, in nanoseconds since its machine was: of two processes on one state directory the later one
    /// runs.
    pub process: u64,
    /// Where it stands, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hall: Option<String>,
    /// Its bays, by their own names.
    pub bays: Vec<BayContent>,
    /// Where its accounts are, by their names in lower case, without secrets: another place than the service's would be another
    /// customer's.
    pub accounts: BTreeMap<String, String>,
    /// What its copies may move together.
    pub rate: StationRate,
    /// Its copies, by their grants: those that run, and those whose end was not taken yet.
    pub copies: BTreeMap<String, CopyReport>,
    /// The answers to tasks, until they are not asked for any more.
    #[serde(default)]
    pub done: BTreeMap<String, TaskResult>,
    /// The service that answered last, as [`StationOrders::service`] names it; empty at first.
    pub service: String,
    /// Counts the calls of the process: one that was long on its way comes too late.
    pub call: u64,
    /// The number of the answer that it has acted on; 0 at first.
    pub seen: u64,
    /// How long it waits for something new, in seconds.
    pub wait_seconds: u64,
    /// It is stopping: it begins nothing any more.
    #[serde(default)]
    pub is_stopping: bool,
    /// When it told this, by the clock that says when drives were docked. Absent where an earlier version tells.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub told_at: Option<OffsetDateTime>,
}

/// How a copy stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum CopyReport {
    /// It runs.
    Running {
        /// How far it is.
        progress: Progress,
        /// What could not be read so far.
        unreadable: UnreadableSoFar,
    },
    /// It has ended.
    Ended {
        /// How.
        result: Box<TransferResult>,
    },
}

/// What a station is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StationOrders {
    /// A random name of the service that answers. A report that names another one was perhaps sent before this one began: it is
    /// not taken in, and the answer to it orders nothing.
    pub service: String,
    /// Counts up whenever something in it is new.
    pub number: u64,
    /// How long its grants last from the moment at which it sent its report, in seconds.
    pub lease_seconds: u64,
    /// Every copy that it is to run, or whose end is waited for.
    pub grants: Vec<Grant>,
    /// What operators order about the rate of its copies together, as they write it: `50MB/s`, `unlimited` or `schedule`.
    pub rate: String,
    /// What else is asked of it.
    pub tasks: BTreeMap<String, Task>,
}

/// A copy that a station may run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The copy; its grant's name is in it.
    pub order: CopyOrder,
    /// It is to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopReason>,
}

/// Something that is asked of a station once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "task")]
pub enum Task {
    /// Dock a drive by hand.
    Dock {
        /// The bay.
        bay: String,
        /// Where the drive is at the station.
        path: String,
        /// The name that jobs have for it.
        drive_id: Option<String>,
    },
    /// Take a drive out that was docked by hand.
    Undock {
        /// The bay.
        bay: String,
    },
    /// Whether a drive is blank.
    IsBlank {
        /// The bay.
        bay: String,
    },
    /// Whether a drive may be written.
    RequireWritable {
        /// The bay.
        bay: String,
    },
    /// Write the logs of a copy.
    PutLogs {
        /// Which.
        order: Box<LogOrder>,
        /// How it ended.
        result: Box<TransferResult>,
    },
    /// Forget what was kept to resume copies.
    Forget {
        /// The job.
        job_uid: String,
        /// Its drive; all, where it is absent.
        drive_id: Option<String>,
    },
}

impl Task {
    /// The bay that it is about.
    pub fn bay(&self) -> Option<&str> {
        match self {
            Task::Dock { bay, .. } | Task::Undock { bay } | Task::IsBlank { bay } | Task::RequireWritable { bay } => Some(bay),
            Task::PutLogs { .. } | Task::Forget { .. } => None,
        }
    }
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "result")]
pub enum TaskResult {
    /// It was done, and there is nothing to tell.
    Done,
    /// The drive that was docked.
    Docked {
        /// It.
        drive: DockedDrive,
    },
    /// Whether the drive is blank.
    Blank {
        /// It is.
        is_blank: bool,
    },
    /// Where the logs are.
    Logs {
        /// Their addresses.
        addresses: LogAddresses,
    },
    /// It cannot be done.
    Refused {
        /// One sentence.
        message: String,
    },
    /// It may be possible later.
    Failed {
        /// One sentence.
        message: String,
    },
}

/// The full name of a bay of a station.
pub fn bay_of_station(station: &str, bay: &str) -> String {
    format!("{station}/{bay}")
}

/// The station and the bay that a full name is of; `None` for a bay of the service itself, whose name has no slash.
pub fn station_and_bay(name: &str) -> Option<(&str, &str)> {
    name.split_once('/')
}
