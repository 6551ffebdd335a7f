//! From what was written to what the libraries want. The only place that names concrete stores.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use blob::address::AddressError;
use blob::azure::{AzureAccount, AzureBlob, BlobKind, PageForm};
use blob::directory::DirectoryBlob;
use blob::gcs::{GcsBlob, GcsBucket};
use blob::http::{Issuers, Network, Proxies, SILENCE_MAX, TrustedHost};
use blob::retry::RetryPolicy;
use blob::s3::{S3Blob, S3Bucket};
use blob::{Blob, BlobAddress, BlobError, BlobErrorKind, BlobProperties, CredentialError, Environment, Tier};
use copy::{CopyError, LiveRate, OnUnreadable, RescueOptions, TransferOptions, Verify};
use drive::{Drive, Pace};
use protocol::manifest::MANIFEST_SUFFIX;

use crate::cli::{
    BlobType, EffortArguments, ImportArguments, NetworkArguments, PropertyArguments, RescueArguments, TransferArguments,
    Unreadable, VerifyMode,
};
use crate::rate_file;
use crate::resume_command::resume_command;
use crate::secrets::without_query;

/// A blob that can be reached, and the path it has where it is a file.
pub(crate) struct ReachedBlob {
    pub(crate) blob: Arc<dyn Blob>,
    pub(crate) path: Option<PathBuf>,
}

/// How a store across a network is reached: what hosts may be given credentials, and the way there.
pub(crate) struct Reach<'arguments> {
    network: Network,
    /// `None` where the command has no option to trust a host.
    trusted: Option<&'arguments [TrustedHost]>,
    /// The endpoint of S3, where an option names it.
    s3_endpoint: Option<&'arguments str>,
    /// The endpoint of Google Cloud Storage, where an option names it.
    gcs_endpoint: Option<&'arguments str>,
}

impl<'arguments> Reach<'arguments> {
    /// As the options say.
    ///
    /// # Errors
    /// When what names a proxy or certificates does not name them.
    pub(crate) fn of(effort: &'arguments EffortArguments) -> Result<Self, CopyError> {
        Self::through(&effort.network, effort.request_timeout)
    }

    /// The same for a command that moves nothing.
    ///
    /// # Errors
    /// When what names a proxy or certificates does not name them.
    pub(crate) fn through(arguments: &'arguments NetworkArguments, silence_max: Duration) -> Result<Self, CopyError> {
        let proxies = Proxies::from_process(arguments.proxy.as_deref(), "`--proxy`");
        let proxies = proxies.map_err(|error| CopyError::Usage(error.to_string()))?;
        let issuers = arguments.ca.as_deref().map(Issuers::read).transpose();
        let issuers = issuers.map_err(|error| CopyError::Usage(error.to_string()))?.unwrap_or_default();
        Ok(Reach {
            network: Network { silence_max, proxies, issuers },
            trusted: Some(&arguments.trust_host),
            s3_endpoint: arguments.s3_endpoint.as_deref(),
            gcs_endpoint: arguments.gcs_endpoint.as_deref(),
        })
    }

    /// As the environment says, for a command without options of its own.
    pub(crate) fn of_environment() -> Result<Self, CopyError> {
        let proxies = Proxies::from_process(None, "").map_err(|error| CopyError::Usage(error.to_string()))?;
        let network = Network { proxies, ..Network::direct(SILENCE_MAX) };
        Ok(Reach { network, trusted: None, s3_endpoint: None, gcs_endpoint: None })
    }
}

/// Understands a BLOB that is read, and finds its credentials.
pub(crate) fn reach_blob(text: &str, reach: &Reach<'_>) -> Result<ReachedBlob, CopyError> {
    reach_new_blob(text, Made::of(BlobType::Block), reach)
}

/// What an import gives its blob beside its bytes.
///
/// # Errors
/// When that cannot be, or cannot go together with what else was asked for.
pub(crate) fn blob_properties(arguments: &ImportArguments) -> Result<BlobProperties, CopyError> {
    let PropertyArguments { tier, metadata, content_type } = &arguments.properties;
    let usage = |text: String| Err(CopyError::Usage(text));
    match (tier, arguments.blob_type, arguments.transfer.verify) {
        (Some(_), BlobType::Page, _) => {
            return usage("`--tier` is for block blobs: a page blob has the tier of its account, so leave it out".to_owned());
        }
        (Some(Tier::Archive), _, VerifyMode::ReadBack) => {
            let text = "nothing can be read in the archive tier: leave out `--verify read-back`, or import into another tier and move the blob later";
            return usage(text.to_owned());
        }
        _ => {}
    }
    BlobProperties::new(*tier, metadata, content_type.as_ref()).map_err(|error| CopyError::Usage(error.to_string()))
}

/// Understands a BLOB that is made, and finds its credentials.
pub(crate) fn reach_new_blob(text: &str, made: Made, reach: &Reach<'_>) -> Result<ReachedBlob, CopyError> {
    let Made { kind, form, properties } = made;
    if kind == BlobType::Block && form != PageForm::default() {
        return Err(CopyError::Usage(format!("{PAGE_FORM_OPTIONS} are for page blobs: add `--blob-type page`")));
    }
    if form.is_existing && !properties.is_empty() {
        let message = "`--into-existing` writes bytes alone: leave out `--metadata` and `--content-type`";
        return Err(CopyError::Usage(message.to_owned()));
    }
    let trusted = reach.trusted;
    let environment = Environment::from_process().trusting(trusted.unwrap_or_default());
    let environment = environment.with_s3_endpoint(reach.s3_endpoint).with_gcs_endpoint(reach.gcs_endpoint);
    let usage = |error: AddressError| CopyError::Usage(error.to_string());
    let denied = |error: CredentialError| denied(text, &error, trusted.is_some());
    let address = environment.resolve(BlobAddress::parse(text).map_err(usage)?).map_err(denied)?;
    match address {
        BlobAddress::File(_) if form != PageForm::default() => {
            Err(CopyError::Usage(format!("{PAGE_FORM_OPTIONS} are for page blobs of Azure, and `{text}` is a file")))
        }
        BlobAddress::File(path) if !properties.is_empty() => Err(CopyError::Refused(format!(
            "`{}` is a file, which has no tier, metadata or content type: leave out `--tier`, `--metadata` and `--content-type`",
            path.display()
        ))),
        BlobAddress::File(path) => {
            let blob = DirectoryBlob::new(&path).map_err(|error| CopyError::Usage(format!("`{}`: {error}", path.display())))?;
            Ok(ReachedBlob { path: Some(blob.path().to_owned()), blob: Arc::new(blob) })
        }
        BlobAddress::Azure(address) => {
            let account = AzureAccount::new(&address, &environment, &reach.network).map_err(denied)?;
            let kind = match kind {
                BlobType::Block => BlobKind::Block,
                BlobType::Page => BlobKind::Page,
            };
            let blob = AzureBlob::new(account, address, kind).with_form(form).with_properties(properties);
            Ok(ReachedBlob { blob: Arc::new(blob), path: None })
        }
        BlobAddress::AzureOfEnvironment { .. } => Err(denied(CredentialError::NoAccount)),
        BlobAddress::S3(_) if kind == BlobType::Page => Err(CopyError::Usage(format!(
            "page blobs are of Azure, and `{text}` is an object of S3: leave out `--blob-type page`"
        ))),
        BlobAddress::S3(address) => {
            let bucket = S3Bucket::new(&address, &environment, &reach.network).map_err(denied)?;
            Ok(ReachedBlob { blob: Arc::new(S3Blob::new(bucket, address).with_properties(properties)), path: None })
        }
        BlobAddress::Gcs(_) if kind == BlobType::Page => Err(CopyError::Usage(format!(
            "page blobs are of Azure, and `{text}` is an object of Google Cloud Storage: leave out `--blob-type page`"
        ))),
        BlobAddress::Gcs(address) => {
            let bucket = GcsBucket::new(&address, &environment, &reach.network).map_err(denied)?;
            Ok(ReachedBlob { blob: Arc::new(GcsBlob::new(bucket, address).with_properties(properties)), path: None })
        }
    }
}

/// What is made where a blob is imported to.
pub(crate) struct Made {
    pub(crate) kind: BlobType,
    pub(crate) form: PageForm,
    pub(crate) properties: BlobProperties,
}

impl Made {
    /// A blob of this kind, and nothing more said of it.
    pub(crate) fn of(kind: BlobType) -> Self {
        Made { kind, form: PageForm::default(), properties: BlobProperties::default() }
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
        rate: LiveRate::new(effort.rate_file.as_deref().map_or(Ok(effort.rate), rate_file::first_rate)?),
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
