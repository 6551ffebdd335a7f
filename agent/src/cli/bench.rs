//! The command line of `bench`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use protocol::units::ByteSize;

use super::values::{Concurrency, parse_concurrency};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
    #[command(flatten)]
    pub(crate) matrix: MatrixArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// The same work through the tools that people use today, in turn
    Peers(PeersArguments),
    /// Many simulated drives at once
    Station(BenchStationArguments),
    /// What changed from one report to another, and what is noise
    Compare {
        /// The earlier report (JSON)
        before: PathBuf,
        /// The later report (JSON)
        after: PathBuf,
    },
    /// Serve uploads as Azure does, and throw them away, until the process is ended
    Sink {
        /// Where to listen: loopback alone
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        #[command(flatten)]
        tls: BenchTlsArguments,
    },
    /// One transfer of a bench, as standard input says
    #[command(hide = true)]
    Transfer,
}

/// How a server of a bench speaks TLS, and its clients with it.
#[derive(Debug, Args)]
pub(crate) struct BenchTlsArguments {
    /// Certificate of the server for 127.0.0.1, in PEM: with TLS, where it is given
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The private key of it, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// What every bench takes.
#[derive(Debug, Args)]
pub(crate) struct CommonArguments {
    /// How often everything is done, in turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = parse_repeat)]
    pub(crate) repeat: usize,
    /// Where images, blobs and journals are made [default: the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,
    /// Write the report as a page to this file
    #[arg(long, value_name = "PATH")]
    pub(crate) html: Option<PathBuf>,
    /// Write the report to this file, for `bench compare`
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct MatrixArguments {
    /// A drive to read, `null` (bytes that cost nothing) or `zero`; as often as you like [default: an image made for it]
    #[arg(long, value_name = "DRIVE|null|zero")]
    pub(crate) drive: Vec<String>,
    /// A blob to make, or `null`; as often as you like [default: a file in the work directory]
    #[arg(long, value_name = "BLOB|null")]
    pub(crate) store: Vec<String>,
    /// The drive that exports write, or `null` [default: an image in the work directory]
    #[arg(long, value_name = "DRIVE|null")]
    pub(crate) target: Option<String>,
    /// Serial number of a device that exports write
    #[arg(long, value_name = "SERIAL", requires = "target")]
    pub(crate) confirm: Option<String>,
    /// Which way
    #[arg(long, value_enum, default_value_t = DirectionWord::Both)]
    pub(crate) direction: DirectionWord,
    /// Size of what is made for the bench, of `null` and of `zero`
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    pub(crate) size: ByteSize,
    /// Chunk sizes, with commas between
    #[arg(long, value_name = "SIZES", value_delimiter = ',', default_value = "1MiB,4MiB,8MiB,32MiB")]
    pub(crate) chunk_size: Vec<ByteSize>,
    /// Memory budgets, with commas between [default: that of a transfer]
    #[arg(long, value_name = "SIZES", value_delimiter = ',')]
    pub(crate) memory: Vec<ByteSize>,
    /// Requests at once, with commas between
    #[arg(long, value_name = "N|auto", value_delimiter = ',', default_value = "auto", value_parser = parse_concurrency)]
    pub(crate) concurrency: Vec<Concurrency>,
    /// Whether images lie in the page cache
    #[arg(long, value_enum, default_value_t = CacheWord::Warm)]
    pub(crate) cache: CacheWord,
    /// Let simulated drives take their time
    #[arg(long)]
    pub(crate) real_time: bool,
    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PeersArguments {
    /// Size of the image
    #[arg(long, value_name = "SIZE", default_value = "2GiB")]
    pub(crate) size: ByteSize,
    /// No zeros in it [default: a quarter of it is zeros]
    #[arg(long)]
    pub(crate) random: bool,
    /// Read from the disk, and not from the page cache
    #[arg(long)]
    pub(crate) cold: bool,
    /// Only this work; as often as you like: copy, back, upload, verify (blksum, `nbdcopy --blkhash`)
    #[arg(long, value_name = "WORK", value_parser = ["copy", "back", "upload", "verify"])]
    pub(crate) only: Vec<String>,
    /// Where a tool is that is not in the path; as often as you like
    #[arg(long, value_name = "PATH")]
    pub(crate) tool: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) tls: BenchTlsArguments,
    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

#[derive(Debug, Args)]
pub(crate) struct BenchStationArguments {
    /// How many drives at once, with commas between
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_value = "1,2,4,8,16", value_parser = parse_repeat)]
    pub(crate) drives: Vec<usize>,
    /// The profile of each of them, `null` or `zero` [default: random data, as fast as it is computed]
    #[arg(long, value_name = "DRIVE|null|zero")]
    pub(crate) drive: Option<String>,
    /// A directory for their blobs, or `null`
    #[arg(long, value_name = "DIR|null", default_value = "null")]
    pub(crate) store: String,
    /// Size of each drive
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    pub(crate) size: ByteSize,
    /// Memory of all of them together
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    pub(crate) memory: ByteSize,
    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DirectionWord {
    Import,
    Export,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CacheWord {
    Warm,
    Cold,
    Both,
}

fn parse_repeat(text: &str) -> Result<usize, String> {
    const MAX: usize = 1000;
    match text.parse() {
        Ok(number) if (1..=MAX).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is not a number from 1 to {MAX}")),
    }
}
