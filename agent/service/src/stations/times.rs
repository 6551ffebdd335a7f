//! How long grants last.

use std::time::Duration;

/// Longest until a station that does not call counts as away. A call waits half as long for something new at most.
const AWAY_AFTER_MAX: Duration = Duration::from_secs(40);

/// How long grants last, and when a station counts as away.
#[derive(Debug, Clone, Copy)]
pub struct FleetTimes {
    /// How long a grant lasts after an answer.
    pub lease: Duration,
    /// A station that did not call for this long is away: nothing is decided about its bays.
    pub away_after: Duration,
}

impl FleetTimes {
    /// The times that go with grants of this length.
    pub fn of_lease(lease: Duration) -> Self {
        FleetTimes { lease, away_after: (lease / 2).min(AWAY_AFTER_MAX) }
    }
}
