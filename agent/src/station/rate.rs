//! What all copies of this host may move together: as an operator ordered it, else as the schedule says. The service keeps orders,
//! and gives them again after a restart.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use copy::SharedBudget;
use protocol::station_rate::{RateCap, RateOrder, RateSchedule, StationRate};
use service::scheduler::Clock;

/// How often it is looked whether the schedule has come to another rate.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The rate of a station.
pub(crate) struct StationRates {
    schedule: RateSchedule,
    operator: Mutex<Option<RateCap>>,
    budget: Arc<SharedBudget>,
    clock: Clock,
}

impl StationRates {
    /// The rate of these copies.
    pub(crate) fn new(schedule: RateSchedule, budget: Arc<SharedBudget>, clock: Clock) -> Arc<Self> {
        let rates = Arc::new(StationRates { schedule, operator: Mutex::new(None), budget, clock });
        rates.apply();
        rates
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

    /// Takes an operator's order.
    pub(crate) fn order(&self, order: RateOrder) {
        *self.operator.lock().unwrap_or_else(PoisonError::into_inner) = match order {
            RateOrder::Cap(cap) => Some(cap),
            RateOrder::Schedule => None,
        };
        self.apply();
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use protocol::station_rate::{RateAuthority, RateWindow};
    use protocol::units::ByteRate;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_operators_rate_outranks_the_schedule_until_it_is_taken_back() {
        let cap = |text: &str| text.parse::<RateCap>().unwrap();
        let (from, to) = ("08:00".parse().unwrap(), "18:00".parse().unwrap());
        let window = RateWindow::new(vec![time::Weekday::Monday], from, to, cap("50MB/s")).unwrap();
        let schedule = RateSchedule { windows: vec![window], otherwise: cap("unlimited") };
        let hours = Arc::new(AtomicI64::new(0));
        let moved = hours.clone();
        let clock: Clock =
            Arc::new(move || datetime!(2026-01-05 07:00 UTC) + time::Duration::hours(moved.load(Ordering::Relaxed)));
        let budget = Arc::new(SharedBudget::new(None, 1));
        let rates = StationRates::new(schedule, budget.clone(), clock);
        let in_force = || budget.rate().get().map(|ByteRate { bytes_per_second }| bytes_per_second);
        assert_eq!((in_force(), rates.now().set_by), (None, RateAuthority::Configuration));
        hours.store(2, Ordering::Relaxed);
        rates.apply();
        assert_eq!((in_force(), rates.now().set_by), (Some(50_000_000), RateAuthority::Schedule));
        rates.order("1MB/s".parse().unwrap());
        assert_eq!((in_force(), rates.now().set_by), (Some(1_000_000), RateAuthority::Operator));
        for _ in 0..2 {
            rates.order(RateOrder::Schedule);
            assert_eq!((in_force(), rates.now().set_by), (Some(50_000_000), RateAuthority::Schedule));
        }
    }
}
