//! Calls without HTTP, and what is granted, for a test that leads stations through virtual time.

use protocol::station::{CopyOrder, StationOrders, StationReport};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call_error::CallError;
use super::fleet::Fleet;

/// A copy that a station may run, as the service knows it.
#[derive(Debug, Clone)]
pub struct SimulatedGrant {
    /// The station.
    pub station: String,
    /// The copy, by the station's own name for the bay; its grant's name is in it.
    pub order: CopyOrder,
    /// From then on the service takes it that the copy does not run any more.
    pub ends: Instant,
    /// Its end is still waited for.
    pub is_waited_for: bool,
}

impl Fleet {
    /// The call of a station whose token was checked.
    ///
    /// # Errors
    /// When it is not answered with orders.
    pub async fn simulate_call(
        &self,
        name: &str,
        report: StationReport,
        closing: &CancellationToken,
    ) -> Result<StationOrders, CallError> {
        self.call(name, report, closing).await
    }

    /// Everything that is granted now.
    pub fn simulate_grants(&self) -> Vec<SimulatedGrant> {
        let stations = self.stations.lock();
        stations.values().flat_map(super::station::Station::simulated_grants).collect()
    }
}
