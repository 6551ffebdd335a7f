//! Why a transfer could not be made or finished, and what outcome that is.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use blob::{BlobError, BlobErrorKind};
use drive::DriveError;
use protocol::manifest::{ManifestError, ReplayError};
use protocol::outcome::Outcome;
use protocol::stop::StopReason;
use protocol::units::GeometryError;
use tokio::task::JoinError;

/// A failure of a transfer. Each is one sentence: what failed, on what, what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The drive failed.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] BlobError),
    /// The store failed again and again.
    #[error("{error}; abandoned after {attempts} attempts in {seconds:.0} s")]
    StoreGaveUp {
        /// The last failure.
        #[source]
        error: BlobError,
        /// How many times it was tried.
        attempts: u32,
        /// Over how long, in seconds.
        seconds: f64,
    },
    /// A stop was asked for while waiting.
    #[error("cancelled before its end")]
    Cancelled,
    /// A rule forbids it; nothing was written.
    #[error("{0}")]
    Refused(String),
    /// The options do not fit together, or do not fit the drive.
    #[error("{0}")]
    Usage(String),
    /// What was read differs from what a manifest says.
    #[error("{0}")]
    Mismatch(String),
    /// A manifest cannot be used.
    #[error("the manifest `{place}` cannot be used: {error}; {way_out}")]
    Manifest {
        /// Where it is.
        place: String,
        /// Why.
        error: ManifestError,
        /// What to do.
        way_out: &'static str,
    },
    /// A journal cannot be continued.
    #[error("the journal `{path}` cannot be continued: {error}; look at it, or start over with `--restart`", path = .path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why.
        error: ReplayError,
    },
    /// The state directory failed.
    #[error("cannot {operation} `{path}`: {source}", path = .path.display())]
    State {
        /// A verb phrase.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel starts no more threads.
    #[error(
        "cannot start a thread ({stage}): {source}; raise the limits on processes and address space (`ulimit -u`, `ulimit -v`), or end other programs, and repeat the command"
    )]
    Thread {
        /// What it is for.
        stage: Stage,
        /// What the kernel said.
        source: io::Error,
    },
    /// A thread or a task ended without a result: a fault of this program.
    #[error("a part of the program ended unexpectedly: {stage}{}; please report it", in_brackets(.panic.as_deref()))]
    StageEnded {
        /// Which one.
        stage: Stage,
        /// What it panicked with, where that is known.
        panic: Option<String>,
    },
    /// Every stage ended well, and chunks are missing all the same: a fault of this program.
    #[error("{missing} chunks were not copied, and no stage said why: nothing was completed; please report it")]
    ChunksMissing {
        /// How many.
        missing: u64,
    },
}

/// What a thread or a task of a transfer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading a drive.
    Read,
    /// Hashing chunks.
    Hash,
    /// Hashing all chunks as one.
    WholeHash,
    /// Sending a chunk to a store.
    Send,
    /// Fetching a chunk from a store.
    Fetch,
    /// Writing to a drive.
    Write,
    /// Recording what landed.
    Record,
    /// One call into a drive.
    DriveCall,
    /// Reading a manifest.
    Manifest,
    /// Comparing a chunk.
    Compare,
    /// Accounting for a transfer from its journal.
    Account,
    /// A whole transfer.
    Transfer,
}

impl Stage {
    /// The name of its thread, and what it is called in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Hash => "hash",
            Stage::WholeHash => "whole-drive hash",
            Stage::Send => "send",
            Stage::Fetch => "fetch",
            Stage::Write => "write",
            Stage::Record => "record",
            Stage::DriveCall => "drive",
            Stage::Manifest => "manifest",
            Stage::Compare => "compare",
            Stage::Account => "account",
            Stage::Transfer => "transfer",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl From<GeometryError> for CopyError {
    fn from(error: GeometryError) -> Self {
        CopyError::Usage(error.to_string())
    }
}

impl CopyError {
    /// The store's own error, where it is a store's failure.
    pub(crate) fn store_kind(&self) -> Option<BlobErrorKind> {
        match self {
            CopyError::Store(error) | CopyError::StoreGaveUp { error, .. } => Some(error.kind),
            _ => None,
        }
    }

    /// What ended a task that gave no result.
    pub fn of_task(stage: Stage, error: JoinError) -> Self {
        match error.try_into_panic() {
            Ok(panic) => CopyError::of_panic(stage, &*panic),
            Err(_) => CopyError::StageEnded { stage, panic: None },
        }
    }

    /// What a thread or a task panicked with.
    pub(crate) fn of_panic(stage: Stage, panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        CopyError::StageEnded { stage, panic: text.map(str::to_owned) }
    }

    /// The outcome of a transfer that ended with this. `None` for mistakes of the command line.
    pub fn outcome(&self) -> Option<Outcome> {
        Some(match self {
            CopyError::Usage(_) => return None,
            CopyError::Refused(_) | CopyError::Journal { .. } => Outcome::Refused,
            CopyError::Drive(error) if error.is_refusal() => Outcome::Refused,
            CopyError::Drive(DriveError::Profile { .. } | DriveError::NotADrive { .. } | DriveError::NoMemory { .. }) => {
                Outcome::Failed
            }
            CopyError::Drive(_) => Outcome::DriveFailed,
            CopyError::Cancelled => Outcome::Cancelled,
            CopyError::Store(error) | CopyError::StoreGaveUp { error, .. }
                if matches!(error.kind, BlobErrorKind::AlreadyExists | BlobErrorKind::Refused) =>
            {
                Outcome::Refused
            }
            CopyError::Store(_) | CopyError::StoreGaveUp { .. } => Outcome::StoreFailed,
            CopyError::Mismatch(_) => Outcome::Mismatch,
            CopyError::Manifest { .. }
            | CopyError::State { .. }
            | CopyError::Thread { .. }
            | CopyError::StageEnded { .. }
            | CopyError::ChunksMissing { .. } => Outcome::Failed,
        })
    }

    /// How a transfer that had begun ends with this: what a store or a drive refuses then is not a refusal of ours, which would
    /// mean that nothing was changed.
    pub(crate) fn outcome_once_begun(&self) -> Option<Outcome> {
        match (self.outcome(), self) {
            (Some(Outcome::Refused), CopyError::Drive(_)) => Some(Outcome::DriveFailed),
            (Some(Outcome::Refused), CopyError::Store(_) | CopyError::StoreGaveUp { .. }) => Some(Outcome::StoreFailed),
            (outcome, _) => outcome,
        }
    }

    /// The reason that this is for stopping the rest of the transfer.
    pub(crate) fn stop_reason(&self) -> StopReason {
        match self.outcome() {
            Some(Outcome::StoreFailed) => StopReason::StoreFailed,
            Some(Outcome::DriveFailed) => StopReason::DriveFailed,
            _ => StopReason::Failed,
        }
    }
}

/// What is added to a sentence, where there is something.
fn in_brackets(text: Option<&str>) -> String {
    text.map(|text| format!(" ({text})")).unwrap_or_default()
}

/// A failure of a file below the state directory.
pub(crate) fn state_error(operation: &'static str, path: &Path, source: io::Error) -> CopyError {
    CopyError::State { operation, path: path.to_owned(), source }
}
