//! What a configuration must be for a service to start, beside the parts that it names.

use std::path::Path;
use std::time::Duration;

use protocol::station::STOP_MARGIN;

use super::wiring::transfer_options;
use crate::station::config::Config;
use crate::station::host::stops_within;

/// Refuses to be reached by others without TLS, unless that was asked for.
pub(super) fn require_private(config: &Config) -> Result<(), String> {
    if !config.is_exposed() || config.allow_plaintext {
        return Ok(());
    }
    Err(format!(
        "`{}` is reached by others, and without `tls` their tokens can be read on the way: configure it, or say `--allow-plaintext`",
        config.listen
    ))
}

/// How long after the last renewal of the lease copies in the service's own bays are stopped, so that they have ended before another
/// service takes it that they have; `None` without bays of its own, or a successor.
pub(super) fn stop_own_after(config: &Config) -> Result<Option<Duration>, String> {
    if config.database.is_none() || config.bay.is_empty() {
        return Ok(None);
    }
    let (lease, stops_within) = (config.station_lease(), stops_within(&transfer_options(&config.transfer, Path::new(""))));
    if stops_within > lease / 2 {
        return Err(format!(
            "a stop of copies may take {} s, which is more than half of `station_lease`: lower `drain_timeout`",
            stops_within.as_secs()
        ));
    }
    Ok(Some(lease.saturating_sub(stops_within).saturating_sub(STOP_MARGIN)))
}
