//! The job service from its configuration to its end.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use protocol::station_rate::{RateCap, RateOrder};
use protocol::stop::StopReason;
use service::entra::Entra;
use service::http::{Access, Front, server};
use service::jobs::Jobs;
use service::moment::Moment;
use service::notify;
use service::scheduler::{Clock, Scheduler};
use service::stations::{Fleet, FleetTimes};
use service::store::{LeaseWatch, Role, ServiceLease, Store, StoreError};
use service::{ServiceState, router};
use tokio_util::sync::CancellationToken;

use super::first_token::make_first_token;
use super::readers::command_that_closes;
use super::standby::Candidate;
use super::state_dir::open_store;
use super::{check, requirements, shutdown, standby, state_dir, wiring};
use crate::cli::ServeArguments;
use crate::local_service::{SOCKET_FILE, TOKEN_FILE, URL_FILE};
use crate::printer::Printer;
use crate::settings;
use crate::station::config::Config;
use crate::station::host::StationWorker;

/// Time between two looks whether the database was heard of.
const LEASE_INTERVAL: Duration = Duration::from_millis(250);

/// Where earlier versions kept the rate that an operator ordered, below the state directory.
const EARLIER_RATE_FILE: &str = "rate";

/// How often clients that ask no more are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

/// Serves until a signal.
pub(crate) async fn run(arguments: ServeArguments, printer: &Printer) -> u8 {
    match serve(&arguments, printer).await {
        Ok(()) => 0,
        Err(error) => {
            printer.error(&error);
            1
        }
    }
}

async fn serve(arguments: &ServeArguments, printer: &Printer) -> Result<(), String> {
    let config = configuration(arguments, printer)?;
    if arguments.check {
        return check::check(&config, arguments, printer).await;
    }
    let state_dir = settings::service_state_dir(config.state_dir.as_deref());
    let state_dir = state_dir.ok_or("neither XDG_STATE_HOME nor HOME is set: say `--state-dir DIR`")?;
    let _lock = state_dir::lock(&state_dir, printer)?;
    requirements::require_private(&config)?;
    let tls = config.tls.as_ref().map(|tls| server::tls(&tls.certificates, &tls.key)).transpose();
    let tls = tls.map_err(|error| error.to_string())?;
    let listener = server::listen(config.listen)
        .map_err(|error| format!("`{}` cannot be listened on: {error}; choose another address with `--listen`", config.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let local = state_dir::listen(&state_dir)?;
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    // A second service in one process (tests) counts with the first.
    let _ = service::install_metrics(recorder);

    let clock = wiring::clock(config.clock_offset_file.clone());
    warn_about_database(&config, arguments, &state_dir, printer);
    let notifier = wiring::notifier(&config)?;
    let mut worker = wiring::worker(&config, &state_dir, &clock)?;
    let transfers = worker.transfers.clone();
    let stop_own_after = requirements::stop_own_after(&config)?;
    let store = open_store(&state_dir, config.database.as_ref(), arguments.new_vault_key).await?;
    let (closing, front) = (CancellationToken::new(), Front::new(standby::starting()));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", reachable(address));
    let serving = tokio::spawn(server::serve(listener, local, tls, front.router(), config.connections, closing.clone()));
    let candidate = Candidate {
        holder: state_dir::identity(&state_dir)?,
        replica_url: config.replica_url.clone().unwrap_or_else(|| own_url(address, &url)),
        url: &url,
        state_dir: &state_dir,
    };
    let lease = match config.database {
        None => None,
        Some(_) => match standby::until_ours(&store, &candidate, &front, printer).await? {
            Some(lease) => Some(lease),
            None => {
                closing.cancel();
                let _ = serving.await;
                return Ok(());
            }
        },
    };
    if let Some(lease) = &lease {
        worker.grants = while_held(lease.watch(), config.station_lease());
    }
    let worker = Arc::new(worker);
    let store = lease.as_ref().map_or(store, ServiceLease::store);
    let store = store.with_jobs_per_subscription(config.jobs_per_subscription.get()).with_notices(notify::rules(&config.notify));
    make_first_token(&store, &state_dir, &clock).await?;
    warn_of_open_accounts(&config, &store, printer).await;
    worker.docks.watch();
    take_over_rate(&worker, &store, &state_dir, &clock).await?;
    worker.rates.follow();
    if lease.is_some() {
        forget_gone(&transfers, &store).await;
    }
    let fleet = Fleet::new(worker, store.clone(), clock.clone(), FleetTimes::of_lease(config.station_lease()));
    let scheduler = Scheduler::new(store.clone(), fleet.clone(), clock, config.import_container.clone());
    scheduler.notify_with(notifier);
    let entra = config.entra.clone().map(Entra::new).transpose()?.map(Arc::new);
    let accounts = config.accounts(&state_dir).iter().map(|account| account.reachable()).collect();
    let state = Arc::new(ServiceState {
        jobs: Jobs::new(store.clone(), scheduler.clone(), config.locations(), accounts),
        store: store.clone(),
        scheduler: scheduler.clone(),
        fleet: fleet.clone(),
        access: Arc::new(Access::new(config.requests_per_second, entra)),
        public_url: config.public_url.clone().map(|url| url.trim_end_matches('/').to_owned()),
        scheme,
        settings: config.shown(),
        closing: closing.clone(),
        metrics,
    });
    front.switch(router(state.clone()));
    state_dir::write_url(&state_dir, &url)?;
    printer.inform(&format!("serving on {url}; state in {}", state_dir.display()));
    tell_of_portal(state.public_url.as_deref().unwrap_or(&url), config.entra.is_some(), &state_dir, printer);
    tracing::info!(url, "serving");
    // systemd may not be there.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);

    let forgetting = tokio::spawn(forget_idle(state.clone()));
    tokio::spawn(fleet.clone().expire(closing.clone()));
    tokio::spawn(fleet.forget_removed(closing.clone()));
    let scheduling = tokio::spawn({
        let scheduler = scheduler.clone();
        async move { scheduler.run().await }
    });
    let own_copies = lease.as_ref().zip(stop_own_after);
    let own_copies = own_copies.map(|(lease, after)| tokio::spawn(stop_own_copies(scheduler.clone(), lease.watch(), after)));
    let lost = lease.as_ref().map(ServiceLease::lost);
    let end = shutdown::wait(&scheduler, &closing, lost, scheduling, serving, printer).await;
    forgetting.abort();
    if let Some(own_copies) = own_copies {
        own_copies.abort();
    }
    if let Some(lease) = lease {
        lease.release().await;
    }
    store.close().await;
    // A client that looks for it now finds nothing.
    let _ = fs::remove_file(state_dir.join(URL_FILE));
    let _ = fs::remove_file(state_dir.join(SOCKET_FILE));
    end
}

/// Says where people look, and what lets them in.
fn tell_of_portal(url: &str, has_sign_in: bool, state_dir: &Path, printer: &Printer) {
    let token = state_dir.join(TOKEN_FILE);
    let key = match (token.exists(), has_sign_in) {
        (true, true) => format!("an account of your organization, or the operator's token in `{}`", token.display()),
        (true, false) => format!("the operator's token in `{}`", token.display()),
        (false, true) => "an account of your organization".to_owned(),
        (false, false) => "a token that an operator made (`drive-agent tokens create`)".to_owned(),
    };
    printer.inform(&format!("the portal is at {url}/portal/: sign in with {key}"));
}

/// Lets copies have the rate that an operator ordered. Earlier versions kept it in a file of the state directory, which counts
/// as long as the database has no order.
async fn take_over_rate(worker: &StationWorker, store: &Store, state_dir: &Path, clock: &Clock) -> Result<(), String> {
    let failed = |error: StoreError| format!("the operator's rate cannot be taken over: {error}");
    let file = state_dir.join(EARLIER_RATE_FILE);
    let kept = store.operator_rate().await.map_err(failed)?;
    let order = match kept.or_else(|| earlier_rate(&file)) {
        Some(order) => order,
        None => return Ok(()),
    };
    if kept.is_none() {
        store.set_operator_rate("drive-agent", order, clock()).await.map_err(failed)?;
    }
    let _ = fs::remove_file(&file);
    worker.rates.order(order);
    Ok(())
}

/// The order in the file of an earlier version; a file that cannot be used is left for a person to look at.
fn earlier_rate(file: &Path) -> Option<RateOrder> {
    let read = fs::read_to_string(file).map_err(|error| (error.kind() != ErrorKind::NotFound, error.to_string()));
    let order = read.and_then(|text| text.parse::<RateCap>().map(RateOrder::Cap).map_err(|error| (true, error)));
    if let Err((true, error)) = &order {
        tracing::warn!(file = %file.display(), error, "the operator's rate that an earlier version kept cannot be used: set it again");
    }
    order.ok()
}

/// Forgets journals of jobs that were removed while another service decided.
async fn forget_gone(transfers: &Path, store: &Store) {
    let names = fs::read_dir(transfers).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let uids: Vec<String> = names.collect();
    match store.gone(&uids).await {
        Ok(gone) => {
            for uid in gone {
                if let Err(error) = fs::remove_dir_all(transfers.join(&uid)) {
                    tracing::warn!(job = uid, %error, "what was kept of a job that is gone cannot be removed");
                }
            }
        }
        Err(error) => tracing::warn!(%error, "it is not known which jobs are gone"),
    }
}

/// Where other services reach this one, unless it is said: nowhere where it listens on every address.
fn own_url(address: SocketAddr, url: &str) -> String {
    if address.ip().is_unspecified() { String::new() } else { url.to_owned() }
}

/// Whether copies in this service's own bays may still write for other hosts: another service takes it that they have stopped when a
/// grant's length has passed.
fn while_held(lease: LeaseWatch, lasts: Duration) -> Arc<dyn Fn() -> Option<u64> + Send + Sync> {
    Arc::new(move || (Moment::now() < lease.renewed().after(lasts)).then_some(0))
}

/// Stops the copies in this service's own bays when the database has not been heard of for so long that another service may soon
/// take it that they have stopped. Never returns.
async fn stop_own_copies(scheduler: Scheduler, lease: LeaseWatch, stop_after: Duration) {
    loop {
        tokio::time::sleep(LEASE_INTERVAL).await;
        if Moment::now() >= lease.renewed().after(stop_after) {
            scheduler.stop_own(StopReason::LeaseLost);
        }
    }
}

/// A password that others can read, and jobs that are in another database, are mistakes.
fn warn_about_database(config: &Config, arguments: &ServeArguments, state_dir: &Path, printer: &Printer) {
    let Some(database) = &config.database else { return };
    let secret = arguments.config.as_deref().filter(|_| database.has_password());
    if let Some(command) = secret.and_then(command_that_closes) {
        printer.warn(&format!("others can read the password of the database in the configuration: `{command}`"));
    }
    if state_dir.join("jobs.db").exists() {
        printer.warn(&format!("jobs are kept in `{database}`: those in `jobs.db` of the state directory are not served"));
    }
}

/// An account that every customer may use is a mistake as soon as there are two customers.
async fn warn_of_open_accounts(config: &Config, store: &Store, printer: &Printer) {
    let tokens = store.tokens().await.unwrap_or_default();
    let customers = tokens.iter().filter(|actor| matches!(actor.role, Role::Customer(_))).count();
    let open: Vec<&str> =
        config.account.iter().filter(|account| account.subscriptions.is_empty()).map(|account| account.name.as_str()).collect();
    if customers > 1 && (!open.is_empty() || config.account.is_empty()) {
        let names = if open.is_empty() { "local".to_owned() } else { open.join("`, `") };
        printer.warn(&format!("every customer reaches every blob of `{names}`: say whose it is with `subscriptions`"));
    }
}

fn configuration(arguments: &ServeArguments, printer: &Printer) -> Result<Config, String> {
    let mut config = wiring::read(arguments.config.as_deref(), printer)?;
    config.listen = arguments.listen.unwrap_or(config.listen);
    config.state_dir = arguments.state_dir.clone().or(config.state_dir);
    config.allow_plaintext |= arguments.allow_plaintext;
    Ok(config)
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    reachable
}

async fn forget_idle(state: Arc<ServiceState>) {
    loop {
        tokio::time::sleep(FORGET_INTERVAL).await;
        state.access.forget_idle();
        // Without it what was measured piles up where it is not asked for.
        state.metrics.run_upkeep();
    }
}
