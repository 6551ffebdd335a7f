//! The loop of rounds, and what each round does about effects, timers and bays.

use std::time::Duration;

use protocol::job::Event;
use protocol::stop::StopReason;

use super::handle::{SERVICE, Scheduler};
use super::next::{Next, name_in_job, next};
use super::worker::BayContent;
use crate::store::{Change, StoreError};

/// The longest time between two rounds.
const ROUND_INTERVAL: Duration = Duration::from_secs(1);

/// Samples of each copy's rate that are kept: three minutes of them.
const RATES_KEPT: usize = 180;

/// Time between two looks at the bays for watchers.
const SHOW_INTERVAL: Duration = Duration::from_millis(500);

/// Time between two looks at the copies that drain at the end.
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);

/// Timers of one round: after a long stop there may be thousands, and bays must not wait for all of them.
const TIMERS_PER_ROUND: u32 = 50;

impl Scheduler {
    /// Round after round, until [`Scheduler::stop`]; returns when every copy has drained.
    pub async fn run(&self) {
        let shower = tokio::spawn(self.clone().show_to_watchers());
        while !self.inner.stopping.is_cancelled() {
            self.round().await;
            self.sample_rates();
            tokio::select! {
                () = self.inner.stopping.cancelled() => {}
                () = self.inner.wake.notified() => {}
                () = self.inner.worker.docks_changed() => {}
                () = tokio::time::sleep(ROUND_INTERVAL) => {}
            }
        }
        self.stop_all(StopReason::Terminated);
        while !self.running().is_empty() {
            tokio::time::sleep(DRAIN_INTERVAL).await;
        }
        shower.abort();
    }

    /// Rates are averages since the last sample: they have to be taken at regular intervals.
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
        for bay in self.inner.worker.bays() {
            if self.inner.stopping.is_cancelled() {
                return;
            }
            log_failure("bays", self.serve_bay(&bay).await);
        }
    }

    async fn carry_out_timers(&self) -> Result<(), StoreError> {
        let due = self.inner.store.due(self.now(), TIMERS_PER_ROUND).await?;
        if due.len() == TIMERS_PER_ROUND as usize {
            self.wake();
        }
        for key in due {
            let change = Change { actor: SERVICE, action: "a timer was due", version: None, now: self.now() };
            match self.inner.store.change(&key, &change, |_| Ok(vec![Event::Tick])).await {
                Ok(_) | Err(StoreError::NotFound(_)) => {}
                // One job that cannot be changed must not keep the others.
                Err(error) => tracing::error!(%error, "a timer of a job could not be carried out"),
            }
        }
        Ok(())
    }

    /// Checks in, or begins to copy, the drive in a bay where exactly one job waits for it.
    async fn serve_bay(&self, bay: &BayContent) -> Result<(), StoreError> {
        if self.is_running_in(&bay.name) {
            return Ok(());
        }
        let Some(found) = self.find(bay).await? else { return Ok(()) };
        let (next, job) = next(&found, self.now());
        let Some(job) = job else { return Ok(()) };
        match next {
            Next::CheckIn => {
                let drive_id = name_in_job(job, &found.id);
                let change =
                    Change { actor: SERVICE, action: "checked in a drive that was docked", version: None, now: self.now() };
                match self.inner.store.change(&job.key, &change, |_| Ok(vec![Event::CheckIn(drive_id)])).await {
                    Ok(job) => {
                        self.inner.store.note_docking(&bay.name, &job.uid, &found.id, self.now()).await?;
                        self.wake();
                        Ok(())
                    }
                    // Lost the race: the job changed meanwhile.
                    Err(StoreError::Refused(_) | StoreError::NotFound(_)) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Next::Copy => {
                self.inner.store.note_docking(&bay.name, &job.uid, &found.id, self.now()).await?;
                self.begin_copy(job, &name_in_job(job, &found.id), bay).await
            }
            Next::Wait(_) | Next::Unknown | Next::Ambiguous(_) | Next::NotShipped => Ok(()),
        }
    }
}

/// A failed step is logged, and the others are done all the same.
fn log_failure(step: &'static str, result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::error!(step, error = %error, "a step of the scheduler failed and is tried again");
    }
}
