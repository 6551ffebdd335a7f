//! What is known of the drive in a bay.

use super::handle::Scheduler;
use super::next::{Found, name_in_job};
use super::worker::BayContent;
use crate::store::StoreError;

impl Scheduler {
    /// What is known of the drive in a bay; `None` where it is empty, or its drive has no name.
    pub(super) async fn find(&self, bay: &BayContent) -> Result<Option<Found>, StoreError> {
        let Some(id) = name_of(bay) else { return Ok(None) };
        let has_name = |other: &BayContent| name_of(other).is_some_and(|other| other.eq_ignore_ascii_case(id));
        let is_twice = self.inner.worker.bays().iter().filter(|other| has_name(other)).count() > 1;
        let jobs = self.inner.store.jobs_of_drive(id).await?;
        let docking = self.inner.store.docking(&bay.name).await?;
        // What was noted is about this drive, and not about an earlier docking of it.
        let docking = docking.filter(|docking| docking.is_of(id) && bay.docked_at.is_none_or(|at| at <= docking.at));
        let running = jobs.iter().filter(|job| self.is_running(&job.uid, &name_in_job(job, id)));
        let running_jobs = running.map(|job| job.uid.clone()).collect();
        let noted_job = docking.map(|docking| docking.job_uid);
        Ok(Some(Found { id: id.to_owned(), docked_at: bay.docked_at, jobs, noted_job, running_jobs, is_twice }))
    }
}

/// The name of the drive in a bay.
fn name_of(bay: &BayContent) -> Option<&str> {
    bay.drive.as_ref()?.drive_id.as_deref()
}
