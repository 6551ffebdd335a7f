//! The program `drive-agent`: the one place where drives, stores, the copy engine and a terminal meet.
//!
//! # Three layers
//! 1. `cli` understands the command line, and nothing else: no file is touched, no default needs the
//!    machine.
//! 2. `settings` turns it into what the libraries want: options, an opened drive, a blob with its
//!    credentials.
//! 3. `commands` runs one verb each; `bench` measures, `serve` is the job service, and `station` its
//!    worker beside the drives.
//!
//! # Who prints
//! Libraries emit events and results; `printer` writes the result to standard output, and messages to
//! standard error; `reporter` is the only file that knows indicatif.
//!
//! # How it ends
//! With the exit code of the outcome (`protocol::outcome`), 2 for a command line that could not be
//! understood, and 1 where a result could not be written. The first signal cancels, the second aborts, the third ends the
//! process (`signals`).

mod bench;
mod cli;
mod client;
mod command_line;
mod commands;
#[doc(hidden)]
pub mod fuzzing;
mod local_service;
mod logging;
mod opening;
mod printer;
mod progress_text;
mod rate_file;
mod reporter;
mod resume_command;
mod secrets;
mod serve;
mod settings;
mod signals;
mod standard_output;
mod station;
mod station_calls;

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use protocol::outcome::{EXIT_USAGE, Outcome};

use crate::cli::Command;
use crate::command_line::{CommandLine, UsageError};
use crate::printer::Printer;
use crate::resume_command::keep_given_elsewhere;
use crate::secrets::without_secrets;

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let command_line = match CommandLine::read() {
        Ok(command_line) => command_line,
        // Help and version are results too.
        Err(refused) => return ExitCode::from(refused_usage(&refused)),
    };
    let CommandLine { arguments, given_elsewhere } = command_line;
    keep_given_elsewhere(given_elsewhere);
    let printer = Printer::new(&arguments.common);
    if let Err(error) = require_open_files() {
        printer.error(&format!(
            "the program cannot open the files that it needs: {error}; raise the limit on open files (`ulimit -n 1024`), and repeat the command"
        ));
        return ExitCode::FAILURE;
    }
    let drains = matches!(
        arguments.command,
        Command::Import(_) | Command::Export(_) | Command::Verify(_) | Command::Serve(_) | Command::Station(_)
    );
    if let Err(error) = signals::receive(&printer, drains) {
        printer.warn(&format!("signals cannot be received ({error}): a cancel will end the process at once"));
    }
    let service_log = match &arguments.command {
        Command::Serve(serve) => Some(serve.log),
        Command::Station(station) => Some(station.log),
        _ => None,
    };
    if let Err(error) = logging::start(&arguments.command, &arguments.common, service_log, printer.uses_color()) {
        printer.error(&error);
        return ExitCode::from(EXIT_USAGE);
    }
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
            Command::Transfers(transfers) => commands::transfers::run(transfers, &printer).await,
            Command::Drives(drives) => commands::drives::run(drives, &printer).await,
            Command::Bench(bench) => bench::run(*bench, &printer).await,
            Command::Serve(serve) => serve::run(serve, &printer).await,
            Command::Station(station) => station_calls::run(station, &printer).await,
            Command::Jobs(jobs) => commands::jobs::run(jobs, &printer).await,
            Command::Bays(bays) => commands::bays::run(bays, &printer).await,
            Command::Tokens(tokens) => commands::tokens::run(tokens, &printer).await,
            Command::Version => commands::version::run(&printer),
            Command::Completions(completions) => commands::packaging::completions(&completions, &printer),
            Command::Man(man) => commands::packaging::man(&man, &printer),
        }
    });
    // Threads that hang in a drive must not keep the process.
    runtime.shutdown_background();
    // A result that was lost is not a success, whatever the command did.
    let is_lost = code == Outcome::Complete.exit_code() && printer.has_lost_result();
    ExitCode::from(if is_lost { Outcome::Failed.exit_code() } else { code })
}

/// Says why the command line, a variable or the file of options could not be understood, and gives the exit code.
fn refused_usage(refused: &UsageError) -> u8 {
    let (said, variables) = match refused {
        UsageError::Parser(said, variables) => (said, variables),
        UsageError::File { common, message } => {
            Printer::new(common).error(message);
            return EXIT_USAGE;
        }
    };
    let rendered = said.render().to_string();
    let written = match without_secrets(&rendered) {
        // It repeats what it does not understand, which may be an address with its signature.
        Cow::Owned(shown) if said.use_stderr() => std::io::stderr().write_all(shown.as_bytes()),
        _ => said.print(),
    };
    if said.use_stderr() && !variables.is_empty() {
        let _ = writeln!(std::io::stderr(), "\nnote: set in the environment: {}", variables.join(", "));
    }
    match written.and_then(|()| std::io::stdout().flush()) {
        Ok(()) => said.exit_code().try_into().unwrap_or(EXIT_USAGE),
        Err(_) => Outcome::Failed.exit_code(),
    }
}

/// Files that the runtime opens before it can say that it could not: it would panic.
const OPEN_FILES_LEAST: usize = 16;

/// Tries whether so many files can be opened.
fn require_open_files() -> std::io::Result<()> {
    let opened: std::io::Result<Vec<File>> = (0..OPEN_FILES_LEAST).map(|_| File::open("/dev/null")).collect();
    opened.map(drop)
}
