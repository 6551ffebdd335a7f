//! A job as the rules about bays see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::job::{CopyRecord, CopyState, DriveState, Job, JobDrive, JobState};

/// A job that is not over, as the rules about bays see it.
#[derive(Debug, Clone, Copy)]
pub struct JobInHand<'job> {
    /// The random name of the job.
    pub uid: &'job str,
    /// The subscription of its customer.
    pub subscription: &'job str,
    /// The resource group.
    pub resource_group: &'job str,
    /// Its name.
    pub name: &'job str,
    /// How its parcel came: the carrier and the tracking number.
    pub delivery: Option<(&'job str, &'job str)>,
    /// Its state machine.
    pub machine: &'job Job,
    /// The copies of its drives, by drive.
    pub copies: &'job BTreeMap<String, CopyRecord>,
}

/// A job that a drive may belong to, for the operator who decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// The path of the job.
    pub job: String,
    /// The subscription of its customer.
    pub customer: String,
    /// Where it stands.
    #[schema(value_type = String)]
    pub state: JobState,
    /// The drive, as the job spells it.
    pub drive_id: String,
    /// The carrier of its parcel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// The tracking number of its parcel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_number: Option<String>,
}

impl<'job> JobInHand<'job> {
    /// The job's path in the REST API.
    pub fn path(&self) -> String {
        let JobInHand { subscription, resource_group, name, .. } = self;
        format!("/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.ImportExport/jobs/{name}")
    }

    /// The drive of the job that one which reports this serial number is: see [`JobDrive::has_serial`].
    pub fn drive_of_serial(&self, serial: &str) -> Option<&'job JobDrive> {
        self.machine.drives.iter().find(|drive| drive.has_serial(serial))
    }

    /// The same, or else the drive that the job calls so although another one was bound to it: whose a drive is that reports
    /// this number is as uncertain then as before.
    pub fn drive_named(&self, serial: &str) -> Option<&'job JobDrive> {
        let named = || self.machine.drives.iter().find(|drive| drive.id.eq_ignore_ascii_case(serial));
        self.drive_of_serial(serial).or_else(named)
    }

    /// The drive of the job that one which reports this serial number was written as by mistake: it holds what this job
    /// exports.
    pub fn drive_written_by_mistake(&self, serial: &str) -> Option<&'job JobDrive> {
        let was_written = |drive: &&JobDrive| {
            let record = self.copies.get(&drive.id);
            record.is_some_and(|record| record.mistakes.iter().any(|mistake| mistake.has_written(serial)))
        };
        self.machine.drives.iter().find(was_written)
    }

    /// Whether a drive that reports this serial number may have to do with the job.
    pub fn is_about(&self, serial: &str) -> bool {
        self.drive_named(serial).or_else(|| self.drive_written_by_mistake(serial)).is_some()
    }

    /// Where the copy of a drive stands.
    pub fn copy_state(&self, drive_id: &str) -> &'job CopyState {
        self.copies.get(drive_id).map_or(&CopyState::Waiting, |record| &record.state)
    }

    /// Whether a copy of this drive was begun, and is to be resumed.
    pub(super) fn has_begun(&self, drive: &JobDrive) -> bool {
        drive.state == DriveState::Transferring && self.copies.get(&drive.id).is_some_and(|record| record.runs > 0)
    }

    pub(super) fn candidate(&self, drive: &JobDrive) -> Candidate {
        Candidate {
            job: self.path(),
            customer: self.subscription.to_owned(),
            state: self.machine.state,
            drive_id: drive.id.clone(),
            carrier: self.delivery.map(|(carrier, _)| carrier.to_owned()),
            tracking_number: self.delivery.map(|(_, tracking)| tracking.to_owned()),
        }
    }
}

/// `SUBSCRIPTION/GROUP/NAME` of a job's path: what `drive-agent jobs` takes as the name of a job.
pub fn short_job_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["", _, subscription, _, group, .., name] => format!("{subscription}/{group}/{name}"),
        _ => path.to_owned(),
    }
}
