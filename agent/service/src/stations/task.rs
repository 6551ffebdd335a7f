//! Asking a station for something once: it does it, and tells what became of it.

use std::sync::Arc;
use std::time::Duration;

use protocol::station::{Action, Task, TaskResult};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::fleet::Stations;
use super::station::Station;
use super::times::FleetTimes;
use crate::names::random_name;
use crate::scheduler::worker::WorkError;

/// Time between two looks whether the station still calls.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A task that a station is asked for until this is dropped.
struct Asked {
    stations: Arc<Stations>,
    station: String,
    id: String,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.stations.with_known(&self.station, |station| station.forget_task(&self.id));
    }
}

/// Asks a station; the answer is waited for as long as the station calls.
pub(super) async fn ask(
    stations: &Arc<Stations>,
    station: &str,
    task: Task,
    times: &FleetTimes,
) -> Result<TaskResult, WorkError> {
    let id = random_name();
    let (answer, mut answered) = oneshot::channel();
    let is_away = |station: &mut Station| station.has_token().then(|| station.is_away(Instant::now(), times));
    let refuse_away = || match stations.with_known(station, is_away).flatten() {
        None => Err(WorkError::Refused(format!(
            "there is no station `{station}`: `drive-agent bays stations` lists those that have a token"
        ))),
        Some(Some(why)) => {
            let off = Action::TakeStationOff { station: station.to_owned() }.command().unwrap_or_default();
            Err(WorkError::Failed(format!(
                "{why}: try again when it does; where its host is gone for good, `{off}` takes it off"
            )))
        }
        Some(None) => Ok(()),
    };
    refuse_away()?;
    if let Some(bay) = task.bay().filter(|bay| stations.with_known(station, |station| station.has_bay(bay)) != Some(true)) {
        return Err(WorkError::Refused(format!("the station `{station}` has no bay `{bay}`")));
    }
    stations.with_known(station, |station| station.ask(&id, task, answer));
    let _asked = Asked { stations: stations.clone(), station: station.to_owned(), id };
    let cut_off = || WorkError::Failed(format!("the station `{station}` was started again meanwhile: try again"));
    loop {
        match tokio::time::timeout(LOOK_INTERVAL, &mut answered).await {
            Ok(Ok(TaskResult::Refused { message })) => return Err(WorkError::Refused(message)),
            Ok(Ok(TaskResult::Failed { message })) => return Err(WorkError::Failed(message)),
            Ok(answered) => return answered.map_err(|_| cut_off()),
            Err(_) => refuse_away()?,
        }
    }
}
