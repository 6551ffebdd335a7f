//! The command line of `drive-agent transfers`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::network::NetworkArguments;

#[derive(Debug, Args)]
pub(crate) struct TransfersArguments {
    #[command(subcommand)]
    pub(crate) command: Option<TransfersCommand>,
    /// Where journals are kept [default: $XDG_STATE_HOME/drive-agent]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) network: NetworkArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TransfersCommand {
    /// All of them, with what they left here and at the store
    List {
        /// Do not ask the stores what they hold
        #[arg(long)]
        local: bool,
    },
    /// One of them, with the commands that resume and discard it
    Show {
        /// The first digits of its id, its blob or its drive
        what: String,
    },
    /// Forget one, and remove what it left: its journal, an unfinished file, uncommitted blocks, an unfinished page blob
    Discard {
        /// The first digits of its id, its blob (with a SAS, where the store wants one) or its drive
        what: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Leave what is at the store, which may be out of reach
        #[arg(long)]
        local: bool,
    },
}
