//! The fleet as the scheduler's data plane: what is about a bay goes to its host, what is about an account stays here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use protocol::arm::{ERROR_LOG, Export, MANIFEST_LOG, VERBOSE_LOG, log_name};
use protocol::job::{BlobName, LogAddresses};
use protocol::result::TransferResult;
use protocol::station::{
    BayContent, CopyOrder, DockedDrive, JournalOrder, LogOrder, Task, TaskResult, has_same_journals, station_and_bay,
};
use protocol::station_rate::{RateOrder, StationRate};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::fleet::{Fleet, Stations};
use super::remote_copy::RemoteCopy;
use super::station::Station;
use super::task::ask;
use super::times::FleetTimes;
use crate::names::random_name;
use crate::scheduler::worker::{Document, DocumentFound, RunningCopy, SelectedBlob, WorkError, Worker, unknown_result};
use crate::store::{Store, StoreError};

/// How long a station may take over what a person waits for.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(50);

/// How long it may take to write the logs of a copy: those of a large drive have millions of lines.
const LOGS_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long it may take to read the journal of a copy, which is as long.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(600);

/// Pauses before that of a lost station is read again, where that failed.
const PAUSES: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(30)];

impl Fleet {
    /// Has a station account for what a run moved. Of one that does not call in time, the journal in the account is asked.
    fn account_at(&self, station: String, order: CopyOrder, ended: oneshot::Sender<TransferResult>) -> Arc<dyn RunningCopy> {
        let (told, tell) = oneshot::channel();
        let ends = Instant::now() + self.times.lease;
        let copy = Arc::new(begin_at(&self.stations, station, order.clone(), told, ends));
        let asked = Asked { own: self.own.clone(), store: self.store.clone(), times: self.times, copy: copy.clone(), order };
        tokio::spawn(async move {
            let result = match asked.knows_nothing().await {
                true => asked.account_without_it(true).await,
                false => match tell.await {
                    Ok(result) => Some(result),
                    Err(_) if asked.is_away() => asked.account_without_it(!asked.may_call()).await,
                    // It calls again, and is asked again.
                    Err(_) => None,
                },
            };
            if let Some(result) = result {
                let _ = ended.send(result);
            }
        });
        copy
    }

    /// Whether the logs are where they were ordered to be written, and nothing else of the account.
    fn are_of(&self, logs: &LogAddresses, order: &LogOrder) -> bool {
        let prefix = BlobName { container: order.container.clone(), name: order.prefix.clone() };
        let is_at = |address: &Option<String>, kind: &str| {
            let place = address.as_deref().map(|address| self.own.place_of(&order.copy.account, address));
            place.is_none_or(|place| place == Some(log_name(&prefix, kind)))
        };
        is_at(&logs.error, ERROR_LOG) && is_at(&logs.verbose, VERBOSE_LOG) && is_at(&logs.manifest, MANIFEST_LOG)
    }

    pub(super) async fn ask(&self, station: &str, task: Task, timeout: Duration) -> Result<TaskResult, WorkError> {
        if !self.has_begun() {
            return Err(WorkError::Failed(
                "the service has just begun, and does not know its stations yet: try again".to_owned(),
            ));
        }
        let asked = tokio::time::timeout(timeout, ask(&self.stations, station, task, &self.times)).await;
        asked.unwrap_or_else(|_| Err(WorkError::Failed(format!("the station `{station}` did not answer in time: try again"))))
    }
}

/// Grants a copy. One that only accounts for what a run moved has no row in the database: it may be asked for any number of times.
fn begin_at(
    stations: &Arc<Stations>,
    station: String,
    order: CopyOrder,
    ended: oneshot::Sender<TransferResult>,
    ends: Instant,
) -> RemoteCopy {
    let grant = order.grant.clone().unwrap_or_else(random_name);
    let order = CopyOrder { grant: Some(grant.clone()), ..order };
    stations.with(&station, |station| station.grant(&grant, order, ended, ends));
    RemoteCopy { stations: stations.clone(), station, grant }
}

/// A station that was asked what a run moved.
struct Asked {
    own: Arc<dyn Worker>,
    store: Store,
    times: FleetTimes,
    /// It is asked until this is dropped.
    copy: Arc<RemoteCopy>,
    order: CopyOrder,
}

impl Asked {
    /// Whether it calls, and cannot know: the journal is in the state directory of another host.
    async fn knows_nothing(&self) -> bool {
        let station = &self.copy.station;
        let calls = self.copy.stations.with_known(station, |station| station.told().map(|told| told.state_id.clone())).flatten();
        let journal = self.store.journal_of(&self.order.job_uid, station).await.ok().flatten();
        calls.zip(journal).is_some_and(|(calls, journal)| !has_same_journals(&calls, &journal))
    }

    fn is_away(&self) -> bool {
        let is_away = |station: &mut Station| station.is_away(Instant::now(), &self.times).is_some();
        self.copy.stations.with_known(&self.copy.station, is_away).unwrap_or(true)
    }

    /// Whether it has a token.
    fn may_call(&self) -> bool {
        self.copy.stations.with_known(&self.copy.station, |station| station.has_token()).unwrap_or(false)
    }

    /// What is known without it; `None` where it is asked again, since it may know more.
    async fn account_without_it(&self, is_lost: bool) -> Option<TransferResult> {
        let (station, job) = (&self.copy.station, &self.order.job_uid);
        let mut pauses = if is_lost { PAUSES.iter() } else { [].iter() };
        loop {
            let found = tokio::time::timeout(JOURNAL_TIMEOUT, self.own.account_without_host(&self.order)).await;
            match found.unwrap_or_else(|_| Err(WorkError::Failed("there was no answer in time".to_owned()))) {
                Ok(Some(result)) => return Some(result),
                Ok(None) if is_lost => return Some(unknown_result(&self.order)),
                Ok(None) => {
                    tracing::warn!(station, job, "a station that does not call alone knows what its copy moved: waiting for it");
                    return None;
                }
                Err(error) => tracing::warn!(station, job, %error, "the journal of a copy cannot be read in its account"),
            }
            match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                // Nobody else will ever tell.
                None => return is_lost.then(|| unknown_result(&self.order)),
            }
        }
    }
}

/// An answer that does not belong to its question.
fn misunderstood(station: &str) -> WorkError {
    WorkError::Failed(format!("the station `{station}` gave an answer to another question"))
}

#[async_trait]
impl Worker for Fleet {
    fn bays(&self) -> Vec<BayContent> {
        let mut bays = self.own.bays();
        let now = Instant::now();
        bays.extend(self.stations.lock().values().flat_map(|station| station.bays(now, &self.times)));
        bays
    }

    async fn docks_changed(&self) {
        tokio::select! {
            () = self.own.docks_changed() => {}
            () = self.changed.notified() => {}
        }
    }

    async fn dock(&self, bay: &str, path: &str, drive_id: Option<&str>) -> Result<DockedDrive, WorkError> {
        let Some((station, own)) = station_and_bay(bay) else { return self.own.dock(bay, path, drive_id).await };
        let task = Task::Dock { bay: own.to_owned(), path: path.to_owned(), drive_id: drive_id.map(str::to_owned) };
        match self.ask(station, task, ANSWER_TIMEOUT).await? {
            TaskResult::Docked { drive } => Ok(drive),
            _ => Err(misunderstood(station)),
        }
    }

    async fn undock(&self, bay: &str) -> Result<(), WorkError> {
        let Some((station, own)) = station_and_bay(bay) else { return self.own.undock(bay).await };
        self.ask(station, Task::Undock { bay: own.to_owned() }, ANSWER_TIMEOUT).await.map(|_| ())
    }

    async fn begin(&self) -> Result<(), StoreError> {
        self.know_stations().await?;
        self.note_begun();
        Ok(())
    }

    fn away(&self) -> Vec<(String, String)> {
        let now = Instant::now();
        let stations = self.stations.lock();
        stations.iter().filter_map(|(name, station)| Some((name.clone(), station.is_missing(now, &self.times)?))).collect()
    }

    fn lease(&self) -> Duration {
        self.times.lease
    }

    fn rate(&self) -> StationRate {
        self.own.rate()
    }

    fn set_rate(&self, order: RateOrder) {
        self.own.set_rate(order);
        self.stations.lock().values().for_each(Station::bump);
    }

    async fn is_blank(&self, bay: &str) -> Result<bool, WorkError> {
        let Some((station, own)) = station_and_bay(bay) else { return self.own.is_blank(bay).await };
        match self.ask(station, Task::IsBlank { bay: own.to_owned() }, ANSWER_TIMEOUT).await? {
            TaskResult::Blank { is_blank } => Ok(is_blank),
            _ => Err(misunderstood(station)),
        }
    }

    async fn require_writable(&self, bay: &str) -> Result<(), WorkError> {
        let Some((station, own)) = station_and_bay(bay) else { return self.own.require_writable(bay).await };
        self.ask(station, Task::RequireWritable { bay: own.to_owned() }, ANSWER_TIMEOUT).await.map(|_| ())
    }

    fn start(&self, order: CopyOrder, ended: oneshot::Sender<TransferResult>) -> Arc<dyn RunningCopy> {
        let Some((station, own)) = station_and_bay(&order.bay) else { return self.own.start(order, ended) };
        let (station, order) = (station.to_owned(), CopyOrder { bay: own.to_owned(), ..order.clone() });
        if order.account_only {
            return self.account_at(station, order, ended);
        }
        Arc::new(begin_at(&self.stations, station, order, ended, Instant::now() + self.times.lease))
    }

    async fn select(&self, account: &str, export: &Export) -> Result<Vec<SelectedBlob>, WorkError> {
        self.own.select(account, export).await
    }

    async fn look_at_document(&self, account: &str, place: &BlobName) -> Result<DocumentFound, WorkError> {
        self.own.look_at_document(account, place).await
    }

    async fn put_document(
        &self,
        account: &str,
        place: &BlobName,
        found: &DocumentFound,
        bytes: Vec<u8>,
    ) -> Result<String, WorkError> {
        self.own.put_document(account, place, found, bytes).await
    }

    async fn remove_document(&self, account: &str, place: &BlobName) -> Result<(), WorkError> {
        self.own.remove_document(account, place).await
    }

    async fn discard_unfinished(&self, account: &str, place: &BlobName, transfer_id: &str) -> Result<(), WorkError> {
        self.own.discard_unfinished(account, place, transfer_id).await
    }

    async fn account_without_host(&self, order: &CopyOrder) -> Result<Option<TransferResult>, WorkError> {
        self.own.account_without_host(order).await
    }

    async fn journal_transfer(&self, account: &str, journal: &JournalOrder, job_uid: &str) -> Result<Option<String>, WorkError> {
        self.own.journal_transfer(account, journal, job_uid).await
    }

    async fn remove_journal(&self, account: &str, blob: &BlobName, job_uid: &str) -> Result<(), WorkError> {
        self.own.remove_journal(account, blob, job_uid).await
    }

    async fn open_document(&self, account: &str, place: &BlobName) -> Result<Option<Document>, WorkError> {
        self.own.open_document(account, place).await
    }

    fn place_of(&self, account: &str, address: &str) -> Option<BlobName> {
        self.own.place_of(account, address)
    }

    async fn put_logs(&self, order: &LogOrder, result: &TransferResult) -> Result<LogAddresses, WorkError> {
        let Some((station, own)) = station_and_bay(&order.copy.bay) else { return self.own.put_logs(order, result).await };
        // What a lost host alone knew is lost; the rest is in the result, and beside the blob.
        if self.has_begun() && !self.stations.with_known(station, |station| station.has_token()).unwrap_or(false) {
            return self.own.put_logs(order, result).await;
        }
        let copy = CopyOrder { bay: own.to_owned(), ..order.copy.clone() };
        let at_station = Box::new(LogOrder { copy, ..order.clone() });
        match self.ask(station, Task::PutLogs { order: at_station, result: Box::new(result.clone()) }, LOGS_TIMEOUT).await? {
            TaskResult::Logs { addresses } if self.are_of(&addresses, order) => Ok(addresses),
            _ => Err(misunderstood(station)),
        }
    }

    /// What stations keep is removed too; one that does not call has to come back first, or its token is revoked.
    async fn forget(&self, job_uid: &str, drive_id: Option<&str>) -> Result<(), WorkError> {
        self.own.forget(job_uid, drive_id).await?;
        let failed = |error: StoreError| WorkError::Failed(error.to_string());
        let mut forgotten = Ok(());
        for (station, may_call) in self.store.stations_of(job_uid).await.map_err(failed)? {
            // One without a token is asked when it has one again.
            if may_call && let Err(error) = self.forget_at(&station, job_uid, drive_id).await {
                forgotten = Err(error);
            }
        }
        forgotten
    }
}
