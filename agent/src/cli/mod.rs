//! The command line, as it is written. No defaults that need the machine, no logic.

mod bench;
mod network;
mod service;
mod transfers;
pub(crate) mod values;

use std::path::PathBuf;
use std::time::Duration;

use blob::{ContentType, Metadatum, Tier};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use drive::Pace;
use protocol::fill::Fill;
use protocol::units::{ByteRate, ByteSize, parse_duration};
use serde::Deserialize;

pub(crate) use bench::{
    BenchArguments, BenchCommand, BenchStationArguments, BenchTlsArguments, CacheWord, CommonArguments, DirectionWord,
    MatrixArguments, PeersArguments,
};
pub(crate) use network::NetworkArguments;
pub(crate) use service::{
    BaysArguments, BaysCommand, ConnectArguments, CreateArguments, DriveOfJob, JobKindWord, JobPlace, JobsArguments, JobsCommand,
    LogFormat, ServeArguments, ShipArguments, StationArguments, TokensArguments, TokensCommand,
};
pub(crate) use transfers::{TransfersArguments, TransfersCommand};
pub(crate) use values::parse_time_scale;
use values::{Concurrency, parse_concurrency, parse_limit, parse_sector_size, parse_timeout};

/// Copies block data between drives and blob storage: every chunk has a SHA-256, a cancel ends with an
/// exact receipt, and a restart moves only what is missing.
///
/// DRIVE is a block device, a loop device, a raw image, or a profile (*.toml) of a simulated drive.
/// BLOB is a path or file:// (a plain file in a directory), https://ACCOUNT.blob.core.windows.net/CONTAINER/NAME[?SAS],
/// az://CONTAINER/NAME, or an emulator's http://HOST:PORT/ACCOUNT/CONTAINER/NAME[?SAS].
#[derive(Debug, Parser)]
#[command(name = "drive-agent", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 complete, 1 failed, 2 usage, 3 refused by a safety rule, 4 complete with unreadable ranges, \
5 mismatch, 6 drive failed, 7 store failed, 130 cancelled with a receipt."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// How the result is written to standard output
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    pub(crate) output: Output,
    /// How progress is shown on standard error: a bar on a terminal and JSON lines elsewhere with `auto`
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, global = true)]
    pub(crate) progress: ProgressMode,
    /// Log more on standard error; twice for every request
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    Auto,
    Bar,
    Json,
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copy a drive into a blob
    Import(ImportArguments),
    /// Write a blob onto a drive
    Export(ExportArguments),
    /// Check a drive, a blob, or both against a manifest
    Verify(VerifyArguments),
    /// Transfers that were begun and not finished, and what they left
    Transfers(TransfersArguments),
    /// The attached drives, what uses them, and whether they may be written
    Drives(DrivesArguments),
    /// How fast this machine is, what limits it, and how that compares
    Bench(Box<BenchArguments>),
    /// Run the job service: REST API, bays and scheduler in one process
    Serve(ServeArguments),
    /// Run the bays of this host for a job service elsewhere
    Station(StationArguments),
    /// Create, ship, watch, cancel and delete jobs; and what staff do with them
    Jobs(JobsArguments),
    /// The bays of a station, and what is docked
    Bays(BaysArguments),
    /// API tokens and portal sessions of a job service
    Tokens(TokensArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The drive to read; nothing is written to it
    pub(crate) drive: PathBuf,
    /// The blob to make
    pub(crate) blob: String,
    #[command(flatten)]
    pub(crate) transfer: TransferArguments,
    /// Kind of the blob, where the store has kinds
    #[arg(long, value_enum, default_value_t = BlobType::Block)]
    pub(crate) blob_type: BlobType,
    /// What a page blob holds: the drive's bytes alone, or a fixed VHD (a whole number of MiB and a footer), as
    /// disks of Azure are made of
    #[arg(long, value_enum, default_value_t = BlobFormat::Raw)]
    pub(crate) blob_format: BlobFormat,
    /// Write into the page blob that is there, such as the disk of an upload, and make none
    #[arg(long)]
    pub(crate) into_existing: bool,
    #[command(flatten)]
    pub(crate) rescue: RescueArguments,
    #[command(flatten)]
    pub(crate) properties: PropertyArguments,
    /// Replace a blob, or a manifest beside it, that exists
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// What the blob is given beside its bytes.
#[derive(Debug, Args)]
pub(crate) struct PropertyArguments {
    /// Access tier of the block blob: hot, cool, cold or archive [default: that of the account]
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<Tier>,
    /// Metadata of the blob; as often as you like
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<Metadatum>,
    /// Content type of the blob [default: application/octet-stream]
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<ContentType>,
}

/// What to do about a drive that fails.
#[derive(Debug, Args)]
pub(crate) struct RescueArguments {
    /// What to do where the drive cannot be read: end there; leave out pieces of 64 KiB; or read every sector that
    /// can be read [default: stop, or rescue with one of the options below]
    #[arg(long, value_enum)]
    pub(crate) on_unreadable: Option<Unreadable>,
    /// End the import when more than this cannot be read, after all retries
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = parse_limit)]
    pub(crate) max_unreadable: Option<ByteSize>,
    /// How often bad sectors are tried again at the end [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) retry_passes: Option<u32>,
    /// Leave places that read more slowly for later, such as 1MB/s [default: reads of more than 3 s]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub(crate) min_read_rate: Option<ByteRate>,
    /// Keep the map of the drive in this file, in GNU ddrescue's format. Of a map that exists, failed places are
    /// left for last, and rescued ones are read again unless `--rescued` has them; it is kept as PATH.bak
    #[arg(long, value_name = "PATH")]
    pub(crate) mapfile: Option<PathBuf>,
    /// Take what the mapfile says was rescued from this image, and not from the drive
    #[arg(long, value_name = "IMAGE", requires = "mapfile")]
    pub(crate) rescued: Option<PathBuf>,
    /// What stands where the drive could not be read: zeros, marker (a text), or a byte such as 0xff [default: zeros]
    #[arg(long, value_name = "FILLING")]
    pub(crate) fill: Option<Fill>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The blob to read
    pub(crate) blob: String,
    /// The drive to write; everything on it is replaced
    pub(crate) drive: PathBuf,
    #[command(flatten)]
    pub(crate) transfer: TransferArguments,
    /// Serial number of the device to be written, to confirm that it is the right one; where `drives` calls that weak, the name of
    /// its port (in /dev/disk/by-path)
    #[arg(long, value_name = "SERIAL")]
    pub(crate) confirm: Option<String>,
    /// Never ask; a device that is not confirmed is refused
    #[arg(long)]
    pub(crate) yes: bool,
    /// Replace what an image that exists holds
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// What the blob holds: a fixed VHD, whose footer is not written to the drive, or the drive's bytes alone [default: a
    /// VHD where it has a footer]
    #[arg(long, value_enum)]
    pub(crate) blob_format: Option<BlobFormat>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("sides").args(["drive", "blob"]).required(true).multiple(true)))]
pub(crate) struct VerifyArguments {
    /// The manifest: a path or the address of a blob
    pub(crate) manifest: String,
    /// The drive to check
    #[arg(long)]
    pub(crate) drive: Option<PathBuf>,
    /// The blob to check
    #[arg(long)]
    pub(crate) blob: Option<String>,
    #[command(flatten)]
    pub(crate) effort: EffortArguments,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DrivesArguments {
    #[command(subcommand)]
    pub(crate) command: Option<DrivesCommand>,
    /// Keep printing what is docked and undocked, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DrivesCommand {
    /// Show an image as a block device, with its partitions
    Attach(AttachArguments),
    /// Take an image away from its block device
    Detach {
        /// The loop device
        device: PathBuf,
    },
    /// Say what a profile of a simulated drive describes
    Describe {
        /// The profile (*.toml)
        profile: PathBuf,
        /// Measure its timing model, beside the published figures
        #[arg(long)]
        measure: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AttachArguments {
    /// The image
    pub(crate) image: PathBuf,
    /// Logical sector size: 512 or 4096
    #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = parse_sector_size)]
    pub(crate) sector_size: u32,
    /// Forbid writing to the image
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Stay until Ctrl-C, and detach at the end, whatever the end is
    #[arg(long)]
    pub(crate) hold: bool,
}

/// Options of a transfer.
#[derive(Debug, Args)]
pub(crate) struct TransferArguments {
    #[command(flatten)]
    pub(crate) effort: EffortArguments,
    /// Unit of copying, hashing and cancelling [default: 8MiB, raised where the store's block limit needs it]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) chunk_size: Option<ByteSize>,
    /// Forget what was done before
    #[arg(long)]
    pub(crate) restart: bool,
    /// Read the whole target again at the end
    #[arg(long, value_enum, default_value_t = VerifyMode::None)]
    pub(crate) verify: VerifyMode,
    /// Also compute the SHA-256 of the whole drive, as sha256sum prints it
    #[arg(long)]
    pub(crate) stream_sha256: bool,
    /// How long chunks in flight may take to land after a cancel
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, allow_negative_numbers = true)]
    pub(crate) drain_timeout: Duration,
    /// Also write the manifest to this file
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest: Option<PathBuf>,
    /// Run every check that comes before the first byte, say what would be done, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What a command may use.
#[derive(Debug, Args)]
pub(crate) struct EffortArguments {
    /// All buffers together [default: 256MiB, raised where chunks had to be]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) memory: Option<ByteSize>,
    /// Requests to the store at once: a number, or `auto`
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = parse_concurrency, allow_negative_numbers = true)]
    pub(crate) concurrency: Concurrency,
    /// Most bytes a second, such as 200MB/s
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub(crate) rate: Option<ByteRate>,
    /// A file with a rate as `--rate` takes it, or `unlimited`; it is followed when it changes
    #[arg(long, value_name = "PATH", conflicts_with = "rate")]
    pub(crate) rate_file: Option<PathBuf>,
    /// Where journals are kept [default: $XDG_STATE_HOME/drive-agent]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How fast the time of a simulated drive goes: 1 is real time, `max` waits for nothing [default: 1]
    #[arg(long, value_name = "FACTOR|max", value_parser = parse_time_scale, allow_negative_numbers = true)]
    pub(crate) time_scale: Option<Pace>,
    /// How long a failing request is repeated before the transfer is abandoned [default: 2m, and 5s before the
    /// store was reached for the first time]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_negative_numbers = true)]
    pub(crate) retry_budget: Option<Duration>,
    /// Longest single read or write of the drive; one that takes longer is abandoned
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_timeout, allow_negative_numbers = true)]
    pub(crate) read_timeout: Duration,
    /// Longest silence of the store within one request
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_timeout, allow_negative_numbers = true)]
    pub(crate) request_timeout: Duration,
    #[command(flatten)]
    pub(crate) network: NetworkArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BlobType {
    Block,
    Page,
}

/// What a blob holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BlobFormat {
    /// The drive's bytes.
    Raw,
    /// A fixed VHD.
    Vhd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unreadable {
    Stop,
    Skip,
    Rescue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum VerifyMode {
    None,
    ReadBack,
}
