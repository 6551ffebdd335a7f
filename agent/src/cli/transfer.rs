//! The command line of what copies and checks: import, export and verify.

use std::path::PathBuf;
use std::time::Duration;

use blob::{ContentType, Metadatum, Tier};
use clap::{ArgGroup, Args, ValueEnum};
use drive::Pace;
use protocol::fill::Fill;
use protocol::units::{ByteRate, ByteSize, parse_duration};
use serde::Deserialize;

use super::help::{BLOB, CHECKS, DRIVE, FAILING, RESUME, SPEED, TIMEOUTS};
use super::network::NetworkArguments;
use super::values::{Concurrency, parse_concurrency, parse_limit, parse_time_scale, parse_timeout};

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The drive to read; nothing is written to it
    pub(crate) drive: PathBuf,
    /// The blob to make
    pub(crate) blob: String,
    /// Replace a blob, or a manifest beside it, that exists
    #[arg(long, help_heading = BLOB)]
    pub(crate) overwrite: bool,
    /// Kind of the blob, where the store has kinds
    #[arg(long, value_enum, value_name = "KIND", default_value_t = BlobType::Block, help_heading = BLOB)]
    pub(crate) blob_type: BlobType,
    /// What a page blob holds: the drive's bytes alone, or a fixed VHD (a whole number of MiB and a footer), as
    /// disks of Azure are made of
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = BlobFormat::Raw, help_heading = BLOB, hide_short_help = true)]
    pub(crate) blob_format: BlobFormat,
    /// Write into the page blob that is there, such as the disk of an upload, and make none
    #[arg(long, help_heading = BLOB, hide_short_help = true)]
    pub(crate) into_existing: bool,
    /// Where the pieces of an object of S3 or of Google Cloud Storage are put until it is complete: a bucket, or a folder of one,
    /// such as s3://scratch/pieces; for Google's, a folder of the same bucket [default: beside the object]
    #[arg(long, value_name = "URL", help_heading = BLOB, hide_short_help = true)]
    pub(crate) staging: Option<String>,
    #[command(flatten)]
    pub(crate) properties: PropertyArguments,
    #[command(flatten)]
    pub(crate) transfer: TransferArguments,
    #[command(flatten)]
    pub(crate) rescue: RescueArguments,
}

/// What the blob is given beside its bytes.
#[derive(Debug, Args)]
pub(crate) struct PropertyArguments {
    /// Access tier of the block blob: hot, cool, cold or archive [default: that of the account]
    #[arg(long, value_name = "TIER", help_heading = BLOB, hide_short_help = true)]
    pub(crate) tier: Option<Tier>,
    /// Metadata of the blob; as often as you like
    #[arg(long, value_name = "KEY=VALUE", help_heading = BLOB, hide_short_help = true)]
    pub(crate) metadata: Vec<Metadatum>,
    /// Content type of the blob [default: application/octet-stream]
    #[arg(long, value_name = "TYPE", help_heading = BLOB, hide_short_help = true)]
    pub(crate) content_type: Option<ContentType>,
}

/// What to do about a drive that fails.
#[derive(Debug, Args)]
pub(crate) struct RescueArguments {
    /// What to do where the drive cannot be read: end there; leave out pieces of 64 KiB; or read every sector that
    /// can be read [default: stop, or rescue with one of the options below]
    #[arg(long, value_enum, value_name = "POLICY", help_heading = FAILING)]
    pub(crate) on_unreadable: Option<Unreadable>,
    /// End the import when more than this cannot be read, after all retries
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = parse_limit, help_heading = FAILING, hide_short_help = true)]
    pub(crate) max_unreadable: Option<ByteSize>,
    /// How often bad sectors are tried again at the end [default: 1]
    #[arg(long, value_name = "N", help_heading = FAILING, hide_short_help = true)]
    pub(crate) retry_passes: Option<u32>,
    /// Leave places that read more slowly for later, such as 1MB/s [default: reads of more than 3 s]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, help_heading = FAILING, hide_short_help = true)]
    pub(crate) min_read_rate: Option<ByteRate>,
    /// Keep the map of the drive in this file, in GNU ddrescue's format. Of a map that exists, failed places are
    /// left for last, and rescued ones are read again unless `--rescued` has them; it is kept as PATH.bak (PATH.bak.2, where that exists)
    #[arg(long, value_name = "PATH", help_heading = FAILING, hide_short_help = true)]
    pub(crate) mapfile: Option<PathBuf>,
    /// Take what the mapfile says was rescued from this image, and not from the drive
    #[arg(long, value_name = "IMAGE", requires = "mapfile", help_heading = FAILING, hide_short_help = true)]
    pub(crate) rescued: Option<PathBuf>,
    /// What stands where the drive could not be read: zeros, marker (a text), or a byte such as 0xff [default: zeros]
    #[arg(long, value_name = "FILLING", help_heading = FAILING, hide_short_help = true)]
    pub(crate) fill: Option<Fill>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The blob to read
    pub(crate) blob: String,
    /// The drive to write; everything on it is replaced
    pub(crate) drive: PathBuf,
    /// Serial number of the device to be written, to confirm that it is the right one; where `drives` calls that weak, the name of
    /// its port (in /dev/disk/by-path)
    #[arg(long, value_name = "SERIAL", help_heading = DRIVE)]
    pub(crate) confirm: Option<String>,
    /// Never ask; a device that is not confirmed is refused
    #[arg(long, help_heading = DRIVE)]
    pub(crate) yes: bool,
    /// Replace what an image that exists holds
    #[arg(long, help_heading = DRIVE)]
    pub(crate) overwrite: bool,
    /// What the blob holds: a fixed VHD, whose footer is not written to the drive, or the drive's bytes alone [default: a
    /// VHD where it has a footer]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = BLOB, hide_short_help = true)]
    pub(crate) blob_format: Option<BlobFormat>,
    #[command(flatten)]
    pub(crate) transfer: TransferArguments,
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

/// Options of a transfer.
#[derive(Debug, Args)]
pub(crate) struct TransferArguments {
    /// Also write the manifest to this file
    #[arg(long, value_name = "PATH", help_heading = BLOB)]
    pub(crate) manifest: Option<PathBuf>,
    /// Forget what was done before
    #[arg(long, help_heading = RESUME)]
    pub(crate) restart: bool,
    /// Read the whole target again at the end
    #[arg(long, value_enum, value_name = "HOW", default_value_t = VerifyMode::None, help_heading = CHECKS)]
    pub(crate) verify: VerifyMode,
    /// Also compute the SHA-256 of the whole drive, as sha256sum prints it
    #[arg(long, help_heading = CHECKS)]
    pub(crate) stream_sha256: bool,
    /// Run every check that comes before the first byte, say what would be done, and change nothing
    #[arg(long, help_heading = CHECKS)]
    pub(crate) dry_run: bool,
    /// Stop the drive's motor when everything is done, so that it can be taken out
    #[arg(long, help_heading = DRIVE, hide_short_help = true)]
    pub(crate) spin_down: bool,
    /// Unit of copying, hashing and cancelling [default: 8MiB, raised where the store's block limit needs it]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, help_heading = SPEED)]
    pub(crate) chunk_size: Option<ByteSize>,
    #[command(flatten)]
    pub(crate) effort: EffortArguments,
    /// How long chunks in flight may take to land after a cancel
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, allow_negative_numbers = true, help_heading = TIMEOUTS, hide_short_help = true)]
    pub(crate) drain_timeout: Duration,
}

/// What a command may use.
#[derive(Debug, Args)]
pub(crate) struct EffortArguments {
    /// All buffers together [default: 256MiB, raised where chunks had to be]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, help_heading = SPEED)]
    pub(crate) memory: Option<ByteSize>,
    /// Requests to the store at once: a number, or `auto`
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = parse_concurrency, allow_negative_numbers = true, help_heading = SPEED)]
    pub(crate) concurrency: Concurrency,
    /// Most bytes a second, such as 200MB/s
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, help_heading = SPEED)]
    pub(crate) rate: Option<ByteRate>,
    /// A file with a rate as `--rate` takes it, or `unlimited`; it is followed when it changes
    #[arg(long, value_name = "PATH", conflicts_with = "rate", help_heading = SPEED, hide_short_help = true)]
    pub(crate) rate_file: Option<PathBuf>,
    /// Where journals are kept [default: $XDG_STATE_HOME/drive-agent]
    #[arg(long, value_name = "DIR", help_heading = RESUME)]
    pub(crate) state_dir: Option<PathBuf>,
    /// How fast the time of a simulated drive goes: 1 is real time, `max` waits for nothing [default: 1]
    #[arg(long, value_name = "FACTOR|max", value_parser = parse_time_scale, allow_negative_numbers = true, help_heading = SPEED, hide_short_help = true)]
    pub(crate) time_scale: Option<Pace>,
    /// How long a failing request is repeated before the transfer is abandoned [default: 2m, and 5s before the
    /// store was reached for the first time]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_negative_numbers = true, help_heading = TIMEOUTS, hide_short_help = true)]
    pub(crate) retry_budget: Option<Duration>,
    /// Longest single read or write of the drive; one that takes longer is abandoned
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_timeout, allow_negative_numbers = true, help_heading = TIMEOUTS, hide_short_help = true)]
    pub(crate) read_timeout: Duration,
    /// Longest silence of the store within one request
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_timeout, allow_negative_numbers = true, help_heading = TIMEOUTS, hide_short_help = true)]
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
