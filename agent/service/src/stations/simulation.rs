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
        let grant = |name: &String, (order, ends, is_waited_for): (&CopyOrder, Instant, bool)| SimulatedGrant {
            station: name.clone(),
            order: order.clone(),
            ends,
            is_waited_for,
        };
        stations.iter().flat_map(|(name, station)| station.granted().map(|granted| grant(name, granted))).collect()
    }
}
