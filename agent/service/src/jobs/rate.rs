//! How fast all copies of the station may be together, by an operator's order.

use protocol::station_rate::{RateOrder, StationRate};

use super::error::JobError;
use super::service::Jobs;
use crate::store::Actor;

impl Jobs {
    /// The rate now.
    pub(crate) fn rate(&self) -> StationRate {
        self.scheduler.worker().rate()
    }

    /// Orders a rate, or takes back what was ordered before. It is kept before it counts.
    ///
    /// # Errors
    /// When the text is not an order, or the database fails.
    pub(crate) async fn set_rate(&self, actor: &Actor, text: &str) -> Result<StationRate, JobError> {
        let order: RateOrder = text.parse().map_err(JobError::Refused)?;
        // Of two orders at once, the one that is kept is the one that counts.
        let _one_at_a_time = self.rate_changes.lock().await;
        self.store.set_operator_rate(&actor.name, order, self.scheduler.now()).await?;
        self.scheduler.worker().set_rate(order);
        self.scheduler.wake();
        Ok(self.rate())
    }
}
