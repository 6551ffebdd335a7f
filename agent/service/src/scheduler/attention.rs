//! What waits for a person, a page at a time.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use protocol::station::{
    Action, Attention, AttentionKind, BayContent, JobInHand, Next, attention_of_bay, attention_of_job, waits_from,
};

use super::find::Found;
use super::handle::{CopyKey, Running, Scheduler};
use crate::store::{SimilarDrives, StoreError, StoredJob, WaitingPlace};

/// Exports that are looked at for a drive that no job names.
const EXPORTS_MAX: u32 = 10;

/// A page of what needs an operator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AttentionPage {
    /// What waits, the most urgent first.
    pub(crate) list: Vec<Attention>,
    /// Where the next page begins, where there is one.
    pub(crate) next: Option<AttentionPlace>,
}

/// A place between two pages of what waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttentionPlace(WaitingPlace);

impl fmt::Display for AttentionPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WaitingPlace { rank, from, id } = self.0;
        write!(formatter, "{rank}.{from}.{id}")
    }
}

impl FromStr for AttentionPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(());
        let rank = part()?.parse().map_err(drop)?;
        let from = part()?.parse().map_err(drop)?;
        let id = part()?.parse().map_err(drop)?;
        Ok(AttentionPlace(WaitingPlace { rank, from, id }))
    }
}

/// The bay of each drive of a job that is docked: by the random name of the job, and the drive.
type BaysOfDrives = HashMap<(String, String), String>;

impl Scheduler {
    /// What needs an operator, the most urgent first: of all bays, and of `limit` jobs behind the place `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn attention(&self, after: Option<AttentionPlace>, limit: u32) -> Result<AttentionPage, StoreError> {
        let bays = self.inner.worker.bays();
        let (idle, bays_of_drives) = self.find_docked(&bays).await?;
        // A job whose drives are all docked needs no attention, and takes a place: there are not more of them than bays.
        let room = limit.saturating_add(u32::try_from(bays.len()).unwrap_or(u32::MAX));
        let jobs = self.inner.store.waiting(self.now(), after.map(|place| place.0), room).await?;
        let next = jobs.last().filter(|_| jobs.len() == room as usize).map(|(place, _)| AttentionPlace(*place));
        let mut list = match after {
            None => self.attention_of_bays(&idle).await?,
            Some(_) => Vec::new(),
        };
        for (_, job) in &jobs {
            list.extend(self.attention_of_job(job, &bays_of_drives));
        }
        list.sort_by_key(|one| one.kind.rank());
        if after.is_none() {
            // Whatever is docked there waits for them.
            list.splice(0..0, self.attention_of_stations().into_iter().chain(self.attention_of_unusable(&bays)));
        }
        Ok(AttentionPage { list, next })
    }

    /// How many bays and jobs wait for a person, by the most urgent reason of each.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn count_attention(&self) -> Result<HashMap<AttentionKind, i64>, StoreError> {
        let bays = self.inner.worker.bays();
        let (idle, docked) = self.find_docked(&bays).await?;
        let mut counts: HashMap<AttentionKind, i64> = self.inner.store.count_waiting(self.now()).await?.into_iter().collect();
        for found in &idle {
            // Other jobs that the drive may be for change what is offered, and not that it waits.
            let one = found.tell(self.now(), |docked, decided, jobs| attention_of_bay(docked, decided, jobs, &[]));
            if let Some(one) = one {
                *counts.entry(one.kind).or_default() += 1;
            }
        }
        for one in self.attention_of_stations().into_iter().chain(self.attention_of_unusable(&bays)) {
            *counts.entry(one.kind).or_default() += 1;
        }
        // Jobs that would wait if their drives were in no bay, and whose drives are docked.
        let mut uids: Vec<String> = docked.keys().map(|(uid, _)| uid.clone()).collect();
        uids.sort_unstable();
        uids.dedup();
        for job in self.inner.store.by_uids(&uids).await?.values() {
            let without = waits_from(&job.in_hand()).filter(|(_, from)| *from <= self.now());
            let with = self.attention_of_job(job, &docked).into_iter().map(|one| one.kind).min_by_key(|kind| kind.rank());
            if let Some((kind, _)) = without {
                *counts.entry(kind).or_default() -= 1;
            }
            if let Some(kind) = with {
                *counts.entry(kind).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// The bay of a drive of a job.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn bay_of(&self, job_uid: &str, drive_id: &str) -> Result<Option<String>, StoreError> {
        let (_, mut docked) = self.find_docked(&self.inner.worker.bays()).await?;
        Ok(docked.remove(&(job_uid.to_owned(), drive_id.to_owned())))
    }

    async fn attention_of_bays(&self, idle: &[Found]) -> Result<Vec<Attention>, StoreError> {
        // Of each bay the serial number of a drive that no job names.
        let is_unknown = |found: &&Found| found.decide(self.now()).next == Next::Unknown;
        let unknown = |found| Some(found).filter(is_unknown).and_then(|found: &Found| found.drive.drive_id.as_deref());
        let unknown: Vec<Option<&str>> = idle.iter().map(unknown).collect();
        let serials: HashSet<&str> = unknown.iter().flatten().copied().collect();
        let (mut similar, mut exports) = (SimilarDrives::default(), Vec::new());
        if !serials.is_empty() {
            similar = self.inner.store.naming_similar_drives(&serials.into_iter().collect::<Vec<_>>()).await?;
            exports = self.inner.store.waiting_exports(EXPORTS_MAX).await?;
        }
        let tell = |(found, unknown): (&Found, Option<&str>)| {
            let others = unknown.map(|serial| similar.of(serial).into_iter().chain(&exports));
            let others: Vec<JobInHand<'_>> = others.into_iter().flatten().map(StoredJob::in_hand).collect();
            found.tell(self.now(), |docked, decided, jobs| attention_of_bay(docked, decided, jobs, &others))
        };
        Ok(idle.iter().zip(unknown).filter_map(tell).collect())
    }

    fn attention_of_stations(&self) -> Vec<Attention> {
        let one = |(station, why): (String, String)| Attention {
            kind: AttentionKind::StationAway,
            message: format!("{why}: look at its host and its network; where it is gone for good, take it off"),
            job: None,
            drive_id: None,
            bay: None,
            candidates: Vec::new(),
            actions: vec![Action::TakeStationOff { station }.into()],
        };
        self.inner.worker.away().into_iter().map(one).collect()
    }

    /// The bays that lead to something which cannot be used. Those of a station that is away wait with it.
    fn attention_of_unusable(&self, bays: &[BayContent]) -> Vec<Attention> {
        let away: HashSet<String> = self.inner.worker.away().into_iter().map(|(station, _)| station).collect();
        let one = |bay: &BayContent| {
            Some(Attention {
                kind: AttentionKind::BayUnusable,
                message: bay.unknown.clone()?,
                job: None,
                drive_id: None,
                bay: Some(bay.name.clone()),
                candidates: Vec::new(),
                actions: Vec::new(),
            })
        };
        let here = bays.iter().filter(|bay| bay.station.as_ref().is_none_or(|station| !away.contains(station)));
        here.filter_map(one).collect()
    }

    fn attention_of_job(&self, job: &StoredJob, bays: &BaysOfDrives) -> Vec<Attention> {
        let bay_of = |id: &str| bays.get(&(job.uid.clone(), id.to_owned())).cloned();
        attention_of_job(&job.in_hand(), bay_of, self.now())
    }

    /// The drives in the bays in which nothing is copied; and where drives of jobs are docked: those that are copied, and
    /// those that are known in their bays.
    async fn find_docked(&self, bays: &[BayContent]) -> Result<(Vec<Found>, BaysOfDrives), StoreError> {
        let running: BaysOfDrives = {
            let running = self.running();
            let place = |(key, running): (&CopyKey, &Running)| ((key.job_uid.clone(), key.drive_id.clone()), running.bay.clone());
            running.iter().map(place).collect()
        };
        let idle = self.find_idle(bays, |bay| running.values().any(|running| running == bay)).await?;
        let known = idle.iter().filter_map(|found| {
            let (job, id) = found.decide(self.now()).job?;
            Some(((job.uid.clone(), id), found.bay.name.clone()))
        });
        let docked = known.chain(running).collect();
        Ok((idle, docked))
    }
}
