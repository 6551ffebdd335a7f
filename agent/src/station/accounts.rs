//! Blob accounts that this host can reach, and what customers call them.

use std::path::Path;
use std::sync::Arc;

use blob::{Account, Blob, BlobError, BlobErrorKind, BlobFacts, Environment};
use protocol::job::BlobName;

/// An account that can be reached.
#[derive(Clone)]
pub(crate) struct ReachedAccount {
    pub(crate) account: Arc<dyn Account>,
    /// What customers call it.
    pub(crate) public: String,
    /// Where it is, without secrets: the same for all hosts that reach it, and another for every other account.
    pub(crate) place: String,
}

impl ReachedAccount {
    /// A blob's address as a customer may see it.
    pub(crate) fn public_address(&self, blob: &BlobName) -> String {
        format!("{}/{}/{}", self.public, blob.container, blob.name)
    }
}

/// Where an account is. A directory is known by what the kernel calls it: another host may have another one at the same path.
pub(crate) fn place_of(address: &str) -> String {
    use std::os::unix::fs::MetadataExt;
    if address.contains("://") {
        return address.to_owned();
    }
    match std::fs::metadata(address) {
        Ok(found) => format!("the directory {}:{}", found.dev(), found.ino()),
        Err(_) => "a directory that is not there".to_owned(),
    }
}

/// What a blob is; `None` where there is none, or nothing was ever put into its container.
///
/// # Errors
/// When the store failed.
pub(super) async fn head_of(blob: &dyn Blob) -> Result<Option<BlobFacts>, BlobError> {
    match blob.head().await {
        Err(error) if matches!(error.kind, BlobErrorKind::NotFound | BlobErrorKind::ContainerNotFound) => Ok(None),
        head => head,
    }
}

/// Whether an answer says that something may not be looked at, and not that this failed. Where an answer has no body, as S3's about
/// what is under a name, it does not say which right is missing.
pub(super) fn may_not_be_read(error: &BlobError) -> bool {
    matches!(error.kind, BlobErrorKind::NotPermitted | BlobErrorKind::Denied)
}

/// The credentials in a file with AZURE_STORAGE_… lines.
pub(super) fn credentials(path: &Path) -> Result<Environment, String> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let failed = |error: std::io::Error| format!("the credentials in `{shown}` cannot be read: {error}");
    if std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(format!("the credentials in `{shown}` may be read by others: take the right away with `chmod 600`"));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Environment::from_text(&text)
        .map_err(|line| format!("line {line} of `{shown}` is not `NAME=value` with one of the names that the `az` command takes"))
}
