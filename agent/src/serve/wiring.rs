//! From the configuration to the parts that it describes.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::retry::RetryPolicy;
use copy::{OnUnreadable, RescueOptions, SharedBudget, TransferOptions, Verify};
use drive::{Pace, ProfileRule};
use file::private::make_folder;
use protocol::limits::MEMORY_DEFAULT_BYTES;
use protocol::units::sizes_apart;
use service::notify::Notifier;
use service::scheduler::Clock;
use time::OffsetDateTime;

use crate::printer::Printer;
use crate::station::accounts::{ReachedAccount, place_of};
use crate::station::config::{Config, Transfer};
use crate::station::docks::Docks;
use crate::station::host::{StationWorker, Turns};
use crate::station::memory::MemoryBudget;
use crate::station::rate::StationRates;

/// Memory of all copies together where it was not chosen: that of four copies of their own.
const MEMORY_OF_STATION_BYTES: u64 = 4 * MEMORY_DEFAULT_BYTES;

/// The clock, moved by as many seconds as a file says.
pub(crate) fn clock(offset_file: Option<PathBuf>) -> Clock {
    Arc::new(move || {
        let offset = offset_file.as_ref().and_then(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
        let now = OffsetDateTime::now_utc();
        now.checked_add(time::Duration::seconds(offset.unwrap_or(0))).unwrap_or(now)
    })
}

/// The configuration in a file, with a warning for each key that means nothing; the default one where none is named.
///
/// # Errors
/// With one sentence, where it cannot be used.
pub(crate) fn read(path: Option<&Path>, printer: &Printer) -> Result<Config, String> {
    let Some(path) = path else { return Ok(Config::default()) };
    let (config, unknown) = Config::read(path)?;
    for key in unknown {
        printer.warn(&format!("`{}`: the key `{key}` means nothing, and is ignored", path.display()));
    }
    Ok(config)
}

/// Who is told of jobs.
///
/// # Errors
/// With one sentence that names the setting.
pub(super) fn notifier(config: &Config) -> Result<Notifier, String> {
    Notifier::new(&config.notify, config.smtp.as_ref(), config.public_url.as_deref())
}

/// The data plane of a station, by the machine's clock.
///
/// # Errors
/// With one sentence, where the configuration cannot be used.
pub(crate) fn worker_of(config: &Config, state_dir: &Path) -> Result<StationWorker, String> {
    // Those who dock drives are elsewhere: no file of this host is theirs, unless that is said.
    let folders = config.drive_folders.clone().or(Some(Vec::new()));
    let config = Config { drive_folders: folders, ..config.clone() };
    worker(&config, state_dir, &clock(config.clock_offset_file.clone()))
}

/// The data plane that the configuration describes.
pub(super) fn worker(config: &Config, state_dir: &Path, clock: &Clock) -> Result<StationWorker, String> {
    let transfers = state_dir.join("transfers");
    let failed = |path: &Path, error: std::io::Error| format!("`{}` cannot be made: {error}", path.display());
    make_folder(&transfers).map_err(|error| failed(&transfers, error))?;
    let network = config.transfer.network()?;
    let mut accounts = HashMap::new();
    for account in config.accounts(state_dir) {
        if config.account.is_empty() {
            make_folder(Path::new(&account.store)).map_err(|error| failed(Path::new(&account.store), error))?;
        }
        let reached = account.reach(&network)?;
        let address = reached.address();
        let place = place_of(&address);
        // A directory is the station's business.
        let own = if address.contains("://") { address } else { account.name.clone() };
        let public = account.public_url.clone().unwrap_or(own).trim_end_matches('/').to_owned();
        // Of AWS and Google there is no server in an address: a bucket follows the scheme.
        let public = if matches!(&*public, "s3:" | "gs:") { format!("{public}/") } else { public };
        accounts.insert(account.name.to_lowercase(), ReachedAccount { account: reached, public, place });
    }
    if let Some(list) = &config.weak_serials {
        // Before any bay is looked at.
        drive::use_weak_serials(list)?;
    }
    let folders = config.drive_folders.clone().or_else(|| (!config.listen.ip().is_loopback()).then(Vec::new));
    drive::limit_profiles(if config.profiles { ProfileRule::Within(folders.clone()) } else { ProfileRule::None })?;
    let hash_threads = config.budget.hash_threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from));
    let memory = config.budget.memory.map_or(MEMORY_OF_STATION_BYTES, |memory| memory.0);
    if let Some(machine) = copy::machine_memory_bytes().filter(|machine| config.budget.memory.is_some() && memory > *machine) {
        let (memory, machine) = sizes_apart(memory, machine);
        return Err(format!("`budget.memory` is {memory}, and this machine has {machine}: lower it"));
    }
    let budget = Arc::new(SharedBudget::new(config.budget.rate, hash_threads));
    let rates = StationRates::new(config.budget.rates()?, budget.clone(), clock.clone());
    Ok(StationWorker {
        docks: Docks::new(&config.bay, folders, clock.clone(), state_dir.join("docked.json")),
        accounts,
        options: transfer_options(&config.transfer, &transfers),
        budget,
        rates,
        memory: MemoryBudget::new(memory, config.bay.len()),
        transfers,
        pace: config.transfer.time_scale.unwrap_or(Pace::Scaled(1.0)),
        grants: Arc::new(|| Some(0)),
        turns: Turns::default(),
    })
}

pub(super) fn transfer_options(transfer: &Transfer, transfers: &Path) -> TransferOptions {
    let defaults = TransferOptions::new(transfers.to_owned());
    TransferOptions {
        chunk_size: transfer.chunk_size,
        on_unreadable: transfer.on_unreadable.map_or(OnUnreadable::Stop, OnUnreadable::from),
        rescue: RescueOptions {
            max_unreadable: transfer.max_unreadable,
            retry_passes: transfer.retry_passes.unwrap_or(1),
            ..RescueOptions::default()
        },
        verify: transfer.verify.map_or(Verify::None, Verify::from),
        drain_timeout: transfer.drain_timeout.unwrap_or(defaults.drain_timeout),
        read_timeout: transfer.read_timeout.unwrap_or(defaults.read_timeout),
        request_timeout: transfer.request_timeout.unwrap_or(defaults.request_timeout),
        retry: RetryPolicy { budget: transfer.retry_budget.unwrap_or(defaults.retry.budget), ..defaults.retry },
        // No person waits for it: a store that is away for a moment at the beginning may come.
        first_contact_budget: transfer.retry_budget.unwrap_or(defaults.retry.budget),
        ..defaults
    }
}
