//! What a caller decides about a transfer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use blob::retry::RetryPolicy;
use drive::Drive;
use protocol::fill::Fill;
use protocol::manifest::MadeAs;
use protocol::units::{ByteRate, ByteSize};

use crate::call::live_rate::LiveRate;
use crate::call::shared_budget::SharedBudget;
use crate::limits::FIRST_CONTACT_BUDGET;

/// What to do where the drive cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnreadable {
    /// End the transfer.
    Stop,
    /// Read around it in pieces of 64 KiB, and list what is missing.
    Skip,
    /// Get every sector that can be read, and list what is missing.
    Rescue,
}

/// How far a transfer is checked at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// As it is.
    None,
    /// The whole target is read again and hashed.
    ReadBack,
}

/// What an export does with the footer of a VHD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footer {
    /// It is not written to the drive, where there is one.
    DroppedWhereFound,
    /// The same, and a blob that has none is refused.
    Dropped,
    /// It is written as any other byte.
    Written,
}

/// How an import goes about a drive that fails.
#[derive(Clone, Default)]
pub struct RescueOptions {
    /// More than this unreadable ends the transfer.
    pub max_unreadable: Option<ByteSize>,
    /// How often bad sectors are tried again.
    pub retry_passes: u32,
    /// Places that read more slowly are left for later.
    pub min_read_rate: Option<ByteRate>,
    /// A map of the drive in ddrescue's format: read where it exists, and written.
    pub mapfile: Option<PathBuf>,
    /// What the map says was rescued is read from here, and not from the drive.
    pub rescued: Option<Arc<dyn Drive>>,
}

impl std::fmt::Debug for RescueOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rescued = self.rescued.as_ref().map(|drive| &drive.identity().path);
        formatter.debug_struct("RescueOptions").field("mapfile", &self.mapfile).field("rescued", &rescued).finish_non_exhaustive()
    }
}

/// Names that say nothing about this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicNames {
    /// The drive.
    pub drive: String,
    /// The blob.
    pub blob: String,
}

/// Options of a transfer. See the command line for what each means.
#[derive(Debug, Clone)]
pub struct TransferOptions {
    /// Asked-for chunk size; the default where `None`.
    pub chunk_size: Option<ByteSize>,
    /// All buffers together; the default, raised where chunks need it, where `None`.
    pub memory: Option<ByteSize>,
    /// Requests at once; the store's preferred concurrency where `None`.
    pub concurrency: Option<usize>,
    /// Where journals are.
    pub state_dir: PathBuf,
    /// Forget what was done before.
    pub restart: bool,
    /// What to do where the drive cannot be read.
    pub on_unreadable: OnUnreadable,
    /// How far it goes to read a drive that fails.
    pub rescue: RescueOptions,
    /// What unreadable places are filled with; zeros, or what the transfer began with, where `None`.
    pub fill: Option<Fill>,
    /// How far it is checked at its end.
    pub verify: Verify,
    /// Also compute the SHA-256 of the whole.
    pub stream_sha256: bool,
    /// Most bytes a second; may be changed while it runs.
    pub rate: LiveRate,
    /// How long chunks in flight may take to land after a stop.
    pub drain_timeout: Duration,
    /// Where a copy of the manifest goes.
    pub manifest: Option<PathBuf>,
    /// Whether a blob that exists may be replaced.
    pub overwrite: bool,
    /// How the blob of an import is made: kept for those who resume it, with `overwrite` as above.
    pub made_as: MadeAs,
    /// Where an import puts what is not its blob yet, where that was asked for: one that was begun elsewhere is not resumed.
    pub staging: Option<String>,
    /// What an export does with the footer of a VHD.
    pub footer: Footer,
    /// Whether an export that is not resumed begins only on a drive that holds nothing: what is on another one is not known
    /// to be of no use.
    pub blank_target_only: bool,
    /// How requests to a store are repeated.
    pub retry: RetryPolicy,
    /// The budget of requests to a store that was not reached yet, in place of that of `retry`.
    pub first_contact_budget: Duration,
    /// Longest silence of a store within one request.
    pub request_timeout: Duration,
    /// Longest single read of a drive.
    pub read_timeout: Duration,
    /// What this transfer shares with others of this host.
    pub shared_budget: Option<Arc<SharedBudget>>,
    /// Whether the journal stays when the transfer is complete: its caller removes it when it has noted the result,
    /// and a repetition until then finds everything done.
    pub keep_journal: bool,
    /// What a manifest calls the drive and the blob, in place of their paths here: where others read it.
    pub names: Option<PublicNames>,
    /// The command that continues, for the receipt.
    pub resume_command: String,
}

impl TransferOptions {
    /// The defaults, with journals in `state_dir`.
    pub fn new(state_dir: PathBuf) -> Self {
        TransferOptions {
            chunk_size: None,
            memory: None,
            concurrency: None,
            state_dir,
            restart: false,
            on_unreadable: OnUnreadable::Stop,
            rescue: RescueOptions::default(),
            fill: None,
            verify: Verify::None,
            stream_sha256: false,
            rate: LiveRate::default(),
            drain_timeout: Duration::from_secs(30),
            manifest: None,
            overwrite: false,
            made_as: MadeAs::default(),
            staging: None,
            footer: Footer::DroppedWhereFound,
            blank_target_only: false,
            retry: RetryPolicy::default(),
            first_contact_budget: FIRST_CONTACT_BUDGET,
            request_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(60),
            shared_budget: None,
            keep_journal: false,
            names: None,
            resume_command: String::new(),
        }
    }
}
