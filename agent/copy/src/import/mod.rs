//! `import`: a drive into a blob.
//!
//! | file | what it answers |
//! |---|---|
//! | `prepare.rs` | may it begin, or be resumed, and from where? |
//! | `standing.rs` | what is at the target, held against what the journal says: pure |
//! | `begin.rs` | the upload begins, and what an earlier run left is looked at |
//! | `pipeline.rs` | the stages, joined |
//! | `complete.rs` | the steps after the last chunk |
//! | `completion.rs` | how far they came, and what follows for result and receipt: pure |

mod begin;
mod complete;
mod completion;
mod pipeline;
mod prepare;
mod standing;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use blob::{Blob, Upload};
use drive::Drive;
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
use crate::rescue::Rescue;
use crate::transfer::unopened::Known;
use completion::Completion;
use prepare::Allowed;

/// Copies a drive into a blob.
///
/// # Errors
/// When nothing could be begun. A transfer that was begun always has a result, with its receipt where
/// it is not complete.
pub async fn import(
    drive: Arc<dyn Drive>,
    blob: Arc<dyn Blob>,
    options: TransferOptions,
    handle: TransferHandle,
) -> Result<TransferResult, CopyError> {
    let known = Known::default();
    let preparing =
        async { Import::prepare(Allowed::examine(drive, blob, options.clone(), handle.clone(), &known).await?).await };
    // It learns first what an earlier run moved, whatever was asked for meanwhile.
    let prepared = tokio::select! {
        biased;
        prepared = preparing => prepared,
        () = handle.stop.stopping() => Err(CopyError::Cancelled),
    };
    let mut import = match prepared {
        Ok(import) => import,
        Err(error) => return known.result_of(error, &options, &handle),
    };
    if import.completion == Completion::Unfinished {
        import.run_pipeline().await?;
    }
    import.finish().await
}

/// Checks everything that an import would check before its first byte, and says what it would do. Nothing is changed.
///
/// # Errors
/// What would make the import end before its first byte.
pub async fn plan_import(
    drive: Arc<dyn Drive>,
    blob: Arc<dyn Blob>,
    mut options: TransferOptions,
    handle: TransferHandle,
) -> Result<TransferPlan, CopyError> {
    let state = PlanState::new(&mut options, Direction::Import)?;
    let stop = handle.stop.clone();
    let known = Known::default();
    let examined = stop.or_stopping(Allowed::examine(drive, blob, options, handle, &known)).await;
    let examined = examined.ok_or(CopyError::Cancelled)?;
    examined.map_err(|error| state.restate(error))?.plan()
}

/// An import that may begin, or be resumed.
struct Import {
    drive: Arc<dyn Drive>,
    blob: Arc<dyn Blob>,
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
    /// What is done about places that cannot be read.
    rescue: Option<Arc<Rescue>>,
    /// Absent where the blob was committed by an earlier run.
    upload: Option<Arc<dyn Upload>>,
    held: HashSet<Sha256Digest>,
    /// The store continues what an earlier run left.
    resumed: bool,
    /// What was recorded is read again and compared.
    with_recorded: bool,
    completion: Completion,
    trust: Trust,
    stream_sha256: Option<Sha256Digest>,
}

/// What cannot be said for certain about the bytes of this import.
#[derive(Debug, Clone, Copy, Default)]
struct Trust {
    /// What an earlier run left at the store was looked at in some places only.
    target_is_sampled: bool,
    /// The drive is taken for the one of an earlier run by some places only.
    source_is_sampled: bool,
    /// The drive was modified while it was read, or after it.
    source_changed: bool,
    /// The committed blob was touched since: it is read again before anything is said of it.
    committed_is_doubtful: bool,
}
