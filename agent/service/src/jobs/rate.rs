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

    /// Orders a rate, or takes back what was ordered before.
    ///
    /// # Errors
    /// When the text is not an order, or the station cannot keep it.
    pub(crate) async fn set_rate(&self, actor: &Actor, text: &str) -> Result<StationRate, JobError> {
        let order: RateOrder = text.parse().map_err(JobError::Refused)?;
        let rate = self.scheduler.worker().set_rate(order).await?;
        self.store.note(&actor.name, &format!("set the rate of all copies to {order}"), self.scheduler.now()).await?;
        self.scheduler.wake();
        Ok(rate)
    }
}
