//! The loop of rounds, and what each round does about effects, timers and bays.

use std::time::{Duration, Instant};

use protocol::job::{DriveState, Event};
use protocol::station::Next;

use super::find::{DecidedFor, Found, claim_of};
use super::handle::{SERVICE, Scheduler};
use crate::store::{Change, StoreError, StoredJob};

/// The longest time between two rounds.
const ROUND_INTERVAL: Duration = Duration::from_secs(1);

/// Samples of each copy's rate that are kept: three minutes of them.
const RATES_KEPT: usize = 180;

/// Time between two looks at the bays for watchers.
const SHOW_INTERVAL: Duration = Duration::from_millis(500);

/// Timers of one round: after a long stop there may be thousands, and bays must not wait for all of them.
const TIMERS_PER_ROUND: u32 = 50;

impl Scheduler {
    /// Round after round, until [`Scheduler::stop`]; returns when every copy has drained.
    pub async fn run(&self) {
        self.take_over().await;
        let shower = tokio::spawn(self.clone().show_to_watchers());
        let mut sampled = Instant::now();
        while !self.inner.stopping.is_cancelled() {
            self.round().await;
            if sampled.elapsed() >= ROUND_INTERVAL {
                sampled = Instant::now();
                self.sample_rates();
            }
            tokio::select! {
                () = self.inner.stopping.cancelled() => {}
                () = self.inner.wake.notified() => {}
                () = self.inner.worker.docks_changed() => {}
                () = tokio::time::sleep(ROUND_INTERVAL) => {}
            }
        }
        self.drain().await;
        shower.abort();
    }

    /// Nothing is begun, and no station is answered, before it is known what stations may run already.
    pub(super) async fn take_over(&self) {
        let known = async || {
            self.take_over_grants().await?;
            self.inner.worker.begin().await
        };
        while let Err(error) = known().await {
            tracing::error!(%error, "the copies of stations are not known yet; trying again");
            tokio::select! {
                () = self.inner.stopping.cancelled() => return,
                () = tokio::time::sleep(ROUND_INTERVAL) => {}
            }
        }
    }

    /// Rates are averages since the last sample: they have to be taken at regular intervals, and not in each round, which may be woken.
    fn sample_rates(&self) {
        for running in self.running().values_mut() {
            running.rates.push_back(running.copy.progress().bytes_per_second);
            if running.rates.len() > RATES_KEPT {
                running.rates.pop_front();
            }
        }
    }

    async fn show_to_watchers(self) {
        loop {
            tokio::time::sleep(SHOW_INTERVAL).await;
            if self.inner.shown.receiver_count() == 0 {
                continue;
            }
            if let Ok(text) = self.bays().await.map(|bays| serde_json::to_string(&bays).unwrap_or_default()) {
                self.inner.shown.send_if_modified(|shown| {
                    let is_new = **shown != *text;
                    if is_new {
                        *shown = text.into();
                    }
                    is_new
                });
            }
        }
    }

    pub(super) async fn round(&self) {
        log_failure("effects", self.carry_out_effects().await);
        log_failure("timers", self.carry_out_timers().await);
        log_failure("bays", self.serve_bays().await);
    }

    async fn carry_out_timers(&self) -> Result<(), StoreError> {
        let due = self.inner.store.due(self.now(), TIMERS_PER_ROUND).await?;
        if due.len() == TIMERS_PER_ROUND as usize {
            self.wake();
        }
        for key in due {
            let change = Change::new(SERVICE, "a timer was due", self.now());
            match self.inner.store.change(&key, &change, |_| Ok(vec![Event::Tick])).await {
                Ok(_) | Err(StoreError::NotFound(_)) => {}
                // One job that cannot be changed must not keep the others.
                Err(error) => tracing::error!(%error, "a timer of a job could not be carried out"),
            }
        }
        // Once for all that were removed; where this fails, carrying out their effects does it.
        self.inner.store.empty_of_removed().await.map(drop)
    }

    async fn serve_bays(&self) -> Result<(), StoreError> {
        let bays = self.inner.worker.bays();
        for found in self.find_idle(&bays, |bay| self.is_running_in(bay)).await? {
            if self.inner.stopping.is_cancelled() {
                return Ok(());
            }
            log_failure("bay", self.serve_bay(&found).await);
        }
        Ok(())
    }

    /// Checks in, or begins to copy, the drive in a bay where it is certain which job it is for.
    async fn serve_bay(&self, found: &Found) -> Result<(), StoreError> {
        let DecidedFor { next, job } = found.decide(self.now());
        let Some((job, drive_id)) = job else { return Ok(()) };
        if !matches!(next, Next::CheckIn | Next::Copy) {
            self.note_size(&job, &drive_id, found.drive.size_bytes).await?;
        }
        match next {
            Next::CheckIn => {
                let change = Change::new(SERVICE, "checked in a drive that was docked", self.now());
                let change = Change { claim: Some(claim_of(&found.bay, &drive_id)), ..change };
                match self.check_in_docked(&job, &change, &drive_id, found.drive.size_bytes).await {
                    Ok(_) => {
                        self.wake();
                        Ok(())
                    }
                    // Lost the race: the job changed meanwhile, or the drive was checked in by hand.
                    Err(StoreError::Refused(_) | StoreError::NotFound(_) | StoreError::BayTaken { .. }) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Next::Copy if self.is_running(&job.uid, &drive_id) => Ok(()),
            Next::Copy => self.begin_copy(&job, &drive_id, &found.bay).await,
            Next::Wait(_) | Next::WaitForOthers | Next::Unknown | Next::Undecided(_) | Next::NotShipped | Next::CameTooLate => {
                Ok(())
            }
        }
    }

    async fn check_in_docked(
        &self,
        job: &StoredJob,
        change: &Change<'_>,
        drive_id: &str,
        size_bytes: u64,
    ) -> Result<StoredJob, StoreError> {
        let checked_in = self.checked_in(job, drive_id, Some(size_bytes));
        let changed = self.inner.store.change(&job.key, change, |job| {
            if let Some(event) = checked_in {
                job.step_copy(drive_id, event, change.now)?;
            }
            Ok(vec![Event::CheckIn(drive_id.to_owned())])
        });
        changed.await
    }

    /// Notes the size of a drive that was checked in before it was docked.
    async fn note_size(&self, job: &StoredJob, drive_id: &str, size_bytes: u64) -> Result<(), StoreError> {
        let is_here = job.machine.drive(drive_id).is_some_and(|drive| drive.state == DriveState::Received);
        let is_noted = job.copies.get(drive_id).is_some_and(|record| record.size_bytes.is_some());
        let event = self.checked_in(job, drive_id, Some(size_bytes)).filter(|_| is_here && !is_noted);
        let Some(event) = event else { return Ok(()) };
        let change = Change::new(SERVICE, "noted the size of a drive", self.now());
        let changed = self.inner.store.change(&job.key, &change, |job| {
            job.step_copy(drive_id, event, change.now)?;
            Ok(Vec::new())
        });
        match changed.await {
            Ok(_) | Err(StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A failed step is logged, and the others are done all the same.
fn log_failure(step: &'static str, result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::error!(step, error = %error, "a step of the scheduler failed and is tried again");
    }
}
