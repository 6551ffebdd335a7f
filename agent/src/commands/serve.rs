//! `drive-agent serve`: job service, scheduler and bays in one process.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use blob::retry::RetryPolicy;
use copy::{OnUnreadable, RescueOptions, StationBudget, TransferOptions, Verify};
use drive::Pace;
use metrics_exporter_prometheus::PrometheusBuilder;
use protocol::limits::MEMORY_DEFAULT_BYTES;
use protocol::units::sizes_apart;
use service::entra::Entra;
use service::http::{Access, server};
use service::jobs::Jobs;
use service::scheduler::{Clock, Scheduler};
use service::store::{Actor, Role, Store, new_secret};
use service::vault::Vault;
use service::{ServiceState, router};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::{ServeArguments, Unreadable, VerifyMode};
use crate::client::{TOKEN_FILE, URL_FILE};
use crate::printer::Printer;
use crate::settings;
use crate::signals::Signals;
use crate::station::config::{Config, Transfer};
use crate::station::docks::Docks;
use crate::station::worker::{MemoryBudget, ReachedAccount, StationWorker};

/// Memory of all copies together where nobody chose: that of four copies of their own.
const MEMORY_OF_STATION_BYTES: u64 = 4 * MEMORY_DEFAULT_BYTES;

/// How often who does not ask any more is forgotten.
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
    let state_dir = settings::service_state_dir(config.state_dir.as_deref());
    let state_dir = state_dir.ok_or("neither XDG_STATE_HOME nor HOME is set: say `--state-dir DIR`")?;
    let _lock = lock(&state_dir)?;
    if config.is_exposed() && !config.allow_plaintext {
        return Err(format!(
            "`{}` is reached by others, and without `tls` their tokens can be read on the way: configure it, or say `--allow-plaintext`",
            config.listen
        ));
    }
    let tls = config.tls.as_ref().map(|tls| server::tls(&tls.certificates, &tls.key)).transpose();
    let tls = tls.map_err(|error| error.to_string())?;
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener
        .map_err(|error| format!("`{}` cannot be listened on: {error}; choose another address with `--listen`", config.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    // A second service in one process (tests) counts with the first.
    let _ = service::install_metrics(recorder);

    let clock = clock(config.clock_offset_file.clone());
    let store = open_store(&state_dir).await?;
    make_first_token(&store, &state_dir, &clock).await?;
    warn_of_open_accounts(&config, &store, printer).await;
    let worker = Arc::new(worker(&config, &state_dir, &clock)?);
    worker.docks.watch();
    let scheduler = Scheduler::new(store.clone(), worker, clock, config.import_container.clone());
    let entra = config.entra.clone().map(Entra::new).transpose()?.map(Arc::new);
    let closing = CancellationToken::new();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let accounts = config.accounts(&state_dir).iter().map(|account| account.reachable()).collect();
    let state = Arc::new(ServiceState {
        jobs: Jobs::new(store.clone(), scheduler.clone(), config.locations(), accounts),
        store: store.clone(),
        scheduler: scheduler.clone(),
        access: Arc::new(Access::new(config.requests_per_second, entra)),
        public_url: config.public_url.clone().map(|url| url.trim_end_matches('/').to_owned()),
        scheme,
        closing: closing.clone(),
        metrics,
    });
    let url = format!("{scheme}://{}", reachable(address));
    write_whole(&state_dir.join(URL_FILE), &url).map_err(|error| format!("`{URL_FILE}` cannot be written: {error}"))?;
    printer.inform(&format!("serving on {url}; state in {}", state_dir.display()));
    tracing::info!(url, "serving");
    // systemd may not be there.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);

    let forgetting = tokio::spawn(forget_idle(state.clone()));
    let scheduling = tokio::spawn({
        let scheduler = scheduler.clone();
        async move { scheduler.run().await }
    });
    let serving = tokio::spawn(server::serve(listener, tls, router(state), config.connections, closing.clone()));
    let mut signals = Signals::take();
    signals.first().await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    printer.inform("stopping: copies drain, and go on when the service does; once more to drop what is in flight");
    closing.cancel();
    scheduler.stop();
    let drained = async {
        let _ = scheduling.await;
        let _ = serving.await;
    };
    tokio::select! {
        () = drained => {}
        () = abort_at_second_signal(&mut signals, &scheduler) => {}
    }
    forgetting.abort();
    store.close().await;
    // Whoever looks for it now finds nobody.
    let _ = fs::remove_file(state_dir.join(URL_FILE));
    Ok(())
}

/// Never returns: the drain ends sooner for it.
async fn abort_at_second_signal(signals: &mut Signals, scheduler: &Scheduler) {
    signals.second().await;
    scheduler.abort();
    std::future::pending::<()>().await;
}

/// An account that is everybody's is a mistake as soon as there are two customers.
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
    let mut config = match &arguments.config {
        None => Config::default(),
        Some(path) => {
            let (config, unknown) = Config::read(path)?;
            for key in unknown {
                printer.warn(&format!("`{}`: the key `{key}` means nothing, and is ignored", path.display()));
            }
            config
        }
    };
    config.listen = arguments.listen.unwrap_or(config.listen);
    config.state_dir = arguments.state_dir.clone().or(config.state_dir);
    config.allow_plaintext |= arguments.allow_plaintext;
    Ok(config)
}

/// Makes the state directory, and keeps a second service out of it.
fn lock(state_dir: &Path) -> Result<File, String> {
    let failed = |error: std::io::Error| format!("the state directory `{}` cannot be used: {error}", state_dir.display());
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(failed)?;
    let path = state_dir.join("service.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            // For people who wonder who holds it.
            file.set_len(0).and_then(|()| writeln!(&file, "{}", std::process::id())).map_err(failed)?;
            Ok(file)
        }
        Err(_) => Err(format!("another service runs on the state directory `{}`: stop it first", state_dir.display())),
    }
}

/// The clock, moved by as many seconds as a file says.
fn clock(offset_file: Option<PathBuf>) -> Clock {
    Arc::new(move || {
        let offset = offset_file.as_ref().and_then(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
        let now = OffsetDateTime::now_utc();
        now.checked_add(time::Duration::seconds(offset.unwrap_or(0))).unwrap_or(now)
    })
}

async fn open_store(state_dir: &Path) -> Result<Store, String> {
    let vault = Vault::open(&state_dir.join("vault.key")).map_err(|error| error.to_string())?;
    let path = state_dir.join("jobs.db");
    // Personal data: for nobody else, whatever the umask is.
    let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    made.map_err(|error| format!("`{}` cannot be used: {error}", path.display()))?;
    Store::open(&path, vault).await.map_err(|error| format!("`{}`: {error}", path.display()))
}

/// On first start there is one operator, whose token is in a file.
async fn make_first_token(store: &Store, state_dir: &Path, clock: &Clock) -> Result<(), String> {
    let path = state_dir.join(TOKEN_FILE);
    let failed = |error: &dyn std::fmt::Display| format!("the first operator's token cannot be made: {error}");
    let known = store.tokens().await.map_err(|error| failed(&error))?;
    if known.iter().any(|actor| actor.role == Role::Operator) {
        return Ok(());
    }
    let actor = Actor { name: "operator".to_owned(), role: Role::Operator };
    // The file first: a token that is in no file would lock everybody out.
    let secret = new_secret();
    write_whole(&path, &secret).map_err(|error| failed(&error))?;
    store.accept_token(&secret, &actor, "first start", clock()).await.map_err(|error| failed(&error))
}

/// Writes a file of one line that only its owner may read, whole or not at all.
fn write_whole(path: &Path, line: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{line}")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

fn worker(config: &Config, state_dir: &Path, clock: &Clock) -> Result<StationWorker, String> {
    let transfers = state_dir.join("transfers");
    let failed = |path: &Path, error: std::io::Error| format!("`{}` cannot be made: {error}", path.display());
    DirBuilder::new().recursive(true).mode(0o700).create(&transfers).map_err(|error| failed(&transfers, error))?;
    let mut accounts = HashMap::new();
    for account in config.accounts(state_dir) {
        if config.account.is_empty() {
            fs::create_dir_all(&account.store).map_err(|error| failed(Path::new(&account.store), error))?;
        }
        let reached = account.reach()?;
        let address = reached.address();
        // A directory is the station's business.
        let own = if address.contains("://") { address } else { account.name.clone() };
        let public = account.public_url.clone().unwrap_or(own).trim_end_matches('/').to_owned();
        accounts.insert(account.name.to_lowercase(), ReachedAccount { account: reached, public });
    }
    let folders = config.drive_folders.clone().or_else(|| (!config.listen.ip().is_loopback()).then(Vec::new));
    let hash_threads = config.budget.hash_threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from));
    let memory = config.budget.memory.map_or(MEMORY_OF_STATION_BYTES, |memory| memory.0);
    if let Some(machine) = copy::machine_memory_bytes().filter(|machine| config.budget.memory.is_some() && memory > *machine) {
        let (memory, machine) = sizes_apart(memory, machine);
        return Err(format!("`budget.memory` is {memory}, and this machine has {machine}: lower it"));
    }
    Ok(StationWorker {
        docks: Docks::new(&config.bay, folders, clock.clone(), state_dir.join("docked.json")),
        accounts,
        options: transfer_options(&config.transfer, &transfers),
        budget: Arc::new(StationBudget::new(config.budget.rate, hash_threads)),
        memory: MemoryBudget::new(memory, config.bay.len()),
        transfers,
        pace: config.transfer.time_scale.unwrap_or(Pace::Scaled(1.0)),
    })
}

fn transfer_options(transfer: &Transfer, transfers: &Path) -> TransferOptions {
    let defaults = TransferOptions::new(transfers.to_owned());
    TransferOptions {
        chunk_size: transfer.chunk_size,
        on_unreadable: match transfer.on_unreadable {
            None | Some(Unreadable::Stop) => OnUnreadable::Stop,
            Some(Unreadable::Skip) => OnUnreadable::Skip,
            Some(Unreadable::Rescue) => OnUnreadable::Rescue,
        },
        rescue: RescueOptions {
            max_unreadable: transfer.max_unreadable,
            retry_passes: transfer.retry_passes.unwrap_or(1),
            ..RescueOptions::default()
        },
        verify: match transfer.verify {
            None | Some(VerifyMode::None) => Verify::None,
            Some(VerifyMode::ReadBack) => Verify::ReadBack,
        },
        drain_timeout: transfer.drain_timeout.unwrap_or(defaults.drain_timeout),
        read_timeout: transfer.read_timeout.unwrap_or(defaults.read_timeout),
        request_timeout: transfer.request_timeout.unwrap_or(defaults.request_timeout),
        retry: RetryPolicy { budget: transfer.retry_budget.unwrap_or(defaults.retry.budget), ..defaults.retry },
        // Nobody sits before it: a store that is away for a moment at the beginning may come.
        first_contact_budget: transfer.retry_budget.unwrap_or(defaults.retry.budget),
        ..defaults
    }
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
        // Without it what was measured piles up where nobody asks for it.
        state.metrics.run_upkeep();
    }
}
