//! The command line, as it is written. No defaults that need the machine, no logic.

mod bench;
mod help;
mod network;
mod packaging;
mod service;
mod transfer;
mod transfers;
pub(crate) mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::manifest::MANIFEST_SUFFIX;

pub(crate) use bench::{
    BenchArguments, BenchCommand, BenchStationArguments, BenchTlsArguments, CacheWord, CommonArguments, DirectionWord,
    MatrixArguments, PeersArguments,
};
pub(crate) use network::NetworkArguments;
pub(crate) use packaging::{CompletionsArguments, ManArguments};
pub(crate) use service::{
    BaysArguments, BaysCommand, ConnectArguments, CreateArguments, DriveOfJob, JobKindWord, JobPlace, JobsArguments, JobsCommand,
    LogFormat, ServeArguments, ShipArguments, StationArguments, TokensArguments, TokensCommand,
};
pub(crate) use transfer::{
    BlobFormat, BlobType, EffortArguments, ExportArguments, ImportArguments, PropertyArguments, RescueArguments,
    TransferArguments, Unreadable, VerifyArguments, VerifyMode,
};
pub(crate) use transfers::{TransfersArguments, TransfersCommand};
use values::parse_sector_size;
pub(crate) use values::parse_time_scale;

use help::OUTPUT;

/// Copies block data between drives and blob storage: every chunk has a SHA-256, a cancel ends with an
/// exact receipt, and a restart moves only what is missing.
///
/// DRIVE is a block device, a loop device, a raw image, or a profile (*.toml) of a simulated drive.
/// BLOB is a path or file:// (a plain file in a directory), https://ACCOUNT.blob.core.windows.net/CONTAINER/NAME[?SAS],
/// az://CONTAINER/NAME, s3://BUCKET/KEY, gs://BUCKET/NAME, or an emulator's
/// http://HOST:PORT/ACCOUNT/CONTAINER/NAME[?SAS].
#[derive(Debug, Parser)]
#[command(name = "drive-agent", version, max_term_width = 100)]
#[command(after_help = help::PROGRAM_SHORT, after_long_help = help::PROGRAM)]
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
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text, global = true, help_heading = OUTPUT)]
    pub(crate) output: Output,
    /// How progress is shown on standard error: with `auto` a bar on a terminal, and a line of text now and then elsewhere
    #[arg(long, value_enum, value_name = "FORM", default_value_t = ProgressMode::Auto, global = true, help_heading = OUTPUT)]
    pub(crate) progress: ProgressMode,
    /// Show neither progress nor notes: only warnings, errors and the result
    #[arg(short, long, global = true, help_heading = OUTPUT)]
    pub(crate) quiet: bool,
    /// Whether there is colour; `auto` follows the terminal and NO_COLOR
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorMode::Auto, global = true, help_heading = OUTPUT, hide_short_help = true)]
    pub(crate) color: ColorMode,
    /// Append the log, messages and results to this file; `-v` then logs more to it, and not to standard error
    #[arg(long, value_name = "PATH", global = true, help_heading = OUTPUT, hide_short_help = true)]
    pub(crate) log_file: Option<PathBuf>,
    /// Log more on standard error; twice for every request
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = OUTPUT)]
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
    Text,
    Json,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorMode {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copy a drive into a blob
    #[command(after_long_help = help::IMPORT)]
    Import(ImportArguments),
    /// Write a blob onto a drive
    #[command(after_long_help = help::EXPORT)]
    Export(ExportArguments),
    /// Check a drive, a blob, or both against a manifest
    #[command(after_long_help = help::VERIFY)]
    Verify(VerifyArguments),
    /// Transfers that were begun and not finished, and what they left
    #[command(after_long_help = help::TRANSFERS)]
    Transfers(TransfersArguments),
    /// The attached drives, what uses them, and whether they may be written
    #[command(after_long_help = help::DRIVES)]
    Drives(DrivesArguments),
    /// How fast this machine is, what limits it, and how that compares
    #[command(after_long_help = help::BENCH)]
    Bench(Box<BenchArguments>),
    /// Run the job service: REST API, bays and scheduler in one process
    #[command(after_long_help = help::SERVE)]
    Serve(ServeArguments),
    /// Run the bays of this host for a job service elsewhere
    #[command(after_long_help = help::STATION)]
    Station(StationArguments),
    /// Create, ship, watch, cancel and delete jobs; and what staff do with them
    #[command(after_long_help = help::JOBS)]
    Jobs(JobsArguments),
    /// The bays of a station, and what is docked
    #[command(after_long_help = help::BAYS)]
    Bays(BaysArguments),
    /// API tokens and portal sessions of a job service
    #[command(after_long_help = help::TOKENS)]
    Tokens(TokensArguments),
    /// The version, the commit it was built from, and what it can reach
    Version,
    /// Completions of the command line for a shell
    #[command(after_long_help = help::COMPLETIONS)]
    Completions(CompletionsArguments),
    /// The manual page of a command, for `man -l -`
    #[command(after_long_help = help::MAN)]
    Man(ManArguments),
}

impl Command {
    /// Drives, blobs and manifests that are files of this machine, as far as the command line names them.
    pub(crate) fn named_files(&self) -> Vec<PathBuf> {
        let local = |address: &String| match address.strip_prefix("file://") {
            Some(path) => Some(PathBuf::from(path)),
            None => (!address.contains("://")).then(|| PathBuf::from(address)),
        };
        let beside = |blob: &String| local(&format!("{blob}{MANIFEST_SUFFIX}"));
        let of_transfer = |drive: &PathBuf, blob: &String, transfer: &TransferArguments| {
            let blobs = [local(blob), beside(blob), transfer.manifest.clone()];
            blobs.into_iter().flatten().chain([drive.clone()]).collect()
        };
        match self {
            Command::Import(import) => of_transfer(&import.drive, &import.blob, &import.transfer),
            Command::Export(export) => of_transfer(&export.drive, &export.blob, &export.transfer),
            Command::Verify(verify) => {
                let blobs = verify.blob.iter().chain([&verify.manifest]).filter_map(local);
                verify.drive.iter().cloned().chain(blobs).collect()
            }
            _ => Vec::new(),
        }
    }
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
        /// The loop device, or the image
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
