//! A copy at a station, as the scheduler sees it. Its grant is listed in the answers to the station until this is dropped.

use std::sync::Arc;

use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::stop::StopReason;

use super::fleet::Stations;
use crate::scheduler::worker::RunningCopy;

pub(super) struct RemoteCopy {
    pub(super) stations: Arc<Stations>,
    pub(super) station: String,
    pub(super) grant: String,
}

impl RunningCopy for RemoteCopy {
    fn progress(&self) -> Progress {
        let told = self.stations.with_known(&self.station, |station| station.progress(&self.grant));
        told.unwrap_or_else(|| Progress::of_nothing(Phase::Preparing))
    }

    fn unreadable_so_far(&self) -> UnreadableSoFar {
        self.stations.with_known(&self.station, |station| station.unreadable(&self.grant)).unwrap_or_default()
    }

    fn stop(&self, reason: StopReason) {
        self.stations.with_known(&self.station, |station| station.stop(&self.grant, reason));
    }
}

impl Drop for RemoteCopy {
    fn drop(&mut self) {
        self.stations.with_known(&self.station, |station| station.forget_grant(&self.grant));
    }
}
