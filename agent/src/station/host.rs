//! What the copies of this host share: bays, accounts, budgets, folders.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blob::Replaces;
use copy::{SharedBudget, TransferOptions};
use drive::Pace;
use protocol::digest::Sha256Digest;
use protocol::job::BlobName;
use service::scheduler::worker::WorkError;

use super::accounts::ReachedAccount;
use super::docks::Docks;
use super::memory::MemoryBudget;
use super::rate::StationRates;

/// After a stop and the time for draining: how long a copy may still take to come back from a drive that hangs.
const HANGING_GRACE: Duration = Duration::from_secs(5);

/// A file is expected to be put at least at this rate, in bytes a second.
const SLOWEST_BODY_BYTES_PER_SECOND: u64 = 256 << 10;

/// The data plane of a station.
pub(crate) struct StationWorker {
    pub(crate) docks: Arc<Docks>,
    pub(crate) accounts: HashMap<String, ReachedAccount>,
    /// How every drive is copied; journals and budgets are added for each.
    pub(crate) options: TransferOptions,
    pub(crate) budget: Arc<SharedBudget>,
    pub(crate) rates: Arc<StationRates>,
    pub(crate) memory: MemoryBudget,
    /// Below it everything that is kept to resume copies: a folder a job, in it one a drive.
    pub(crate) transfers: PathBuf,
    pub(crate) pace: Pace,
    /// What the grants of copies that begin now are told by; `None` where they have ended. In bays of the service's own they hold.
    pub(crate) grants: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    /// Held by the copy of a drive, by where its journal is: one that is begun again waits for the one before to end.
    pub(crate) turns: Turns,
}

/// A lock for each journal.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>>);

impl Turns {
    /// That of the journal in this folder.
    pub(super) fn of(&self, state_dir: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody has are forgotten.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(state_dir.to_owned()).or_default().clone()
    }

    /// Whether a copy has one whose journal is in this folder, or in a folder of it.
    pub(super) fn are_taken_in(&self, folder: &Path) -> bool {
        let turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.iter().any(|(state_dir, turn)| state_dir.starts_with(folder) && turn.try_lock().is_err())
    }
}

impl StationWorker {
    /// How long a copy may take to stop.
    pub(crate) fn stops_within(&self) -> Duration {
        stops_within(&self.options)
    }

    /// Where its accounts are, by their names.
    pub(crate) fn places(&self) -> BTreeMap<String, String> {
        self.accounts.iter().map(|(name, reached)| (name.clone(), reached.place.clone())).collect()
    }

    pub(crate) fn account(&self, name: &str) -> Result<&ReachedAccount, WorkError> {
        let found = self.accounts.get(&name.to_lowercase());
        found.ok_or_else(|| WorkError::Refused(format!("this station cannot reach the account `{name}`")))
    }

    /// Where the journal of a drive's copy is kept.
    pub(crate) fn state_dir(&self, job_uid: &str, drive_id: &str) -> PathBuf {
        self.transfers.join(job_uid).join(drive_id)
    }

    /// Puts a file to a place that is made where it is missing, in place of what it may replace; gives the address for customers.
    pub(crate) async fn put_file(
        &self,
        account: &str,
        place: &BlobName,
        file: File,
        replaces: &Replaces,
    ) -> Result<String, WorkError> {
        let failed = |error: blob::BlobError| match error.kind {
            blob::BlobErrorKind::InvalidName => WorkError::Refused(error.to_string()),
            // A full disk or a denied right may be corrected: only a bad name never will.
            _ => WorkError::Failed(error.to_string()),
        };
        let reached = self.account(account)?;
        let blob = reached.account.blob(&place.container, &place.name).map_err(failed)?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        // One name for every try: what an interrupted one left is written again.
        let id = Sha256Digest::of(format!("{}/{}", place.container, place.name).as_bytes()).to_string();
        let limit = self.options.request_timeout + Duration::from_secs(length / SLOWEST_BODY_BYTES_PER_SECOND);
        let put = async {
            reached.account.make_place(&place.container, &place.name).await?;
            blob.put_file(Arc::new(file), &id, replaces).await
        };
        let put = tokio::time::timeout(limit, put).await;
        put.map_err(|_| WorkError::Failed(format!("no answer for `{}`", blob.address())))?.map_err(failed)?;
        Ok(reached.public_address(place))
    }
}

/// How long a copy with these options may take to stop.
pub(crate) fn stops_within(options: &TransferOptions) -> Duration {
    options.drain_timeout + HANGING_GRACE
}

/// Runs work that blocks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkError> + Send + 'static,
) -> Result<T, WorkError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(WorkError::Failed(error.to_string())))
}
