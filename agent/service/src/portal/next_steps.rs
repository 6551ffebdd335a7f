//! What comes next of a job, for its customer and for staff.

use protocol::job::{DriveState, Job, JobKind, JobState};

use crate::store::StoredJob;

/// The states that a job goes through when nothing goes wrong.
const WAY: [JobState; 6] = [
    JobState::Creating,
    JobState::Shipping,
    JobState::Received,
    JobState::Transferring,
    JobState::Packaging,
    JobState::Completed,
];

/// The states that are still to come when nothing goes wrong.
pub(super) fn to_come(job: &Job) -> Vec<JobState> {
    if job.cancel_requested || job.state.is_final() {
        return Vec::new();
    }
    WAY.into_iter().skip_while(|state| *state != job.state).skip(1).collect()
}

/// What happens next, and who does it, in one sentence or two.
pub(super) fn next_step(job: &StoredJob, is_operator: bool) -> String {
    let machine = &job.machine;
    let is_import = machine.kind == JobKind::Import;
    let drives = if is_import { "the drives" } else { "empty drives" };
    match machine.state {
        JobState::Creating if is_operator => {
            "The customer sends the drives, and says here that they are on their way.".to_owned()
        }
        JobState::Creating => format!(
            "Print the packing slip, put it into the parcel with {drives}, send it to the address below, and say so here with “Ship”."
        ),
        state if machine.cancel_requested && !state.is_final() => {
            "The job was cancelled: nothing new is copied, and the drives go back.".to_owned()
        }
        JobState::Shipping => shipping(job),
        JobState::Received => "The drives are there, and are copied as soon as they are in a bay.".to_owned(),
        JobState::Transferring => transferring(machine),
        JobState::Packaging => match is_operator {
            true => "Every copy has ended. Pack the drives with the return slip, and say here that they went back.".to_owned(),
            false => {
                "Every copy has ended. The drives are packed, and the carrier and the number of the parcel back are told here."
                    .to_owned()
            }
        },
        JobState::Completed | JobState::Closed => match job.details.return_package.is_some() {
            true => "The drives are on their way back. Keep the receipts: they go with the job.".to_owned(),
            false => "Nothing: the job is over. Keep the receipts: they go with the job.".to_owned(),
        },
    }
}

fn shipping(job: &StoredJob) -> String {
    let drives = &job.machine.drives;
    let came = drives.iter().filter(|drive| !matches!(drive.state, DriveState::Specified | DriveState::NeverReceived)).count();
    match came {
        0 => "The parcel is on its way. This page changes when its first drive is checked in at the datacenter.".to_owned(),
        _ => format!(
            "{came} of {} drives have come. They are copied when the others have come, or are said not to come.",
            job.announced_drives().max(drives.len())
        ),
    }
}

fn transferring(job: &Job) -> String {
    let is_done = |state: DriveState| !matches!(state, DriveState::Specified | DriveState::Received | DriveState::Transferring);
    let done = job.drives.iter().filter(|drive| is_done(drive.state)).count();
    match (job.drives.len(), done) {
        (1, 0) => "The drive is packed when its copy has ended.".to_owned(),
        (all, done) => format!("{done} of {all} drives are done. They are packed when the last one is."),
    }
}
