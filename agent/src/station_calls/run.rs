//! From the command line to the end: the first signal lets copies drain and tells the service how they ended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::stop::StopReason;
use protocol::text::is_word;
use service::moment::Moment;
use service::scheduler::worker::Worker;

use super::calls::{Calls, Identity};
use super::copies::Copies;
use super::lease::Lease;
use super::tasks::Tasks;
use crate::cli::{ConnectArguments, StationArguments};
use crate::client::JobService;
use crate::printer::Printer;
use crate::serve::{clock, identity, lock, read, worker_of};
use crate::settings;
use crate::signals::Signals;
use crate::station::config::Config;

/// How long the service is called for the ends of copies after the last one has ended.
const FINISH_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest name of a hall: it is a heading in the portal.
const HALL_LETTERS_MAX: usize = 64;

/// Works for a service until a signal.
pub(crate) async fn run(arguments: StationArguments, printer: &Printer) -> u8 {
    match station(&arguments, printer).await {
        Ok(()) => 0,
        Err(error) => {
            printer.error(&error);
            1
        }
    }
}

async fn station(arguments: &StationArguments, printer: &Printer) -> Result<(), String> {
    let config = configuration(arguments, printer)?;
    let state_dir = settings::service_state_dir(arguments.state_dir.as_deref().or(config.state_dir.as_deref()));
    let state_dir = state_dir.ok_or("neither XDG_STATE_HOME nor HOME is set: say `--state-dir DIR`")?;
    let _lock = lock(&state_dir, printer)?;
    let name = arguments.name.clone().map_or_else(host_name, Ok)?;
    if !is_word(&name) {
        return Err(format!("`{name}` cannot be the name of a station: 1 to 128 letters, digits and signs; say `--name NAME`"));
    }
    let hall = arguments.hall.as_deref().map(str::trim).map(str::to_owned);
    if hall.as_ref().is_some_and(|hall| hall.is_empty() || hall.chars().count() > HALL_LETTERS_MAX) {
        return Err(format!("`--hall` needs a name of 1 to {HALL_LETTERS_MAX} letters, or is left out"));
    }
    let services = arguments.service.iter().map(|url| reach(arguments, url)).collect::<Result<Vec<_>, String>>()?;
    let mut station = worker_of(&config, &state_dir)?;
    station.docks.watch();
    station.rates.follow();
    let (accounts, lease) = (station.places(), Arc::new(Lease::new(station.stops_within())));
    let own = lease.clone();
    station.grants = Arc::new(move || own.holds(Moment::now()));
    let worker: Arc<dyn Worker> = Arc::new(station);
    let clock = clock(config.clock_offset_file.clone());
    let identity =
        Identity { name, hall, state_id: identity(&state_dir)?, process: Moment::now().nanoseconds(), accounts, clock };
    printer.inform(&format!("the station `{}` calls {}; state in {}", identity.name, addresses(&services), state_dir.display()));
    let calls = Calls {
        services,
        copies: Copies::new(worker.clone()),
        tasks: Tasks::new(worker.clone()),
        worker,
        lease,
        identity,
        last: Mutex::default(),
        printer: printer.clone(),
    };
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    until_end(&calls, printer).await
}

async fn until_end(calls: &Calls, printer: &Printer) -> Result<(), String> {
    let mut signals = Signals::take();
    let (end, reason) = tokio::select! {
        _ = signals.first() => (Ok(()), StopReason::Terminated),
        error = calls.run() => (Err(error.to_string()), StopReason::LeaseLost),
        () = calls.watch_lease() => (Ok(()), StopReason::LeaseLost),
    };
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    if calls.copies.is_running() {
        printer.inform("stopping: copies drain, and resume when the station does; once more to drop what is in flight");
    }
    calls.copies.stop_all(reason);
    let ended = async {
        while calls.copies.is_running() {
            calls.copies.changed.notified().await;
        }
    };
    tokio::select! {
        () = ended => {}
        () = async {
            signals.second().await;
            calls.copies.stop_all(StopReason::SecondSignal);
            std::future::pending::<()>().await;
        } => {}
    }
    // A service that is away learns the ends from the journals, when the station is back.
    if end.is_ok() && tokio::time::timeout(FINISH_TIMEOUT, calls.finish()).await.is_err() {
        printer.warn("the service did not answer: it learns how the copies ended when the station calls again");
    }
    end
}

/// A service, by the arguments of its station.
fn reach(arguments: &StationArguments, url: &str) -> Result<JobService, String> {
    let connect = ConnectArguments {
        server: Some(url.to_owned()),
        token_file: Some(arguments.token_file.clone()),
        state_dir: None,
        ca: arguments.ca.clone(),
    };
    JobService::named_by("--service", &connect).map_err(|error| error.to_string())
}

fn addresses(services: &[JobService]) -> String {
    services.iter().map(JobService::address).collect::<Vec<_>>().join(", ")
}

fn configuration(arguments: &StationArguments, printer: &Printer) -> Result<Config, String> {
    let config = read(arguments.config.as_deref(), printer)?;
    match &arguments.config {
        Some(path) if config.database.is_some() => {
            Err(format!("`{}` has a `database`: a station keeps no jobs; leave it out", path.display()))
        }
        _ => Ok(config),
    }
}

fn host_name() -> Result<String, String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { Err("this host has no name: say `--name NAME`".to_owned()) } else { Ok(name) }
}
