//! One verb, one file. Each gives the exit code of the process.

pub(crate) mod bays;
mod condition;
pub(crate) mod drives;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod packaging;
pub(crate) mod tokens;
pub(crate) mod transfers;
pub(crate) mod verify;
pub(crate) mod version;

use std::io::{IsTerminal, Write};

use copy::{CopyError, Stop, TransferHandle};
use protocol::outcome::{EXIT_USAGE, Outcome};
use protocol::receipt::Receipt;
use protocol::result::{Direction, TransferPlan, TransferResult};
use protocol::stop::StopReason;
use time::OffsetDateTime;

use crate::client::ClientError;
use crate::commands::condition::Release;
use crate::printer::Printer;
use crate::reporter::Reporter;
use crate::resume_command::resume_command;
use crate::secrets::without_secrets;
use crate::signals;

/// Links a transfer with the terminal and the signals.
fn link(printer: &Printer) -> (TransferHandle, Reporter) {
    let stop = Stop::new();
    signals::stop_at_signals(stop.clone(), printer.clone());
    let notices = printer.clone();
    let link = TransferHandle::new(stop, move |notice| notices.notice(&notice));
    let reporter = Reporter::start(link.counters.clone(), printer);
    (link, reporter)
}

/// Asks the person at the terminal whether what would be lost may be; `false` where there is no terminal, or no yes.
fn is_agreed(what: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    let mut answer = String::new();
    let mut terminal = std::io::stderr().lock();
    let asked = write!(terminal, "{what}. Continue? [y/N] ").and_then(|()| terminal.flush());
    let answered = asked.and_then(|()| std::io::stdin().read_line(&mut answer));
    answered.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// The exit code of a command that asked a job service; says why, where it was not answered.
fn answered(result: Result<(), ClientError>, printer: &Printer) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            printer.error(&error.to_string());
            error.exit_code()
        }
    }
}

/// Prints how a transfer ended, and gives its exit code. `release` is of the drive of a transfer that was run.
fn conclude(
    result: Result<TransferResult, CopyError>,
    direction: Direction,
    blob: &str,
    release: Option<Release>,
    printer: &Printer,
) -> u8 {
    let result = match result {
        Ok(result) => result,
        Err(error) => match error.outcome() {
            None => {
                printer.error(&error.to_string());
                return EXIT_USAGE;
            }
            Some(outcome) => not_begun(outcome, direction, blob, &error),
        },
    };
    if let Some(error) = &result.error {
        printer.error(error);
    }
    let release = release.filter(|_| result.outcome.is_complete());
    let is_removable = release.is_some_and(|release| release.carry_out(printer));
    printer.transfer(&result, is_removable);
    result.outcome.exit_code()
}

/// Prints what a transfer would do, or why it would not begin, and gives the exit code.
fn conclude_plan(plan: Result<TransferPlan, CopyError>, direction: Direction, blob: &str, printer: &Printer) -> u8 {
    match plan {
        Ok(plan) => {
            printer.plan(&plan);
            0
        }
        Err(error) => conclude(Err(error), direction, blob, None, printer),
    }
}

/// The result of a transfer that could not be begun: nothing was moved.
pub(crate) fn not_begun(outcome: Outcome, direction: Direction, blob: &str, error: &CopyError) -> TransferResult {
    TransferResult {
        error: Some(without_secrets(&error.to_string()).into_owned()),
        // Cancelled before it was known what there is to move: an empty receipt.
        receipt: (outcome == Outcome::Cancelled).then(|| {
            let now = OffsetDateTime::now_utc();
            Receipt::new(StopReason::Interrupted, now, now, resume_command())
        }),
        ..TransferResult::not_begun(outcome, direction, blob)
    }
}
