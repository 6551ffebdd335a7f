//! The program `drive-agent`: the one place where drives, stores, the copy engine and a terminal meet.
//!
//! # Three layers
//! 1. `cli` understands the command line, and nothing else: no file is touched, no default needs the
//!    machine.
//! 2. `settings` turns it into what the libraries want: options, an opened drive, a blob with its
//!    credentials.
//! 3. `commands` runs one verb each.
//!
//! # Who prints
//! Libraries emit events and results; `printer` writes the result to standard output, and messages to
//! standard error; `reporter` is the only file that knows indicatif.
//!
//! # How it ends
//! With the exit code of the outcome (`protocol::outcome`), 2 for a command line that could not be
//! understood. The first signal cancels, the second aborts, the third ends the process (`signals`).

mod cli;
mod commands;
mod printer;
mod reporter;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Arguments, Command};
use crate::printer::Printer;

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let printer = Printer::new(&arguments.common);
    start_logging(arguments.common.verbose, printer.uses_color());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.error(&format!("the program cannot start its threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        match arguments.command {
            Command::Import(import) => commands::import::run(import, &printer).await,
            Command::Export(export) => commands::export::run(export, &printer).await,
            Command::Verify(verify) => commands::verify::run(verify, &printer).await,
            Command::Drives(drives) => commands::drives::run(drives, &printer).await,
        }
    });
    // Threads that hang in a drive must not keep the process.
    runtime.shutdown_background();
    ExitCode::from(code)
}

fn start_logging(verbose: u8, uses_color: bool) {
    let level = match verbose {
        0 => return,
        1 => "info,drive=debug,blob=debug,copy=debug,drive_agent=debug",
        _ => "debug,hyper_util=info,reqwest=info",
    };
    let filter = tracing_subscriber::EnvFilter::new(level);
    // A second start in one process (tests) is no reason to fail.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(uses_color).with_writer(std::io::stderr).try_init();
}
