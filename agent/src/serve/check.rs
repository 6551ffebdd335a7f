//! `serve --check`: whether the service would find what its configuration names. Nothing is changed, and nothing is served.

use std::path::Path;
use std::time::Duration;

use blob::{BlobErrorKind, UploadPlan};
use service::store::Store;
use service::vault::Vault;

use super::{requirements, wiring};
use crate::cli::ServeArguments;
use crate::printer::Printer;
use crate::settings;
use crate::station::config::{Account, Config};

/// How long an account or a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The name of a blob that is asked about, and is not there.
const CHECK: &str = "drive-agent-check";

/// Says of each part whether it can be used; an error names those that cannot.
pub(super) async fn check(config: &Config, arguments: &ServeArguments, printer: &Printer) -> Result<(), String> {
    let state_dir = settings::service_state_dir(config.state_dir.as_deref());
    let state_dir = state_dir.ok_or("neither XDG_STATE_HOME nor HOME is set: say `--state-dir DIR`")?;
    let mut failed = Vec::new();
    let mut note = |part: String, result: Result<(), String>| match result {
        Ok(()) => printer.inform(&format!("{part}: can be used")),
        Err(why) => {
            printer.error(&format!("{part}: {why}"));
            failed.push(part);
        }
    };
    let file = arguments.config.as_ref().map_or_else(|| "the configuration".to_owned(), |path| format!("`{}`", path.display()));
    note(file, requirements::require_private(config).and_then(|()| requirements::stop_own_after(config).map(drop)));
    let key = state_dir.join("vault.key");
    // A start makes one where there is none; this does not.
    if key.exists() {
        note("`vault.key`".to_owned(), Vault::open(&key).map(drop).map_err(|error| error.to_string()));
    }
    if let Some(server) = &config.database {
        let asked = tokio::time::timeout(TIMEOUT, Store::server_has_vault(server)).await;
        let asked = asked.map_err(|_| "it does not answer".to_owned());
        let has_vault = asked.and_then(|asked| asked.map_err(|error| error.to_string()));
        let usable = match has_vault {
            Ok(true) if !key.exists() => Err(format!(
                "what is in it is sealed with a key file, and `{}` is not there: copy the `vault.key` of another service to it",
                key.display()
            )),
            has_vault => has_vault.map(drop),
        };
        note(format!("the database `{server}`"), usable);
    }
    if let Some(tls) = &config.tls {
        let read = service::http::server::tls(&tls.certificates, &tls.key);
        note("`tls`".to_owned(), read.map(drop).map_err(|error| error.to_string()));
    }
    if !config.notify.is_empty() || config.smtp.is_some() {
        let asked = match wiring::notifier(config) {
            Ok(notifier) => {
                let asked = tokio::time::timeout(TIMEOUT, notifier.check_mail()).await;
                asked.unwrap_or_else(|_| Err("the mail server does not answer".to_owned()))
            }
            Err(error) => Err(error),
        };
        note("`notify`".to_owned(), asked);
    }
    for account in config.accounts(&state_dir) {
        let asked = tokio::time::timeout(TIMEOUT, ask(config, &account)).await;
        note(format!("the account `{}`", account.name), asked.unwrap_or_else(|_| Err("it does not answer".to_owned())));
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("{} cannot be used", failed.join(", "))),
    }
}

/// Asks an account for something that changes nothing.
async fn ask(config: &Config, account: &Account) -> Result<(), String> {
    // The directory of an account that was not configured is made with the service.
    if config.account.is_empty() && !Path::new(&account.store).exists() {
        return Ok(());
    }
    let reached = account.reach(&config.transfer.network()?)?;
    reached.blobs(&config.import_container, CHECK).await.map_err(|error| error.to_string())?;
    match account.staging_bucket() {
        Some(bucket) => ask_staging(&*reached, &config.import_container, &bucket).await,
        None => Ok(()),
    }
}

/// Asks whether pieces may be listed where imports put them. A container that is there at the first import alone is not missed.
async fn ask_staging(account: &dyn blob::Account, container: &str, bucket: &str) -> Result<(), String> {
    let blob = account.blob(container, CHECK).map_err(|error| error.to_string())?;
    let plan = UploadPlan { total_bytes: 0, data_bytes_max: 0, overwrite: false, own_transfer_ids: Vec::new() };
    match blob.preflight(&plan).await {
        Err(error) if error.kind == BlobErrorKind::ContainerNotFound && bucket == container => Ok(()),
        asked => asked.map(drop).map_err(|error| format!("`staging`: {error}")),
    }
}
