//! `drive-agent bench`: how fast this machine is, what limits it, and how that compares.
//!
//! Every figure is of a whole process, measured from outside: wall time, processor time, peak memory. What is compared
//! runs in turn, repetition by repetition and each time in another order, so that a machine whose speed drifts treats all
//! alike; medians are quoted, with the least and the most beside them.
//!
//! | file | what it knows |
//! |---|---|
//! | `stages` | what a stage alone can do: the limits |
//! | `matrix` | whole imports and exports, and which limit is theirs |
//! | `peers` | the same work through the tools that people use today |
//! | `station` | many drives at once |
//! | `transfer` | one transfer, in a process of its own |
//! | `process` | measuring a process |
//! | `turns` | the order of the runs |
//! | `error` | why nothing was measured |
//! | `ends` | drives and blobs that cost nothing |
//! | `sink` | a server that takes uploads and throws them away |
//! | `report`, `table`, `html`, `plot` | what was measured, and how it looks |
//! | `compare` | two reports: what changed, and what is noise |

mod compare;
mod ends;
mod error;
mod html;
mod matrix;
mod peers;
mod plot;
mod process;
mod report;
mod s3_sink;
mod sink;
mod stages;
mod station;
mod table;
mod transfer;
mod turns;
mod work;

use crate::cli::{BenchArguments, BenchCommand, CommonArguments};
use crate::printer::Printer;
use error::BenchError;
use report::Report;

/// Measures, and prints what came of it.
pub(crate) async fn run(arguments: BenchArguments, printer: &Printer) -> u8 {
    let done = match arguments.command {
        Some(BenchCommand::Transfer) => return transfer::run().await,
        Some(BenchCommand::Sink { listen, tls }) => sink::run(listen, &tls, printer).await,
        Some(BenchCommand::Compare { before, after }) => compare::run(&before, &after, printer),
        Some(BenchCommand::Peers(peers)) => peers::run(&peers, printer).and_then(|report| show(&report, &peers.common, printer)),
        Some(BenchCommand::Station(station)) => {
            station::run(&station, printer).and_then(|report| show(&report, &station.common, printer))
        }
        None => matrix::run(&arguments.matrix, printer).await.and_then(|report| show(&report, &arguments.matrix.common, printer)),
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            printer.error(&error.to_string());
            if matches!(error, BenchError::Usage(_)) { protocol::outcome::EXIT_USAGE } else { 1 }
        }
    }
}

/// Writes a report to where it is wanted.
fn show(report: &Report, common: &CommonArguments, printer: &Printer) -> Result<(), BenchError> {
    if let Some(path) = &common.json {
        let text = serde_json::to_string_pretty(report).map_err(|error| BenchError::Failed(error.to_string()))?;
        std::fs::write(path, text + "\n").map_err(|error| BenchError::file(path, error))?;
    }
    if let Some(path) = &common.html {
        std::fs::write(path, html::page(report)?).map_err(|error| BenchError::file(path, error))?;
    }
    printer.document(report, || table::text(report));
    if !compare::can_tell(common.repeat, common.repeat) {
        let few = common.repeat;
        printer.warn(&format!(
            "{few} repetitions are too few to tell a change from noise: `--repeat 5` is enough for `bench compare`"
        ));
    }
    Ok(())
}
