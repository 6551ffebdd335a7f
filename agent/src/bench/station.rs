//! Many drives at once, as a station copies them: one process, shared memory and processors.

use protocol::result::Direction;
use protocol::units::ByteSize;

use super::ends::NULL;
use super::error::BenchError;
use super::report::{Measure, Report, Run, Spread};
use super::transfer::{Order, carry_out_all};
use super::turns;
use super::work::WorkDir;
use crate::cli::BenchStationArguments;
use crate::printer::Printer;

/// A drive that is computed as fast as it can be.
const PROFILE: &str = "serial = \"BENCH\"\nseed = 5\nzero_share = 0.0\nrun_size = \"1MiB\"\n";

/// Measures so many drives at once, in turn.
pub(super) fn run(arguments: &BenchStationArguments, printer: &Printer) -> Result<Report, BenchError> {
    let work = WorkDir::new(arguments.common.work_dir.as_deref())?;
    let ByteSize(size) = arguments.size;
    let drive = match &arguments.drive {
        Some(drive) => drive.clone(),
        None => {
            let profile = work.path("drive.toml");
            let text = format!("size = \"{size}\"\n{PROFILE}");
            std::fs::write(&profile, text).map_err(|error| BenchError::file(&profile, error))?;
            profile.display().to_string()
        }
    };
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); arguments.drives.len()];
    let mut bytes = vec![0; arguments.drives.len()];
    for repetition in 0..arguments.common.repeat {
        printer.inform(&format!("repetition {} of {}", repetition + 1, arguments.common.repeat));
        for index in turns::order(arguments.drives.len(), repetition) {
            let count = &arguments.drives[index];
            let blob = if arguments.store == NULL { NULL.to_owned() } else { format!("{}/bench", arguments.store) };
            let order = Order {
                size_bytes: size,
                is_unpaced: true,
                count: *count,
                total_memory_bytes: Some(arguments.memory.0),
                ..Order::new(Direction::Import, drive.clone(), blob, work.path("state"))
            };
            let (mut run, results) = carry_out_all(&order)?;
            let rates = Spread::of(results.iter().map(|result| result.bytes_total as f64 / result.elapsed_seconds.max(1e-9)));
            run.fairness = rates.filter(|_| *count > 1).map(|rates| rates.min / rates.max);
            bytes[index] = results.iter().map(|result| result.bytes_total).sum();
            runs[index].push(run);
        }
    }
    let mut report = Report::new();
    for ((count, runs), bytes) in arguments.drives.iter().zip(runs).zip(bytes) {
        let name = match count {
            1 => "one drive".to_owned(),
            count => format!("{count} drives at once"),
        };
        report.measures.push(Measure { name, group: "station".to_owned(), bytes, runs, case: None, limit: None });
    }
    // One drive alone is the limit of many.
    let alone = report
        .measures
        .first()
        .and_then(Measure::rate)
        .map(|rate| super::report::Limit { name: "one drive alone".to_owned(), bytes_per_second: rate.median });
    if arguments.drives.first() == Some(&1) {
        report.measures.iter_mut().skip(1).for_each(|measure| measure.limit.clone_from(&alone));
    }
    Ok(report)
}
