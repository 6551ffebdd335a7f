//! What a host does with its bays and with the stores, for whoever asks it: the service it is part of, or one far away.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::digest::Sha256Digest;
use protocol::job::{BlobName, LogAddresses};
use protocol::result::TransferResult;
use protocol::station::{CopyOrder, DockedDrive, LogOrder};
use service::scheduler::worker::{DocumentFound, WorkError};
use tokio::sync::oneshot;

use crate::blobs::address;
use crate::clock::Clock;
use crate::copying::Copy;
use crate::site::{Begun, Place, Site, drive_at};

/// The datacenter and its clock, as the service, the stations and the world share them.
pub struct SimulatedWorker {
    pub site: Mutex<Site>,
    pub clock: Clock,
}

fn refused<T>(message: &str) -> Result<T, WorkError> {
    Err(WorkError::Refused(message.to_owned()))
}

impl SimulatedWorker {
    pub fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies that run in the service's own bays, and calls that wait for a slow store.
    pub fn work_under_way(&self) -> (usize, usize) {
        let site = self.site();
        (site.copies.iter().filter(|copy| copy.host == 0).count(), site.waiting_calls)
    }

    /// Refuses while the stores fail.
    pub fn require_store(&self) -> Result<(), WorkError> {
        match self.site().blobs.fails_until > self.clock.elapsed() {
            true => Err(WorkError::Failed("the store does not answer".to_owned())),
            false => Ok(()),
        }
    }

    /// Waits for a slow store.
    pub async fn wait_for_store(&self) {
        let takes = self.site().blobs.document_takes;
        if takes > Duration::ZERO {
            self.site().waiting_calls += 1;
            tokio::time::sleep(takes).await;
            self.site().waiting_calls -= 1;
        }
    }

    pub fn document_found(&self, account: &str, place: &BlobName) -> DocumentFound {
        let version = |bytes: &Vec<u8>| DocumentFound::Version(Sha256Digest::of(bytes).to_string());
        self.site().blobs.documents.get(&address(account, place)).map_or(DocumentFound::Nothing, version)
    }

    pub fn put(&self, account: &str, blob: &BlobName, bytes: Vec<u8>) -> Result<String, WorkError> {
        self.require_store()?;
        self.site().blobs.documents.insert(address(account, blob), bytes);
        Ok(format!("https://{account}/{}/{}", blob.container, blob.name))
    }

    pub fn put_logs(&self, order: &LogOrder, result: &TransferResult) -> Result<LogAddresses, WorkError> {
        let blob = BlobName { container: order.container.clone(), name: format!("{}_error.xml", order.prefix) };
        let bytes = serde_json::to_vec(result).map_err(|error| WorkError::Failed(error.to_string()))?;
        let error = self.put(&order.copy.account, &blob, bytes)?;
        Ok(LogAddresses { error: Some(error), ..LogAddresses::default() })
    }

    pub fn dock(&self, bay: &str, path: &str, drive_id: Option<&str>) -> Result<DockedDrive, WorkError> {
        let mut site = self.site();
        let (Some(bay), Some(drive)) = (site.bay_named(bay), drive_at(path)) else { return refused("there is no such place") };
        if site.bays[bay].is_watched {
            return refused("the bay is watched");
        }
        if site.bays[bay].drive.is_some() {
            return refused("the bay is not empty");
        }
        if !matches!(site.drives[drive].place, Place::Desk) {
            return refused("the drive is not here, or in another bay");
        }
        site.dock(bay, drive, drive_id, self.clock.now());
        Ok(site.docked_drive(bay, drive))
    }

    pub fn undock(&self, bay: &str) -> Result<(), WorkError> {
        let mut site = self.site();
        let Some(bay) = site.bay_named(bay) else { return refused("there is no such bay") };
        if site.bays[bay].is_watched || site.bays[bay].drive.is_none() {
            return refused("the bay is watched or empty");
        }
        site.take_out(bay);
        Ok(())
    }

    pub fn is_blank(&self, bay: &str) -> Result<bool, WorkError> {
        let site = self.site();
        let drive = site.bay_named(bay).and_then(|bay| site.bays[bay].drive);
        drive.map_or_else(|| refused("the bay is empty"), |drive| Ok(site.drives[drive].is_blank()))
    }

    pub fn require_writable(&self, bay: &str) -> Result<(), WorkError> {
        let site = self.site();
        match site.bay_named(bay).and_then(|bay| site.bays[bay].drive) {
            None => refused("the bay is empty"),
            Some(drive) if site.drives[drive].is_read_only => refused("the drive cannot be written"),
            Some(_) => Ok(()),
        }
    }

    pub fn forget(&self, host: usize, job_uid: &str, drive_id: Option<&str>) {
        self.site().blobs.forget(host, |uid, drive| uid == job_uid && drive_id.is_none_or(|one| one == drive));
    }

    /// Begins a copy at a host, by the full name of the bay; its number.
    pub fn start(&self, host: usize, order: CopyOrder, ended: oneshot::Sender<TransferResult>) -> u64 {
        let mut site = self.site();
        let drive = site.docked(&order.bay, order.sequence);
        let is_awake = |copy: &&Copy| !site.asleep.contains(&copy.host);
        let is_same = |copy: &Copy| (&copy.order.job_uid, &copy.order.drive_id) == (&order.job_uid, &order.drive_id);
        let is_same_drive = |copy: &Copy| copy.drive.is_some() && copy.drive == drive;
        let mut found = None;
        // What a host may still do that sleeps is looked at when it wakes.
        for other in site.copies.iter().filter(is_awake) {
            // A station may be asked by one service after another what a run moved: that moves nothing.
            let is_told_twice = host != 0 && order.account_only && other.order.account_only;
            if is_same(other) && !is_told_twice {
                found = Some(format!("the drive {} of a job is copied twice at once", order.drive_id));
            } else if !order.account_only && is_same_drive(other) {
                found = Some(format!("the physical drive {drive:?} is copied twice at once"));
            }
        }
        site.violations.extend(found);
        if let Some(drive) = drive.filter(|_| !order.account_only) {
            let CopyOrder { job_uid, drive_id, bay, .. } = order.clone();
            site.begun.push(Begun { job_uid, drive_id, drive, bay });
        }
        site.runs += 1;
        let (number, run) = (site.random.number(), site.runs);
        // Some have to wait for memory, or for a drive that spins up.
        let waits = if order.account_only { host != 0 } else { site.random.percent(30) };
        let begins = Duration::from_secs(if waits { 600 } else { 1 });
        let step = Duration::from_secs(60 * (1 + site.random.below(60)));
        let copy = Copy::new((number, run), host, order, self.clock.elapsed() + begins, step, ended);
        site.copies.push(copy);
        number
    }
}
