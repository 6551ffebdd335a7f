//! What is known of the drives in the bays: one query each for their jobs and their dockings, however many bays there are.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use protocol::job::JobDrive;
use protocol::station::{Binding, Decided, DockedDrive, DockedHere, JobInHand, Next, Twin, next, weak_identity};
use time::OffsetDateTime;

use super::handle::Scheduler;
use crate::store::{Claim, DockedAs, Docking, StoreError, StoredJob};
use protocol::station::BayContent;

/// A drive in a bay, and everything that a decision about it depends on.
pub(super) struct Found {
    pub(super) bay: BayContent,
    pub(super) drive: DockedDrive,
    /// Jobs that are not over and name it, and the one that it is bound to.
    jobs: Vec<Arc<StoredJob>>,
    binding: Option<Binding>,
    twins: Vec<Twin>,
    running_jobs: Vec<String>,
}

/// What is done about the drive in a bay, and for which drive of which job.
pub(super) struct DecidedFor {
    pub(super) next: Next,
    pub(super) job: Option<(Arc<StoredJob>, String)>,
}

impl Found {
    fn docked(&self) -> DockedHere<'_> {
        DockedHere {
            bay: &self.bay.name,
            is_watched: self.bay.is_watched,
            drive: &self.drive,
            docked_at: self.bay.docked().map(|docked| docked.here),
            binding: self.binding.clone(),
            twins: self.twins.clone(),
            running_jobs: self.running_jobs.clone(),
        }
    }

    /// What is to be done about the drive at `now`.
    pub(super) fn decide(&self, now: OffsetDateTime) -> DecidedFor {
        let Decided { next, job } = self.tell(now, |_, decided, _| decided.clone());
        DecidedFor { next, job: job.map(|(index, drive_id)| (self.jobs[index].clone(), drive_id)) }
    }

    /// Runs `tell` with the drive, what is decided about it, and the jobs that it may be for.
    pub(super) fn tell<T>(&self, now: OffsetDateTime, tell: impl FnOnce(&DockedHere<'_>, &Decided, &[JobInHand<'_>]) -> T) -> T {
        let jobs: Vec<JobInHand<'_>> = self.jobs.iter().map(|job| job.in_hand()).collect();
        let docked = self.docked();
        let decided = next(&docked, &jobs, now);
        tell(&docked, &decided, &jobs)
    }

    /// The drive as it is shown: with every reason why its name does not say whose it is.
    pub(super) fn shown_drive(&self) -> DockedDrive {
        DockedDrive { weak_identity: weak_identity(&self.docked()), ..self.drive.clone() }
    }
}

impl Scheduler {
    /// The drives in all bays in which nothing is copied. The caller says in which something is: a copy may end while this
    /// looks, and what the caller knows of it must be about the same moment.
    pub(super) async fn find_idle(
        &self,
        bays: &[BayContent],
        is_running_in: impl Fn(&str) -> bool,
    ) -> Result<Vec<Found>, StoreError> {
        let idle = bays.iter().filter(|bay| !is_running_in(&bay.name));
        let idle: Vec<(&BayContent, &DockedDrive)> = idle.filter_map(|bay| Some((bay, bay.drive.as_ref()?))).collect();
        if idle.is_empty() {
            return Ok(Vec::new());
        }
        let mut dockings = self.inner.store.dockings().await?;
        // What was noted is about this drive, and not about an earlier docking of it.
        let is_valid = |bay: &BayContent, docking: &Docking| docking.is_of(docked_as(bay), bay.docked());
        let by_name: HashMap<&str, &BayContent> = bays.iter().map(|bay| (bay.name.as_str(), bay)).collect();
        dockings.retain(|name, docking| by_name.get(name.as_str()).is_some_and(|bay| is_valid(bay, docking)));
        let serials: Vec<&str> = idle.iter().filter_map(|(_, drive)| drive.drive_id.as_deref()).collect();
        let named = self.inner.store.jobs_of_drives(&serials).await?;
        let bound: Vec<String> = dockings.values().map(|docking| docking.job_uid.clone()).collect();
        let bound = self.inner.store.by_uids(&bound).await?;
        let seen = Seen { by_serial: by_serial(bays), named: by_drive(&named), dockings, bound };
        Ok(idle.into_iter().map(|(bay, drive)| self.found(bay, drive, &seen)).collect())
    }

    fn found(&self, bay: &BayContent, drive: &DockedDrive, seen: &Seen<'_>) -> Found {
        let Seen { dockings, bound, .. } = seen;
        let serial = drive.drive_id.as_deref();
        let of_serial = serial.map(str::to_ascii_lowercase).unwrap_or_default();
        let has_drive = |job: &&Arc<StoredJob>| serial.is_some_and(|serial| job.in_hand().is_about(serial));
        let mut jobs: Vec<Arc<StoredJob>> = seen.named.get(&of_serial).into_iter().flatten().filter(has_drive).cloned().collect();
        let docking = dockings.get(&bay.name);
        let bound_job = docking.and_then(|docking| bound.get(&docking.job_uid));
        if let Some(job) = bound_job.filter(|job| jobs.iter().all(|known| known.uid != job.uid)) {
            jobs.push(job.clone());
        }
        let binding = docking.map(|docking| Binding {
            job_uid: docking.job_uid.clone(),
            drive_id: bound_job.and_then(|job| docking.drive_of(job)),
        });
        let drive_in_job = |job: &StoredJob| match &binding {
            Some(binding) if binding.job_uid == job.uid => binding.drive_id.clone(),
            _ => job.in_hand().drive_of_serial(serial?).map(|drive| drive.id.clone()),
        };
        let is_running = |job: &&Arc<StoredJob>| drive_in_job(job).is_some_and(|id| self.is_running(&job.uid, &id));
        let running_jobs = jobs.iter().filter(is_running).map(|job| job.uid.clone()).collect();
        let others = seen.by_serial.get(&of_serial).into_iter().flatten().filter(|other| **other != bay.name);
        let twins = others.map(|other| Twin { bay: (*other).to_owned(), is_bound: dockings.contains_key(*other) }).collect();
        Found { bay: bay.clone(), drive: drive.clone(), jobs, binding, twins, running_jobs }
    }
}

/// What was looked up for all bays at once.
struct Seen<'bays> {
    /// The names of the bays that have a drive of a serial number, in lower case.
    by_serial: HashMap<String, Vec<&'bays str>>,
    /// The jobs that name a drive, by its serial number in lower case.
    named: HashMap<String, Vec<Arc<StoredJob>>>,
    dockings: HashMap<String, Docking>,
    bound: HashMap<String, Arc<StoredJob>>,
}

fn by_serial(bays: &[BayContent]) -> HashMap<String, Vec<&str>> {
    let mut found: HashMap<String, Vec<&str>> = HashMap::new();
    for bay in bays {
        if let Some(serial) = bay.drive.as_ref().and_then(|drive| drive.drive_id.as_deref()) {
            found.entry(serial.to_ascii_lowercase()).or_default().push(&bay.name);
        }
    }
    found
}

/// The jobs of each serial number: as many as name it, and not as there are jobs.
fn by_drive(jobs: &[Arc<StoredJob>]) -> HashMap<String, Vec<Arc<StoredJob>>> {
    let mut found: HashMap<String, Vec<Arc<StoredJob>>> = HashMap::new();
    for job in jobs {
        let names: BTreeSet<String> = job.machine.drives.iter().flat_map(JobDrive::serials).collect();
        for name in names {
            found.entry(name).or_default().push(job.clone());
        }
    }
    found
}

/// The drive in a bay, as a drive of a job is made of it.
pub(crate) fn claim_of<'bay>(bay: &'bay BayContent, drive_id: &'bay str) -> Claim<'bay> {
    Claim { bay: &bay.name, docked: docked_as(bay), docked_at: bay.docked(), drive_id, may_take_over: false }
}

/// What is noted of the drive in a bay when it is checked in.
pub(super) fn docked_as(bay: &BayContent) -> DockedAs<'_> {
    let serial = bay.drive.as_ref().and_then(|drive| drive.drive_id.as_deref()).unwrap_or_default();
    DockedAs { serial, attachment: &bay.attachment }
}
