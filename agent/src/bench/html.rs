//! A report as one page that needs nothing else.

use askama::Template;
use protocol::result::StageSeconds;
use protocol::units::ByteSize;

use super::error::BenchError;
use super::plot::{Plot, Series};
use super::report::{Case, Machine, Measure, Report};
use super::table::rate;

#[derive(Template)]
#[template(path = "bench.html")]
struct Page {
    made_at: String,
    machine: Machine,
    memory: String,
    limits: Vec<Row>,
    groups: Vec<Group>,
    ratios: Vec<String>,
    missing: Vec<String>,
}

/// What belongs together on the page.
struct Group {
    name: String,
    plots: Vec<String>,
    rows: Vec<Row>,
    stages: Vec<StageBar>,
}

struct Row {
    name: String,
    median: String,
    spread: String,
    /// Of the fastest in its table, in percent.
    width: f64,
    cpu: String,
    peak: String,
    limited_by: String,
    share: String,
    limit: String,
}

/// Where the time of one case went.
struct StageBar {
    name: String,
    label: String,
    parts: Vec<(&'static str, f64, f64)>,
}

/// The page of a report.
pub(super) fn page(report: &Report) -> Result<String, BenchError> {
    let failed = |error: askama::Error| BenchError::Failed(error.to_string());
    let mut names: Vec<&str> = Vec::new();
    for measure in &report.measures {
        if !names.contains(&measure.group.as_str()) {
            names.push(&measure.group);
        }
    }
    let mut groups = Vec::new();
    for name in names {
        let measures: Vec<&Measure> = report.measures.iter().filter(|measure| measure.group == name).collect();
        let drawn: Result<Vec<String>, _> = plots(&measures).iter().map(Plot::draw).collect();
        groups.push(Group {
            name: name.to_owned(),
            plots: drawn.map_err(failed)?,
            rows: rows(&measures),
            stages: measures.iter().filter_map(|measure| stage_bar(measure)).collect(),
        });
    }
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let page = Page {
        made_at: report.made_at.format(&format).unwrap_or_default(),
        memory: ByteSize(report.machine.memory_bytes).to_string(),
        machine: report.machine.clone(),
        limits: rows(&report.limits.iter().collect::<Vec<_>>()),
        groups,
        ratios: super::peers::ratios(&report.measures),
        missing: report.missing.clone(),
    };
    page.render().map_err(failed)
}

fn rows(measures: &[&Measure]) -> Vec<Row> {
    let best = measures.iter().filter_map(|measure| Some(measure.rate()?.median)).fold(1.0, f64::max);
    let row = |measure: &&Measure| {
        let figures = measure.rate();
        let nothing = String::new;
        Row {
            name: measure.shown_name(),
            median: figures.map_or_else(nothing, |figures| rate(figures.median)),
            spread: figures.map_or_else(nothing, |figures| format!("{} to {}", rate(figures.min), rate(figures.max))),
            width: figures.map_or(0.0, |figures| 100.0 * figures.median / best),
            cpu: measure.cpu_per_gibibyte().map_or_else(nothing, |cpu| format!("{:.2} s", cpu.median)),
            peak: measure.peak_memory_bytes().map_or_else(nothing, |bytes| ByteSize(bytes).to_string()),
            limited_by: measure.limited_by().map_or_else(nothing, |limit| format!("{limit:?}").to_lowercase()),
            share: measure.share_of_limit().map_or_else(nothing, |share| format!("{:.0} %", 100.0 * share)),
            limit: (measure.limit.as_ref())
                .map_or_else(nothing, |limit| format!("{} ({})", limit.name, rate(limit.bytes_per_second))),
        }
    };
    measures.iter().map(row).collect()
}

/// One plot over the chunk sizes and one over the requests at once, where there is more than one of them.
fn plots(measures: &[&Measure]) -> Vec<Plot> {
    let with_case: Vec<(&Measure, &Case)> =
        measures.iter().filter_map(|measure| Some((*measure, measure.case.as_ref()?))).collect();
    let sizes = |case: &Case| ByteSize(case.chunk_size_bytes).to_string();
    let requests = |case: &Case| case.concurrency.map_or_else(|| "auto".to_owned(), |number| number.to_string());
    let by_size = plot(&with_case, "Throughput against chunk size", sizes, |case| {
        let memory = case.memory_bytes.map(|bytes| format!(", {}", ByteSize(bytes))).unwrap_or_default();
        format!("{}, {}, concurrency {}{memory}{}", case.drive, case.store, requests(case), warmth(case))
    });
    let by_requests = plot(&with_case, "Throughput against concurrency", requests, |case| {
        let memory = case.memory_bytes.map(|bytes| format!(", {}", ByteSize(bytes))).unwrap_or_default();
        format!("{}, {}, chunks {}{memory}{}", case.drive, case.store, sizes(case), warmth(case))
    });
    [by_size, by_requests].into_iter().flatten().collect()
}

fn warmth(case: &Case) -> &'static str {
    if case.is_warm { "" } else { ", cold" }
}

fn plot(
    measures: &[(&Measure, &Case)],
    title: &str,
    place_of: impl Fn(&Case) -> String,
    series_of: impl Fn(&Case) -> String,
) -> Option<Plot> {
    let in_order = |of: &dyn Fn(&Case) -> String| {
        let mut names: Vec<String> = Vec::new();
        for (_, case) in measures {
            let name = of(case);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    };
    let places = in_order(&place_of);
    let at = |series: &str, place: &str| {
        measures.iter().find(|(_, case)| series_of(case) == series && place_of(case) == place).map(|(measure, _)| *measure)
    };
    let series: Vec<Series> = in_order(&series_of)
        .into_iter()
        .map(|name| {
            let points = places.iter().map(|place| at(&name, place).and_then(Measure::rate)).collect();
            Series { name, points }
        })
        .collect();
    let first = series.first()?.name.clone();
    let limits = places.iter().map(|place| Some(at(&first, place)?.limit.as_ref()?.bytes_per_second)).collect();
    (places.len() > 1).then(|| Plot { title: title.to_owned(), places, series, limits })
}

/// The stages of the middle run of a case.
fn stage_bar(measure: &Measure) -> Option<StageBar> {
    let mut runs: Vec<&super::report::Run> = measure.runs.iter().collect();
    runs.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    let StageSeconds { read, hash, wait, send, write, sync } = runs.get(runs.len() / 2)?.stages?;
    let named = [("read", read), ("hash", hash), ("wait", wait), ("send", send), ("write", write), ("sync", sync)];
    let total: f64 = named.iter().map(|(_, seconds)| seconds).sum();
    let mut x = 0.0;
    let mut parts = Vec::new();
    for (class, seconds) in named {
        let width = 1000.0 * seconds / total.max(1e-9);
        parts.push((class, x, width));
        x += width;
    }
    let words: Vec<String> = named.iter().map(|(name, seconds)| format!("{name} {seconds:.2} s")).collect();
    Some(StageBar { name: measure.name.clone(), label: words.join(", "), parts })
}
