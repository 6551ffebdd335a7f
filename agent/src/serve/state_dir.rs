//! The folder of a service's state: one service at a time, and readable by its owner alone.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use file::locked::{LockError, open_lock_file};
use file::private::close_folder;
use file::replace::write_bytes;
use protocol::digest::Sha256Digest;
use protocol::station::state_id;
use service::store::{DatabaseAddress, ServiceLease, Store, StoreError};
use service::vault::Vault;
use tokio::net::UnixListener;

use crate::local_service::{SOCKET_FILE, URL_FILE};
use crate::printer::Printer;

/// The name of the journals in the folder.
const JOURNALS_ID_FILE: &str = "journals.id";

/// Makes the state directory, and keeps a second service out of it.
pub(crate) fn lock(state_dir: &Path, printer: &Printer) -> Result<File, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the state directory `{}` cannot be used: {error}", state_dir.display());
    if close_folder(state_dir).map_err(|error| failed(&error))? {
        printer.warn(&format!("others could read `{}`, which is for its owner alone from now on", state_dir.display()));
    }
    let file = open_lock_file(&state_dir.join("service.lock")).map_err(|error| match error {
        LockError::Busy => format!("another service runs on the state directory `{}`: stop it first", state_dir.display()),
        error => failed(&format!("`service.lock`: {error}")),
    })?;
    // For people who wonder which process holds it.
    file.set_len(0).and_then(|()| writeln!(&file, "{}", std::process::id())).map_err(|error| failed(&error))?;
    Ok(file)
}

/// Listens on the socket by which commands on this machine know the service. The lock is held: a socket that is there
/// was left behind by a service that was killed.
pub(super) fn listen(state_dir: &Path) -> Result<UnixListener, String> {
    let listen = || {
        let folder = File::open(state_dir)?;
        // The address of a socket has a hundred bytes at most.
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(SOCKET_FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
        Ok(listener)
    };
    listen().map_err(|error| format!("`{SOCKET_FILE}` cannot be made in `{}`: {error}", state_dir.display()))
}

/// Opens the database, with the key of its secrets.
pub(super) async fn open_store(state_dir: &Path, server: Option<&DatabaseAddress>, new_vault_key: bool) -> Result<Store, String> {
    let path = state_dir.join("jobs.db");
    let key = state_dir.join("vault.key");
    let shown = server.map_or_else(|| path.display().to_string(), DatabaseAddress::to_string);
    let unreadable = |error: StoreError| format!("`{shown}`: {error}");
    if !new_vault_key && !key.exists() {
        let has_sealed_keys = match server {
            Some(server) => Store::server_has_vault(server).await,
            None => Store::has_sealed_keys(&path).await,
        };
        if has_sealed_keys.map_err(unreadable)? {
            let (what, otherwise) = match has_sealed_jobs(server).await.map_err(unreadable)? {
                true => ("all jobs", ". Nothing else opens them"),
                false => ("keys of customers", "; or say `--new-vault-key`, and those keys are lost"),
            };
            return Err(format!(
                "`{}` is gone, and {what} are sealed with it: put it back from a backup, or copy it from another service of the database{otherwise}",
                key.display()
            ));
        }
    }
    let vault = Vault::open(&key).map_err(|error| error.to_string())?;
    match server {
        Some(server) => {
            let store = Store::connect(server, vault).await.map_err(unreadable)?;
            if new_vault_key && ServiceLease::is_taken(&store).await.map_err(unreadable)? {
                return Err(
                    "another service uses this database with its own `vault.key`: copy that file into the state directory"
                        .to_owned(),
                );
            }
            if let Err(error) = store.require_own_vault(new_vault_key).await {
                let otherwise = match has_sealed_jobs(Some(server)).await.map_err(unreadable)? {
                    true => "",
                    false => "; or say `--new-vault-key`, and what was sealed is lost",
                };
                let error = unreadable(error);
                return Err(format!("{error}, and not with `{}`: put the right one there{otherwise}", key.display()));
            }
            store.seal_older().await.map_err(unreadable)?;
            Ok(store)
        }
        None => {
            // Personal data: for the owner alone, whatever the umask is.
            let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
            made.map_err(|error| format!("`{}` cannot be used: {error}", path.display()))?;
            Store::open(&path, vault).await.map_err(unreadable)
        }
    }
}

/// Whether all jobs are lost without the key file: those at a server are sealed.
async fn has_sealed_jobs(server: Option<&DatabaseAddress>) -> Result<bool, StoreError> {
    match server {
        Some(server) => Store::server_has_sealed_jobs(server).await,
        None => Ok(false),
    }
}

/// Says where the service is reached.
pub(super) fn write_url(state_dir: &Path, url: &str) -> Result<(), String> {
    write_line(&state_dir.join(URL_FILE), url).map_err(|error| format!("`{URL_FILE}` cannot be written: {error}"))
}

/// A name that one process at a time can have, while it holds the lock, and that says which journals are here: see
/// [`state_id`].
pub(crate) fn identity(state_dir: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("the state directory `{}` cannot be used: {error}", state_dir.display());
    let journals = match std::fs::read_to_string(state_dir.join(JOURNALS_ID_FILE)) {
        Ok(id) if is_journals_id(id.trim()) => id.trim().to_owned(),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        // None yet; or a power cut left it empty.
        _ => {
            let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").map_err(failed)?.trim().replace('-', "");
            write_line(&state_dir.join(JOURNALS_ID_FILE), &id).map_err(failed)?;
            id
        }
    };
    let folder = std::fs::metadata(state_dir).map_err(failed)?;
    let machine = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(failed)?;
    let text = format!("{}/{}/{}", machine.trim(), folder.dev(), folder.ino());
    Ok(state_id(&journals, &Sha256Digest::of(text.as_bytes()).to_string()))
}

fn is_journals_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|letter| letter.is_ascii_hexdigit())
}

/// Writes a file of one line that only its owner may read, whole or not at all.
pub(super) fn write_line(path: &Path, line: &str) -> std::io::Result<()> {
    write_bytes(path, format!("{line}\n").as_bytes())
}
