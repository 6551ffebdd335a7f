//! What all copies of this host may move together: an operator's word, which is kept over restarts, else the schedule.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use copy::SharedBudget;
use file::replace::write_bytes;
use protocol::station_rate::{RateCap, RateOrder, RateSchedule, StationRate};
use service::scheduler::Clock;
use service::scheduler::worker::WorkError;

/// How often it is looked whether the schedule has come to another rate.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Where an operator's rate is kept, below the state directory.
const FILE: &str = "rate";

/// The rate of a station.
pub(crate) struct StationRates {
    schedule: RateSchedule,
    operator: Mutex<Option<RateCap>>,
    file: PathBuf,
    budget: Arc<SharedBudget>,
    clock: Clock,
}

impl StationRates {
    /// The rate of these copies; an operator's that was kept counts from the beginning.
    ///
    /// # Errors
    /// When what was kept cannot be understood.
    pub(crate) fn open(
        schedule: RateSchedule,
        state_dir: &Path,
        budget: Arc<SharedBudget>,
        clock: Clock,
    ) -> Result<Arc<Self>, String> {
        let file = state_dir.join(FILE);
        let unusable = |why: String| {
            format!("the operator's rate in `{}` cannot be used: {why}; remove the file, and set the rate again", file.display())
        };
        let operator = match std::fs::read_to_string(&file) {
            Ok(text) => Some(text.parse().map_err(unusable)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(error.to_string())),
        };
        let rates = Arc::new(StationRates { schedule, operator: Mutex::new(operator), file, budget, clock });
        rates.apply();
        Ok(rates)
    }

    /// The rate now.
    pub(crate) fn now(&self) -> StationRate {
        let operator = *self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        StationRate::new(self.schedule.at(operator, (self.clock)()))
    }

    /// Lets the copies have the rate of now.
    fn apply(&self) {
        let operator = *self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        let (RateCap(rate), _) = self.schedule.at(operator, (self.clock)());
        self.budget.rate().set(rate);
    }

    /// Takes an operator's order; it is kept before it counts.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn order(&self, order: RateOrder) -> Result<StationRate, WorkError> {
        // Held until it is on the disk: of two orders the one that is kept is the one that counts.
        let mut operator = self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        let (new, kept) = match order {
            RateOrder::Cap(cap) => (Some(cap), write_bytes(&self.file, format!("{cap}\n").as_bytes())),
            RateOrder::Schedule => (None, remove(&self.file)),
        };
        kept.map_err(|error| WorkError::Failed(format!("the rate cannot be kept in `{}`: {error}", self.file.display())))?;
        *operator = new;
        drop(operator);
        self.apply();
        Ok(self.now())
    }

    /// Follows the schedule until the process ends.
    pub(crate) fn follow(self: &Arc<Self>) {
        let rates = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                rates.apply();
            }
        });
    }
}

fn remove(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => file::replace::sync_folder(file),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use protocol::station_rate::{RateAuthority, RateWindow};
    use protocol::units::ByteRate;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_operators_rate_outranks_the_schedule_and_a_restart_until_it_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let cap = |text: &str| text.parse::<RateCap>().unwrap();
        let (from, to) = ("08:00".parse().unwrap(), "18:00".parse().unwrap());
        let window = RateWindow::new(vec![time::Weekday::Monday], from, to, cap("50MB/s")).unwrap();
        let schedule = RateSchedule { windows: vec![window], otherwise: cap("unlimited") };
        let hours = Arc::new(AtomicI64::new(0));
        let moved = hours.clone();
        let clock: Clock =
            Arc::new(move || datetime!(2026-01-05 07:00 UTC) + time::Duration::hours(moved.load(Ordering::Relaxed)));
        let budget = Arc::new(SharedBudget::new(None, 1));
        let open = || StationRates::open(schedule.clone(), folder.path(), budget.clone(), clock.clone());
        let rates = open().unwrap();
        let in_force = || budget.rate().get().map(|ByteRate { bytes_per_second }| bytes_per_second);
        assert_eq!((in_force(), rates.now().set_by), (None, RateAuthority::Configuration));
        hours.store(2, Ordering::Relaxed);
        rates.apply();
        assert_eq!((in_force(), rates.now().set_by), (Some(50_000_000), RateAuthority::Schedule));
        rates.order("1MB/s".parse().unwrap()).unwrap();
        assert_eq!((in_force(), rates.now().set_by), (Some(1_000_000), RateAuthority::Operator));
        drop(rates);
        let rates = open().unwrap();
        assert_eq!((in_force(), rates.now().set_by), (Some(1_000_000), RateAuthority::Operator));
        for _ in 0..2 {
            rates.order(RateOrder::Schedule).unwrap();
            assert_eq!((in_force(), rates.now().set_by), (Some(50_000_000), RateAuthority::Schedule));
        }
        std::fs::write(folder.path().join(FILE), "fast").unwrap();
        let error = open().err().unwrap();
        assert!(error.contains("`fast`") && error.contains("remove the file"), "{error}");
    }
}
