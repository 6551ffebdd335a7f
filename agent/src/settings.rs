//! From what was written to what the libraries want. The only place that names concrete stores.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use blob::address::AddressError;
use blob::azure::{AzureAccount, AzureBlob, BlobKind, CredentialError, Environment, PageForm, TrustedHost};
use blob::directory::DirectoryBlob;
use blob::retry::RetryPolicy;
use blob::{Blob, BlobAddress, BlobError, BlobErrorKind};
use copy::{CopyError, OnUnreadable, RescueOptions, TransferOptions, Verify};
use drive::{Drive, Pace};
use protocol::manifest::MANIFEST_SUFFIX;

use crate::cli::{BlobType, EffortArguments, RescueArguments, TransferArguments, Unreadable, VerifyMode};

/// A blob that can be reached, and the path it has where it is a file.
pub(crate) struct ReachedBlob {
    pub(crate) blob: Arc<dyn Blob>,
    pub(crate) path: Option<PathBuf>,
}

/// Understands a BLOB and finds its credentials, which hosts that are trusted may be given; `None` where the command has
/// no option to trust a host. Requests end when nothing moves for `silence_max`.
pub(crate) fn reach_blob(
    text: &str,
    made: impl Into<Made>,
    silence_max: Duration,
    trusted: Option<&[TrustedHost]>,
) -> Result<ReachedBlob, CopyError> {
    let Made { kind, form } = made.into();
    if kind == BlobType::Block && form != PageForm::default() {
        return Err(CopyError::Usage(format!("{PAGE_FORM_OPTIONS} are for page blobs: add `--blob-type page`")));
    }
    let environment = Environment::from_process().trusting(trusted.unwrap_or_default());
    let usage = |error: AddressError| CopyError::Usage(error.to_string());
    let denied = |error: CredentialError| denied(text, &error, trusted.is_some());
    let address = environment.resolve(BlobAddress::parse(text).map_err(usage)?).map_err(denied)?;
    match address {
        BlobAddress::File(_) if form != PageForm::default() => {
            Err(CopyError::Usage(format!("{PAGE_FORM_OPTIONS} are for page blobs of Azure, and `{text}` is a file")))
        }
        BlobAddress::File(path) => {
            let blob = DirectoryBlob::new(&path).map_err(|error| CopyError::Usage(format!("`{}`: {error}", path.display())))?;
            Ok(ReachedBlob { path: Some(blob.path().to_owned()), blob: Arc::new(blob) })
        }
        BlobAddress::Azure(address) => {
            let account = AzureAccount::new(&address, &environment, silence_max).map_err(denied)?;
            let kind = match kind {
                BlobType::Block => BlobKind::Block,
                BlobType::Page => BlobKind::Page,
            };
            Ok(ReachedBlob { blob: Arc::new(AzureBlob::new(account, address, kind).with_form(form)), path: None })
        }
        BlobAddress::AzureOfEnvironment { .. } => Err(denied(CredentialError::NoAccount)),
    }
}

/// What is made where a blob is imported to.
pub(crate) struct Made {
    pub(crate) kind: BlobType,
    pub(crate) form: PageForm,
}

impl From<BlobType> for Made {
    fn from(kind: BlobType) -> Self {
        Made { kind, form: PageForm::default() }
    }
}

/// The options that say something of a page blob.
const PAGE_FORM_OPTIONS: &str = "`--blob-format vhd` and `--into-existing`";

fn denied(text: &str, error: &CredentialError, has_option: bool) -> CopyError {
    let way_out = error.untrusted_host().map_or_else(String::new, |host| match has_option {
        true => format!(" with `--trust-host {host}`"),
        false => format!(" with `DRIVE_AGENT_TRUST_HOST={host}` in the environment"),
    });
    BlobError::new(BlobErrorKind::Denied, "reach", without_query(text), format!("{error}{way_out}")).into()
}

/// A BLOB as it may be shown: a signature is a secret.
pub(crate) fn without_query(text: &str) -> String {
    match BlobAddress::parse(text) {
        Ok(BlobAddress::Azure(address)) if address.sas.is_some() => address.url().to_string(),
        Ok(_) => text.to_owned(),
        Err(_) => text.split_once('?').map_or(text, |(before, _)| before).to_owned(),
    }
}

/// The state directory: asked for, or the user's.
pub(crate) fn state_dir(effort: &EffortArguments) -> Result<PathBuf, CopyError> {
    directory_of_state(effort.state_dir.as_deref())
}

/// The same for commands that move nothing.
pub(crate) fn directory_of_state(asked: Option<&Path>) -> Result<PathBuf, CopyError> {
    asked
        .map(Path::to_owned)
        .or_else(user_state_dir)
        .ok_or_else(|| CopyError::Usage("neither XDG_STATE_HOME nor HOME is set: say `--state-dir DIR`".to_owned()))
}

/// The state directory of a job service: asked for, or the user's; `None` where it is not known.
pub(crate) fn service_state_dir(asked: Option<&Path>) -> Option<PathBuf> {
    asked.map(PathBuf::from).or_else(user_state_dir)
}

fn user_state_dir() -> Option<PathBuf> {
    let from = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = from("XDG_STATE_HOME").or_else(|| Some(from("HOME")?.join(".local/state")))?;
    Some(base.join("drive-agent"))
}

impl From<Unreadable> for OnUnreadable {
    fn from(word: Unreadable) -> Self {
        match word {
            Unreadable::Stop => OnUnreadable::Stop,
            Unreadable::Skip => OnUnreadable::Skip,
            Unreadable::Rescue => OnUnreadable::Rescue,
        }
    }
}

impl From<VerifyMode> for Verify {
    fn from(word: VerifyMode) -> Self {
        match word {
            VerifyMode::None => Verify::None,
            VerifyMode::ReadBack => Verify::ReadBack,
        }
    }
}

/// Options of anything that moves or reads bytes.
pub(crate) fn effort_options(effort: &EffortArguments) -> Result<TransferOptions, CopyError> {
    let defaults = TransferOptions::new(state_dir(effort)?);
    Ok(TransferOptions {
        memory: effort.memory,
        concurrency: effort.concurrency.0,
        rate: effort.rate,
        retry: RetryPolicy { budget: effort.retry_budget.unwrap_or(defaults.retry.budget), ..defaults.retry },
        first_contact_budget: effort.retry_budget.unwrap_or(defaults.first_contact_budget),
        request_timeout: effort.request_timeout,
        read_timeout: effort.read_timeout,
        ..defaults
    })
}

/// Options of a transfer.
pub(crate) fn transfer_options(transfer: &TransferArguments) -> Result<TransferOptions, CopyError> {
    Ok(TransferOptions {
        chunk_size: transfer.chunk_size,
        restart: transfer.restart,
        verify: transfer.verify.into(),
        stream_sha256: transfer.stream_sha256,
        drain_timeout: transfer.drain_timeout,
        manifest: transfer.manifest.clone(),
        resume_command: resume_command(),
        ..effort_options(&transfer.effort)?
    })
}

/// What to do about a drive that fails.
pub(crate) fn rescue_options(
    rescue: &RescueArguments,
    drive: &Path,
    open_image: impl FnOnce(&Path) -> Result<Arc<dyn Drive>, CopyError>,
) -> Result<(OnUnreadable, RescueOptions), CopyError> {
    let given = [
        ("--max-unreadable", rescue.max_unreadable.is_some()),
        ("--retry-passes", rescue.retry_passes.is_some()),
        ("--min-read-rate", rescue.min_read_rate.is_some()),
        ("--mapfile", rescue.mapfile.is_some()),
        ("--fill", rescue.fill.is_some()),
    ];
    let wants_rescue = given.iter().find(|(_, is_given)| *is_given).map(|(name, _)| *name);
    let usage = |text: String| Err(CopyError::Usage(text));
    let policy = match (rescue.on_unreadable, wants_rescue) {
        (Some(Unreadable::Stop), Some(name)) => {
            return usage(format!(
                "`{name}` says what to do at unreadable places, and `--on-unreadable stop` ends the transfer there: drop one"
            ));
        }
        (Some(Unreadable::Skip), _) if rescue.retry_passes.is_some() => {
            return usage("`--retry-passes` is for `--on-unreadable rescue`: skipping tries nothing twice".to_owned());
        }
        (Some(asked), _) => asked.into(),
        (None, Some(_)) => OnUnreadable::Rescue,
        (None, None) => OnUnreadable::Stop,
    };
    let rescued = match &rescue.rescued {
        Some(path) if drive::open::is_same_storage(path, drive) => {
            return usage(format!("`--rescued {}` is the drive itself: name the image that ddrescue wrote", path.display()));
        }
        Some(path) => {
            let usage = |error: CopyError| match error {
                CopyError::Cancelled => error,
                error => CopyError::Usage(format!("`--rescued {}`: {error}", path.display())),
            };
            Some(open_image(path).map_err(usage)?)
        }
        None => None,
    };
    let options = RescueOptions {
        max_unreadable: rescue.max_unreadable,
        retry_passes: rescue.retry_passes.unwrap_or(1),
        min_read_rate: rescue.min_read_rate,
        mapfile: rescue.mapfile.clone(),
        rescued,
    };
    Ok((policy, options))
}

/// The command that continues: this one, without its secrets and without `--restart`.
pub(crate) fn resume_command() -> String {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let shown = arguments.filter(|argument| argument != "--restart").map(|argument| match without_query(&argument) {
        shown if shown == argument => quote(&shown),
        // The signature has to be put there to resume.
        shown => quote(&format!("{shown}{}SAS", if shown.contains('?') { '&' } else { '?' })),
    });
    std::iter::once("drive-agent".to_owned()).chain(shown).collect::<Vec<_>>().join(" ")
}

/// Quotes an argument for a shell where it needs that.
pub(crate) fn quote(argument: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,+@%".contains(letter);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

/// The time of a simulated drive, where the drive is one.
pub(crate) fn pace(effort: &EffortArguments, drive: Option<&Path>) -> Result<Pace, CopyError> {
    let is_simulated = drive.is_some_and(|path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")));
    match effort.time_scale {
        Some(_) if !is_simulated => Err(CopyError::Usage(
            "`--time-scale` is for simulated drives (*.toml): real ones take the time that they take".to_owned(),
        )),
        scale => Ok(scale.unwrap_or(Pace::Scaled(1.0))),
    }
}

/// Refuses a blob that is the drive itself.
pub(crate) fn require_two_places(drive: &Path, blob: &ReachedBlob) -> Result<(), CopyError> {
    let Some(path) = &blob.path else { return Ok(()) };
    let manifest = PathBuf::from(blob.blob.sibling(MANIFEST_SUFFIX).address());
    let is_same =
        |other: &Path| drive::open::is_same_storage(drive, other) || std::path::absolute(drive).is_ok_and(|drive| drive == other);
    if is_same(path) || is_same(&manifest) {
        let (drive, path) = (drive.display(), path.display());
        return Err(CopyError::Refused(format!(
            "the drive `{drive}` and the blob `{path}` are the same storage: give another name"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_for_a_shell() {
        assert_eq!(quote("/dev/sdb"), "/dev/sdb");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn a_signature_is_never_shown() {
        assert_eq!(without_query("https://a.blob.core.windows.net/c/n?sig=SECRET"), "https://a.blob.core.windows.net/c/n");
        assert_eq!(without_query("/store/what?.img"), "/store/what?.img");
    }
}
