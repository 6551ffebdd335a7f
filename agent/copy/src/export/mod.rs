//! `export`: a blob onto a drive.
//!
//! | file | what it answers |
//! |---|---|
//! | `prepare.rs` | may it begin, or be resumed, and from where? |
//! | `resume.rs` | is it the same drive, the same blob, and is what was written still there? |
//! | `pipeline.rs` | the stages, joined |
//! | `complete.rs` | the steps after the last chunk |

mod complete;
mod pipeline;
mod prepare;
mod resume;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use blob::{Blob, BlobFacts};
use drive::{Drive, DriveError};
use protocol::digest::Sha256Digest;
use protocol::identity::DriveIdentity;
use protocol::manifest::Header;
use protocol::result::{Direction, TransferPlan, TransferResult};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::flow::attempts::Attempts;
use crate::flow::failure::Failure;
use crate::hashing::ZeroDigests;
use crate::plan::MemoryPlan;
use crate::record::dry_run::PlanState;
use crate::record::journal::Journal;
use crate::record::table::SharedTable;
use crate::source::manifest::LoadedManifest;
use crate::transfer::unopened::Known;
use prepare::Allowed;

/// Writes a blob onto the drive at `path`, which `open_drive` opens, given how many bytes it must take.
///
/// # Errors
/// When nothing could be begun. A transfer that was begun always has a result, with its receipt where
/// it is not complete.
pub async fn export(
    path: &Path,
    open_drive: impl FnOnce(u64) -> Result<Arc<dyn Drive>, DriveError>,
    blob: Arc<dyn Blob>,
    options: TransferOptions,
    handle: TransferHandle,
) -> Result<TransferResult, CopyError> {
    let known = Known::default();
    let address = blob.address();
    let preparing =
        async { Export::prepare(Allowed::examine(open_drive, blob, options.clone(), handle.clone(), &known).await?).await };
    // It learns first what an earlier run moved, whatever was asked for meanwhile.
    let prepared = tokio::select! {
        biased;
        prepared = preparing => prepared,
        () = handle.stop.stopping() => Err(CopyError::Cancelled),
    };
    let mut export = match prepared {
        Ok(export) => export,
        Err(error) => {
            if known.is_empty() && error.outcome().is_some() && !options.restart {
                // It ended before the drive was open, by which an export is known.
                let found = Journal::of_export(&options.state_dir, path, &address);
                if let Some((_, recovered)) =
                    found.or_else(|busy| if handle.stop.is_stopping() { Err(busy) } else { Ok(None) })?
                {
                    known.set(*recovered.header, recovered.table);
                }
            }
            return known.result_of(error, &options, &handle);
        }
    };
    export.run_pipeline().await?;
    export.finish().await
}

/// Checks everything that an export would check before its first byte, and says what it would do. Nothing is changed.
///
/// # Errors
/// What would make the export end before its first byte.
pub async fn plan_export(
    open_drive: impl FnOnce(u64) -> Result<Arc<dyn Drive>, DriveError>,
    blob: Arc<dyn Blob>,
    mut options: TransferOptions,
    handle: TransferHandle,
) -> Result<TransferPlan, CopyError> {
    let state = PlanState::new(&mut options, Direction::Export)?;
    let stop = handle.stop.clone();
    let known = Known::default();
    let examined = stop.or_stopping(Allowed::examine(open_drive, blob, options, handle, &known)).await;
    let examined = examined.ok_or(CopyError::Cancelled)?;
    Ok(examined.map_err(|error| state.restate(error))?.plan())
}

/// An export that may begin, or be resumed.
struct Export {
    drive: Arc<dyn Drive>,
    blob: Arc<dyn Blob>,
    facts: BlobFacts,
    manifest: Option<LoadedManifest>,
    options: TransferOptions,
    handle: TransferHandle,
    attempts: Attempts,
    failure: Failure,
    identity: DriveIdentity,
    header: Header,
    table: SharedTable,
    zeros: ZeroDigests,
    memory: MemoryPlan,
    /// Away with the recorder while the pipeline runs, and for good where that hangs.
    journal: Option<Journal>,
    journal_path: PathBuf,
    is_resumed: bool,
    /// What an earlier run wrote was looked at in some places only.
    target_is_sampled: bool,
    all_checked: Arc<AtomicBool>,
    stream_sha256: Option<Sha256Digest>,
    bytes_cleared: u64,
    /// The drive is finished and has its name: what fails after this leaves it complete.
    is_published: bool,
}

impl Export {
    /// Whether the manifest is of the very version of the blob that is read: then its zeros need not be fetched.
    fn trusts_zeros(&self) -> bool {
        let stated = self.manifest.as_ref().and_then(|manifest| manifest.header.blob_version.as_ref());
        stated == Some(&self.facts.version) && self.blob.local().is_none()
    }
}
