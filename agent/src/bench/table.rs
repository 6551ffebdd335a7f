//! A report as text.

use protocol::units::ByteSize;

use super::report::{Measure, Report, Spread};
use crate::printer::table;

/// Bytes a second, as people say it.
pub(super) fn rate(bytes_per_second: f64) -> String {
    match bytes_per_second {
        rate if rate >= 1e9 => format!("{:.2} GB/s", rate / 1e9),
        rate => format!("{:.1} MB/s", rate / 1e6),
    }
}

fn spread(spread: Option<Spread>, shown: impl Fn(f64) -> String) -> Vec<String> {
    match spread {
        Some(Spread { min, median, max }) => vec![shown(median), format!("{}..{}", shown(min), shown(max))],
        None => vec!["-".to_owned(), "-".to_owned()],
    }
}

fn row(measure: &Measure) -> Vec<String> {
    let mut row = vec![measure.shown_name()];
    row.extend(spread(measure.rate(), rate));
    row.push(measure.cpu_per_gibibyte().map_or_else(|| "-".to_owned(), |cpu| format!("{:.2} s", cpu.median)));
    row
}

/// The whole report.
pub(super) fn text(report: &Report) -> String {
    let machine = &report.machine;
    let sha = if machine.has_sha_instructions { "with" } else { "without" };
    let mut text = format!(
        "{} on {}, {} cores {sha} SHA instructions, {} of memory, Linux {}\n",
        machine.program,
        machine.processor,
        machine.cores,
        ByteSize(machine.memory_bytes),
        machine.kernel
    );
    let heads = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    if !report.limits.is_empty() {
        let rows = report.limits.iter().map(row);
        let head = heads(&["WHAT A STAGE ALONE CAN DO", "MEDIAN", "SPREAD", "CPU A GIB"]);
        text += &table(std::iter::once(head).chain(rows).collect());
    }
    if !report.measures.is_empty() {
        let rows = report.measures.iter().map(|measure| {
            let mut row = row(measure);
            row.push(measure.peak_memory_bytes().map_or_else(|| "-".to_owned(), |bytes| ByteSize(bytes).to_string()));
            row.push(measure.share_of_limit().map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", 100.0 * share)));
            let limit = measure.limit.as_ref().map(|limit| format!("{} {}", limit.name, rate(limit.bytes_per_second)));
            row.push(limit.unwrap_or_else(|| "-".to_owned()));
            row
        });
        let head = heads(&["WORK", "MEDIAN", "SPREAD", "CPU A GIB", "PEAK", "OF LIMIT", "LIMIT"]);
        text += &table(std::iter::once(head).chain(rows).collect());
    }
    for ratio in super::peers::ratios(&report.measures) {
        text += &format!("{ratio}\n");
    }
    for missing in &report.missing {
        text += &format!("missing: {missing}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_said_as_people_say_them() {
        assert_eq!((rate(2.345e9), rate(99_950_000.0)), ("2.35 GB/s".to_owned(), "100.0 MB/s".to_owned()));
    }
}
