//! Two reports: what changed, and what is noise.

use std::path::Path;

use serde::Serialize;

use super::error::BenchError;
use super::report::{FORMAT, Measure, Report, Spread};
use crate::printer::{Printer, table};

/// Differences smaller than this are of no interest, however certain they are.
const SMALLEST_CHANGE: f64 = 0.02;

/// How likely a difference may be an accident that counts as one.
const ACCIDENT_MAX: f64 = 0.05;

/// Most figures on one side that are compared exactly.
const FIGURES_MAX: usize = 50;

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Change {
    name: String,
    /// `seconds` or `cpu_seconds`.
    figure: &'static str,
    before: f64,
    after: f64,
    /// After to before: less is better.
    ratio: f64,
    /// How likely such a difference is where nothing changed.
    p_value: f64,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Faster,
    Slower,
    Noise,
    /// So few repetitions cannot tell.
    TooFew,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Comparison {
    changes: Vec<Change>,
    /// In the first report alone.
    gone: Vec<String>,
    /// In the second alone.
    new: Vec<String>,
    /// The machines differ: figures say little.
    other_machine: bool,
}

/// Prints what changed from one report to another.
pub(super) fn run(before: &Path, after: &Path, printer: &Printer) -> Result<(), BenchError> {
    let comparison = compare(&read(before)?, &read(after)?);
    if comparison.other_machine {
        printer.warn("the reports are of different machines: compare ratios within each, not across");
    }
    if comparison.changes.iter().any(|change| change.verdict == Verdict::TooFew) {
        printer.warn("there are too few repetitions to tell a change from noise: measure again with `--repeat 5`");
    }
    printer.document(&comparison, || text(&comparison));
    Ok(())
}

fn read(path: &Path) -> Result<Report, BenchError> {
    let text = std::fs::read_to_string(path).map_err(|error| BenchError::file(path, error))?;
    let report: Report = serde_json::from_str(&text)
        .map_err(|error| BenchError::Usage(format!("`{}` is not a report of a bench: {error}", path.display())))?;
    if report.format != FORMAT {
        return Err(BenchError::Usage(format!("`{}` has format {}, and {FORMAT} is known here", path.display(), report.format)));
    }
    Ok(report)
}

fn compare(before: &Report, after: &Report) -> Comparison {
    let all = |report: &Report| -> Vec<Measure> { report.limits.iter().chain(&report.measures).cloned().collect() };
    let (before_all, after_all) = (all(before), all(after));
    let missing = |from: &[Measure], of: &[Measure]| -> Vec<String> {
        let is_there = |measure: &&Measure| !of.iter().any(|other| other.name == measure.name);
        from.iter().filter(is_there).map(|measure| measure.name.clone()).collect()
    };
    let pairs = before_all.iter().filter_map(|one| Some((one, after_all.iter().find(|other| other.name == one.name)?)));
    Comparison {
        changes: pairs.flat_map(|(one, other)| changes(one, other)).collect(),
        gone: missing(&before_all, &after_all),
        new: missing(&after_all, &before_all),
        other_machine: (&before.machine.processor, before.machine.cores) != (&after.machine.processor, after.machine.cores),
    }
}

fn changes(before: &Measure, after: &Measure) -> Vec<Change> {
    type Figure = fn(&super::report::Run) -> f64;
    let figures: [(&'static str, Figure); 2] = [("seconds", |run| run.seconds), ("cpu_seconds", |run| run.cpu_seconds)];
    let change = |(figure, of): (&'static str, Figure)| {
        // Per byte: another size is not another speed.
        let each = |measure: &Measure| -> Vec<f64> {
            measure.runs.iter().take(FIGURES_MAX).map(|run| of(run) / measure.bytes.max(1) as f64).collect()
        };
        let (one, other) = (each(before), each(after));
        let (before_median, after_median) = (Spread::of(one.clone())?.median, Spread::of(other.clone())?.median);
        let ratio = after_median / before_median;
        let p_value = rank_test(&one, &other);
        let verdict = match () {
            () if !can_tell(one.len(), other.len()) => Verdict::TooFew,
            () if p_value > ACCIDENT_MAX || (ratio - 1.0).abs() < SMALLEST_CHANGE || !ratio.is_finite() => Verdict::Noise,
            () if ratio < 1.0 => Verdict::Faster,
            () => Verdict::Slower,
        };
        let bytes = after.bytes as f64;
        let name = before.name.clone();
        Some(Change { name, figure, before: before_median * bytes, after: after_median * bytes, ratio, p_value, verdict })
    };
    figures.into_iter().filter_map(change).collect()
}

/// How likely it is that the ranks of two samples differ as much as these where both are of one kind: the exact
/// two-sided test of Mann and Whitney (1947), by counting all ways to deal the ranks.
fn rank_test(one: &[f64], other: &[f64]) -> f64 {
    let (n, m) = (one.len(), other.len());
    if n == 0 || m == 0 {
        return 1.0;
    }
    // Pairs in which the first is larger; equal ones count half. Doubled, to stay whole.
    let doubled = |a: &f64, b: &f64| match a.total_cmp(b) {
        std::cmp::Ordering::Greater => 2,
        std::cmp::Ordering::Equal => 1,
        std::cmp::Ordering::Less => 0,
    };
    let u2: usize = one.iter().map(|a| other.iter().map(|b| doubled(a, b)).sum::<usize>()).sum();
    // ways[k][u]: ways to choose k of the ranks seen so far for the first sample, with u pairs won.
    let most = n * m;
    let mut ways = vec![vec![0.0_f64; most + 1]; n + 1];
    ways[0][0] = 1.0;
    for rank in 0..n + m {
        for chosen in (0..n.min(rank + 1)).rev() {
            let beaten = rank - chosen;
            for u in 0..=most.saturating_sub(beaten) {
                if beaten <= m && ways[chosen][u] > 0.0 {
                    ways[chosen + 1][u + beaten] += ways[chosen][u];
                }
            }
        }
    }
    let total: f64 = ways[n].iter().sum();
    let distance = (u2 as f64 - most as f64).abs();
    let extreme: f64 = (0..=most).filter(|u| (2.0 * *u as f64 - most as f64).abs() >= distance).map(|u| ways[n][u]).sum();
    extreme / total
}

/// Whether so many figures on each side can show a change at all: all of one side below all of the other has to be unlikely enough.
pub(super) fn can_tell(one: usize, other: usize) -> bool {
    let below: Vec<f64> = vec![0.0; one];
    let above: Vec<f64> = vec![1.0; other];
    rank_test(&below, &above) <= ACCIDENT_MAX
}

fn text(comparison: &Comparison) -> String {
    let head = ["WORK", "FIGURE", "BEFORE", "AFTER", "RATIO", "P", "VERDICT"].map(str::to_owned).to_vec();
    let rows = comparison.changes.iter().map(|change| {
        vec![
            change.name.clone(),
            if change.figure == "seconds" { "wall".to_owned() } else { "CPU".to_owned() },
            format!("{:.3} s", change.before),
            format!("{:.3} s", change.after),
            format!("{:.2}", change.ratio),
            format!("{:.3}", change.p_value),
            match change.verdict {
                Verdict::Faster => "faster".to_owned(),
                Verdict::Slower => "slower".to_owned(),
                Verdict::Noise => "noise".to_owned(),
                Verdict::TooFew => "too few repetitions".to_owned(),
            },
        ]
    });
    let mut text = table(std::iter::once(head).chain(rows).collect());
    for name in &comparison.gone {
        text += &format!("only before: {name}\n");
    }
    for name in &comparison.new {
        text += &format!("only after: {name}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Run;

    #[test]
    fn ranks_tell_change_from_noise() {
        // All of five below all of five: 2 of the 252 ways.
        let p = rank_test(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!((p - 2.0 / 252.0).abs() < 1e-12, "{p}");
        assert_eq!(rank_test(&[1.0, 4.0, 5.0], &[2.0, 3.0, 6.0]), 1.0);
        assert_eq!(rank_test(&[1.0; 5], &[1.0; 5]), 1.0);
        assert_eq!(rank_test(&[], &[1.0]), 1.0);
        assert!(can_tell(4, 4) && can_tell(3, 5) && !can_tell(3, 3) && !can_tell(1, 30));
        // Three against three can prove nothing.
        assert!(rank_test(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]) > ACCIDENT_MAX);
    }

    fn report(seconds: &[f64]) -> Report {
        let runs = seconds.iter().map(|seconds| Run { seconds: *seconds, cpu_seconds: 1.0, ..Run::default() }).collect();
        let measure = Measure { name: "import".into(), group: "import".into(), bytes: 1 << 30, runs, case: None, limit: None };
        Report { measures: vec![measure], ..Report::new() }
    }

    #[test]
    fn a_change_is_told_and_noise_is_called_noise() {
        let before = report(&[1.0, 1.01, 0.99, 1.02, 0.98]);
        let verdict = |after: &[f64]| compare(&before, &report(after)).changes[0].verdict;
        assert_eq!(verdict(&[0.5, 0.51, 0.52, 0.5, 0.49]), Verdict::Faster);
        assert_eq!(verdict(&[1.5, 1.51, 1.52, 1.5, 1.49]), Verdict::Slower);
        assert_eq!(verdict(&[1.0, 0.97, 1.03, 1.01, 0.99]), Verdict::Noise);
        assert_eq!(verdict(&[9.0]), Verdict::TooFew);
        let other = Report { measures: Vec::new(), ..before.clone() };
        assert_eq!(compare(&before, &other).gone, ["import"]);
    }
}
