//! The command line of the job service, and of those who talk to it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The configuration (TOML); without one: an account `local` below the state directory, and two empty bays
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where requests are taken [default: 127.0.0.1:7070, or what the configuration says]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Database, keys, journals and the first operator's token [default: $XDG_STATE_HOME/drive-agent]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Take requests in the clear on an address that others reach: tokens can be read on the way
    #[arg(long)]
    pub(crate) allow_plaintext: bool,
    /// Make a new `vault.key` where it is gone: keys of customers that were sealed with it are lost
    #[arg(long)]
    pub(crate) new_vault_key: bool,
    /// Only look whether configuration, database and accounts can be used; nothing is changed
    #[arg(long)]
    pub(crate) check: bool,
    /// How the log is written to standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}

#[derive(Debug, Args)]
pub(crate) struct StationArguments {
    /// The job service; said again for every other service of the same database, which are asked in turn
    #[arg(long, value_name = "URL", required = true)]
    pub(crate) service: Vec<String>,
    /// A file with the token of this station: `drive-agent tokens create NAME --station`
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,
    /// Bays, accounts and budgets (TOML), as `serve` takes them
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The name of this station, which is that of its token [default: the name of this host]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where it stands, for staff
    #[arg(long, value_name = "TEXT")]
    pub(crate) hall: Option<String>,
    /// Journals, and what was docked by hand [default: $XDG_STATE_HOME/drive-agent]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Certificates (PEM) that the service's is checked with, in place of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// How the log is written to standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// How a job service is reached.
#[derive(Debug, Args)]
pub(crate) struct ConnectArguments {
    /// The service [default: the one that runs on the state directory, else http://127.0.0.1:7070]
    #[arg(long, value_name = "URL", env = "DRIVE_AGENT_SERVER", global = true)]
    pub(crate) server: Option<String>,
    /// A file with the token [default: DRIVE_AGENT_TOKEN, else operator.token of the state directory]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// The state directory of a service on this machine [default: $XDG_STATE_HOME/drive-agent]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Certificates (PEM) that the service's is checked with, in place of the system's
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct JobsArguments {
    #[command(subcommand)]
    pub(crate) command: JobsCommand,
    #[command(flatten)]
    pub(crate) place: JobPlace,
    #[command(flatten)]
    pub(crate) connect: ConnectArguments,
}

/// Where jobs are.
#[derive(Debug, Args)]
pub(crate) struct JobPlace {
    /// The subscription
    #[arg(long, value_name = "ID", env = "DRIVE_AGENT_SUBSCRIPTION", default_value = "default", global = true)]
    pub(crate) subscription: String,
    /// The resource group
    #[arg(long, value_name = "NAME", env = "DRIVE_AGENT_RESOURCE_GROUP", default_value = "default", global = true)]
    pub(crate) resource_group: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// Create a job, or change one that is still Creating
    Create(CreateArguments),
    /// The jobs of the subscription
    List {
        /// The jobs of every subscription (operators)
        #[arg(long)]
        all: bool,
        /// Of every subscription, those that have this in their name, their customer, the number of their parcel or of a
        /// drive (operators)
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// What they are asked for, such as "state eq 'Transferring' and type eq 'Import'"
        #[arg(long, value_name = "FILTER")]
        filter: Option<String>,
    },
    /// A job as it stands
    Show {
        /// The job
        name: String,
        /// Print it whenever it changes, until it ends or Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// Record that the drives were sent
    Ship(ShipArguments),
    /// Correct the serial number of a drive that has not come; its key stays its key
    CorrectDrive {
        #[command(flatten)]
        one: DriveOfJob,
        /// Its serial number
        #[arg(long, value_name = "ID")]
        to: String,
    },
    /// Cancel a job: no new chunk starts, what is in flight lands, and the receipts say what moved
    Cancel {
        /// The job
        name: String,
    },
    /// Delete a job that is Creating, Completed or Closed, and everything that is known of it
    Delete {
        /// The job
        name: String,
    },
    /// The keys of a job's drives
    Keys {
        /// The job
        name: String,
    },
    /// What moved of every drive
    Receipts {
        /// The job
        name: String,
    },
    /// Check in a drive that arrived (operators)
    CheckIn {
        /// The job
        name: String,
        /// Which drive of the job it is, whatever serial number it reports; for an export, the name that it gets [default:
        /// the one of its serial number]
        #[arg(long, value_name = "ID")]
        drive: Option<String>,
        /// The bay that it is in; an export needs it
        #[arg(long, value_name = "BAY")]
        bay: Option<String>,
        /// For an export: what is on the drive may go
        #[arg(long)]
        erase: bool,
        /// For an export: the drive goes back unused
        #[arg(long, conflicts_with = "erase")]
        spare: bool,
        /// The drive in the bay was checked in for another job by mistake
        #[arg(long, requires = "bay")]
        take_over: bool,
    },
    /// Record that a drive did not arrive; for an export, that no more drives come (operators)
    NeverReceived {
        /// The job
        name: String,
        /// The drive of an import
        #[arg(long, value_name = "ID")]
        drive: Option<String>,
    },
    /// Copy a docked drive now (operators)
    Start(DriveOfJob),
    /// Pause a drive (operators)
    Pause(DriveOfJob),
    /// Resume a paused drive (operators)
    Resume(DriveOfJob),
    /// Copy a drive again that failed, or ended without being complete (operators)
    Retry {
        #[command(flatten)]
        one: DriveOfJob,
        /// Forget what was done before
        #[arg(long)]
        restart: bool,
        /// Replace a blob that exists
        #[arg(long)]
        overwrite: bool,
        /// Read every sector of a failing drive that can be read, and list what is missing
        #[arg(long)]
        rescue: bool,
        /// What is on the drive of an export may go
        #[arg(long)]
        erase: bool,
    },
    /// End the copy of a drive before it is complete: the drive goes back with an error (operators)
    GiveUp {
        #[command(flatten)]
        one: DriveOfJob,
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
    },
    /// Take back that the copy of a drive was ended, until the drive is shipped back (operators)
    UndoGiveUp(DriveOfJob),
    /// The drive that was checked in as this one was the wrong one: its copy waits for the right drive, until the drives
    /// are shipped back (operators)
    UndoCheckIn {
        #[command(flatten)]
        one: DriveOfJob,
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
    },
    /// A drive that was said not to come may come after all; for an export, more drives may come (operators)
    UndoNeverReceived {
        /// The job
        name: String,
        /// The drive of an import
        #[arg(long, value_name = "ID")]
        drive: Option<String>,
    },
    /// The drive of an export is unsuitable: its blob waits for another drive (operators)
    Release(DriveOfJob),
    /// Record that the drives were sent back (operators)
    ShipBack {
        /// The job
        name: String,
        /// The carrier
        #[arg(long)]
        carrier: String,
        /// The tracking number
        #[arg(long)]
        tracking: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DriveOfJob {
    /// The job: its name, or SUBSCRIPTION/GROUP/NAME
    pub(crate) name: String,
    /// The drive
    #[arg(long, value_name = "ID")]
    pub(crate) drive: String,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// The job
    pub(crate) name: String,
    /// The body of the request as a JSON file, `-` for standard input; options below go over it
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// What the job does
    #[arg(long, visible_alias = "type", value_enum, required_unless_present = "from")]
    pub(crate) kind: Option<JobKindWord>,
    /// The storage account
    #[arg(long, value_name = "NAME", required_unless_present = "from")]
    pub(crate) account: Option<String>,
    /// The datacenter [default: the first one]
    #[arg(long, value_name = "NAME")]
    pub(crate) location: Option<String>,
    /// A drive of an import, by its serial number; keys come with `--from`
    #[arg(long = "drive", value_name = "ID")]
    pub(crate) drives: Vec<String>,
    /// A blob of an export, as /CONTAINER/NAME
    #[arg(long = "blob", value_name = "PATH")]
    pub(crate) blobs: Vec<String>,
    /// What the names of an export's blobs begin with: / for all, /CONTAINER/ for a container
    #[arg(long = "prefix", value_name = "PREFIX")]
    pub(crate) prefixes: Vec<String>,
    /// Log every chunk
    #[arg(long)]
    pub(crate) verbose_log: bool,
    /// Keep the manifests beside the logs too
    #[arg(long)]
    pub(crate) backup_manifest: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum JobKindWord {
    Import,
    Export,
}

#[derive(Debug, Args)]
pub(crate) struct ShipArguments {
    /// The job
    pub(crate) name: String,
    /// The carrier
    #[arg(long)]
    pub(crate) carrier: String,
    /// The tracking number
    #[arg(long)]
    pub(crate) tracking: String,
    /// How many drives are in it
    #[arg(long, value_name = "COUNT")]
    pub(crate) drives: Option<u8>,
    /// Where they go in the end, unless the job has it already: a JSON file with recipientName, streetAddress1, city,
    /// postalCode, countryOrRegion, phone and email
    #[arg(long, value_name = "FILE")]
    pub(crate) return_address: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BaysArguments {
    #[command(subcommand)]
    pub(crate) command: Option<BaysCommand>,
    /// Print the bays whenever they change, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BaysCommand {
    /// Dock a drive by hand
    Dock {
        /// The bay
        bay: String,
        /// A device, an image, or a profile, on the station
        drive: PathBuf,
        /// What jobs call it [default: its serial number, or the name of its file]
        #[arg(long, value_name = "ID")]
        drive_id: Option<String>,
    },
    /// Take a drive out by hand
    Undock {
        /// The bay
        bay: String,
    },
    /// Rate limit of all copies together: show it, or set it until it is set again
    Rate {
        /// A rate such as 50MB/s, `unlimited`, or `schedule` for what the configuration says
        rate: Option<String>,
    },
    /// The stations, and when they called last
    Stations,
    /// What needs an operator
    Attention,
    /// The audit log, newest first
    Audit {
        /// Only about the job with this random name, which outlives the job
        #[arg(long, value_name = "UID")]
        job: Option<String>,
        /// Only by the owner of the token of this name
        #[arg(long, value_name = "NAME")]
        actor: Option<String>,
        /// Only where this is part of what was done
        #[arg(long, value_name = "TEXT")]
        action: Option<String>,
        /// Not before this time, such as 2026-11-26T08:00:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Before this time
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// The newest of them
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TokensArguments {
    #[command(subcommand)]
    pub(crate) command: TokensCommand,
    #[command(flatten)]
    pub(crate) connect: ConnectArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Make a token, and print it for the only time
    #[command(group(ArgGroup::new("role").args(["subscriptions", "operator", "station"]).required(true)))]
    Create {
        /// Its name in the audit log
        name: String,
        /// A subscription of the customer; for an operator say `--operator`
        #[arg(long = "for", value_name = "SUBSCRIPTION")]
        subscriptions: Vec<String>,
        /// May do everything, in every subscription
        #[arg(long)]
        operator: bool,
        /// Runs the bays of the host of that name (`drive-agent station`), and may do nothing else
        #[arg(long)]
        station: bool,
    },
    /// The tokens and their owners
    List,
    /// The open sessions of the portal
    Sessions,
    /// End a session of the portal
    EndSession {
        /// Its name in `tokens sessions`
        id: String,
    },
    /// Revoke a token, and end its sessions
    Revoke {
        /// Its name
        name: String,
    },
}
